//! `notme`: enrols at an authority, and verifies what an authority issued.
//!
//! **In scope:** what the pure crates leave out: a clock, randomness, files, HTTP. What a certificate
//! must look like is decided by `notme-x509`, what a bundle's signed bytes are by `notme-wire`.
//!
//! **Invariants:** private keys are wiped from memory after use, and so is the copy of the token that this
//! program works with, but not those that others make on its way: the environment, the standard library,
//! and the readers and writers of JSON and HTTP; no token gets into output or an error; a
//! key is never readable by others, not even for a moment; what an authority answers is verified before
//! it is written.

mod args;
mod authority;
mod doctor;
mod enroll;
mod failure;
mod files;
mod http;
mod issuing;
mod keys;
mod revocation;
mod rollover;
mod roots;
mod state;
mod task;
mod text;
mod time;
mod token;
mod trusted;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

use crate::args::{Arguments, Command, Task};
use crate::failure::Failure;

/// What a command found: for people, and for programs.
struct Report {
    text: String,
    json: serde_json::Value,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    let (wants_json, result) = match arguments.command {
        Command::Enroll(options) => (options.json, enroll::run(&options)),
        Command::Verify(options) => (options.json, verify::run(&options)),
        Command::Doctor(options) => (options.json, doctor::run(&options)),
        Command::Task(Task::Enroll(options)) => (options.json, issuing::enroll(&options)),
        Command::Task(Task::Mint(options)) => (options.json, task::mint(&options)),
    };
    finish(wants_json, result)
}

/// Prints the help that was asked for, or what isn't understood: without the token that somebody may have
/// given in the wrong place.
fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let text = error.render().to_string();
        return finish(
            false,
            Ok(Report {
                text,
                json: json!({}),
            }),
        );
    }
    let arguments: Vec<_> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let text = text::without_secrets(&error.render().to_string(), &arguments);
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(failure::Kind::Usage.exit())
}

/// Prints how the command ended. What can't be printed never hides a failure's own exit code.
fn finish(wants_json: bool, result: Result<Report, Failure>) -> ExitCode {
    let json =
        |failure: &Failure| json!({ "ok": false, "code": failure.code, "error": failure.text });
    let (output, failure) = match result {
        Ok(report) if wants_json => (format!("{}\n", report.json), None),
        Ok(report) => (report.text, None),
        Err(failure) if wants_json => (format!("{}\n", json(&failure)), Some(failure)),
        Err(failure) => (String::new(), Some(failure)),
    };
    let unprinted = print(&output).err();
    let Some(failure) = failure.or(unprinted) else {
        return ExitCode::SUCCESS;
    };
    let _ = writeln!(std::io::stderr(), "notme: {failure}");
    ExitCode::from(failure.exit())
}

fn print(output: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(output.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::local("output", format!("stdout can't be written: {error}")))
}

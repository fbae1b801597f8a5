//! `notme`: enrols at an authority, and verifies what an authority issued.
//!
//! **In scope:** what the pure crates leave out: a clock, randomness, files, HTTP. What a certificate
//! must look like is decided by `notme-x509`, what a bundle's signed bytes are by `notme-wire`.
//!
//! **Invariants:** private keys are wiped from memory after use, and so are tokens, except for what
//! the HTTP library keeps of a request until the process ends; no token gets into output or an error; a
//! key is never readable by others, not even for a moment; what an authority answers is verified before
//! it is written.

mod args;
mod authority;
mod enroll;
mod failure;
mod files;
mod http;
mod keys;
mod revocation;
mod roots;
mod state;
mod text;
mod time;
mod token;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

use crate::args::{Arguments, Command};
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
    };
    match finish(wants_json, &result) {
        Ok(()) => result.map_or_else(
            |failure| ExitCode::from(failure.exit()),
            |_| ExitCode::SUCCESS,
        ),
        // Nobody reads on; that what was printed is incomplete must show nevertheless.
        Err(_) => ExitCode::from(failure::Kind::Local.exit()),
    }
}

/// Prints the help that was asked for, or what isn't understood: without the token that somebody may have
/// given in the wrong place.
fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(failure::Kind::Local.exit()),
        };
    }
    let arguments: Vec<_> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let text = text::without_secrets(&error.render().to_string(), &arguments);
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(failure::Kind::Usage.exit())
}

fn finish(wants_json: bool, result: &Result<Report, Failure>) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match result {
        Ok(report) if wants_json => writeln!(stdout, "{}", report.json)?,
        Ok(report) => stdout.write_all(report.text.as_bytes())?,
        Err(failure) => {
            if wants_json {
                let error = json!({ "ok": false, "code": failure.code, "error": failure.text });
                writeln!(stdout, "{error}")?;
            }
            writeln!(std::io::stderr(), "notme: {failure}")?;
        }
    }
    stdout.flush()
}

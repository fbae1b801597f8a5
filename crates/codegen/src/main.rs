//! Writes `gen/` from `schema/*.capnp`, or checks that it is up to date.

use std::process::ExitCode;

use notme_codegen::run::{Options, run};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("notme-codegen: {error}");
            ExitCode::FAILURE
        }
    }
}

//! What the tests share.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use notme_codegen::run::{self, Error};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The compiler's request, or nothing where `capnp` is not installed. In CI it has to be.
pub(crate) fn compile(files: &[PathBuf]) -> Option<Vec<u8>> {
    match run::compile(root(), files) {
        Ok(request) => Some(request),
        Err(Error::ToolMissing(tool)) if std::env::var_os("CI").is_none() => {
            println!("skipped: `{tool}` is not installed");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

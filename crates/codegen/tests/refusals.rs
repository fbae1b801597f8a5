//! What the generator cannot express is an error that names it: one schema for each such construct,
//! whose first line says what the error must be.

mod support;

use notme_codegen::model;
use support::{compile, root};

#[test]
fn every_unsupported_construct_is_refused_by_name() {
    let folder = root().join("crates/codegen/tests/fixtures");
    let mut count = 0;
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = text
            .lines()
            .next()
            .unwrap()
            .strip_prefix("# expect: ")
            .unwrap();
        let file = path.strip_prefix(root()).unwrap();
        let Some(request) = compile(&[file.to_owned()]) else {
            return;
        };
        let error = match model::read(&request) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        // The compiler names files by their path.
        let error = error
            .rsplit_once("fixtures/")
            .map_or(error.as_str(), |(_, rest)| rest);
        if !error.starts_with(expected) {
            failures.push(format!("{}: {error}", path.display()));
        }
        count += 1;
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(count > 30, "{count} fixtures");
}

/// Files of the two forms don't use each other's types: one has no codec, the other another JSON.
#[test]
fn the_two_forms_do_not_mix() {
    let folder = std::path::Path::new("crates/codegen/tests/fixtures-of-two");
    for (file, expected) in [
        (
            "json-only.capnp",
            "json_only.capnp:Message.part: types of other files are not supported in a file that is JSON only",
        ),
        (
            "binary.capnp",
            "binary.capnp:Message.parts: its type is in a file that is JSON only",
        ),
    ] {
        let files = [file.replace(".capnp", "-other.capnp"), file.to_owned()];
        let Some(request) = compile(&files.map(|file| folder.join(file))) else {
            return;
        };
        let error = model::read(&request).map(|_| "accepted");
        assert_eq!(
            error.map_err(|error| error.to_string()),
            Err(expected.into())
        );
    }
}

#[test]
fn bytes_that_are_no_request_are_an_error() {
    for bytes in [&b""[..], &[0; 7], &[0; 16], &[0xff; 64]] {
        assert!(model::read(bytes).is_err());
    }
}

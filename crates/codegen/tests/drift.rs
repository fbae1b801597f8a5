//! The command: `--check` notices every way in which `gen/` can differ from the schema, and says
//! what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository's root.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A copy of the schema and of what was generated from it.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        for part in [
            "schema",
            "gen/rust/src",
            "gen/ts",
            "gen/go",
            "gen/json-schema",
        ] {
            copy(&root().join(part), &folder.join(part));
        }
        Self(folder)
    }

    /// Runs the command with nothing but `tools` on the path.
    fn run(&self, arguments: &[&str], tools: &[&str]) -> Output {
        let bin = self.0.join("bin");
        let _ = fs::remove_dir_all(&bin);
        fs::create_dir_all(&bin).unwrap();
        for tool in tools {
            std::os::unix::fs::symlink(find(tool).unwrap(), bin.join(tool)).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_notme-codegen"));
        command
            .args(arguments)
            .current_dir(&self.0)
            .env("PATH", bin)
            .output()
            .unwrap()
    }

    fn edit(&self, file: &str, edit: impl FnOnce(String) -> String) {
        let path = self.0.join(file);
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, edit(text)).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(tool))
        .find(|path| path.is_file())
}

/// Whether there is a compiler. In CI there has to be.
fn has_capnp() -> bool {
    let found = find("capnp").is_some();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "`capnp` is not installed"
    );
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_repository_is_up_to_date() {
    if has_capnp() {
        let output = Copy::new("clean").run(&["--check", "--if-go"], &["capnp"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("skipped gen/go"));
    }
}

#[test]
fn every_difference_is_named() {
    if !has_capnp() {
        return;
    }
    let copy = Copy::new("drift");
    let check = |expected: &[&str]| {
        let output = copy.run(&["--check", "--if-go"], &["capnp"]);
        assert_eq!(output.status.code(), Some(1));
        let message = text(&output.stderr);
        for expected in expected {
            assert!(message.contains(expected), "{message}");
        }
        assert!(message.contains("npm run codegen"), "{message}");
    };
    // A field is added to the schema.
    copy.edit("schema/identity.capnp", |text| {
        let field = "  added @2 :Text $Notme.optional;\n  # Added.\n}\n\nenum RevocationReason";
        text.replacen("}\n\nenum RevocationReason", field, 1)
    });
    check(&["gen/rust/src/schema/identity.rs", "gen/ts/identity.ts"]);
    // Writing mends it.
    assert!(
        copy.run(&["--write", "--if-go"], &["capnp"])
            .status
            .success()
    );
    assert!(
        copy.run(&["--check", "--if-go"], &["capnp"])
            .status
            .success()
    );
    // Somebody edits what was generated.
    copy.edit("gen/ts/conformance.ts", |text| {
        text.replacen("number", "string", 1)
    });
    check(&["gen/ts/conformance.ts"]);
    assert!(
        copy.run(&["--write", "--if-go"], &["capnp"])
            .status
            .success()
    );
    // A file that is JSON only gets a field, and then goes away.
    copy.edit("schema/api.capnp", |text| {
        let field = "  added @1 :UInt64 $Notme.optional;\n  # Added.\n}\n\n# ---- Requests";
        text.replacen("}\n\n# ---- Requests", field, 1)
    });
    check(&["gen/json-schema/api.json", "gen/ts/api.ts"]);
    fs::remove_file(copy.0.join("schema/api.capnp")).unwrap();
    check(&["gen/json-schema/api.json", "gen/ts/api.ts"]);
    assert!(
        copy.run(&["--write", "--if-go"], &["capnp"])
            .status
            .success()
    );
    assert!(!copy.0.join("gen/json-schema/api.json").exists());
    // A schema file goes away, but what was generated from it stays.
    fs::remove_file(copy.0.join("schema/conformance.capnp")).unwrap();
    check(&[
        "gen/rust/src/schema/conformance.rs",
        "gen/ts/conformance.ts",
    ]);
    assert!(
        copy.run(&["--write", "--if-go"], &["capnp"])
            .status
            .success()
    );
    assert!(!copy.0.join("gen/ts/conformance.ts").exists());
}

#[test]
fn missing_tools_are_an_error_unless_allowed() {
    let copy = Copy::new("tools");
    let output = copy.run(&["--check"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "notme-codegen: `capnp` is not installed\n"
    );
    let output = copy.run(&["--check", "--if-capnp"], &[]);
    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout),
        "notme-codegen: skipped, `capnp` is not installed\n"
    );
    if has_capnp() {
        let output = copy.run(&["--check"], &["capnp"]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            text(&output.stderr),
            "notme-codegen: `go` is not installed\n"
        );
    }
}

#[test]
fn the_usage_is_shown_for_anything_else() {
    let copy = Copy::new("usage");
    for arguments in [&[][..], &["--write", "--check"], &["--check", "more"]] {
        let output = copy.run(arguments, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).starts_with("usage: notme-codegen"));
    }
}

//! The highest bundle numbers that were seen, so that nobody can show an older bundle again.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use notme_keys::Ed25519PublicKey;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::files;
use crate::text::show_path;

/// Highest numbers by the SHA-256 of the root's key, and what is numbered. A name wouldn't do: two authorities may have
/// the same, and one that begins anew counts anew.
type Numbers = BTreeMap<String, u64>;

/// How often another verification is waited for, and how long each time: ten seconds in all.
const PATIENCE: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// What an authority numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbered {
    Bundle,
    List,
}

/// Refuses `seqno` if a higher one of this root's key was seen, and remembers it otherwise.
pub(crate) fn advance(
    path: &Path,
    root: &Ed25519PublicKey,
    numbered: Numbered,
    seqno: u64,
) -> Result<(), Failure> {
    let bad = |why: String| {
        let text = format!("the state {} {why}", show_path(path));
        Failure::local("state", text)
    };
    let unreadable = |error| bad(format!("can't be read: {error}"));
    let path = &resolve(path).map_err(unreadable)?;
    // Two verifications at a time mustn't undo each other's number.
    let _lock = lock(path, PATIENCE).map_err(|error| bad(format!("can't be locked: {error}")))?;
    let mut numbers = match fs::exists(path) {
        Ok(false) => Numbers::new(),
        Ok(true) => {
            let content =
                files::read(path).map_err(|failure| Failure::local("state", failure.text))?;
            parse(&content).ok_or_else(|| bad("is malformed".to_owned()))?
        }
        Err(error) => return Err(unreadable(error)),
    };
    let key = hex::encode(Sha256::digest(root.to_spki()));
    let line = match numbered {
        Numbered::Bundle => key,
        Numbered::List => format!("{key} revocations"),
    };
    let highest = numbers.get(&line).copied();
    if let Some(highest) = highest.filter(|highest| seqno < *highest) {
        let seen =
            |what| format!("the {what} has number {seqno}, and number {highest} was seen before");
        return Err(match numbered {
            Numbered::Bundle => Failure::refused("bundle_rollback", seen("revocation bundle")),
            Numbered::List => {
                Failure::refused("revocations_rollback", seen("list of what is revoked"))
            }
        });
    }
    if highest == Some(seqno) {
        return Ok(());
    }
    numbers.insert(line, seqno);
    let text = format!("{}\n", json!({ "seqno": numbers }));
    files::replace(path, files::SECRET, text.as_bytes())
        .map_err(|error| bad(format!("can't be written: {error}")))
}

/// Where the state itself is: what is replaced mustn't be a link to it.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        _ => fs::canonicalize(path),
    }
}

fn parse(content: &[u8]) -> Option<Numbers> {
    let document: serde_json::Value = serde_json::from_slice(content).ok()?;
    let entries = document.get("seqno")?.as_object()?.iter();
    entries
        .map(|(authority, seqno)| Some((authority.clone(), seqno.as_u64()?)))
        .collect()
}

/// A lock that ends with the process, in a file of its own: the state itself is replaced.
fn lock(path: &Path, patience: u32) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(files::SECRET)
        // Neither somewhere else, nor a pipe that nobody reads.
        .custom_flags(O_NOFOLLOW | O_NONBLOCK)
        .open(files::with_suffix(path, ".lock"))?;
    for _ in 0..patience {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "another verification doesn't let go of it",
    ))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let name = format!("notme-state-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn code(path: &Path, key: u8, seqno: u64) -> Option<String> {
        let key = SigningKey::from_bytes(&[key; 32]).verifying_key();
        let key = Ed25519PublicKey::from_bytes(key.to_bytes()).unwrap();
        advance(path, &key, Numbered::Bundle, seqno)
            .err()
            .map(|failure| failure.code)
    }

    #[test]
    fn numbers_only_grow_and_each_key_has_its_own() {
        let there = Temporary::new("numbers");
        let path = &there.0.join("state");
        // What a run left that died.
        fs::write(there.0.join("state.new"), "{").unwrap();
        assert_eq!(code(path, 1, 5), None);
        assert_eq!(code(path, 1, 5), None);
        assert_eq!(code(path, 1, 4).as_deref(), Some("bundle_rollback"));
        assert_eq!(code(path, 2, 1), None);
        assert_eq!(code(path, 1, 7), None);
        assert_eq!(code(path, 1, 6).as_deref(), Some("bundle_rollback"));
        assert_eq!(fs::read_dir(&there.0).unwrap().count(), 2, "and the lock");
        for malformed in ["", "{}", r#"{"seqno":{"x":-1}}"#, r#"{"seqno":[]}"#] {
            fs::write(path, malformed).unwrap();
            assert_eq!(code(path, 1, 9).as_deref(), Some("state"), "{malformed}");
        }
    }

    #[test]
    fn a_link_to_the_state_stays_one() {
        use std::os::unix::fs::symlink;
        let there = Temporary::new("links");
        let (path, link) = (there.0.join("state"), there.0.join("link"));
        symlink(&path, &link).unwrap();
        assert_eq!(code(&link, 1, 5).as_deref(), Some("state"), "of nothing");
        assert_eq!(code(&path, 1, 5), None);
        assert_eq!(code(&link, 1, 6), None);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(code(&path, 1, 5).as_deref(), Some("bundle_rollback"));
    }

    #[test]
    fn what_cannot_be_read_or_locked_is_told_as_such() {
        use std::os::unix::fs::symlink;
        let there = Temporary::new("locks");
        let path = there.0.join("state");
        symlink(there.0.join("elsewhere"), there.0.join("state.lock")).unwrap();
        assert_eq!(code(&path, 1, 5).as_deref(), Some("state"));
        assert!(!there.0.join("elsewhere").exists());
        fs::remove_file(there.0.join("state.lock")).unwrap();

        let held = lock(&path, 1).unwrap();
        let waited = lock(&path, 2).unwrap_err();
        assert_eq!(waited.kind(), io::ErrorKind::TimedOut);
        drop(held);
        fs::create_dir(&path).unwrap();
        assert_eq!(code(&path, 1, 5).as_deref(), Some("state"));
    }
}

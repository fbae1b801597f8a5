//! The highest bundle numbers that were seen, so that nobody can show an older bundle again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::files;
use crate::text::show_path;

/// Highest numbers by authority: by the SHA-256 of its root's subject, for keys come and go.
type Numbers = BTreeMap<String, u64>;

/// Refuses `seqno` if a higher one of this authority was seen, and remembers it otherwise.
pub(crate) fn advance(path: &Path, root_subject: &[u8], seqno: u64) -> Result<(), Failure> {
    let bad = |why: String| Failure::local("state", format!("the state {} {why}", show_path(path)));
    // Two verifications at a time mustn't undo each other's number.
    let _lock = lock(path).map_err(|error| bad(format!("can't be locked: {error}")))?;
    let mut numbers = match std::fs::exists(path) {
        Ok(false) => Numbers::new(),
        Ok(true) => parse(&files::read(path)?).ok_or_else(|| bad("is malformed".to_owned()))?,
        Err(error) => return Err(bad(format!("can't be read: {error}"))),
    };
    let authority = hex::encode(Sha256::digest(root_subject));
    let highest = numbers.get(&authority).copied();
    if let Some(highest) = highest.filter(|highest| seqno < *highest) {
        return Err(Failure::refused(
            "bundle_rollback",
            format!(
                "the revocation bundle has number {seqno}, and number {highest} was seen before"
            ),
        ));
    }
    if highest == Some(seqno) {
        return Ok(());
    }
    numbers.insert(authority, seqno);
    let text = format!("{}\n", json!({ "seqno": numbers }));
    files::replace(path, files::SECRET, text.as_bytes())
        .map_err(|error| bad(format!("can't be written: {error}")))
}

fn parse(content: &[u8]) -> Option<Numbers> {
    let document: serde_json::Value = serde_json::from_slice(content).ok()?;
    let entries = document.get("seqno")?.as_object()?.iter();
    entries
        .map(|(authority, seqno)| Some((authority.clone(), seqno.as_u64()?)))
        .collect()
}

/// A lock that ends with the process, in a file of its own: the state itself is replaced.
fn lock(path: &Path) -> std::io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(files::SECRET)
        .open(name)?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_only_grow_and_each_authority_has_its_own() {
        let folder = std::env::temp_dir().join(format!("notme-state-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("state");
        let code = |subject: &[u8], seqno| advance(&path, subject, seqno).err().map(|f| f.code);
        assert_eq!(code(b"a", 5), None);
        assert_eq!(code(b"a", 5), None);
        assert_eq!(code(b"a", 4).as_deref(), Some("bundle_rollback"));
        assert_eq!(code(b"b", 1), None);
        assert_eq!(code(b"a", 7), None);
        assert_eq!(code(b"a", 6).as_deref(), Some("bundle_rollback"));
        for malformed in ["", "{}", r#"{"seqno":{"x":-1}}"#, r#"{"seqno":[]}"#] {
            std::fs::write(&path, malformed).unwrap();
            assert_eq!(code(b"a", 9).as_deref(), Some("state"), "{malformed}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}

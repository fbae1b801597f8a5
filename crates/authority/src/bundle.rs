//! The revocation bundle (notme protocol §13): the signed statement that verifiers poll.
//!
//! Its struct, its canonical CBOR and its JSON come from the schema; when one is due, and what it
//! says, is decided here.

use notme_keys::KeyId;
use notme_wire::bundle::BundleDocument;
use notme_wire::identity::{CABundle, KeyEntry};

use crate::Fault;
use crate::state::Archive;

/// How old a bundle may grow before it is made anew, in seconds: half of what verifiers accept, so
/// that one that is fetched now stays good for as long again.
const REFRESH_AFTER: i64 = 150;

/// The bundle that follows on `last`, still without its signature, or `None` if `last` says all
/// there is to say and is fresh. `now` in Unix seconds.
///
/// Its number is one more than that of `last`, and its time never goes back.
///
/// # Errors
/// [`Fault::Internal`] if there is no current key.
pub fn due(
    archive: &Archive,
    last: Option<&CABundle>,
    now: u64,
) -> Result<Option<CABundle>, Fault> {
    let next = next(archive, last, now).ok_or_else(|| internal("there is no current key"))?;
    let stands = last.is_some_and(|last| {
        let said = CABundle {
            seqno: next.seqno,
            issued_at: next.issued_at,
            signature: Vec::new(),
            ..last.clone()
        };
        said == next && next.issued_at.saturating_sub(last.issued_at) < REFRESH_AFTER
    });
    Ok((!stands).then_some(next))
}

fn next(archive: &Archive, last: Option<&CABundle>, now: u64) -> Option<CABundle> {
    let current = archive.current()?;
    let keys = [Some(current), archive.previous()]
        .into_iter()
        .flatten()
        .map(|key| {
            Some(KeyEntry {
                kid: key.key_id()?.to_string(),
                public_key: key.public_key.to_vec(),
            })
        });
    let previous = archive.previous().and_then(|key| key.key_id());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    Some(CABundle {
        epoch: current.epoch,
        seqno: last.map_or(0, |last| last.seqno) + 1,
        keys: keys.collect::<Option<_>>()?,
        key_id: current.key_id()?.to_string(),
        prev_key_id: previous.map(|id: KeyId| id.to_string()).unwrap_or_default(),
        issued_at: now.max(last.map_or(0, |last| last.issued_at)),
        signature: Vec::new(),
    })
}

/// What the current key signs: canonical CBOR (§13.3).
///
/// # Errors
/// [`Fault::Internal`] if the bundle has none.
pub fn to_be_signed(bundle: &CABundle) -> Result<Vec<u8>, Fault> {
    bundle
        .to_canonical_cbor()
        .map_err(|error| internal(&error.to_string()))
}

/// What is served (§13.2).
///
/// # Errors
/// [`Fault::Internal`] if the bundle has a number that JSON can't carry.
pub fn to_json(bundle: &CABundle) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(&BundleDocument::from(bundle)).map_err(|error| internal(&error.to_string()))
}

fn internal(reason: &str) -> Fault {
    Fault::Internal(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::EpochKey;

    fn archive(keys: &[(u64, u8)]) -> Archive {
        let key = |(epoch, byte): &(u64, u8)| EpochKey {
            epoch: *epoch,
            public_key: [*byte; 32],
            retired_at: None,
            root: Vec::new(),
        };
        Archive {
            keys: keys.iter().map(key).collect(),
        }
    }

    fn signed(bundle: Option<CABundle>) -> CABundle {
        CABundle {
            signature: vec![9; 64],
            ..bundle.unwrap()
        }
    }

    #[test]
    fn seqno_moves_with_content_and_half_life_only() {
        let one = archive(&[(1, 7)]);
        let first = signed(due(&one, None, 1000).unwrap());
        assert_eq!((first.epoch, first.seqno, first.issued_at), (1, 1, 1000));
        assert_eq!(due(&one, Some(&first), 1000), Ok(None));
        assert_eq!(due(&one, Some(&first), 1149), Ok(None));
        let second = signed(due(&one, Some(&first), 1150).unwrap());
        assert_eq!((second.seqno, second.issued_at), (2, 1150));
        let rotated = due(&archive(&[(1, 7), (2, 8)]), Some(&second), 1151)
            .unwrap()
            .unwrap();
        assert_eq!(
            (rotated.epoch, rotated.seqno, rotated.keys.len()),
            (2, 3, 2)
        );
        assert_eq!(rotated.prev_key_id, second.key_id);
        assert!(rotated.signature.is_empty());
    }

    #[test]
    fn verifiers_get_at_least_half_their_bound() {
        assert_eq!(
            u64::try_from(REFRESH_AFTER * 2),
            Ok(crate::MAX_STALENESS_SECS)
        );
    }

    #[test]
    fn time_never_goes_back() {
        let one = archive(&[(1, 7)]);
        let first = signed(due(&one, None, 1000).unwrap());
        assert_eq!(due(&one, Some(&first), 10), Ok(None));
        let changed = due(&archive(&[(1, 7), (2, 8)]), Some(&first), 10)
            .unwrap()
            .unwrap();
        assert_eq!(changed.issued_at, 1000);
    }

    #[test]
    fn no_key_no_bundle() {
        assert!(due(&Archive::default(), None, 1).is_err());
    }
}

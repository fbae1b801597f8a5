//! The revocation bundle (notme protocol §13): the signed statement that verifiers poll.
//!
//! Its struct, its canonical CBOR and its JSON come from the schema; when one is due, and what it
//! says, is decided here.

use notme_wire::bundle::BundleDocument;
use notme_wire::identity::{CABundle, KeyEntry};

use crate::Fault;
use crate::state::Archive;

/// How old a bundle may grow before it is made anew, in seconds: half of what verifiers accept, so
/// that one that is fetched now stays good for as long again.
const REFRESH_AFTER: i64 = 150;

/// How far the clock may go back, in seconds, before a bundle's time goes back with it.
const MAX_CLOCK_STEP: i64 = 60;

/// The bundle that follows on `last`, still without its signature, or `None` if `last` says all
/// there is to say and is fresh. `now` in Unix seconds.
///
/// Its number is one more than that of `last`. Its time doesn't go back, unless `last` claims to be
/// from a future that a clock once showed.
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
        let age = next.issued_at.saturating_sub(last.issued_at);
        said == next && (0..REFRESH_AFTER).contains(&age)
    });
    Ok((!stands).then_some(next))
}

fn next(archive: &Archive, last: Option<&CABundle>, now: u64) -> Option<CABundle> {
    let current = archive.current()?;
    // Whose credentials are good, and nobody else: who has the key of an epoch that is over could sign
    // for this one.
    let keys = archive.trusted(now).map(|key| {
        Some(KeyEntry {
            kid: key.key_id()?.to_string(),
            public_key: key.public_key.to_vec(),
        })
    });
    let keys = keys.collect::<Option<Vec<_>>>()?;
    let previous = keys.get(1).map(|key| key.kid.clone());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    Some(CABundle {
        epoch: current.epoch,
        seqno: last.map_or(0, |last| last.seqno) + 1,
        keys,
        key_id: current.key_id()?.to_string(),
        prev_key_id: previous.unwrap_or_default(),
        // A clock that was ahead for a while mustn't make bundles that stay fresh for as long.
        issued_at: match last {
            Some(last) if last.issued_at <= now.saturating_add(MAX_CLOCK_STEP) => {
                now.max(last.issued_at)
            }
            _ => now,
        },
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
        let last = keys.len().saturating_sub(1);
        let key = |(i, (epoch, byte)): (usize, &(u64, u8))| EpochKey {
            epoch: *epoch,
            public_key: [*byte; 32],
            created_at: 1,
            retired_at: (i < last).then_some(1000),
            endorsement: None,
            root: Vec::new(),
        };
        Archive {
            keys: keys.iter().enumerate().map(key).collect(),
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
    }

    #[test]
    fn a_rollover_adds_a_key_until_the_overlap_is_over() {
        let first = signed(due(&archive(&[(1, 7)]), None, 1000).unwrap());
        let rolled = archive(&[(1, 7), (1, 8)]);
        let second = due(&rolled, Some(&first), 1000).unwrap().unwrap();
        assert_eq!((second.epoch, second.seqno, second.keys.len()), (1, 2, 2));
        assert_eq!(second.prev_key_id, first.key_id);
        assert_ne!(second.key_id, first.key_id);
        assert!(second.signature.is_empty());
        let second = signed(Some(CABundle {
            issued_at: 1600,
            ..second
        }));
        assert_eq!(due(&rolled, Some(&second), 1600), Ok(None));
        let third = due(&rolled, Some(&second), 1601).unwrap().unwrap();
        assert_eq!((third.seqno, third.keys.len()), (3, 1));
        assert_eq!(third.prev_key_id, "");
    }

    #[test]
    fn a_new_epoch_names_no_key_of_the_one_before() {
        let first = signed(due(&archive(&[(1, 7)]), None, 1000).unwrap());
        let bumped = due(&archive(&[(1, 7), (2, 8)]), Some(&first), 1000);
        let bumped = bumped.unwrap().unwrap();
        assert_eq!((bumped.epoch, bumped.seqno, bumped.keys.len()), (2, 2, 1));
        assert_eq!(bumped.prev_key_id, "");
        assert!(bumped.keys.iter().all(|key| key.kid == bumped.key_id));
    }

    #[test]
    fn verifiers_get_at_least_half_their_bound() {
        assert_eq!(
            u64::try_from(REFRESH_AFTER * 2),
            Ok(crate::MAX_STALENESS_SECS)
        );
    }

    #[test]
    fn time_does_not_go_back() {
        let one = archive(&[(1, 7)]);
        let first = signed(due(&one, None, 1000).unwrap());
        assert_eq!(due(&one, Some(&first), 990), Ok(None));
        let changed = due(&archive(&[(1, 7), (2, 8)]), Some(&first), 990)
            .unwrap()
            .unwrap();
        assert_eq!(changed.issued_at, 1000);
    }

    #[test]
    fn a_bundle_from_the_future_is_replaced() {
        let one = archive(&[(1, 7)]);
        let future = signed(due(&one, None, 5000).unwrap());
        let mended = due(&one, Some(&future), 1000).unwrap().unwrap();
        assert_eq!((mended.seqno, mended.issued_at), (2, 1000));
    }

    #[test]
    fn no_key_no_bundle() {
        assert!(due(&Archive::default(), None, 1).is_err());
    }
}

//! What the authority has to remember, as a value.

use notme_keys::{Ed25519PublicKey, KeyId};
use serde::{Deserialize, Serialize};

use crate::{MAX_LEAF_SECS, MAX_STALENESS_SECS};

/// How long a key that was rolled over stays trusted, in seconds: until the last leaf that it signed
/// has expired, and whoever heard of it until then has had to look again.
pub const OVERLAP_SECS: u64 = MAX_LEAF_SECS + MAX_STALENESS_SECS;

/// A CA key and the epoch that it signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochKey {
    /// The epoch.
    pub epoch: u64,
    /// The 32 bytes of the Ed25519 public key.
    pub public_key: [u8; 32],
    /// When it began to sign, in Unix seconds.
    pub created_at: u64,
    /// When it stopped signing, in Unix seconds; the current one hasn't.
    pub retired_at: Option<u64>,
    /// The signature of the key before it over [`notme_keys::endorsement`], if it was rolled over to.
    #[serde(with = "serde_bytes")]
    pub endorsement: Option<Vec<u8>>,
    /// The DER root certificate.
    #[serde(with = "serde_bytes")]
    pub root: Vec<u8>,
}

impl EpochKey {
    /// The id of the key.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        Ed25519PublicKey::from_bytes(self.public_key)
            .ok()
            .map(|key| key.key_id())
    }
}

/// The keys of the authority, in the order in which they signed; the current one is last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// The keys.
    pub keys: Vec<EpochKey>,
}

impl Archive {
    /// The key that signs.
    #[must_use]
    pub fn current(&self) -> Option<&EpochKey> {
        self.keys.iter().rev().find(|key| key.retired_at.is_none())
    }

    /// The keys whose credentials are good at `now` (Unix seconds), the current one first: those of
    /// this epoch, until what they signed has expired. An epoch is begun to revoke all that the ones
    /// before it signed, so their keys vouch for nothing any more.
    pub fn trusted(&self, now: u64) -> impl Iterator<Item = &EpochKey> {
        let epoch = self.current().map(|key| key.epoch);
        self.keys.iter().rev().filter(move |key| {
            let overlaps = |retired_at: u64| now <= retired_at.saturating_add(OVERLAP_SECS);
            Some(key.epoch) == epoch && key.retired_at.is_none_or(overlaps)
        })
    }

    /// Who endorsed the key at this place, if somebody did: the key before it.
    #[must_use]
    pub fn endorser(&self, index: usize) -> Option<&EpochKey> {
        let endorsed = self.keys.get(index)?;
        let before = self.keys.get(index.checked_sub(1)?)?;
        (endorsed.endorsement.is_some() && before.epoch == endorsed.epoch).then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(epoch: u64, byte: u8, retired_at: Option<u64>) -> EpochKey {
        EpochKey {
            epoch,
            public_key: [byte; 32],
            created_at: 0,
            retired_at,
            endorsement: (byte == 3).then(|| vec![9; 64]),
            root: vec![byte],
        }
    }

    fn trusted(archive: &Archive, now: u64) -> Vec<u8> {
        archive.trusted(now).map(|key| key.public_key[0]).collect()
    }

    #[test]
    fn rollover_keeps_the_old_key_trusted_and_a_new_epoch_does_not() {
        let archive = Archive {
            keys: vec![key(1, 1, Some(5)), key(2, 2, Some(9)), key(2, 3, None)],
        };
        assert_eq!(trusted(&archive, 9), [3, 2]);
        assert!(trusted(&Archive::default(), 9).is_empty());
    }

    #[test]
    fn a_key_leaves_when_all_that_it_signed_has_expired_everywhere() {
        let archive = Archive {
            keys: vec![
                key(1, 1, Some(1000)),
                key(1, 2, Some(1100)),
                key(1, 3, None),
            ],
        };
        // A leaf of the last moment is good for 300 s, and who heard of it then may rely on that for
        // 300 s more.
        assert_eq!(OVERLAP_SECS, 600);
        for (now, expected) in [
            (1100, &[3, 2, 1][..]),
            (1600, &[3, 2, 1]),
            (1601, &[3, 2]),
            (1700, &[3, 2]),
            (1701, &[3]),
            (u64::MAX, &[3]),
        ] {
            assert_eq!(trusted(&archive, now), expected, "{now}");
        }
    }

    #[test]
    fn a_key_is_endorsed_by_the_one_before_it_in_its_epoch() {
        let mut archive = Archive {
            keys: vec![key(1, 1, Some(1)), key(2, 2, Some(2)), key(2, 3, None)],
        };
        let endorser = |archive: &Archive, at| archive.endorser(at).map(|key| key.public_key[0]);
        assert_eq!(
            [0, 1, 2, 3].map(|at| endorser(&archive, at)),
            [None, None, Some(2), None]
        );
        archive.keys.remove(1);
        assert_eq!(
            endorser(&archive, 1),
            None,
            "no epoch endorses another's key"
        );
    }
}

//! What the authority has to remember, as a value.

use notme_keys::{Ed25519PublicKey, KeyId};
use serde::{Deserialize, Serialize};

/// A CA key and the epoch that it signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochKey {
    /// The epoch.
    pub epoch: u64,
    /// The 32 bytes of the Ed25519 public key.
    pub public_key: [u8; 32],
    /// When it stopped signing in this epoch, in Unix seconds; the current one hasn't.
    pub retired_at: Option<u64>,
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

/// The keys of the authority, in the order of their epochs; the current one is last.
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

    /// The key that signed before the current one.
    #[must_use]
    pub fn previous(&self) -> Option<&EpochKey> {
        self.keys.iter().rev().find(|key| key.retired_at.is_some())
    }

    /// The keys whose credentials are still good, the current one first: those of this epoch. An
    /// epoch is begun to revoke all that the ones before it signed.
    pub fn trusted(&self) -> impl Iterator<Item = &EpochKey> {
        let epoch = self.current().map(|key| key.epoch);
        self.keys
            .iter()
            .rev()
            .filter(move |key| Some(key.epoch) == epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(epoch: u64, byte: u8, retired_at: Option<u64>) -> EpochKey {
        EpochKey {
            epoch,
            public_key: [byte; 32],
            retired_at,
            root: vec![byte],
        }
    }

    #[test]
    fn rollover_keeps_the_old_key_trusted_and_a_new_epoch_does_not() {
        let archive = Archive {
            keys: vec![key(1, 1, Some(5)), key(2, 2, Some(9)), key(2, 3, None)],
        };
        let trusted: Vec<u8> = archive.trusted().map(|key| key.public_key[0]).collect();
        assert_eq!(trusted, [3, 2]);
        assert_eq!(archive.previous().unwrap().public_key[0], 2);
        assert_eq!(Archive::default().trusted().count(), 0);
    }
}

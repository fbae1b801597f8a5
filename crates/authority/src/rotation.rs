//! Changing the CA's key (`docs/adr/0009-epochs-and-rollover.md`): a new epoch revokes whatever was
//! issued before, a rollover revokes nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::people::body::{object, shown_text};
use crate::people::command::Origin;
use crate::state::{Archive, OVERLAP_SECS};
use crate::{Error, Fault};

/// The longest reason, in characters.
const MAX_REASON_CHARS: usize = 200;
/// How many keys may be trusted at once: each is in everything that verifiers fetch.
const MAX_TRUSTED: usize = 32;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Begin a new epoch, with a key that nobody vouches for.
    BumpEpoch,
    /// Roll the key over within the epoch; the old one endorses the new one.
    RollOver,
}

impl Act {
    /// What the audit trail calls it.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::BumpEpoch => "epoch.bumped",
            Self::RollOver => "key.rolled_over",
        }
    }

    /// Where the new key comes in the archive.
    ///
    /// # Errors
    /// [`Error::TooManyKeys`]; [`Fault::Internal`] if there is no current key.
    pub fn place(self, archive: &Archive, now: u64) -> Result<Place, Error> {
        let current = archive.current();
        let current = current.ok_or_else(|| Fault::Internal("there is no current key".into()))?;
        if self == Self::BumpEpoch {
            return Ok(Place {
                epoch: current.epoch + 1,
                position: 0,
            });
        }
        if archive.trusted(now).count() >= MAX_TRUSTED {
            let oldest = archive.trusted(now).filter_map(|key| key.retired_at).min();
            let leaves_at = oldest.map_or(now, |at| at.saturating_add(OVERLAP_SECS));
            let secs = leaves_at.saturating_sub(now).saturating_add(1);
            return Err(Error::TooManyKeys(u32::try_from(secs).unwrap_or(u32::MAX)));
        }
        let of_epoch = |key: &&crate::state::EpochKey| key.epoch == current.epoch;
        let before = archive.keys.iter().filter(of_epoch).count();
        Ok(Place {
            epoch: current.epoch,
            position: u64::try_from(before).unwrap_or(u64::MAX),
        })
    }
}

/// A place in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The epoch.
    pub epoch: u64,
    /// How many keys came before in it.
    pub position: u64,
}

/// A wish of an administrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The hash of their session's secret.
    pub session: [u8; 32],
    /// What to do.
    pub act: Act,
    /// Why, for the audit trail.
    pub reason: Option<String>,
    /// Where from.
    pub origin: Origin,
}

impl Rotation {
    /// Reads `{reason?}`, and gives the reason.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] and [`Error::InvalidMember`].
    pub fn reason(body: &[u8]) -> Result<Option<String>, Error> {
        let body: Value = object(body)?;
        shown_text(body.get("reason"), "reason", MAX_REASON_CHARS)
    }

    /// What the audit trail tells of it, beside who, when and from where.
    #[must_use]
    pub fn details(&self, changed: &KeyChanged, previous_epoch: u64) -> Value {
        json!({
            "epoch": changed.epoch,
            "key_id": changed.key_id,
            "previous_epoch": previous_epoch,
            "previous_key_id": changed.previous_key_id,
            "reason": self.reason,
        })
    }
}

/// The key was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChanged {
    /// The epoch that is in force.
    pub epoch: u64,
    /// The id of the key that signs.
    pub key_id: String,
    /// The id of the key that signed before.
    pub previous_key_id: String,
}

impl KeyChanged {
    /// The answer.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "epoch": self.epoch,
            "keyId": self.key_id,
            "previousKeyId": self.previous_key_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::EpochKey;

    fn archive(epochs: &[u64]) -> Archive {
        let last = epochs.len().saturating_sub(1);
        let key = |(i, epoch): (usize, &u64)| EpochKey {
            epoch: *epoch,
            public_key: [u8::try_from(i).unwrap(); 32],
            created_at: 0,
            retired_at: (i < last).then(|| 1000 + u64::try_from(i).unwrap()),
            endorsement: None,
            root: Vec::new(),
        };
        Archive {
            keys: epochs.iter().enumerate().map(key).collect(),
        }
    }

    fn place(act: Act, epochs: &[u64]) -> (u64, u64) {
        let place = act.place(&archive(epochs), 1000).unwrap();
        (place.epoch, place.position)
    }

    #[test]
    fn a_bump_opens_an_epoch_and_a_rollover_stays_in_it() {
        assert_eq!(place(Act::BumpEpoch, &[1]), (2, 0));
        assert_eq!(place(Act::BumpEpoch, &[1, 1, 4]), (5, 0));
        assert_eq!(place(Act::RollOver, &[1]), (1, 1));
        assert_eq!(place(Act::RollOver, &[1, 2, 2]), (2, 2));
        for act in [Act::BumpEpoch, Act::RollOver] {
            let none = act.place(&Archive::default(), 1000);
            assert!(matches!(none, Err(Error::Fault(Fault::Internal(_)))));
        }
    }

    #[test]
    fn trusted_keys_are_32_at_most_and_an_epoch_can_always_be_begun() {
        let full = archive(&[1; MAX_TRUSTED]);
        let too_many = Act::RollOver.place(&full, 1100);
        assert_eq!(too_many, Err(Error::TooManyKeys(501)));
        assert!(Act::RollOver.place(&full, 1601).is_ok());
        assert!(Act::BumpEpoch.place(&full, 1100).is_ok());
    }

    #[test]
    fn a_reason_is_a_short_text_or_nothing() {
        let long = |n: usize| format!(r#"{{"reason":"{}"}}"#, "ä".repeat(n));
        for (body, reason) in [
            ("{}", Ok(None)),
            (r#"{"reason":null}"#, Ok(None)),
            (r#"{"reason":"  "}"#, Ok(None)),
            (
                r#"{"reason":" a laptop was lost "}"#,
                Ok(Some("a laptop was lost".to_owned())),
            ),
            (&long(200), Ok(Some("ä".repeat(200)))),
            (&long(201), Err(Error::InvalidMember("reason"))),
            (r#"{"reason":"a\nb"}"#, Err(Error::InvalidMember("reason"))),
            (
                r#"{"reason":"a\u202eb"}"#,
                Err(Error::InvalidMember("reason")),
            ),
            (r#"{"reason":1}"#, Err(Error::InvalidMember("reason"))),
            ("", Err(Error::InvalidJson)),
            ("[]", Err(Error::InvalidJson)),
        ] {
            assert_eq!(Rotation::reason(body.as_bytes()), reason, "{body}");
        }
    }
}

//! Principals, and how they come in: sessions, first boot, invites, challenges.
//!
//! A principal is who; an authenticator is a way in that belongs to one; a grant is what a principal
//! may do. Sessions point to principals and hold no grants, so taking one back works at once
//! ([ADR 7](https://github.com/notme/notme/blob/main/docs/adr/0007-one-principal.md)).

pub mod admin;
pub mod admission;
pub(crate) mod body;
pub mod bootstrap;
pub mod ceremony;
pub mod challenge;
pub mod command;
pub mod connection;
pub mod federation;
pub mod invite;
pub mod mint;
pub mod own;
mod scope;
pub mod session;
pub mod throttle;

use std::fmt;

pub use scope::{Grant, Scope, Scopes};
use serde::{Deserialize, Serialize};

/// What a principal is called that gave no name.
pub(crate) const DEFAULT_NAME: &str = "user";

/// Who: a random UUID that says nothing and never changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PrincipalId(String);

impl PrincipalId {
    /// A new one; `random` fresh.
    #[must_use]
    pub fn from_random(random: [u8; 16]) -> Self {
        Self(uuid(random))
    }

    /// Reads the text form: lower case, with hyphens.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_uuid(text).then(|| Self(text.to_owned()))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URI that certificates carry.
    #[must_use]
    pub fn uri(&self, trust_domain: &str) -> String {
        format!("wimse://{trust_domain}/principal/{self}")
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version 4 UUID (RFC 9562 §5.4) of random bytes: the form of all ids of rows.
#[must_use]
pub fn uuid(mut random: [u8; 16]) -> String {
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut random;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    hyphenated(&random)
}

/// 16 bytes as text, in the form of UUIDs (RFC 9562 §4).
fn hyphenated(bytes: &[u8; 16]) -> String {
    let hex = hex::encode(bytes);
    let part = |range| hex.get(range).unwrap_or_default();
    [
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32),
    ]
    .join("-")
}

/// Whether a text is what [`uuid`] makes.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            14 => b == b'4',
            19 => matches!(b, b'8' | b'9' | b'a' | b'b'),
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_4_uuids() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert!(is_uuid(&uuid([7; 16])));
        for text in [
            "",
            "00000000-0000-4000-8000-00000000000",
            "00000000-0000-1000-8000-000000000000",
            "00000000-0000-4000-c000-000000000000",
            "0000000g-0000-4000-8000-000000000000",
            "00000000-0000-4000-8000-00000000000A",
            "000000000000-4000-8000-0000000000000",
        ] {
            assert!(!is_uuid(text), "{text}");
        }
    }

    #[test]
    fn a_principal_has_one_uri() {
        let id = PrincipalId::from_random([1; 16]);
        let uri = "wimse://id.example:8443/principal/01010101-0101-4101-8101-010101010101";
        assert_eq!(id.uri("id.example:8443"), uri);
        assert_eq!(PrincipalId::parse(id.as_str()), Some(id));
    }
}

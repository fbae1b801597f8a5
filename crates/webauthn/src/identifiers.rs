//! Challenges, credential ids, user handles and model ids: byte strings that aren't to be confused.

use std::fmt;

use notme_keys::{decode_base64url, encode_base64url};
use subtle::ConstantTimeEq;

use crate::Error;

/// What makes a ceremony unique (§13.4.3): 32 random bytes, which the host draws and remembers.
#[derive(Clone, Copy, Debug)]
pub struct Challenge([u8; Self::LEN]);

impl Challenge {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Takes bytes that nobody could guess.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Reads the base64url form.
    #[must_use]
    pub fn from_base64url(text: &str) -> Option<Self> {
        Some(Self(decode_base64url(text)?.try_into().ok()?))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The form in options and in `clientDataJSON`.
    #[must_use]
    pub fn to_base64url(&self) -> String {
        encode_base64url(&self.0)
    }

    /// Whether a client's text is this challenge, in time that doesn't depend on the answer.
    pub(crate) fn is(&self, claimed: &str) -> bool {
        self.to_base64url()
            .as_bytes()
            .ct_eq(claimed.as_bytes())
            .into()
    }
}

impl PartialEq for Challenge {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Challenge {}

/// A credential's id (§4): 1 to 1023 bytes that the authenticator chose.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(Vec<u8>);

impl CredentialId {
    /// The longest that a credential id may be (§7.1 step 25).
    pub const MAX_LEN: usize = 1023;

    /// Takes the bytes.
    ///
    /// # Errors
    /// [`Error::CredentialIdInvalid`] if there are none, or more than [`Self::MAX_LEN`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, Error> {
        if (1..=Self::MAX_LEN).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(Error::CredentialIdInvalid)
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The form in JSON.
    #[must_use]
    pub fn to_base64url(&self) -> String {
        encode_base64url(&self.0)
    }
}

/// Whose a credential is, as authenticators keep it (§4): 1 to 64 bytes that tell nothing about the
/// person.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserHandle(Vec<u8>);

impl UserHandle {
    /// The longest that a user handle may be (§5.4.3).
    pub const MAX_LEN: usize = 64;

    /// Takes the bytes.
    ///
    /// # Errors
    /// [`Error::UserHandleInvalid`] if there are none, or more than [`Self::MAX_LEN`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, Error> {
        if (1..=Self::MAX_LEN).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(Error::UserHandleInvalid)
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The form in JSON.
    #[must_use]
    pub fn to_base64url(&self) -> String {
        encode_base64url(&self.0)
    }
}

/// The model of an authenticator (§6.5.1), as it says itself; all zeros if it doesn't say.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Aaguid([u8; 16]);

impl Aaguid {
    /// Takes the bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Aaguid {
    /// The form of RFC 9562 §4, by which lists of models name them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Aaguid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aaguid({self})")
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialId({})", self.to_base64url())
    }
}

impl fmt::Debug for UserHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserHandle({})", self.to_base64url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_specification() {
        for (len, fits) in [(0, false), (1, true), (1023, true), (1024, false)] {
            assert_eq!(CredentialId::new(vec![0; len]).is_ok(), fits, "{len}");
        }
        for (len, fits) in [(0, false), (1, true), (64, true), (65, false)] {
            assert_eq!(UserHandle::new(vec![0; len]).is_ok(), fits, "{len}");
        }
    }

    #[test]
    fn a_challenge_is_its_one_text_only() {
        let challenge = Challenge::from_bytes([0xfb; 32]);
        let text = challenge.to_base64url();
        assert_eq!(Challenge::from_base64url(&text), Some(challenge));
        assert!(challenge.is(&text));
        let other_bits = text.replacen("-_", "+/", 1);
        for other in ["", &text[1..], &format!("{text}="), &other_bits, "AA"] {
            assert!(!challenge.is(other), "{other}");
            assert_eq!(Challenge::from_base64url(other), None, "{other}");
        }
        assert_ne!(challenge, Challenge::from_bytes([0; 32]));
    }

    #[test]
    fn an_aaguid_is_shown_as_a_uuid() {
        let aaguid = Aaguid::from_bytes(
            *b"\x08\x98\x70\x58\xca\xdc\x4b\x81\xb6\xe1\x30\xde\x50\xdc\xbe\x96",
        );
        assert_eq!(aaguid.to_string(), "08987058-cadc-4b81-b6e1-30de50dcbe96");
    }
}

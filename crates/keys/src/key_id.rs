//! Key ids (notme protocol §13.1).

use std::fmt;

use sha2::{Digest, Sha256};

/// The first 16 bytes of SHA-256 over the DER SubjectPublicKeyInfo; shown as 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// The id of the key whose canonical DER SubjectPublicKeyInfo is `spki`.
    #[must_use]
    pub fn of_spki(spki: &[u8]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(Sha256::digest(spki).split_at(16).0);
        Self(id)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use crate::Ed25519PublicKey;

    /// notme protocol §21.4.
    #[test]
    fn published_vector() {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(0..).for_each(|(b, i)| *b = i);
        let key = Ed25519PublicKey::from_bytes(bytes).unwrap();
        assert_eq!(key.key_id().to_string(), "9408457aefd071cec127c1f985399308");
    }
}

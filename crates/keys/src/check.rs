//! Signature checks as values.

use crate::{Ed25519PublicKey, P256PublicKey, RsaPublicKey};

/// A key together with the one algorithm that it is used with here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyingKey {
    /// PureEdDSA over edwards25519 (RFC 8032): a 64-byte signature.
    Ed25519(Ed25519PublicKey),
    /// ECDSA over P-256 with SHA-256, the signature as r ‖ s, 64 bytes (IEEE P1363).
    Es256(P256PublicKey),
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2).
    Rs256(RsaPublicKey),
    /// RSASSA-PSS with SHA-256, MGF1 with the same, and a salt of 32 bytes (RFC 8017 §8.1, RFC 7518 §3.5).
    Ps256(RsaPublicKey),
}

impl VerifyingKey {
    /// The DER SubjectPublicKeyInfo of the key.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.to_spki().to_vec(),
            Self::Es256(key) => key.to_spki().to_vec(),
            Self::Rs256(key) | Self::Ps256(key) => key.to_spki(),
        }
    }
}

/// An obligation: the host must find out whether `signature` is `key`'s over one of `messages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureCheck {
    /// The key and its algorithm.
    pub key: VerifyingKey,
    /// What may have been signed, the preferred form first. Never empty.
    pub messages: Vec<Vec<u8>>,
    /// The signature as it was sent.
    pub signature: Vec<u8>,
}

/// How a [`SignatureCheck`] was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The signature is over the message with this index.
    Verified(usize),
    /// The signature is over none of the messages.
    Failed,
    /// The key is no point of its curve.
    InvalidKey,
}

impl Outcome {
    /// Whether the signature was found good.
    #[must_use]
    pub const fn is_verified(self) -> bool {
        matches!(self, Self::Verified(_))
    }
}

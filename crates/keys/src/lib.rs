//! Public keys as the authority meets them: their one encoding, their key ids, and what must be
//! checked with them.
//!
//! **In scope:** SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) of P-256 (RFC 5480) and Ed25519
//! (RFC 8410) keys in DER and PEM, RSA keys as issuers publish them (RFC 7517), key ids, what a key
//! signs to endorse another, signature checks as values, and the encodings that all of these come in,
//! strict DER ([`der`]) among them.
//!
//! **Out of scope:** private keys, certificates, fetching.
//!
//! **Invariants:** a key type in hand has exactly one encoding, so hashing it is safe. Nothing here
//! verifies by itself: a [`SignatureCheck`] is an obligation that the host settles, with WebCrypto
//! on Workers and with [`native`] elsewhere, because a pure core can't await.

mod base64url;
mod check;
pub mod der;
mod ed25519;
mod encoding;
mod endorsement;
pub mod json;
mod key_id;
#[cfg(feature = "native")]
pub mod native;
mod p256;
mod pem;
mod rsa;

pub use base64url::{decode_base64_any, decode_base64url, encode_base64, encode_base64url};
pub use check::{Outcome, SignatureCheck, VerifyingKey};
pub use ed25519::Ed25519PublicKey;
pub use endorsement::endorsement;
pub use key_id::KeyId;
pub use p256::P256PublicKey;
pub use pem::{decode_pem, encode_pem};
pub use rsa::RsaPublicKey;

use std::fmt;

/// Why some bytes aren't a public key that the authority accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The text isn't one PEM block with the expected label.
    BadPem,
    /// The DER isn't the canonical SubjectPublicKeyInfo of the algorithm.
    BadSpki,
    /// The key is well formed and worthless: a small-order point, or an RSA key out of bounds.
    WeakKey,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadPem => "not a PEM block labelled PUBLIC KEY",
            Self::BadSpki => "not a canonical SubjectPublicKeyInfo of the expected algorithm",
            Self::WeakKey => "the key is too weak to be used",
        })
    }
}

impl std::error::Error for Error {}

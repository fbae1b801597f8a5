//! Settles signature checks with Rust crates, for the command line and for tests.
//!
//! On Workers WebCrypto does this; it is ten times faster than the same code in wasm.

use ::rsa::signature::Verifier;
use sha2::Sha256;

use crate::{Outcome, RsaPublicKey, SignatureCheck, VerifyingKey};

/// Settles one check.
#[must_use]
pub fn settle(check: &SignatureCheck) -> Outcome {
    match &check.key {
        VerifyingKey::Ed25519(key) => {
            let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(key.as_bytes()) else {
                return Outcome::InvalidKey;
            };
            let Ok(signature) = ed25519_dalek::Signature::from_slice(&check.signature) else {
                return Outcome::Failed;
            };
            first(check, |message| key.verify(message, &signature).is_ok())
        }
        VerifyingKey::Es256(key) => {
            let sec1 = [&[4], &key.as_coordinates()[..]].concat();
            let Ok(key) = ::p256::ecdsa::VerifyingKey::from_sec1_bytes(&sec1) else {
                return Outcome::InvalidKey;
            };
            let Ok(signature) = ::p256::ecdsa::Signature::from_slice(&check.signature) else {
                return Outcome::Failed;
            };
            first(check, |message| key.verify(message, &signature).is_ok())
        }
        VerifyingKey::Rs256(key) => {
            let Some(key) = rsa_key(key) else {
                return Outcome::InvalidKey;
            };
            let key = ::rsa::pkcs1v15::VerifyingKey::<Sha256>::new(key);
            let Ok(signature) = ::rsa::pkcs1v15::Signature::try_from(&check.signature[..]) else {
                return Outcome::Failed;
            };
            first(check, |message| key.verify(message, &signature).is_ok())
        }
        VerifyingKey::Ps256(key) => {
            let Some(key) = rsa_key(key) else {
                return Outcome::InvalidKey;
            };
            let key = ::rsa::pss::VerifyingKey::<Sha256>::new(key);
            let Ok(signature) = ::rsa::pss::Signature::try_from(&check.signature[..]) else {
                return Outcome::Failed;
            };
            first(check, |message| key.verify(message, &signature).is_ok())
        }
    }
}

fn rsa_key(key: &RsaPublicKey) -> Option<::rsa::RsaPublicKey> {
    let number = ::rsa::BoxedUint::from_be_slice_vartime;
    ::rsa::RsaPublicKey::new(number(key.modulus()), number(key.exponent())).ok()
}

fn first(check: &SignatureCheck, verifies: impl Fn(&[u8]) -> bool) -> Outcome {
    match check.messages.iter().position(|message| verifies(message)) {
        Some(index) => Outcome::Verified(index),
        None => Outcome::Failed,
    }
}

//! The two private keys of a pair, and the proofs that they are held (notme protocol §6).

use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding};
use ed25519_dalek::{Signer, SigningKey};
use notme_keys::{Ed25519PublicKey, P256PublicKey, encode_base64url, encode_pem};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::token::Token;

/// Both keys; they wipe themselves.
pub(crate) struct Keys {
    mtls: p256::SecretKey,
    signing: SigningKey,
    mtls_public: P256PublicKey,
    signing_public: Ed25519PublicKey,
}

impl Keys {
    /// Makes new keys from the system's randomness.
    pub(crate) fn generate() -> Result<Self, Failure> {
        let signing = SigningKey::from_bytes(&*random()?);
        // Of 2^32 numbers one isn't a private key of P-256: then another one is drawn.
        let mtls = loop {
            if let Ok(key) = p256::SecretKey::from_slice(&*random()?) {
                break key;
            }
        };
        Self::of(mtls, signing)
            .ok_or_else(|| Failure::local("random", "the new keys are of no use"))
    }

    fn of(mtls: p256::SecretKey, signing: SigningKey) -> Option<Self> {
        let point = mtls.public_key().to_sec1_bytes();
        let coordinates = point.strip_prefix(&[4])?.try_into().ok()?;
        Some(Self {
            mtls_public: P256PublicKey::from_coordinates(coordinates),
            signing_public: Ed25519PublicKey::from_bytes(signing.verifying_key().to_bytes())
                .ok()?,
            mtls,
            signing,
        })
    }

    pub(crate) const fn mtls_public(&self) -> &P256PublicKey {
        &self.mtls_public
    }

    pub(crate) const fn signing_public(&self) -> &Ed25519PublicKey {
        &self.signing_public
    }

    /// The body of `POST /cert/gha`, whose proofs are good with this token only.
    pub(crate) fn request(&self, token: &Token) -> Value {
        let (mtls, signing) = (self.mtls_public.to_spki(), self.signing_public.to_spki());
        let digest = Sha256::digest(token.expose());
        let pre_image = [&mtls[..], &signing, &digest].concat();
        let mtls_key = p256::ecdsa::SigningKey::from(&self.mtls);
        let mtls_proof: p256::ecdsa::Signature = mtls_key.sign(&pre_image);
        let signing_proof = self.signing.sign(&pre_image);
        json!({
            "public_keys": {
                "mtls": encode_pem("PUBLIC KEY", &mtls),
                "signing": encode_pem("PUBLIC KEY", &signing),
            },
            "proofs": {
                "mtls": encode_base64url(&mtls_proof.to_bytes()),
                "signing": encode_base64url(&signing_proof.to_bytes()),
            },
        })
    }

    /// The mTLS key as PKCS#8 PEM.
    pub(crate) fn mtls_pem(&self) -> Result<Zeroizing<String>, Failure> {
        self.mtls
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| not_encoded())
    }

    /// The signing key as PKCS#8 PEM.
    pub(crate) fn signing_pem(&self) -> Result<Zeroizing<String>, Failure> {
        pkcs8_pem(&self.signing)
    }
}

/// The public half of an Ed25519 key.
pub(crate) fn public(key: &SigningKey) -> Result<Ed25519PublicKey, Failure> {
    Ed25519PublicKey::from_bytes(key.verifying_key().to_bytes())
        .map_err(|_| Failure::local("random", "the key is of no use"))
}

/// An Ed25519 key as PKCS#8 PEM: version 1, without the public key, for OpenSSL reads no other.
pub(crate) fn pkcs8_pem(key: &SigningKey) -> Result<Zeroizing<String>, Failure> {
    let secret_key = Zeroizing::new(key.to_bytes());
    let mut bytes = KeypairBytes {
        secret_key: *secret_key,
        public_key: None,
    };
    let pem = bytes
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|_| not_encoded());
    zeroize::Zeroize::zeroize(&mut bytes.secret_key);
    pem
}

pub(crate) fn random() -> Result<Zeroizing<[u8; 32]>, Failure> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)
        .map_err(|error| Failure::local("random", format!("no randomness: {error}")))?;
    Ok(bytes)
}

fn not_encoded() -> Failure {
    Failure::local("random", "a new key can't be written down")
}

#[cfg(test)]
mod tests {
    use notme_keys::native::settle;
    use notme_keys::{SignatureCheck, VerifyingKey, decode_base64url, decode_pem};

    use super::*;

    #[test]
    fn keys_differ_each_time() {
        let (a, b) = (Keys::generate().unwrap(), Keys::generate().unwrap());
        assert_ne!(a.mtls_public, b.mtls_public);
        assert_ne!(a.signing_public, b.signing_public);
    }

    #[test]
    fn proofs_are_of_both_keys_over_keys_and_token() {
        let keys = Keys::generate().unwrap();
        let token = Token::parse("aa.bb.cc").unwrap();
        let request = keys.request(&token);
        let pre_image = [
            &keys.mtls_public.to_spki()[..],
            &keys.signing_public.to_spki(),
            &Sha256::digest("aa.bb.cc"),
        ]
        .concat();
        for (name, key) in [
            ("mtls", VerifyingKey::Es256(keys.mtls_public)),
            ("signing", VerifyingKey::Ed25519(keys.signing_public)),
        ] {
            let proof = request["proofs"][name].as_str().unwrap();
            let check = |message: &[u8]| SignatureCheck {
                key: key.clone(),
                messages: vec![message.to_vec()],
                signature: decode_base64url(proof).unwrap(),
            };
            assert!(settle(&check(&pre_image)).is_verified(), "{name}");
            assert!(!settle(&check(&pre_image[1..])).is_verified(), "{name}");
        }
    }

    #[test]
    fn the_signing_key_is_pkcs8_of_version_1() {
        let pem = Keys::generate().unwrap().signing_pem().unwrap();
        let der = decode_pem("PRIVATE KEY", &pem).unwrap();
        assert_eq!(der.len(), 48, "RFC 8410 §7, without the optional parts");
        assert_eq!(der[..5], [0x30, 0x2e, 2, 1, 0]);
    }
}

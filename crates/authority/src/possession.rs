//! Proof of possession of the two keys of a pair (notme protocol §6), or of the key of an issuing certificate.

use notme_keys::{
    Ed25519PublicKey, Outcome, P256PublicKey, SignatureCheck, VerifyingKey, decode_base64_any,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::issue::Keys;
use crate::{Error, Possession};

/// The two keys to be certified, and the proofs that the caller holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairRequest {
    /// The key of the mTLS leaf.
    pub mtls: P256PublicKey,
    /// The key of the signing leaf.
    pub signing: Ed25519PublicKey,
    mtls_proof: Vec<u8>,
    signing_proof: Vec<u8>,
}

/// What the keys sign beside themselves, so that a proof is worth nothing with another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundTo<'a> {
    /// The token that the request presents, as it was sent: its SHA-256 is the third part.
    Token(&'a str),
    /// The value of the session's cookie: its SHA-256 is the third part. For clients that hold the
    /// cookie; a page can't read it.
    Cookie(&'a str),
    /// Nothing: the form of §6.1 for `POST /cert`, which is as good for another request with these
    /// keys. Clients that can, name a challenge.
    Nothing,
    /// A challenge of this authority, which is good once.
    Challenge(&'a [u8; 32]),
    /// The same, and SHA-256 of the certificate that TLS was spoken with: over another's connection they are worth
    /// nothing.
    Connection(&'a [u8; 32], &'a [u8; 32]),
}

/// What the pre-image with a challenge begins with, so that no other protocol signs the same.
const LABEL: &[u8] = b"notme-proof-of-possession-v1\0";

/// The same, for the key of an issuing certificate.
const ISSUING_LABEL: &[u8] = b"notme-issuing-key-v1\0";

/// The same, where the connection is the proof.
const CONNECTION_LABEL: &[u8] = b"notme-mtls-proof-v1\0";

/// The same, for the key of a certificate that is shown as a proof.
const CERTIFICATE_LABEL: &[u8] = b"notme-certificate-proof-v1\0";

impl PairRequest {
    /// Reads the body `{"public_keys":{…},"proofs":{…}}`.
    ///
    /// # Errors
    /// In this order: [`Error::InvalidJson`], [`Error::MissingKeys`], [`Error::MissingProofs`],
    /// [`Error::InvalidKey`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: Value = serde_json::from_slice(body).map_err(|_| Error::InvalidJson)?;
        let member = |outer: &str, inner: &str| body.get(outer)?.get(inner)?.as_str();
        let key = |name| {
            member("public_keys", name)
                .filter(|pem| !pem.is_empty())
                .ok_or(Error::MissingKeys)
        };
        let (mtls, signing) = (key("mtls")?, key("signing")?);
        let proof = |name| member("proofs", name).ok_or(Error::MissingProofs);
        let (mtls_proof, signing_proof) = (proof("mtls")?, proof("signing")?);
        // Text that isn't base64 is a proof that fails, not a malformed request.
        let decoded = |proof| decode_base64_any(proof).unwrap_or_default();
        Ok(Self {
            mtls: P256PublicKey::from_pem(mtls).map_err(Error::InvalidKey)?,
            signing: Ed25519PublicKey::from_pem(signing).map_err(Error::InvalidKey)?,
            mtls_proof: decoded(mtls_proof),
            signing_proof: decoded(signing_proof),
        })
    }

    /// What must hold for the caller to hold both keys: P-256, then Ed25519.
    ///
    /// Each proof may be over the pre-image or, as released clients do it, over its SHA-256; the
    /// two are independent of each other (§6.3).
    #[must_use]
    pub fn checks(&self, bound_to: BoundTo<'_>) -> [SignatureCheck; 2] {
        let (mtls, signing) = (self.mtls.to_spki(), self.signing.to_spki());
        let with_digest = |pre_image: Vec<u8>| {
            let digest = Sha256::digest(&pre_image).to_vec();
            vec![pre_image, digest]
        };
        let messages = match bound_to {
            BoundTo::Token(secret) | BoundTo::Cookie(secret) => {
                with_digest([&mtls[..], &signing, &Sha256::digest(secret)].concat())
            }
            BoundTo::Nothing => with_digest([&mtls[..], &signing].concat()),
            // Who knows of challenges signs what is written, and not its digest.
            BoundTo::Challenge(challenge) => {
                vec![[LABEL, challenge, &mtls, &signing].concat()]
            }
            BoundTo::Connection(challenge, certificate) => {
                vec![[CONNECTION_LABEL, challenge, certificate, &mtls, &signing].concat()]
            }
        };
        [
            SignatureCheck {
                key: VerifyingKey::Es256(self.mtls),
                messages: messages.clone(),
                signature: self.mtls_proof.clone(),
            },
            SignatureCheck {
                key: VerifyingKey::Ed25519(self.signing),
                messages,
                signature: self.signing_proof.clone(),
            },
        ]
    }

    /// What the key of a certificate signs that is shown as a proof, in DER: the whole request, and which certificate
    /// it means.
    #[must_use]
    pub fn message_of_certificate(&self, certificate: &[u8], challenge: &[u8; 32]) -> Vec<u8> {
        let (mtls, signing) = (self.mtls.to_spki(), self.signing.to_spki());
        let digest = Sha256::digest(certificate);
        [CERTIFICATE_LABEL, challenge, &digest, &mtls, &signing].concat()
    }

    /// Both keys, as they are to be certified.
    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys::Pair {
            mtls: self.mtls.to_spki().to_vec(),
            signing: self.signing.to_spki().to_vec(),
        }
    }

    /// Whether the checks were settled well.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for a key that is no point of its curve, then
    /// [`Error::PossessionFailed`], the P-256 key first.
    pub fn settled(&self, [mtls, signing]: [Outcome; 2]) -> Result<(), Error> {
        if [mtls, signing].contains(&Outcome::InvalidKey) {
            return Err(Error::InvalidKey(notme_keys::Error::BadSpki));
        }
        if !mtls.is_verified() {
            return Err(Error::PossessionFailed(Possession::P256));
        }
        if !signing.is_verified() {
            return Err(Error::PossessionFailed(Possession::Ed25519));
        }
        Ok(())
    }
}

/// The key of an issuing certificate to be, and the proof that the caller holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuingRequest {
    /// The key that task leaves will be signed with.
    pub key: Ed25519PublicKey,
    proof: Vec<u8>,
}

impl IssuingRequest {
    /// Reads the body `{"public_keys":{"issuing"},"proofs":{"issuing"}}`.
    ///
    /// # Errors
    /// In this order: [`Error::MissingKeys`], [`Error::MissingProofs`], [`Error::InvalidKey`].
    pub fn parse(body: &Value) -> Result<Self, Error> {
        let member = |outer: &str| body.get(outer)?.get("issuing")?.as_str();
        let key = member("public_keys").filter(|pem| !pem.is_empty());
        let key = key.ok_or(Error::MissingKeys)?;
        let proof = member("proofs").ok_or(Error::MissingProofs)?;
        Ok(Self {
            key: Ed25519PublicKey::from_pem(key).map_err(Error::InvalidKey)?,
            proof: decode_base64_any(proof).unwrap_or_default(),
        })
    }

    /// What must hold for the caller to hold the key. Every form has a challenge in it: without one nothing holds.
    #[must_use]
    pub fn check(&self, bound_to: BoundTo<'_>) -> SignatureCheck {
        let spki = self.key.to_spki();
        let messages = match bound_to {
            BoundTo::Challenge(challenge) => vec![[ISSUING_LABEL, challenge, &spki].concat()],
            BoundTo::Connection(challenge, certificate) => {
                vec![[CONNECTION_LABEL, challenge, certificate, &spki].concat()]
            }
            BoundTo::Token(_) | BoundTo::Cookie(_) | BoundTo::Nothing => Vec::new(),
        };
        SignatureCheck {
            key: VerifyingKey::Ed25519(self.key),
            messages,
            signature: self.proof.clone(),
        }
    }

    /// As [`PairRequest::message_of_certificate`].
    #[must_use]
    pub fn message_of_certificate(&self, certificate: &[u8], challenge: &[u8; 32]) -> Vec<u8> {
        let digest = Sha256::digest(certificate);
        [CERTIFICATE_LABEL, challenge, &digest, &self.key.to_spki()].concat()
    }

    /// As [`PairRequest::settled`].
    ///
    /// # Errors
    /// [`Error::InvalidKey`] and [`Error::PossessionFailed`].
    pub fn settled(&self, outcome: Outcome) -> Result<(), Error> {
        match outcome {
            Outcome::InvalidKey => Err(Error::InvalidKey(notme_keys::Error::BadSpki)),
            outcome if outcome.is_verified() => Ok(()),
            _ => Err(Error::PossessionFailed(Possession::Ed25519)),
        }
    }
}

/// The keys that are to be certified, with their proofs.
#[derive(Clone, Debug, PartialEq)]
pub enum Certified {
    /// Those of a pair.
    Pair(PairRequest),
    /// That of an issuing certificate.
    Issuing(IssuingRequest),
}

impl Certified {
    /// What must hold for the caller to hold them.
    #[must_use]
    pub fn checks(&self, bound_to: BoundTo<'_>) -> Vec<SignatureCheck> {
        match self {
            Self::Pair(pair) => pair.checks(bound_to).into(),
            Self::Issuing(one) => vec![one.check(bound_to)],
        }
    }

    /// DER SubjectPublicKeyInfo of each, one after the other.
    #[must_use]
    pub fn spkis(&self) -> Vec<u8> {
        match self {
            Self::Pair(pair) => [&pair.mtls.to_spki()[..], &pair.signing.to_spki()].concat(),
            Self::Issuing(one) => one.key.to_spki().to_vec(),
        }
    }

    /// Which of the proofs is told to have failed, if the first did.
    #[must_use]
    pub const fn first(&self) -> Possession {
        match self {
            Self::Pair(_) => Possession::P256,
            Self::Issuing(_) => Possession::Ed25519,
        }
    }

    /// What the key of a certificate has to have signed that is shown for them.
    #[must_use]
    pub fn message_of_certificate(&self, certificate: &[u8], challenge: &[u8; 32]) -> Vec<u8> {
        match self {
            Self::Pair(pair) => pair.message_of_certificate(certificate, challenge),
            Self::Issuing(one) => one.message_of_certificate(certificate, challenge),
        }
    }

    /// The keys, if the checks were settled well.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] and [`Error::PossessionFailed`].
    pub fn settled(self, outcomes: &[Outcome]) -> Result<Keys, Error> {
        match self {
            Self::Pair(pair) => {
                pair.settled(match outcomes {
                    [mtls, signing] => [*mtls, *signing],
                    _ => [Outcome::Failed; 2],
                })?;
                Ok(pair.keys())
            }
            Self::Issuing(one) => {
                one.settled(match outcomes {
                    [outcome] => *outcome,
                    _ => Outcome::Failed,
                })?;
                Ok(Keys::Issuing(one.key.to_spki().to_vec()))
            }
        }
    }
}

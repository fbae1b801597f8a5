//! Credential keys: COSE keys as authenticators send them (RFC 9052 §7), kept as
//! SubjectPublicKeyInfo.

use notme_keys::{Ed25519PublicKey, P256PublicKey, RsaPublicKey, VerifyingKey};

use crate::Error;
use crate::cbor::Value;

/// COSE key parameters (RFC 9052 §7.1, RFC 9053 §7, RFC 8230 §4).
mod label {
    pub(super) const KTY: i64 = 1;
    pub(super) const ALG: i64 = 3;
    pub(super) const CRV: i64 = -1;
    pub(super) const X: i64 = -2;
    pub(super) const Y: i64 = -3;
    pub(super) const N: i64 = -1;
    pub(super) const E: i64 = -2;
}

/// COSE key types and curves (RFC 9053 §7).
const OKP: i64 = 1;
const EC2: i64 = 2;
const RSA: i64 = 3;
const CURVE_P256: i64 = 1;
const CURVE_ED25519: i64 = 6;

/// A signature algorithm that credentials may have, by its COSE number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// EdDSA, with Ed25519 (§5.8.5).
    EdDsa,
    /// ECDSA with SHA-256, with P-256 (§5.8.5).
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8812 §2).
    Rs256,
}

impl Algorithm {
    /// What is offered to authenticators, the preferred first.
    pub const OFFERED: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// The number in IANA's registry of COSE algorithms.
    #[must_use]
    pub const fn cose(self) -> i64 {
        match self {
            Self::EdDsa => -8,
            Self::Es256 => -7,
            Self::Rs256 => -257,
        }
    }

    /// The algorithm with this number, if it is one of those offered.
    #[must_use]
    pub fn from_cose(number: i64) -> Option<Self> {
        Self::OFFERED
            .into_iter()
            .find(|known| known.cose() == number)
    }
}

/// A credential's public key, with the one algorithm that it is for.
///
/// Whether it is a point of its curve shows when a signature is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialKey {
    algorithm: Algorithm,
    key: VerifyingKey,
}

impl CredentialKey {
    /// Reads the stored form: the DER SubjectPublicKeyInfo of a key for `algorithm`.
    ///
    /// # Errors
    /// [`Error::KeyMalformed`] or [`Error::KeyWeak`] for anything but such a key.
    pub fn from_spki(algorithm: Algorithm, der: &[u8]) -> Result<Self, Error> {
        let key = match algorithm {
            Algorithm::EdDsa => VerifyingKey::Ed25519(Ed25519PublicKey::from_spki(der)?),
            Algorithm::Es256 => VerifyingKey::Es256(P256PublicKey::from_spki(der)?),
            Algorithm::Rs256 => VerifyingKey::Rs256(RsaPublicKey::from_spki(der)?),
        };
        Ok(Self { algorithm, key })
    }

    /// The stored form, beside [`Self::algorithm`]: a key has one.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        self.key.to_spki()
    }

    /// What the key is for.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key as signature checks name it.
    #[must_use]
    pub const fn as_verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Reads a credentialPublicKey (§6.5.1.1): the members that its algorithm needs and no other,
    /// as the specification says ("MUST NOT contain any other OPTIONAL parameters").
    pub(crate) fn from_cose(cose: &Value<'_>) -> Result<Self, Error> {
        let bad = Error::KeyMalformed;
        let entries = cose.as_map().ok_or(bad)?;
        let number = entries
            .iter()
            .find(|(key, _)| key.as_integer() == Some(label::ALG))
            .and_then(|(_, value)| value.as_integer())
            .ok_or(bad)?;
        let algorithm = Algorithm::from_cose(number).ok_or(Error::AlgorithmNotOffered)?;
        let key = match algorithm {
            Algorithm::EdDsa => {
                let [kty, _, crv, x] =
                    members(cose, [label::KTY, label::ALG, label::CRV, label::X])?;
                if *kty != OKP.into() || *crv != CURVE_ED25519.into() {
                    return Err(bad);
                }
                VerifyingKey::Ed25519(Ed25519PublicKey::from_bytes(coordinate(x)?)?)
            }
            Algorithm::Es256 => {
                let labels = [label::KTY, label::ALG, label::CRV, label::X, label::Y];
                let [kty, _, crv, x, y] = members(cose, labels)?;
                if *kty != EC2.into() || *crv != CURVE_P256.into() {
                    return Err(bad);
                }
                let mut xy = [0; 64];
                let (left, right) = xy.split_at_mut(32);
                left.copy_from_slice(&coordinate(x)?);
                right.copy_from_slice(&coordinate(y)?);
                VerifyingKey::Es256(P256PublicKey::from_coordinates(xy))
            }
            Algorithm::Rs256 => {
                let [kty, _, n, e] = members(cose, [label::KTY, label::ALG, label::N, label::E])?;
                if *kty != RSA.into() {
                    return Err(bad);
                }
                let number = |value: &Value<'_>| {
                    let bytes = value.as_bytes().ok_or(bad)?.to_vec();
                    // RFC 8230 §4: as few bytes as the number needs.
                    if bytes.first() == Some(&0) {
                        return Err(bad);
                    }
                    Ok(bytes)
                };
                VerifyingKey::Rs256(RsaPublicKey::new(&number(n)?, &number(e)?)?)
            }
        };
        Ok(Self { algorithm, key })
    }
}

impl From<notme_keys::Error> for Error {
    fn from(error: notme_keys::Error) -> Self {
        match error {
            notme_keys::Error::BadPem | notme_keys::Error::BadSpki => Self::KeyMalformed,
            notme_keys::Error::WeakKey => Self::KeyWeak,
        }
    }
}

fn members<'v, 'a, const N: usize>(
    cose: &'v Value<'a>,
    labels: [i64; N],
) -> Result<[&'v Value<'a>; N], Error> {
    cose.members(labels.map(Value::from))
        .ok_or(Error::KeyMalformed)
}

fn coordinate(value: &Value<'_>) -> Result<[u8; 32], Error> {
    value
        .as_bytes()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(Error::KeyMalformed)
}

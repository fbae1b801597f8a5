//! Attestation objects (§6.5.4), with statements of the formats `none` and `packed`.

use notme_keys::SignatureCheck;

use crate::authenticator_data::{Attested, AuthenticatorData};
use crate::cbor::Value;
use crate::certificate::AttestationCertificate;
use crate::{Algorithm, Ceremony, Error, signature};

/// The longest attestation object that is read. One with a chain of certificates has some 4,000
/// bytes.
pub(crate) const MAX_LEN: usize = 16_384;

/// What stands behind a new credential besides its owner's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttestationKind {
    /// Nothing (§8.7).
    None,
    /// The credential's own key: its private half was used, by whatever authenticator (§8.2, self
    /// attestation).
    PackedSelf,
    /// A certificate that looks like a maker's (§8.2). It was followed to no anchor, so anybody may
    /// have made it: it is to be trusted no more than the other two.
    PackedUnverified,
}

impl AttestationKind {
    /// A stable name, to store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::PackedSelf => "packed-self",
            Self::PackedUnverified => "packed-unverified",
        }
    }
}

/// An attestation object, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttestationObject {
    pub(crate) authenticator_data: AuthenticatorData,
    statement: Statement,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Statement {
    None,
    Packed {
        algorithm: i64,
        signature: Vec<u8>,
        /// DER of the attestation certificate; without one the credential's key has signed.
        certificate: Option<Vec<u8>>,
    },
}

impl AttestationObject {
    pub(crate) fn parse(cbor: &[u8]) -> Result<Self, Error> {
        let bad = Error::AttestationObjectMalformed;
        let object = Value::read_all(cbor).map_err(|_| bad)?;
        let members = ["fmt", "attStmt", "authData"].map(Value::from);
        let [format, statement, authenticator_data] = object.members(members).ok_or(bad)?;
        let format = format.as_text().ok_or(bad)?;
        statement.as_map().ok_or(bad)?;
        let authenticator_data = authenticator_data.as_bytes().ok_or(bad)?;
        Ok(Self {
            authenticator_data: AuthenticatorData::parse(
                Ceremony::Registration,
                authenticator_data,
            )?,
            statement: Statement::read(format, statement)?,
        })
    }

    /// The attestation's kind, and what must hold for it (§7.1 step 22).
    pub(crate) fn oblige(
        &self,
        attested: &Attested,
        client_data_hash: &[u8; 32],
    ) -> Result<(AttestationKind, Vec<SignatureCheck>), Error> {
        let Statement::Packed {
            algorithm,
            signature,
            certificate,
        } = &self.statement
        else {
            return Ok((AttestationKind::None, Vec::new()));
        };
        let algorithm =
            Algorithm::from_cose(*algorithm).ok_or(Error::AttestationAlgorithmUnsupported)?;
        let (kind, key) = match certificate {
            None if algorithm != attested.key.algorithm() => {
                return Err(Error::AttestationAlgorithmMismatch);
            }
            None => (
                AttestationKind::PackedSelf,
                attested.key.as_verifying_key().clone(),
            ),
            Some(der) => {
                let certificate = AttestationCertificate::from_der(der)?;
                if !certificate.is_for(attested.aaguid) {
                    return Err(Error::AttestationModelMismatch);
                }
                (
                    AttestationKind::PackedUnverified,
                    certificate.key(algorithm)?,
                )
            }
        };
        let message = self.authenticator_data.signed_with(client_data_hash);
        let check =
            signature::check(&key, message, signature).ok_or(Error::AttestationSignatureInvalid)?;
        Ok((kind, vec![check]))
    }
}

impl Statement {
    fn read(format: &str, statement: &Value<'_>) -> Result<Self, Error> {
        match format {
            "none" => Self::read_none(statement),
            "packed" => Self::read_packed(statement),
            _ => return Err(Error::AttestationFormatUnsupported),
        }
        .ok_or(Error::AttestationStatementMalformed)
    }

    /// §8.7: an empty map.
    fn read_none(statement: &Value<'_>) -> Option<Self> {
        statement.members([]).map(|[]| Self::None)
    }

    /// §8.2: `alg` and `sig`, and with a certificate `x5c`, whose first is the one that counts.
    fn read_packed(statement: &Value<'_>) -> Option<Self> {
        let own = statement.members(["alg", "sig"].map(Value::from));
        let (algorithm, signature, certificate) = match own {
            Some([algorithm, signature]) => (algorithm, signature, None),
            None => {
                let members = ["alg", "sig", "x5c"].map(Value::from);
                let [algorithm, signature, chain] = statement.members(members)?;
                let chain = chain.as_array()?.iter().map(Value::as_bytes);
                let chain = chain.collect::<Option<Vec<_>>>()?;
                (algorithm, signature, Some(chain.first()?.to_vec()))
            }
        };
        let signature = signature.as_bytes()?;
        (signature.len() <= signature::MAX_LEN).then_some(())?;
        Some(Self::Packed {
            algorithm: algorithm.as_integer()?,
            signature: signature.to_vec(),
            certificate,
        })
    }
}

//! Reading our own certificates back, strictly: whatever isn't in the profile is an error.

use std::fmt;

use der::asn1::{ObjectIdentifier, Utf8StringRef};
use der::{Decode, Encode};
use notme_keys::{Ed25519PublicKey, P256PublicKey, SignatureCheck, VerifyingKey};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};

use crate::certificate::Validity;
use crate::oid;

/// Why some bytes aren't a certificate of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Not one DER certificate.
    BadDer,
    /// An extension is missing, doubled, unknown, or has the wrong criticality.
    BadExtensions,
    /// An extension's value isn't what the profile says.
    BadExtension(ObjectIdentifier),
    /// A field outside the extensions isn't what the profile says.
    BadField,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadDer => f.write_str("not one DER certificate"),
            Self::BadExtensions => f.write_str("the set of extensions isn't the profile's"),
            Self::BadExtension(oid) => write!(f, "the value of extension {oid} is malformed"),
            Self::BadField => f.write_str("a field isn't what the profile says"),
        }
    }
}

impl std::error::Error for ReadError {}

/// Why a leaf isn't valid under a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// It or its root expired; the time is the last valid second, in Unix seconds.
    Expired(u64),
    /// It or its root isn't valid yet; the time is the first valid second, in Unix seconds.
    NotYetValid(u64),
    /// Its signature isn't the root's.
    BadSignature,
    /// It names another issuer, or another key of this issuer.
    UnknownIssuer,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(at) => write!(f, "the certificate expired at {at}"),
            Self::NotYetValid(at) => write!(f, "the certificate is not valid before {at}"),
            Self::BadSignature => f.write_str("the signature is not the root's"),
            Self::UnknownIssuer => f.write_str("the certificate was issued by another authority"),
        }
    }
}

impl std::error::Error for VerifyError {}

/// A root certificate that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    subject_der: Vec<u8>,
    key: Ed25519PublicKey,
    key_identifier: Vec<u8>,
    validity: Validity,
    check: SignatureCheck,
}

impl Root {
    /// Reads a DER root certificate.
    ///
    /// # Errors
    /// [`ReadError`] for anything that isn't a root of the profile.
    pub fn from_der(der: &[u8]) -> Result<Self, ReadError> {
        let certificate = Parsed::from_der(der)?;
        let mut extensions = Extensions::new(&certificate.extensions);
        let constraints: BasicConstraints = extensions.decode(oid::BASIC_CONSTRAINTS, true)?;
        let usage: KeyUsage = extensions.decode(oid::KEY_USAGE, true)?;
        let key_identifier: SubjectKeyIdentifier =
            extensions.decode(oid::SUBJECT_KEY_IDENTIFIER, false)?;
        extensions.finish()?;
        if !constraints.ca || !usage.key_cert_sign() || !usage.crl_sign() {
            return Err(ReadError::BadField);
        }
        if certificate.issuer_der != certificate.subject_der {
            return Err(ReadError::BadField);
        }
        let key =
            Ed25519PublicKey::from_spki(&certificate.spki).map_err(|_| ReadError::BadField)?;
        Ok(Self {
            check: certificate.signature_check(&key),
            key,
            key_identifier: key_identifier.0.as_bytes().to_vec(),
            subject_der: certificate.subject_der,
            validity: certificate.validity,
        })
    }

    /// The root's key.
    #[must_use]
    pub const fn key(&self) -> &Ed25519PublicKey {
        &self.key
    }

    /// When the root is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The DER of the root's subject.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// That the root is signed by its own key.
    #[must_use]
    pub const fn signature_check(&self) -> &SignatureCheck {
        &self.check
    }
}

/// The key that a leaf certifies, which also says which of the pair it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafKey {
    /// The mTLS leaf.
    Mtls(P256PublicKey),
    /// The signing leaf.
    Signing(Ed25519PublicKey),
}

/// A leaf of an enrolment pair that was read, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The serial number, big endian, as it stands in the certificate.
    pub serial: Vec<u8>,
    /// The key that it certifies.
    pub key: LeafKey,
    /// Who the pair is for.
    pub subject: String,
    /// The URI of the subject alternative name.
    pub identity: String,
    /// What the pair may be used for.
    pub scopes: Vec<String>,
    /// How the subject was authenticated.
    pub auth_method: String,
    /// The authority's epoch at issuance.
    pub epoch: u64,
    /// When the pair was issued, RFC 3339.
    pub issued_at: String,
    /// What binds the pair's leaves to each other.
    pub binding: [u8; 32],
    /// When it is valid.
    pub validity: Validity,
    issuer_der: Vec<u8>,
    authority_key_identifier: Vec<u8>,
    to_be_signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Leaf {
    /// Reads a DER leaf certificate.
    ///
    /// # Errors
    /// [`ReadError`] for anything that isn't a leaf of the profile.
    pub fn from_der(der: &[u8]) -> Result<Self, ReadError> {
        let certificate = Parsed::from_der(der)?;
        let mut extensions = Extensions::new(&certificate.extensions);
        let constraints: BasicConstraints = extensions.decode(oid::BASIC_CONSTRAINTS, true)?;
        let usage: KeyUsage = extensions.decode(oid::KEY_USAGE, true)?;
        let key = match (
            P256PublicKey::from_spki(&certificate.spki),
            Ed25519PublicKey::from_spki(&certificate.spki),
        ) {
            (Ok(key), _) => LeafKey::Mtls(key),
            (_, Ok(key)) => LeafKey::Signing(key),
            _ => return Err(ReadError::BadField),
        };
        let expected_usage = match key {
            LeafKey::Mtls(_) => KeyUsages::DigitalSignature | KeyUsages::KeyAgreement,
            LeafKey::Signing(_) => KeyUsages::DigitalSignature.into(),
        };
        if constraints.ca || usage.0 != expected_usage {
            return Err(ReadError::BadField);
        }
        if matches!(key, LeafKey::Mtls(_)) {
            let purposes: Vec<ObjectIdentifier> = extensions.decode(oid::EXT_KEY_USAGE, false)?;
            if purposes != [oid::CLIENT_AUTH] {
                return Err(ReadError::BadExtension(oid::EXT_KEY_USAGE));
            }
        }
        let subject = extensions.text(oid::SUBJECT_IDENTITY)?;
        let issued_at = extensions.text(oid::ISSUANCE_TIME)?;
        let scopes = extensions.decode::<Vec<String>>(oid::SCOPES, false)?;
        let epoch = extensions.decode::<u64>(oid::EPOCH, false)?;
        let auth_method = extensions.text(oid::AUTH_METHOD)?;
        let binding = extensions
            .value(oid::PAIR_BINDING, false)?
            .try_into()
            .map_err(|_| ReadError::BadExtension(oid::PAIR_BINDING))?;
        let names: SubjectAltName = extensions.decode(oid::SUBJECT_ALT_NAME, true)?;
        let [GeneralName::UniformResourceIdentifier(identity)] = &names.0[..] else {
            return Err(ReadError::BadExtension(oid::SUBJECT_ALT_NAME));
        };
        let authority: AuthorityKeyIdentifier =
            extensions.decode(oid::AUTHORITY_KEY_IDENTIFIER, false)?;
        let authority = authority
            .key_identifier
            .ok_or(ReadError::BadExtension(oid::AUTHORITY_KEY_IDENTIFIER))?;
        let _: SubjectKeyIdentifier = extensions.decode(oid::SUBJECT_KEY_IDENTIFIER, false)?;
        extensions.finish()?;
        Ok(Self {
            serial: certificate.serial,
            key,
            subject,
            identity: identity.to_string(),
            scopes,
            auth_method,
            epoch,
            issued_at,
            binding,
            validity: certificate.validity,
            issuer_der: certificate.issuer_der,
            authority_key_identifier: authority.as_bytes().to_vec(),
            to_be_signed: certificate.to_be_signed,
            signature: certificate.signature,
        })
    }

    /// What must hold for the leaf to be the root's.
    #[must_use]
    pub fn signature_check(&self, root: &Root) -> SignatureCheck {
        SignatureCheck {
            key: VerifyingKey::Ed25519(root.key),
            messages: vec![self.to_be_signed.clone()],
            signature: self.signature.clone(),
        }
    }

    /// Whether the leaf is valid under `root` at `now` (Unix seconds), given whether
    /// [`Self::signature_check`] was settled well.
    ///
    /// # Errors
    /// The first [`VerifyError`] that applies: issuer, signature, validity.
    pub fn verify(&self, root: &Root, signed: bool, now: u64) -> Result<(), VerifyError> {
        if self.issuer_der != root.subject_der
            || self.authority_key_identifier != root.key_identifier
        {
            return Err(VerifyError::UnknownIssuer);
        }
        if !signed {
            return Err(VerifyError::BadSignature);
        }
        for validity in [root.validity, self.validity] {
            if now < validity.not_before {
                return Err(VerifyError::NotYetValid(validity.not_before));
            }
            if now > validity.not_after {
                return Err(VerifyError::Expired(validity.not_after));
            }
        }
        Ok(())
    }
}

/// The parts of a certificate that both kinds have.
struct Parsed {
    serial: Vec<u8>,
    issuer_der: Vec<u8>,
    subject_der: Vec<u8>,
    validity: Validity,
    spki: Vec<u8>,
    extensions: Vec<Extension>,
    to_be_signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Parsed {
    fn from_der(der: &[u8]) -> Result<Self, ReadError> {
        let bad = |_: der::Error| ReadError::BadDer;
        let certificate = Certificate::from_der(der).map_err(bad)?;
        // What a lenient reader let pass must not be what the signature is checked over.
        if certificate.to_der().map_err(bad)? != der {
            return Err(ReadError::BadDer);
        }
        let tbs = certificate.tbs_certificate();
        let algorithm = certificate.signature_algorithm();
        let ed25519 = algorithm.oid == oid::ED25519 && algorithm.parameters.is_none();
        if tbs.version() != Version::V3 || tbs.signature() != algorithm || !ed25519 {
            return Err(ReadError::BadField);
        }
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        Ok(Self {
            serial: tbs.serial_number().as_bytes().to_vec(),
            issuer_der: tbs.issuer().to_der().map_err(bad)?,
            subject_der: tbs.subject().to_der().map_err(bad)?,
            validity: Validity {
                not_before: seconds(tbs.validity().not_before),
                not_after: seconds(tbs.validity().not_after),
            },
            spki: tbs.subject_public_key_info().to_der().map_err(bad)?,
            extensions: tbs.extensions().cloned().unwrap_or_default(),
            to_be_signed: tbs.to_der().map_err(bad)?,
            signature: certificate
                .signature()
                .as_bytes()
                .ok_or(ReadError::BadDer)?
                .to_vec(),
        })
    }

    fn signature_check(&self, key: &Ed25519PublicKey) -> SignatureCheck {
        SignatureCheck {
            key: VerifyingKey::Ed25519(*key),
            messages: vec![self.to_be_signed.clone()],
            signature: self.signature.clone(),
        }
    }
}

/// Extensions taken out one by one, so that what is left over is known.
struct Extensions<'a> {
    rest: Vec<&'a Extension>,
}

impl<'a> Extensions<'a> {
    fn new(extensions: &'a [Extension]) -> Self {
        Self {
            rest: extensions.iter().collect(),
        }
    }

    fn value(&mut self, oid: ObjectIdentifier, critical: bool) -> Result<&'a [u8], ReadError> {
        let at = self
            .rest
            .iter()
            .position(|extension| extension.extn_id == oid && extension.critical == critical)
            .ok_or(ReadError::BadExtensions)?;
        Ok(self.rest.swap_remove(at).extn_value.as_bytes())
    }

    fn decode<T: Decode<'a, Error = der::Error> + Encode>(
        &mut self,
        oid: ObjectIdentifier,
        critical: bool,
    ) -> Result<T, ReadError> {
        let der = self.value(oid, critical)?;
        let value = T::from_der(der).map_err(|_| ReadError::BadExtension(oid))?;
        match value.to_der() {
            Ok(canonical) if canonical == der => Ok(value),
            _ => Err(ReadError::BadExtension(oid)),
        }
    }

    fn text(&mut self, oid: ObjectIdentifier) -> Result<String, ReadError> {
        let der = self.value(oid, false)?;
        let text = Utf8StringRef::from_der(der).map_err(|_| ReadError::BadExtension(oid))?;
        Ok(text.as_str().to_owned())
    }

    fn finish(self) -> Result<(), ReadError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(ReadError::BadExtensions)
        }
    }
}

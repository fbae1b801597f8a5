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
use crate::delegation::Delegation;
use crate::issuing::namespace_of;
use crate::name::Name;
use crate::oid;
use crate::root::{Issuer, key_identifier};

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
            key,
            key_identifier: key_identifier.0.as_bytes().to_vec(),
            subject_der: certificate.subject_der.clone(),
            validity: certificate.validity,
            check: certificate.signed(Vec::new()).check(&key),
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

impl LeafKey {
    pub(crate) fn to_spki(self) -> Vec<u8> {
        match self {
            Self::Mtls(key) => key.to_spki().to_vec(),
            Self::Signing(key) => key.to_spki().to_vec(),
        }
    }
}

/// What a certificate below a root, or below an issuing certificate, is checked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub(crate) issuer_der: Vec<u8>,
    pub(crate) authority_key_identifier: Vec<u8>,
    pub(crate) validity: Validity,
    to_be_signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    /// What must hold for the certificate to be the root's.
    #[must_use]
    pub fn signature_check(&self, root: &Root) -> SignatureCheck {
        self.check(&root.key)
    }

    pub(crate) fn check(&self, key: &Ed25519PublicKey) -> SignatureCheck {
        SignatureCheck {
            key: VerifyingKey::Ed25519(*key),
            messages: vec![self.to_be_signed.clone()],
            signature: self.signature.clone(),
        }
    }

    /// Whether the certificate is valid under `root` at `now` (Unix seconds), given whether
    /// [`Self::signature_check`] was settled well.
    ///
    /// # Errors
    /// The first [`VerifyError`] that applies: issuer, signature, validity.
    pub fn verify(&self, root: &Root, signed: bool, now: u64) -> Result<(), VerifyError> {
        self.is_of(&root.subject_der, &root.key_identifier, signed)?;
        root.validity.covers(now)?;
        self.validity.covers(now)
    }

    /// Whether it is of this issuer.
    pub(crate) fn is_of(
        &self,
        issuer: &[u8],
        key_identifier: &[u8],
        signed: bool,
    ) -> Result<(), VerifyError> {
        if self.issuer_der != issuer || self.authority_key_identifier != key_identifier {
            return Err(VerifyError::UnknownIssuer);
        }
        if signed {
            Ok(())
        } else {
            Err(VerifyError::BadSignature)
        }
    }
}

impl Validity {
    pub(crate) const fn covers(self, now: u64) -> Result<(), VerifyError> {
        if now < self.not_before {
            return Err(VerifyError::NotYetValid(self.not_before));
        }
        if now > self.not_after {
            return Err(VerifyError::Expired(self.not_after));
        }
        Ok(())
    }
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
    /// On whose behalf it is, if on somebody's.
    pub delegation: Option<Delegation>,
    /// What binds the pair's leaves to each other.
    pub binding: [u8; 32],
    /// When it is valid.
    pub validity: Validity,
    signed: Signed,
}

impl Leaf {
    /// Reads a DER leaf certificate.
    ///
    /// # Errors
    /// [`ReadError`] for anything that isn't a leaf of the profile.
    pub fn from_der(der: &[u8]) -> Result<Self, ReadError> {
        let certificate = Parsed::from_der(der)?;
        let mut extensions = Extensions::new(&certificate.extensions);
        let key = extensions.end_entity(&certificate.spki)?;
        let claims = extensions.claims()?;
        let delegation = extensions.delegation()?;
        let binding = extensions
            .value(oid::PAIR_BINDING, false)?
            .try_into()
            .map_err(|_| ReadError::BadExtension(oid::PAIR_BINDING))?;
        let (authority, _) = extensions.key_identifiers()?;
        Ok(Self {
            serial: certificate.serial.clone(),
            key,
            subject: claims.subject,
            identity: claims.identity,
            scopes: claims.scopes,
            auth_method: claims.auth_method,
            epoch: claims.epoch,
            issued_at: claims.issued_at,
            delegation,
            binding,
            validity: certificate.validity,
            signed: certificate.signed(authority),
        })
    }

    /// What it is checked by.
    #[must_use]
    pub const fn signed(&self) -> &Signed {
        &self.signed
    }

    /// [`Signed::signature_check`].
    #[must_use]
    pub fn signature_check(&self, root: &Root) -> SignatureCheck {
        self.signed.signature_check(root)
    }

    /// [`Signed::verify`].
    ///
    /// # Errors
    /// The first [`VerifyError`] that applies: issuer, signature, validity.
    pub fn verify(&self, root: &Root, signed: bool, now: u64) -> Result<(), VerifyError> {
        self.signed.verify(root, signed, now)
    }
}

/// An issuing certificate that was read, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuing {
    /// The serial number, big endian, as it stands in the certificate.
    pub serial: Vec<u8>,
    /// The key that leaves are signed with.
    pub key: Ed25519PublicKey,
    /// The principal that it is for.
    pub subject: String,
    /// The principal's URI.
    pub identity: String,
    /// The most that leaves may be used for.
    pub scopes: Vec<String>,
    /// How the principal was authenticated.
    pub auth_method: String,
    /// The authority's epoch at issuance.
    pub epoch: u64,
    /// When it was issued, RFC 3339.
    pub issued_at: String,
    /// On whose behalf it is.
    pub delegation: Delegation,
    /// How the URIs of leaves begin.
    pub namespace: String,
    /// When it is valid.
    pub validity: Validity,
    pub(crate) subject_der: Vec<u8>,
    signed: Signed,
}

impl Issuing {
    /// Reads a DER issuing certificate.
    ///
    /// # Errors
    /// [`ReadError`] for anything that isn't one of the profile.
    pub fn from_der(der: &[u8]) -> Result<Self, ReadError> {
        let certificate = Parsed::from_der(der)?;
        let mut extensions = Extensions::new(&certificate.extensions);
        let constraints: BasicConstraints = extensions.decode(oid::BASIC_CONSTRAINTS, true)?;
        let usage: KeyUsage = extensions.decode(oid::KEY_USAGE, true)?;
        let key =
            Ed25519PublicKey::from_spki(&certificate.spki).map_err(|_| ReadError::BadField)?;
        let is_ca = constraints.ca && constraints.path_len_constraint == Some(0);
        if !is_ca || usage.0 != KeyUsages::KeyCertSign {
            return Err(ReadError::BadField);
        }
        extensions.client_auth()?;
        let claims = extensions.claims()?;
        let delegation = extensions.delegation()?.ok_or(ReadError::BadExtensions)?;
        let namespace = extensions.text(oid::NAMESPACE, true)?;
        let (authority, own) = extensions.key_identifiers()?;
        // Leaves name it by both.
        if own != key_identifier(key.as_bytes())
            || certificate.subject_der != Name::new(&claims.subject).as_der()
        {
            return Err(ReadError::BadField);
        }
        if namespace != namespace_of(&claims.identity) {
            return Err(ReadError::BadExtension(oid::NAMESPACE));
        }
        Ok(Self {
            serial: certificate.serial.clone(),
            key,
            subject: claims.subject,
            identity: claims.identity,
            scopes: claims.scopes,
            auth_method: claims.auth_method,
            epoch: claims.epoch,
            issued_at: claims.issued_at,
            delegation,
            namespace,
            validity: certificate.validity,
            subject_der: certificate.subject_der.clone(),
            signed: certificate.signed(authority),
        })
    }

    /// What it is checked by.
    #[must_use]
    pub const fn signed(&self) -> &Signed {
        &self.signed
    }

    /// Who signs the leaves below it.
    #[must_use]
    pub fn as_issuer(&self) -> Issuer {
        Issuer {
            name: Name::new(&self.subject),
            key_identifier: key_identifier(self.key.as_bytes()),
        }
    }
}

/// A task leaf that was read, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskLeaf {
    /// The serial number, big endian, as it stands in the certificate.
    pub serial: Vec<u8>,
    /// The task's key.
    pub key: LeafKey,
    /// Principal and task.
    pub subject: String,
    /// The task's URI.
    pub identity: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// How the principal was authenticated.
    pub auth_method: String,
    /// The authority's epoch.
    pub epoch: u64,
    /// When it was signed, RFC 3339, as its signer says.
    pub issued_at: String,
    /// On whose behalf it is.
    pub delegation: Delegation,
    /// When it is valid.
    pub validity: Validity,
    signed: Signed,
}

impl TaskLeaf {
    /// Reads a DER task leaf.
    ///
    /// # Errors
    /// [`ReadError`] for anything that isn't one of the profile.
    pub fn from_der(der: &[u8]) -> Result<Self, ReadError> {
        let certificate = Parsed::from_der(der)?;
        let mut extensions = Extensions::new(&certificate.extensions);
        let key = extensions.end_entity(&certificate.spki)?;
        let claims = extensions.claims()?;
        let delegation = extensions.delegation()?.ok_or(ReadError::BadExtensions)?;
        let (authority, _) = extensions.key_identifiers()?;
        Ok(Self {
            serial: certificate.serial.clone(),
            key,
            subject: claims.subject,
            identity: claims.identity,
            scopes: claims.scopes,
            auth_method: claims.auth_method,
            epoch: claims.epoch,
            issued_at: claims.issued_at,
            delegation,
            validity: certificate.validity,
            signed: certificate.signed(authority),
        })
    }

    /// What it is checked by.
    #[must_use]
    pub const fn signed(&self) -> &Signed {
        &self.signed
    }
}

/// The parts of a certificate that all kinds have.
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

    fn signed(self, authority_key_identifier: Vec<u8>) -> Signed {
        Signed {
            issuer_der: self.issuer_der,
            authority_key_identifier,
            validity: self.validity,
            to_be_signed: self.to_be_signed,
            signature: self.signature,
        }
    }
}

/// What a certificate says of whom it is for.
struct Said {
    subject: String,
    identity: String,
    scopes: Vec<String>,
    auth_method: String,
    epoch: u64,
    issued_at: String,
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

    fn text(&mut self, oid: ObjectIdentifier, critical: bool) -> Result<String, ReadError> {
        let der = self.value(oid, critical)?;
        let text = Utf8StringRef::from_der(der).map_err(|_| ReadError::BadExtension(oid))?;
        Ok(text.as_str().to_owned())
    }

    /// What every leaf has: no CA, and the usage of its kind of key.
    fn end_entity(&mut self, spki: &[u8]) -> Result<LeafKey, ReadError> {
        let constraints: BasicConstraints = self.decode(oid::BASIC_CONSTRAINTS, true)?;
        let usage: KeyUsage = self.decode(oid::KEY_USAGE, true)?;
        let key = match (
            P256PublicKey::from_spki(spki),
            Ed25519PublicKey::from_spki(spki),
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
            self.client_auth()?;
        }
        Ok(key)
    }

    fn client_auth(&mut self) -> Result<(), ReadError> {
        let purposes: Vec<ObjectIdentifier> = self.decode(oid::EXT_KEY_USAGE, false)?;
        if purposes != [oid::CLIENT_AUTH] {
            return Err(ReadError::BadExtension(oid::EXT_KEY_USAGE));
        }
        Ok(())
    }

    fn claims(&mut self) -> Result<Said, ReadError> {
        let names: SubjectAltName = self.decode(oid::SUBJECT_ALT_NAME, true)?;
        let [GeneralName::UniformResourceIdentifier(identity)] = &names.0[..] else {
            return Err(ReadError::BadExtension(oid::SUBJECT_ALT_NAME));
        };
        Ok(Said {
            subject: self.text(oid::SUBJECT_IDENTITY, false)?,
            identity: identity.to_string(),
            scopes: self.decode::<Vec<String>>(oid::SCOPES, false)?,
            auth_method: self.text(oid::AUTH_METHOD, false)?,
            epoch: self.decode::<u64>(oid::EPOCH, false)?,
            issued_at: self.text(oid::ISSUANCE_TIME, false)?,
        })
    }

    /// On whose behalf, if on somebody's: critical if that limits anything, and only then.
    fn delegation(&mut self) -> Result<Option<Delegation>, ReadError> {
        let is_it = |extension: &&&Extension| extension.extn_id == oid::DELEGATION;
        let Some(critical) = self.rest.iter().find(is_it).map(|found| found.critical) else {
            return Ok(None);
        };
        let der = self.value(oid::DELEGATION, critical)?;
        let delegation = Delegation::read(der).ok_or(ReadError::BadExtension(oid::DELEGATION))?;
        if delegation.is_limit() != critical {
            return Err(ReadError::BadExtensions);
        }
        Ok(Some(delegation))
    }

    /// What every certificate below another one ends with: the key identifiers of its issuer's key and of its own.
    fn key_identifiers(mut self) -> Result<(Vec<u8>, Vec<u8>), ReadError> {
        let authority: AuthorityKeyIdentifier =
            self.decode(oid::AUTHORITY_KEY_IDENTIFIER, false)?;
        let issuer = authority
            .key_identifier
            .ok_or(ReadError::BadExtension(oid::AUTHORITY_KEY_IDENTIFIER))?;
        let own: SubjectKeyIdentifier = self.decode(oid::SUBJECT_KEY_IDENTIFIER, false)?;
        self.finish()?;
        Ok((issuer.as_bytes().to_vec(), own.0.as_bytes().to_vec()))
    }

    fn finish(self) -> Result<(), ReadError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(ReadError::BadExtensions)
        }
    }
}

#[cfg(test)]
mod tests {
    use der::asn1::OctetString;

    use super::*;
    use crate::writer::Writer;

    #[test]
    fn what_limits_is_critical_and_nothing_else_is() {
        for audience in [None, Some("https://api.example".to_owned())] {
            let delegation = Delegation {
                id: "d".into(),
                on_behalf_of: "p".into(),
                audience,
                purpose: None,
            };
            let mut w = Writer::with_capacity(0);
            delegation.write(&mut w);
            let extn_value = OctetString::new(w.into_bytes()).unwrap();
            for critical in [false, true] {
                let extension = Extension {
                    extn_id: oid::DELEGATION,
                    critical,
                    extn_value: extn_value.clone(),
                };
                let read = Extensions::new(&[extension]).delegation();
                if critical == delegation.is_limit() {
                    assert_eq!(read, Ok(Some(delegation.clone())));
                } else {
                    assert_eq!(read, Err(ReadError::BadExtensions));
                }
            }
        }
    }
}

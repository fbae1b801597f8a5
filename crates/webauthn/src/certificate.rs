//! Attestation certificates (§8.2.1).

use der::asn1::{ObjectIdentifier, OctetStringRef, PrintableStringRef, Utf8StringRef};
use der::{Any, Decode, Encode};
use notme_keys::VerifyingKey;
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::BasicConstraints;

use crate::{Aaguid, Algorithm, CredentialKey, Error};

/// id-at-countryName, -organizationName, -organizationalUnitName, -commonName (X.520).
const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// id-ce-basicConstraints (RFC 5280 §4.2.1.9).
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
/// id-fido-gen-ce-aaguid (§8.2.1).
const FIDO_AAGUID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.45724.1.1.4");
/// The one organizational unit that an attestation certificate has.
const UNIT: &str = "Authenticator Attestation";

/// What of an attestation certificate counts here. Its issuer and its times don't: nothing is
/// followed to an anchor, so they would be the word of whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttestationCertificate {
    spki: Vec<u8>,
    model: Option<Aaguid>,
}

impl AttestationCertificate {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, Error> {
        let bad = |_: der::Error| Error::AttestationCertificateMalformed;
        let unfit = Error::AttestationCertificateUnfit;
        let certificate = Certificate::from_der(der).map_err(bad)?;
        let certificate = certificate.tbs_certificate();
        if certificate.version() != Version::V3 {
            return Err(unfit);
        }
        // RFC 5280 §4.1.2.6: each of them once, or it isn't known which counts.
        let attribute = |kind| {
            let mut found = certificate
                .subject()
                .iter()
                .filter(|attribute| attribute.oid == kind);
            match (found.next(), found.next()) {
                (Some(one), None) => text(&one.value)
                    .filter(|text| !text.is_empty())
                    .ok_or(unfit),
                _ => Err(unfit),
            }
        };
        attribute(ORGANIZATION)?;
        attribute(COMMON_NAME)?;
        let country = attribute(COUNTRY)?;
        let is_country = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        if !is_country || attribute(ORGANIZATIONAL_UNIT)? != UNIT {
            return Err(unfit);
        }
        let extensions = certificate.extensions().map_or(&[][..], Vec::as_slice);
        let constraints = only(extensions, BASIC_CONSTRAINTS)?.ok_or(unfit)?;
        let constraints =
            BasicConstraints::from_der(constraints.extn_value.as_bytes()).map_err(bad)?;
        if constraints.ca {
            return Err(unfit);
        }
        let model = match only(extensions, FIDO_AAGUID)? {
            None => None,
            Some(extension) if extension.critical => return Err(unfit),
            Some(extension) => Some(model(extension)?),
        };
        Ok(Self {
            spki: certificate
                .subject_public_key_info()
                .to_der()
                .map_err(bad)?,
            model,
        })
    }

    /// The certified key, if it is one for `algorithm`.
    pub(crate) fn key(&self, algorithm: Algorithm) -> Result<VerifyingKey, Error> {
        CredentialKey::from_spki(algorithm, &self.spki)
            .map(|key| key.as_verifying_key().clone())
            .map_err(|_| Error::AttestationAlgorithmMismatch)
    }

    /// Whether the certificate may speak for this model: it names it, or none.
    pub(crate) fn is_for(&self, aaguid: Aaguid) -> bool {
        self.model.is_none_or(|model| model == aaguid)
    }
}

/// The extension of this kind, which may be there once (RFC 5280 §4.2).
fn only(extensions: &[Extension], kind: ObjectIdentifier) -> Result<Option<&Extension>, Error> {
    let mut found = extensions
        .iter()
        .filter(|extension| extension.extn_id == kind);
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        _ => Err(Error::AttestationCertificateUnfit),
    }
}

/// The model: 16 bytes in an OCTET STRING in the extension's own.
fn model(extension: &Extension) -> Result<Aaguid, Error> {
    let value = <&OctetStringRef>::from_der(extension.extn_value.as_bytes());
    value
        .ok()
        .and_then(|value| value.as_bytes().try_into().ok())
        .map(Aaguid::from_bytes)
        .ok_or(Error::AttestationCertificateUnfit)
}

/// §8.2.1 asks for UTF8String, and for PrintableString in the country; makers use both in all.
fn text(value: &Any) -> Option<&str> {
    match value.decode_as::<Utf8StringRef<'_>>() {
        Ok(text) => Some(text.as_str()),
        Err(_) => Some(value.decode_as::<PrintableStringRef<'_>>().ok()?.as_str()),
    }
}

//! Attestation certificates (§8.2.1).

use notme_keys::VerifyingKey;
use notme_keys::der::{Der, tag};

use crate::{Aaguid, Algorithm, CredentialKey, Error};

/// id-at-countryName, -organizationName, -organizationalUnitName, -commonName (X.520): 2.5.4.6, .10, .11
/// and .3.
const COUNTRY: &[u8] = &[0x55, 4, 6];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 4, 11];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// id-ce-basicConstraints (RFC 5280 §4.2.1.9): 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
/// id-fido-gen-ce-aaguid (§8.2.1): 1.3.6.1.4.1.45724.1.1.4.
const FIDO_AAGUID: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0xe5, 0x1c, 1, 1, 4];
/// The one organizational unit that an attestation certificate has.
const UNIT: &str = "Authenticator Attestation";
/// Version 3, as it is written.
const V3: &[u8] = &[tag::INTEGER, 1, 2];

/// What of an attestation certificate counts here. Its issuer and its times don't: nothing is
/// followed to an anchor, so they would be the word of whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttestationCertificate {
    spki: Vec<u8>,
    model: Option<Aaguid>,
}

/// An extension (RFC 5280 §4.2).
struct Extension<'a> {
    kind: &'a [u8],
    is_critical: bool,
    value: &'a [u8],
}

/// The parts of a certificate (RFC 5280 §4.1) that count here.
struct Parts<'a> {
    is_v3: bool,
    /// Type and value of each attribute.
    subject: Vec<(&'a [u8], Option<&'a str>)>,
    spki: &'a [u8],
    extensions: Vec<Extension<'a>>,
}

impl<'a> Parts<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let mut certificate = Der::new(Der::only(der, tag::SEQUENCE)?);
        let mut body = certificate.enter(tag::SEQUENCE)?;
        certificate.expect(tag::SEQUENCE)?; // the signature's algorithm
        certificate.expect(tag::BIT_STRING)?;
        certificate.end()?;

        let version = body.next_if(tag::explicit(0));
        body.expect(tag::INTEGER)?; // the serial number
        body.expect(tag::SEQUENCE)?; // the signature's algorithm
        body.expect(tag::SEQUENCE)?; // the issuer
        body.expect(tag::SEQUENCE)?; // the validity
        let mut names = body.enter(tag::SEQUENCE)?;
        let spki = body.next_if(tag::SEQUENCE)?.whole;
        body.next_if(tag::implicit(1)); // unique ids, which nobody has
        body.next_if(tag::implicit(2));
        let extensions = body.enter(tag::explicit(3));
        body.end()?;

        let mut subject = Vec::new();
        while !names.is_empty() {
            let mut name = names.enter(tag::SET)?;
            while !name.is_empty() {
                let mut attribute = name.enter(tag::SEQUENCE)?;
                subject.push((attribute.expect(tag::OID)?, text(&mut attribute)));
            }
        }
        Some(Self {
            is_v3: version.is_some_and(|version| version.content == V3),
            subject,
            spki,
            extensions: extensions.map_or(Some(Vec::new()), extensions_of)?,
        })
    }

    /// The attribute of this type. Each of them is there once (RFC 5280 §4.1.2.6), or it isn't known
    /// which counts.
    fn attribute(&self, kind: &[u8]) -> Option<&'a str> {
        let mut found = self.subject.iter().filter(|(one, _)| *one == kind);
        match (found.next(), found.next()) {
            (Some((_, text)), None) => text.filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// The extension of this kind, which may be there once (RFC 5280 §4.2).
    fn extension(&self, kind: &[u8]) -> Result<Option<&Extension<'a>>, Error> {
        let mut found = self.extensions.iter().filter(|one| one.kind == kind);
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            _ => Err(Error::AttestationCertificateUnfit),
        }
    }
}

fn extensions_of(mut outer: Der<'_>) -> Option<Vec<Extension<'_>>> {
    let mut list = outer.enter(tag::SEQUENCE)?;
    outer.end()?;
    let mut extensions = Vec::new();
    while !list.is_empty() {
        let mut extension = list.enter(tag::SEQUENCE)?;
        let kind = extension.expect(tag::OID)?;
        // What is the default isn't written (X.690 §11.5).
        let is_critical = extension
            .next_if(tag::BOOLEAN)
            .map_or(Some(false), |element| {
                (element.content == [0xff]).then_some(true)
            })?;
        let value = extension.expect(tag::OCTET_STRING)?;
        extension.end()?;
        extensions.push(Extension {
            kind,
            is_critical,
            value,
        });
    }
    Some(extensions)
}

/// Whether basic constraints say that it is a CA's.
fn is_ca(value: &[u8]) -> Option<bool> {
    let mut constraints = Der::new(Der::only(value, tag::SEQUENCE)?);
    if constraints.is_empty() {
        return Some(false);
    }
    let is_ca = constraints.boolean()?;
    constraints.next_if(tag::INTEGER); // the length of a path, which only a CA has
    constraints.end()?;
    Some(is_ca)
}

impl AttestationCertificate {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, Error> {
        let unfit = Error::AttestationCertificateUnfit;
        let malformed = Error::AttestationCertificateMalformed;
        let certificate = Parts::read(der).ok_or(malformed)?;
        if !certificate.is_v3 {
            return Err(unfit);
        }
        let attribute = |kind| certificate.attribute(kind).ok_or(unfit);
        attribute(ORGANIZATION)?;
        attribute(COMMON_NAME)?;
        let country = attribute(COUNTRY)?;
        let is_country = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        if !is_country || attribute(ORGANIZATIONAL_UNIT)? != UNIT {
            return Err(unfit);
        }
        let constraints = certificate.extension(BASIC_CONSTRAINTS)?.ok_or(unfit)?;
        if is_ca(constraints.value).ok_or(malformed)? {
            return Err(unfit);
        }
        let model = match certificate.extension(FIDO_AAGUID)? {
            None => None,
            Some(extension) if extension.is_critical => return Err(unfit),
            Some(extension) => Some(model(extension)?),
        };
        Ok(Self {
            spki: certificate.spki.to_vec(),
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

/// The model: 16 bytes in an OCTET STRING in the extension's own.
fn model(extension: &Extension<'_>) -> Result<Aaguid, Error> {
    Der::only(extension.value, tag::OCTET_STRING)
        .and_then(|value| value.try_into().ok())
        .map(Aaguid::from_bytes)
        .ok_or(Error::AttestationCertificateUnfit)
}

/// An attribute's value. §8.2.1 asks for UTF8String, and for PrintableString in the country; makers use
/// both in all.
fn text<'a>(attribute: &mut Der<'a>) -> Option<&'a str> {
    let value = attribute.any()?;
    attribute.end()?;
    let is_printable = |b: &u8| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(b);
    let is_text = match value.tag {
        tag::UTF8_STRING => true,
        tag::PRINTABLE_STRING => value.content.iter().all(is_printable),
        _ => false,
    };
    is_text.then(|| std::str::from_utf8(value.content).ok())?
}

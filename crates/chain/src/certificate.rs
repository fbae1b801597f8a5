//! Certificates (RFC 5280 §4), read strictly.

use notme_keys::der::{Der, tag};
use notme_keys::{Ed25519PublicKey, P256PublicKey, RsaPublicKey, SignatureCheck, VerifyingKey};

use crate::algorithm::Signed;
use crate::constraints::NameConstraints;
use crate::time::time;
use crate::{GeneralName, Name, Refusal};

/// The most bytes that a serial number has (§4.1.2.2).
const MAX_SERIAL_LEN: usize = 20;
/// id-ce (§4.2.1): 2.5.29, under which the extensions are that are known here.
const ID_CE: &[u8] = &[0x55, 0x1d];
/// What a CRL distribution point is called in a certificate (§4.2.1.13), under `ID_CE`.
const CRL_DISTRIBUTION_POINTS: u8 = 31;

/// What a key may be used for (§4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Signatures other than those on certificates and lists.
    DigitalSignature,
    /// Signatures on certificates.
    CertSign,
    /// Signatures on revocation lists.
    CrlSign,
}

impl KeyUse {
    const fn bit(self) -> u16 {
        match self {
            Self::DigitalSignature => 0x8000,
            Self::CertSign => 0x0400,
            Self::CrlSign => 0x0200,
        }
    }
}

/// A certificate that was read, and that nobody has verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    der: &'a [u8],
    signed: Signed<'a>,
    serial: &'a [u8],
    issuer: Name<'a>,
    subject: Name<'a>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    spki: &'a [u8],
    extensions: Extensions<'a>,
}

/// What the extensions say that are known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Extensions<'a> {
    is_ca: bool,
    path_len: Option<usize>,
    key_usage: Option<u16>,
    purposes: Option<Vec<&'a [u8]>>,
    names: Vec<GeneralName<'a>>,
    authority_key: Option<&'a [u8]>,
    subject_key: Option<&'a [u8]>,
    constraints: Option<NameConstraints<'a>>,
    distribution_points: Option<&'a [u8]>,
    /// There is another one, and it is critical.
    has_unknown: bool,
}

/// An extension (§4.2).
pub(crate) struct Extension<'a> {
    pub(crate) kind: &'a [u8],
    pub(crate) is_critical: bool,
    pub(crate) value: &'a [u8],
}

/// How many extensions one may have: each is looked for among those before it.
const MAX_EXTENSIONS: usize = 64;

impl<'a> Extension<'a> {
    /// The extensions in a sequence that isn't empty, no two of one kind.
    pub(crate) fn read_all(mut outer: Der<'a>) -> Option<Vec<Self>> {
        let mut list = outer.enter(tag::SEQUENCE)?;
        outer.end()?;
        let mut all = Vec::<Self>::new();
        loop {
            let mut extension = list.enter(tag::SEQUENCE)?;
            let kind = extension.expect(tag::OID)?;
            // What is the default isn't written (X.690 §11.5).
            let is_critical = match extension.next_if(tag::BOOLEAN) {
                None => false,
                Some(truth) => (truth.content == [0xff]).then_some(true)?,
            };
            let value = extension.expect(tag::OCTET_STRING)?;
            extension.end()?;
            if all.iter().any(|other| other.kind == kind) {
                return None;
            }
            all.push(Self {
                kind,
                is_critical,
                value,
            });
            if list.is_empty() {
                return Some(all);
            }
            if all.len() == MAX_EXTENSIONS {
                return None;
            }
        }
    }
}

/// A serial number as it stands there: not negative, in the fewest bytes.
pub(crate) fn serial<'a>(der: &mut Der<'a>) -> Option<&'a [u8]> {
    let mut ahead = *der;
    der.unsigned()?;
    ahead
        .expect(tag::INTEGER)
        .filter(|content| content.len() <= MAX_SERIAL_LEN)
}

impl<'a> Certificate<'a> {
    /// Reads a DER certificate. What is read is well formed and doesn't contradict itself; whether it is good
    /// for anything is another question.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] and [`Refusal::Profile`].
    pub fn read(der: &'a [u8]) -> Result<Self, Refusal> {
        let malformed = |part| move || Refusal::Malformed(part);
        let signed = Signed::read(der).ok_or_else(malformed("not one DER certificate"))?;
        let body = Der::only(signed.message, tag::SEQUENCE);
        let mut body = Der::new(body.ok_or_else(malformed("a certificate's body isn't DER"))?);
        let version = body.enter(tag::explicit(0));
        let is_v3 = version
            .is_some_and(|mut version| version.unsigned() == Some(&[2]) && version.is_empty());
        if !is_v3 {
            return Err(Refusal::Profile("a certificate isn't of version 3"));
        }
        let serial = serial(&mut body).ok_or(Refusal::Profile(
            "a serial number is negative, or has more than 20 bytes",
        ))?;
        let inner = body.next_if(tag::SEQUENCE).map(|algorithm| algorithm.whole);
        if inner != Some(signed.algorithm) {
            return Err(Refusal::Profile(
                "a certificate names two signature algorithms",
            ));
        }
        let issuer =
            Name::read(&mut body).ok_or_else(malformed("an issuer's name is malformed"))?;
        let (not_before, not_after) =
            validity(&mut body).ok_or_else(malformed("a validity is malformed"))?;
        let subject =
            Name::read(&mut body).ok_or_else(malformed("a subject's name is malformed"))?;
        let spki = body
            .next_if(tag::SEQUENCE)
            .ok_or_else(malformed("a key is malformed"))?;
        body.next_if(tag::implicit(1)); // unique ids, for which there are no rules (§4.1.2.8)
        body.next_if(tag::implicit(2));
        let extensions = match body.enter(tag::explicit(3)) {
            None => Vec::new(),
            Some(outer) => Extension::read_all(outer)
                .ok_or_else(malformed("extensions are malformed, or one is there twice"))?,
        };
        body.end()
            .ok_or_else(malformed("a certificate has more in it than it should"))?;
        if issuer.is_empty() {
            return Err(Refusal::Profile("an issuer's name is empty"));
        }
        Ok(Self {
            der,
            signed,
            serial,
            not_before,
            not_after,
            spki: spki.whole,
            extensions: Extensions::read(&extensions, subject.is_empty())?,
            issuer,
            subject,
        })
    }

    /// The DER that it was read from.
    #[must_use]
    pub const fn as_der(&self) -> &'a [u8] {
        self.der
    }

    /// The serial number, big endian, as it stands there.
    #[must_use]
    pub const fn serial(&self) -> &'a [u8] {
        self.serial
    }

    /// Who it says issued it.
    #[must_use]
    pub const fn issuer(&self) -> &Name<'a> {
        &self.issuer
    }

    /// Whom it is for.
    #[must_use]
    pub const fn subject(&self) -> &Name<'a> {
        &self.subject
    }

    /// Whom else it is for.
    #[must_use]
    pub fn alternative_names(&self) -> &[GeneralName<'a>] {
        &self.extensions.names
    }

    /// The last second in which it is valid, in Unix seconds.
    #[must_use]
    pub const fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The DER SubjectPublicKeyInfo.
    #[must_use]
    pub const fn spki(&self) -> &'a [u8] {
        self.spki
    }

    /// Its key, for signatures of something else than certificates, if it is of a kind that is known: RSA with
    /// PKCS #1 v1.5.
    #[must_use]
    pub fn key(&self) -> Option<VerifyingKey> {
        let ed25519 = Ed25519PublicKey::from_spki(self.spki).map(VerifyingKey::Ed25519);
        let p256 = || P256PublicKey::from_spki(self.spki).map(VerifyingKey::Es256);
        let rsa = || RsaPublicKey::from_spki(self.spki).map(VerifyingKey::Rs256);
        ed25519.or_else(|_| p256()).or_else(|_| rsa()).ok()
    }

    /// Whether it is a CA's.
    #[must_use]
    pub const fn is_ca(&self) -> bool {
        self.extensions.is_ca
    }

    /// Whether it is by whom it is for.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer.is(&self.subject)
    }

    /// Whether its key may be used for this: it says so, or doesn't say anything.
    #[must_use]
    pub fn permits(&self, wanted: KeyUse) -> bool {
        let usage = self.extensions.key_usage;
        usage.is_none_or(|usage| usage & wanted.bit() != 0)
    }

    /// Whether it is for a purpose of this OID, or for any.
    pub(crate) fn is_for(&self, purpose: &[u8]) -> bool {
        const ANY: &[u8] = &[0x55, 0x1d, 37, 0];
        let purposes = self.extensions.purposes.as_ref();
        purposes.is_none_or(|all| all.iter().any(|one| *one == purpose || *one == ANY))
    }

    pub(crate) const fn path_len(&self) -> Option<usize> {
        self.extensions.path_len
    }

    pub(crate) const fn constraints(&self) -> Option<&NameConstraints<'a>> {
        self.extensions.constraints.as_ref()
    }

    pub(crate) const fn has_unknown_critical_extension(&self) -> bool {
        self.extensions.has_unknown
    }

    pub(crate) const fn authority_key(&self) -> Option<&'a [u8]> {
        self.extensions.authority_key
    }

    pub(crate) const fn subject_key(&self) -> Option<&'a [u8]> {
        self.extensions.subject_key
    }

    pub(crate) const fn distribution_points(&self) -> Option<&'a [u8]> {
        self.extensions.distribution_points
    }

    /// What must hold for it to be signed by that one's key; nothing if it can't be.
    pub(crate) fn check(&self, issuer: &Self) -> Option<SignatureCheck> {
        self.signed.check(issuer.spki)
    }
}

fn validity(body: &mut Der<'_>) -> Option<(i64, i64)> {
    let mut validity = body.enter(tag::SEQUENCE)?;
    let times = (time(&mut validity)?, time(&mut validity)?);
    validity.end()?;
    Some(times)
}

impl<'a> Extensions<'a> {
    fn read(all: &[Extension<'a>], has_empty_subject: bool) -> Result<Self, Refusal> {
        let mut read = Self::default();
        let (mut is_constraining, mut is_named) = (false, false);
        for extension in all {
            let malformed = Refusal::Malformed("an extension's value is malformed");
            let value = extension.value;
            let number = match extension.kind.strip_prefix(ID_CE) {
                Some([number]) => *number,
                _ => 0,
            };
            // What must not be critical (§4.2.1.1, §4.2.1.2), and what must (§4.2.1.10).
            let criticality = match number {
                14 | 35 => Some(false),
                30 => Some(true),
                _ => None,
            };
            if criticality.is_some_and(|should_be| should_be != extension.is_critical) {
                return Err(Refusal::Profile(
                    "an extension is critical that must not be, or the reverse",
                ));
            }
            match number {
                14 => {
                    read.subject_key =
                        Some(filled(Der::only(value, tag::OCTET_STRING)).ok_or(malformed)?)
                }
                15 => read.key_usage = Some(key_usage(value).ok_or(malformed)?),
                17 => {
                    read.names = GeneralName::read_all(value).ok_or(malformed)?;
                    is_named = extension.is_critical;
                }
                19 => {
                    (read.is_ca, read.path_len) = basic_constraints(value).ok_or(malformed)?;
                    is_constraining = extension.is_critical;
                }
                30 => read.constraints = Some(NameConstraints::read(value).ok_or(malformed)?),
                CRL_DISTRIBUTION_POINTS => read.distribution_points = Some(value),
                35 => read.authority_key = Some(authority_key(value).ok_or(malformed)?),
                37 => read.purposes = Some(purposes(value).ok_or(malformed)?),
                // Policies, issuers' other names, policy mappings and constraints, and all others.
                _ => read.has_unknown |= extension.is_critical,
            }
        }
        let certifies = read
            .key_usage
            .map(|usage| usage & KeyUse::CertSign.bit() != 0);
        let problem = if has_empty_subject && (read.is_ca || !is_named) {
            "a subject has no name"
        } else if read.is_ca && !is_constraining {
            "a CA's basic constraints aren't critical"
        } else if read.is_ca && read.subject_key.is_none() {
            "a CA has no key identifier"
        } else if !read.is_ca && certifies == Some(true) {
            "a certificate is for signing certificates, and no CA's"
        } else if read.path_len.is_some() && (!read.is_ca || certifies == Some(false)) {
            "a path is bounded below no CA"
        } else if read.constraints.is_some() && !read.is_ca {
            "names are constrained below no CA"
        } else if all
            .iter()
            .any(|one| one.kind == [0x55, 0x1d, 36] && !one.is_critical)
        {
            "policy constraints aren't critical" // §4.2.1.11
        } else {
            return Ok(read);
        };
        Err(Refusal::Profile(problem))
    }
}

fn filled(bytes: Option<&[u8]>) -> Option<&[u8]> {
    bytes.filter(|bytes| !bytes.is_empty())
}

/// Named bits, of which one is set at least, without zeros behind them (X.690 §11.2.2).
fn key_usage(value: &[u8]) -> Option<u16> {
    let (unused, bits) = Der::only(value, tag::BIT_STRING)?.split_first()?;
    let last = bits.last()?;
    let usage = match bits {
        [one] => u16::from_be_bytes([*one, 0]),
        [one, two] => u16::from_be_bytes([*one, *two]),
        _ => return None,
    };
    (last.trailing_zeros() == u32::from(*unused)).then_some(usage)
}

fn basic_constraints(value: &[u8]) -> Option<(bool, Option<usize>)> {
    let mut constraints = Der::new(Der::only(value, tag::SEQUENCE)?);
    // What is the default isn't written.
    let is_ca = match constraints.next_if(tag::BOOLEAN) {
        None => false,
        Some(truth) => (truth.content == [0xff]).then_some(true)?,
    };
    let path_len = if constraints.is_empty() {
        None
    } else {
        // More than a byte is more than any path has.
        match constraints.unsigned()? {
            [length] => Some(usize::from(*length)),
            _ => Some(usize::from(u8::MAX)),
        }
    };
    constraints.end()?;
    Some((is_ca, path_len))
}

/// The key identifier, which has to be there; issuer and serial number are both there or both not (§4.2.1.1).
pub(crate) fn authority_key(value: &[u8]) -> Option<&[u8]> {
    let mut sequence = Der::new(Der::only(value, tag::SEQUENCE)?);
    let key = sequence.expect(tag::implicit(0))?;
    let issuer = sequence.next_if(tag::explicit(1));
    let serial = sequence.next_if(tag::implicit(2));
    sequence.end()?;
    filled(Some(key)).filter(|_| issuer.is_some() == serial.is_some())
}

fn purposes(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut sequence = Der::new(Der::only(value, tag::SEQUENCE)?);
    let mut purposes = Vec::new();
    while !sequence.is_empty() {
        purposes.push(sequence.expect(tag::OID)?);
    }
    (!purposes.is_empty()).then_some(purposes)
}

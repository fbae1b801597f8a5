//! What the root and the leaves have in common (RFC 5280 §4.1).

use der::asn1::ObjectIdentifier;

use crate::name::Name;
use crate::oid;
use crate::time::write_time;
use crate::writer::{Writer, tag};

/// 128 random bits, read as a positive INTEGER.
///
/// Uniform bits never repeat in practice (a collision is likely after 2^64 certificates), and give
/// more than the 64 bits that CAs are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SerialNumber([u8; 16]);

impl SerialNumber {
    /// Takes 16 bytes from a cryptographic random number generator.
    #[must_use]
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, big endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// When a certificate is valid, in Unix seconds, both ends included (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: u64,
    /// The last second.
    pub not_after: u64,
}

impl Validity {
    /// How far `not_before` lies before issuance, in seconds: clients whose clock is behind ours
    /// would otherwise refuse what they just received.
    pub const BACKDATING: u64 = 60;

    /// From `BACKDATING` before `now` to `ttl_secs` after it.
    #[must_use]
    pub const fn starting(now: u64, ttl_secs: u64) -> Self {
        Self {
            not_before: now.saturating_sub(Self::BACKDATING),
            not_after: now.saturating_add(ttl_secs),
        }
    }
}

/// The DER of a TBSCertificate or a TBSCertList: what the CA signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToBeSigned(Vec<u8>);

impl ToBeSigned {
    /// The bytes to sign with Ed25519.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn of(writer: Writer) -> Self {
        Self(writer.into_bytes())
    }

    /// The DER certificate, or list, with `signature`, Ed25519 by the issuer over [`Self::as_bytes`].
    #[must_use]
    pub fn into_certificate(self, signature: &[u8; 64]) -> Vec<u8> {
        let mut w = Writer::with_capacity(self.0.len() + 84);
        w.sequence(|w| {
            w.raw(&self.0);
            ed25519_algorithm(w);
            w.bit_string(signature);
        });
        w.into_bytes()
    }
}

/// The fields of a TBSCertificate that differ between certificates.
pub(crate) struct Fields<'a> {
    pub(crate) serial: SerialNumber,
    pub(crate) issuer: &'a Name,
    pub(crate) subject: &'a Name,
    pub(crate) validity: Validity,
    pub(crate) spki: &'a [u8],
}

impl Fields<'_> {
    pub(crate) fn to_be_signed(&self, extensions: impl FnOnce(&mut Writer)) -> ToBeSigned {
        let mut w = Writer::with_capacity(1024);
        w.sequence(|w| {
            w.element(tag::VERSION, |w| w.unsigned(&[2])); // v3
            w.unsigned(self.serial.as_bytes());
            ed25519_algorithm(w);
            w.raw(self.issuer.as_der());
            w.sequence(|w| {
                write_time(w, self.validity.not_before);
                write_time(w, self.validity.not_after);
            });
            w.raw(self.subject.as_der());
            w.raw(self.spki);
            w.element(tag::EXTENSIONS, |w| w.sequence(extensions));
        });
        ToBeSigned::of(w)
    }
}

/// AlgorithmIdentifier of Ed25519, parameters absent (RFC 8410 §3).
pub(crate) fn ed25519_algorithm(w: &mut Writer) {
    w.sequence(|w| w.oid(&oid::ED25519));
}

/// KeyUsage (RFC 5280 §4.2.1.3): its octets after the tag and length, unused bits first.
pub(crate) fn key_usage(w: &mut Writer, bits: [u8; 2]) {
    w.extension(&oid::KEY_USAGE, true, |w| {
        w.primitive(tag::BIT_STRING, &bits)
    });
}

pub(crate) fn subject_key_identifier(w: &mut Writer, id: &[u8; 20]) {
    w.extension(&oid::SUBJECT_KEY_IDENTIFIER, false, |w| {
        w.primitive(tag::OCTET_STRING, id)
    });
}

/// A non-critical extension with one UTF8String.
pub(crate) fn text_extension(w: &mut Writer, oid: &ObjectIdentifier, text: &str) {
    w.extension(oid, false, |w| w.utf8(text));
}

//! What the root and the leaves have in common (RFC 5280 §4.1).

use der::asn1::ObjectIdentifier;

use crate::delegation::Delegation;
use crate::name::Name;
use crate::oid;
use crate::root::{Issuer, key_identifier};
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

/// ExtKeyUsage (RFC 5280 §4.2.1.12): clients of TLS, and of a CA nothing else below it.
pub(crate) fn client_auth(w: &mut Writer) {
    w.extension(&oid::EXT_KEY_USAGE, false, |w| {
        w.sequence(|w| w.oid(&oid::CLIENT_AUTH));
    });
}

/// The issuer's key identifier, and that of the key that is certified, of which these are the bits.
pub(crate) fn key_identifiers(w: &mut Writer, issuer: &Issuer, public_key_bits: &[u8]) {
    w.extension(&oid::AUTHORITY_KEY_IDENTIFIER, false, |w| {
        w.sequence(|w| w.primitive(tag::KEY_IDENTIFIER, &issuer.key_identifier));
    });
    subject_key_identifier(w, &key_identifier(public_key_bits));
}

/// What a certificate says of whom it is for, whatever kind it is of.
pub(crate) struct Claims<'a> {
    pub(crate) subject: &'a str,
    pub(crate) issued_at: &'a str,
    pub(crate) scopes: &'a [String],
    pub(crate) epoch: u64,
    pub(crate) auth_method: &'a str,
    pub(crate) binding: Option<&'a [u8; 32]>,
    pub(crate) delegation: Option<&'a Delegation>,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) identity: &'a str,
}

impl Claims<'_> {
    /// As extensions, in the order that verifiers know.
    pub(crate) fn written(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(512);
        text_extension(&mut w, &oid::SUBJECT_IDENTITY, self.subject);
        text_extension(&mut w, &oid::ISSUANCE_TIME, self.issued_at);
        w.extension(&oid::SCOPES, false, |w| {
            w.sequence(|w| self.scopes.iter().for_each(|scope| w.utf8(scope)));
        });
        w.extension(&oid::EPOCH, false, |w| {
            w.unsigned(&self.epoch.to_be_bytes())
        });
        text_extension(&mut w, &oid::AUTH_METHOD, self.auth_method);
        if let Some(binding) = self.binding {
            // Verifiers print the extnValue as hex: an inner header would change what they compare.
            w.extension(&oid::PAIR_BINDING, false, |w| w.raw(binding));
        }
        if let Some(delegation) = self.delegation {
            w.extension(&oid::DELEGATION, delegation.is_limit(), |w| {
                delegation.write(w)
            });
        }
        if let Some(namespace) = self.namespace {
            w.extension(&oid::NAMESPACE, true, |w| w.utf8(namespace));
        }
        w.extension(&oid::SUBJECT_ALT_NAME, true, |w| {
            w.sequence(|w| w.primitive(tag::URI, self.identity.as_bytes()));
        });
        w.into_bytes()
    }
}

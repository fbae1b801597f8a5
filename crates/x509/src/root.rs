//! The root certificate (`docs/certificate-profile.md`, "Root").

use notme_keys::Ed25519PublicKey;
use sha2::{Digest, Sha256};

use crate::certificate::{
    Fields, SerialNumber, ToBeSigned, Validity, key_usage, subject_key_identifier,
};
use crate::name::Name;
use crate::oid;
use crate::writer::tag;

/// How long a root is valid: ten years of 365.25 days, in seconds.
const ROOT_TTL: u64 = 315_576_000;

/// keyCertSign and cRLSign.
const KEY_USAGE: [u8; 2] = [1, 0x06];

/// The authority as an issuer: its name and the identifier of its key, worked out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    pub(crate) name: Name,
    pub(crate) key_identifier: [u8; 20],
}

impl Issuer {
    /// The authority at `host` (with `:port` unless it is the scheme's default) with `key`.
    #[must_use]
    pub fn new(host: &str, key: &Ed25519PublicKey) -> Self {
        Self {
            name: Name::new(&format!("signet-authority {host}")),
            key_identifier: key_identifier(key.as_bytes()),
        }
    }
}

/// What a root certificate says.
#[derive(Clone, Debug)]
pub struct RootProfile<'a> {
    /// Subject and issuer.
    pub issuer: &'a Issuer,
    /// The key that the root certifies and is signed by.
    pub key: &'a Ed25519PublicKey,
    /// Its serial number.
    pub serial: SerialNumber,
    /// When the root is made, in Unix seconds.
    pub created_at: u64,
}

impl RootProfile<'_> {
    /// What the root's own key must sign.
    #[must_use]
    pub fn to_be_signed(&self) -> ToBeSigned {
        let fields = Fields {
            serial: self.serial,
            issuer: &self.issuer.name,
            subject: &self.issuer.name,
            validity: Validity::starting(self.created_at, ROOT_TTL),
            spki: &self.key.to_spki(),
        };
        fields.to_be_signed(|w| {
            w.extension(&oid::BASIC_CONSTRAINTS, true, |w| {
                w.sequence(|w| {
                    w.primitive(tag::BOOLEAN, &[0xff]);
                    w.unsigned(&[1]); // one tier of issuing certificates below the root
                });
            });
            key_usage(w, KEY_USAGE);
            subject_key_identifier(w, &self.issuer.key_identifier);
        })
    }
}

/// RFC 7093 §2 method 1: the leftmost 160 bits of SHA-256 over the BIT STRING's content.
pub(crate) fn key_identifier(public_key_bits: &[u8]) -> [u8; 20] {
    let mut id = [0; 20];
    id.copy_from_slice(Sha256::digest(public_key_bits).split_at(20).0);
    id
}

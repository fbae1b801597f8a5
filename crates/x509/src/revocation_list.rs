//! The certificate revocation list (RFC 5280 §5), for verifiers that know nothing of ours.

use crate::certificate::{ToBeSigned, ed25519_algorithm};
use crate::oid;
use crate::root::Issuer;
use crate::time::write_time;
use crate::writer::{Writer, tag};

/// What a list says.
#[derive(Clone, Debug)]
pub struct RevocationListProfile<'a> {
    /// Whose certificates it is about, and who signs it.
    pub issuer: &'a Issuer,
    /// The list's number: each list has a higher one than those before it.
    pub number: u64,
    /// When it is made, in Unix seconds.
    pub this_update: u64,
    /// Until when it counts, in Unix seconds.
    pub next_update: u64,
    /// The revoked certificates: their serial numbers, and when they were revoked, in Unix seconds.
    pub revoked: &'a [([u8; 16], u64)],
}

impl RevocationListProfile<'_> {
    /// What the issuer's key must sign.
    #[must_use]
    pub fn to_be_signed(&self) -> ToBeSigned {
        let mut w = Writer::with_capacity(256 + 40 * self.revoked.len());
        w.sequence(|w| {
            w.unsigned(&[1]); // v2
            ed25519_algorithm(w);
            w.raw(self.issuer.name.as_der());
            write_time(w, self.this_update);
            write_time(w, self.next_update);
            // An empty list of entries must not be there (§5.1.2.6).
            if !self.revoked.is_empty() {
                w.sequence(|w| {
                    for (serial, at) in self.revoked {
                        w.sequence(|w| {
                            w.unsigned(serial);
                            write_time(w, *at);
                        });
                    }
                });
            }
            w.element(tag::LIST_EXTENSIONS, |w| {
                w.sequence(|w| {
                    w.extension(&oid::AUTHORITY_KEY_IDENTIFIER, false, |w| {
                        w.sequence(|w| {
                            w.primitive(tag::KEY_IDENTIFIER, &self.issuer.key_identifier);
                        });
                    });
                    w.extension(&oid::CRL_NUMBER, false, |w| {
                        w.unsigned(&self.number.to_be_bytes());
                    });
                });
            });
        });
        ToBeSigned::of(w)
    }
}

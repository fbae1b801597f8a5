//! The doors: each kind of proof in a file of its own, and what they share
//! ([ADR 10](https://github.com/notme/notme/blob/main/docs/adr/0010-one-pipeline.md)).
//!
//! A door takes a proof apart, names what it needs and what must be checked, and says what the proof is
//! evidence of. It fetches nothing and decides nothing: whom a row lets in, and as what, is said by its
//! rules ([`claims`]) and, in the end, by the principal's grants.

pub mod claims;
pub mod explain;
pub mod issuer;
pub mod made;
pub mod oidc;
pub mod presets;
pub mod rows;
pub mod x509;

use serde::{Deserialize, Serialize};

use self::made::RowRef;
use crate::Burn;
use crate::people::Scopes;

/// Who was proven to be asking, by whatever kind of proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// The kind of authenticator that the proof stands for.
    pub kind: String,
    /// Who vouches for it.
    pub issuer: String,
    /// What the issuer will never call anybody else.
    pub subject: String,
    /// What it is called where people see it.
    pub name: String,
    /// How it was proven, as answers and certificates say it.
    pub method: String,
    /// What the row that lets it in allows at most.
    pub ceiling: Scopes,
    /// The proof's own single-use values; empty where a challenge makes it single.
    pub burns: Vec<Burn>,
    /// The certificate that was shown, if it was one.
    pub certificate: Option<ShownCertificate>,
    /// The row that lets it in, if an administrator made that: it may be another one by now, or gone.
    pub row: Option<RowRef>,
}

/// What has to be known of a certificate that was shown, since it may be one of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCertificate {
    /// DER SubjectPublicKeyInfo of who issued it.
    #[serde(with = "serde_bytes")]
    pub issuer_spki: Vec<u8>,
    /// Its serial number, big endian, without a sign.
    #[serde(with = "serde_bytes")]
    pub serial: Vec<u8>,
    /// When its chain is over, in Unix seconds; what is made of it is over then as well.
    pub not_after: u64,
}

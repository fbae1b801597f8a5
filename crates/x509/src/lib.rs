//! The authority's X.509 certificates (the root, the two leaves of an enrolment pair, issuing certificates and the
//! task leaves below them), and its revocation list.
//!
//! The profile is normative in `docs/certificate-profile.md`; this crate is its only writer and its
//! strict reader. It follows RFC 5280, RFC 8410 (Ed25519) and RFC 5480 (P-256).
//!
//! **In scope:** encoding what is to be signed, putting the signature to it, reading our own
//! certificates back, and checking a leaf against a root.
//!
//! **Out of scope:** who may have a certificate; private keys; building paths through foreign CAs.
//!
//! **Invariants:** no clock and no randomness (times and serial numbers are arguments); what is
//! written is DER; the two leaves of a pair share every extension that isn't about their own key.

mod certificate;
mod delegation;
mod issuing;
mod leaf;
mod name;
pub mod oid;
mod read;
mod revocation_list;
mod root;
mod task;
mod time;
mod writer;

pub use certificate::{SerialNumber, ToBeSigned, Validity};
pub use delegation::Delegation;
pub use issuing::{IssuingProfile, TaskProfile, is_task_id, namespace_of};
pub use leaf::{PairProfile, pair_binding};
pub use name::Name;
pub use read::{Issuing, Leaf, LeafKey, ReadError, Root, Signed, TaskLeaf, VerifyError};
pub use revocation_list::RevocationListProfile;
pub use root::{Issuer, RootProfile};
pub use task::{Beyond, TaskError};
pub use time::rfc3339_millis;

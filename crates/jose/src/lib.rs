//! JSON Web Signatures, claims and key sets as values.
//!
//! Follows RFC 7515 (JWS, compact serialization only), RFC 7517 and 7518 (JWK, JWA) and RFC 7519
//! (JWT), and RFC 9449 (DPoP).
//!
//! **In scope:** taking a token or a DPoP proof apart, reading a key set, and naming the signature check that makes
//! the token's claims true.
//!
//! **Out of scope:** fetching, encryption (JWE), `alg: none`, detached payloads, trust decisions.
//!
//! **Invariant:** nothing is believed here. A [`CompactJws`] is only text taken apart until its
//! [`SignatureCheck`](notme_keys::SignatureCheck) was settled.

mod algorithm;
mod claims;
mod dpop;
mod jwk;
mod jws;

pub use algorithm::Algorithm;
pub use claims::{Audience, numeric_date};
pub use dpop::{DpopError, DpopProof};
pub use jwk::{JwkSet, JwkSetError};
pub use jws::{CompactJws, JwsError};

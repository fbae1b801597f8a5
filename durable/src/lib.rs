//! The authority's Durable Objects.
//!
//! They load, hand what they loaded to `notme-authority`, sign, and write what it decided, in one
//! transaction. They hold no rules.

#![allow(
    missing_docs,
    reason = "the macro for objects writes methods without documentation"
)]

mod host;
mod issuer_keys;
mod signing_authority;
mod sql;
mod webcrypto;

pub use host::{config, log, now_millis, random, read_body};
pub use issuer_keys::IssuerKeys;
pub use signing_authority::SigningAuthority;

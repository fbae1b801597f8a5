//! The authority's Durable Objects.
//!
//! They load, hand what they loaded to `notme-authority`, sign, and write what it decided, in one
//! transaction. They hold no rules.

#![allow(
    missing_docs,
    reason = "the macro for objects writes methods without documentation"
)]

mod api_answers;
mod clock;
mod host;
mod issuer_keys;
mod settling;
mod signing_authority;
mod sql;
mod webcrypto;

pub use api_answers::ApiAnswers;
pub use host::{config, is_logged, log, now_millis, random, read_body};
pub use issuer_keys::IssuerKeys;
pub use settling::settle_all;
pub use signing_authority::SigningAuthority;

/// Calls itself until the stack is full: not a trap, but an error of JavaScript's.
#[cfg(feature = "panic-probe")]
#[must_use]
pub fn overflow(depth: u64) -> u64 {
    match depth {
        u64::MAX => 0,
        _ => std::hint::black_box(overflow(std::hint::black_box(depth + 1))) + 1,
    }
}

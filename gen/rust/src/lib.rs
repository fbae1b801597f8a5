//! The identity authority's wire types: plain Rust types for every struct of `schema/*.capnp`, with
//! their canonical Cap'n Proto ([`Message`]), their JSON (serde), and the canonical CBOR of the
//! revocation bundle ([`bundle`]) and the receipt commitment ([`receipt`]).
//!
//! `schema/` below is generated, the rest is written by hand. No logic beyond encodings: what a
//! message means is not known here.

mod cbor;
mod json;
mod schema;

pub mod bundle;
pub mod receipt;
pub mod runtime;

pub use runtime::{DecodeError, EncodeError, Message};
pub use schema::*;

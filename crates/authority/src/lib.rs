//! The authority's rules: which proof yields which credential, and what verifiers are told.
//!
//! Everything here is a function of its arguments. The current time, random bytes, an issuer's keys
//! and what is stored are handed in; what must be checked, signed or written is handed back. The
//! hosts (`src/`, `durable/`) fetch, sign and store, and decide nothing.
//!
//! The life of a request: [`config`] says what is allowed; a proof kind ([`gha`]) takes the request
//! apart and names the signature checks that it needs; settled, they become [`Evidence`]; from
//! evidence [`issue`] makes the certificates to be signed and the [`Burn`]s to be stored with them;
//! [`http`] turns the answer or the [`Error`] into what goes over the wire.

pub mod asking;
pub mod bundle;
pub mod clock;
pub mod config;
pub mod delegation;
pub mod documents;
pub mod doors;
mod error;
mod evidence;
pub mod gha;
pub mod http;
pub mod issue;
pub mod issuer_keys;
pub mod limits;
pub mod people;
pub mod policy;
pub mod possession;
pub mod protocol;
pub mod revocation;
pub mod rotation;
mod rows;
pub mod sealing;
pub mod state;
pub mod tokens;
mod url;

pub use error::{CeremonyError, Echo, Error, Fault, PolicyRule, Possession, TokenError};
pub use evidence::{Burn, Evidence};
pub use url::BaseUrl;

/// How long a verifier may rely on a revocation bundle or a key set after it was issued, in
/// seconds: the bound that discovery publishes.
pub const MAX_STALENESS_SECS: u64 = 300;

/// The longest that a leaf lives, in seconds.
pub const MAX_LEAF_SECS: u64 = 300;

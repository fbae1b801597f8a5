//! The relying party's side of WebAuthn: what browsers are asked for, and what their answers are
//! worth.
//!
//! Follows W3C Web Authentication Level 3: §7.1 (registering a credential), §7.2 (verifying an
//! assertion), §6.1 (authenticator data), §8.2 and §8.7 (attestation `packed` and `none`), §5.1
//! (the JSON forms). `docs/webauthn.md` says where each rule is, what it is called when it is
//! broken, and which test holds it.
//!
//! **In scope:** options to send, responses to take apart, every rule that needs no state, and the
//! signature checks that remain, as [`SignatureCheck`](notme_keys::SignatureCheck)s.
//!
//! **Out of scope:** remembering challenges and credentials, which the host does; that a challenge
//! works once, that a credential id is new, and whose a credential is are its rules. Trust in makers
//! of authenticators: no attestation is followed to an anchor.
//!
//! **Policy:** user verification is always required, ceremonies in frames of other origins are
//! always refused, credentials are discoverable.
//!
//! **Invariants:** nothing is believed before the outcomes of all checks are in, and the types say
//! so: a response is parsed, then obliged, then settled. No clock, no randomness, and of
//! cryptography nothing but SHA-256. Whatever a stranger sends ends in an [`Error`].

mod attestation;
mod authentication;
mod authenticator_data;
mod cbor;
mod certificate;
mod client_data;
mod error;
mod identifiers;
mod json;
mod key;
mod options;
mod registration;
mod relying_party;
mod signature;
mod transport;

pub use attestation::AttestationKind;
pub use authentication::{
    Assertion, AuthenticationResponse, Counter, ObligedAuthentication, StoredCredential,
};
pub use error::{ConfigError, Error};
pub use identifiers::{Aaguid, Challenge, CredentialId, UserHandle};
pub use key::{Algorithm, CredentialKey};
pub use options::{CreationOptions, CredentialDescriptor, RequestOptions, User};
pub use registration::{NewCredential, ObligedRegistration, RegistrationResponse};
pub use relying_party::RelyingParty;
pub use transport::Transport;

/// The two ceremonies, which some rules differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ceremony {
    /// `navigator.credentials.create()`, §7.1.
    Registration,
    /// `navigator.credentials.get()`, §7.2.
    Authentication,
}

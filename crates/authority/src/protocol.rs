//! What the worker and its objects say to each other: one byte string each way, `postcard` inside.
//!
//! Worker and objects are one script, but a deployment rolls out over a minute, so the first byte is
//! a version: a message of another one is refused instead of misread.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::delegation::{Delegate, DelegationProblem};
use crate::doors::Answer;
use crate::doors::made::RowSet;
use crate::issuer_keys::KeySetAnswer;
use crate::people::bootstrap::FirstBoot;
use crate::people::command as people;
use crate::people::mint::Mint;
use crate::people::{Scope, Scopes, admin};
use crate::revocation::{Document, Form};
use crate::rotation::{KeyChanged, Rotation};
use crate::state::Archive;
use crate::tokens::command as tokens;
use crate::tokens::proof::DpopProblem;
use crate::{CeremonyError, Error, Fault};

/// Changes with every change of the types below.
const VERSION: u8 = 16;

/// A message to an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent<T> {
    /// When it was sent, by the worker's clock, in Unix milliseconds ([`clock`](crate::clock)).
    pub at: u64,
    /// What is asked.
    pub message: T,
}

/// What the signing object can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The keys.
    Archive,
    /// The revocation bundle.
    Bundle,
    /// The list of what is revoked.
    Revocations(Form),
    /// About people.
    People(Box<people::Command>),
    /// Burn and issue.
    Mint(Box<Mint>),
    /// Change the key.
    Rotate(Box<Rotation>),
    /// About what administrators see and take back.
    Admin(Box<admin::Command>),
    /// About access tokens.
    Tokens(tokens::Command),
    /// Make a delegation, by whoever a pair is about.
    Delegate(Box<Delegate>),
    /// The rows that administrators made, unless there was no change since this revision.
    Rows(Option<u64>),
}

/// What the signing object answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The body for the caller, as it is to be sent.
    Issued(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The keys.
    Archive(Archive),
    /// The revocation bundle, as it is to be sent.
    Bundle(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The list of what is revoked.
    Revocations(Document),
    /// No.
    Refused(Refusal),
    /// About people.
    People(people::Reply),
    /// The key was changed.
    Rotated(KeyChanged),
    /// What administrators see.
    Admin(admin::Reply),
    /// About access tokens.
    Tokens(tokens::Reply),
    /// The rows that administrators made; nothing if there was no change.
    Rows(Option<RowSet>),
}

/// What the object that keeps an issuer's keys can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysWanted {
    /// The issuer, as tokens name it.
    pub issuer: String,
    /// The key id that a token names; nothing for whoever wants to know where the issuer signs people in.
    pub kid: Option<String>,
    /// Where its keys are, if no discovery document says so.
    pub at: Option<String>,
}

/// What the object that keeps an issuer's keys answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeysReply {
    /// The key set.
    Keys(KeySetAnswer),
    /// No.
    Refused(Refusal),
}

/// What the object that asks an API answers to a [`Question`](crate::asking::Question).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskReply {
    /// What the API said, whatever that is.
    Answered(Answer),
    /// No.
    Refused(Refusal),
}

/// An [`Error`] of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// [`Error::ProofUsed`].
    ProofUsed,
    /// [`Fault::Configuration`].
    Configuration(String),
    /// [`Fault::IssuerUnavailable`].
    IssuerUnavailable(String),
    /// [`Fault::ApiUnavailable`]: why, and when to try again.
    ApiUnavailable(String, u32),
    /// [`Fault::KeyStorage`].
    KeyStorage(String),
    /// [`Fault::Clock`].
    Clock(String),
    /// Anything else.
    Internal(String),
    /// [`Error::BadBootstrapCode`].
    BadBootstrapCode,
    /// [`Error::BadChallenge`].
    BadChallenge,
    /// [`Error::CredentialKnown`].
    CredentialKnown,
    /// [`Error::FirstBoot`].
    FirstBoot(FirstBoot),
    /// [`Error::InvalidSession`].
    InvalidSession,
    /// [`Error::NoSession`].
    NoSession,
    /// [`Error::ScopesNotEligible`].
    ScopesNotEligible,
    /// [`Error::ScopesNotGranted`].
    ScopesNotGranted(Scopes),
    /// [`Error::TooManyRequests`].
    TooManyRequests(u32),
    /// [`Error::TooManyTries`].
    TooManyTries(u32),
    /// [`Error::UnknownPasskey`].
    UnknownPasskey,
    /// [`Error::Ceremony`].
    Ceremony(CeremonyError),
    /// [`Error::InvalidJson`].
    InvalidJson,
    /// [`Error::BadInvite`].
    BadInvite,
    /// [`Error::LastAdministrator`].
    LastAdministrator,
    /// [`Error::TurnedAway`].
    TurnedAway,
    /// [`Error::LastHolder`].
    LastHolder(Scope),
    /// [`Error::ScopeNotHeld`].
    ScopeNotHeld(Scope),
    /// [`Error::NoSuchItem`].
    NoSuchItem,
    /// [`Error::ManageRequired`].
    ManageRequired,
    /// [`Error::StepUpRequired`].
    StepUpRequired,
    /// [`Error::TooManyKeys`].
    TooManyKeys(u32),
    /// [`Error::GrantTooLong`].
    GrantTooLong,
    /// [`Error::InvalidMember`], where only the object can tell.
    InvalidExpiry,
    /// [`Error::InvalidCertificate`], of one of ours that was taken back.
    CertificateRevoked,
    /// [`Error::InvalidCertificate`], of one that is over by now.
    CertificateExpired(i64),
    /// [`Error::InvalidGrant`].
    InvalidGrant,
    /// [`Error::AudienceNotAllowed`].
    AudienceNotAllowed(Vec<String>),
    /// [`Error::IdentityTaken`].
    IdentityTaken,
    /// [`Error::UnknownIdentity`].
    UnknownIdentity,
    /// [`Error::WorkloadIdentity`].
    WorkloadIdentity,
    /// [`Error::PersonIdentity`].
    PersonIdentity,
    /// [`Error::LastWayIn`].
    LastWayIn,
    /// [`DpopProblem::Missing`].
    ProofMissing,
    /// [`DpopProblem::Reused`].
    ProofReused,
    /// [`DpopProblem::NonceRequired`].
    NonceRequired(String),
    /// [`Error::Delegation`].
    Delegation(DelegationProblem),
    /// [`Error::InvalidRow`].
    InvalidRow(String),
    /// [`Error::TooManyRows`].
    TooManyRows,
    /// [`Error::RowEdited`].
    RowEdited,
    /// [`Error::RowChanged`].
    RowChanged,
    /// [`Error::TooManyWaysIn`].
    TooManyWaysIn,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::ProofUsed => Self::ProofUsed,
            Error::Fault(Fault::Configuration(reason)) => Self::Configuration(reason),
            Error::Fault(Fault::IssuerUnavailable(reason)) => Self::IssuerUnavailable(reason),
            Error::Fault(Fault::ApiUnavailable {
                reason,
                retry_after,
            }) => Self::ApiUnavailable(reason, retry_after),
            Error::Fault(Fault::KeyStorage(reason)) => Self::KeyStorage(reason),
            Error::Fault(Fault::Clock(reason)) => Self::Clock(reason),
            Error::Fault(Fault::Internal(reason)) => Self::Internal(reason),
            Error::BadBootstrapCode => Self::BadBootstrapCode,
            Error::BadChallenge => Self::BadChallenge,
            Error::CredentialKnown => Self::CredentialKnown,
            Error::FirstBoot(state) => Self::FirstBoot(state),
            Error::InvalidSession => Self::InvalidSession,
            Error::NoSession => Self::NoSession,
            // The worker knows what was asked for.
            Error::ScopesNotEligible { .. } => Self::ScopesNotEligible,
            Error::ScopesNotGranted { granted, .. } => Self::ScopesNotGranted(granted),
            Error::TooManyRequests(secs) => Self::TooManyRequests(secs),
            Error::TooManyTries(secs) => Self::TooManyTries(secs),
            Error::UnknownPasskey => Self::UnknownPasskey,
            Error::Ceremony(why) => Self::Ceremony(why),
            Error::InvalidJson => Self::InvalidJson,
            Error::BadInvite => Self::BadInvite,
            Error::LastAdministrator => Self::LastAdministrator,
            Error::LastHolder(scope) => Self::LastHolder(scope),
            Error::TurnedAway => Self::TurnedAway,
            Error::IdentityTaken => Self::IdentityTaken,
            Error::UnknownIdentity => Self::UnknownIdentity,
            Error::WorkloadIdentity => Self::WorkloadIdentity,
            Error::PersonIdentity => Self::PersonIdentity,
            Error::LastWayIn => Self::LastWayIn,
            Error::ScopeNotHeld(scope) => Self::ScopeNotHeld(scope),
            Error::NoSuchItem => Self::NoSuchItem,
            Error::ManageRequired => Self::ManageRequired,
            Error::StepUpRequired => Self::StepUpRequired,
            Error::TooManyKeys(secs) => Self::TooManyKeys(secs),
            Error::GrantTooLong => Self::GrantTooLong,
            Error::InvalidMember("expiresAt") => Self::InvalidExpiry,
            Error::InvalidCertificate(notme_chain::Refusal::Expired(at)) => {
                Self::CertificateExpired(at)
            }
            Error::InvalidCertificate(_) => Self::CertificateRevoked,
            Error::InvalidGrant => Self::InvalidGrant,
            Error::AudienceNotAllowed(allowed) => Self::AudienceNotAllowed(allowed),
            Error::Dpop(DpopProblem::Missing, _) => Self::ProofMissing,
            Error::Dpop(DpopProblem::Reused, _) => Self::ProofReused,
            Error::Dpop(DpopProblem::NonceRequired(nonce), _) => Self::NonceRequired(nonce),
            Error::Delegation(problem) => Self::Delegation(problem),
            Error::InvalidRow(why) => Self::InvalidRow(why),
            Error::TooManyRows => Self::TooManyRows,
            Error::RowEdited => Self::RowEdited,
            Error::RowChanged => Self::RowChanged,
            Error::TooManyWaysIn => Self::TooManyWaysIn,
            // The worker checks the rest before it asks.
            other => Self::Internal(format!("{other:?}")),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ProofUsed => Self::ProofUsed,
            Refusal::Configuration(reason) => Fault::Configuration(reason).into(),
            Refusal::IssuerUnavailable(reason) => Fault::IssuerUnavailable(reason).into(),
            Refusal::ApiUnavailable(reason, retry_after) => Fault::ApiUnavailable {
                reason,
                retry_after,
            }
            .into(),
            Refusal::KeyStorage(reason) => Fault::KeyStorage(reason).into(),
            Refusal::Clock(reason) => Fault::Clock(reason).into(),
            Refusal::Internal(reason) => Fault::Internal(reason).into(),
            Refusal::BadBootstrapCode => Self::BadBootstrapCode,
            Refusal::BadChallenge => Self::BadChallenge,
            Refusal::CredentialKnown => Self::CredentialKnown,
            Refusal::FirstBoot(state) => Self::FirstBoot(state),
            Refusal::InvalidSession => Self::InvalidSession,
            Refusal::NoSession => Self::NoSession,
            Refusal::ScopesNotEligible => Self::ScopesNotEligible {
                requested: Vec::new(),
            },
            Refusal::ScopesNotGranted(granted) => Self::ScopesNotGranted {
                requested: Vec::new(),
                granted,
            },
            Refusal::TooManyRequests(secs) => Self::TooManyRequests(secs),
            Refusal::TooManyTries(secs) => Self::TooManyTries(secs),
            Refusal::UnknownPasskey => Self::UnknownPasskey,
            Refusal::Ceremony(why) => Self::Ceremony(why),
            Refusal::InvalidJson => Self::InvalidJson,
            Refusal::BadInvite => Self::BadInvite,
            Refusal::LastAdministrator => Self::LastAdministrator,
            Refusal::LastHolder(scope) => Self::LastHolder(scope),
            Refusal::TurnedAway => Self::TurnedAway,
            Refusal::IdentityTaken => Self::IdentityTaken,
            Refusal::UnknownIdentity => Self::UnknownIdentity,
            Refusal::WorkloadIdentity => Self::WorkloadIdentity,
            Refusal::PersonIdentity => Self::PersonIdentity,
            Refusal::LastWayIn => Self::LastWayIn,
            Refusal::ScopeNotHeld(scope) => Self::ScopeNotHeld(scope),
            Refusal::NoSuchItem => Self::NoSuchItem,
            Refusal::ManageRequired => Self::ManageRequired,
            Refusal::StepUpRequired => Self::StepUpRequired,
            Refusal::TooManyKeys(secs) => Self::TooManyKeys(secs),
            Refusal::GrantTooLong => Self::GrantTooLong,
            Refusal::InvalidGrant => Self::InvalidGrant,
            Refusal::AudienceNotAllowed(allowed) => Self::AudienceNotAllowed(allowed),
            Refusal::ProofMissing => DpopProblem::Missing.into(),
            Refusal::ProofReused => DpopProblem::Reused.into(),
            Refusal::NonceRequired(nonce) => DpopProblem::NonceRequired(nonce).into(),
            Refusal::Delegation(problem) => Self::Delegation(problem),
            Refusal::InvalidRow(why) => Self::InvalidRow(why),
            Refusal::TooManyRows => Self::TooManyRows,
            Refusal::RowEdited => Self::RowEdited,
            Refusal::RowChanged => Self::RowChanged,
            Refusal::TooManyWaysIn => Self::TooManyWaysIn,
            Refusal::InvalidExpiry => Self::InvalidMember("expiresAt"),
            Refusal::CertificateExpired(at) => {
                Self::InvalidCertificate(notme_chain::Refusal::Expired(at))
            }
            Refusal::CertificateRevoked => Self::InvalidCertificate(notme_chain::Refusal::Revoked),
        }
    }
}

/// Encodes a message.
///
/// # Errors
/// [`Fault::Internal`] if it doesn't serialize.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, Fault> {
    postcard::to_extend(message, vec![VERSION]).map_err(|e| Fault::Internal(e.to_string()))
}

/// Encodes a message to an object that is sent `at`, in Unix milliseconds: an object decodes [`Sent`].
///
/// # Errors
/// [`Fault::Internal`] if it doesn't serialize.
pub fn sent(message: &impl Serialize, at: u64) -> Result<Vec<u8>, Fault> {
    encode(&Sent { at, message })
}

/// Decodes a message.
///
/// # Errors
/// [`Fault::Internal`] if it is of another version or malformed.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    match bytes.split_first() {
        Some((&VERSION, message)) => {
            postcard::from_bytes(message).map_err(|e| Fault::Internal(e.to_string()))
        }
        _ => Err(Fault::Internal(
            "a message between worker and object has another version".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asking::Question;
    use crate::doors::Ask;

    #[test]
    fn format_unchanged() {
        // Changing these bytes means changing VERSION.
        assert_eq!(sent(&Command::Archive, 300).unwrap(), [16, 0xac, 2, 0]);
        assert_eq!(
            encode(&Reply::Refused(Refusal::ProofUsed)).unwrap(),
            [16, 4, 0]
        );
        assert_eq!(
            encode(&KeysWanted {
                issuer: "i".into(),
                kid: Some("k".into()),
                at: None
            })
            .unwrap(),
            b"\x10\x01i\x01\x01k\x00"
        );
        let question = Question {
            ask: Ask {
                url: "u".into(),
                headers: vec![("n".into(), "v".into())],
                form: None,
                wanted: vec!["w".into()],
            },
            source: Some("s".into()),
        };
        let bytes = encode(&question).unwrap();
        assert_eq!(bytes, b"\x10\x01u\x01\x01n\x01v\x00\x01\x01w\x01\x01s");
        assert_eq!(decode::<Question>(&bytes), Ok(question));
    }

    #[test]
    fn other_versions_and_rubbish_are_refused() {
        for bytes in [&[][..], &[1, 0], &[15, 0], &[16], &[16, 99], &[16, 4, 255]] {
            assert!(decode::<Command>(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(decode::<Command>(&[16, 0]), Ok(Command::Archive));
    }
}

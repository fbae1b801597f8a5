//! Everything that can go wrong, as one enumeration. `http::problem` alone knows how it looks on
//! the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::delegation::DelegationProblem;
use crate::people::bootstrap::FirstBoot;
use crate::people::{Scope, Scopes};
use crate::tokens::authorize::ChallengeProblem;
use crate::tokens::client::RedirectProblem;
use crate::tokens::proof::{Dialect, DpopProblem};

/// Input echoed in an answer: control characters escaped, and cut to 100 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Echo(String);

impl Echo {
    const MAX_CHARS: usize = 100;

    /// Keeps what may be shown of `input`.
    #[must_use]
    pub fn new(input: &str) -> Self {
        let escaped = input.chars().flat_map(|c| {
            let plain =
                !c.is_control() && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let escape = (!plain).then(|| c.escape_unicode());
            plain
                .then_some(c)
                .into_iter()
                .chain(escape.into_iter().flatten())
        });
        Self(escaped.take(Self::MAX_CHARS).collect())
    }
}

impl fmt::Display for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Which of the two keys a proof of possession failed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Possession {
    /// The Ed25519 signing key.
    Ed25519,
    /// The P-256 mTLS key.
    P256,
}

/// Why a request isn't answered with what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Tokens may not be for this audience; those that they may be for.
    AudienceNotAllowed(Vec<String>),
    /// Nobody said whom the token is for.
    AudienceRequired,
    /// The code challenge of an authorization request.
    BadCodeChallenge(ChallengeProblem),
    /// Where an authorization request wants its answer.
    BadRedirectUri(RedirectProblem),
    /// A DPoP proof.
    Dpop(DpopProblem, Dialect),
    /// The authorization code is wrong, was used, has expired, or isn't theirs (RFC 6749 §5.2).
    InvalidGrant,
    /// A parameter of an OAuth request is missing or has the wrong form (RFC 6749 §5.2).
    InvalidRequest(&'static str),
    /// Another way to get a token than the one there is (RFC 6749 §5.2).
    UnsupportedGrantType,
    /// The identity that is shown leads to another principal.
    IdentityTaken,
    /// Nobody has linked the identity that is shown, and by itself it is nobody.
    UnknownIdentity,
    /// The identity that is shown is a workload's: it begins no session and is nobody's way in.
    WorkloadIdentity,
    /// The identity that is shown is a person's, and the row that lets it in is for workloads.
    PersonIdentity,
    /// Without this its owner could not sign in any more.
    LastWayIn,
    /// A principal has as many ways in as it may have.
    TooManyWaysIn,
    /// The challenge was used, has expired, or was never given out for this.
    BadChallenge,
    /// This proof is there to be shown again, so a challenge has to make it single.
    ChallengeRequired,
    /// The operator's code is wrong, or was used.
    BadBootstrapCode,
    /// The invite is wrong, was used, has expired, or its maker may not grant it any more.
    BadInvite,
    /// The connection broke before the body had arrived.
    BodyIncomplete,
    /// The body didn't arrive in time.
    BodyTimeout,
    /// The body is longer than a stranger may send.
    BodyTooLarge,
    /// A certificate that is shown, or its chain, isn't good.
    InvalidCertificate(notme_chain::Refusal),
    /// What is signed isn't signed by the key of the certificate that is shown.
    WrongSigner,
    /// A passkey ceremony went wrong.
    Ceremony(CeremonyError),
    /// The passkey belongs to somebody already.
    CredentialKnown,
    /// The request was made by another site's page.
    CrossSite,
    /// A delegation.
    Delegation(DelegationProblem),
    /// First boot, and no code; what it waits for.
    FirstBoot(FirstBoot),
    /// Nobody grants something for longer than they have it.
    GrantTooLong,
    /// A parameter of the query has the wrong form, or means nothing here.
    InvalidQuery(&'static str),
    /// A row that an administrator would make can't be one, and why not.
    InvalidRow(String),
    /// There are as many rows as there may be.
    TooManyRows,
    /// Somebody changed the row meanwhile.
    RowEdited,
    /// The row that let somebody in was changed since it was looked up.
    RowChanged,
    /// A member of the body has the wrong form.
    InvalidMember(&'static str),
    /// Registration without the id of the user.
    MissingUserId,
    /// The proof was used before.
    ProofUsed,
    /// The public key named isn't one that we accept.
    InvalidKey(notme_keys::Error),
    /// The body isn't JSON.
    InvalidJson,
    /// Something in the token is wrong.
    InvalidToken(TokenError),
    /// The path exists, the method doesn't; the methods that do.
    MethodNotAllowed(String),
    /// No `Authorization: Bearer` header.
    MissingBearer,
    /// A key is missing.
    MissingKeys,
    /// No kind of proof is named.
    MissingProofType,
    /// The proof is of a kind that has a token, and there is none.
    MissingToken,
    /// A proof of possession is missing.
    MissingProofs,
    /// The token has no `jti`, so it can't be made single use.
    MissingTokenId,
    /// The policy doesn't permit this.
    NotPermitted(PolicyRule),
    /// No such path.
    NotFound,
    /// A path of the protocol that this version doesn't serve.
    NotImplemented,
    /// The signing routes are worker-to-worker only.
    NotAnHttpEndpoint,
    /// No session, or none that is good any more.
    NoSession,
    /// No invite's token was sent.
    MissingInviteToken,
    /// Without this the authority would have no administrator who can come in.
    LastAdministrator,
    /// Without this nobody could grant the scope any more.
    LastHolder(Scope),
    /// Nobody grants what they don't have.
    ScopeNotHeld(Scope),
    /// There is no such item in a list.
    NoSuchItem,
    /// Only an administrator may do this.
    ManageRequired,
    /// This is dangerous: an authenticator has to be shown again.
    StepUpRequired,
    /// A proof of possession failed.
    PossessionFailed(Possession),
    /// The session's cookie is no good session's.
    InvalidSession,
    /// There is no session's cookie.
    NoSessionCookie,
    /// None of the scopes asked for may stand in a certificate.
    ScopesNotEligible {
        /// What was asked for.
        requested: Vec<Echo>,
    },
    /// None of the scopes asked for is granted.
    ScopesNotGranted {
        /// What was asked for.
        requested: Vec<Echo>,
        /// What is granted.
        granted: Scopes,
    },
    /// There is no such kind of proof.
    UnknownProofType(Echo),
    /// TLS was spoken without a client certificate that whoever terminated it vouches for.
    NoClientCertificate,
    /// A secret that is to show that a proxy is ours isn't its.
    UntrustedProxy,
    /// The issuer doesn't take the code that somebody came back from it with.
    CodeRefused,
    /// Who issued this token doesn't take it.
    TokenRefused,
    /// Nobody can say for good whose this token is.
    UnsupportedToken,
    /// Too many keys are trusted at once; when one of them leaves, in seconds.
    TooManyKeys(u32),
    /// More requests of a kind than one source may make, or one identity; when to go on, in seconds.
    TooManyRequests(u32),
    /// Too many wrong tries; when to try again, in seconds.
    TooManyTries(u32),
    /// Whose proof it is was turned away.
    TurnedAway,
    /// Nobody has this passkey, or who has may not come in any more.
    UnknownPasskey,
    /// The body has another media type than JSON.
    UnsupportedMediaType,
    /// Our fault, not the caller's.
    Fault(Fault),
}

/// Which ceremony went wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CeremonyError {
    /// A registration.
    Registration(notme_webauthn::Error),
    /// A sign-in.
    SignIn(notme_webauthn::Error),
}

/// What is wrong with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// `exp` has passed.
    Expired,
    /// `iat` lies in the future.
    IssuedInFuture,
    /// A claim is missing or has the wrong form.
    InvalidClaim(&'static str),
    /// The signature isn't the key's.
    InvalidSignature,
    /// Not a JWT.
    Malformed,
    /// `nbf` lies in the future.
    NotYetValid,
    /// The issuer doesn't publish this key.
    UnknownKey(Echo),
    /// Another `alg` than RS256, or critical extensions.
    UnsupportedAlgorithm(Echo),
    /// For somebody else.
    WrongAudience(Echo),
    /// From somebody else.
    WrongIssuer(Echo),
}

/// The rule of the policy that said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyRule {
    /// What the issuer's rows say about claims.
    Claims,
    /// The environment.
    Environment,
    /// The event that started the job.
    Event,
    /// The owner of the repository.
    Owner,
    /// The ref.
    Ref,
    /// The repository.
    Repository,
    /// The workflow.
    Workflow,
}

/// What is wrong on our side. The caller learns a code; the reason is for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The configuration can't be used.
    Configuration(String),
    /// The keys of a token issuer can't be had.
    IssuerUnavailable(String),
    /// An API that was to be asked can't be, or asks us to wait.
    ApiUnavailable {
        /// Why.
        reason: String,
        /// When to try again, in seconds.
        retry_after: u32,
    },
    /// An issuer gave no token for the code that somebody came back from it with.
    CodeUnredeemed(String),
    /// The rows that administrators made can't be had.
    RowsUnavailable(String),
    /// The CA key can't be used, because of the key storage that is configured.
    KeyStorage(String),
    /// The clock was ahead once, and what was used since then can't be told from what wasn't.
    Clock(String),
    /// Something that can't happen happened.
    Internal(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(reason)
            | Self::IssuerUnavailable(reason)
            | Self::ApiUnavailable { reason, .. }
            | Self::CodeUnredeemed(reason)
            | Self::RowsUnavailable(reason)
            | Self::KeyStorage(reason)
            | Self::Clock(reason)
            | Self::Internal(reason) => f.write_str(reason),
        }
    }
}

impl Error {
    /// With what the caller asked for, where the refusal is about that.
    #[must_use]
    pub fn asked_for(mut self, scopes: &[Echo]) -> Self {
        if let Self::ScopesNotGranted { requested, .. } | Self::ScopesNotEligible { requested } =
            &mut self
        {
            *requested = scopes.to_vec();
        }
        self
    }
}

impl Error {
    /// Whether nothing is wrong with the request, and it may be made again as it is: it has to wait, or that is our
    /// fault. What it would have used up stays.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Fault(_) | Self::TooManyRequests(_) | Self::TooManyTries(_) | Self::RowChanged
        )
    }

    /// In OAuth's words, where it has its own.
    #[must_use]
    pub fn in_oauth(self) -> Self {
        match self {
            Self::Dpop(problem, _) => Self::Dpop(problem, Dialect::OAuth),
            Self::InvalidQuery(_) => Self::InvalidRequest("the body is no form"),
            other => other,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        Self::InvalidToken(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_asked_again_as_it_is_passes() {
        for error in [
            Error::TooManyRequests(1),
            Error::TooManyTries(1),
            Error::RowChanged,
            Fault::Internal(String::new()).into(),
        ] {
            assert!(error.is_passing(), "{error:?}");
        }
        for error in [Error::BadChallenge, Error::ProofUsed, Error::StepUpRequired] {
            assert!(!error.is_passing(), "{error:?}");
        }
    }

    #[test]
    fn echoes_are_short_and_harmless() {
        assert_eq!(Echo::new("a\n\"\u{202e}").to_string(), "a\\u{a}\"\\u{202e}");
        assert_eq!(
            Echo::new(&"ä".repeat(1000)).to_string().chars().count(),
            100
        );
    }
}

//! What an [`Error`] looks like on the wire: the only place with status codes of failures.

use notme_chain::Refusal;
use serde_json::{Value, json};

use super::{Reply, RequestHead};
use crate::config::LogLevel;
use crate::delegation::{DelegationProblem, Part};
use crate::documents::escape;
use crate::error::{PolicyRule, TokenError};
use crate::people::bootstrap::FirstBoot;
use crate::people::{Scope, Scopes};
use crate::tokens::authorize::ChallengeProblem;
use crate::tokens::client::RedirectProblem;
use crate::tokens::proof::{Dialect, DpopProblem};
use crate::{CeremonyError, Echo, Error, Fault, Possession};

/// How an error is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status code.
    pub status: u16,
    /// The stable code.
    pub code: &'static str,
    /// The text that the protocol documents (notme protocol §7.2), or else the code.
    pub text: String,
    /// Further members of the body, where the protocol documents some.
    pub members: Vec<(&'static str, Value)>,
    /// When it makes sense to try again, in seconds.
    pub retry_after: Option<u32>,
    /// The value of `Allow`.
    pub allow: Option<String>,
    /// The nonce that the next DPoP proof has to name.
    pub nonce: Option<String>,
    /// What the operator should know and the caller shouldn't.
    pub reason: Option<String>,
    /// How loud the log is about it.
    pub level: LogLevel,
}

/// A problem that is no more than this. Never inlined: there are many, and each would be a page of code.
#[inline(never)]
fn plain(status: u16, code: &'static str, text: &str) -> Problem {
    Problem {
        status,
        code,
        text: text.to_owned(),
        members: Vec::new(),
        retry_after: None,
        allow: None,
        nonce: None,
        reason: None,
        level: LogLevel::Info,
    }
}

/// Maps an error to its answer.
#[must_use]
pub fn problem(error: &Error) -> Problem {
    let text = plain;
    match error {
        Error::AudienceNotAllowed(allowed) => Problem {
            members: vec![("allowed", allowed.clone().into())],
            ..text(400, "invalid_audience", "invalid_audience")
        },
        Error::AudienceRequired => text(400, "audience_required", "audience_required"),
        Error::BadCodeChallenge(problem) => code_challenge_problem(*problem),
        Error::BadRedirectUri(problem) => redirect_problem(*problem),
        Error::Dpop(problem, dialect) => dpop_problem(problem, *dialect),
        Error::InvalidGrant => text(400, "invalid_grant", "invalid_grant"),
        Error::InvalidRequest(why) => described(400, "invalid_request", "invalid_request", why),
        Error::UnsupportedGrantType => described(
            400,
            "unsupported_grant_type",
            "unsupported_grant_type",
            "grant_type must be authorization_code; whoever has a session sends JSON and none",
        ),
        Error::BadChallenge => text(
            400,
            "bad_challenge",
            "the challenge was used, has expired, or is for something else: begin again",
        ),
        Error::ChallengeRequired => text(
            400,
            "challenge_required",
            "this proof can be shown again: name a challenge of /cert/challenge, and sign it",
        ),
        Error::IdentityTaken => text(
            409,
            "identity_taken",
            "this identity is linked already, and not to you",
        ),
        Error::UnknownIdentity => text(
            403,
            "unknown_identity",
            "unknown identity — get an invite first",
        ),
        Error::WorkloadIdentity => text(
            403,
            "workload_identity",
            "this identity is a workload's: it gets no session, and can't be linked to a person",
        ),
        Error::PersonIdentity => text(
            403,
            "person_identity",
            "this identity is a person's, and is good at a row for people alone",
        ),
        Error::LastWayIn => text(
            409,
            "last_way_in",
            "you could not sign in any more: add another way in first",
        ),
        Error::TooManyWaysIn => text(
            409,
            "too_many_ways_in",
            "you have as many passkeys and linked identities as there may be: remove one first",
        ),
        Error::TurnedAway => text(
            403,
            "turned_away",
            "whoever this proof is about was turned away",
        ),
        Error::BadBootstrapCode => text(
            403,
            "bad_bootstrap_code",
            "invalid or already-used bootstrap code",
        ),
        Error::BodyIncomplete => text(400, "body_incomplete", "the body did not arrive whole"),
        Error::BodyTimeout => text(408, "body_timeout", "the body did not arrive in time"),
        Error::BodyTooLarge => text(413, "body_too_large", "body larger than 64 KiB"),
        Error::InvalidCertificate(why) => certificate_problem(*why),
        Error::WrongSigner => text(
            401,
            "certificate_possession_failed",
            "proof.signature is not the certificate's key's over this request",
        ),
        Error::Ceremony(why) => ceremony_problem(why),
        Error::CredentialKnown => text(
            409,
            "credential_known",
            "this passkey is registered already",
        ),
        Error::CrossSite => text(
            403,
            "cross_site",
            "this request came from another site's page",
        ),
        Error::Delegation(problem) => delegation_problem(*problem),
        Error::FirstBoot(state) => first_boot_problem(*state),
        Error::InvalidMember(name) => {
            text(400, "invalid_member", &format!("{name} has the wrong form"))
        }
        Error::InvalidRow(why) => text(400, "invalid_row", why),
        Error::TooManyRows => text(
            409,
            "too_many_rows",
            "there are as many rows as there may be: remove one first",
        ),
        Error::RowEdited => text(
            409,
            "row_edited",
            "somebody changed this row meanwhile: look at it again",
        ),
        Error::RowChanged => Problem {
            retry_after: Some(1),
            ..text(
                503,
                "row_changed",
                "who is let in is being changed: ask again",
            )
        },
        Error::MissingUserId => text(
            400,
            "missing_user_id",
            "userId required (from register/options response)",
        ),
        Error::BadInvite => text(403, "bad_invite", "invalid or expired invite"),
        Error::MissingInviteToken => text(400, "missing_invite_token", "invite token required"),
        Error::LastAdministrator => text(
            409,
            "last_administrator",
            "nobody else could administer this authority: let another administrator in first",
        ),
        Error::ScopeNotHeld(scope) => text(
            403,
            "scope_not_held",
            &format!("cannot grant scope you don't have: {scope}"),
        ),
        Error::GrantTooLong => text(
            403,
            "grant_too_long",
            "cannot grant a scope for longer than you have it",
        ),
        Error::InvalidQuery(name) => text(
            400,
            "invalid_query",
            &format!("{name} has the wrong form, or means nothing here"),
        ),
        Error::NoSuchItem => text(404, "no_such_item", "there is no such item"),
        Error::ManageRequired => text(403, "manage_required", "authorityManage scope required"),
        Error::StepUpRequired => text(
            403,
            "step_up_required",
            "show a passkey again, then repeat this: it was too long ago",
        ),
        Error::NoSession => text(401, "no_session", "unauthorized"),
        Error::InvalidSession => text(401, "invalid_session", "invalid session"),
        Error::NoSessionCookie => text(401, "no_session_cookie", "no session cookie"),
        Error::MissingProofType => text(400, "missing_proof_type", "proof.type required"),
        Error::UnknownProofType(name) => text(
            400,
            "unknown_proof_type",
            &format!("unknown proof type: {name}"),
        ),
        Error::NoClientCertificate => text(
            401,
            "client_certificate_required",
            "this connection has no client certificate that whoever terminates TLS vouches for",
        ),
        Error::UntrustedProxy => text(
            403,
            "untrusted_proxy",
            "the secret that shows that a proxy is trusted is not the one that is configured",
        ),
        Error::CodeRefused => text(
            401,
            "code_refused",
            "the issuer does not take this code: it was used, has expired, or is for somebody else",
        ),
        Error::TokenRefused => text(
            401,
            "token_refused",
            "whoever issued this token does not take it",
        ),
        Error::UnsupportedToken => text(
            400,
            "unsupported_token",
            "nobody can say for good whose this token is: use a user's, or the app's own",
        ),
        Error::ScopesNotGranted { requested, granted } => Problem {
            members: vec![
                ("requested", echoed(requested)),
                ("granted", granted.names().into()),
            ],
            ..text(
                403,
                "scopes_not_granted",
                "none of the requested scopes are granted",
            )
        },
        Error::ScopesNotEligible { requested } => Problem {
            members: vec![
                ("requested", echoed(requested)),
                ("eligible", Scopes::eligible().names().into()),
            ],
            ..text(
                403,
                "scopes_not_eligible",
                "none of the requested scopes may be carried by a certificate",
            )
        },
        Error::LastHolder(scope) => text(
            409,
            "last_holder",
            &format!("nobody else could grant {scope}: grant it to another administrator first"),
        ),
        Error::TooManyKeys(secs) => Problem {
            retry_after: Some(*secs),
            ..text(
                409,
                "too_many_keys",
                "the key was rolled over too often in a short time: wait until an old one has left, or begin a new epoch",
            )
        },
        Error::TooManyRequests(secs) => Problem {
            retry_after: Some(*secs),
            ..text(429, "too_many_requests", "rate_limited")
        },
        Error::TooManyTries(secs) => Problem {
            retry_after: Some(*secs),
            ..text(429, "too_many_tries", "rate_limited")
        },
        Error::UnknownPasskey => text(401, "unknown_passkey", "authentication failed"),
        Error::ProofUsed => text(401, "token_used", "token already used"),
        Error::InvalidKey(why) => text(
            400,
            "invalid_public_key",
            &format!("invalid public key: {why}"),
        ),
        Error::InvalidJson => text(400, "invalid_json", "invalid JSON body"),
        Error::InvalidToken(why) => token_problem(why),
        Error::MethodNotAllowed(allow) => Problem {
            allow: Some(allow.clone()),
            ..text(405, "method_not_allowed", "method not allowed")
        },
        Error::MissingBearer => text(401, "missing_token", "missing Bearer token"),
        Error::MissingKeys => text(
            400,
            "missing_public_keys",
            "public_keys.mtls and public_keys.signing required (SPKI PEM)",
        ),
        Error::MissingProofs => text(
            400,
            "missing_proofs",
            "proofs.mtls and proofs.signing required (signatures over binding payload)",
        ),
        Error::MissingToken => text(400, "missing_proof_token", "proof.token required"),
        Error::MissingTokenId => text(
            400,
            "missing_jti",
            "jti claim required for replay protection",
        ),
        Error::NotPermitted(rule) => policy_problem(*rule),
        Error::NotFound => text(404, "not_found", "not_found"),
        Error::NotImplemented => text(501, "not_implemented", "not_implemented"),
        Error::NotAnHttpEndpoint => Problem {
            members: vec![(
                "error_description",
                "signing is not an HTTP endpoint; use the RPC entrypoint".into(),
            )],
            ..text(404, "not_an_http_endpoint", "not_an_http_endpoint")
        },
        Error::PossessionFailed(Possession::P256) => text(
            401,
            "p256_possession_failed",
            "P-256 proof-of-possession failed",
        ),
        Error::PossessionFailed(Possession::Ed25519) => text(
            401,
            "ed25519_possession_failed",
            "Ed25519 proof-of-possession failed",
        ),
        Error::UnsupportedMediaType => text(
            415,
            "unsupported_media_type",
            "content type must be application/json",
        ),
        Error::Fault(fault) => fault_problem(fault),
    }
}

/// A problem in OAuth's form: a code for `error`, and a sentence beside it.
#[inline(never)]
fn described(status: u16, code: &'static str, error: &str, why: &str) -> Problem {
    Problem {
        members: vec![("error_description", why.into())],
        ..plain(status, code, error)
    }
}

fn code_challenge_problem(problem: ChallengeProblem) -> Problem {
    let (code, text) = match problem {
        ChallengeProblem::Missing => (
            "missing_code_challenge",
            "malformed or missing code_challenge",
        ),
        ChallengeProblem::Method => (
            "unsupported_code_challenge_method",
            "code_challenge_method must be S256",
        ),
        ChallengeProblem::Malformed => ("malformed_code_challenge", "malformed code_challenge"),
    };
    plain(400, code, text)
}

fn redirect_problem(problem: RedirectProblem) -> Problem {
    match problem {
        RedirectProblem::Missing => plain(400, "missing_redirect_uri", "redirect_uri required"),
        RedirectProblem::Malformed => plain(400, "malformed_redirect_uri", "invalid redirect_uri"),
        RedirectProblem::Insecure => {
            plain(400, "insecure_redirect_uri", "redirect_uri must be https")
        }
        RedirectProblem::Unregistered => described(
            403,
            "redirect_uri_not_registered",
            "redirect_uri not on allowed domain",
            "it isn't registered, to the letter, for this client_id: OAUTH_CLIENTS is where the operator does so",
        ),
    }
}

fn dpop_problem(problem: &DpopProblem, dialect: Dialect) -> Problem {
    const INVALID: &str = "invalid_dpop_proof";
    let is_oauth = dialect == Dialect::OAuth;
    // RFC 6749 §5.2 has one status, and RFC 9449 §5 one error.
    let status = if is_oauth { 400 } else { 401 };
    let error = |own| if is_oauth { INVALID } else { own };
    match problem {
        DpopProblem::Missing => described(
            400,
            "dpop_proof_required",
            error("dpop_proof_required"),
            "the request needs a DPoP header (RFC 9449)",
        ),
        DpopProblem::Invalid(why) => described(status, INVALID, INVALID, why),
        DpopProblem::Reused => described(
            status,
            "proof_reused",
            error("proof_reused"),
            "the proof was shown before: each request needs one with its own jti",
        ),
        DpopProblem::NonceRequired(nonce) => Problem {
            nonce: Some(nonce.clone()),
            ..described(
                400,
                "use_dpop_nonce",
                "use_dpop_nonce",
                "Authorization server requires a nonce in the DPoP proof",
            )
        },
    }
}

fn echoed(texts: &[Echo]) -> Value {
    texts.iter().map(ToString::to_string).collect()
}

fn ceremony_problem(error: &CeremonyError) -> Problem {
    let (prefix, why) = match error {
        CeremonyError::Registration(why) => ("registration verification failed", why),
        CeremonyError::SignIn(why) => ("verification error", why),
    };
    plain(400, why.code(), &format!("{prefix}: {why}"))
}

fn certificate_problem(why: Refusal) -> Problem {
    let code = match why {
        Refusal::Malformed(_) => "malformed_certificate",
        Refusal::Profile(_) => "bad_certificate",
        Refusal::UnknownCriticalExtension => "unknown_critical_extension",
        Refusal::Expired(_) => "certificate_expired",
        Refusal::NotYetValid(_) => "certificate_not_yet_valid",
        Refusal::NotCa
        | Refusal::PathTooLong
        | Refusal::KeyUsage
        | Refusal::Purpose
        | Refusal::NameConstraints => "chain_not_permitted",
        Refusal::NoPath => "unknown_root",
        Refusal::UnsupportedAlgorithm => "unsupported_certificate_alg",
        Refusal::BadSignature => "invalid_chain",
        Refusal::Revoked => "certificate_revoked",
        Refusal::RevocationUnknown(_) => "revocation_unknown",
        Refusal::TooMuch => "chain_too_large",
    };
    plain(401, code, &format!("invalid certificate: {why}"))
}

fn delegation_problem(problem: DelegationProblem) -> Problem {
    match problem {
        DelegationProblem::Unknown => plain(
            403,
            "unknown_delegation",
            "there is no such delegation to whoever this is about",
        ),
        DelegationProblem::Expired => plain(
            403,
            "delegation_expired",
            "the delegation is over, or one that it hangs on is",
        ),
        DelegationProblem::Revoked => plain(
            403,
            "delegation_revoked",
            "the delegation was taken back, or one that it hangs on was, or somebody in between was turned away",
        ),
        DelegationProblem::Exceeded(part) => Problem {
            members: vec![("member", part.member().into())],
            ..plain(
                403,
                "delegation_exceeded",
                "nobody passes on what they don't have, for longer, or further than they may",
            )
        },
        DelegationProblem::Missing => plain(
            400,
            "delegation_required",
            "an issuing certificate hangs on a delegation: name one",
        ),
        DelegationProblem::Bound => plain(
            403,
            "delegation_bound",
            "a pair on somebody's behalf gives another on the same delegation, and nothing else",
        ),
        DelegationProblem::TooMany => plain(
            409,
            "too_many_delegations",
            "too many delegations of yours are in force: take some back first",
        ),
    }
}

fn first_boot_problem(state: FirstBoot) -> Problem {
    let code = match state {
        FirstBoot::Armed => "bootstrap_code_required",
        FirstBoot::Unconfigured => "no_bootstrap_code",
        FirstBoot::Closed => "registration_closed",
    };
    plain(401, code, state.text())
}

fn token_problem(error: &TokenError) -> Problem {
    let (code, reason) = match error {
        TokenError::Expired => ("token_expired", "token expired".into()),
        TokenError::IssuedInFuture => ("token_from_future", "token issued in the future".into()),
        TokenError::InvalidClaim(name) => ("invalid_claims", format!("invalid claims: {name}")),
        TokenError::InvalidSignature => ("invalid_signature", "invalid signature".into()),
        TokenError::Malformed => ("malformed_token", "malformed JWT".into()),
        TokenError::NotYetValid => ("token_not_yet_valid", "token not yet valid".into()),
        TokenError::UnknownKey(kid) => ("unknown_key", format!("unknown key id: {kid}")),
        TokenError::UnsupportedAlgorithm(alg) => {
            ("unsupported_alg", format!("unsupported alg: {alg}"))
        }
        TokenError::WrongAudience(aud) => ("wrong_audience", format!("wrong audience: {aud}")),
        TokenError::WrongIssuer(iss) => ("wrong_issuer", format!("wrong issuer: {iss}")),
    };
    plain(401, code, &format!("invalid token: {reason}"))
}

fn policy_problem(rule: PolicyRule) -> Problem {
    let (code, text) = match rule {
        PolicyRule::Claims => ("claims_not_permitted", "no rule lets these claims in"),
        PolicyRule::Environment => ("environment_not_permitted", "environment not permitted"),
        PolicyRule::Event => ("event_not_permitted", "event not permitted"),
        PolicyRule::Owner => ("owner_not_permitted", "repository owner not permitted"),
        PolicyRule::Ref => ("ref_not_permitted", "ref not permitted"),
        PolicyRule::Repository => ("repository_not_permitted", "repository not permitted"),
        PolicyRule::Workflow => ("workflow_not_permitted", "workflow not permitted"),
    };
    plain(403, code, text)
}

fn fault_problem(fault: &Fault) -> Problem {
    let (status, code, text, reason) = match fault {
        Fault::Configuration(reason) => (
            503,
            "misconfigured",
            "authority unavailable: its configuration can't be used; its log says why",
            reason,
        ),
        Fault::IssuerUnavailable(reason) => (
            503,
            "issuer_unavailable",
            "authority unavailable: what the token's issuer publishes can't be had",
            reason,
        ),
        Fault::ApiUnavailable { reason, .. } => (
            503,
            "api_unavailable",
            "authority unavailable: whoever knows this token can't be asked now",
            reason,
        ),
        Fault::CodeUnredeemed(reason) => (
            503,
            "code_unredeemed",
            "authority unavailable: the issuer gave no token for this code; the log says why",
            reason,
        ),
        Fault::RowsUnavailable(reason) => (
            503,
            "rows_unavailable",
            "authority unavailable: whom it lets in can't be looked up",
            reason,
        ),
        Fault::KeyStorage(reason) => (
            503,
            "key_unavailable",
            "authority unavailable: its key can't be used; its log says why",
            reason,
        ),
        Fault::Clock(reason) => (
            503,
            "clock_went_back",
            "authority unavailable: its clock was ahead; its log says until when",
            reason,
        ),
        Fault::Internal(reason) => (500, "internal", "internal error", reason),
    };
    let retry_after = match fault {
        Fault::ApiUnavailable { retry_after, .. } => *retry_after,
        _ => 10,
    };
    Problem {
        retry_after: (status == 503).then_some(retry_after),
        reason: Some(reason.clone()),
        level: match fault {
            Fault::IssuerUnavailable(_)
            | Fault::ApiUnavailable { .. }
            | Fault::CodeUnredeemed(_) => LogLevel::Warn,
            Fault::Configuration(_)
            | Fault::RowsUnavailable(_)
            | Fault::KeyStorage(_)
            | Fault::Clock(_)
            | Fault::Internal(_) => LogLevel::Error,
        },
        ..plain(status, code, text)
    }
}

impl Problem {
    /// The answer: JSON unless `Accept` names RFC 9457 problem details or HTML. The page is a plain one,
    /// for when no template can be read.
    #[must_use]
    pub fn reply(&self, head: &RequestHead) -> Reply {
        let mut reply = if head.accepts("application/problem+json") {
            let body = self.with_members(json!({
                "type": "about:blank",
                "title": title(self.status),
                "status": self.status,
                "detail": self.text,
                "error": self.text,
                "code": self.code,
            }));
            Reply::new(self.status, "application/problem+json", body)
        } else if self.is_page(head) {
            let (title, text) = (self.title(), escape(&self.text));
            let page = format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
                 <h1>{title}</h1><p>{text}</p></html>"
            );
            Reply::new(self.status, "text/html; charset=utf-8", page.into_bytes())
        } else {
            let body = self.with_members(json!({ "error": self.text, "code": self.code }));
            Reply::new(self.status, "application/json", body)
        };
        self.annotate(&mut reply);
        reply
    }

    /// Whether the answer is a page.
    #[must_use]
    pub fn is_page(&self, head: &RequestHead) -> bool {
        head.wants_page() && !head.accepts("application/problem+json")
    }

    /// What the status is called.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        title(self.status)
    }

    /// Sets the headers that the answer has in any form.
    pub(super) fn annotate(&self, reply: &mut Reply) {
        if let Some(secs) = self.retry_after {
            reply.set("retry-after", secs.to_string());
        }
        if let Some(allow) = &self.allow {
            reply.set("allow", allow.clone());
        }
        if self.status == 401 {
            // RFC 9110 §15.5.2 asks for a challenge.
            let challenge = match self.code {
                "invalid_dpop_proof" | "proof_reused" => {
                    "DPoP error=\"invalid_dpop_proof\", algs=\"ES256\""
                }
                _ => "Bearer",
            };
            reply.set("www-authenticate", challenge);
        }
        if let Some(nonce) = &self.nonce {
            tell_nonce(reply, nonce);
        }
    }

    fn with_members(&self, mut body: Value) -> Vec<u8> {
        if let Some(members) = body.as_object_mut() {
            let further = self.members.iter().cloned();
            members.extend(further.map(|(name, value)| (name.to_owned(), value)));
        }
        body.to_string().into_bytes()
    }
}

/// Gives the nonce for the next DPoP proof (RFC 9449 §8).
pub fn tell_nonce(reply: &mut Reply, nonce: &str) {
    reply.set("dpop-nonce", nonce);
    reply.set("access-control-expose-headers", "DPoP-Nonce");
}

const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        409 => "Conflict",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// One of each code that a certificate may be refused with at a door, where no lists are asked for.
pub(super) const fn certificates() -> [Refusal; 11] {
    [
        Refusal::Malformed("not one DER certificate"),
        Refusal::Profile("a certificate isn't of version 3"),
        Refusal::UnknownCriticalExtension,
        Refusal::Expired(0),
        Refusal::NotYetValid(0),
        Refusal::PathTooLong,
        Refusal::NoPath,
        Refusal::UnsupportedAlgorithm,
        Refusal::BadSignature,
        Refusal::Revoked,
        Refusal::TooMuch,
    ]
}

/// One error of each kind, for documents and tests.
pub(super) fn examples() -> Vec<Error> {
    let echo = || Echo::new("…");
    let token = [
        TokenError::Malformed,
        TokenError::UnsupportedAlgorithm(echo()),
        TokenError::WrongIssuer(echo()),
        TokenError::Expired,
        TokenError::IssuedInFuture,
        TokenError::NotYetValid,
        TokenError::WrongAudience(echo()),
        TokenError::UnknownKey(echo()),
        TokenError::InvalidSignature,
        TokenError::InvalidClaim("…"),
    ];
    let rules = [
        PolicyRule::Owner,
        PolicyRule::Repository,
        PolicyRule::Ref,
        PolicyRule::Workflow,
        PolicyRule::Environment,
        PolicyRule::Event,
        PolicyRule::Claims,
    ];
    let faults = [
        Fault::Configuration(String::new()),
        Fault::IssuerUnavailable(String::new()),
        Fault::CodeUnredeemed(String::new()),
        Fault::ApiUnavailable {
            reason: String::new(),
            retry_after: 10,
        },
        Fault::RowsUnavailable(String::new()),
        Fault::KeyStorage(String::new()),
        Fault::Clock(String::new()),
        Fault::Internal(String::new()),
    ];
    let mut examples = vec![
        Error::NotFound,
        Error::NotAnHttpEndpoint,
        Error::NotImplemented,
        Error::MethodNotAllowed("…".into()),
        Error::UnsupportedMediaType,
        Error::BodyTooLarge,
        Error::BodyTimeout,
        Error::BodyIncomplete,
        Error::MissingBearer,
    ];
    examples.extend(token.map(Error::InvalidToken));
    examples.extend(rules.map(Error::NotPermitted));
    examples.extend(certificates().map(Error::InvalidCertificate));
    examples.push(Error::WrongSigner);
    examples.extend([
        Error::MissingTokenId,
        Error::MissingToken,
        Error::InvalidJson,
        Error::MissingKeys,
        Error::MissingProofs,
        Error::InvalidKey(notme_keys::Error::BadSpki),
        Error::PossessionFailed(Possession::P256),
        Error::PossessionFailed(Possession::Ed25519),
        Error::ProofUsed,
    ]);
    let first_boot = [FirstBoot::Armed, FirstBoot::Unconfigured, FirstBoot::Closed];
    examples.extend(first_boot.map(Error::FirstBoot));
    examples.extend([
        Error::BadBootstrapCode,
        Error::ChallengeRequired,
        Error::IdentityTaken,
        Error::UnknownIdentity,
        Error::WorkloadIdentity,
        Error::PersonIdentity,
        Error::LastWayIn,
        Error::TooManyWaysIn,
        Error::TurnedAway,
        Error::BadChallenge,
        Error::CredentialKnown,
        Error::CrossSite,
        Error::Delegation(DelegationProblem::Unknown),
        Error::Delegation(DelegationProblem::Expired),
        Error::Delegation(DelegationProblem::Revoked),
        Error::Delegation(DelegationProblem::Exceeded(Part::Scopes)),
        Error::Delegation(DelegationProblem::TooMany),
        Error::Delegation(DelegationProblem::Missing),
        Error::Delegation(DelegationProblem::Bound),
        Error::InvalidMember("…"),
        Error::MissingProofType,
        Error::UnknownProofType(Echo::new("…")),
        Error::NoClientCertificate,
        Error::UntrustedProxy,
        Error::CodeRefused,
        Error::TokenRefused,
        Error::UnsupportedToken,
        Error::NoSessionCookie,
        Error::InvalidSession,
        Error::ScopesNotGranted {
            requested: Vec::new(),
            granted: Scopes::default(),
        },
        Error::ScopesNotEligible {
            requested: Vec::new(),
        },
        Error::MissingUserId,
        Error::NoSession,
        Error::BadInvite,
        Error::MissingInviteToken,
        Error::LastAdministrator,
        Error::LastHolder(Scope::BridgeCert),
        Error::ScopeNotHeld(Scope::BridgeCert),
        Error::GrantTooLong,
        Error::InvalidQuery("…"),
        Error::NoSuchItem,
        Error::InvalidRow("…".into()),
        Error::TooManyRows,
        Error::RowEdited,
        Error::RowChanged,
        Error::ManageRequired,
        Error::StepUpRequired,
        Error::TooManyKeys(1),
        Error::TooManyRequests(1),
        Error::TooManyTries(1),
        Error::UnknownPasskey,
    ]);
    let challenge = [
        ChallengeProblem::Missing,
        ChallengeProblem::Method,
        ChallengeProblem::Malformed,
    ];
    examples.extend(challenge.map(Error::BadCodeChallenge));
    let redirect = [
        RedirectProblem::Missing,
        RedirectProblem::Malformed,
        RedirectProblem::Insecure,
        RedirectProblem::Unregistered,
    ];
    examples.extend(redirect.map(Error::BadRedirectUri));
    let dpop = [
        DpopProblem::Missing,
        DpopProblem::Invalid("…"),
        DpopProblem::NonceRequired("…".into()),
        DpopProblem::Reused,
    ];
    examples.extend(dpop.map(Error::from));
    examples.extend([
        Error::AudienceRequired,
        Error::AudienceNotAllowed(Vec::new()),
        Error::InvalidGrant,
        Error::InvalidRequest("…"),
        Error::UnsupportedGrantType,
    ]);
    examples.extend(faults.map(Error::Fault));
    examples
}

/// Every error as `docs/errors.md`.
#[must_use]
pub fn errors_markdown() -> String {
    let mut out = String::from(
        "# Errors\n\nGenerated from `crates/authority/src/http/problem.rs` by `npm run codegen`; do not edit.\n\n\
         Every error is `{\"error\": text, \"code\": code}`; with `Accept: application/problem+json` it is a problem \
         document (RFC 9457) with both members, with `Accept: text/html` a page. Codes don't change; texts are \
         those of the protocol. `…` is input, escaped and cut to 100 characters. A 503 has `Retry-After`, a 405 \
         `Allow`. Reasons on our side are in the log only, under the same `X-Request-Id`.\n\n\
         | status | code | error |\n| --- | --- | --- |\n",
    );
    for problem in examples().iter().map(problem) {
        let Problem {
            status, code, text, ..
        } = problem;
        out.push_str(&format!("| {status} | `{code}` | {text} |\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_faults_tell_nothing() {
        let problems: Vec<Problem> = examples().iter().map(problem).collect();
        for (i, a) in problems.iter().enumerate() {
            assert!((400..600).contains(&a.status));
            assert!(
                problems.iter().skip(i + 1).all(|b| a.code != b.code),
                "{}",
                a.code
            );
        }
        let fault = problem(&Error::Fault(Fault::Internal("a secret".into())));
        let reply = fault.reply(&RequestHead::default());
        assert!(!String::from_utf8(reply.body).unwrap().contains("secret"));
    }

    #[test]
    fn a_proof_is_refused_in_the_words_of_whoever_shows_it() {
        let told = |problem: DpopProblem, dialect| {
            let reply = problem_of(&Error::Dpop(problem, dialect));
            (reply.status, reply.text, reply.code)
        };
        use super::problem as problem_of;
        for (problem, protocol, oauth, code) in [
            (
                DpopProblem::Missing,
                (400, "dpop_proof_required"),
                (400, "invalid_dpop_proof"),
                "dpop_proof_required",
            ),
            (
                DpopProblem::Invalid("x"),
                (401, "invalid_dpop_proof"),
                (400, "invalid_dpop_proof"),
                "invalid_dpop_proof",
            ),
            (
                DpopProblem::Reused,
                (401, "proof_reused"),
                (400, "invalid_dpop_proof"),
                "proof_reused",
            ),
            (
                DpopProblem::NonceRequired("n".into()),
                (400, "use_dpop_nonce"),
                (400, "use_dpop_nonce"),
                "use_dpop_nonce",
            ),
        ] {
            for (dialect, (status, text)) in
                [(Dialect::Protocol, protocol), (Dialect::OAuth, oauth)]
            {
                assert_eq!(
                    told(problem.clone(), dialect),
                    (status, text.to_owned(), code)
                );
            }
        }
        let nonce = problem(&DpopProblem::NonceRequired("n".into()).into());
        let reply = nonce.reply(&RequestHead::default());
        assert!(reply.headers.contains(&("dpop-nonce", "n".into())));
    }

    #[test]
    fn input_in_a_page_is_escaped() {
        let error = Error::InvalidToken(TokenError::WrongIssuer(Echo::new("<script>")));
        let head = RequestHead {
            accept: Some("text/html".into()),
            ..RequestHead::default()
        };
        let page = String::from_utf8(problem(&error).reply(&head).body).unwrap();
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
    }

    #[test]
    fn docs_are_generated() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
        if std::env::var_os("NOTME_WRITE_DOCS").is_some() {
            std::fs::write(path, errors_markdown()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(committed, errors_markdown(), "run `npm run codegen`");
    }
}

//! What an [`Error`] looks like on the wire: the only place with status codes of failures.

use serde_json::{Value, json};

use super::{Reply, RequestHead};
use crate::documents::escape;
use crate::error::{PolicyRule, TokenError};
use crate::{Error, Fault, Possession};

/// How an error is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status code.
    pub status: u16,
    /// The stable code.
    pub code: &'static str,
    /// The text that the protocol documents (notme protocol §7.2), or else the code.
    pub text: String,
    /// A second member of the body, where the protocol documents one.
    pub description: Option<&'static str>,
    /// When it makes sense to try again, in seconds.
    pub retry_after: Option<u32>,
    /// The value of `Allow`.
    pub allow: Option<String>,
    /// What the operator should know and the caller shouldn't.
    pub reason: Option<String>,
}

/// Maps an error to its answer.
#[must_use]
pub fn problem(error: &Error) -> Problem {
    let text = |status, code, text: &str| Problem {
        status,
        code,
        text: text.to_owned(),
        description: None,
        retry_after: None,
        allow: None,
        reason: None,
    };
    match error {
        Error::BodyIncomplete => text(400, "body_incomplete", "the body did not arrive whole"),
        Error::BodyTimeout => text(408, "body_timeout", "the body did not arrive in time"),
        Error::BodyTooLarge => text(413, "body_too_large", "body larger than 64 KiB"),
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
        Error::MissingTokenId => text(
            400,
            "missing_jti",
            "jti claim required for replay protection",
        ),
        Error::NotPermitted(rule) => policy_problem(*rule),
        Error::NotFound => text(404, "not_found", "not_found"),
        Error::NotImplemented => text(501, "not_implemented", "not_implemented"),
        Error::NotAnHttpEndpoint => Problem {
            description: Some("signing is not an HTTP endpoint; use the RPC entrypoint"),
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
    Problem {
        status: 401,
        code,
        text: format!("invalid token: {reason}"),
        description: None,
        retry_after: None,
        allow: None,
        reason: None,
    }
}

fn policy_problem(rule: PolicyRule) -> Problem {
    let (code, text) = match rule {
        PolicyRule::Environment => ("environment_not_permitted", "environment not permitted"),
        PolicyRule::Event => ("event_not_permitted", "event not permitted"),
        PolicyRule::Owner => ("owner_not_permitted", "repository owner not permitted"),
        PolicyRule::Ref => ("ref_not_permitted", "ref not permitted"),
        PolicyRule::Repository => ("repository_not_permitted", "repository not permitted"),
        PolicyRule::Workflow => ("workflow_not_permitted", "workflow not permitted"),
    };
    Problem {
        status: 403,
        code,
        text: text.into(),
        description: None,
        retry_after: None,
        allow: None,
        reason: None,
    }
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
            "authority unavailable: the token issuer's keys can't be fetched",
            reason,
        ),
        Fault::KeyStorage(reason) => (
            503,
            "key_unavailable",
            "authority unavailable: its key can't be used; its log says why",
            reason,
        ),
        Fault::Internal(reason) => (500, "internal", "internal error", reason),
    };
    Problem {
        status,
        code,
        text: text.into(),
        description: None,
        retry_after: (status == 503).then_some(10),
        allow: None,
        reason: Some(reason.clone()),
    }
}

impl Problem {
    /// The answer: JSON unless `Accept` names RFC 9457 problem details or HTML.
    #[must_use]
    pub fn reply(&self, head: &RequestHead) -> Reply {
        let mut reply = if head.accepts("application/problem+json") {
            let body = self.with_description(json!({
                "type": "about:blank",
                "title": title(self.status),
                "status": self.status,
                "detail": self.text,
                "error": self.text,
                "code": self.code,
            }));
            Reply::new(self.status, "application/problem+json", body)
        } else if head.accepts("text/html") && !head.accepts("application/json") {
            let (title, text) = (title(self.status), escape(&self.text));
            let page = format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
                 <h1>{title}</h1><p>{text}</p></html>"
            );
            Reply::new(self.status, "text/html; charset=utf-8", page.into_bytes())
        } else {
            let body = self.with_description(json!({ "error": self.text, "code": self.code }));
            Reply::new(self.status, "application/json", body)
        };
        if let Some(secs) = self.retry_after {
            reply.set("retry-after", secs.to_string());
        }
        if let Some(allow) = &self.allow {
            reply.set("allow", allow.clone());
        }
        if self.status == 401 {
            // RFC 9110 §15.5.2 asks for a challenge.
            reply.set("www-authenticate", "Bearer");
        }
        reply
    }

    fn with_description(&self, mut body: Value) -> Vec<u8> {
        if let (Some(description), Some(members)) = (self.description, body.as_object_mut()) {
            members.insert("error_description".into(), description.into());
        }
        body.to_string().into_bytes()
    }
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
        415 => "Unsupported Media Type",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

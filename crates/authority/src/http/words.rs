//! The protocol's words where a route has its own for what other routes say too (notme protocol §4 and
//! §8). Codes are the same everywhere.

use super::{Operation, Problem};

impl Problem {
    /// In the words of an operation, asked with or without a session's cookie.
    #[must_use]
    pub fn in_words_of(mut self, operation: Operation, has_cookie: bool) -> Self {
        if let Some(text) = words(operation, self.code, has_cookie) {
            text.clone_into(&mut self.text);
        }
        // Here the protocol begins with other words.
        if operation == Operation::Connect {
            for (ours, theirs) in [
                ("invalid token: ", "proof verification failed: "),
                ("invalid certificate: ", "proof verification failed: "),
                ("unknown proof type: ", "unsupported proof.type: "),
            ] {
                if let Some(rest) = self.text.strip_prefix(ours) {
                    self.text = format!("{theirs}{rest}");
                }
            }
        }
        self
    }
}

fn words(operation: Operation, code: &str, has_cookie: bool) -> Option<&'static str> {
    Some(match (operation, code) {
        (Operation::BeginRecovery, "bad_bootstrap_code") => "invalid or expired bootstrap code",
        (Operation::CertGha, "too_many_requests") => "rate limit exceeded",
        (Operation::Cert, "bad_bootstrap_code") => "invalid or consumed bootstrap code",
        (Operation::Token | Operation::AuthorizeCode, "no_session_cookie" | "no_session") => {
            "session_required"
        }
        (Operation::AuthorizeCode, "invalid_session") => "invalid_session",
        (Operation::Token | Operation::AuthorizeCode, "scopes_not_eligible") => {
            "none of the requested scopes may be carried by a token"
        }
        (Operation::CertPasskey, "no_session_cookie") => "session_required",
        (Operation::CertPasskey, "invalid_session") => "invalid_session",
        (Operation::CertPasskey, "missing_proofs") => {
            "proofs.mtls and proofs.signing required (signatures over the binding payload)"
        }
        (Operation::CertPasskey, "scopes_not_granted" | "scopes_not_eligible") => {
            "session holds no cert-eligible scopes (need bridgeCert)"
        }
        (
            Operation::ListInvites
            | Operation::MakeInvite
            | Operation::RevokeInvite
            | Operation::Connect
            | Operation::Connections
            | Operation::BeginConnection
            | Operation::Disconnect,
            "no_session",
        ) => {
            if has_cookie {
                "invalid session"
            } else {
                "sign in first"
            }
        }
        (Operation::SignIn, "unknown_passkey") => {
            "authentication failed (verified=false, userId=null)"
        }
        (Operation::Identify, "missing_proof_token") => "token required",
        (Operation::Identify | Operation::Join, "challenge_required") => {
            "challenge required: begin at /auth/oidc/options, and ask the issuer for a token with the nonce that it names"
        }
        (Operation::Connect, "challenge_required") => {
            "challenge required: begin at /connections/options, and have the proof made for it"
        }
        (Operation::Status, "manage_required") => "admin required",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::problem;
    use super::*;
    use crate::Error;

    #[test]
    fn a_route_has_its_own_words_and_the_same_codes() {
        let said = |error, operation, has_cookie| {
            let problem = problem(&error).in_words_of(operation, has_cookie);
            (problem.status, problem.code, problem.text)
        };
        let invites = Operation::MakeInvite;
        assert_eq!(
            said(Error::NoSession, invites, false),
            (401, "no_session", "sign in first".into())
        );
        assert_eq!(
            said(Error::NoSession, invites, true),
            (401, "no_session", "invalid session".into())
        );
        assert_eq!(
            said(Error::NoSession, Operation::Me, true),
            (401, "no_session", "unauthorized".into())
        );
        assert_eq!(
            said(Error::BadBootstrapCode, Operation::Cert, false),
            (
                403,
                "bad_bootstrap_code",
                "invalid or consumed bootstrap code".into()
            )
        );
    }
}

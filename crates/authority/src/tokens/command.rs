//! What the worker and the signing object say to each other about tokens.

use serde::{Deserialize, Serialize};

use super::authorize::Consent;
use super::code::{Code, Redemption};
use super::proof::{DpopProblem, ProvenKey};
use super::{Grant, TokenRules, carried};
use crate::Error;
use crate::people::Scopes;
use crate::people::command::{Origin, SessionFacts};

/// What the signing object can be asked about tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A token.
    Issue(Box<Issue>),
    /// A code.
    Consent(Box<Consent>),
}

/// A token that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// What with.
    pub by: By,
    /// The key that is to use it.
    pub key: Option<ProvenKey>,
    /// Where from.
    pub origin: Origin,
}

/// What a token is asked for with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// A session.
    Session {
        /// The hash of its secret.
        hash: [u8; 32],
        /// Whom the token is for.
        audience: String,
        /// What it is to carry.
        scopes: Scopes,
    },
    /// A code.
    Code(Redemption),
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// A token.
    Issued {
        /// The body for the caller, as it is to be sent.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
        /// Its `jti`, for the log.
        id: String,
        /// Whose it is, for the log.
        principal: String,
        /// The nonce for the next proof, where proofs need one.
        nonce: Option<String>,
    },
    /// A code.
    Code(String),
}

impl Issue {
    /// The token for whoever has this session, as of now. Of one that was asked for with a code, `code` is that.
    ///
    /// # Errors
    /// Those of [`carried`], [`Error::InvalidGrant`] and [`Error::Dpop`].
    pub fn decide(
        &self,
        rules: &TokenRules,
        session: &SessionFacts,
        code: Option<&Code>,
    ) -> Result<Grant, Error> {
        let thumbprint = self.key.as_ref().map(|key| key.thumbprint.clone());
        let (audience, asked, client) = match (&self.by, code) {
            (
                By::Session {
                    audience, scopes, ..
                },
                None,
            ) => (audience, scopes, None),
            (By::Code(redemption), Some(code)) => {
                code.permit(redemption, thumbprint.as_deref())?;
                // The configuration may have changed in its minute.
                let client = rules.client(&code.client).ok_or(Error::InvalidGrant)?;
                if thumbprint.is_none() && !client.may_bear {
                    return Err(DpopProblem::Missing.into());
                }
                (&code.audience, &code.scopes, Some(client.id.clone()))
            }
            _ => return Err(Error::InvalidGrant),
        };
        if thumbprint.is_none() && client.is_none() {
            return Err(DpopProblem::Missing.into());
        }
        rules.permit_audience(audience)?;
        Ok(Grant {
            principal: session.principal.clone(),
            share: session.share(),
            audience: audience.clone(),
            scopes: carried(asked, session)?,
            client,
            thumbprint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Client;
    use super::super::tests::session;
    use super::*;
    use crate::Burn;
    use crate::people::Scope;

    fn rules() -> TokenRules {
        let clients = r#"[{"id": "app", "redirect_uris": ["https://app.example/"]},
            {"id": "old", "redirect_uris": ["https://old.example/"], "bearer": true}]"#;
        TokenRules {
            issuer: "https://a.example".into(),
            audiences: vec!["https://a.example".into()],
            clients: Client::read_all(clients).unwrap(),
            requires_nonce: false,
        }
    }

    fn issue(by: By, is_proven: bool) -> Issue {
        let key = ProvenKey {
            thumbprint: "t".into(),
            burn: Burn::new("dpop", "t", "1", 0),
            nonce: None,
        };
        Issue {
            by,
            key: is_proven.then_some(key),
            origin: Origin {
                source: String::new(),
                request_id: String::new(),
            },
        }
    }

    fn redeem(client: &str, is_proven: bool) -> Result<Grant, Error> {
        let code = Code {
            session: String::new(),
            client: client.into(),
            redirect_uri: [1; 32],
            audience: "https://a.example".into(),
            scopes: Scopes::eligible(),
            code_challenge: [2; 32],
            thumbprint: None,
        };
        let by = By::Code(Redemption {
            code: String::new(),
            verifier: [2; 32],
            redirect_uri: [1; 32],
            client: None,
        });
        let session = session(&[Scope::BridgeCert, Scope::AuthorityManage], &[]);
        issue(by, is_proven).decide(&rules(), &session, Some(&code))
    }

    #[test]
    fn a_token_is_bound_to_a_key_unless_its_client_may_do_without() {
        let bound = redeem("app", true).unwrap();
        assert_eq!(bound.thumbprint.as_deref(), Some("t"));
        assert_eq!(
            (bound.client.as_deref(), bound.scopes.names()),
            (Some("app"), vec!["bridgeCert".to_owned()])
        );
        assert_eq!(redeem("app", false), Err(DpopProblem::Missing.into()));
        assert_eq!(redeem("old", false).unwrap().thumbprint, None);
        assert_eq!(
            redeem("old", true).unwrap().thumbprint.as_deref(),
            Some("t")
        );
        assert_eq!(redeem("gone", true), Err(Error::InvalidGrant));
    }

    #[test]
    fn a_session_has_bound_tokens_alone() {
        let by = || By::Session {
            hash: [0; 32],
            audience: "https://a.example".into(),
            scopes: Scopes::eligible(),
        };
        let session = session(&[Scope::BridgeCert], &[]);
        let decide = |issue: &Issue| issue.decide(&rules(), &session, None);
        assert_eq!(decide(&issue(by(), true)).unwrap().client, None);
        assert_eq!(
            decide(&issue(by(), false)),
            Err(DpopProblem::Missing.into())
        );
    }
}

//! A pair for a signed-in person (notme protocol §8.1).

use notme_keys::{Outcome, SignatureCheck};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{object, text};
use super::command::SessionFacts;
use super::{PrincipalId, Scope, Scopes};
use crate::issue::IssueRequest;
use crate::possession::{BoundTo, PairRequest};
use crate::{Burn, Echo, Error, Evidence};

/// Lifetime of the pair, in seconds.
const TTL_SECS: u64 = crate::MAX_LEAF_SECS;

/// A request for a pair, whose proofs of possession nobody has checked yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pair: PairRequest,
    /// The scopes that it asks for.
    pub scopes: Scopes,
    /// The challenge that its proofs are over, if it names one.
    pub challenge: Option<[u8; 32]>,
    /// The value of the cookie that its proofs are over, on the route where they are.
    cookie: Option<String>,
}

/// What the signing object is asked for: a pair for the holder of this session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mint {
    /// The hash of the session's secret.
    pub session: [u8; 32],
    /// The scopes that are asked for.
    pub scopes: Scopes,
    /// The challenge to burn.
    pub challenge: Option<[u8; 32]>,
    /// DER SubjectPublicKeyInfo of the mTLS key.
    #[serde(with = "serde_bytes")]
    pub mtls_spki: Vec<u8>,
    /// DER SubjectPublicKeyInfo of the signing key.
    #[serde(with = "serde_bytes")]
    pub signing_spki: Vec<u8>,
}

impl Request {
    /// Reads `{proof: {type: "session"}, credential?: "certificate", scopes?, challenge?, public_keys,
    /// proofs}`. A token is what asks for one (`credential: "token"`), never what lacks keys.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::MissingProofType`], [`Error::UnknownProofType`],
    /// [`Error::NotImplemented`], [`Error::InvalidMember`], and those of the keys and proofs.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let json: Value = object(body)?;
        match json.pointer("/proof/type").and_then(Value::as_str) {
            Some("session") => {}
            None | Some("") => return Err(Error::MissingProofType),
            Some("oidc" | "bootstrap") => return Err(Error::NotImplemented),
            Some(other) => return Err(Error::UnknownProofType(Echo::new(other))),
        }
        match text(json.get("credential"), "credential")? {
            None | Some("certificate") => {}
            Some("token") => return Err(Error::NotImplemented),
            Some(_) => return Err(Error::InvalidMember("credential")),
        }
        let challenge = match json.get("challenge") {
            None | Some(Value::Null) => None,
            Some(challenge) => Some(
                challenge
                    .as_str()
                    .and_then(notme_keys::decode_base64url)
                    .and_then(|bytes| bytes.try_into().ok())
                    .ok_or(Error::BadChallenge)?,
            ),
        };
        let scopes = scopes(&json)?;
        Ok(Self {
            pair: PairRequest::parse(body)?,
            scopes,
            challenge,
            cookie: None,
        })
    }

    /// Reads `{scopes?, public_keys, proofs}` of a caller that holds the cookie (§8.2).
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::InvalidMember`], and those of the keys and proofs.
    pub fn parse_bound_to_cookie(body: &[u8], cookie: &str) -> Result<Self, Error> {
        Ok(Self {
            pair: PairRequest::parse(body)?,
            scopes: scopes(&object(body)?)?,
            challenge: None,
            cookie: Some(cookie.to_owned()),
        })
    }

    /// What must hold for the caller to hold both keys.
    #[must_use]
    pub fn checks(&self) -> [SignatureCheck; 2] {
        self.pair.checks(match (&self.challenge, &self.cookie) {
            (Some(challenge), _) => BoundTo::Challenge(challenge),
            (None, Some(cookie)) => BoundTo::Cookie(cookie),
            (None, None) => BoundTo::Nothing,
        })
    }

    /// Decides about possession.
    ///
    /// # Errors
    /// [`Error::PossessionFailed`].
    pub fn settle(self, session: [u8; 32], outcomes: &[Outcome]) -> Result<Mint, Error> {
        self.pair.settled(match outcomes {
            [mtls, signing] => [*mtls, *signing],
            _ => [Outcome::Failed; 2],
        })?;
        Ok(Mint {
            session,
            scopes: self.scopes,
            challenge: self.challenge,
            mtls_spki: self.pair.mtls.to_spki().to_vec(),
            signing_spki: self.pair.signing.to_spki().to_vec(),
        })
    }
}

/// The scopes that a request asks for.
fn scopes(json: &Value) -> Result<Scopes, Error> {
    match json.get("scopes") {
        None | Some(Value::Null) => Ok(Scopes::of_anybody()),
        // A name that isn't a scope is one that nobody was granted.
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().ok_or(Error::InvalidMember("scopes")))
            .filter_map(|name| name.map(Scope::parse).transpose())
            .collect(),
        Some(_) => Err(Error::InvalidMember("scopes")),
    }
}

impl Mint {
    /// What to issue to the principal of this session, with the grants of this moment.
    ///
    /// # Errors
    /// [`Error::ScopesNotGranted`] and [`Error::ScopesNotEligible`].
    pub fn decide(
        &self,
        session: &SessionFacts,
        trust_domain: &str,
        burn: Option<Burn>,
    ) -> Result<IssueRequest, Error> {
        let effective = session.scopes.narrowed_to(&self.scopes);
        if effective.is_empty() {
            return Err(Error::ScopesNotGranted);
        }
        let carried = effective.for_certificates();
        if carried.is_empty() {
            return Err(Error::ScopesNotEligible);
        }
        let principal: &PrincipalId = &session.principal;
        Ok(IssueRequest {
            evidence: Evidence {
                subject: principal.to_string(),
                identity: principal.uri(trust_domain),
                auth_method: session.method.clone(),
                scopes: carried.names(),
                burns: burn.into_iter().collect(),
            },
            mtls_spki: self.mtls_spki.clone(),
            signing_spki: self.signing_spki.clone(),
            ttl_secs: TTL_SECS,
            claims: None,
            principal: Some(principal.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mint(scopes: &[Scope]) -> Mint {
        Mint {
            session: [0; 32],
            scopes: scopes.iter().copied().collect(),
            challenge: None,
            mtls_spki: Vec::new(),
            signing_spki: Vec::new(),
        }
    }

    fn session(scopes: &[Scope]) -> SessionFacts {
        SessionFacts {
            principal: PrincipalId::from_random([1; 16]),
            display_name: "Ana".into(),
            scopes: scopes.iter().copied().collect(),
            method: "passkey".into(),
            expires_at: 0,
            id: String::new(),
            authenticator: String::new(),
            fresh_until: 0,
        }
    }

    #[test]
    fn a_certificate_carries_what_is_asked_granted_and_eligible() {
        let both = [Scope::BridgeCert, Scope::AuthorityManage];
        let decide = |asked: &[Scope], granted: &[Scope]| {
            mint(asked)
                .decide(&session(granted), "id.example", None)
                .map(|issue| issue.evidence.scopes)
        };
        assert_eq!(decide(&both, &both), Ok(vec!["bridgeCert".to_owned()]));
        let not_granted = Err(Error::ScopesNotGranted);
        assert_eq!(decide(&both, &[]), not_granted);
        assert_eq!(
            decide(&[Scope::BridgeCert], &[Scope::CertMint]),
            not_granted
        );
        assert_eq!(decide(&[], &both), not_granted);
        let not_eligible = Err(Error::ScopesNotEligible);
        assert_eq!(decide(&[Scope::AuthorityManage], &both), not_eligible);
    }

    #[test]
    fn the_pair_names_the_principal_and_not_the_way_in() {
        let issue =
            mint(&[Scope::BridgeCert]).decide(&session(&[Scope::BridgeCert]), "id.example", None);
        let evidence = issue.unwrap().evidence;
        let id = "01010101-0101-4101-8101-010101010101";
        assert_eq!(
            evidence.identity,
            format!("wimse://id.example/principal/{id}")
        );
        assert_eq!(
            (evidence.subject.as_str(), evidence.auth_method.as_str()),
            (id, "passkey")
        );
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        for (body, error) in [
            ("[]", Error::InvalidJson),
            ("{}", Error::MissingProofType),
            (r#"{"proof":{"type":1}}"#, Error::MissingProofType),
            (
                r#"{"proof":{"type":"x"}}"#,
                Error::UnknownProofType(Echo::new("x")),
            ),
            (r#"{"proof":{"type":"oidc"}}"#, Error::NotImplemented),
            (
                r#"{"proof":{"type":"session"},"credential":"token"}"#,
                Error::NotImplemented,
            ),
            (
                r#"{"proof":{"type":"session"},"credential":"jwt"}"#,
                Error::InvalidMember("credential"),
            ),
            (
                r#"{"proof":{"type":"session"},"scopes":"x"}"#,
                Error::InvalidMember("scopes"),
            ),
            (
                r#"{"proof":{"type":"session"},"scopes":[1]}"#,
                Error::InvalidMember("scopes"),
            ),
            (
                r#"{"proof":{"type":"session"},"challenge":"x"}"#,
                Error::BadChallenge,
            ),
            (r#"{"proof":{"type":"session"}}"#, Error::MissingKeys),
        ] {
            assert_eq!(Request::parse(body.as_bytes()), Err(error), "{body}");
        }
    }
}

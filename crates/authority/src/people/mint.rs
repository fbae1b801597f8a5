//! A pair for a signed-in person (notme protocol §8.1).

use notme_keys::{Outcome, SignatureCheck};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::command::SessionFacts;
use super::{PrincipalId, Scope, Scopes};
use crate::issue::IssueRequest;
use crate::possession::{BoundTo, PairRequest};
use crate::{Burn, Echo, Error, Evidence};

/// Lifetime of the pair, in seconds.
const TTL_SECS: u64 = 300;

/// A request for a pair, whose proofs of possession nobody has checked yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pair: PairRequest,
    /// The scopes that it asks for.
    pub scopes: Scopes,
    /// The challenge that its proofs are over, if it names one.
    pub challenge: Option<[u8; 32]>,
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
    /// Reads `{proof: {type: "session"}, scopes?, challenge?, public_keys, proofs}`.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::MissingProofType`], [`Error::UnknownProofType`],
    /// [`Error::NotImplemented`], [`Error::InvalidMember`], and those of the keys and proofs.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let json: Value = serde_json::from_slice(body).map_err(|_| Error::InvalidJson)?;
        if !json.is_object() {
            return Err(Error::InvalidJson);
        }
        match json.pointer("/proof/type").and_then(Value::as_str) {
            Some("session") => {}
            None | Some("") => return Err(Error::MissingProofType),
            Some("oidc" | "bootstrap") => return Err(Error::NotImplemented),
            Some(other) => return Err(Error::UnknownProofType(Echo::new(other))),
        }
        let scopes = match json.get("scopes") {
            None | Some(Value::Null) => Scopes::of_anybody(),
            // A name that isn't a scope is one that nobody was granted.
            Some(Value::Array(names)) => names
                .iter()
                .map(|name| name.as_str().ok_or(Error::InvalidMember("scopes")))
                .filter_map(|name| name.map(Scope::parse).transpose())
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(Error::InvalidMember("scopes")),
        };
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
        Ok(Self {
            pair: PairRequest::parse(body)?,
            scopes,
            challenge,
        })
    }

    /// What must hold for the caller to hold both keys.
    #[must_use]
    pub fn checks(&self) -> [SignatureCheck; 2] {
        let bound_to = self.challenge.as_ref();
        self.pair
            .checks(bound_to.map_or(BoundTo::Nothing, BoundTo::Challenge))
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

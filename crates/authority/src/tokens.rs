//! Access tokens: JWTs of five minutes that only the holder of a DPoP key can use (notme protocol §12).
//!
//! Two ways lead to one. Whoever has a session asks for a token by `POST /token`. An application that somebody
//! lets act for them gets a code by way of their browser ([`authorize`]) and redeems it. Both are decided here;
//! the signing object reads session and grants again in the transaction that burns what makes the request
//! single.

mod access;
pub mod authorize;
pub mod client;
mod code;
pub mod command;
pub mod proof;
pub mod request;

pub use access::{AccessToken, LIFETIME_SECS};
pub use code::{Code, Redemption};

use crate::people::challenge::{Ceremony, ChallengeKey};
use crate::people::command::SessionFacts;
use crate::people::{PrincipalId, Scopes};
use crate::{Error, Fault};
use client::Client;
use notme_keys::{decode_base64url, encode_base64url};
use proof::{DpopProblem, ProvenKey};

/// What is configured about tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// `iss` of the tokens (notme protocol §12.1): the origin of the authority's URL.
    pub issuer: String,
    /// Whom tokens may be for, compared exactly.
    pub audiences: Vec<String>,
    /// The applications that may ask to act for somebody.
    pub clients: Vec<Client>,
    /// Whether proofs must name a nonce of ours.
    pub requires_nonce: bool,
}

/// A token that may be issued, as of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who it stands for.
    pub principal: PrincipalId,
    /// Whose share it is.
    pub share: String,
    /// Whom it is for.
    pub audience: String,
    /// What it lets its holder do.
    pub scopes: Scopes,
    /// The application that it was asked for by, if it was one.
    pub client: Option<String>,
    /// The thumbprint of the key that can use it; none if anybody can who has it.
    pub thumbprint: Option<String>,
}

impl TokenRules {
    /// Whether tokens may be for `audience`.
    ///
    /// # Errors
    /// [`Error::AudienceNotAllowed`] with those that they may be for.
    pub fn permit_audience(&self, audience: &str) -> Result<(), Error> {
        if self.audiences.iter().any(|allowed| allowed == audience) {
            Ok(())
        } else {
            Err(Error::AudienceNotAllowed(self.audiences.clone()))
        }
    }

    /// Whether a proof has the nonce that it must have. A nonce may be used again while it is good: what makes a
    /// proof single is its id.
    ///
    /// # Errors
    /// [`DpopProblem::NonceRequired`] with the next one, which `random` makes.
    pub fn permit_nonce(
        &self,
        key: &ChallengeKey,
        proof: &ProvenKey,
        random: [u8; 12],
        now: u64,
    ) -> Result<(), Error> {
        let is_ours = |nonce: &String| {
            let bytes = decode_base64url(nonce).unwrap_or_default();
            key.recognize(Ceremony::Nonce, b"", &bytes, now).is_ok()
        };
        if !self.requires_nonce || proof.nonce.as_ref().is_some_and(is_ours) {
            return Ok(());
        }
        Err(DpopProblem::NonceRequired(Self::nonce(key, random, now)).into())
    }

    /// A nonce for proofs.
    #[must_use]
    pub fn nonce(key: &ChallengeKey, random: [u8; 12], now: u64) -> String {
        encode_base64url(&key.make(Ceremony::Nonce, b"", random, now))
    }

    /// The application of that id.
    #[must_use]
    pub fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }
}

/// What of the scopes that are asked for a token may carry: asked ∩ granted at this moment ∩ fit to leave the
/// browser. A session's other scopes stay in it.
///
/// # Errors
/// [`Error::StepUpRequired`], [`Error::ScopesNotGranted`] and [`Error::ScopesNotEligible`].
pub fn carried(asked: &Scopes, session: &SessionFacts) -> Result<Scopes, Error> {
    let effective = session.scopes.narrowed_to(asked);
    let requested = Vec::new(); // the worker knows how it was put
    if effective.is_empty() {
        let is_pending = !session.pending.narrowed_to(asked).is_empty();
        return Err(if is_pending {
            Error::StepUpRequired
        } else {
            Error::ScopesNotGranted {
                requested,
                granted: session.scopes.clone(),
            }
        });
    }
    let carried = effective.for_certificates();
    if carried.is_empty() {
        return Err(Error::ScopesNotEligible { requested });
    }
    Ok(carried)
}

fn unencodable(error: impl std::fmt::Display) -> Fault {
    Fault::Internal(error.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Burn;
    use crate::people::Scope;

    const NOW: u64 = 1_795_295_166;

    pub(crate) fn session(scopes: &[Scope], pending: &[Scope]) -> SessionFacts {
        SessionFacts {
            principal: PrincipalId::from_random([1; 16]),
            display_name: "Ana".into(),
            scopes: scopes.iter().copied().collect(),
            pending: pending.iter().copied().collect(),
            method: "passkey".into(),
            expires_at: NOW + 60,
            id: "s".into(),
            authenticator: "a".into(),
            fresh_until: 0,
            has_shown_passkey: true,
        }
    }

    fn rules(requires_nonce: bool) -> TokenRules {
        TokenRules {
            issuer: "https://a.example".into(),
            audiences: vec!["https://a.example".into(), "https://b.example".into()],
            clients: Vec::new(),
            requires_nonce,
        }
    }

    #[test]
    fn a_token_carries_what_was_asked_for_is_granted_and_may_leave_the_browser() {
        use Scope::{AuthorityManage, BridgeCert, CertMint, SignGit};
        let all = [BridgeCert, AuthorityManage, CertMint, SignGit];
        let asked = |asked: &[Scope], granted: &[Scope], pending: &[Scope]| {
            let asked = asked.iter().copied().collect();
            carried(&asked, &session(granted, pending)).map(|scopes| scopes.names())
        };
        assert_eq!(asked(&all, &all, &[]), Ok(vec!["bridgeCert".into()]));
        assert_eq!(asked(&[BridgeCert], &all, &[]).unwrap(), ["bridgeCert"]);
        let refused = asked(&[AuthorityManage, CertMint, SignGit], &all, &[]);
        assert!(matches!(refused, Err(Error::ScopesNotEligible { .. })));
        let refused = asked(&[BridgeCert], &[AuthorityManage], &[]);
        assert!(matches!(refused, Err(Error::ScopesNotGranted { .. })));
        let refused = asked(&[], &all, &[]);
        assert!(matches!(refused, Err(Error::ScopesNotGranted { .. })));
        let pending = asked(&[BridgeCert], &[], &[BridgeCert]);
        assert_eq!(pending, Err(Error::StepUpRequired));
    }

    #[test]
    fn audiences_are_compared_to_the_letter() {
        let rules = rules(false);
        assert_eq!(rules.permit_audience("https://b.example"), Ok(()));
        for audience in [
            "",
            "https://b.example/",
            "https://B.example",
            "https://c.example",
        ] {
            let refused = Err(Error::AudienceNotAllowed(rules.audiences.clone()));
            assert_eq!(rules.permit_audience(audience), refused, "{audience}");
        }
    }

    #[test]
    fn a_nonce_is_ours_and_of_late_where_one_is_required() {
        let key = ChallengeKey::new([7; 32]);
        let permit = |requires: bool, nonce: Option<String>, now| {
            let proof = ProvenKey {
                thumbprint: String::new(),
                burn: Burn::new("dpop", "", "", 0),
                nonce,
            };
            rules(requires).permit_nonce(&key, &proof, [2; 12], now)
        };
        let good = TokenRules::nonce(&key, [1; 12], NOW);
        assert_eq!(permit(false, None, NOW), Ok(()));
        assert_eq!(permit(true, Some(good.clone()), NOW), Ok(()));
        assert_eq!(permit(true, Some(good.clone()), NOW + 299), Ok(()));
        let next =
            |now| Err(DpopProblem::NonceRequired(TokenRules::nonce(&key, [2; 12], now)).into());
        assert_eq!(permit(true, Some(good.clone()), NOW + 300), next(NOW + 300));
        let foreign = TokenRules::nonce(&ChallengeKey::new([8; 32]), [1; 12], NOW);
        let of_code = encode_base64url(&key.make(Ceremony::Code, b"", [1; 12], NOW));
        for nonce in [
            foreign,
            of_code,
            format!("{good}A"),
            format!("{good}="),
            String::new(),
        ] {
            assert_eq!(permit(true, Some(nonce.clone()), NOW), next(NOW), "{nonce}");
        }
        assert_eq!(permit(true, None, NOW), next(NOW));
    }
}

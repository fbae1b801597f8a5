//! A pair for a principal, by whatever proof (notme protocol §8).

use notme_keys::{Outcome, SignatureCheck};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::admin::ItemId;
use super::body::{challenge, object, text};
use super::command::{Origin, SessionFacts};
use super::invite::InviteToken;
use super::{PrincipalId, Scope, Scopes};
use crate::config::Config;
use crate::delegation::{Acting, DelegationProblem};
use crate::doors::rows::Rows;
use crate::doors::{Aim, Alias, Door, Edge, Facts, Given, Identified, Opened, Proof};
use crate::issue::{IssueRequest, Keys, over};
use crate::possession::{BoundTo, Certified, IssuingRequest, PairRequest};
use crate::{Burn, Echo, Error, Evidence};

/// Lifetime of the pair, in seconds.
const TTL_SECS: u64 = crate::MAX_LEAF_SECS;
/// How many of the scopes that were asked for are repeated to whoever gets none of them.
const MAX_ECHOED: usize = 20;
/// The method of a pair that the operator's code was shown for.
pub const BY_CODE: &str = "bootstrap";

/// A request for a pair, whose proofs of possession nobody has checked yet.
pub struct Request {
    /// What it is asked for with.
    pub proof: Proof,
    /// The scopes that it asks for, as it was sent.
    pub asked: Vec<Echo>,
    /// The challenge that its proofs are over, if it names one.
    pub challenge: Option<[u8; 32]>,
    scopes: Scopes,
    /// On which delegation, if on one.
    delegation: Option<ItemId>,
    /// The hash of the invite that makes its proof a further way in of somebody, if it has one.
    invite: Option<[u8; 32]>,
    /// The value of the cookie that its proofs are over, on the route where they are.
    cookie: Option<String>,
    /// Errors in the keys are told after those of the session.
    keys: Result<Certified, Error>,
}

/// What the signing object is asked for: a pair, or an issuing certificate, for this holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mint {
    /// Whom it is for.
    pub holder: Holder,
    /// The scopes that are asked for.
    pub scopes: Scopes,
    /// The challenge to burn.
    pub challenge: Option<[u8; 32]>,
    /// On which delegation, if on one.
    pub delegation: Option<ItemId>,
    /// The hash of the invite that makes its proof a further way in of somebody, if it has one.
    pub invite: Option<[u8; 32]>,
    /// What is to be certified.
    pub keys: Keys,
}

/// Whom a pair is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    /// The holder of the session with this hash.
    Session([u8; 32]),
    /// The first administrator, whom the operator's code lets in and who comes to be with the pair.
    First {
        /// The hash of the code.
        code: [u8; 32],
        /// Who it will be.
        principal: PrincipalId,
        /// What they will be called.
        display_name: String,
        /// Where from.
        origin: Origin,
    },
    /// Whoever a proof of another kind is about.
    Identified(Box<Newcomer>),
}

/// Somebody whom a proof tells of, and who may be a principal already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newcomer {
    /// Who it is.
    pub identified: Identified,
    /// Which principal it becomes, if it is none.
    pub principal: PrincipalId,
    /// Where from.
    pub origin: Origin,
}

impl Holder {
    /// What a challenge for the proofs of possession was made for: the session, or no session.
    #[must_use]
    pub const fn context(&self) -> &[u8] {
        match self {
            Self::Session(hash) => hash,
            Self::First { .. } | Self::Identified(_) => &[],
        }
    }

    /// What its pair is called, where that isn't by its principal.
    #[must_use]
    pub fn alias(&self) -> Option<&Alias> {
        match self {
            Self::Session(_) | Self::First { .. } => None,
            Self::Identified(newcomer) => newcomer.identified.alias.as_deref(),
        }
    }

    /// The single-use values of the proof itself.
    #[must_use]
    pub fn burns(&self) -> &[Burn] {
        match self {
            Self::Session(_) | Self::First { .. } => &[],
            Self::Identified(newcomer) => &newcomer.identified.burns,
        }
    }
}

impl Request {
    /// Reads `{proof: {type, …}, credential?: "certificate" | "issuing", delegation?, invite?, scopes?, challenge?,
    /// public_keys, proofs}`; what else is in `proof`, its door says. What lacks keys is refused: it is no request
    /// for a token.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::MissingProofType`], [`Error::UnknownProofType`], those of the door,
    /// [`Error::InvalidMember`]; for an issuing certificate [`DelegationProblem::Missing`] and
    /// [`Error::ChallengeRequired`]. Errors in keys and proofs are kept for later.
    pub fn parse(body: &[u8], config: &Config, edge: &dyn Edge) -> Result<Self, Error> {
        let json: Value = object(body)?;
        let proof = json.get("proof").unwrap_or(&Value::Null);
        let kind = proof.get("type").and_then(Value::as_str);
        let kind = kind.filter(|kind| !kind.is_empty());
        let kind = kind.ok_or(Error::MissingProofType)?;
        let door = Door::find(kind).ok_or_else(|| Error::UnknownProofType(Echo::new(kind)))?;
        let proof = (door.read)(&Given {
            proof,
            config,
            edge,
        })?;
        let is_issuing = match text(json.get("credential"), "credential")? {
            None | Some("certificate") => false,
            Some("issuing") => true,
            Some(_) => return Err(Error::InvalidMember("credential")),
        };
        let delegation = text(json.get("delegation"), "delegation")?
            .map(|id| ItemId::parse(id).ok_or(Error::InvalidMember("delegation")))
            .transpose()?;
        let challenge = challenge(json.get("challenge"))?;
        if is_issuing && delegation.is_none() {
            return Err(DelegationProblem::Missing.into());
        }
        if is_issuing && challenge.is_none() {
            return Err(Error::ChallengeRequired);
        }
        let invite = text(json.get("invite"), "invite")?
            .map(|token| InviteToken::parse(token).ok_or(Error::BadInvite))
            .transpose()?;
        if invite.is_some() && !matches!(proof, Proof::Shown(_)) {
            return Err(Error::InvalidMember("invite"));
        }
        let (scopes, asked) = scopes(&json)?;
        Ok(Self {
            proof,
            asked,
            challenge,
            scopes,
            delegation,
            invite: invite.map(|token| token.hash()),
            cookie: None,
            keys: if is_issuing {
                IssuingRequest::parse(&json).map(Certified::Issuing)
            } else {
                PairRequest::parse(body).map(Certified::Pair)
            },
        })
    }

    /// Reads `{scopes?, public_keys, proofs}` of a caller that holds the cookie (§8.2). Who asks for something else than
    /// a pair of their own, as at `/cert`, doesn't get one instead: it may be worth more.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::InvalidMember`], and those of the keys and proofs.
    pub fn parse_bound_to_cookie(body: &[u8], cookie: &str) -> Result<Self, Error> {
        let json: Value = object(body)?;
        match text(json.get("credential"), "credential")? {
            None | Some("certificate") => {}
            Some(_) => return Err(Error::InvalidMember("credential")),
        }
        if text(json.get("delegation"), "delegation")?.is_some() {
            return Err(Error::InvalidMember("delegation"));
        }
        let (scopes, asked) = scopes(&json)?;
        Ok(Self {
            proof: Proof::Session,
            asked,
            challenge: None,
            scopes,
            delegation: None,
            invite: None,
            cookie: Some(cookie.to_owned()),
            keys: Ok(Certified::Pair(PairRequest::parse(body)?)),
        })
    }

    /// Reads `{public_keys, proofs}` that come with this proof, on a route of its own.
    #[must_use]
    pub fn beside(proof: Proof, body: &[u8]) -> Self {
        let scopes = Scopes::of_anybody();
        Self {
            proof,
            asked: scopes.names().iter().map(|name| Echo::new(name)).collect(),
            challenge: None,
            scopes,
            delegation: None,
            invite: None,
            cookie: None,
            keys: PairRequest::parse(body).map(Certified::Pair),
        }
    }

    /// Opens the proof, if a door has to; `now` in Unix seconds.
    ///
    /// # Errors
    /// Those of the door.
    pub fn open<'a>(
        &'a self,
        config: &'a Config,
        rows: &'a Rows,
        now: u64,
    ) -> Result<Option<Box<dyn Opened + 'a>>, Error> {
        let Proof::Shown(shown) = &self.proof else {
            return Ok(None);
        };
        let facts = Facts {
            config,
            rows,
            now,
            challenge: self.challenge.as_ref(),
            aim: Aim::Keys(&self.keys),
        };
        shown.open(&facts).map(Some)
    }

    /// What must hold for the caller to hold the keys.
    #[must_use]
    pub fn checks(&self) -> Vec<SignatureCheck> {
        let challenge = self.challenge.as_ref();
        let bound_to = match (&self.proof, &self.cookie) {
            (Proof::Shown(shown), _) => shown.bound_to(challenge),
            (_, Some(cookie)) => BoundTo::Cookie(cookie),
            (_, None) => challenge.map_or(BoundTo::Nothing, BoundTo::Challenge),
        };
        let keys = self.keys.as_ref();
        keys.map_or_else(|_| Vec::new(), |keys| keys.checks(bound_to))
    }

    /// Decides about possession.
    ///
    /// # Errors
    /// Those of the keys and proofs, then [`Error::PossessionFailed`].
    pub fn settle(self, holder: Holder, outcomes: &[Outcome]) -> Result<Mint, Error> {
        let keys = self.keys?.settled(outcomes)?;
        Ok(Mint {
            holder,
            scopes: self.scopes,
            challenge: self.challenge,
            delegation: self.delegation,
            invite: self.invite,
            keys,
        })
    }
}

/// The scopes that a request asks for, and what it calls them.
fn scopes(json: &Value) -> Result<(Scopes, Vec<Echo>), Error> {
    let names = match json.get("scopes") {
        None | Some(Value::Null) => Scopes::of_anybody().names(),
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or(Error::InvalidMember("scopes"))?,
        Some(_) => return Err(Error::InvalidMember("scopes")),
    };
    // A name that isn't a scope is one that nobody was granted.
    let scopes = names.iter().filter_map(|name| Scope::parse(name)).collect();
    let asked = names.iter().take(MAX_ECHOED).map(|name| Echo::new(name));
    Ok((scopes, asked.collect()))
}

/// Who a pair is issued to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Who.
    pub principal: &'a PrincipalId,
    /// What they may do at this moment.
    pub scopes: &'a Scopes,
    /// How they were proven to be who they are.
    pub method: &'a str,
    /// On whose behalf they ask, if on somebody's.
    pub acting: Option<&'a Acting>,
    /// How long what shows it lasts.
    pub evidence: Lasting,
}

/// What pairs call principals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// The trust domain.
    pub trust_domain: String,
    /// Whether the URI of a pair names the way in beside the principal, as it did before principals had one of their
    /// own (notme protocol §5.4): for verifiers whose rules are written so.
    pub is_legacy: bool,
}

impl Naming {
    /// The URI of what is issued to a principal. What tasks are named under is the principal's in any case.
    fn uri(&self, subject: &Subject<'_>, keys: &Keys) -> String {
        match keys {
            Keys::Pair { .. } if self.is_legacy => {
                let way_in = encode_uri_component(subject.method);
                format!(
                    "wimse://{}/{way_in}/{}",
                    self.trust_domain, subject.principal
                )
            }
            Keys::Pair { .. } | Keys::Issuing(_) => subject.principal.uri(&self.trust_domain),
        }
    }
}

/// As `encodeURIComponent` of ECMAScript writes it (ECMA-262 §19.2.6.4).
fn encode_uri_component(text: &str) -> String {
    use std::fmt::Write;

    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}"); // a string takes everything
        }
    }
    out
}

/// How long what shows who somebody is lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lasting {
    /// When it is over, in Unix seconds, if it says so.
    pub until: Option<u64>,
    /// Whether a pair is over with it: that of a certificate. A token only lets in.
    pub is_limit: bool,
    /// Until when its holder counts as somebody who just showed a passkey, in Unix seconds, if they did.
    pub fresh_until: Option<u64>,
    /// The first of the pairs that are renewed, if it is one of ours.
    pub renews: Option<u64>,
}

impl Lasting {
    /// Of what shows this, as far as it says itself.
    #[must_use]
    pub const fn of(identified: &Identified) -> Self {
        Self {
            until: identified.until,
            is_limit: identified.certificate.is_some(),
            fresh_until: None,
            renews: None,
        }
    }

    /// When a pair is over in any case.
    const fn limit(self) -> Option<u64> {
        if self.is_limit { self.until } else { None }
    }
}

impl<'a> From<&'a SessionFacts> for Subject<'a> {
    fn from(session: &'a SessionFacts) -> Self {
        Self {
            principal: &session.principal,
            scopes: &session.scopes,
            method: &session.method,
            acting: None,
            evidence: Lasting {
                fresh_until: Some(session.fresh_until).filter(|until| *until > 0),
                ..Lasting::default()
            },
        }
    }
}

impl Mint {
    /// What to issue to this principal, with the grants of this moment.
    ///
    /// # Errors
    /// [`Error::ScopesNotGranted`] and [`Error::ScopesNotEligible`]; of an issuing certificate those of its delegation.
    pub fn decide(
        &self,
        subject: Subject<'_>,
        naming: &Naming,
        burn: Option<Burn>,
        now: u64,
    ) -> Result<IssueRequest, Error> {
        // Else a pair could be renewed by the last moment of the one before, again and again.
        let limit = subject.evidence.limit();
        if let Some(until) = limit.filter(|until| *until < now) {
            return Err(over(until));
        }
        if let Keys::Issuing(_) = self.keys {
            let acting = subject.acting.ok_or(DelegationProblem::Missing)?;
            acting.permit_issuing()?;
        }
        let effective = subject.scopes.narrowed_to(&self.scopes);
        let requested = Vec::new(); // the worker knows how it was put
        if effective.is_empty() {
            let granted = subject.scopes.clone();
            return Err(Error::ScopesNotGranted { requested, granted });
        }
        let carried = effective.for_certificates();
        if carried.is_empty() {
            return Err(Error::ScopesNotEligible { requested });
        }
        let principal = subject.principal;
        let alias = self.holder.alias();
        let (called, identity, auth_method) = match alias {
            Some(alias) => (
                alias.subject.clone(),
                alias.identity.clone(),
                alias.method.clone(),
            ),
            None => (
                principal.to_string(),
                naming.uri(&subject, &self.keys),
                subject.method.to_owned(),
            ),
        };
        Ok(IssueRequest {
            evidence: Evidence {
                subject: called,
                identity,
                auth_method,
                scopes: carried.names(),
                behalf: subject.acting.map(|acting| acting.behalf.clone()),
                burns: self.holder.burns().iter().copied().chain(burn).collect(),
            },
            keys: self.keys.clone(),
            ttl_secs: alias.map_or(TTL_SECS, |alias| alias.ttl_secs.min(TTL_SECS)),
            until: [limit, subject.acting.map(Acting::until)]
                .into_iter()
                .flatten()
                .min(),
            evidence_until: subject.evidence.until,
            fresh_until: subject.evidence.fresh_until,
            renews: subject.evidence.renews,
            claims: alias.map(|alias| alias.claims.clone()),
            principal: principal.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delegation::{Behalf, Part, Terms};
    use crate::doors::testing;

    fn parse(body: &str, beside: &[(&str, &str)]) -> Result<Request, Error> {
        let config = testing::config(&serde_json::json!([]));
        Request::parse(body.as_bytes(), &config, &testing::Beside(beside))
    }

    fn naming() -> Naming {
        Naming {
            trust_domain: "id.example".into(),
            is_legacy: false,
        }
    }

    fn mint(scopes: &[Scope]) -> Mint {
        Mint {
            holder: Holder::Session([0; 32]),
            scopes: scopes.iter().copied().collect(),
            challenge: None,
            delegation: None,
            invite: None,
            keys: Keys::Pair {
                mtls: Vec::new(),
                signing: Vec::new(),
            },
        }
    }

    fn session(scopes: &[Scope]) -> SessionFacts {
        SessionFacts {
            principal: PrincipalId::from_random([1; 16]),
            display_name: "Ana".into(),
            scopes: scopes.iter().copied().collect(),
            pending: Scopes::default(),
            method: "passkey".into(),
            expires_at: 0,
            id: String::new(),
            authenticator: String::new(),
            fresh_until: 0,
            has_shown_passkey: true,
        }
    }

    #[test]
    fn a_certificate_carries_what_is_asked_granted_and_eligible() {
        let both = [Scope::BridgeCert, Scope::AuthorityManage];
        let decide = |asked: &[Scope], granted: &[Scope]| {
            mint(asked)
                .decide((&session(granted)).into(), &naming(), None, 0)
                .map(|issue| issue.evidence.scopes)
        };
        assert_eq!(decide(&both, &both), Ok(vec!["bridgeCert".to_owned()]));
        let not_granted = |granted: &[Scope]| {
            Err(Error::ScopesNotGranted {
                requested: Vec::new(),
                granted: granted.iter().copied().collect(),
            })
        };
        assert_eq!(decide(&both, &[]), not_granted(&[]));
        let other = [Scope::CertMint];
        assert_eq!(decide(&[Scope::BridgeCert], &other), not_granted(&other));
        assert_eq!(decide(&[], &both), not_granted(&both));
        let not_eligible = Err(Error::ScopesNotEligible {
            requested: Vec::new(),
        });
        assert_eq!(decide(&[Scope::AuthorityManage], &both), not_eligible);
    }

    #[test]
    fn what_is_over_is_worth_nothing_also_where_it_was_good_a_moment_ago() {
        let holder = session(&[Scope::BridgeCert]);
        let decided = |is_limit, now| {
            let evidence = Lasting {
                until: Some(1000),
                is_limit,
                fresh_until: None,
                renews: Some(7),
            };
            let subject = Subject {
                evidence,
                ..(&holder).into()
            };
            mint(&[Scope::BridgeCert])
                .decide(subject, &naming(), None, now)
                .map(|issue| (issue.until, issue.evidence_until, issue.renews))
        };
        let until = Some(1000);
        assert_eq!(decided(true, 1000), Ok((until, until, Some(7))));
        assert_eq!(decided(true, 1001), Err(over(1000)));
        // A token only lets in: its pair may last longer, and asks for no other one then.
        assert_eq!(decided(false, 1001), Ok((None, until, Some(7))));
    }

    #[test]
    fn what_is_asked_for_on_somebody_s_behalf_is_over_with_it_and_handed_on_only_as_it_says() {
        let holder = session(&[Scope::BridgeCert]);
        let acting = |depth| Acting {
            terms: Terms {
                expires_at: 1000,
                depth,
                ..Terms::own(Scopes::of_anybody(), 0)
            },
            behalf: Behalf {
                delegation: ItemId::parse(holder.principal.as_str()).unwrap(),
                on_behalf_of: holder.principal.clone(),
                audience: None,
                purpose: None,
            },
        };
        let decided = |keys: &Keys, acting: Option<&Acting>| {
            let mint = Mint {
                keys: keys.clone(),
                ..mint(&[Scope::BridgeCert])
            };
            let subject = Subject {
                acting,
                ..(&holder).into()
            };
            mint.decide(subject, &naming(), None, 0)
                .map(|issue| issue.until)
        };
        let pair = mint(&[]).keys;
        assert_eq!(decided(&pair, None), Ok(None));
        assert_eq!(decided(&pair, Some(&acting(0))), Ok(Some(999)));
        let issuing = Keys::Issuing(Vec::new());
        assert_eq!(decided(&issuing, Some(&acting(1))), Ok(Some(999)));
        let refused = |problem: DelegationProblem| Err(Error::from(problem));
        assert_eq!(
            decided(&issuing, Some(&acting(0))),
            refused(DelegationProblem::Exceeded(Part::Depth))
        );
        assert_eq!(decided(&issuing, None), refused(DelegationProblem::Missing));
    }

    #[test]
    fn the_pair_names_the_principal_and_not_the_way_in() {
        let holder = session(&[Scope::BridgeCert]);
        let issue = mint(&[Scope::BridgeCert]).decide((&holder).into(), &naming(), None, 0);
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
    fn readers_of_before_get_the_way_in_beside_the_principal() {
        let mut holder = session(&[Scope::BridgeCert]);
        let id = "01010101-0101-4101-8101-010101010101";
        let legacy = Naming {
            is_legacy: true,
            ..naming()
        };
        let uri = |holder: &SessionFacts, keys: Keys| {
            let acting = Acting {
                terms: Terms {
                    depth: 1,
                    ..Terms::own(Scopes::of_anybody(), 0)
                },
                behalf: Behalf {
                    delegation: ItemId::parse(id).unwrap(),
                    on_behalf_of: holder.principal.clone(),
                    audience: None,
                    purpose: None,
                },
            };
            let subject = Subject {
                acting: Some(&acting),
                ..holder.into()
            };
            let mint = Mint {
                keys,
                ..mint(&[Scope::BridgeCert])
            };
            mint.decide(subject, &legacy, None, 0)
                .unwrap()
                .evidence
                .identity
        };
        let pair = mint(&[]).keys;
        assert_eq!(
            uri(&holder, pair.clone()),
            format!("wimse://id.example/passkey/{id}")
        );
        // The example of §5.4.
        holder.method = "oidc:https://login.example/é".into();
        assert_eq!(
            uri(&holder, pair),
            format!("wimse://id.example/oidc%3Ahttps%3A%2F%2Flogin.example%2F%C3%A9/{id}")
        );
        // Tasks are named under the principal, and it is that which a verifier compares.
        let issuing = uri(&holder, Keys::Issuing(Vec::new()));
        assert_eq!(issuing, format!("wimse://id.example/principal/{id}"));
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
            (r#"{"proof":{"type":"mtls"}}"#, Error::NoClientCertificate),
            (r#"{"proof":{"type":"github_pat"}}"#, Error::MissingToken),
            (
                r#"{"proof":{"type":"github_pat","token":"a b"}}"#,
                Error::InvalidMember("proof.token"),
            ),
            (
                r#"{"proof":{"type":"x509"}}"#,
                Error::InvalidMember("proof.chain"),
            ),
            (r#"{"proof":{"type":"oidc"}}"#, Error::MissingToken),
            (
                r#"{"proof":{"type":"oidc","token":7}}"#,
                Error::MissingToken,
            ),
            (
                r#"{"proof":{"type":"kubernetes","token":""}}"#,
                Error::MissingToken,
            ),
            (
                r#"{"proof":{"type":"session"},"credential":"token"}"#,
                Error::InvalidMember("credential"),
            ),
            (
                r#"{"proof":{"type":"session"},"credential":"jwt"}"#,
                Error::InvalidMember("credential"),
            ),
            (
                r#"{"proof":{"type":"session"},"delegation":"x"}"#,
                Error::InvalidMember("delegation"),
            ),
            (
                r#"{"proof":{"type":"session"},"delegation":7}"#,
                Error::InvalidMember("delegation"),
            ),
            (
                r#"{"proof":{"type":"session"},"credential":"issuing"}"#,
                DelegationProblem::Missing.into(),
            ),
            (
                r#"{"proof":{"type":"session"},"credential":"issuing","delegation":"01010101-0101-4101-8101-010101010101"}"#,
                Error::ChallengeRequired,
            ),
            (
                r#"{"proof":{"type":"session"},"invite":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
                Error::InvalidMember("invite"),
            ),
            (
                r#"{"proof":{"type":"session"},"invite":"x"}"#,
                Error::BadInvite,
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
            (r#"{"proof":{"type":"bootstrap"}}"#, Error::BadBootstrapCode),
            (
                r#"{"proof":{"type":"bootstrap","code":" "}}"#,
                Error::BadBootstrapCode,
            ),
            (
                r#"{"proof":{"type":"bootstrap","code":1}}"#,
                Error::InvalidMember("proof.code"),
            ),
            (
                r#"{"proof":{"type":"bootstrap","code":"x","displayName":1}}"#,
                Error::InvalidMember("proof.displayName"),
            ),
        ] {
            assert_eq!(parse(body, &[]).err(), Some(error), "{body}");
        }
    }

    #[test]
    fn whoever_holds_the_cookie_gets_a_plain_pair_or_nothing() {
        let told = |body: &str| Request::parse_bound_to_cookie(body.as_bytes(), "x").err();
        let id = r#"{"delegation":"01010101-0101-4101-8101-010101010101"}"#;
        for (body, member) in [
            (id, "delegation"),
            (r#"{"delegation":""}"#, "delegation"),
            (r#"{"delegation":7}"#, "delegation"),
            (r#"{"credential":"issuing"}"#, "credential"),
            (r#"{"credential":"token"}"#, "credential"),
            (r#"{"credential":7}"#, "credential"),
        ] {
            assert_eq!(told(body), Some(Error::InvalidMember(member)), "{body}");
        }
        let plain = r#"{"credential":"certificate","delegation":null}"#;
        assert_eq!(told(plain), Some(Error::MissingKeys));
    }

    #[test]
    fn a_header_does_for_the_token_of_access_and_of_nothing_else() {
        let beside = [("cf-access-jwt-assertion", "beside")];
        let token = |body: &str| match parse(body, &beside)?.proof {
            Proof::Shown(shown) => match shown.bound_to(None) {
                BoundTo::Token(token) => Ok(token.to_owned()),
                other => panic!("{other:?}"),
            },
            _ => Err(Error::MissingProofType),
        };
        let missing = Err(Error::MissingToken);
        for (body, expected) in [
            (r#"{"proof":{"type":"access"}}"#, Ok("beside".to_owned())),
            (
                r#"{"proof":{"type":"access","token":null}}"#,
                Ok("beside".to_owned()),
            ),
            (
                r#"{"proof":{"type":"access","token":"in"}}"#,
                Ok("in".to_owned()),
            ),
            (r#"{"proof":{"type":"access","token":7}}"#, missing.clone()),
            (r#"{"proof":{"type":"access","token":""}}"#, missing.clone()),
            (r#"{"proof":{"type":"oidc"}}"#, missing.clone()),
            (r#"{"proof":{"type":"custom"}}"#, missing.clone()),
        ] {
            assert_eq!(token(body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_wrong_with_keys_is_told_last() {
        let request = parse(r#"{"proof":{"type":"session"}}"#, &[]).ok().unwrap();
        assert!(request.checks().is_empty());
        let holder = Holder::Session([0; 32]);
        assert_eq!(request.settle(holder, &[]), Err(Error::MissingKeys));
    }

    #[test]
    fn what_is_asked_for_is_repeated_short_and_harmless() {
        let names = vec!["\n"; 100];
        let body = serde_json::json!({ "proof": { "type": "session" }, "scopes": names });
        let request = parse(&body.to_string(), &[]).ok().unwrap();
        assert_eq!(request.asked, vec![Echo::new("\n"); 20]);
        assert!(request.scopes.is_empty());
    }
}

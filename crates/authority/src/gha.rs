//! The door for GitHub Actions jobs: an OIDC token in, evidence out (notme protocol §7).
//!
//! The checks come in the order of §7.2, with one difference: the token's `jti` is burned last, in
//! the transaction that issues, so a caller's mistake costs no token.

use notme_jose::{Audience, CompactJws, numeric_date};
use notme_keys::{Outcome, SignatureCheck, VerifyingKey};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{Config, GhaConfig};
use crate::error::{PolicyRule, TokenError};
use crate::policy::PatternList;
use crate::possession::{BoundTo, PairRequest};
use crate::{Burn, Echo, Error, Evidence};

/// The one algorithm that GitHub signs with.
const ALGORITHM: &str = "RS256";
/// How far the issuer's clock may be ahead of ours, in seconds.
const CLOCK_SKEW: u64 = 60;
/// The longest a token may still be valid, in seconds. GitHub's live for minutes; a used one has to
/// be remembered until it expires.
const MAX_LIFETIME: u64 = 86_400;
/// Events whose jobs may run code that a stranger proposed.
const PULL_REQUEST_EVENTS: [&str; 2] = ["pull_request", "pull_request_target"];
/// The method as certificates show it.
const AUTH_METHOD: &str = "gha-oidc";
/// The only scope that a certificate may carry (§5.5).
const SCOPE: &str = "bridgeCert";

/// A request whose token has the right form, issuer, times and audience, and whose signatures
/// nobody has checked yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange<'a> {
    token_text: &'a str,
    token: CompactJws<'a>,
    kid: String,
    /// Errors in the body come after those in the token, however early they are noticed.
    pair: Result<PairRequest, Error>,
}

/// An [`Exchange`] and what must be settled for it: the token's signature, then the proofs.
#[derive(Clone, Debug, PartialEq)]
pub struct Obliged<'a> {
    exchange: Exchange<'a>,
    checks: Vec<SignatureCheck>,
}

/// What a verified exchange is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Who was proven to be asking.
    pub evidence: Evidence,
    /// The keys that they hold.
    pub pair: PairRequest,
    /// The claims that the answer repeats, as JSON.
    pub claims: String,
}

/// The claims that the answer repeats (§7.4), in its order.
#[derive(Serialize)]
struct EchoedClaims<'a> {
    repository: &'a str,
    #[serde(rename = "ref")]
    git_ref: &'a str,
    sha: &'a str,
    actor: &'a str,
    workflow: &'a str,
    run_id: &'a str,
    event_name: &'a str,
}

impl<'a> Exchange<'a> {
    /// Takes the request apart: `authorization` is the header's value, `now` in Unix seconds.
    ///
    /// # Errors
    /// [`Error::MissingBearer`] and [`Error::InvalidToken`]. Errors in the body are kept for later.
    pub fn parse(
        config: &GhaConfig,
        authorization: Option<&'a str>,
        body: &[u8],
        now: u64,
    ) -> Result<Self, Error> {
        let token_text = authorization
            .and_then(|a| a.strip_prefix("Bearer "))
            .ok_or(Error::MissingBearer)?;
        let token = CompactJws::parse(token_text).map_err(|_| TokenError::Malformed)?;
        let alg = token.header("alg").unwrap_or_default();
        if alg != ALGORITHM || token.has_critical_extensions() {
            return Err(TokenError::UnsupportedAlgorithm(Echo::new(alg)).into());
        }
        check_times_and_audience(config, token.claims(), now)?;
        let kid = token.header("kid").unwrap_or_default().to_owned();
        Ok(Self {
            token_text,
            token,
            kid,
            pair: PairRequest::parse(body),
        })
    }

    /// The key that the token says it is signed by.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Names what must be settled, given the issuer's key with that id, if it has one.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`] if there is none, or it isn't for RS256.
    pub fn oblige(self, key: Option<&VerifyingKey>) -> Result<Obliged<'a>, Error> {
        // A token without `kid` names no key (§7.3), also where the issuer has only one.
        let key = key.filter(|_| !self.kid.is_empty());
        let Some(key @ VerifyingKey::Rs256(_)) = key else {
            return Err(TokenError::UnknownKey(Echo::new(&self.kid)).into());
        };
        let mut checks = vec![self.token.signature_check(key.clone())];
        if let Ok(pair) = &self.pair {
            checks.extend(pair.checks(BoundTo::Token(self.token_text)));
        }
        Ok(Obliged {
            exchange: self,
            checks,
        })
    }
}

impl Obliged<'_> {
    /// What the host must settle, in this order.
    #[must_use]
    pub fn checks(&self) -> &[SignatureCheck] {
        &self.checks
    }

    /// Decides, given how the checks were settled.
    ///
    /// # Errors
    /// The first that applies of: the token's signature, its claims, the policy, `jti`, the body,
    /// the proofs of possession.
    pub fn settle(
        self,
        config: &Config,
        outcomes: &[Outcome],
        now: u64,
    ) -> Result<Verified, Error> {
        let Exchange { token, pair, .. } = self.exchange;
        let (signature, proofs) = outcomes.split_first().unwrap_or((&Outcome::Failed, &[]));
        if !signature.is_verified() {
            return Err(TokenError::InvalidSignature.into());
        }
        let claims = Claims::read(token.claims())?;
        claims.permit(&config.gha)?;
        let jti = claims.jti.ok_or(Error::MissingTokenId)?;
        let pair = pair?;
        pair.settled(match proofs {
            [mtls, signing] => [*mtls, *signing],
            _ => [Outcome::Failed; 2],
        })?;
        // Remembered until after the token can't be accepted any more, by anybody's clock.
        let forgotten_at = claims
            .exp
            .max(now.saturating_add(config.gha.min_replay_secs));
        let burn = Burn::of_token(&config.gha.issuer, jti, forgotten_at + CLOCK_SKEW);
        Ok(Verified {
            evidence: Evidence {
                subject: claims.sub.to_owned(),
                identity: claims.identity(&config.trust_domain()),
                auth_method: AUTH_METHOD.into(),
                scopes: vec![SCOPE.into()],
                behalf: None,
                burns: vec![burn],
            },
            pair,
            claims: claims.echoed(),
        })
    }
}

/// §7.3, up to the audience.
fn check_times_and_audience(
    config: &GhaConfig,
    claims: &Map<String, Value>,
    now: u64,
) -> Result<(), TokenError> {
    let iss = claims
        .get("iss")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if iss != config.issuer {
        return Err(TokenError::WrongIssuer(Echo::new(iss)));
    }
    let date = |name| match claims.get(name) {
        None => Ok(None),
        Some(claim) => numeric_date(claim)
            .map(Some)
            .ok_or(TokenError::InvalidClaim(name)),
    };
    let required = |name| date(name)?.ok_or(TokenError::InvalidClaim(name));
    let exp = required("exp")?;
    if exp < now {
        return Err(TokenError::Expired);
    }
    if exp > now.saturating_add(MAX_LIFETIME) {
        return Err(TokenError::InvalidClaim("exp"));
    }
    if required("iat")? > now.saturating_add(CLOCK_SKEW) {
        return Err(TokenError::IssuedInFuture);
    }
    if date("nbf")?.is_some_and(|nbf| nbf > now.saturating_add(CLOCK_SKEW)) {
        return Err(TokenError::NotYetValid);
    }
    let aud = claims.get("aud").unwrap_or(&Value::Null);
    if !Audience::new(aud).contains(&config.audience) {
        let shown = aud.as_str().map_or_else(|| aud.to_string(), str::to_owned);
        return Err(TokenError::WrongAudience(Echo::new(&shown)));
    }
    Ok(())
}

/// The claims of a job's token that we read (§7.3). All are strings but the times.
struct Claims<'a> {
    sub: &'a str,
    exp: u64,
    jti: Option<&'a str>,
    repository: &'a str,
    repository_owner: &'a str,
    repository_name: &'a str,
    repository_owner_id: Option<&'a str>,
    git_ref: &'a str,
    sha: &'a str,
    actor: &'a str,
    workflow: &'a str,
    job_workflow_ref: &'a str,
    run_id: &'a str,
    event_name: &'a str,
    environment: Option<&'a str>,
}

impl<'a> Claims<'a> {
    fn read(claims: &'a Map<String, Value>) -> Result<Self, TokenError> {
        let required = |name| {
            let claim = claims.get(name).and_then(Value::as_str);
            claim
                .filter(|text| !text.is_empty() && is_printable(text))
                .ok_or(TokenError::InvalidClaim(name))
        };
        let optional = |name| match claims.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if is_printable(text) => Ok(Some(text.as_str())),
            Some(_) => Err(TokenError::InvalidClaim(name)),
        };
        if !claims
            .get("aud")
            .is_some_and(|aud| Audience::new(aud).is_well_formed())
        {
            return Err(TokenError::InvalidClaim("aud"));
        }
        for unused in [
            "actor_id",
            "workflow_ref",
            "workflow_sha",
            "run_number",
            "run_attempt",
            "runner_environment",
        ] {
            optional(unused)?;
        }
        let repository = required("repository")?;
        let repository_owner = required("repository_owner")?;
        let repository_name = match repository.split_once('/') {
            Some((owner, name)) if owner == repository_owner && is_segment(name) => name,
            _ => return Err(TokenError::InvalidClaim("repository")),
        };
        if !is_segment(repository_owner) {
            return Err(TokenError::InvalidClaim("repository_owner"));
        }
        Ok(Self {
            // A common name has at least one character (RFC 5280 appendix A.1).
            sub: match required("sub")? {
                "" => return Err(TokenError::InvalidClaim("sub")),
                sub => sub,
            },
            exp: claims
                .get("exp")
                .and_then(numeric_date)
                .ok_or(TokenError::InvalidClaim("exp"))?,
            jti: optional("jti")?.filter(|jti| !jti.is_empty()),
            repository,
            repository_owner,
            repository_name,
            repository_owner_id: optional("repository_owner_id")?,
            git_ref: required("ref")?,
            sha: required("sha")?,
            actor: required("actor")?,
            workflow: required("workflow")?,
            job_workflow_ref: required("job_workflow_ref")?,
            run_id: required("run_id")?,
            event_name: required("event_name")?,
            environment: optional("environment")?,
        })
    }

    /// The policy: deny by default, every rule that is set must agree.
    fn permit(&self, config: &GhaConfig) -> Result<(), Error> {
        // Names can be given up and registered by somebody else; ids can't. So ids alone decide.
        let owner = if config.owner_ids.is_empty() {
            config.owners.matches(self.repository_owner)
        } else {
            self.repository_owner_id
                .is_some_and(|id| config.owner_ids.matches(id))
        };
        let pull_request = PULL_REQUEST_EVENTS.contains(&self.event_name);
        let allows = |list: &PatternList, value: &str| list.is_empty() || list.matches(value);
        let environment = config.environments.is_empty()
            || self
                .environment
                .is_some_and(|e| config.environments.matches(e));
        for (rule, permitted) in [
            (PolicyRule::Owner, owner),
            (
                PolicyRule::Repository,
                allows(&config.repositories, self.repository),
            ),
            (PolicyRule::Ref, allows(&config.refs, self.git_ref)),
            (
                PolicyRule::Workflow,
                allows(&config.workflows, self.job_workflow_ref),
            ),
            (PolicyRule::Environment, environment),
            (
                PolicyRule::Event,
                !pull_request || config.allow_pull_request,
            ),
            (PolicyRule::Event, allows(&config.events, self.event_name)),
        ] {
            if !permitted {
                return Err(Error::NotPermitted(rule));
            }
        }
        Ok(())
    }

    /// §5.4.
    fn identity(&self, trust_domain: &str) -> String {
        format!(
            "wimse://{trust_domain}/gha/{}/{}",
            self.repository_owner, self.repository_name
        )
    }

    fn echoed(&self) -> String {
        let claims = EchoedClaims {
            repository: self.repository,
            git_ref: self.git_ref,
            sha: self.sha,
            actor: self.actor,
            workflow: self.workflow,
            run_id: self.run_id,
            event_name: self.event_name,
        };
        // Strings always serialize.
        serde_json::to_string(&claims).unwrap_or_default()
    }
}

/// What may stand in a certificate and in a log line: no control characters, and none that change
/// the direction of what follows.
fn is_printable(text: &str) -> bool {
    let invisible =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(invisible)
}

/// What GitHub allows in the name of an owner or a repository, and what is safe in a URI's path.
fn is_segment(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.chars().all(allowed) && !matches!(text, "." | "..")
}

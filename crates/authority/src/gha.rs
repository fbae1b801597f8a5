//! The door for GitHub Actions jobs: an OIDC token in, who it is about out (notme protocol §7).
//!
//! It goes the way of all proofs, and has a route of its own with names of its own: a job's pair names the repository
//! and the job (§5.4), and not the principal that the repository is. The checks come in the order of §7.2, with one difference: the token's `jti` is burned last, in
//! the transaction that issues, so a caller's mistake costs no token.

use notme_jose::{Algorithm, Audience, CompactJws, numeric_date};
use notme_keys::VerifyingKey;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{Config, GhaConfig};
use crate::doors::issuer::{Keys, Kind};
use crate::doors::oidc::apart;
use crate::doors::{Alias, Facts, Gathered, Identified, Need, Obliged, Opened, Proof, Shown};
use crate::error::{PolicyRule, TokenError};
use crate::people::Scopes;
use crate::people::mint::Request;
use crate::policy::PatternList;
use crate::possession::BoundTo;
use crate::{Burn, Echo, Error};

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

/// The request for a job's pair: `authorization` is the header's value.
///
/// # Errors
/// [`Error::MissingBearer`]. Errors in the body are told after those of the token.
pub fn request(authorization: Option<String>, body: &[u8]) -> Result<Request, Error> {
    let token = authorization
        .as_deref()
        .and_then(|a| a.strip_prefix("Bearer "));
    let token = Token(token.ok_or(Error::MissingBearer)?.to_owned());
    Ok(Request::beside(Proof::Shown(Box::new(token)), body))
}

/// Who a token would be at this door, if its signature is good; `now` in Unix seconds. It isn't used up.
///
/// # Errors
/// Those of the door, in its order.
pub fn tried(config: &Config, token: &str, now: u64) -> Result<Identified, Error> {
    Exchange::parse(config, token, now)?.identify()
}

/// A job's token as it was sent.
struct Token(String);

impl Shown for Token {
    fn bound_to<'a>(&'a self, _challenge: Option<&'a [u8; 32]>) -> BoundTo<'a> {
        BoundTo::Token(&self.0)
    }

    fn open<'a>(&'a self, facts: &Facts<'a>) -> Result<Box<dyn Opened + 'a>, Error> {
        let exchange = Exchange::parse(facts.config, &self.0, facts.now)?;
        Ok(Box::new(exchange))
    }
}

/// A token that has the right form, issuer, times and audience, and whose signature nobody has checked yet.
#[derive(Clone, Debug)]
struct Exchange<'a> {
    config: &'a Config,
    token: CompactJws<'a>,
    now: u64,
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
    /// Takes a token apart; `now` in Unix seconds.
    fn parse(config: &'a Config, token: &'a str, now: u64) -> Result<Self, Error> {
        let token = apart(token)?;
        let alg = token.header("alg").unwrap_or_default();
        if alg != ALGORITHM || token.has_critical_extensions() {
            return Err(TokenError::UnsupportedAlgorithm(Echo::new(alg)).into());
        }
        check_times_and_audience(&config.gha, token.claims(), now)?;
        Ok(Self { config, token, now })
    }

    fn kid(&self) -> &str {
        self.token.header("kid").unwrap_or_default()
    }

    /// Who the token is about, if its signature is good: its claims, the policy, `jti`.
    fn identify(&self) -> Result<Identified, Error> {
        let gha = &self.config.gha;
        let claims = Claims::read(self.token.claims())?;
        claims.permit(gha)?;
        let jti = claims.jti.ok_or(Error::MissingTokenId)?;
        // Remembered until after the token can't be accepted any more, by anybody's clock.
        let forgotten_at = claims.exp.max(self.now.saturating_add(gha.min_replay_secs));
        let burn = Burn::of_token(&gha.issuer, jti, forgotten_at + CLOCK_SKEW);
        Ok(Identified {
            // As the preset for a row of this issuer writes it: whichever door a job takes, it is the same principal.
            kind: Kind::Oidc.as_str().to_owned(),
            issuer: gha.issuer.clone(),
            subject: claims.repository_subject(),
            name: claims.repository.to_owned(),
            method: AUTH_METHOD.into(),
            is_person: false,
            ceiling: Scopes::of_anybody(),
            burns: vec![burn],
            until: Some(claims.exp),
            certificate: None,
            row: None,
            rule: claims.owner().to_owned(),
            alias: Some(Box::new(Alias {
                subject: claims.sub.to_owned(),
                identity: claims.identity(&self.config.trust_domain()),
                method: AUTH_METHOD.into(),
                claims: claims.echoed(),
                ttl_secs: gha.ttl_secs,
            })),
        })
    }
}

impl Opened for Exchange<'_> {
    fn need(&self) -> Need<'_> {
        Need::Key {
            issuer: &self.config.gha.issuer,
            keys: &Keys::Discovered,
            kid: self.kid(),
            algorithm: Algorithm::Rs256,
        }
    }

    fn oblige(&self, gathered: Gathered) -> Result<Obliged<'_>, Error> {
        let key = match gathered {
            // A token without `kid` names no key (§7.3), also where the issuer has only one.
            Gathered::Key(Some(key @ VerifyingKey::Rs256(_))) if !self.kid().is_empty() => key,
            _ => return Err(TokenError::UnknownKey(Echo::new(self.kid())).into()),
        };
        let wrong = TokenError::InvalidSignature.into();
        let check = self.token.signature_check(key);
        Ok(Obliged::by(check, wrong, || self.identify()))
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
    repository_id: Option<&'a str>,
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
            repository_id: match optional("repository_id")? {
                Some(id) if id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) => {
                    return Err(TokenError::InvalidClaim("repository_id"));
                }
                id => id,
            },
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

    /// Whose the repository is.
    fn owner(&self) -> &str {
        self.repository_owner_id.unwrap_or(self.repository_owner)
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

    /// What the issuer calls nobody else: the repository's id. An issuer that has none calls it by its name, in which
    /// there is a slash, and whoever registers that name again is the same.
    fn repository_subject(&self) -> String {
        format!(
            "repository:{}",
            self.repository_id.unwrap_or(self.repository)
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

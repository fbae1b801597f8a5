//! The door for tokens of OpenID Connect issuers, Kubernetes clusters among them: a JWT in, who it is about out.
//!
//! OpenID Connect Core §3.1.3.7 and RFC 8725 say what has to be checked. Nothing that the token itself says
//! about keys (`jku`, `jwk`, `x5u`, `x5c`) is looked at.

use notme_jose::{Algorithm, Audience, CompactJws, numeric_date};
use serde_json::Value;

use super::claims::Claims;
use super::issuer::{Keys, Kind, TrustedIssuer};
use super::{
    Door, Facts, Gathered, Given, Identified, Need, Obliged, Opened, Proof, RowsOf, Shown,
};
use crate::error::{PolicyRule, TokenError};
use crate::people::challenge;
use crate::possession::BoundTo;
use crate::{Burn, Echo, Error};

/// The door for tokens of any issuer.
pub const OIDC: Door = door(Kind::Oidc, |given| read(given, Kind::Oidc));
/// The door for service accounts.
pub const KUBERNETES: Door = door(Kind::Kubernetes, |given| read(given, Kind::Kubernetes));
/// The door for whoever came through Cloudflare Access.
pub const ACCESS: Door = door(Kind::Access, |given| read(given, Kind::Access));
/// The door for assertions of the operator's own.
pub const CUSTOM: Door = door(Kind::Custom, |given| read(given, Kind::Custom));

/// Where Access says who came through it.
const ACCESS_HEADER: &str = "cf-access-jwt-assertion";

/// How far an issuer's clock may be ahead of ours, in seconds.
const CLOCK_SKEW: u64 = 60;
/// The longest that a token may live to be single by its `jti`, in seconds: for so long a used one is
/// remembered. What lives longer is there to be shown again, and has to come with a challenge.
const SHORT_LIVED_SECS: u64 = 900;
/// The longest token that is read, in bytes.
pub(crate) const MAX_TOKEN_LEN: usize = 16 * 1024;

/// What a token is that nobody may show as a proof (RFC 8725 §3.11): tokens for something else.
const OTHER_TYPES: [&str; 3] = ["dpop+jwt", "logout+jwt", "notme-revocations+jwt"];

/// Takes a token apart, if it isn't too long to be one.
///
/// # Errors
/// [`TokenError::Malformed`].
pub fn apart(token: &str) -> Result<CompactJws<'_>, TokenError> {
    let is_short = token.len() <= MAX_TOKEN_LEN;
    let token = is_short.then(|| CompactJws::parse(token).ok()).flatten();
    token.ok_or(TokenError::Malformed)
}

/// Whether a token may be a proof at all: it says of itself that it is for something else, or it is bound to a key
/// whose proof nobody asks for here (RFC 7800), and would be worth more than its holder has.
pub(super) fn may_be_proof(token: &CompactJws<'_>) -> Result<(), TokenError> {
    let typ = token.header("typ").unwrap_or_default().to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    if OTHER_TYPES.contains(&typ) {
        return Err(TokenError::InvalidClaim("typ"));
    }
    if token.claims().contains_key("cnf") {
        return Err(TokenError::InvalidClaim("cnf"));
    }
    Ok(())
}

const fn door(kind: Kind, read: fn(&Given<'_>) -> Result<Proof, Error>) -> Door {
    Door {
        name: kind.as_str(),
        read,
        rows: RowsOf::Issuers,
    }
}

/// Reads `{token}`; that of Access may be beside the body.
fn read(given: &Given<'_>, kind: Kind) -> Result<Proof, Error> {
    let token = match given.member("token") {
        None | Some(Value::Null) if kind == Kind::Access => given.edge.header(ACCESS_HEADER),
        token => token.and_then(Value::as_str).map(str::to_owned),
    };
    let token = token.filter(|token| !token.is_empty());
    let token = token.ok_or(Error::MissingToken)?;
    Ok(Proof::Shown(Box::new(Token { kind, token })))
}

/// A token as it was sent.
struct Token {
    kind: Kind,
    token: String,
}

impl Shown for Token {
    fn bound_to<'a>(&'a self, challenge: Option<&'a [u8; 32]>) -> BoundTo<'a> {
        challenge.map_or(BoundTo::Token(&self.token), BoundTo::Challenge)
    }

    fn open<'a>(&'a self, facts: &Facts<'a>) -> Result<Box<dyn Opened + 'a>, Error> {
        let rows = &facts.rows.issuers;
        let exchange = Exchange::parse(rows, self.kind, &self.token, facts.now)?;
        Ok(Box::new(Exchange {
            challenge: facts.challenge,
            ..exchange
        }))
    }
}

/// A token whose form, issuer, audience and times are right, and whose signature nobody has checked yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange<'a> {
    /// The rows of its issuer and audience; never empty.
    rows: Vec<&'a TrustedIssuer>,
    token: CompactJws<'a>,
    algorithm: Algorithm,
    dates: Dates,
    /// The challenge that the request names, and that will be burned.
    challenge: Option<&'a [u8; challenge::LEN]>,
}

/// When a token counts, of one that counts now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dates {
    exp: u64,
    iat: Option<u64>,
}

impl Dates {
    /// Reads the times of a token; `now` in Unix seconds.
    pub(super) fn read(claims: &Claims, now: u64) -> Result<Self, TokenError> {
        let date = |name| match claims.get(name) {
            None => Ok(None),
            Some(claim) => numeric_date(claim)
                .map(Some)
                .ok_or(TokenError::InvalidClaim(name)),
        };
        let (exp, iat, nbf) = (date("exp")?, date("iat")?, date("nbf")?);
        let exp = exp.ok_or(TokenError::InvalidClaim("exp"))?;
        if exp < now {
            return Err(TokenError::Expired);
        }
        let is_ahead = |at: Option<u64>| at.is_some_and(|at| at > now.saturating_add(CLOCK_SKEW));
        if is_ahead(iat) {
            return Err(TokenError::IssuedInFuture);
        }
        if is_ahead(nbf) {
            return Err(TokenError::NotYetValid);
        }
        Ok(Self { exp, iat })
    }

    /// The `jti` that makes a token single, if it lives for so short that a used one can be remembered.
    pub(super) fn single_use_id<'a>(&self, claims: &'a Claims) -> Option<&'a str> {
        let lifetime = self.exp.saturating_sub(self.iat?);
        let jti = claims.get("jti").and_then(|jti| jti.as_str());
        jti.filter(|jti| lifetime <= SHORT_LIVED_SECS && !jti.is_empty())
    }
}

impl<'a> Exchange<'a> {
    /// Takes a token apart that is shown as a proof of this kind; `now` in Unix seconds.
    ///
    /// # Errors
    /// [`Error::InvalidToken`].
    pub fn parse(
        rows: &'a [TrustedIssuer],
        kind: Kind,
        token: &'a str,
        now: u64,
    ) -> Result<Self, Error> {
        let token = apart(token)?;
        let named = token.header("alg").unwrap_or_default();
        let unsupported = || TokenError::UnsupportedAlgorithm(Echo::new(named));
        let algorithm = token.algorithm().ok_or_else(unsupported)?;
        if token.has_critical_extensions() {
            return Err(unsupported().into());
        }
        may_be_proof(&token)?;
        let claims = token.claims();
        let iss = claims.get("iss").and_then(|iss| iss.as_str());
        let iss = iss.unwrap_or_default();
        let of_issuer = |row: &&TrustedIssuer| row.kind == kind && row.issuer == iss;
        let mut rows: Vec<_> = rows.iter().filter(of_issuer).collect();
        if rows.is_empty() {
            return Err(TokenError::WrongIssuer(Echo::new(iss)).into());
        }
        let aud = claims.get("aud").unwrap_or(&Value::Null);
        if !Audience::new(aud).is_well_formed() {
            return Err(TokenError::InvalidClaim("aud").into());
        }
        rows.retain(|row| Audience::new(aud).contains(&row.audience));
        if rows.is_empty() {
            let shown = aud.as_str().map_or_else(|| aud.to_string(), str::to_owned);
            return Err(TokenError::WrongAudience(Echo::new(&shown)).into());
        }
        rows.retain(|row| row.algorithms.contains(&algorithm));
        if rows.is_empty() {
            return Err(unsupported().into());
        }
        let dates = Dates::read(claims, now)?;
        let kid = token.header("kid").unwrap_or_default();
        let may_have = |row: &&TrustedIssuer| row.may_have(kid, algorithm);
        if !rows.iter().any(may_have) {
            return Err(TokenError::UnknownKey(Echo::new(kid)).into());
        }
        rows.retain(may_have);
        // Whose key it is signed by is whose rules count.
        let cluster = rows.first().and_then(|row| row.cluster.as_ref());
        rows.retain(|row| row.cluster.as_ref() == cluster);
        Ok(Self {
            rows,
            algorithm,
            dates,
            token,
            challenge: None,
        })
    }

    /// Who the token is about, if its signature is good.
    fn identify(&self) -> Result<Identified, Error> {
        let claims = self.token.claims();
        let mut rows = self.rows.iter().copied();
        let row = rows.find_map(|row| Some((row, row.permit(claims).ok()?.name())));
        let (row, rule) = row.ok_or(Error::NotPermitted(PolicyRule::Claims))?;
        let subject = row.subject.write(claims);
        let subject = subject.map_err(|_| TokenError::InvalidClaim("sub"))?;
        // Who signs people in makes a token for one request, and it is worth nothing in another.
        if row.is_for_people && !names(claims, self.challenge.ok_or(Error::ChallengeRequired)?) {
            return Err(TokenError::InvalidClaim("nonce").into());
        }
        if is_anothers(row, claims) {
            return Err(TokenError::InvalidClaim("azp").into());
        }
        let forgotten_at = self.dates.exp + CLOCK_SKEW;
        let burns: Vec<Burn> = (self.dates.single_use_id(claims))
            .map(|jti| Burn::of_token(&row.authority(), jti, forgotten_at))
            .into_iter()
            .collect();
        if burns.is_empty() && self.challenge.is_none() {
            return Err(Error::ChallengeRequired);
        }
        Ok(Identified {
            kind: row.kind.as_str().to_owned(),
            issuer: row.authority(),
            name: subject.clone(),
            subject,
            method: format!("{}:{}", row.kind.as_str(), row.authority()),
            is_person: row.is_for_people,
            ceiling: row.scopes.clone(),
            burns,
            until: Some(self.dates.exp),
            certificate: None,
            row: row.made.clone(),
            rule,
            alias: None,
        })
    }
}

/// Whether a person's token was made for another client, which has us in its `aud` as well (OpenID Connect Core §3.1.3.7,
/// no. 5).
pub(super) fn is_anothers(row: &TrustedIssuer, claims: &Claims) -> bool {
    let azp = claims.get("azp");
    row.is_for_people && azp.is_some_and(|azp| *azp != *row.audience)
}

/// Whether a token names a challenge: by its digest, so that whoever sees the token doesn't know the challenge.
fn names(claims: &Claims, made_for: &[u8; challenge::LEN]) -> bool {
    let nonce = claims.get("nonce").and_then(Value::as_str);
    nonce == Some(&challenge::nonce(made_for))
}

impl Opened for Exchange<'_> {
    fn need(&self) -> Need<'_> {
        let row = self.rows.first();
        Need::Key {
            issuer: row.map_or("", |row| &row.issuer),
            keys: row.map_or(&Keys::Discovered, |row| &row.keys),
            kid: self.token.header("kid").unwrap_or_default(),
            algorithm: self.algorithm,
        }
    }

    fn oblige(&self, gathered: Gathered) -> Result<Obliged<'_>, Error> {
        let Gathered::Key(Some(key)) = gathered else {
            let kid = self.token.header("kid").unwrap_or_default();
            return Err(TokenError::UnknownKey(Echo::new(kid)).into());
        };
        let check = self.token.signature_check(key);
        let wrong = TokenError::InvalidSignature.into();
        Ok(Obliged::by(check, wrong, || self.identify()))
    }
}

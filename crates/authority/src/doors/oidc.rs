//! The door for tokens of OpenID Connect issuers, Kubernetes clusters among them: a JWT in, who it is about out.
//!
//! OpenID Connect Core §3.1.3.7 and RFC 8725 say what has to be checked. Nothing that the token itself says
//! about keys (`jku`, `jwk`, `x5u`, `x5c`) is looked at.

use notme_jose::{Algorithm, Audience, CompactJws, numeric_date};
use notme_keys::{Outcome, SignatureCheck, VerifyingKey};

use super::Identified;
use super::claims::Claims;
use super::issuer::{Keys, Kind, TrustedIssuer};
use crate::error::{PolicyRule, TokenError};
use crate::{Burn, Echo, Error};

/// How far an issuer's clock may be ahead of ours, in seconds.
const CLOCK_SKEW: u64 = 60;
/// The longest that a token may live to be single by its `jti`, in seconds: for so long a used one is
/// remembered. What lives longer is there to be shown again, and has to come with a challenge.
const SHORT_LIVED_SECS: u64 = 900;
/// The longest token that is read, in bytes.
pub(super) const MAX_TOKEN_LEN: usize = 16 * 1024;

/// What a token is that nobody may show as a proof (RFC 8725 §3.11): tokens for something else.
const OTHER_TYPES: [&str; 3] = ["dpop+jwt", "logout+jwt", "notme-revocations+jwt"];

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

/// A token whose form, issuer, audience and times are right, and whose signature nobody has checked yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange<'a> {
    /// The rows of its issuer and audience; never empty.
    rows: Vec<&'a TrustedIssuer>,
    token: CompactJws<'a>,
    algorithm: Algorithm,
    dates: Dates,
}

/// When a token counts, of one that counts now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dates {
    exp: u64,
    iat: Option<u64>,
}

/// An [`Exchange`], and what must hold for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Obliged<'a> {
    exchange: Exchange<'a>,
    check: SignatureCheck,
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
        if token.len() > MAX_TOKEN_LEN {
            return Err(TokenError::Malformed.into());
        }
        let token = CompactJws::parse(token).map_err(|_| TokenError::Malformed)?;
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
        let aud = claims.get("aud").unwrap_or(&serde_json::Value::Null);
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
        Ok(Self {
            rows,
            algorithm,
            dates,
            token,
        })
    }

    /// Whose token it says it is.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.rows.first().map_or("", |row| &row.issuer)
    }

    /// Where the keys of its issuer are.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        self.rows.first().map_or(&Keys::Discovered, |row| &row.keys)
    }

    /// The key that it says it is signed by; empty if it doesn't.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.token.header("kid").unwrap_or_default()
    }

    /// The algorithm that it says it is signed with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Names what must be settled, given the issuer's key of that id for that algorithm, if it has one.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`] if there is none.
    pub fn oblige(self, key: Option<VerifyingKey>) -> Result<Obliged<'a>, Error> {
        let unknown = || TokenError::UnknownKey(Echo::new(self.kid()));
        let check = self.token.signature_check(key.ok_or_else(unknown)?);
        Ok(Obliged {
            exchange: self,
            check,
        })
    }
}

impl Obliged<'_> {
    /// What the host must settle.
    #[must_use]
    pub const fn check(&self) -> &SignatureCheck {
        &self.check
    }

    /// Says who was proven to be asking, given how the check was settled. `has_challenge` is whether the
    /// proofs of possession are over a challenge, which will be burned.
    ///
    /// # Errors
    /// The first that applies of: the token's signature, the rules, the subject, what makes it single.
    pub fn settle(self, outcome: Outcome, has_challenge: bool) -> Result<Identified, Error> {
        if !outcome.is_verified() {
            return Err(TokenError::InvalidSignature.into());
        }
        let Exchange {
            rows, token, dates, ..
        } = self.exchange;
        let claims = token.claims();
        let permits = |row: &&&TrustedIssuer| row.permit(claims).is_ok();
        let row = rows.iter().find(permits);
        let row = row.ok_or(Error::NotPermitted(PolicyRule::Claims))?;
        let subject = row.subject.write(claims);
        let subject = subject.map_err(|_| TokenError::InvalidClaim("sub"))?;
        let forgotten_at = dates.exp + CLOCK_SKEW;
        let burns: Vec<Burn> = (dates.single_use_id(claims))
            .map(|jti| Burn::of_token(&row.issuer, jti, forgotten_at))
            .into_iter()
            .collect();
        if burns.is_empty() && !has_challenge {
            return Err(Error::ChallengeRequired);
        }
        Ok(Identified {
            kind: row.kind.as_str().to_owned(),
            issuer: row.issuer.clone(),
            name: subject.clone(),
            subject,
            method: format!("{}:{}", row.kind.as_str(), row.issuer),
            ceiling: row.scopes.clone(),
            burns,
            certificate: None,
            row: row.made.clone(),
        })
    }
}

//! Why a token is let in or not, row by row, without issuing anything: what an operator asks when a rule doesn't do
//! what they thought (`POST /policy/test`, `notme doctor`).
//!
//! It looks at what the door looks at, in its order, and at nothing else: a row that is said to fit lets in, if
//! the signature is the issuer's.

use notme_jose::{Audience, CompactJws};
use serde::Serialize;
use serde_json::{Value, json};

use super::issuer::TrustedIssuer;
use super::made::{Draft, RowRef};
use super::oidc::{Dates, apart, is_anothers, may_be_proof};
use crate::config::Config;
use crate::error::TokenError;
use crate::gha;
use crate::http::problem;
use crate::people::Scopes;
use crate::people::body::text;
use crate::{Echo, Error};

/// What a row makes of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// What operators call the row.
    pub row: String,
    /// Its id, if an administrator made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether it is the draft that is tried.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub draft: bool,
    /// Its `type`: the proof has to name it.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Whether it lets the token in.
    pub fits: bool,
    /// Which of its rules does, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// Who it would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What the row allows at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// What makes the proof single: `jti`, or a `challenge` that has to be asked for; where the row is for people, a
    /// `nonce` made of one.
    #[serde(rename = "singleBy", skip_serializing_if = "Option::is_none")]
    pub single_by: Option<&'static str>,
    /// What stands in the way: `token`, `issuer`, `audience`, `algorithm`, `times`, `chain`, `rules`, `subject` or `order`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<&'static str>,
    /// That in a sentence; of rules one for each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// Asks every row what it makes of a token; `now` in Unix seconds.
///
/// # Errors
/// [`Error::InvalidToken`] if it is no token at all.
pub fn explain(rows: &[TrustedIssuer], token: &str, now: u64) -> Result<Vec<Explained>, Error> {
    let token = apart(token)?;
    let mut explained: Vec<Explained> = Vec::with_capacity(rows.len());
    let mut decided: Vec<(&'static str, String)> = Vec::new();
    for row in rows {
        let mut one = of_row(row, &token, now);
        let decides = one.fits || one.stopped == Some("subject");
        match decided
            .iter()
            .find(|(kind, _)| decides && *kind == one.kind)
        {
            Some((_, first)) => one = nothing(row).behind(first),
            None if decides => decided.push((one.kind, one.row.clone())),
            None => {}
        }
        explained.push(one);
    }
    Ok(explained)
}

/// What `/cert/gha` makes of a token of its issuer's: what lets in there is configured by itself, and is no row.
#[must_use]
pub fn of_jobs(config: &Config, token: &str, now: u64) -> Option<Explained> {
    let read = apart(token).ok()?;
    let iss = read.claims().get("iss").and_then(Value::as_str);
    if iss != Some(config.gha.issuer.as_str()) {
        return None;
    }
    let nothing = Explained::nothing("/cert/gha", "gha", None);
    Some(match gha::tried(config, token, now) {
        Ok(identified) => nothing.fitting(None, identified.subject, &identified.ceiling, "jti"),
        Err(error) => nothing.stopped(
            match &error {
                Error::NotPermitted(_) => "rules",
                Error::InvalidToken(TokenError::WrongAudience(_)) => "audience",
                Error::InvalidToken(TokenError::UnsupportedAlgorithm(_)) => "algorithm",
                Error::InvalidToken(
                    TokenError::Expired
                    | TokenError::IssuedInFuture
                    | TokenError::NotYetValid
                    | TokenError::InvalidClaim("exp" | "iat" | "nbf"),
                ) => "times",
                _ => "token",
            },
            vec![problem(&error).text],
        ),
    })
}

/// A row of which nothing is said yet.
fn nothing(row: &TrustedIssuer) -> Explained {
    Explained::nothing(&row.name, row.kind.as_str(), row.made.as_ref())
}

impl Explained {
    /// A row of this name and type, of which nothing is said yet.
    pub(super) fn nothing(row: &str, kind: &'static str, made: Option<&RowRef>) -> Self {
        Self {
            row: row.to_owned(),
            id: made.map(|at| at.id.clone()).filter(|id| !id.is_empty()),
            draft: made.is_some_and(|at| at.revision == 0),
            kind,
            fits: false,
            rule: None,
            subject: None,
            scopes: None,
            single_by: None,
            stopped: None,
            why: Vec::new(),
        }
    }

    /// It lets in, by this rule, from 0, if it has rules.
    pub(super) fn fitting(
        self,
        rule: Option<usize>,
        subject: String,
        scopes: &Scopes,
        single_by: &'static str,
    ) -> Self {
        Self {
            fits: true,
            rule: rule.map(|rule| rule + 1),
            subject: Some(subject),
            scopes: Some(scopes.names()),
            single_by: Some(single_by),
            ..self
        }
    }

    /// It doesn't, because of this.
    pub(super) fn stopped(self, by: &'static str, why: Vec<String>) -> Self {
        Self {
            stopped: Some(by),
            why,
            ..self
        }
    }

    /// It would, if this row didn't come first: a door takes the first row that one of its rules lets somebody in by, and
    /// no other.
    pub(super) fn behind(self, first: &str) -> Self {
        let why = format!("the row `{first}` comes first, and decides");
        self.stopped("order", vec![why])
    }
}

/// Why none of the rules fits, in a sentence for each, given the claim that stands in its way.
pub(super) fn of_rules(mismatches: &[Option<&str>]) -> Vec<String> {
    let why = |(at, claim): (usize, &Option<&str>)| {
        let claim = claim.unwrap_or_default();
        format!("rule {}: `{claim}` isn't what it has to be", at + 1)
    };
    mismatches.iter().enumerate().map(why).collect()
}

/// What is to be tried: a token, and perhaps a row that nobody has saved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The token, or a chain of certificates in PEM.
    pub token: String,
    /// The row.
    pub draft: Option<Draft>,
    /// The id of the row in whose place that would be.
    pub id: Option<String>,
}

/// Reads `{"token": …, "row"?: row, "id"?: id}`.
///
/// # Errors
/// [`Error::InvalidJson`], [`Error::MissingToken`], and those of the row.
pub fn wanted(body: &[u8]) -> Result<Trial, Error> {
    let json = notme_keys::json::object(body).map_err(|_| Error::InvalidJson)?;
    let token = json.get("token").and_then(Value::as_str);
    let draft = match json.get("row") {
        None | Some(Value::Null) => None,
        row => Some(Draft::read(row)?),
    };
    Ok(Trial {
        token: token.ok_or(Error::MissingToken)?.to_owned(),
        draft,
        id: text(json.get("id"), "id")?.map(str::to_owned),
    })
}

/// The answer: what the signature is worth, and what each row says.
#[must_use]
pub fn answer(signature: &str, rows: &[Explained]) -> Value {
    json!({ "signature": signature, "rows": rows })
}

fn of_row(row: &TrustedIssuer, token: &CompactJws<'_>, now: u64) -> Explained {
    let explained = nothing(row);
    match judge(row, token, now) {
        Ok(fit) => explained.fitting(Some(fit.rule), fit.subject, &row.scopes, fit.single_by),
        Err((by, why)) => explained.stopped(by, why),
    }
}

struct Fit {
    rule: usize,
    subject: String,
    single_by: &'static str,
}

type Misfit = (&'static str, Vec<String>);

fn judge(row: &TrustedIssuer, token: &CompactJws<'_>, now: u64) -> Result<Fit, Misfit> {
    let misfit = |stopped, why: String| Err((stopped, vec![why]));
    if let Err(error) = may_be_proof(token) {
        return misfit("token", problem(&error.into()).text);
    }
    let claims = token.claims();
    let text = |name: &str| claims.get(name).and_then(|claim| claim.as_str());
    let iss = text("iss").unwrap_or_default();
    if iss != row.issuer {
        let why = format!(
            "the token is of `{}`, and the row of `{}`",
            Echo::new(iss),
            row.issuer
        );
        return misfit("issuer", why);
    }
    let aud = claims.get("aud").unwrap_or(&Value::Null);
    if !Audience::new(aud).is_well_formed() || !Audience::new(aud).contains(&row.audience) {
        let aud = Echo::new(&aud.to_string());
        let why = format!(
            "the token is for {aud}, and the row wants `{}`",
            row.audience
        );
        return misfit("audience", why);
    }
    if is_anothers(row, claims) {
        return misfit("audience", "its `azp` is another client".to_owned());
    }
    let algorithm = token
        .algorithm()
        .filter(|algorithm| row.algorithms.contains(algorithm));
    if algorithm.is_none() || token.has_critical_extensions() {
        let taken: Vec<_> = row
            .algorithms
            .iter()
            .map(|algorithm| algorithm.as_str())
            .collect();
        let alg = Echo::new(token.header("alg").unwrap_or_default());
        let why = format!(
            "the token is signed with `{alg}`, and the row takes {}",
            taken.join(", ")
        );
        return misfit("algorithm", why);
    }
    let kid = token.header("kid").unwrap_or_default();
    if !algorithm.is_some_and(|algorithm| row.may_have(kid, algorithm)) {
        let cluster = row.cluster.as_deref().unwrap_or_default();
        let why = format!(
            "the token names the key `{}`, which the cluster `{cluster}` hasn't",
            Echo::new(kid)
        );
        return misfit("issuer", why);
    }
    let dates = match Dates::read(claims, now) {
        Ok(dates) => dates,
        Err(error) => return misfit("times", problem(&error.into()).text),
    };
    let mismatches: Vec<_> = row
        .rules
        .iter()
        .map(|rule| rule.first_mismatch(claims))
        .collect();
    let Some(fitting) = mismatches.iter().position(Option::is_none) else {
        return Err(("rules", of_rules(&mismatches)));
    };
    let subject = match row.subject.write(claims) {
        Ok(subject) => subject,
        Err(claim) => {
            let why = format!("`{claim}` isn't there, or can't stand in a subject");
            return misfit("subject", why);
        }
    };
    let single_by = if row.is_for_people {
        "nonce"
    } else if dates.single_use_id(claims).is_some() {
        "jti"
    } else {
        "challenge"
    };
    Ok(Fit {
        rule: fitting,
        subject,
        single_by,
    })
}

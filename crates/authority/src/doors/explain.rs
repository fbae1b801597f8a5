//! Why a token is let in or not, row by row, without issuing anything: what an operator asks when a rule doesn't do
//! what they thought (`POST /policy/test`, `notme doctor`).
//!
//! It looks at what the door looks at, in its order, and at nothing else: a row that is said to fit lets in, if
//! the signature is the issuer's.

use notme_jose::{Audience, CompactJws};
use serde::Serialize;
use serde_json::{Value, json};

use super::issuer::TrustedIssuer;
use super::made::Draft;
use super::oidc::{Dates, MAX_TOKEN_LEN, may_be_proof};
use crate::config::Config;
use crate::error::TokenError;
use crate::gha;
use crate::http::problem;
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
    /// What stands in the way: `token`, `issuer`, `audience`, `algorithm`, `times`, `rules`, `subject` or `order`.
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
    if token.len() > MAX_TOKEN_LEN {
        return Err(TokenError::Malformed.into());
    }
    let token = CompactJws::parse(token).map_err(|_| TokenError::Malformed)?;
    let mut explained: Vec<Explained> = Vec::with_capacity(rows.len());
    let mut decided: Vec<(&'static str, String)> = Vec::new();
    for row in rows {
        let mut one = of_row(row, &token, now);
        let decides = one.fits || one.stopped == Some("subject");
        match decided
            .iter()
            .find(|(kind, _)| decides && *kind == one.kind)
        {
            // The door takes the first row that one of its rules lets the token in by, and no other.
            Some((_, first)) => {
                one = Explained {
                    stopped: Some("order"),
                    why: vec![format!("the row `{first}` comes first, and decides")],
                    ..nothing(row)
                }
            }
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
    let read = CompactJws::parse(token).ok()?;
    let iss = read.claims().get("iss").and_then(Value::as_str);
    if iss != Some(config.gha.issuer.as_str()) {
        return None;
    }
    let nothing = Explained::nothing("/cert/gha", "gha");
    Some(match gha::tried(config, token, now) {
        Ok(identified) => Explained {
            fits: true,
            subject: Some(identified.subject),
            scopes: Some(identified.ceiling.names()),
            single_by: Some("jti"),
            ..nothing
        },
        Err(error) => Explained {
            stopped: Some(match &error {
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
            }),
            why: vec![problem(&error).text],
            ..nothing
        },
    })
}

/// A row of which nothing is said yet.
fn nothing(row: &TrustedIssuer) -> Explained {
    let made = row.made.as_ref();
    Explained {
        id: made.map(|at| at.id.clone()).filter(|id| !id.is_empty()),
        draft: made.is_some_and(|at| at.revision == 0),
        ..Explained::nothing(&row.name, row.kind.as_str())
    }
}

impl Explained {
    /// A row of this name and type, of which nothing is said yet.
    pub(super) fn nothing(row: &str, kind: &'static str) -> Self {
        Self {
            row: row.to_owned(),
            id: None,
            draft: false,
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
}

/// What is to be tried: a token, and perhaps a row that nobody has saved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The token.
    pub token: String,
    /// The row.
    pub draft: Option<Draft>,
    /// The id of the row in whose place that would be.
    pub id: Option<String>,
}

/// Reads `{"token": JWT, "row"?: row, "id"?: id}`.
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
        Ok(fit) => Explained {
            fits: true,
            rule: Some(fit.rule),
            subject: Some(fit.subject),
            scopes: Some(row.scopes.names()),
            single_by: Some(fit.single_by),
            ..explained
        },
        Err((stopped, why)) => Explained {
            stopped: Some(stopped),
            why,
            ..explained
        },
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
        let why = |(at, claim): (usize, &Option<&str>)| {
            format!(
                "rule {}: `{}` isn't what it has to be",
                at + 1,
                claim.unwrap_or_default()
            )
        };
        return Err(("rules", mismatches.iter().enumerate().map(why).collect()));
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
        rule: fitting + 1,
        subject,
        single_by,
    })
}

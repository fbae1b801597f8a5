//! `notme doctor`: which row would let a token or a certificate in, and why the others wouldn't, without asking anybody
//! but GitHub, if told to.

use std::fmt::Write;
use std::path::Path;

use notme_authority::Error;
use notme_authority::config::{Config, GITHUB_ISSUER, VARIABLES};
use notme_authority::doors::explain::{self, Explained};
use notme_authority::doors::github;
use notme_authority::doors::issuer::{Keys, TrustedIssuer};
use notme_authority::doors::rows::Rows;
use notme_authority::doors::x509;
use notme_jose::CompactJws;
use notme_keys::native::settle;
use serde_json::{Value, json};
use zeroize::Zeroize;

use crate::Report;
use crate::args::Doctor;
use crate::failure::Failure;
use crate::files::read;
use crate::http::Client;
use crate::text::harmless;
use crate::time::now;
use crate::token::{self, Token};

/// The variable that an authority reads its rows from.
const VARIABLE: &str = "TRUSTED_ISSUERS";

/// Tries a token, or a chain of certificates.
pub(crate) fn run(options: &Doctor) -> Result<Report, Failure> {
    let (signature, explained) = match &options.chain {
        Some(path) => of_chain(options, path)?,
        None => of_token(options)?,
    };
    if explained.iter().any(|row| row.fits) && signature != INVALID {
        return Ok(report(signature, &explained));
    }
    let mut text: Vec<_> = explained.iter().map(sentence).collect();
    if explained.is_empty() {
        text.push("there is no row that is about such".to_owned());
    }
    if signature == INVALID {
        text.push("the signature is not the issuer's".to_owned());
    }
    Err(Failure::refused("not_permitted", text.join("; ")))
}

fn rows(options: &Doctor) -> Result<Rows, Failure> {
    let rows = match &options.rows {
        Some(path) => String::from_utf8(read(path)?)
            .map_err(|_| Failure::usage("rows_malformed", "the rows are not text"))?,
        None => match std::env::var(VARIABLE) {
            Ok(rows) => rows,
            // What lets jobs in is configured by itself.
            Err(_) if jobs().any(|name| std::env::var(name).is_ok()) => "[]".to_owned(),
            Err(_) => {
                let text = format!("there are no rows: give --rows, or set {VARIABLE}");
                return Err(Failure::usage("rows_missing", text));
            }
        },
    };
    Rows::read_all(&rows).map_err(|problems| Failure::usage("rows_malformed", problems.join("; ")))
}

/// The variables that say whom `/cert/gha` lets in.
fn jobs() -> impl Iterator<Item = &'static str> {
    VARIABLES
        .into_iter()
        .filter(|name| name.starts_with("GHA_"))
}

/// The configuration of an authority, as far as these of its variables say it; or what is wrong with them.
fn configured(variables: impl Fn(&str) -> bool) -> Result<Config, String> {
    let lookup = |name: &str| match name {
        "SIGNET_AUTHORITY_URL" => Some("https://authority.invalid".to_owned()),
        name if variables(name) => std::env::var(name).ok(),
        _ => None,
    };
    Config::read(lookup).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    })
}

/// What says whom `/cert/gha` lets in.
fn of_jobs() -> Result<Config, Failure> {
    configured(|name| name.starts_with("GHA_"))
        .map_err(|problems| Failure::usage("jobs_malformed", problems))
}

/// Whether a token is of the issuer of jobs.
fn is_of_jobs(token: &Token) -> bool {
    let issuer = std::env::var("GHA_ISSUER");
    let issuer = issuer.as_deref().unwrap_or(GITHUB_ISSUER);
    let jws = CompactJws::parse(token.expose());
    jws.is_ok_and(|jws| jws.claims().get("iss").and_then(Value::as_str) == Some(issuer))
}

/// What the signature is worth, and what each row says.
type Tried = (&'static str, Vec<Explained>);

fn of_token(options: &Doctor) -> Result<Tried, Failure> {
    let (file, variable) = (options.token_file.as_deref(), options.token_env.as_deref());
    let parse = |text: &str| Token::parse(text).or_else(|| Token::of_github(text));
    let token = token::given(file, variable, parse)?;
    let (rows, at) = (rows(options)?, options.at.map_or_else(now, Ok)?);
    if let Some(trial) = github::Trial::of(token.expose()) {
        return of_github(options, &trial, &rows, at);
    }
    if options.ask {
        let text = "--ask is for GitHub's own tokens, and this is none: nobody was asked";
        return Err(Failure::usage("ask_unused", text));
    }
    let malformed = |_| Failure::usage("token_malformed", "what was given is no token");
    let mut explained = explain::explain(&rows.issuers, token.expose(), at).map_err(malformed)?;
    if is_of_jobs(&token) {
        explained.extend(explain::of_jobs(&of_jobs()?, token.expose(), at));
    }
    for why in explained.iter_mut().flat_map(|row| &mut row.why) {
        *why = token.redact(why);
    }
    Ok((signature(&rows.issuers, &token), explained))
}

/// What GitHub says of a token decides; it answers for it as a signature would.
fn of_github(
    options: &Doctor,
    trial: &github::Trial,
    rows: &Rows,
    at: u64,
) -> Result<Tried, Failure> {
    if !options.ask {
        let text = "whose a token of GitHub's is its API says: give --ask, and it is sent there";
        return Err(Failure::usage("ask_missing", text));
    }
    let config = configured(|name| name == "GITHUB_API_URL")
        .map_err(|problems| Failure::usage("api_url", problems))?;
    let unsupported = |_| {
        let text = "GitHub says for good whose they are of tokens of users and of apps, and this is another";
        Failure::refused("unsupported_token", text)
    };
    let mut asks = trial.asks(&config, rows, at).map_err(unsupported)?;
    let client = Client::new();
    let mut answers = Vec::with_capacity(asks.len());
    for ask in &asks {
        let answer = client.ask(ask)?;
        let is_good = answer.status == 200;
        answers.push(answer);
        if !is_good {
            break;
        }
    }
    let values = asks.iter_mut().flat_map(|ask| &mut ask.headers);
    values.for_each(|(_, value)| value.zeroize()); // the token is in one
    match trial.explain(&config, rows, &answers, at) {
        Ok(explained) => Ok(("valid", explained)),
        Err(Error::Fault(fault)) => Err(Failure::unavailable("api_unavailable", fault.to_string())),
        Err(_) => {
            let text = "GitHub doesn't take the token: it is wrong, over, or revoked";
            Err(Failure::refused("token_refused", text))
        }
    }
}

fn of_chain(options: &Doctor, path: &Path) -> Result<Tried, Failure> {
    let text = String::from_utf8(read(path)?).unwrap_or_default();
    let malformed = || Failure::usage("chain_malformed", "what was given is no certificate in PEM");
    let chain = x509::Trial::of(&text)
        .and_then(Result::ok)
        .ok_or_else(malformed)?;
    let (rows, at) = (rows(options)?, options.at.map_or_else(now, Ok)?);
    let outcomes: Vec<_> = chain.checks(&rows, at).iter().map(settle).collect();
    Ok(chain.explain(&rows, at, &outcomes))
}

const INVALID: &str = "invalid";

/// What the signature is worth by the keys that are in the rows: nobody is asked for others.
fn signature(rows: &[TrustedIssuer], token: &Token) -> &'static str {
    let Ok(jws) = CompactJws::parse(token.expose()) else {
        return INVALID;
    };
    let iss = jws.claims().get("iss").and_then(Value::as_str);
    let Some(algorithm) = jws.algorithm() else {
        return "not checked";
    };
    let kid = jws.header("kid").unwrap_or_default();
    let of_issuer = |row: &&TrustedIssuer| Some(row.issuer.as_str()) == iss;
    let of_token = |row: &&TrustedIssuer| of_issuer(row) && row.may_have(kid, algorithm);
    let row = rows.iter().find(of_token);
    let Some(row) = row.or_else(|| rows.iter().find(of_issuer)) else {
        return "not checked";
    };
    let Keys::Given(set) = &row.keys else {
        return "not checked";
    };
    let key = set.find(kid, algorithm);
    let is_valid = key.is_some_and(|key| settle(&jws.signature_check(key)).is_verified());
    if is_valid { "valid" } else { INVALID }
}

fn sentence(row: &Explained) -> String {
    format!("{}: {}", harmless(&row.row), harmless(&row.why.join(", ")))
}

fn report(signature: &str, rows: &[Explained]) -> Report {
    let mut text = String::new();
    for row in rows.iter().filter(|row| row.fits) {
        let scopes = row.scopes.clone().unwrap_or_default().join(" ");
        // That of jobs has variables.
        let rule = row
            .rule
            .map_or_else(|| "GHA_*".to_owned(), |rule| rule.to_string());
        for (name, value) in [
            ("row", row.row.as_str()),
            ("type", row.kind),
            ("rule", &rule),
            ("subject", row.subject.as_deref().unwrap_or_default()),
            ("scopes", &scopes),
            ("single by", row.single_by.unwrap_or_default()),
            ("signature", signature),
        ] {
            let _ = writeln!(text, "{name:<10}  {}", harmless(value));
        }
    }
    Report {
        text,
        json: json!({ "ok": true, "signature": signature, "rows": rows }),
    }
}

//! `notme doctor`: which row would let a token in, and why the others wouldn't, without asking anybody.

use std::fmt::Write;

use notme_authority::doors::explain::{Explained, explain};
use notme_authority::doors::issuer::{Keys, TrustedIssuer};
use notme_jose::CompactJws;
use notme_keys::native::settle;
use serde_json::{Value, json};

use crate::Report;
use crate::args::Doctor;
use crate::failure::Failure;
use crate::files::read;
use crate::text::harmless;
use crate::time::now;
use crate::token::{self, Token};

/// The variable that an authority reads its rows from.
const VARIABLE: &str = "TRUSTED_ISSUERS";

/// Tries a token.
pub(crate) fn run(options: &Doctor) -> Result<Report, Failure> {
    let token = token::given(options.token_file.as_deref(), options.token_env.as_deref())?;
    let rows = match &options.rows {
        Some(path) => String::from_utf8(read(path)?)
            .map_err(|_| Failure::usage("rows_malformed", "the rows are not text"))?,
        None => std::env::var(VARIABLE).map_err(|_| {
            let text = format!("there are no rows: give --rows, or set {VARIABLE}");
            Failure::usage("rows_missing", text)
        })?,
    };
    let rows = TrustedIssuer::read_all(&rows)
        .map_err(|problems| Failure::usage("rows_malformed", problems.join("; ")))?;
    let at = options.at.map_or_else(now, Ok)?;
    let explained = explain(&rows, token.expose(), at)
        .map_err(|_| Failure::usage("token_malformed", "what was given is no token"))?;
    let signature = signature(&rows, &token);
    if explained.iter().any(|row| row.fits) && signature != INVALID {
        return Ok(report(signature, &explained));
    }
    let why = explained.iter().map(|row| sentence(row, &token));
    let mut text: Vec<_> = why.collect();
    if rows.is_empty() {
        text.push("there is no row".to_owned());
    }
    if signature == INVALID {
        text.push("the signature is not the issuer's".to_owned());
    }
    Err(Failure::refused("not_permitted", text.join("; ")))
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

fn sentence(row: &Explained, token: &Token) -> String {
    let why = token.redact(&row.why.join(", "));
    format!("{}: {}", harmless(&row.row), harmless(&why))
}

fn report(signature: &str, rows: &[Explained]) -> Report {
    let mut text = String::new();
    for row in rows.iter().filter(|row| row.fits) {
        let scopes = row.scopes.clone().unwrap_or_default().join(" ");
        let rule = row.rule.unwrap_or_default().to_string();
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

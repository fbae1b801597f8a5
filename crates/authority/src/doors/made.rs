//! Rows that administrators make: what is stored of them, what they may be, and how they join those of the
//! configuration.
//!
//! They are read like those, and stand behind them. What they may not is lead this authority to addresses
//! that nobody outside of it could reach.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::issuer::{Keys, TrustedIssuer};
use super::row::door_of;
use super::rows::Rows;
use super::{RowsOf, presets};
use crate::config::Config;
use crate::people::{Scopes, federation};
use crate::rows::{MAX_ROWS, values};
use crate::{BaseUrl, Echo, Error};

/// The most of them that there may be.
pub const MOST: usize = MAX_ROWS;
/// The longest, in bytes of JSON.
const MAX_LEN: usize = 16 * 1024;
/// The most of a row that a line of the trail repeats, in characters.
const MAX_TOLD: usize = 2000;
/// Members of a JWK that are nobody else's business (RFC 7518 §6).
const PRIVATE: [&str; 7] = ["d", "dp", "dq", "k", "p", "q", "qi"];

/// For how long a worker goes by its copy of the rows before one request asks for them, in milliseconds.
const FRESH_MILLIS: u64 = 10_000;
/// For how long the others go by it meanwhile, in milliseconds: the bound that is published.
const STALE_MILLIS: u64 = 15_000;

/// Which row, and as of which change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRef {
    /// Its id.
    pub id: String,
    /// The change that it is as of; 0 of a draft.
    pub revision: u64,
}

/// A row as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeRow {
    /// Which it is.
    pub at: RowRef,
    /// What was written.
    pub json: String,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowSet {
    /// Moves with each change.
    pub revision: u64,
    /// In the order in which they are asked.
    pub rows: Vec<MadeRow>,
}

/// What a row is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The row.
    pub row: Value,
    /// The same, as it is stored.
    pub json: String,
}

impl Draft {
    /// Takes a row from where it stands.
    ///
    /// # Errors
    /// [`Error::InvalidMember`] if it is no object, [`Error::InvalidRow`] if it is too long.
    pub fn read(row: Option<&Value>) -> Result<Self, Error> {
        let row = row.filter(|row| row.is_object());
        let row = row.ok_or(Error::InvalidMember("row"))?.clone();
        let json = row.to_string();
        if json.len() > MAX_LEN {
            let problem = format!("is longer than {} KiB", MAX_LEN / 1024);
            return Err(Error::InvalidRow(problem));
        }
        Ok(Self { row, json })
    }

    /// What those may do at most whom it would let in, if it can stand beside the configuration's rows and these.
    ///
    /// # Errors
    /// [`Error::InvalidRow`].
    pub fn permit(&self, config: &Config, others: &[MadeRow]) -> Result<Scopes, Error> {
        let (mut rows, _) = Rows::with(config, others);
        let at = RowRef {
            id: String::new(),
            revision: 0,
        };
        let scopes = rows.add_made(config, &self.row, at);
        scopes.map_err(Error::InvalidRow)
    }
}

/// Reads `{row, revision?}`.
///
/// # Errors
/// [`Error::InvalidJson`], also where a member stands twice, [`Error::InvalidMember`], and those of [`Draft::read`].
pub fn wanted(body: &[u8]) -> Result<(Draft, Option<u64>), Error> {
    let body: Map<String, Value> =
        notme_keys::json::object(body).map_err(|_| Error::InvalidJson)?;
    let revision = match body.get("revision") {
        None | Some(Value::Null) => None,
        Some(revision) => Some(revision.as_u64().ok_or(Error::InvalidMember("revision"))?),
    };
    Ok((Draft::read(body.get("row"))?, revision))
}

impl Rows {
    /// The configuration's rows, and behind them those that administrators made; and which of these can't be used
    /// beside the others, and why not.
    #[must_use]
    pub fn with(config: &Config, made: &[MadeRow]) -> (Self, Vec<(String, String)>) {
        let mut rows = config.rows.clone();
        let mut problems = Vec::new();
        for MadeRow { at, json } in made {
            let row = serde_json::from_str(json).unwrap_or_default();
            if let Err(problem) = rows.add_made(config, &row, at.clone()) {
                problems.push((at.id.clone(), problem));
            }
        }
        (rows, problems)
    }

    fn add_made(&mut self, config: &Config, row: &Value, at: RowRef) -> Result<Scopes, String> {
        if has_private_key(row) {
            return Err("jwks has a private key: give its public half".into());
        }
        self.add(row)?;
        match door_of(row).map(|door| door.rows) {
            Some(RowsOf::Roots) => {
                let added = self.roots.last_mut().ok_or_else(String::new)?;
                added.made = Some(at);
                return Ok(added.scopes.clone());
            }
            Some(RowsOf::Plain(_)) => {
                let added = self.plain.last_mut().ok_or_else(String::new)?;
                added.made = Some(at);
                return Ok(added.scopes.clone());
            }
            _ => {}
        }
        let permitted = self.issuers.last().map_or(Ok(()), |added| {
            permit_keys(config, added, row.get("jwks_uri").is_some())
        });
        if let Err(problem) = permitted {
            self.issuers.pop();
            return Err(problem);
        }
        let added = self.issuers.last_mut().ok_or_else(String::new)?;
        added.made = Some(at);
        Ok(added.scopes.clone())
    }
}

/// The rows as they would be with a draft, in the place of the row of this id or else behind all others.
///
/// # Errors
/// Those of [`Draft::permit`].
pub fn with_draft(
    config: &Config,
    made: &[MadeRow],
    draft: &Draft,
    id: Option<&str>,
) -> Result<Rows, Error> {
    let is_it = |row: &MadeRow| Some(row.at.id.as_str()) == id;
    let others: Vec<_> = made.iter().filter(|row| !is_it(row)).cloned().collect();
    draft.permit(config, &others)?;
    let mut tried = made.to_vec();
    let of_draft = MadeRow {
        at: RowRef {
            id: id.unwrap_or_default().to_owned(),
            revision: 0,
        },
        json: draft.json.clone(),
    };
    match tried.iter_mut().find(|row| is_it(row)) {
        Some(row) => *row = of_draft,
        None => tried.push(of_draft),
    }
    Ok(Rows::with(config, &tried).0)
}

fn has_private_key(row: &Value) -> bool {
    let keys = row.pointer("/jwks/keys").and_then(Value::as_array);
    let is_private = |key: &Value| PRIVATE.iter().any(|name| key.get(name).is_some());
    keys.is_some_and(|keys| keys.iter().any(is_private))
}

/// Whether this authority may ask there for an issuer's keys because an administrator says so: where anybody could
/// ask, or where the operator has it ask already.
fn permit_keys(config: &Config, row: &TrustedIssuer, has_uri: bool) -> Result<(), String> {
    let gha = &config.gha;
    if row.issuer == gha.issuer && row.keys != Keys::Discovered {
        return Err("GHA_ISSUER has other keys for this issuer".into());
    }
    let Some(asked) = address(row) else {
        return Ok(());
    };
    let member = if has_uri { "jwks_uri" } else { "issuer" };
    let url = BaseUrl::parse(asked).map_err(|error| format!("{member} {}", error.0))?;
    let is_there = |known: &TrustedIssuer| {
        let known = address(known).and_then(|known| BaseUrl::parse(known).ok());
        known.is_some_and(|known| known.origin() == url.origin())
    };
    let is_known =
        gha.issuer_url.origin() == url.origin() || config.rows.issuers.iter().any(is_there);
    if url.is_public() || is_known {
        Ok(())
    } else {
        Err(format!(
            "{member} must be https, at a name that is public; give jwks if its keys can't be fetched there"
        ))
    }
}

/// Where this authority asks for the keys of a row, or first asks where they are.
fn address(row: &TrustedIssuer) -> Option<&str> {
    match &row.keys {
        Keys::Given(_) => None,
        Keys::At(uri) => Some(uri),
        Keys::Discovered => Some(&row.issuer),
    }
}

/// Whose identities a row lets in as people: their kind, and their issuer.
#[must_use]
pub fn of_people(row: &Value) -> Option<(&'static str, String)> {
    let row = TrustedIssuer::read(row, &[]).ok()?;
    row.is_for_people.then(|| (row.kind.as_str(), row.issuer))
}

/// What a row is called, and its type, whether it can be used or not.
#[must_use]
pub fn label(row: &Value) -> (String, String) {
    let text = |name: &str| row.get(name).and_then(Value::as_str);
    let of_preset = || presets::find(text("preset")?).ok()?.issuer;
    let name = text("name").or_else(|| text("issuer")).or_else(of_preset);
    let kind = text("type").unwrap_or("oidc");
    (
        Echo::new(name.unwrap_or_default()).to_string(),
        Echo::new(kind).to_string(),
    )
}

/// A row as it is listed, whosever it is.
#[must_use]
pub fn shown(config: &Config, row: &Value) -> Map<String, Value> {
    let (name, kind) = label(row);
    let members = [
        ("name", name.into()),
        ("type", kind.into()),
        ("row", row.clone()),
    ];
    let members = members.map(|(name, value)| (name.to_owned(), value));
    let mut shown: Map<_, _> = members.into_iter().collect();
    let usable = TrustedIssuer::read(row, &[]).ok();
    if let Some(uri) = usable.and_then(|row| federation::redirect_uri(config, &row)) {
        shown.insert("redirectUri".into(), uri.into());
    }
    shown
}

/// The configuration's rows as they are listed.
#[must_use]
pub fn of_configuration(config: &Config) -> Vec<Value> {
    let rows = values(&config.rows_json).unwrap_or_default();
    rows.iter().map(|row| shown(config, row).into()).collect()
}

/// A row as far as a line of the trail repeats it.
#[must_use]
pub fn told(json: &str) -> String {
    match json.char_indices().nth(MAX_TOLD) {
        None => json.to_owned(),
        Some((end, _)) => format!("{}…", json.get(..end).unwrap_or_default()),
    }
}

/// What to do with a copy of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Go by it.
    Use,
    /// Ask first; whoever comes meanwhile goes by it.
    Refresh,
    /// Ask first.
    Wait,
}

/// What to do with a copy that was made `at`, if it is asked for already or not, in Unix milliseconds.
#[must_use]
pub const fn plan(at: u64, is_asked_for: bool, now: u64) -> Plan {
    // What is from the future was noted by a clock that has gone back since.
    match now.checked_sub(at) {
        Some(age) if age < FRESH_MILLIS => Plan::Use,
        Some(age) if age < STALE_MILLIS && is_asked_for => Plan::Use,
        Some(age) if age < STALE_MILLIS => Plan::Refresh,
        _ => Plan::Wait,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn config(rows: &Value) -> Config {
        let rows = rows.to_string();
        Config::read(|name| match name {
            "SIGNET_AUTHORITY_URL" => Some("https://auth.example.com".to_owned()),
            "TRUSTED_ISSUERS" => Some(rows.clone()),
            _ => None,
        })
        .unwrap()
    }

    fn row(issuer: &str) -> Value {
        json!({ "issuer": issuer, "audience": "a", "scopes": ["bridgeCert"], "rules": [{}] })
    }

    fn made(id: &str, row: &Value) -> MadeRow {
        let at = RowRef {
            id: id.to_owned(),
            revision: 7,
        };
        MadeRow {
            at,
            json: row.to_string(),
        }
    }

    fn permit(config: &Config, row: Value) -> Result<(), String> {
        let draft = Draft::read(Some(&row)).unwrap();
        match draft.permit(config, &[]) {
            Ok(_) => Ok(()),
            Err(Error::InvalidRow(why)) => Err(why),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_follow_those_of_the_configuration_and_say_which_they_are() {
        let config = config(&json!([row("https://a.example")]));
        let all = [
            made("one", &row("https://b.example")),
            made("two", &row("https://a.example")),
        ];
        let (rows, problems) = Rows::with(&config, &all);
        assert!(problems.is_empty());
        let said: Vec<_> = rows.issuers.iter().map(|row| row.made.clone()).collect();
        assert_eq!(
            said,
            [None, Some(all[0].at.clone()), Some(all[1].at.clone())]
        );
    }

    #[test]
    fn what_does_not_go_with_those_before_it_is_left_out_alone() {
        let config = config(&json!([row("https://a.example")]));
        let mut other = row("https://a.example");
        other["jwks_uri"] = json!("https://evil.example/keys");
        let all = [
            made("one", &other),
            made("two", &json!(null)),
            made("three", &row("https://b.example")),
            made("four", &row("http://127.0.0.1:1")),
        ];
        let (rows, problems) = Rows::with(&config, &all);
        let names: Vec<_> = rows.issuers.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["https://a.example", "https://b.example"]);
        let ids: Vec<_> = problems.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["one", "two", "four"]);
    }

    #[test]
    fn keys_are_asked_for_where_anybody_could_or_where_the_operator_has_us_ask() {
        let here = config(&json!([
            row("http://127.0.0.1:4000"),
            { "issuer": "https://given.internal", "audience": "a", "scopes": ["bridgeCert"], "rules": [{}],
              "jwks": { "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": KEY }] } },
        ]));
        let at = |uri: &str| {
            let mut row = row("https://issuer.example");
            row["jwks_uri"] = json!(uri);
            row
        };
        assert_eq!(permit(&here, row("https://issuer.example")), Ok(()));
        assert_eq!(permit(&here, row("http://127.0.0.1:4000/x")), Ok(()));
        assert_eq!(permit(&here, at("http://127.0.0.1:4000/keys")), Ok(()));
        for (row, member) in [
            (row("http://127.0.0.1:4001"), "issuer"),
            (row("http://localhost:4000"), "issuer"),
            // Nobody is asked there: the keys are in the row.
            (row("https://given.internal/x"), "issuer"),
            (at("https://10.1.2.3/keys"), "jwks_uri"),
            (at("http://127.0.0.1:4001/keys"), "jwks_uri"),
        ] {
            let why = permit(&here, row).unwrap_err();
            assert!(
                why.starts_with(&format!("{member} must be https, at a name")),
                "{why}"
            );
        }
    }

    #[test]
    fn an_issuer_keeps_its_keys_and_a_private_one_is_nobody_elses() {
        let config = config(&json!([]));
        let mut github = row("https://token.actions.githubusercontent.com");
        github["rules"] = json!([{ "repository_owner_id": "7" }]);
        assert_eq!(permit(&config, github.clone()), Ok(()));
        github["jwks_uri"] = json!("https://evil.example/keys");
        assert!(
            permit(&config, github)
                .unwrap_err()
                .starts_with("GHA_ISSUER")
        );
        for member in PRIVATE {
            let mut row = row("https://issuer.example");
            row["jwks"] = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": KEY }] });
            assert_eq!(permit(&config, row.clone()), Ok(()));
            row["jwks"]["keys"][0][member] = json!("c2VjcmV0");
            let why = permit(&config, row).unwrap_err();
            assert!(
                why.contains("private") && !why.contains("c2VjcmV0"),
                "{why}"
            );
        }
    }

    #[test]
    fn a_draft_takes_the_place_of_the_row_that_it_is_to_be() {
        let config = config(&json!([]));
        let all = [
            made("one", &row("https://a.example")),
            made("two", &row("https://b.example")),
        ];
        let names = |id: Option<&str>| {
            let draft = Draft::read(Some(&row("https://c.example"))).unwrap();
            let rows = with_draft(&config, &all, &draft, id).unwrap();
            let names = rows.issuers.iter().map(|row| row.name.clone());
            names.map(|name| name[8..9].to_owned()).collect::<String>()
        };
        assert_eq!(names(None), "abc");
        assert_eq!(names(Some("one")), "cb");
        assert_eq!(names(Some("gone")), "abc");
    }

    #[test]
    fn bodies_are_read_strictly() {
        let read = |body: &str| wanted(body.as_bytes()).map(|(_, revision)| revision);
        assert_eq!(read(r#"{"row":{},"revision":3,"x":1}"#), Ok(Some(3)));
        assert_eq!(read(r#"{"row":{},"revision":null}"#), Ok(None));
        for (body, error) in [
            ("", Error::InvalidJson),
            ("[]", Error::InvalidJson),
            (r#"{"row":{"a":1,"a":2}}"#, Error::InvalidJson),
            (r#"{"row":{},"row":{}}"#, Error::InvalidJson),
            ("{}", Error::InvalidMember("row")),
            (r#"{"row":"{}"}"#, Error::InvalidMember("row")),
            (
                r#"{"row":{},"revision":-1}"#,
                Error::InvalidMember("revision"),
            ),
            (
                r#"{"row":{},"revision":"1"}"#,
                Error::InvalidMember("revision"),
            ),
        ] {
            assert_eq!(read(body), Err(error), "{body}");
        }
        let long = format!(r#"{{"row":{{"name":"{}"}}}}"#, "x".repeat(MAX_LEN));
        assert!(matches!(read(&long), Err(Error::InvalidRow(_))));
    }

    #[test]
    fn a_copy_counts_for_fifteen_seconds_while_one_request_asks() {
        for (at, is_asked_for, now, wanted) in [
            (0, false, 9_999, Plan::Use),
            (0, false, 10_000, Plan::Refresh),
            (0, true, 10_000, Plan::Use),
            (0, true, 14_999, Plan::Use),
            (0, true, 15_000, Plan::Wait),
            (0, false, 15_000, Plan::Wait),
            (1, true, 0, Plan::Wait),
        ] {
            assert_eq!(
                plan(at, is_asked_for, now),
                wanted,
                "{at} {is_asked_for} {now}"
            );
        }
    }

    #[test]
    fn the_trail_repeats_so_much_and_no_more() {
        assert_eq!(told("{}"), "{}");
        let cut = told(&"ä".repeat(MAX_TOLD + 1));
        assert_eq!(cut.chars().count(), MAX_TOLD + 1);
        assert!(cut.ends_with('…'));
    }
}

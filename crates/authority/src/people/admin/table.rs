//! Rows as JSON and as CSV: which columns each list has, in which order they are read.

use serde_json::{Map, Value};

use super::list::{Kind as Listed, List, State};
use crate::Fault;
use crate::people::admission::Invite;
use crate::people::{Scope, Scopes};

/// What a column holds where the row was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Text; the member is left out if there is none.
    OptionalText,
    /// A number, 0 if there is none.
    Number,
    /// A number that says yes or no.
    Flag,
    /// Bytes, as hex.
    Hex,
    /// Names of scopes, as a JSON array; those that we know, in the published order.
    Scopes,
    /// Nothing: it follows from other columns.
    Derived,
}

/// A column: the member's name, and what it is read from.
pub type Column = (&'static str, Kind);

/// What a member is called that only others follow from. It isn't shown.
const MAKER_DISABLED: &str = "makerDisabled";
const MAKER_SCOPES: &str = "makerScopes";
const IS_VOID: &str = "isVoid";

const PRINCIPALS: &[Column] = &[
    ("id", Kind::Text),
    ("kind", Kind::Text),
    ("displayName", Kind::Text),
    ("createdAt", Kind::Number),
    ("createdBy", Kind::OptionalText),
    ("disabledAt", Kind::Number),
    ("scopes", Kind::Scopes),
];

const AUTHENTICATORS: &[Column] = &[
    ("id", Kind::Text),
    ("principal", Kind::Text),
    ("displayName", Kind::Text),
    ("kind", Kind::Text),
    ("issuer", Kind::Text),
    ("name", Kind::Text),
    ("createdAt", Kind::Number),
    ("lastUsedAt", Kind::Number),
];

const GRANTS: &[Column] = &[
    ("principal", Kind::Text),
    ("displayName", Kind::Text),
    ("scope", Kind::Text),
    ("grantedBy", Kind::OptionalText),
    ("grantedByName", Kind::OptionalText),
    ("grantedAt", Kind::Number),
    ("expiresAt", Kind::Number),
];

const SESSIONS: &[Column] = &[
    ("id", Kind::Text),
    ("principal", Kind::Text),
    ("displayName", Kind::Text),
    ("method", Kind::Text),
    ("source", Kind::Text),
    ("createdAt", Kind::Number),
    ("seenAt", Kind::Number),
    ("expiresAt", Kind::Number),
    ("current", Kind::Flag),
];

const CREDENTIALS: &[Column] = &[
    ("serial", Kind::Hex),
    ("signingSerial", Kind::Hex),
    ("subject", Kind::Text),
    ("identity", Kind::Text),
    ("principal", Kind::OptionalText),
    ("method", Kind::Text),
    ("scopes", Kind::Scopes),
    ("epoch", Kind::Number),
    ("issuedAt", Kind::Number),
    ("expiresAt", Kind::Number),
    ("state", Kind::Derived),
    ("revokedAt", Kind::Number),
    ("delegation", Kind::OptionalText),
    ("issuing", Kind::Flag),
];

const AUDIT: &[Column] = &[
    ("id", Kind::Number),
    ("at", Kind::Number),
    ("actor", Kind::OptionalText),
    ("actorName", Kind::OptionalText),
    ("action", Kind::Text),
    ("target", Kind::OptionalText),
    ("source", Kind::Text),
    ("requestId", Kind::Text),
    ("details", Kind::Text),
];

const INVITES: &[Column] = &[
    ("id", Kind::Text),
    ("createdBy", Kind::Text),
    ("createdByName", Kind::Text),
    ("scopes", Kind::Scopes),
    ("createdAt", Kind::Number),
    ("expiresAt", Kind::Number),
    ("state", Kind::Derived),
    ("redeemedBy", Kind::OptionalText),
    ("redeemedByName", Kind::OptionalText),
    ("redeemedAt", Kind::Number),
    ("principal", Kind::OptionalText),
    ("principalName", Kind::OptionalText),
    (MAKER_DISABLED, Kind::Flag),
    (MAKER_SCOPES, Kind::Scopes),
];

const DELEGATIONS: &[Column] = &[
    ("id", Kind::Text),
    ("parent", Kind::OptionalText),
    ("delegator", Kind::Text),
    ("onBehalfOf", Kind::Text),
    ("delegate", Kind::Text),
    ("scopes", Kind::Scopes),
    ("audience", Kind::OptionalText),
    ("purposeHash", Kind::OptionalText),
    ("depth", Kind::Number),
    ("delegable", Kind::Flag),
    ("createdAt", Kind::Number),
    ("expiresAt", Kind::Number),
    ("state", Kind::Derived),
    ("revokedAt", Kind::Number),
    (IS_VOID, Kind::Flag),
];

/// What the members of a row are finished with.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time, in Unix seconds.
    pub now: u64,
    /// The epoch that is in force.
    pub epoch: u64,
}

impl Listed {
    /// The columns that its rows are read from, in this order.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Principals => PRINCIPALS,
            Self::Authenticators => AUTHENTICATORS,
            Self::Grants => GRANTS,
            Self::Sessions | Self::OwnSessions => SESSIONS,
            Self::Credentials | Self::OwnCredentials => CREDENTIALS,
            Self::Audit => AUDIT,
            Self::Invites => INVITES,
            Self::Delegations | Self::OwnDelegations => DELEGATIONS,
        }
    }
}

impl List {
    /// Adds what follows from other members, and takes out what isn't shown. Whether the row is one
    /// that was asked for.
    pub fn finish(&self, row: &mut Map<String, Value>, moment: Moment) -> bool {
        let number = |name| row.get(name).and_then(Value::as_u64).unwrap_or(0);
        let expires_at = number("expiresAt");
        let state = match self.kind {
            Listed::Credentials | Listed::OwnCredentials => {
                let is_revoked = number("revokedAt") > 0;
                State::of_credential(is_revoked, number("epoch"), expires_at, moment)
            }
            Listed::Invites => {
                let is_redeemed = number("redeemedAt") > 0;
                // The last one first: the others stay where they are.
                let held = row.remove(MAKER_SCOPES);
                let is_disabled = row.remove(MAKER_DISABLED);
                let is_in = is_disabled.is_some_and(|is| is.as_bool() == Some(false));
                let held = held.filter(|_| is_in);
                let invite = Invite {
                    scopes: scopes_in(row.get("scopes")),
                    expires_at,
                    is_redeemed,
                    maker: scopes_in(held.as_ref()).for_good(),
                };
                State::of_invite(&invite, moment.now)
            }
            Listed::Delegations | Listed::OwnDelegations => {
                let is_revoked = number("revokedAt") > 0;
                let is_void = row.remove(IS_VOID).and_then(|is| is.as_bool());
                if is_revoked {
                    State::Revoked
                } else if expires_at <= moment.now {
                    State::Expired
                } else if is_void == Some(false) {
                    State::Active
                } else {
                    State::Void
                }
            }
            _ => return true,
        };
        row.insert("state".into(), state.as_str().into());
        self.filters.state.is_none_or(|wanted| wanted == state)
    }
}

impl State {
    /// The state of a credential: taken back, or of an epoch that is over, or expired by itself.
    #[must_use]
    pub const fn of_credential(
        is_revoked: bool,
        epoch: u64,
        expires_at: u64,
        moment: Moment,
    ) -> Self {
        if is_revoked {
            Self::Revoked
        } else if expires_at <= moment.now {
            Self::Expired
        } else if epoch != moment.epoch {
            Self::Revoked
        } else {
            Self::Active
        }
    }

    /// The state of an invite.
    #[must_use]
    pub fn of_invite(invite: &Invite, now: u64) -> Self {
        if invite.is_redeemed {
            Self::Redeemed
        } else if invite.expires_at <= now {
            Self::Expired
        } else if invite.is_backed() {
            Self::Open
        } else {
            Self::Void
        }
    }
}

fn scopes_in(names: Option<&Value>) -> Scopes {
    let names = names.and_then(Value::as_array).into_iter().flatten();
    names
        .filter_map(|name| Scope::parse(name.as_str()?))
        .collect()
}

/// The member that a JSON array of scopes' names becomes.
///
/// # Errors
/// [`Fault::Internal`] if it is none.
pub fn scopes_member(json: &str) -> Result<Value, Fault> {
    let names: Value = serde_json::from_str(json).map_err(|e| Fault::Internal(e.to_string()))?;
    Ok(scopes_in(Some(&names)).names().into())
}

/// A page as CSV (RFC 4180), given its answer as JSON.
///
/// # Errors
/// [`Fault::Internal`] if that is none.
pub fn csv(kind: Listed, page: &[u8]) -> Result<String, Fault> {
    let page: Value =
        serde_json::from_slice(page).map_err(|error| Fault::Internal(error.to_string()))?;
    let columns = || {
        let names = kind.columns().iter().map(|(name, _)| *name);
        names.filter(|name| ![MAKER_DISABLED, MAKER_SCOPES, IS_VOID].contains(name))
    };
    let mut out = String::new();
    out.extend(columns().enumerate().flat_map(|(i, name)| [comma(i), name]));
    out.push_str("\r\n");
    let items = page.get("items").and_then(Value::as_array);
    for item in items.into_iter().flatten() {
        for (i, name) in columns().enumerate() {
            out.push_str(comma(i));
            write_cell(&mut out, item.get(name));
        }
        out.push_str("\r\n");
    }
    Ok(out)
}

const fn comma(index: usize) -> &'static str {
    if index == 0 { "" } else { "," }
}

fn write_cell(out: &mut String, value: Option<&Value>) {
    let text = match value {
        None | Some(Value::Null) => return,
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            names.join(" ")
        }
        Some(other) => return out.push_str(&other.to_string()),
    };
    let text = without_formulas(&text);
    if text.contains(['"', ',', '\r', '\n']) {
        out.extend(["\"", &text.replace('"', "\"\""), "\""]);
    } else {
        out.push_str(&text);
    }
}

/// Spreadsheets take a cell that begins so for a formula, and run it. To some a semicolon or a tab begins
/// another cell, quotes or not.
fn without_formulas(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if begins && matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n') {
            safe.push('\'');
        }
        safe.push(c);
        begins = matches!(c, ';' | '\t');
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::people::admin::list::Filters;

    #[test]
    fn cells_are_text_whatever_they_say() {
        for (value, cell) in [
            (json!(null), ""),
            (json!(7), "7"),
            (json!(true), "true"),
            (json!(["a", "b"]), "a b"),
            (json!("plain"), "plain"),
            (json!("a,b"), "\"a,b\""),
            (json!("say \"a\""), "\"say \"\"a\"\"\""),
            (json!("a\r\nb"), "\"a\r\nb\""),
            (json!("=1+1"), "'=1+1"),
            (json!("+1"), "'+1"),
            (json!("-1"), "'-1"),
            (json!("@x"), "'@x"),
            (json!("\tx"), "'\tx"),
            (json!("x;=cmd|'/C calc'!A0;"), "x;'=cmd|'/C calc'!A0;"),
            (json!("x\t=1"), "x\t'=1"),
            (json!("x;y"), "x;y"),
            (json!("\rx"), "\"'\rx\""),
            (json!("=HYPERLINK(\"x\",1)"), "\"'=HYPERLINK(\"\"x\"\",1)\""),
        ] {
            let mut out = String::new();
            write_cell(&mut out, Some(&value));
            assert_eq!(out, cell, "{value}");
        }
    }

    #[test]
    fn pages_have_a_head() {
        let page =
            json!({ "items": [{ "principal": "p", "scope": "bridgeCert", "grantedAt": 1 }] });
        assert_eq!(
            csv(Listed::Grants, page.to_string().as_bytes()).unwrap(),
            "principal,displayName,scope,grantedBy,grantedByName,grantedAt,expiresAt\r\np,,bridgeCert,,,1,\r\n"
        );
        let empty = csv(Listed::Invites, b"{}").unwrap();
        assert!(
            empty.ends_with(",redeemedBy,redeemedByName,redeemedAt,principal,principalName\r\n"),
            "{empty}"
        );
    }

    fn list(kind: Listed, state: Option<State>) -> List {
        List {
            kind,
            filters: Filters {
                state,
                ..Filters::default()
            },
            limit: 1,
            after: None,
        }
    }

    #[test]
    fn states_follow_from_the_row() {
        let moment = Moment { now: 100, epoch: 2 };
        let state = |row: Value| {
            let mut row = row.as_object().unwrap().clone();
            assert!(list(Listed::Credentials, None).finish(&mut row, moment));
            row["state"].as_str().unwrap().to_owned()
        };
        let row = |revoked, epoch, expires| json!({ "state": null, "revokedAt": revoked, "epoch": epoch, "expiresAt": expires });
        assert_eq!(state(row(0, 2, 101)), "active");
        assert_eq!(state(row(0, 2, 100)), "expired");
        assert_eq!(state(row(0, 1, 100)), "expired");
        assert_eq!(state(row(0, 1, 101)), "revoked");
        assert_eq!(state(row(50, 2, 60)), "revoked");

        let invite = |wanted, redeemed, expires, disabled, held: &[&str]| {
            let mut row = json!({
                "scopes": ["bridgeCert", "sign:git"], "redeemedAt": redeemed, "expiresAt": expires,
                "state": null, (MAKER_DISABLED): disabled, (MAKER_SCOPES): held,
            });
            let row = row.as_object_mut().unwrap();
            let is_wanted = list(Listed::Invites, wanted).finish(row, moment);
            assert_eq!(row.len(), 4);
            (row["state"].as_str().unwrap().to_owned(), is_wanted)
        };
        let both = &["authorityManage", "bridgeCert", "sign:git"][..];
        let open = Some(State::Open);
        assert_eq!(invite(None, 0, 101, false, both), ("open".into(), true));
        assert_eq!(invite(open, 9, 99, true, &[]), ("redeemed".into(), false));
        assert_eq!(invite(open, 0, 100, false, both), ("expired".into(), false));
        assert_eq!(invite(None, 0, 101, true, both), ("void".into(), true));
        assert_eq!(
            invite(open, 0, 101, false, &both[1..]),
            ("void".into(), false)
        );
        assert_eq!(invite(None, 0, 101, false, &both[..2]).0, "void");
    }
}

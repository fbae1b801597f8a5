//! What administrators see and take back: lists and searches, revocation, grants.
//!
//! Requests become values that can't be wrong here; the signing object finds and changes rows, in the
//! transaction that reads the session again.

pub mod list;
mod query;
pub(crate) use query::Query;
pub mod table;

pub use query::next_query;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::list::{Kind, List, MAX_NUMBER};
use self::query::decode;
use super::command::Origin;
use super::{PrincipalId, Scope, Scopes, is_uuid};
use crate::delegation::Wish;
use crate::doors::made::{self, Draft};
use crate::http::{Dispatch, Method, Operation, Session, dispatch};
use crate::{Error, Fault};

/// What the holder of a session wants of the signing object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The hash of the session's secret.
    pub session: [u8; 32],
    /// Where from.
    pub origin: Origin,
    /// The request's method.
    pub method: Method,
    /// Its path within the authority.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    /// Its body.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

impl Command {
    /// What the request's route asks of the session, what it wants, and the form of the answer.
    ///
    /// The worker reads it to refuse what is malformed, and the object to know what to do: texts cross
    /// more cheaply than what they mean.
    ///
    /// # Errors
    /// [`Error::NotFound`] and those of [`parse`].
    pub fn read(&self) -> Result<(Session, Act, Format), Error> {
        let Dispatch::Route(route) = dispatch(self.method.name(), &self.path) else {
            return Err(Error::NotFound);
        };
        let parameters = route.parameters(&self.path);
        let (act, format) = parse(route.operation, parameters, &self.query, &self.body)?;
        Ok((route.session, act, format))
    }
}

impl Act {
    /// Whether the list of what is revoked may say something else afterwards.
    #[must_use]
    pub const fn revokes(&self) -> bool {
        matches!(
            self,
            Self::Change(
                Change::Disable(_)
                    | Change::RemoveAuthenticator(_)
                    | Change::RevokeCredential(_)
                    | Change::RevokeDelegation(_)
            )
        )
    }
}

/// Something that is looked at or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Shows a page of a list.
    List(Box<List>),
    /// Shows a principal.
    Show(PrincipalId),
    /// Changes something.
    Change(Change),
    /// Shows the rows that let somebody in.
    ShowRows,
    /// Changes one of those that administrators made.
    Row(RowChange),
    /// Makes a delegation.
    Delegate(Box<Wish>),
}

/// A change of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Makes one.
    Make(Draft),
    /// Makes another one of it, if it is as of this revision.
    Edit(ItemId, Draft, u64),
    /// Removes it, if it is as of this revision or none is named.
    Remove(ItemId, Option<u64>),
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Turns a principal away.
    Disable(PrincipalId),
    /// Lets it in again.
    Enable(PrincipalId),
    /// Grants a scope.
    Grant {
        /// To whom.
        principal: PrincipalId,
        /// What.
        scope: Scope,
        /// Until when, in Unix seconds; for good if that isn't said.
        expires_at: Option<u64>,
    },
    /// Takes a grant back.
    RevokeGrant {
        /// Whose.
        principal: PrincipalId,
        /// What.
        scope: Scope,
    },
    /// Removes an authenticator.
    RemoveAuthenticator(ItemId),
    /// Ends a session.
    EndSession(ItemId),
    /// Revokes the pair that has a certificate with this serial number.
    RevokeCredential(Serial),
    /// Takes an invite back.
    RevokeInvite(ItemId),
    /// Takes a delegation back.
    RevokeDelegation(ItemId),
}

/// What the signing object answers: a body, as it is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// JSON.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// Comma-separated values.
    Csv,
}

/// The id of a row, as [`uuid`](super::uuid) makes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemId(String);

impl ItemId {
    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_uuid(text).then(|| Self(text.to_owned()))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The serial number of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serial([u8; 16]);

impl Serial {
    /// Reads hex digits as tools print them: of either case, with colons, without zeros in front.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.replace(':', "");
        let digits = digits.trim_start_matches('0');
        if text.len() > 64 || digits.is_empty() {
            return None;
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(format!("{digits:0>32}"), &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The bytes, big endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Reads a request: what it is about, and the form of the answer. What follows the `?`, and what
/// stands in the path where the route has `{…}`, are as they were sent.
///
/// # Errors
/// [`Error::InvalidQuery`], [`Error::InvalidJson`], [`Error::InvalidMember`], [`Error::NoSuchItem`] for
/// an id that nothing can have.
pub fn parse<'a>(
    operation: Operation,
    mut parameters: impl Iterator<Item = &'a str>,
    query: &str,
    body: &[u8],
) -> Result<(Act, Format), Error> {
    let mut query = Query::parse(query)?;
    let mut parameter = || parameters.next().and_then(|text| decode(text, false));
    let mut principal = || {
        let id = parameter().and_then(|id| PrincipalId::parse(&id));
        id.ok_or(Error::NoSuchItem)
    };
    let mut format = Format::Json;
    let act = match operation {
        Operation::ShowPrincipal => Act::Show(principal()?),
        Operation::DisablePrincipal => Act::Change(Change::Disable(principal()?)),
        Operation::EnablePrincipal => Act::Change(Change::Enable(principal()?)),
        Operation::GrantScope => Act::Change(grant(principal()?, body)?),
        Operation::RevokeGrant => {
            let principal = principal()?;
            let scope = parameter().and_then(|name| Scope::parse(&name));
            Act::Change(Change::RevokeGrant {
                principal,
                scope: scope.ok_or(Error::NoSuchItem)?,
            })
        }
        Operation::RevokeCredential => {
            let serial = parameter().and_then(|serial| Serial::parse(&serial));
            Act::Change(Change::RevokeCredential(serial.ok_or(Error::NoSuchItem)?))
        }
        Operation::MakeDelegation => Act::Delegate(Box::new(Wish::parse(body)?)),
        Operation::RemoveAuthenticator
        | Operation::EndSession
        | Operation::RevokeInvite
        | Operation::RevokeDelegation => {
            let id = parameter().and_then(|id| ItemId::parse(&id));
            let id = id.ok_or(Error::NoSuchItem)?;
            Act::Change(match operation {
                Operation::RemoveAuthenticator => Change::RemoveAuthenticator(id),
                Operation::EndSession => Change::EndSession(id),
                Operation::RevokeDelegation => Change::RevokeDelegation(id),
                _ => Change::RevokeInvite(id),
            })
        }
        Operation::ListRows => Act::ShowRows,
        Operation::MakeRow => Act::Row(RowChange::Make(made::wanted(body)?.0)),
        Operation::EditRow | Operation::RemoveRow => {
            let id = parameter().and_then(|id| ItemId::parse(&id));
            let id = id.ok_or(Error::NoSuchItem)?;
            Act::Row(if operation == Operation::RemoveRow {
                let revision = query.read("revision", |text| text.parse().ok())?;
                RowChange::Remove(id, revision)
            } else {
                let (draft, revision) = made::wanted(body)?;
                let revision = revision.ok_or(Error::InvalidMember("revision"))?;
                RowChange::Edit(id, draft, revision)
            })
        }
        lists => {
            let wanted = query.read("format", |format| match format {
                "json" => Some(Format::Json),
                "csv" => Some(Format::Csv),
                _ => None,
            })?;
            format = wanted.unwrap_or(Format::Json);
            let kind = Kind::of(lists).ok_or_else(|| Fault::Internal("no list".into()))?;
            Act::List(Box::new(List::parse(kind, &mut query)?))
        }
    };
    query.finish()?;
    Ok((act, format))
}

/// Reads `{scope, expiresAt?}`.
fn grant(principal: PrincipalId, body: &[u8]) -> Result<Change, Error> {
    let body: Value = serde_json::from_slice(body).map_err(|_| Error::InvalidJson)?;
    if !body.is_object() {
        return Err(Error::InvalidJson);
    }
    let scope = body.get("scope").and_then(Value::as_str);
    let expires_at = match body.get("expiresAt") {
        None | Some(Value::Null) => None,
        Some(at) => {
            // The last number stands for no end.
            let at = at.as_u64().filter(|at| *at < MAX_NUMBER);
            Some(at.ok_or(Error::InvalidMember("expiresAt"))?)
        }
    };
    Ok(Change::Grant {
        principal,
        scope: scope
            .and_then(Scope::parse)
            .ok_or(Error::InvalidMember("scope"))?,
        expires_at,
    })
}

/// A page as JSON.
///
/// # Errors
/// [`Fault::Internal`] if it doesn't serialize.
pub fn page(items: Vec<Value>, next: Option<String>) -> Result<Reply, Fault> {
    let mut body = serde_json::json!({ "items": items });
    if let (Some(members), Some(next)) = (body.as_object_mut(), &next) {
        members.insert("next".into(), next.as_str().into());
    }
    Ok(Reply {
        body: body.to_string().into_bytes(),
        next,
    })
}

/// The answer to a change, whether it was one or not.
#[must_use]
pub fn done() -> Reply {
    Reply {
        body: br#"{"done":true}"#.to_vec(),
        next: None,
    }
}

/// For how long somebody may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Not, or not any more.
    No,
    /// Until this time, in Unix seconds.
    Until(u64),
    /// For good.
    ForGood,
}

impl Hold {
    /// That of a grant which ends at `expires_at`, if it does.
    #[must_use]
    pub const fn of(expires_at: Option<u64>, now: u64) -> Self {
        match expires_at {
            None => Self::ForGood,
            Some(at) if at > now => Self::Until(at),
            Some(_) => Self::No,
        }
    }
}

/// Whether the holder of a session may grant this: nobody gives what they don't have, nor for longer.
///
/// # Errors
/// [`Error::ScopeNotHeld`], [`Error::GrantTooLong`], [`Error::InvalidMember`] if it would be over.
pub fn permit_grant(
    held: &Scopes,
    hold: Hold,
    scope: Scope,
    expires_at: Option<u64>,
    now: u64,
) -> Result<(), Error> {
    if !held.contains(scope) {
        return Err(Error::ScopeNotHeld(scope));
    }
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Error::InvalidMember("expiresAt"));
    }
    match (hold, expires_at) {
        (Hold::ForGood, _) => Ok(()),
        (Hold::Until(own), Some(at)) if at <= own => Ok(()),
        _ => Err(Error::GrantTooLong),
    }
}

/// What decides whether somebody can administer the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Administrator {
    /// Whether they may come in.
    pub is_active: bool,
    /// How many authenticators they could come in with.
    pub authenticators: u64,
    /// How long they may manage.
    pub manages: Hold,
}

/// How far somebody can administer the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// They can't.
    None,
    /// For a time.
    ForATime,
    /// For good.
    ForGood,
}

impl Administrator {
    /// How far they can.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        match self.manages {
            _ if !self.is_active || self.authenticators == 0 => Standing::None,
            Hold::No => Standing::None,
            Hold::Until(_) => Standing::ForATime,
            Hold::ForGood => Standing::ForGood,
        }
    }
}

/// Whether a change may make of an administrator what they are `after`; `others` is the highest standing
/// of anybody else. It may not take the last one that there is, nor the last one that will stay.
///
/// # Errors
/// [`Error::LastAdministrator`].
pub fn leaves_an_administrator(
    before: Administrator,
    after: Administrator,
    others: Standing,
) -> Result<(), Error> {
    let (before, after) = (before.standing(), after.standing());
    if after < before && others < before {
        return Err(Error::LastAdministrator);
    }
    Ok(())
}

/// The actions that changes are called by in the audit trail.
pub mod actions {
    /// A principal was turned away.
    pub const PRINCIPAL_DISABLED: &str = "principal.disabled";
    /// It was let in again.
    pub const PRINCIPAL_ENABLED: &str = "principal.enabled";
    /// A scope was granted, or its end changed.
    pub const GRANT_ADDED: &str = "grant.added";
    /// A grant was taken back.
    pub const GRANT_REVOKED: &str = "grant.revoked";
    /// An authenticator was removed.
    pub const AUTHENTICATOR_REMOVED: &str = "authenticator.removed";
    /// A session was ended.
    pub const SESSION_REVOKED: &str = "session.revoked";
    /// A credential was revoked.
    pub const CREDENTIAL_REVOKED: &str = "credential.revoked";
    /// An invite was taken back.
    pub const INVITE_REVOKED: &str = "invite.revoked";
    /// A row was made.
    pub const ROW_ADDED: &str = "issuer.added";
    /// A row was changed.
    pub const ROW_CHANGED: &str = "issuer.changed";
    /// A row was removed.
    pub const ROW_REMOVED: &str = "issuer.removed";
    /// A delegation was made.
    pub const DELEGATION_MADE: &str = "delegation.made";
    /// A delegation was taken back.
    pub const DELEGATION_REVOKED: &str = "delegation.revoked";
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01010101-0101-4101-8101-010101010101";

    fn act(operation: Operation, parameters: &[&str], body: &str) -> Result<Act, Error> {
        let parameters = parameters.iter().copied();
        parse(operation, parameters, "", body.as_bytes()).map(|(act, _)| act)
    }

    #[test]
    fn paths_name_what_there_can_be() {
        let principal = PrincipalId::parse(ID).unwrap();
        assert_eq!(
            act(Operation::ShowPrincipal, &[ID], ""),
            Ok(Act::Show(principal.clone()))
        );
        assert_eq!(
            act(Operation::RevokeGrant, &[ID, "sign%3Agit"], ""),
            Ok(Act::Change(Change::RevokeGrant {
                principal,
                scope: Scope::SignGit
            }))
        );
        for (operation, parameters) in [
            (Operation::ShowPrincipal, &["x"][..]),
            (Operation::ShowPrincipal, &[]),
            (Operation::DisablePrincipal, &["%ff"]),
            (Operation::RevokeGrant, &[ID, "root"]),
            (Operation::RevokeGrant, &[ID]),
            (Operation::EndSession, &["' OR 1=1"]),
            (Operation::RevokeCredential, &["xyz"]),
            (
                Operation::RevokeInvite,
                &["AAAAAAAA-0101-4101-8101-010101010101"],
            ),
        ] {
            let refused = act(operation, parameters, "{}");
            assert_eq!(refused, Err(Error::NoSuchItem), "{parameters:?}");
        }
        let with_query = parse(Operation::ShowPrincipal, [ID].into_iter(), "q=x", b"");
        assert_eq!(with_query, Err(Error::InvalidQuery("query")));
    }

    #[test]
    fn grants_are_read_strictly() {
        let grant = |body: &str| act(Operation::GrantScope, &[ID], body);
        assert!(grant(r#"{"scope":"sign:git","expiresAt":null}"#).is_ok());
        assert!(grant(r#"{"scope":"sign:git","expiresAt":9007199254740990}"#).is_ok());
        for (body, error) in [
            ("", Error::InvalidJson),
            ("[]", Error::InvalidJson),
            ("{}", Error::InvalidMember("scope")),
            (r#"{"scope":"root"}"#, Error::InvalidMember("scope")),
            (r#"{"scope":1}"#, Error::InvalidMember("scope")),
            (
                r#"{"scope":"sign:git","expiresAt":-1}"#,
                Error::InvalidMember("expiresAt"),
            ),
            (
                r#"{"scope":"sign:git","expiresAt":1.5}"#,
                Error::InvalidMember("expiresAt"),
            ),
            (
                r#"{"scope":"sign:git","expiresAt":9007199254740991}"#,
                Error::InvalidMember("expiresAt"),
            ),
        ] {
            assert_eq!(grant(body), Err(error), "{body}");
        }
    }

    #[test]
    fn serial_numbers_are_read_as_tools_print_them() {
        let bytes = |text: &str| Serial::parse(text).map(|serial| *serial.as_bytes());
        let mut short = [0; 16];
        short[15] = 0xab;
        for text in ["ab", "AB", "00:AB", "0ab", &format!("{:0>34}", "ab")] {
            assert_eq!(bytes(text), Some(short), "{text}");
        }
        assert_eq!(bytes(&"f".repeat(32)), Some([0xff; 16]));
        for text in ["", "0", ":", "xy", "-1", &"f".repeat(33), &"0".repeat(65)] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn nobody_grants_what_they_lack_nor_for_longer() {
        let held: Scopes = [Scope::SignGit].into_iter().collect();
        let permit = |hold, scope, until| permit_grant(&held, hold, scope, until, 100);
        let own = Hold::Until(200);
        assert_eq!(permit(Hold::ForGood, Scope::SignGit, None), Ok(()));
        assert_eq!(permit(Hold::ForGood, Scope::SignGit, Some(101)), Ok(()));
        assert_eq!(permit(own, Scope::SignGit, Some(200)), Ok(()));
        let too_long = Err(Error::GrantTooLong);
        assert_eq!(permit(own, Scope::SignGit, Some(201)), too_long);
        assert_eq!(permit(own, Scope::SignGit, None), too_long);
        assert_eq!(permit(Hold::No, Scope::SignGit, Some(150)), too_long);
        assert_eq!(
            permit(Hold::ForGood, Scope::SignGit, Some(100)),
            Err(Error::InvalidMember("expiresAt"))
        );
        assert_eq!(
            permit(Hold::ForGood, Scope::CertMint, None),
            Err(Error::ScopeNotHeld(Scope::CertMint))
        );
        assert_eq!(Hold::of(Some(100), 100), Hold::No);
    }

    #[test]
    fn the_last_administrator_stays() {
        let lasting = Administrator {
            is_active: true,
            authenticators: 1,
            manages: Hold::ForGood,
        };
        let passing = Administrator {
            manages: Hold::Until(1),
            ..lasting
        };
        let losses = [
            Administrator {
                is_active: false,
                ..lasting
            },
            Administrator {
                authenticators: 0,
                ..lasting
            },
            Administrator {
                manages: Hold::No,
                ..lasting
            },
        ];
        let last = Err(Error::LastAdministrator);
        for lost in losses {
            assert_eq!(lost.standing(), Standing::None);
            for (before, others, verdict) in [
                (lasting, Standing::ForGood, Ok(())),
                (lasting, Standing::ForATime, last.clone()),
                (lasting, Standing::None, last.clone()),
                (passing, Standing::ForATime, Ok(())),
                (passing, Standing::None, last.clone()),
                // Who isn't one is nobody's last.
                (lost, Standing::None, Ok(())),
            ] {
                assert_eq!(leaves_an_administrator(before, lost, others), verdict);
            }
        }
        // Who was one for good, and would be one for a time.
        assert_eq!(
            leaves_an_administrator(lasting, passing, Standing::ForATime),
            last
        );
        assert_eq!(
            leaves_an_administrator(lasting, passing, Standing::ForGood),
            Ok(())
        );
        assert_eq!(
            leaves_an_administrator(passing, lasting, Standing::None),
            Ok(())
        );
        let with_two = Administrator {
            authenticators: 2,
            ..lasting
        };
        assert_eq!(
            leaves_an_administrator(with_two, lasting, Standing::None),
            Ok(())
        );
    }
}

//! What can be listed and searched: filters, the order of pages, and the cursors between them.
//!
//! A page continues after the key of the last row that was looked at, so rows that are added or go
//! meanwhile make none appear twice and none be left out. The cursor is that key.

use notme_keys::{decode_base64url, encode_base64url};
use serde_json::{Value, json};

use super::query::Query;
use super::{ItemId, Serial};
use crate::Error;
use crate::http::Operation;
use crate::people::{PrincipalId, Scope, is_uuid};

/// The most rows on a page.
const MAX_LIMIT: u16 = 1000;
/// The rows on a page if nothing is said.
const DEFAULT_LIMIT: u16 = 50;
/// The longest value of a filter, in characters.
const MAX_CHARS: usize = 300;
/// The highest number that a database's answer can hold in JavaScript: 2^53 − 1.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Of what.
    pub kind: Kind,
    /// Which of them.
    pub filters: Filters,
    /// Of how many rows.
    pub limit: u16,
    /// After which row; from the beginning if that isn't said.
    pub after: Option<Key>,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Principals.
    Principals,
    /// Ways in.
    Authenticators,
    /// Grants.
    Grants,
    /// Sessions.
    Sessions,
    /// Those of the principal that asks.
    OwnSessions,
    /// Issued credentials.
    Credentials,
    /// Those of the principal that asks.
    OwnCredentials,
    /// The audit trail.
    Audit,
    /// Invites.
    Invites,
    /// Delegations.
    Delegations,
    /// Those that the principal that asks gave, or was given.
    OwnDelegations,
}

/// By what rows can be searched. A list has those that [`Kind::filters`] names; the others stay empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// A principal's id, or how its name begins, whatever the case of ASCII letters.
    pub q: Option<Search>,
    /// Whose.
    pub principal: Option<PrincipalId>,
    /// A grant of what.
    pub scope: Option<Scope>,
    /// What became of it.
    pub state: Option<State>,
    /// How a session began, or what proof a credential was issued for.
    pub method: Option<String>,
    /// How a credential's subject begins.
    pub subject: Option<Prefix>,
    /// A serial number of either certificate.
    pub serial: Option<Serial>,
    /// Who did it.
    pub actor: Option<String>,
    /// What it was done to.
    pub target: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// To whom a delegation is.
    pub delegate: Option<PrincipalId>,
    /// On which side of a delegation its principal is.
    pub side: Side,
    /// Which one.
    pub id: Option<ItemId>,
}

/// On which side of a delegation somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// They gave it.
    #[default]
    Given,
    /// They were given it.
    Received,
}

/// A state that a list can be narrowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A principal that may come in, or a good credential.
    Active,
    /// A principal that was turned away.
    Disabled,
    /// A credential or an invite that ended by itself.
    Expired,
    /// A credential that was taken back.
    Revoked,
    /// An invite that can be redeemed.
    Open,
    /// An invite that somebody joined with.
    Redeemed,
    /// An invite whose maker may not grant what it promises, or a delegation that is worth nothing for what became of
    /// one above it or of somebody in the chain.
    Void,
}

impl State {
    const ALL: [Self; 7] = [
        Self::Active,
        Self::Disabled,
        Self::Expired,
        Self::Revoked,
        Self::Open,
        Self::Redeemed,
        Self::Void,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Open => "open",
            Self::Redeemed => "redeemed",
            Self::Void => "void",
        }
    }
}

impl Kind {
    pub(super) const fn of(operation: Operation) -> Option<Self> {
        Some(match operation {
            Operation::ListPrincipals => Self::Principals,
            Operation::ListAuthenticators => Self::Authenticators,
            Operation::ListGrants => Self::Grants,
            Operation::ListSessions => Self::Sessions,
            Operation::OwnSessions => Self::OwnSessions,
            Operation::ListCredentials => Self::Credentials,
            Operation::OwnCredentials => Self::OwnCredentials,
            Operation::ListAudit => Self::Audit,
            Operation::ListInvites => Self::Invites,
            Operation::ListDelegations => Self::Delegations,
            Operation::OwnDelegations => Self::OwnDelegations,
            _ => return None,
        })
    }

    /// What the list is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Principals => "principals",
            Self::Authenticators => "authenticators",
            Self::Grants => "grants",
            Self::Sessions | Self::OwnSessions => "sessions",
            Self::Credentials | Self::OwnCredentials => "credentials",
            Self::Audit => "audit",
            Self::Invites => "invites",
            Self::Delegations | Self::OwnDelegations => "delegations",
        }
    }

    /// The parameters that narrow it.
    #[must_use]
    pub const fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Principals => &["q", "state"],
            Self::Authenticators => &["principal"],
            Self::Grants => &["principal", "scope"],
            Self::Sessions => &["principal", "method"],
            Self::OwnSessions => &[],
            Self::Credentials => &["principal", "subject", "serial", "state", "method"],
            Self::OwnCredentials => &["state"],
            Self::Audit => &["actor", "target", "action"],
            Self::Invites => &["principal", "state"],
            Self::Delegations => &["principal", "delegate"],
            Self::OwnDelegations => &["side"],
        }
    }

    /// Whether it is of what belongs to the principal that asks, who may be anybody.
    #[must_use]
    pub const fn is_own(self) -> bool {
        matches!(
            self,
            Self::OwnCredentials | Self::OwnDelegations | Self::OwnSessions
        )
    }

    const fn states(self) -> &'static [State] {
        match self {
            Self::Principals => &[State::Active, State::Disabled],
            Self::Credentials | Self::OwnCredentials => {
                &[State::Active, State::Expired, State::Revoked]
            }
            Self::Invites => &[State::Open, State::Redeemed, State::Expired, State::Void],
            _ => &[],
        }
    }
}

impl Filters {
    fn parse(kind: Kind, query: &mut Query) -> Result<Self, Error> {
        let mut filters = Self::default();
        for name in kind.filters() {
            if let Some(value) = query.take(name) {
                let is_set = short(&value).and_then(|value| filters.set(kind, name, value));
                is_set.ok_or(Error::InvalidQuery(name))?;
            }
        }
        Ok(filters)
    }

    /// Sets the filter of that name; `None` if it can't have that value.
    fn set(&mut self, kind: Kind, name: &str, value: &str) -> Option<()> {
        let own = || value.to_owned();
        match name {
            "q" => {
                self.q = Some(match PrincipalId::parse(value) {
                    Some(id) => Search::Id(id),
                    None => Search::Name(Prefix::new(value.to_ascii_lowercase())?),
                });
            }
            "principal" => self.principal = Some(PrincipalId::parse(value)?),
            "scope" => self.scope = Some(Scope::parse(value)?),
            "state" => {
                let state = State::ALL.into_iter().find(|state| state.as_str() == value);
                self.state = Some(state.filter(|state| kind.states().contains(state))?);
            }
            "subject" => self.subject = Some(Prefix::new(own())?),
            "serial" => self.serial = Some(Serial::parse(value)?),
            "method" => self.method = Some(own()),
            "actor" => self.actor = Some(own()),
            "target" => self.target = Some(own()),
            "action" => self.action = Some(own()),
            "delegate" => self.delegate = Some(PrincipalId::parse(value)?),
            "side" => {
                self.side = match value {
                    "given" => Side::Given,
                    "received" => Side::Received,
                    _ => return None,
                };
            }
            _ => return None,
        }
        Some(())
    }
}

/// How a principal is searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// By its id.
    Id(PrincipalId),
    /// By how its name begins, whatever the case of ASCII letters.
    Name(Prefix),
}

/// How a text begins, as a range: from `start` on, and before `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The first text that begins so.
    pub start: String,
    /// The first text after all that do.
    pub end: String,
}

impl Prefix {
    /// `None` if it is empty, or ends with what nothing follows.
    fn new(start: String) -> Option<Self> {
        let mut end = start.clone();
        let last = end.pop()?;
        end.push(following(last)?);
        Some(Self { start, end })
    }
}

/// The character after another one. SQLite compares text by its UTF-8, and so by its characters.
fn following(c: char) -> Option<char> {
    match u32::from(c) + 1 {
        0xd800 => Some('\u{e000}'),
        next => char::from_u32(next),
    }
}

/// Where a row stands in the order of its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A number, descending.
    Number(u64),
    /// A time and an id, both descending.
    Aged(u64, String),
    /// Two texts, both ascending.
    Texts(String, String),
    /// A text and a number, both descending.
    TextNumber(String, u64),
}

impl Key {
    /// The first page's, where everything comes after.
    fn start(kind: Kind, filters: &Filters) -> Self {
        match (kind, filters) {
            (
                Kind::Principals,
                Filters {
                    q: Some(Search::Name(prefix)),
                    ..
                },
            ) => Self::Texts(prefix.start.clone(), String::new()),
            (
                Kind::Credentials,
                Filters {
                    principal: None,
                    serial: None,
                    subject: Some(prefix),
                    ..
                },
            ) => Self::TextNumber(prefix.end.clone(), 0),
            (Kind::Grants, _) => Self::Texts(String::new(), String::new()),
            (Kind::Credentials | Kind::OwnCredentials | Kind::Audit, _) => Self::Number(MAX_NUMBER),
            _ => Self::Aged(MAX_NUMBER, String::new()),
        }
    }

    /// The key of the same form with these parts.
    fn like(&self, first: &Value, second: Option<&Value>) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(match self {
            Self::Number(_) => Self::Number(first.as_u64()?),
            Self::Aged(..) => Self::Aged(first.as_u64()?, text(second?)?),
            Self::Texts(..) => Self::Texts(text(first)?, text(second?)?),
            Self::TextNumber(..) => Self::TextNumber(text(first)?, second?.as_u64()?),
        })
    }

    /// Whether a cursor can stand where the first page's key is `start`.
    fn fits(&self, start: &Self) -> bool {
        match (self, start) {
            (Self::Number(n), Self::Number(_)) => *n <= MAX_NUMBER,
            (Self::Aged(n, id), Self::Aged(..)) => *n <= MAX_NUMBER && is_uuid(id),
            (Self::TextNumber(text, n), Self::TextNumber(end, _)) => *n <= MAX_NUMBER && text < end,
            (Self::Texts(text, _), Self::Texts(start, _)) => text >= start,
            _ => false,
        }
    }
}

/// A filter's text, if it is one.
fn short(text: &str) -> Option<&str> {
    let is_one = text.chars().count() <= MAX_CHARS && !text.chars().any(char::is_control);
    is_one.then_some(text)
}

impl List {
    pub(super) fn parse(kind: Kind, query: &mut Query) -> Result<Self, Error> {
        let filters = Filters::parse(kind, query)?;
        let limit = query.read("limit", |limit| {
            limit.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n))
        });
        let start = Key::start(kind, &filters);
        let after = query.read("cursor", |cursor| {
            let bytes = decode_base64url(cursor)?;
            let text: Value = serde_json::from_slice(&bytes).ok()?;
            let key = start.like(text.get(1)?, text.get(2));
            // One text per key.
            key.filter(|key| encode_cursor(kind, key) == cursor && key.fits(&start))
        });
        Ok(Self {
            limit: limit?.unwrap_or(DEFAULT_LIMIT),
            after: after?,
            kind,
            filters,
        })
    }

    /// The principal with this id, as the list has it.
    #[must_use]
    pub fn principal(id: PrincipalId) -> Self {
        Self {
            kind: Kind::Principals,
            filters: Filters {
                q: Some(Search::Id(id)),
                ..Filters::default()
            },
            limit: 1,
            after: None,
        }
    }

    /// The delegation with this id, as the list has it.
    #[must_use]
    pub fn delegation(id: ItemId) -> Self {
        Self {
            kind: Kind::Delegations,
            filters: Filters {
                id: Some(id),
                ..Filters::default()
            },
            limit: 1,
            after: None,
        }
    }

    /// The key that the page begins after.
    #[must_use]
    pub fn begin(&self) -> Key {
        let start = || Key::start(self.kind, &self.filters);
        self.after.clone().unwrap_or_else(start)
    }

    /// The cursor of the page after the row with this key.
    #[must_use]
    pub fn cursor(&self, key: &Key) -> String {
        encode_cursor(self.kind, key)
    }
}

fn encode_cursor(kind: Kind, key: &Key) -> String {
    let (first, second) = match key {
        Key::Number(number) => (json!(number), Value::Null),
        Key::Aged(at, id) => (json!(at), json!(id)),
        Key::Texts(first, second) => (json!(first), json!(second)),
        Key::TextNumber(text, number) => (json!(text), json!(number)),
    };
    let text = Value::from(vec![kind.name().into(), first, second]).to_string();
    encode_base64url(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01010101-0101-4101-8101-010101010101";

    fn list(kind: Kind, query: &str) -> Result<List, Error> {
        let mut query = Query::parse(query)?;
        let list = List::parse(kind, &mut query)?;
        query.finish()?;
        Ok(list)
    }

    #[test]
    fn filters_are_read_or_refused() {
        let principals = |query: &str| list(Kind::Principals, query);
        let filters = |query: &str| principals(query).unwrap().filters;
        let ana = filters("q=Ana&state=active");
        let prefix = Prefix {
            start: "ana".into(),
            end: "anb".into(),
        };
        assert_eq!(ana.q, Some(Search::Name(prefix)));
        assert_eq!(ana.state, Some(State::Active));
        let by_id = filters(&format!("q={ID}")).q;
        assert_eq!(by_id, PrincipalId::parse(ID).map(Search::Id));
        assert_eq!(principals("").unwrap().limit, 50);
        assert_eq!(principals("limit=1000").unwrap().limit, 1000);
        for (query, name) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=-1", "limit"),
            ("limit=1e2", "limit"),
            ("state=void", "state"),
            ("q=%00", "q"),
            ("q=%F4%8F%BF%BF", "q"),
            ("cursor=x", "cursor"),
            ("scope=bridgeCert", "query"),
        ] {
            assert_eq!(principals(query), Err(Error::InvalidQuery(name)), "{query}");
        }
        for (operation, query, name) in [
            (Kind::Grants, "scope=root", "scope"),
            (Kind::Grants, "principal=x", "principal"),
            (Kind::Credentials, "serial=xyz", "serial"),
            (Kind::Credentials, "state=open", "state"),
            (Kind::Invites, "state=active", "state"),
            (Kind::OwnCredentials, "principal=x", "query"),
        ] {
            let refused = Err(Error::InvalidQuery(name));
            assert_eq!(list(operation, query), refused, "{query}");
        }
        let long = format!("target={}", "a".repeat(MAX_CHARS + 1));
        assert!(list(Kind::Audit, &long).is_err());
    }

    #[test]
    fn a_prefix_is_a_range_of_texts() {
        for (prefix, inside, outside) in [
            (
                "ana",
                vec!["ana", "anabel", "ana\u{10ffff}x"],
                vec!["anb", "an", "Ana"],
            ),
            ("%_", vec!["%_x"], vec!["%", "ax", "%ax"]),
            ("@", vec!["@b"], vec!["[", "a", "`"]),
            ("\u{7f7}", vec!["\u{7f7}\u{d7ff}"], vec!["\u{7f8}"]),
            ("\u{d7ff}", vec!["\u{d7ff}z"], vec!["\u{e000}"]),
        ] {
            let Prefix { start, end } = Prefix::new(prefix.into()).unwrap();
            let is_in = |text: &str| *start <= *text && *text < *end;
            assert!(inside.into_iter().all(is_in), "{prefix}");
            assert!(!outside.into_iter().any(is_in), "{prefix}");
        }
        assert_eq!(Prefix::new(String::new()), None);
        assert_eq!(Prefix::new("\u{10ffff}".into()), None);
    }

    #[test]
    fn a_cursor_is_for_its_own_list_and_order() {
        let sessions = list(Kind::Sessions, "").unwrap();
        let cursor = sessions.cursor(&Key::Aged(7, ID.into()));
        let again = list(Kind::Sessions, &format!("cursor={cursor}")).unwrap();
        assert_eq!(again.begin(), Key::Aged(7, ID.into()));
        let invalid = Err(Error::InvalidQuery("cursor"));
        let principals = |more: &str| list(Kind::Principals, &format!("cursor={cursor}{more}"));
        assert_eq!(principals(""), invalid);
        for key in [
            Key::Number(7),
            Key::Aged(u64::MAX, ID.into()),
            Key::Aged(7, "x".into()),
            Key::Texts("a".into(), ID.into()),
        ] {
            let cursor = sessions.cursor(&key);
            let query = format!("cursor={cursor}");
            assert_eq!(list(Kind::Sessions, &query), invalid, "{key:?}");
        }
        let named = list(Kind::Principals, "q=b").unwrap();
        let cursor = |name: &str| named.cursor(&Key::Texts(name.into(), ID.into()));
        let query = |name| format!("q=b&cursor={}", cursor(name));
        assert!(list(Kind::Principals, &query("ben")).is_ok());
        assert_eq!(list(Kind::Principals, &query("ana")), invalid);
        assert_eq!(
            list(Kind::Principals, &format!("cursor={}", cursor("ben"))),
            invalid
        );
    }
}

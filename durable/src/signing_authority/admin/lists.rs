//! Lists: for each filter and order the index that serves it.
//!
//! A page is a range of an index that begins after the cursor's key, in the index's order. Filters that
//! the index doesn't serve are tried on so many rows at most; then the page ends early, with a cursor.

use notme_authority::Error;
use notme_authority::config::LogLevel;
use notme_authority::people::PrincipalId;
use notme_authority::people::admin::list::{Key, Kind, List, Search, Side, State};
use notme_authority::people::admin::table::{self, Column, scopes_member};
use notme_authority::people::admin::{ItemId, Reply, page};
use notme_authority::people::session::{IDLE_SECS, LIFETIME_SECS};
use serde_json::{Map, Value};

use super::{Desk, hex};
use crate::host::{is_logged, log};
use crate::signing_authority::delegations::{above, is_void};
use crate::sql::Argument::{Bytes, Number, Text};
use crate::sql::{Argument, Row};

/// How many rows a page looks at, at most, for a filter that no index serves: such a page takes no longer in
/// a large authority than in one whose rows are hardly more than these. Of what is one's own there are no more on a page
/// either: anybody may ask for those.
const LOOKED_AT: usize = 300;

/// A delegation, and whether it is worth nothing.
const DELEGATION: &str = concat!(
    "d.id, d.parent, d.delegator, d.on_behalf_of, d.delegate, d.scopes, d.audience, \
     iif(d.purpose IS NULL, NULL, lower(hex(d.purpose))), d.depth, d.depth > 0, d.created_at, d.expires_at, \
     d.revoked_at, ",
    is_void!()
);

/// Where the rows of a list come from.
#[derive(Default)]
struct Source<'a> {
    /// The columns.
    select: &'static str,
    /// The table.
    table: &'static str,
    /// What belongs to each of its rows.
    joins: &'static str,
    /// The columns of the key.
    key: (&'static str, &'static str),
    is_ascending: bool,
    /// The arguments among the columns and in the table.
    arguments: Vec<Argument<'a>>,
    /// What the index serves.
    served: Conditions<'a>,
    /// What it doesn't.
    filters: Conditions<'a>,
}

/// Conditions that all have to hold.
#[derive(Default)]
struct Conditions<'a> {
    text: String,
    arguments: Vec<Argument<'a>>,
}

impl<'a> Conditions<'a> {
    #[inline(never)]
    fn push(&mut self, condition: &str, arguments: &[Argument<'a>]) {
        self.text.extend([" AND ", condition]);
        self.arguments.extend_from_slice(arguments);
    }
}

impl<'a> Source<'a> {
    #[inline(never)]
    fn new(
        select: &'static str,
        table: &'static str,
        joins: &'static str,
        key: (&'static str, &'static str),
    ) -> Self {
        Self {
            select,
            table,
            joins,
            key,
            ..Self::default()
        }
    }

    #[inline(never)]
    fn serve(&mut self, condition: &str, argument: Argument<'a>) {
        self.served.push(condition, &[argument]);
    }

    #[inline(never)]
    fn filter(&mut self, condition: &str, argument: Argument<'a>) {
        self.filters.push(condition, &[argument]);
    }

    fn key_columns(&self) -> String {
        match self.key {
            (first, "") => first.to_owned(),
            (first, second) => format!("{first}, {second}"),
        }
    }

    fn order(&self) -> String {
        let direction = if self.is_ascending { "" } else { " DESC" };
        match self.key {
            (first, "") => format!("{first}{direction}"),
            (first, second) => format!("{first}{direction}, {second}{direction}"),
        }
    }

    /// The condition that a row comes after a key, or not.
    fn after(&self, is_after: bool) -> String {
        let operator = match (self.is_ascending, is_after) {
            (true, true) => ">",
            (false, true) => "<",
            (true, false) => "<=",
            (false, false) => ">=",
        };
        match self.key {
            (first, "") => format!("{first} {operator} ?"),
            (first, second) => format!("({first}, {second}) {operator} (?, ?)"),
        }
    }
}

impl Desk<'_> {
    /// A page of a list.
    #[inline(never)]
    pub(super) fn page(&self, list: &List) -> Result<Reply, Error> {
        let limit = usize::from(list.limit).min(if list.kind.is_own() {
            LOOKED_AT
        } else {
            usize::MAX
        });
        let begin = list.begin();
        let source = self.source(list);
        // Invites are judged when they are read.
        let is_judged = list.kind == Kind::Invites && list.filters.state.is_some();
        let end = if source.filters.text.is_empty() {
            None
        } else {
            self.boundary(&source, &begin)?
        };
        let count = if is_judged { LOOKED_AT } else { limit };
        let rows = self.fetch(&source, &begin, end.as_ref(), count + 1)?;
        let (total, mut seen) = (rows.len(), 0);
        let mut last = None;
        let mut items = Vec::new();
        for mut row in rows {
            if items.len() == limit || seen == count {
                break;
            }
            let mut item = self.read(&mut row, list.kind.columns())?;
            last = Some(key(&mut row, &begin)?);
            seen += 1;
            if list.finish(&mut item, self.moment) {
                items.push(Value::Object(item));
            }
        }
        // What lies behind the boundary nobody has looked at.
        let next = if seen < total { last } else { end };
        let next = next.map(|key| list.cursor(&key));
        Ok(page(items, next)?)
    }

    /// A principal as the list has it.
    pub(super) fn principal(&self, id: &PrincipalId) -> Result<Option<Value>, Error> {
        let list = List::principal(id.clone());
        let source = self.source(&list);
        let rows = self.fetch(&source, &list.begin(), None, 1)?;
        let row = rows.into_iter().next();
        let item = row.map(|mut row| self.read(&mut row, list.kind.columns()));
        Ok(item.transpose()?.map(Value::Object))
    }

    /// A delegation as the list has it.
    pub(super) fn delegation(&self, id: &ItemId) -> Result<Reply, Error> {
        let list = List::delegation(id.clone());
        let source = self.source(&list);
        let rows = self.fetch(&source, &list.begin(), None, 1)?;
        let mut row = rows.into_iter().next().ok_or(Error::NoSuchItem)?;
        let mut item = self.read(&mut row, list.kind.columns())?;
        list.finish(&mut item, self.moment);
        Ok(Reply {
            body: Value::Object(item).to_string().into_bytes(),
            next: None,
        })
    }

    /// The key of the last row that a page may look at, if there are more.
    fn boundary(&self, source: &Source<'_>, begin: &Key) -> Result<Option<Key>, Error> {
        // Either the columns have arguments or the table has.
        let mut arguments = Vec::new();
        if source.table.contains('?') {
            arguments.extend(&source.arguments);
        }
        arguments.extend(of_key(begin));
        arguments.extend(&source.served.arguments);
        let query = format!(
            "SELECT {} FROM {} WHERE {}{} ORDER BY {} LIMIT 1 OFFSET {}",
            source.key_columns(),
            source.table,
            source.after(true),
            source.served.text,
            source.order(),
            LOOKED_AT - 1
        );
        let row = self.listed(&query, &arguments)?.into_iter().next();
        row.map(|mut row| key(&mut row, begin)).transpose()
    }

    fn fetch(
        &self,
        source: &Source<'_>,
        begin: &Key,
        end: Option<&Key>,
        count: usize,
    ) -> Result<Vec<Row>, Error> {
        let mut arguments = source.arguments.clone();
        arguments.extend(of_key(begin));
        let mut bounds = source.after(true);
        if let Some(end) = end {
            bounds.extend([" AND ", &source.after(false)]);
            arguments.extend(of_key(end));
        }
        arguments.extend(&source.served.arguments);
        arguments.extend(&source.filters.arguments);
        let query = format!(
            "SELECT {}, {} FROM {} {} WHERE {bounds}{}{} ORDER BY {} LIMIT {count}",
            source.select,
            source.key_columns(),
            source.table,
            source.joins,
            source.served.text,
            source.filters.text,
            source.order()
        );
        self.listed(&query, &arguments)
    }

    /// Runs a query of a list, and tells at level debug which: a test has its plan explained.
    fn listed(&self, query: &String, arguments: &[Argument<'_>]) -> Result<Vec<Row>, Error> {
        if is_logged(LogLevel::Debug) {
            let fields = [
                ("request_id", self.origin.request_id.as_str().into()),
                ("statement", query.as_str().into()),
            ];
            log(LogLevel::Debug, "listed", fields);
        }
        self.db.ask(query, arguments)
    }

    fn read(&self, row: &mut Row, columns: &[Column]) -> Result<Map<String, Value>, Error> {
        let mut item = Map::new();
        for (name, kind) in columns {
            let value = match kind {
                table::Kind::Text => row.text()?.into(),
                table::Kind::OptionalText => match row.optional_text()? {
                    Some(text) => text.into(),
                    None => continue,
                },
                table::Kind::Number => row.optional_integer()?.unwrap_or(0).into(),
                table::Kind::Flag => (row.integer()? != 0).into(),
                table::Kind::Hex => hex(&row.blob()?).into(),
                table::Kind::Scopes => scopes_member(&row.text()?)?,
                table::Kind::Derived => Value::Null,
            };
            item.insert((*name).to_owned(), value);
        }
        Ok(item)
    }

    #[inline(never)]
    fn source<'a>(&'a self, list: &'a List) -> Source<'a> {
        let filters = &list.filters;
        let now = Number(self.moment.now);
        let principal = filters.principal.as_ref().map(|id| Text(id.as_str()));
        let mut source;
        match list.kind {
            Kind::Principals => {
                let select = "p.id, p.kind, p.display_name, p.created_at, p.created_by, p.disabled_at, \
                              (SELECT json_group_array(g.scope) FROM grants g WHERE g.principal = p.id \
                              AND (g.expires_at IS NULL OR g.expires_at > ?))";
                source = Source::new(select, "principals p", "", ("p.created_at", "p.id"));
                source.arguments.push(now);
                match &filters.q {
                    Some(Search::Id(id)) => source.serve("p.id = ?", Text(id.as_str())),
                    Some(Search::Name(prefix)) => {
                        source.key = ("p.folded_name", "p.id");
                        source.is_ascending = true;
                        source.serve("p.folded_name < ?", Text(&prefix.end));
                    }
                    None => {}
                }
                match filters.state {
                    None => {}
                    Some(State::Active) => source.filters.push("+p.disabled_at IS NULL", &[]),
                    Some(_) if filters.q.is_none() => {
                        source.table = "principals p INDEXED BY principals_disabled";
                        source.served.push("p.disabled_at IS NOT NULL", &[]);
                    }
                    Some(_) => source.filters.push("+p.disabled_at IS NOT NULL", &[]),
                }
            }
            Kind::Authenticators => {
                let select = "a.id, a.principal, p.display_name, a.kind, a.issuer, a.name, a.created_at, \
                              a.last_used_at";
                let joins = "CROSS JOIN principals p ON p.id = a.principal";
                source = Source::new(select, "authenticators a", joins, ("a.created_at", "a.id"));
                if let Some(principal) = principal {
                    source.serve("a.principal = ?", principal);
                }
            }
            Kind::Grants => {
                let select = "g.principal, p.display_name, g.scope, g.granted_by, \
                              (SELECT display_name FROM principals WHERE id = g.granted_by), \
                              g.granted_at, g.expires_at";
                let joins = "CROSS JOIN principals p ON p.id = g.principal";
                source = Source::new(select, "grants g", joins, ("g.principal", "g.scope"));
                source.is_ascending = true;
                if let Some(principal) = principal {
                    source.serve("g.principal = ?", principal);
                }
                if let Some(scope) = filters.scope {
                    source.serve("g.scope = ?", Text(scope.as_str()));
                }
            }
            Kind::Sessions | Kind::OwnSessions => {
                let select = "s.id, s.principal, p.display_name, s.method, s.source, s.created_at, \
                              s.seen_at, s.created_at + ?, s.id = ?";
                let joins = "CROSS JOIN principals p ON p.id = s.principal";
                source = Source::new(select, "sessions s", joins, ("s.created_at", "s.id"));
                source.arguments = vec![Number(LIFETIME_SECS), Text(&self.session.id)];
                let ago = |secs| Number(self.moment.now.saturating_sub(secs));
                source.serve("s.created_at > ?", ago(LIFETIME_SECS));
                source.filter("+s.seen_at > ?", ago(IDLE_SECS));
                let principal = match list.kind {
                    Kind::OwnSessions => Some(Text(self.session.principal.as_str())),
                    _ => principal,
                };
                if let Some(principal) = principal {
                    source.serve("s.principal = ?", principal);
                }
                if let Some(method) = &filters.method {
                    source.filter("+s.method = ?", Text(method));
                }
            }
            Kind::Credentials | Kind::OwnCredentials => source = self.credentials(list),
            Kind::Audit => {
                let select = "a.id, a.at, a.actor, p.display_name, a.action, a.target, a.source, \
                              a.request_id, a.details";
                let joins = "LEFT JOIN principals p ON p.id = a.actor";
                source = Source::new(select, "audit a", joins, ("a.id", ""));
                // What is most telling is looked up, the rest tried.
                for (value, condition) in [
                    (&filters.target, "+a.target = ?"),
                    (&filters.actor, "+a.actor = ?"),
                    (&filters.action, "+a.action = ?"),
                ] {
                    let Some(value) = value else { continue };
                    if source.served.text.is_empty() {
                        source.serve(condition.trim_start_matches('+'), Text(value));
                    } else {
                        source.filter(condition, Text(value));
                    }
                }
            }
            Kind::Invites => {
                let select = "i.id, i.created_by, p.display_name, i.scopes, i.created_at, i.expires_at, \
                              i.redeemed_by, (SELECT display_name FROM principals WHERE id = i.redeemed_by), \
                              i.redeemed_at, i.principal, (SELECT display_name FROM principals WHERE id = i.principal), \
                              p.disabled_at IS NOT NULL, \
                              (SELECT json_group_array(g.scope) FROM grants g WHERE g.principal = p.id \
                              AND (g.expires_at IS NULL OR g.expires_at > ?))";
                let joins = "CROSS JOIN principals p ON p.id = i.created_by";
                source = Source::new(select, "invites i", joins, ("i.created_at", "i.id"));
                source.arguments.push(now);
                if let Some(principal) = principal {
                    source.serve("i.created_by = ?", principal);
                }
            }
            Kind::Delegations | Kind::OwnDelegations => {
                let key = ("d.created_at", "d.id");
                source = Source::new(DELEGATION, "delegations d", above!(), key);
                let own = Text(self.session.principal.as_str());
                let delegate = filters.delegate.as_ref().map(|id| Text(id.as_str()));
                match (list.kind, filters.side) {
                    (Kind::OwnDelegations, Side::Given) => source.serve("d.delegator = ?", own),
                    (Kind::OwnDelegations, Side::Received) => source.serve("d.delegate = ?", own),
                    _ => {}
                }
                if let Some(id) = &filters.id {
                    source.serve("d.id = ?", Text(id.as_str()));
                }
                match (principal, delegate) {
                    (Some(principal), Some(delegate)) => {
                        source.serve("d.delegator = ?", principal);
                        source.filter("+d.delegate = ?", delegate);
                    }
                    (Some(principal), None) => source.serve("d.delegator = ?", principal),
                    (None, Some(delegate)) => source.serve("d.delegate = ?", delegate),
                    (None, None) => {}
                }
            }
        }
        source
    }

    /// The order of the filters is that of how much they narrow.
    fn credentials<'a>(&'a self, list: &'a List) -> Source<'a> {
        let wanted = &list.filters;
        let (now, epoch) = (Number(self.moment.now), Number(self.moment.epoch));
        let outstanding = Number(self.first_outstanding());
        let select = "c.serial, c.signing_serial, c.subject, c.identity, c.principal, c.method, c.scopes, \
                      c.epoch, c.issued_at, c.expires_at, c.revoked_at, c.delegation, c.serial = c.signing_serial";
        let mut source = Source::new(select, "credentials c", "", ("c.id", ""));
        let mut is_looked_up = true;
        let mut principal = match list.kind {
            Kind::OwnCredentials => Some(&self.session.principal),
            _ => wanted.principal.as_ref(),
        };
        let mut subject = wanted.subject.as_ref();
        if let Some(serial) = &wanted.serial {
            let bytes = Bytes(serial.as_bytes());
            let one_of = "c.id IN (SELECT id FROM credentials WHERE serial = ? \
                          UNION ALL SELECT id FROM credentials WHERE signing_serial = ?)";
            source.served.push(one_of, &[bytes, bytes]);
        } else if let Some(principal) = principal.take() {
            source.serve("c.principal = ?", Text(principal.as_str()));
        } else if let Some(prefix) = subject.take() {
            source.key = ("c.subject", "c.id");
            source.serve("c.subject >= ?", Text(&prefix.start));
        } else {
            is_looked_up = false;
        }
        if let Some(principal) = principal {
            source.filter("+c.principal = ?", Text(principal.as_str()));
        }
        if let Some(prefix) = subject {
            let range = [Text(&prefix.start), Text(&prefix.end)];
            source
                .filters
                .push("+c.subject >= ? AND +c.subject < ?", &range);
        }
        if let Some(method) = &wanted.method {
            source.filter("+c.method = ?", Text(method));
        }
        match wanted.state {
            Some(State::Active) => {
                if !is_looked_up {
                    source.serve("c.id >= ?", outstanding);
                }
                let good = "+c.revoked_at IS NULL AND +c.epoch = ? AND +c.expires_at > ?";
                source.filters.push(good, &[epoch, now]);
            }
            Some(State::Expired) => {
                source.filter("+c.revoked_at IS NULL AND +c.expires_at <= ?", now);
            }
            // Those taken back have an index; those of an epoch that is over expire within minutes.
            Some(_) if !is_looked_up => {
                source.table = "(SELECT * FROM credentials INDEXED BY credentials_revoked \
                                WHERE revoked_at IS NOT NULL UNION ALL SELECT * FROM credentials NOT INDEXED \
                                WHERE revoked_at IS NULL AND epoch <> ? AND expires_at > ? AND id >= ?) c";
                source.arguments = vec![epoch, now, outstanding];
            }
            Some(_) => {
                let over = "(+c.revoked_at IS NOT NULL OR (+c.epoch <> ? AND +c.expires_at > ?))";
                source.filters.push(over, &[epoch, now]);
            }
            None => {}
        }
        source
    }
}

fn of_key(key: &Key) -> impl Iterator<Item = Argument<'_>> {
    let (first, second) = match key {
        Key::Number(number) => (Number(*number), None),
        Key::Aged(at, id) => (Number(*at), Some(Text(id))),
        Key::Texts(first, second) => (Text(first), Some(Text(second))),
        Key::TextNumber(text, number) => (Text(text), Some(Number(*number))),
    };
    [first].into_iter().chain(second)
}

/// The key of a row, of the same form as another one.
fn key(row: &mut Row, form: &Key) -> Result<Key, Error> {
    Ok(match form {
        Key::Number(_) => Key::Number(row.integer()?),
        Key::Aged(..) => Key::Aged(row.integer()?, row.text()?),
        Key::Texts(..) => Key::Texts(row.text()?, row.text()?),
        Key::TextNumber(..) => Key::TextNumber(row.text()?, row.integer()?),
    })
}

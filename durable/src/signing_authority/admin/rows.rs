//! Rows that administrators make.

use notme_authority::Error;
use notme_authority::doors::made::{self, Draft, MOST, MadeRow, RowRef, RowSet, label, told};
use notme_authority::doors::rows::Rows;
use notme_authority::people::admin::{self, ItemId, Reply, RowChange, actions};
use notme_authority::people::uuid;
use serde_json::{Value, json};
use worker::Env;

use super::{Desk, hold};
use crate::host::{config, random};
use crate::sql::Argument;
use crate::sql::Argument::{Number, Text};
use crate::sql::{Database, Row, internal};

/// The rows, in the order in which they are asked; nothing, if there was no change since `known`.
pub(in super::super) fn all(db: &Database, known: Option<u64>) -> Result<Option<RowSet>, Error> {
    let query = "SELECT revision FROM issuers_revision";
    let row = db.ask(query, &[])?.into_iter().next();
    let revision = row.map_or(Ok(0), |mut row| row.integer())?;
    if known == Some(revision) {
        return Ok(None);
    }
    let query = "SELECT id, revision, row FROM issuers ORDER BY place";
    let rows = db.ask(query, &[])?.into_iter().map(read);
    Ok(Some(RowSet {
        revision,
        rows: rows.collect::<Result<_, _>>()?,
    }))
}

/// Whether the row that let somebody in is still what it was. In the transaction that issues.
///
/// # Errors
/// [`Error::RowChanged`].
pub(in super::super) fn permit(db: &Database, row: Option<&RowRef>) -> Result<(), Error> {
    let Some(RowRef { id, revision }) = row else {
        return Ok(()); // the configuration's
    };
    let query = "SELECT 1 FROM issuers WHERE id = ? AND revision = ?";
    if db.ask(query, &[Text(id), Number(*revision)])?.is_empty() {
        return Err(Error::RowChanged);
    }
    Ok(())
}

fn read(mut row: Row) -> Result<MadeRow, Error> {
    let (id, revision) = (row.text()?, row.integer()?);
    Ok(MadeRow {
        at: RowRef { id, revision },
        json: row.text()?,
    })
}

impl Desk<'_> {
    #[inline(never)]
    pub(super) fn show_rows(&self, env: &Env) -> Result<Reply, Error> {
        let config = config(env)?;
        let set = all(self.db, None)?.ok_or_else(|| internal("no rows, and none were known"))?;
        let (_, problems) = Rows::with(&config, &set.rows);
        let query = "SELECT i.id, i.revision, i.row, i.created_at, i.created_by, a.display_name, i.changed_at, \
                     i.changed_by, b.display_name, b.disabled_at FROM issuers i \
                     LEFT JOIN principals a ON a.id = i.created_by \
                     LEFT JOIN principals b ON b.id = i.changed_by ORDER BY i.place";
        let mut items = made::of_configuration(&config);
        for mut row in self.db.ask(query, &[])? {
            let (id, revision, json) = (row.text()?, row.integer()?, row.text()?);
            let mut item = made::shown(&config, &serde_json::from_str(&json).map_err(internal)?);
            let problem = problems.iter().find(|(of, _)| *of == id);
            item.extend([
                ("id".to_owned(), id.as_str().into()),
                ("revision".to_owned(), revision.into()),
                ("createdAt".to_owned(), row.integer()?.into()),
                ("createdBy".to_owned(), row.text()?.into()),
                ("createdByName".to_owned(), row.optional_text()?.into()),
                ("changedAt".to_owned(), row.integer()?.into()),
                ("changedBy".to_owned(), row.text()?.into()),
                ("changedByName".to_owned(), row.optional_text()?.into()),
            ]);
            if row.optional_integer()?.is_some() {
                item.insert("changedByDisabled".into(), true.into());
            }
            if let Some((_, problem)) = problem {
                item.insert("problem".into(), problem.as_str().into());
            }
            item.retain(|_, value| !value.is_null());
            items.push(item.into());
        }
        Ok(body(&json!({ "revision": set.revision, "items": items })))
    }

    #[inline(never)]
    pub(super) fn change_row(&self, change: &RowChange, env: &Env) -> Result<Reply, Error> {
        let set = all(self.db, None)?.ok_or_else(|| internal("no rows, and none were known"))?;
        match change {
            RowChange::Make(draft) => {
                if set.rows.len() >= MOST {
                    return Err(Error::TooManyRows);
                }
                self.permit_draft(draft, &set.rows, env)?;
                let id = uuid(random()?);
                let revision = self.moved()?;
                self.db.ask(
                    "INSERT INTO issuers VALUES ((SELECT IFNULL(MAX(place), 0) + 1 FROM issuers), ?1, ?2, ?3, ?4, ?5, ?4, ?5)",
                    &[
                        Text(&id),
                        Text(&draft.json),
                        Number(revision),
                        Number(self.moment.now),
                        self.actor(),
                    ],
                )?;
                let rows = (None, Some(draft.json.as_str()));
                self.tell_row(actions::ROW_ADDED, &id, rows, None)?;
                Ok(body(&json!({ "id": id, "revision": revision })))
            }
            RowChange::Edit(id, draft, known) => {
                let before = self.found(&set, id, Some(*known))?;
                let before = before.ok_or(Error::NoSuchItem)?;
                let is_other = |row: &&MadeRow| row.at != before.at;
                let others: Vec<_> = set.rows.iter().filter(is_other).cloned().collect();
                self.permit_draft(draft, &others, env)?;
                let revision = self.moved()?;
                self.db.ask(
                    "UPDATE issuers SET row = ?, revision = ?, changed_at = ?, changed_by = ? WHERE id = ?",
                    &[
                        Text(&draft.json),
                        Number(revision),
                        Number(self.moment.now),
                        self.actor(),
                        Text(id.as_str()),
                    ],
                )?;
                let ended = self.end_sessions_by(&before.json)?;
                let rows = (Some(before.json.as_str()), Some(draft.json.as_str()));
                self.tell_row(actions::ROW_CHANGED, id.as_str(), rows, ended)?;
                Ok(body(&json!({ "id": id.as_str(), "revision": revision })))
            }
            RowChange::Remove(id, known) => {
                if let Some(before) = self.found(&set, id, *known)? {
                    self.moved()?;
                    let statement = "DELETE FROM issuers WHERE id = ?";
                    self.db.ask(statement, &[Text(id.as_str())])?;
                    let ended = self.end_sessions_by(&before.json)?;
                    let rows = (Some(before.json.as_str()), None);
                    self.tell_row(actions::ROW_REMOVED, id.as_str(), rows, ended)?;
                }
                Ok(admin::done())
            }
        }
    }

    /// A row, if it is as of the revision that somebody knows; nothing, if it was removed before.
    ///
    /// # Errors
    /// [`Error::NoSuchItem`] if it never was, [`Error::RowEdited`].
    fn found<'a>(
        &self,
        set: &'a RowSet,
        id: &ItemId,
        known: Option<u64>,
    ) -> Result<Option<&'a MadeRow>, Error> {
        let Some(row) = set.rows.iter().find(|row| row.at.id == id.as_str()) else {
            return self.must_be_gone(actions::ROW_REMOVED, id).map(|()| None);
        };
        if known.is_some_and(|known| known != row.at.revision) {
            return Err(Error::RowEdited);
        }
        Ok(Some(row))
    }

    /// Whether a row may be this. Whoever writes it lets others do what it says, for good, and nobody gives what
    /// they don't have; what they have later doesn't count, as with grants.
    fn permit_draft(&self, draft: &Draft, others: &[MadeRow], env: &Env) -> Result<(), Error> {
        let scopes = draft.permit(&config(env)?, others)?;
        let now = self.moment.now;
        for scope in scopes.iter() {
            let own = hold(self.db, &self.session.principal, scope, now)?;
            admin::permit_grant(&self.session.scopes, own, scope, None, now)?;
        }
        Ok(())
    }

    /// The next revision.
    fn moved(&self) -> Result<u64, Error> {
        let statement = "UPDATE issuers_revision SET revision = revision + 1 RETURNING revision";
        let mut row = self
            .one(statement, &[])?
            .ok_or_else(|| internal("no revision"))?;
        Ok(row.integer()?)
    }

    /// Ends the sessions that began with an identity that a row let in, and in which no passkey was shown since: what
    /// they were good for was the row's word. How many that were, if the row was one for people.
    fn end_sessions_by(&self, row: &str) -> Result<Option<Argument<'static>>, Error> {
        let row: Value = serde_json::from_str(row).map_err(internal)?;
        let Some((kind, issuer)) = made::of_people(&row) else {
            return Ok(None);
        };
        let statement = "DELETE FROM sessions WHERE verified_at <= created_at AND method = ?1 || ':' || ?2 \
                         AND authenticator IN (SELECT id FROM authenticators WHERE kind = ?1 AND issuer = ?2) RETURNING 1";
        self.count(statement, &[Text(kind), Text(&issuer)])
            .map(Some)
    }

    fn tell_row(
        &self,
        action: &str,
        id: &str,
        (before, after): (Option<&str>, Option<&str>),
        sessions: Option<Argument<'static>>,
    ) -> Result<(), Error> {
        let row: Value =
            serde_json::from_str(after.or(before).unwrap_or_default()).map_err(internal)?;
        let (name, kind) = label(&row);
        let [before, after] = [before, after].map(|row| row.map(told));
        let mut details = vec![("name", Text(&name)), ("type", Text(&kind))];
        details.extend(before.as_deref().map(|row| ("before", Text(row))));
        details.extend(after.as_deref().map(|row| ("after", Text(row))));
        details.extend(sessions.map(|ended| ("sessions", ended)));
        self.tell(action, id, &details)
    }
}

fn body(value: &Value) -> Reply {
    Reply {
        body: value.to_string().into_bytes(),
        next: None,
    }
}

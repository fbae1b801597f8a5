//! What a principal does with what is its own: passkeys and sessions.

use notme_authority::Error;
use notme_authority::http::Session;
use notme_authority::limits::Class;
use notme_authority::people::command::{Origin, OtherSession, OwnAct, Reply, SessionFacts};
use notme_authority::people::connection::connections;
use notme_authority::people::own::{PasskeyRow, passkeys};
use notme_authority::people::session::Times;
use serde_json::json;

use super::connections::connection_rows;
use super::{KeyFacts, PASSKEY, People, distrust_sessions, trail};
use crate::signing_authority::admin::{administrators, permit_removal};
use crate::signing_authority::delegations::{Signer, revoke_signed};
use crate::sql::Argument::Text;
use crate::sql::{Database, internal};

fn other_session(db: &Database, owner: &str, id: &str) -> Result<OtherSession, Error> {
    let query = "SELECT authenticator, method, created_at, seen_at, verified_at FROM sessions \
                 WHERE id = ? AND principal = ?";
    let found = db.ask(query, &[Text(id), Text(owner)])?.into_iter().next();
    let mut row = found.ok_or(Error::NoSuchItem)?;
    let (authenticator, method) = (row.text()?, row.text()?);
    let times = Times {
        created_at: row.integer()?,
        seen_at: row.integer()?,
        verified_at: row.integer()?,
    };
    Ok(OtherSession {
        id: id.to_owned(),
        authenticator,
        has_shown_passkey: times.has_shown_passkey(method == PASSKEY),
    })
}

impl People {
    pub(super) fn own(
        &self,
        db: &Database,
        session: [u8; 32],
        act: OwnAct,
        origin: &Origin,
        now: u64,
    ) -> Result<Reply, Error> {
        let holder = self.session(db, session, now)?;
        self.count_own(&holder, &act, now)?;
        match act {
            OwnAct::Passkeys => {
                let document = passkeys(&holder, &self.passkey_rows(db, &holder)?);
                Ok(Reply::Document(document.to_string()))
            }
            OwnAct::RenamePasskey { id, name } => {
                if self.name_of(db, &holder, &id)? == name {
                    return Ok(Reply::Done);
                }
                let statement = "UPDATE authenticators SET name = ? WHERE id = ?";
                db.execute(statement, vec![name.as_str().into(), id.as_str().into()])?;
                let action = "authenticator.renamed";
                let (actor, details) = (Some(holder.principal.as_str()), json!({ "name": name }));
                trail(db, now, actor, action, Some(&id), origin, &details)?;
                Ok(Reply::Done)
            }
            OwnAct::RemovePasskey(id) => {
                holder.require_fresh(now)?;
                self.remove_passkey(db, &holder, &id, origin, now)?;
                Ok(Reply::Done)
            }
            OwnAct::Connections => {
                let document = connections(&connection_rows(db, &holder.principal)?);
                Ok(Reply::Document(document.to_string()))
            }
            OwnAct::Disconnect(id) => {
                holder.require_fresh(now)?;
                self.disconnect(db, &holder, &id, origin, now)?;
                Ok(Reply::Done)
            }
            OwnAct::EndSession(id) => {
                let owner = holder.principal.as_str();
                let other = other_session(db, owner, &id)?;
                holder.permit_end(&other, now)?;
                db.run("DELETE FROM sessions WHERE id = ?", &[Text(&id)])?;
                let details = json!({ "session": id });
                let actor = Some(owner);
                trail(db, now, actor, "session.ended", actor, origin, &details)?;
                Ok(Reply::Done)
            }
        }
    }

    /// Counts an act. Taking back isn't limited: whoever has a stolen session could keep its owner from ending it. Nor
    /// could they end what they can't see, so each session has lists of its own.
    fn count_own(&self, holder: &SessionFacts, act: &OwnAct, now: u64) -> Result<(), Error> {
        let who = match act {
            OwnAct::Passkeys | OwnAct::Connections => holder.id.clone(),
            OwnAct::RenamePasskey { .. } => holder.share(),
            OwnAct::RemovePasskey(_) | OwnAct::Disconnect(_) | OwnAct::EndSession(_) => {
                return Ok(());
            }
        };
        self.count(Class::Account, &who, now)
    }

    /// What one of the holder's passkeys is called. A linked identity is none: it has rules of its own.
    #[expect(clippy::unused_self, reason = "who there is, is asked of people")]
    fn name_of(&self, db: &Database, holder: &SessionFacts, id: &str) -> Result<String, Error> {
        let query =
            "SELECT name FROM authenticators WHERE id = ? AND principal = ? AND kind = 'passkey'";
        let found = db.rows(query, vec![id.into(), holder.principal.as_str().into()])?;
        let mut row = found.into_iter().next().ok_or(Error::NoSuchItem)?;
        Ok(row.text()?)
    }

    #[expect(clippy::unused_self, reason = "who there is, is asked of people")]
    fn passkey_rows(&self, db: &Database, holder: &SessionFacts) -> Result<Vec<PasskeyRow>, Error> {
        let query = "SELECT a.id, a.name, a.created_at, a.last_used_at, p.backed_up, p.backup_eligible, \
                     p.aaguid FROM authenticators a JOIN passkeys p ON p.authenticator = a.id \
                     WHERE a.principal = ? ORDER BY a.created_at, a.id";
        let mut rows = Vec::new();
        for mut row in db.rows(query, vec![holder.principal.as_str().into()])? {
            rows.push(PasskeyRow {
                id: row.text()?,
                name: row.text()?,
                created_at: row.integer()?,
                last_used_at: row.optional_integer()?,
                backed_up: row.integer()? != 0,
                backup_eligible: row.integer()? != 0,
                aaguid: row.blob()?.try_into().map_err(internal)?,
            });
        }
        Ok(rows)
    }

    /// Removes one of the holder's passkeys, and the sessions that began with it.
    fn remove_passkey(
        &self,
        db: &Database,
        holder: &SessionFacts,
        id: &str,
        origin: &Origin,
        now: u64,
    ) -> Result<(), Error> {
        let owner = holder.principal.as_str();
        let name = self.name_of(db, holder, id)?;
        permit_removal(db, self.party_name(), &holder.principal, id, now)?;
        let delegations = revoke_signed(db, Signer::WayIn(owner, id), owner, origin, now)?;
        db.execute(
            "DELETE FROM sessions WHERE authenticator = ?",
            vec![id.into()],
        )?;
        db.execute(
            "DELETE FROM passkeys WHERE authenticator = ?",
            vec![id.into()],
        )?;
        db.execute("DELETE FROM authenticators WHERE id = ?", vec![id.into()])?;
        distrust_sessions(db, owner, &holder.id)?;
        let details = json!({ "name": name, "delegations": delegations });
        let action = "authenticator.removed";
        trail(db, now, Some(owner), action, Some(id), origin, &details)
    }

    /// Counts for operators.
    pub(super) fn status(
        &self,
        db: &Database,
        session: [u8; 32],
        key: &KeyFacts<'_>,
        now: u64,
    ) -> Result<Reply, Error> {
        self.authorize(db, session, Session::Manage, now)?;
        let count = |query: &'static str| {
            let row = db.rows(query, vec![])?.into_iter().next();
            row.map_or(Ok(0), |mut row| row.integer())
        };
        let passkey = json!({
            "users": count("SELECT COUNT(DISTINCT principal) FROM authenticators")?,
            "credentials": count("SELECT COUNT(*) FROM passkeys")?,
            "admins": administrators(db, self.party_name(), now)?,
        });
        let doors = self.doors(db)?;
        let status = json!({
            "authority": { "epoch": key.epoch, "seqno": key.seqno, "keyId": key.key_id },
            "passkey": passkey,
            "rpId": self.party().unwrap_or_default(),
            "recoveryArmed": doors.has_authenticator && doors.has_unused_code,
        });
        Ok(Reply::Document(status.to_string()))
    }
}

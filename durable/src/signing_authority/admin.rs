//! What administrators see and take back, as rows.
//!
//! Each request is one transaction: the session is read again in it, and the line of the trail is
//! written in it.

mod delegations;
mod lists;
mod rows;

pub(super) use rows::{all as rows, permit as permit_row};

use std::cell::Cell;

use notme_authority::delegation::{Delegate, DelegationProblem, Wish};
use notme_authority::http::Session;
use notme_authority::limits::Class;
use notme_authority::people::admin::list::MAX_NUMBER;
use notme_authority::people::admin::table::Moment;
use notme_authority::people::admin::{
    self, Act, Administrator, Change, Command, Hold, ItemId, Reply, Serial, Standing, actions,
};
use notme_authority::people::command::{Origin, SessionFacts};
use notme_authority::people::{PrincipalId, Scope, Scopes};
use notme_authority::revocation::LATE_CLOCK_SECS;
use notme_authority::{Error, MAX_LEAF_SECS};
use serde_json::{Map, Value};
use worker::Env;

use self::delegations::Proof;
use super::delegations::{From, Signer, revoke_signed};
use super::first_id_at;
use super::people::identities::{WayIn, known};
use super::people::{People, distrust_sessions, share_of, trail};
use super::revocation::revoke_principal;
use crate::clock::now_millis;
use crate::sql::Argument::{Bytes, Null, Number, Text};
use crate::sql::{Argument, Database, Row, internal};

/// Does what an administrator asks for, or what anybody does with what is their own here; also whether something is
/// revoked by it.
pub(super) fn answer(
    people: &People,
    db: &Database,
    command: &Command,
    epoch: u64,
    env: &Env,
) -> Result<(Reply, bool), Error> {
    let now = now_millis() / 1000;
    let moment = Moment { now, epoch };
    let (needs, act, _) = command.read()?;
    db.transact(|db| {
        let session = people.authorize(db, command.session, needs, now)?;
        let desk = Desk {
            db,
            session: &session,
            party: people.party_name(),
            origin: &command.origin,
            moment,
            is_changed: Cell::new(false),
        };
        let reply = match &act {
            Act::List(list) => {
                // Administration isn't limited; of what is one's own each session has lists of its own.
                if needs == Session::Used {
                    people.count(Class::Account, &session.id, now)?;
                }
                desk.page(list)
            }
            Act::Show(principal) => desk.show(principal),
            Act::Change(change) => desk.change(change).map(|()| admin::done()),
            Act::Delegate(wish) => {
                let share = session.share();
                people.count(Class::Account, &share, now)?;
                desk.delegate(wish, &Scopes::eligible(), &share, None)
            }
            Act::ShowRows => desk.show_rows(env),
            Act::Row(change) => desk.change_row(change, env),
        }?;
        Ok((reply, act.revokes() && desk.is_changed.get()))
    })
}

/// Makes a delegation by whoever shows a live pair, and has signed this very wish with it.
pub(super) fn delegate(
    people: &People,
    db: &Database,
    wanted: &Delegate,
    epoch: u64,
) -> Result<Reply, Error> {
    let now = now_millis() / 1000;
    let newcomer = &wanted.newcomer;
    people.answering(db, &wanted.challenge, now, |db| {
        let known = known(db, newcomer, None, now)?;
        let wish = Wish::parse(wanted.wish.as_bytes())?;
        // Else what was revoked would go on under its holder's own name.
        if known.on.is_some() && known.on != wish.parent {
            return Err(DelegationProblem::Bound.into());
        }
        let method = &newcomer.identified.method;
        let share = share_of(db, &known.principal, known.evidence.renews, method)?;
        let session = SessionFacts {
            principal: known.principal,
            display_name: String::new(),
            scopes: known.granted,
            pending: Scopes::default(),
            method: method.clone(),
            expires_at: now,
            id: String::new(),
            authenticator: String::new(),
            fresh_until: known.evidence.fresh_until.unwrap_or(0),
            has_shown_passkey: false,
        };
        let desk = Desk {
            db,
            session: &session,
            party: people.party_name(),
            origin: &newcomer.origin,
            moment: Moment { now, epoch },
            is_changed: Cell::new(false),
        };
        // A certificate may be of somebody whom nobody has seen yet.
        if !desk.is_active(&session.principal)? {
            return Err(Error::TurnedAway);
        }
        people.count(Class::Account, &share, now)?;
        let shown = newcomer.identified.certificate.as_ref();
        let proof = shown.map(|shown| Proof {
            // As lists of credentials have it, zeros in front and all.
            serial: format!("{:0>32}", hex(&shown.serial)),
            first: known.evidence.renews,
            way_in: match known.way_in {
                WayIn::Known(way_in) => way_in,
                _ => None,
            },
            until: known.evidence.until.unwrap_or(now),
        });
        desk.delegate(&wish, &known.ceiling, &share, proof.as_ref())
    })
}

/// Where an administrator's request is worked on.
struct Desk<'a> {
    db: &'a Database,
    session: &'a SessionFacts,
    /// What passkeys call this authority.
    party: &'a str,
    origin: &'a Origin,
    moment: Moment,
    /// Whether there is a line in the trail, as there is of all that changes something.
    is_changed: Cell<bool>,
}

impl Desk<'_> {
    #[inline(never)]
    fn change(&self, change: &Change) -> Result<(), Error> {
        match change {
            Change::Disable(principal) => self.disable(principal),
            Change::Enable(principal) => self.enable(principal),
            Change::Grant {
                principal,
                scope,
                expires_at,
            } => self.grant(principal, *scope, *expires_at),
            Change::RevokeGrant { principal, scope } => self.revoke_grant(principal, *scope),
            Change::RemoveAuthenticator(id) => self.remove_authenticator(id),
            Change::EndSession(id) => self.end_session(id),
            Change::RevokeCredential(serial) => self.revoke_credential(serial),
            Change::RevokeInvite(id) => self.revoke_invite(id),
            Change::RevokeDelegation(id) => self.revoke_delegation(id),
        }
    }

    /// Its invites stay, and are void while it may not come in.
    fn disable(&self, principal: &PrincipalId) -> Result<(), Error> {
        let now = self.moment.now;
        if !self.is_active(principal)? {
            return Ok(());
        }
        let before = administrator(self.db, self.party, principal, now)?;
        let after = Administrator {
            is_active: false,
            ..before
        };
        permit(self.db, self.party, principal, before, after, now)?;
        let id = Text(principal.as_str());
        self.db.ask(
            "UPDATE principals SET disabled_at = ? WHERE id = ?",
            &[Number(now), id],
        )?;
        let sessions = self.count(
            "DELETE FROM sessions WHERE principal = ? RETURNING 1",
            &[id],
        )?;
        self.db
            .ask("DELETE FROM registrations WHERE principal = ?", &[id])?;
        revoke_principal(self.db, principal, now)?;
        let credentials = self.count(
            "UPDATE credentials SET revoked_at = ?, revoked_by = ? \
             WHERE principal = ? AND id >= ? AND expires_at >= ? AND revoked_at IS NULL RETURNING 1",
            &[
                Number(now),
                self.actor(),
                id,
                Number(self.first_outstanding()),
                Number(now.saturating_sub(LATE_CLOCK_SECS)),
            ],
        )?;
        let details = [
            ("sessions", sessions),
            ("credentials", credentials),
            // And what others were issued on its behalf, or on what it handed on.
            ("delegated", self.revoke_issued(From::All(principal))?),
        ];
        self.tell(actions::PRINCIPAL_DISABLED, principal.as_str(), &details)
    }

    fn enable(&self, principal: &PrincipalId) -> Result<(), Error> {
        if self.is_active(principal)? {
            return Ok(());
        }
        self.db.ask(
            "UPDATE principals SET disabled_at = NULL WHERE id = ?",
            &[Text(principal.as_str())],
        )?;
        self.tell(actions::PRINCIPAL_ENABLED, principal.as_str(), &[])
    }

    fn grant(
        &self,
        principal: &PrincipalId,
        scope: Scope,
        expires_at: Option<u64>,
    ) -> Result<(), Error> {
        let now = self.moment.now;
        self.is_active(principal)?;
        let own = hold(self.db, &self.session.principal, scope, now)?;
        admin::permit_grant(&self.session.scopes, own, scope, expires_at, now)?;
        let after = Hold::of(expires_at, now);
        let before = hold(self.db, principal, scope, now)?;
        if before == after {
            return Ok(());
        }
        self.permit_hold(principal, scope, after)?;
        if before == Hold::No {
            // Times are seconds: a session whose holder showed a passkey in this one has not seen it yet.
            self.db.run(
                "UPDATE sessions SET verified_at = ?2 - 1 WHERE principal = ?1 AND verified_at >= ?2",
                &[Text(principal.as_str()), Number(now)],
            )?;
        }
        let until = expires_at.map_or(Null, Number);
        // Another end is nothing that a session would have to wait for.
        self.db.ask(
            "INSERT INTO grants VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET granted_by = ?3, \
             granted_at = iif(IFNULL(expires_at, ?4 + 1) > ?4, granted_at, ?4), expires_at = ?5",
            &[
                Text(principal.as_str()),
                Text(scope.as_str()),
                self.actor(),
                Number(now),
                until,
            ],
        )?;
        let details = [("scope", Text(scope.as_str())), ("expires_at", until)];
        self.tell(actions::GRANT_ADDED, principal.as_str(), &details)
    }

    fn revoke_grant(&self, principal: &PrincipalId, scope: Scope) -> Result<(), Error> {
        self.is_active(principal)?;
        self.permit_hold(principal, scope, Hold::No)?;
        let name = Text(scope.as_str());
        let statement = "DELETE FROM grants WHERE principal = ? AND scope = ? RETURNING 1";
        let deleted = self.one(statement, &[Text(principal.as_str()), name])?;
        if deleted.is_none() {
            return Ok(());
        }
        let details = [("scope", name)];
        self.tell(actions::GRANT_REVOKED, principal.as_str(), &details)
    }

    /// Whether somebody is left who can administer, if what a principal may do becomes this.
    fn permit_hold(&self, principal: &PrincipalId, scope: Scope, hold: Hold) -> Result<(), Error> {
        let (db, party, now) = (self.db, self.party, self.moment.now);
        let loses =
            hold != Hold::ForGood && self::hold(db, principal, scope, now)? == Hold::ForGood;
        if scope != Scope::AuthorityManage {
            return if loses {
                permit_loss(db, party, principal, scope, now)
            } else {
                Ok(())
            };
        }
        let before = administrator(db, party, principal, now)?;
        let after = Administrator {
            manages: hold,
            ..before
        };
        permit(db, party, principal, before, after, now)?;
        if loses {
            permit_losses(db, party, principal, now)?;
        }
        Ok(())
    }

    /// With the sessions that began with it: whoever has it may have begun them.
    fn remove_authenticator(&self, id: &ItemId) -> Result<(), Error> {
        let query = "SELECT principal, kind, name FROM authenticators WHERE id = ?";
        let Some(mut row) = self.one(query, &[Text(id.as_str())])? else {
            return self.must_be_gone(actions::AUTHENTICATOR_REMOVED, id);
        };
        let owner = super::people::principal(&mut row)?;
        let (kind, name) = (row.text()?, row.text()?);
        permit_removal(self.db, self.party, &owner, id.as_str(), self.moment.now)?;
        let signer = Signer::WayIn(owner.as_str(), id.as_str());
        let delegations = self.revoke_signed(signer)?;
        let of_id = [Text(id.as_str())];
        let statement = "DELETE FROM sessions WHERE authenticator = ? RETURNING 1";
        let sessions = self.count(statement, &of_id)?;
        self.db
            .ask("DELETE FROM passkeys WHERE authenticator = ?", &of_id)?;
        self.db
            .ask("DELETE FROM authenticators WHERE id = ?", &of_id)?;
        distrust_sessions(self.db, owner.as_str(), &self.session.id)?;
        let details = [
            ("principal", Text(owner.as_str())),
            ("kind", Text(&kind)),
            ("name", Text(&name)),
            ("sessions", sessions),
            ("delegations", Number(delegations)),
        ];
        self.tell(actions::AUTHENTICATOR_REMOVED, id.as_str(), &details)
    }

    fn end_session(&self, id: &ItemId) -> Result<(), Error> {
        let statement = "DELETE FROM sessions WHERE id = ? RETURNING principal";
        let Some(mut row) = self.one(statement, &[Text(id.as_str())])? else {
            return self.must_be_gone(actions::SESSION_REVOKED, id);
        };
        let owner = row.text()?;
        let details = [("principal", Text(&owner))];
        self.tell(actions::SESSION_REVOKED, id.as_str(), &details)
    }

    /// Revokes a credential, and with it all that came of the same proof, and all that was handed on with it: who
    /// renewed it, or signed with it, may not have been its holder. What has expired needs none.
    fn revoke_credential(&self, serial: &Serial) -> Result<(), Error> {
        let query = "SELECT IFNULL(renews, id), serial, subject, principal FROM credentials \
                     WHERE id IN (SELECT id FROM credentials WHERE serial = ? \
                     UNION ALL SELECT id FROM credentials WHERE signing_serial = ?)";
        let bytes = Bytes(serial.as_bytes());
        let row = self.one(query, &[bytes, bytes])?;
        let mut row = row.ok_or(Error::NoSuchItem)?;
        let (first, serial) = (row.integer()?, hex(&row.blob()?));
        let (subject, owner) = (row.text()?, row.optional_text()?);
        let now = self.moment.now;
        let credentials = self.count(
            "UPDATE credentials SET revoked_at = ?1, revoked_by = ?2 \
             WHERE id IN (SELECT ?3 UNION ALL SELECT id FROM credentials WHERE renews = ?3) \
             AND expires_at >= ?4 AND revoked_at IS NULL RETURNING 1",
            &[
                Number(now),
                self.actor(),
                Number(first),
                Number(now.saturating_sub(LATE_CLOCK_SECS)),
            ],
        )?;
        let signer = Signer::Pairs(first);
        let delegations = Number(self.revoke_signed(signer)?);
        if matches!((credentials, delegations), (Number(0), Number(0))) {
            return Ok(());
        }
        let details = [
            ("subject", Text(&subject)),
            ("principal", owner.as_deref().map_or(Null, Text)),
            ("credentials", credentials),
            ("delegations", delegations),
        ];
        self.tell(actions::CREDENTIAL_REVOKED, &serial, &details)
    }

    fn revoke_signed(&self, signer: Signer<'_>) -> Result<u64, Error> {
        let actor = self.session.principal.as_str();
        revoke_signed(self.db, signer, actor, self.origin, self.moment.now)
    }

    fn revoke_invite(&self, id: &ItemId) -> Result<(), Error> {
        let statement =
            "DELETE FROM invites WHERE id = ? RETURNING created_by, scopes, redeemed_by";
        let Some(mut row) = self.one(statement, &[Text(id.as_str())])? else {
            return self.must_be_gone(actions::INVITE_REVOKED, id);
        };
        let (created_by, scopes) = (row.text()?, row.text()?);
        let redeemed_by = row.optional_text()?;
        let details = [
            ("created_by", Text(&created_by)),
            ("scopes", Text(&scopes)),
            ("redeemed_by", redeemed_by.as_deref().map_or(Null, Text)),
        ];
        self.tell(actions::INVITE_REVOKED, id.as_str(), &details)
    }

    /// Whether a principal may come in.
    ///
    /// # Errors
    /// [`Error::NoSuchItem`] if there is none.
    fn is_active(&self, principal: &PrincipalId) -> Result<bool, Error> {
        let query = "SELECT disabled_at FROM principals WHERE id = ?";
        let row = self.one(query, &[Text(principal.as_str())])?;
        let mut row = row.ok_or(Error::NoSuchItem)?;
        Ok(row.optional_integer()?.is_none())
    }

    /// What isn't there was taken back before, or never was.
    fn must_be_gone(&self, action: &str, id: &ItemId) -> Result<(), Error> {
        let query = "SELECT 1 FROM audit WHERE target = ? AND +action = ? LIMIT 1";
        let line = self.one(query, &[Text(id.as_str()), Text(action)])?;
        line.map(|_| ()).ok_or(Error::NoSuchItem)
    }

    /// The least id of credentials that may not have expired.
    fn first_outstanding(&self) -> u64 {
        let longest = MAX_LEAF_SECS + LATE_CLOCK_SECS;
        first_id_at(self.moment.now.saturating_sub(longest))
    }

    fn show(&self, principal: &PrincipalId) -> Result<Reply, Error> {
        let item = self.principal(principal)?.ok_or(Error::NoSuchItem)?;
        Ok(Reply {
            body: item.to_string().into_bytes(),
            next: None,
        })
    }

    fn one(&self, query: &'static str, arguments: &[Argument<'_>]) -> Result<Option<Row>, Error> {
        Ok(self.db.ask(query, arguments)?.into_iter().next())
    }

    /// How many rows a statement gives back.
    fn count(
        &self,
        statement: &'static str,
        arguments: &[Argument<'_>],
    ) -> Result<Argument<'static>, Error> {
        let rows = self.db.ask(statement, arguments)?.len();
        Ok(Number(rows.try_into().map_err(internal)?))
    }

    fn actor(&self) -> Argument<'_> {
        Text(self.session.principal.as_str())
    }

    #[inline(never)]
    fn tell(
        &self,
        action: &str,
        target: &str,
        details: &[(&str, Argument<'_>)],
    ) -> Result<(), Error> {
        self.is_changed.set(true);
        let mut members = Map::new();
        for (name, value) in details {
            let value = match *value {
                Number(number) => number.into(),
                Text(text) => text.into(),
                Null | Bytes(_) => Value::Null,
            };
            members.insert((*name).to_owned(), value);
        }
        let (actor, now) = (self.session.principal.as_str(), self.moment.now);
        let details = Value::Object(members);
        trail(
            self.db,
            now,
            Some(actor),
            action,
            Some(target),
            self.origin,
            &details,
        )
    }
}

/// Whether a principal may lose an authenticator: the last administrator's last one stays.
pub(super) fn permit_removal(
    db: &Database,
    party: &str,
    principal: &PrincipalId,
    authenticator: &str,
    now: u64,
) -> Result<(), Error> {
    let before = administrator(db, party, principal, now)?;
    let query = "SELECT COUNT(*) FROM authenticators \
                 WHERE id = ? AND kind = 'passkey' AND (issuer = ? OR '' = ?)";
    let row = db.ask(query, &[Text(authenticator), Text(party), Text(party)])?;
    // One that lets nobody in is none to lose.
    let lost = row
        .into_iter()
        .next()
        .map_or(Ok(0), |mut row| row.integer())?;
    let after = Administrator {
        authenticators: before.authenticators.saturating_sub(lost),
        ..before
    };
    permit(db, party, principal, before, after, now)?;
    if after.authenticators == 0 && lost > 0 {
        permit_losses(db, party, principal, now)?;
    }
    Ok(())
}

/// Whether an administrator is left who could grant a scope for good, if this principal couldn't: nobody grants
/// what they don't have, so what the last one had would be gone.
fn permit_loss(
    db: &Database,
    party: &str,
    principal: &PrincipalId,
    scope: Scope,
    now: u64,
) -> Result<(), Error> {
    let holds = |scope| hold(db, principal, scope, now);
    if holds(scope)? != Hold::ForGood || holds(Scope::AuthorityManage)? == Hold::No {
        return Ok(());
    }
    let query = format!(
        "SELECT 1 FROM grants h CROSS JOIN grants g ON g.principal = h.principal AND g.scope = ?1 \
         CROSS JOIN principals p ON p.id = h.principal \
         WHERE h.scope = ?2 AND h.principal <> ?3 AND h.expires_at IS NULL \
         AND IFNULL(g.expires_at, ?4 + 1) > ?4 AND {CAN_COME_IN} LIMIT 1"
    );
    let arguments = [
        Text(Scope::AuthorityManage.as_str()),
        Text(scope.as_str()),
        Text(principal.as_str()),
        Number(now),
        Text(party),
    ];
    if db.ask(&query, &arguments)?.is_empty() {
        return Err(Error::LastHolder(scope));
    }
    Ok(())
}

/// The same for all that an administrator could grant.
fn permit_losses(
    db: &Database,
    party: &str,
    principal: &PrincipalId,
    now: u64,
) -> Result<(), Error> {
    let scopes = Scopes::of_administrator();
    scopes
        .iter()
        .filter(|scope| *scope != Scope::AuthorityManage)
        .try_for_each(|scope| permit_loss(db, party, principal, scope, now))
}

/// How many can administer the authority at this moment.
pub(super) fn administrators(db: &Database, party: &str, now: u64) -> Result<u64, Error> {
    let query = format!(
        "SELECT COUNT(*) FROM grants g CROSS JOIN principals p ON p.id = g.principal \
         WHERE g.scope = ?1 AND IFNULL(g.expires_at, ?4 + 1) > ?4 AND {CAN_COME_IN}"
    );
    let scope = Text(Scope::AuthorityManage.as_str());
    let row = db.ask(&query, &[scope, Null, Null, Number(now), Text(party)])?;
    Ok(row
        .into_iter()
        .next()
        .map_or(Ok(0), |mut row| row.integer())?)
}

/// That a principal `p` may come in, and has something to come in with: a passkey of the party `?5`; while
/// there is none, any.
const CAN_COME_IN: &str = "p.disabled_at IS NULL AND EXISTS (SELECT 1 FROM authenticators a \
     WHERE a.principal = p.id AND a.kind = 'passkey' AND (a.issuer = ?5 OR '' = ?5))";

/// Whether a change to a principal leaves somebody who can administer.
fn permit(
    db: &Database,
    party: &str,
    principal: &PrincipalId,
    before: Administrator,
    after: Administrator,
    now: u64,
) -> Result<(), Error> {
    if after.standing() >= before.standing() {
        return Ok(());
    }
    let others = others(db, party, principal, now)?;
    admin::leaves_an_administrator(before, after, others)
}

/// What decides whether a principal can administer. Only passkeys that were made for this authority's
/// name let anybody in; while it has none, all count.
fn administrator(
    db: &Database,
    party: &str,
    principal: &PrincipalId,
    now: u64,
) -> Result<Administrator, Error> {
    let query = "SELECT disabled_at IS NULL, (SELECT COUNT(*) FROM authenticators \
                 WHERE principal = p.id AND kind = 'passkey' AND (issuer = ? OR '' = ?)) \
                 FROM principals p WHERE id = ?";
    let row = db.ask(query, &[Text(party), Text(party), Text(principal.as_str())])?;
    let mut row = row.into_iter().next().ok_or(Error::NoSuchItem)?;
    Ok(Administrator {
        is_active: row.integer()? != 0,
        authenticators: row.integer()?,
        manages: hold(db, principal, Scope::AuthorityManage, now)?,
    })
}

/// For how long a principal may do something.
fn hold(db: &Database, principal: &PrincipalId, scope: Scope, now: u64) -> Result<Hold, Error> {
    let query = "SELECT expires_at FROM grants WHERE principal = ? AND scope = ?";
    let rows = db.ask(query, &[Text(principal.as_str()), Text(scope.as_str())])?;
    match rows.into_iter().next() {
        None => Ok(Hold::No),
        Some(mut row) => Ok(Hold::of(row.optional_integer()?, now)),
    }
}

/// How far anybody but this principal can administer.
fn others(
    db: &Database,
    party: &str,
    principal: &PrincipalId,
    now: u64,
) -> Result<Standing, Error> {
    // A grant without an end counts as one that ends after all others.
    for (after, standing) in [
        (MAX_NUMBER - 1, Standing::ForGood),
        (now, Standing::ForATime),
    ] {
        let query = format!(
            "SELECT 1 FROM grants g CROSS JOIN principals p ON p.id = g.principal \
             WHERE g.scope = ?1 AND g.principal <> ?2 AND IFNULL(g.expires_at, ?3) > ?4 \
             AND {CAN_COME_IN} LIMIT 1"
        );
        let arguments = [
            Text(Scope::AuthorityManage.as_str()),
            Text(principal.as_str()),
            Number(MAX_NUMBER),
            Number(after),
            Text(party),
        ];
        if !db.ask(&query, &arguments)?.is_empty() {
            return Ok(standing);
        }
    }
    Ok(Standing::None)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

//! Identities that are linked to people: linked, used, listed, removed.

use notme_authority::Error;
use notme_authority::doors::rows::Rows;
use notme_authority::limits::Class;
use notme_authority::people::PrincipalId;
use notme_authority::people::challenge::Ceremony;
use notme_authority::people::command::{Origin, Reply, SessionFacts};
use notme_authority::people::connection::{
    Owner, Proven, Row, permit_disconnection, permit_further_way_in, signs_in,
};
use serde_json::json;

use super::identities::{insert, is_ours, note_use, owner_of};
use super::invites::scopes_of;
use super::registration::{Sort, insert_principal};
use super::{People, begin_session, burning, sign_out, trail};
use crate::signing_authority::admin::{permit_row, rows};
use crate::signing_authority::burn_all;
use crate::signing_authority::delegations::{Signer, revoke_signed};
use crate::sql::Argument::Text;
use crate::sql::{Database, internal};

impl People {
    /// Links an identity to the holder of a session.
    pub(super) fn connect(&self, db: &Database, proven: &Proven, now: u64) -> Result<Reply, Error> {
        let session = proven.current.ok_or(Error::NoSession)?;
        let burn = self.recognize(Ceremony::Connection, &session, &proven.challenge, now)?;
        burning(db, burn, |db| {
            let holder = self.session(db, session, now)?;
            holder.require_fresh(now)?;
            let owner = free_or_owned(db, proven)?;
            if let Some(owner) = owner {
                return owner.permit_link(&holder.principal);
            }
            self.count(Class::Account, &holder.share(), now)?;
            let identified = &proven.identified;
            let authenticator = insert(db, &holder.principal, identified, now)?;
            let details = json!({
                "name": identified.name,
                "kind": identified.kind,
                "issuer": identified.issuer,
                "subject": identified.subject,
                "session": holder.id,
            });
            let (actor, target) = (holder.principal.as_str(), authenticator.as_str());
            let (action, origin) = ("authenticator.added", &proven.origin);
            trail(db, now, Some(actor), action, Some(target), origin, &details)
        })?;
        Ok(Reply::Done)
    }

    /// Begins a session for whoever an identity is linked to.
    pub(super) fn identify(
        &self,
        db: &Database,
        proven: &Proven,
        session: [u8; 32],
        now: u64,
    ) -> Result<Reply, Error> {
        let burn = self.recognize(Ceremony::Identity, b"", &proven.challenge, now)?;
        let begun = burning(db, burn, |db| {
            let owner = free_or_owned(db, proven)?.ok_or(Error::UnknownIdentity)?;
            owner.permit_session()?;
            self.count(Class::Ceremonies, &owner.authenticator, now)?;
            note_use(db, &owner, now)?;
            let begun = begin(db, proven, &owner.authenticator, session, now)?;
            let details = json!({ "authenticator": owner.authenticator });
            let actor = Some(begun.principal.as_str());
            let (action, origin) = ("session.began", &proven.origin);
            trail(db, now, actor, action, actor, origin, &details)?;
            Ok(begun)
        })?;
        Ok(Reply::Session(begun))
    }

    /// Redeems an invite for an identity. An invite stays usable, whatever fails.
    pub(super) fn join_by(
        &self,
        db: &Database,
        proven: &Proven,
        invite: [u8; 32],
        (principal, name): (&PrincipalId, &str),
        session: [u8; 32],
        now: u64,
    ) -> Result<Reply, Error> {
        let burn = self.recognize(Ceremony::Identity, b"", &proven.challenge, now)?;
        let begun = burning(db, burn, |db| {
            let invite = self.find_invite(db, invite, now)?;
            let grants = invite.terms.grants(now)?;
            if free_or_owned(db, proven)?.is_some() {
                return Err(Error::IdentityTaken);
            }
            let owner = invite.person()?;
            let principal = match owner {
                Some(owner) => &owner.principal,
                None => {
                    let maker = Some(&invite.maker);
                    insert_principal(db, principal, Sort::Human, name, &grants, maker, now)?;
                    principal
                }
            };
            invite.redeem(db, principal, now)?;
            let identified = &proven.identified;
            let authenticator = insert(db, principal, identified, now)?;
            let begun = begin(db, proven, &authenticator, session, now)?;
            let details = json!({
                "admission": "invite",
                "authenticator": authenticator,
                "display_name": name,
                "invite": invite.id,
                "issuer": identified.issuer,
                "subject": identified.subject,
                "scopes": scopes_of(&grants).names(),
            });
            let (action, target) = match owner {
                Some(_) => ("authenticator.added", authenticator.as_str()),
                None => ("principal.registered", principal.as_str()),
            };
            let (actor, origin) = (Some(principal.as_str()), &proven.origin);
            trail(db, now, actor, action, Some(target), origin, &details)?;
            Ok(begun)
        })?;
        Ok(Reply::Session(begun))
    }

    /// Removes one of the holder's linked identities, and the sessions that began with it.
    pub(super) fn disconnect(
        &self,
        db: &Database,
        holder: &SessionFacts,
        id: &str,
        origin: &Origin,
        now: u64,
    ) -> Result<(), Error> {
        let owner = holder.principal.as_str();
        let query =
            "SELECT name FROM authenticators WHERE id = ? AND principal = ? AND kind <> 'passkey'";
        let found = db.ask(query, &[Text(id), Text(owner)])?.into_iter().next();
        let name = found.ok_or(Error::NoSuchItem)?.text()?;
        permit_disconnection(self.has_other_way_in(db, owner, id)?)?;
        let delegations = revoke_signed(db, Signer::WayIn(owner, id), owner, origin, now)?;
        db.run("DELETE FROM sessions WHERE authenticator = ?", &[Text(id)])?;
        db.run("DELETE FROM authenticators WHERE id = ?", &[Text(id)])?;
        let details = json!({ "name": name, "delegations": delegations });
        let action = "authenticator.removed";
        trail(db, now, Some(owner), action, Some(id), origin, &details)
    }
}

impl People {
    /// Whether a principal could sign in at this moment by something else than this.
    fn has_other_way_in(&self, db: &Database, owner: &str, id: &str) -> Result<bool, Error> {
        let set = rows(db, None)?.ok_or_else(|| internal("no rows, and none were known"))?;
        let (rows, _) = Rows::with(&self.config, &set.rows);
        let query = "SELECT kind, issuer FROM authenticators WHERE principal = ? AND id <> ?";
        for mut row in db.ask(query, &[Text(owner), Text(id)])? {
            if signs_in(&row.text()?, &row.text()?, self.party_name(), &rows) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a principal may have another way in. In the transaction that adds it.
///
/// # Errors
/// [`Error::TooManyWaysIn`].
pub(super) fn permit_way_in(db: &Database, principal: &PrincipalId) -> Result<(), Error> {
    let query = "SELECT COUNT(*) FROM authenticators WHERE principal = ?";
    let row = db.ask(query, &[Text(principal.as_str())])?;
    let there = row.into_iter().next();
    permit_further_way_in(there.map_or(Ok(0), |mut row| row.integer())?)
}

/// Burns what makes a proof single, and tells whose the identity is that it is about.
fn free_or_owned(db: &Database, proven: &Proven) -> Result<Option<Owner>, Error> {
    permit_row(db, proven.identified.row.as_ref())?;
    burn_all(db, &proven.identified.burns)?;
    // A pair of ours is somebody's already, and over in five minutes.
    if is_ours(db, &proven.identified)? {
        return Err(Error::IdentityTaken);
    }
    owner_of(db, &proven.identified)
}

/// Begins a session with an identity, in place of the browser's other one.
fn begin(
    db: &Database,
    proven: &Proven,
    authenticator: &str,
    session: [u8; 32],
    now: u64,
) -> Result<SessionFacts, Error> {
    if let Some(previous) = proven.current {
        sign_out(db, previous, &proven.origin, now)?;
    }
    let method = &proven.identified.method;
    begin_session(db, authenticator, method, session, &proven.origin, now)
}

/// The identities that are linked to a principal, the oldest first.
pub(super) fn connection_rows(db: &Database, principal: &PrincipalId) -> Result<Vec<Row>, Error> {
    let query = "SELECT id, kind, issuer, subject, created_at FROM authenticators \
                 WHERE principal = ? AND kind <> 'passkey' ORDER BY created_at, id";
    let rows = db.ask(query, &[Text(principal.as_str())])?.into_iter();
    rows.map(|mut row| {
        Ok(Row {
            id: row.text()?,
            kind: row.text()?,
            issuer: row.text()?,
            subject: row.text()?,
            created_at: row.integer()?,
        })
    })
    .collect()
}

//! Invites: made, looked at, redeemed.

use notme_authority::http::Session;
use notme_authority::people::admission::Invite;
use notme_authority::people::command::{Origin, Reply};
use notme_authority::people::invite::Draft;
use notme_authority::people::{Grant, PrincipalId, Scope, Scopes, uuid};
use notme_authority::{Error, Fault};
use serde_json::json;
use worker::SqlStorageValue;

use super::{People, grants, principal, trail};
use crate::host::random;
use crate::sql::{Database, integer, internal};

/// An invite, and who made it.
pub(super) struct Found {
    pub(super) id: String,
    pub(super) maker: PrincipalId,
    maker_name: String,
    pub(super) terms: Invite,
}

/// What was granted, whenever it ends.
pub(in crate::signing_authority) fn scopes_of(grants: &[Grant]) -> Scopes {
    grants.iter().map(|grant| grant.scope).collect()
}

impl People {
    pub(super) fn invite(
        &self,
        db: &Database,
        session: [u8; 32],
        draft: &Draft,
        token: [u8; 32],
        origin: &Origin,
        now: u64,
    ) -> Result<Reply, Error> {
        let maker = self.authorize(db, session, Session::Manage, now)?;
        draft.permit(&maker, now)?;
        let (id, expires_at) = (uuid(random()?), now + draft.ttl_secs);
        let names = draft.scopes.names();
        let arguments = vec![
            id.as_str().into(),
            SqlStorageValue::Blob(token.to_vec()),
            maker.principal.as_str().into(),
            json!(names).to_string().into(),
            integer(now)?,
            integer(expires_at)?,
        ];
        db.execute(
            "INSERT INTO invites VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)",
            arguments,
        )?;
        let details = json!({ "scopes": names, "expires_at": expires_at });
        let (actor, target) = (Some(maker.principal.as_str()), Some(id.as_str()));
        trail(db, now, actor, "invite.made", target, origin, &details)?;
        Ok(Reply::Invited { id, expires_at })
    }

    /// What an invite offers to whoever holds its token.
    pub(super) fn invitation(
        &self,
        db: &Database,
        token: [u8; 32],
        now: u64,
    ) -> Result<Reply, Error> {
        let found = self.find_invite(db, token, now)?;
        let document = json!({
            "scopes": scopes_of(&found.terms.grants(now)?).names(),
            "invitedBy": found.maker_name,
            "expiresAt": found.terms.expires_at,
        });
        Ok(Reply::Document(document.to_string()))
    }

    /// The invite with this token, whatever became of it.
    #[expect(clippy::unused_self, reason = "who there is, is asked of people")]
    pub(super) fn find_invite(
        &self,
        db: &Database,
        token: [u8; 32],
        now: u64,
    ) -> Result<Found, Error> {
        let query = "SELECT i.id, i.created_by, p.display_name, i.scopes, i.expires_at, i.redeemed_at, \
                     p.disabled_at FROM invites i JOIN principals p ON p.id = i.created_by \
                     WHERE i.token_hash = ?";
        let rows = db.rows(query, vec![SqlStorageValue::Blob(token.to_vec())])?;
        let mut row = rows.into_iter().next().ok_or(Error::BadInvite)?;
        let id = row.text()?;
        let maker = principal(&mut row)?;
        let maker_name = row.text()?;
        let names: Vec<String> = serde_json::from_str(&row.text()?).map_err(internal)?;
        let expires_at = row.integer()?;
        let is_redeemed = row.optional_integer()?.is_some();
        let is_disabled = row.optional_integer()?.is_some();
        let scopes = names.iter().map(|name| Scope::parse(name));
        let scopes = scopes.collect::<Option<Scopes>>();
        let terms = Invite {
            scopes: scopes.ok_or_else(|| Fault::Internal("a stored invite's scopes".into()))?,
            expires_at,
            is_redeemed,
            maker: if is_disabled {
                Vec::new()
            } else {
                grants(db, &maker, now)?
            },
        };
        Ok(Found {
            id,
            maker,
            maker_name,
            terms,
        })
    }

    /// Uses an invite up for `guest`, who is somebody by now.
    #[expect(clippy::unused_self, reason = "who there is, is asked of people")]
    pub(super) fn redeem(
        &self,
        db: &Database,
        invite: &Found,
        guest: &PrincipalId,
        now: u64,
    ) -> Result<(), Error> {
        let arguments = vec![
            guest.as_str().into(),
            integer(now)?,
            invite.id.as_str().into(),
        ];
        let statement = "UPDATE invites SET redeemed_by = ?, redeemed_at = ? \
                         WHERE id = ? AND redeemed_at IS NULL";
        if db.execute(statement, arguments)? == 0 {
            return Err(Error::BadInvite);
        }
        Ok(())
    }
}

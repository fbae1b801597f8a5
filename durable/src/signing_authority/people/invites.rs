//! Invites: made, looked at, redeemed.

use notme_authority::http::Session;
use notme_authority::people::admission::Invite;
use notme_authority::people::command::{Origin, Reply};
use notme_authority::people::invite::Draft;
use notme_authority::people::{Grant, PrincipalId, Scope, Scopes, uuid};
use notme_authority::{Error, Fault};
use serde_json::json;
use worker::SqlStorageValue;

use super::{People, exists, grants, principal, trail};
use crate::host::random;
use crate::sql::{Database, integer, internal};

/// An invite, and who made it.
pub(in crate::signing_authority) struct InviteRow {
    pub(super) id: String,
    pub(super) maker: PrincipalId,
    maker_name: String,
    pub(super) terms: Invite,
    /// Whom it is a further way in for; somebody new, if nobody is named.
    pub(super) owner: Option<Known>,
}

/// A principal that is there already.
pub(in crate::signing_authority) struct Known {
    pub(super) principal: PrincipalId,
    pub(super) name: String,
    pub(super) is_human: bool,
}

impl InviteRow {
    /// The human whom it is a further way in for, if it is for one that is there.
    ///
    /// # Errors
    /// [`Error::BadInvite`] if it is for a workload, which signs in nowhere.
    pub(super) fn person(&self) -> Result<Option<&Known>, Error> {
        match &self.owner {
            Some(owner) if !owner.is_human => Err(Error::BadInvite),
            owner => Ok(owner.as_ref()),
        }
    }

    /// The workload whom it is a further way in for.
    ///
    /// # Errors
    /// [`Error::BadInvite`] if it is for nobody of the kind, or isn't good.
    pub(super) fn workload(&self, now: u64) -> Result<&Known, Error> {
        self.terms.grants(now)?;
        let owner = self.owner.as_ref().filter(|owner| !owner.is_human);
        owner.ok_or(Error::BadInvite)
    }

    /// Uses it up for `guest`, who is somebody by now.
    pub(super) fn redeem(&self, db: &Database, guest: &PrincipalId, now: u64) -> Result<(), Error> {
        let arguments = vec![
            guest.as_str().into(),
            integer(now)?,
            self.id.as_str().into(),
        ];
        let statement = "UPDATE invites SET redeemed_by = ?, redeemed_at = ? \
                         WHERE id = ? AND redeemed_at IS NULL";
        if db.execute(statement, arguments)? == 0 {
            return Err(Error::BadInvite);
        }
        Ok(())
    }
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
        let mut draft = draft.clone();
        if let Some(owner) = &draft.principal {
            // Whoever redeems it can do what its principal can, so whoever makes it has to have that.
            let query = "SELECT 1 FROM principals WHERE id = ? AND disabled_at IS NULL";
            if !exists(db, query, vec![owner.as_str().into()])? {
                return Err(Error::NoSuchItem);
            }
            draft.scopes = scopes_of(&grants(db, owner, now)?);
        }
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
            draft
                .principal
                .as_ref()
                .map_or(SqlStorageValue::Null, |owner| owner.as_str().into()),
        ];
        db.execute(
            "INSERT INTO invites VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, ?)",
            arguments,
        )?;
        let details = json!({
            "scopes": names,
            "expires_at": expires_at,
            "principal": draft.principal.as_ref().map(PrincipalId::as_str),
        });
        let (actor, target) = (Some(maker.principal.as_str()), Some(id.as_str()));
        trail(db, now, actor, "invite.made", target, origin, &details)?;
        Ok(Reply::Invited {
            id,
            expires_at,
            scopes: draft.scopes,
        })
    }

    /// What an invite offers to whoever holds its token.
    pub(super) fn invitation(
        &self,
        db: &Database,
        token: [u8; 32],
        now: u64,
    ) -> Result<Reply, Error> {
        let found = self.find_invite(db, token, now)?;
        let mut document = json!({
            "scopes": scopes_of(&found.terms.grants(now)?).names(),
            "invitedBy": found.maker_name,
            "expiresAt": found.terms.expires_at,
        });
        if let (Some(owner), Some(members)) = (&found.owner, document.as_object_mut()) {
            members.insert("furtherFor".into(), owner.name.as_str().into());
        }
        Ok(Reply::Document(document.to_string()))
    }

    /// The invite with this token, whatever became of it.
    #[expect(clippy::unused_self, reason = "who there is, is asked of people")]
    pub(super) fn find_invite(
        &self,
        db: &Database,
        token: [u8; 32],
        now: u64,
    ) -> Result<InviteRow, Error> {
        let query = "SELECT i.id, i.created_by, p.display_name, i.scopes, i.expires_at, i.redeemed_at, \
                     p.disabled_at, i.principal, o.display_name, o.kind = 'human', o.disabled_at \
                     FROM invites i JOIN principals p ON p.id = i.created_by \
                     LEFT JOIN principals o ON o.id = i.principal WHERE i.token_hash = ?";
        let rows = db.rows(query, vec![SqlStorageValue::Blob(token.to_vec())])?;
        let mut row = rows.into_iter().next().ok_or(Error::BadInvite)?;
        let id = row.text()?;
        let maker = principal(&mut row)?;
        let maker_name = row.text()?;
        let names: Vec<String> = serde_json::from_str(&row.text()?).map_err(internal)?;
        let expires_at = row.integer()?;
        let is_redeemed = row.optional_integer()?.is_some();
        let is_disabled = row.optional_integer()?.is_some();
        let owner = match row.optional_text()? {
            None => None,
            Some(id) => Some(Known {
                principal: PrincipalId::parse(&id).ok_or_else(|| internal("a principal's id"))?,
                name: row.text()?,
                is_human: row.integer()? != 0,
            }),
        };
        let is_over = match &owner {
            None => false,
            Some(_) => row.optional_integer()?.is_some(),
        };
        let scopes = match &owner {
            // What its principal was granted since, its maker has to have too.
            Some(owner) => scopes_of(&grants(db, &owner.principal, now)?),
            None => {
                let scopes = names.iter().map(|name| Scope::parse(name));
                let scopes = scopes.collect::<Option<Scopes>>();
                scopes.ok_or_else(|| Fault::Internal("a stored invite's scopes".into()))?
            }
        };
        let terms = Invite {
            scopes,
            expires_at,
            is_redeemed,
            maker: if is_disabled || is_over {
                Vec::new()
            } else {
                grants(db, &maker, now)?
            },
        };
        Ok(InviteRow {
            id,
            maker,
            maker_name,
            terms,
            owner,
        })
    }
}

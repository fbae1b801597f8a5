//! Who is known by a proof of an issuer that is trusted: found, or made.

use std::collections::BTreeMap;

use notme_authority::Error;
use notme_authority::doors::Identified;
use notme_authority::issue::over;
use notme_authority::people::admin::ItemId;
use notme_authority::people::connection::Owner;
use notme_authority::people::mint::{Lasting, Newcomer};
use notme_authority::people::session::SEEN_GRAIN_SECS;
use notme_authority::people::{PrincipalId, Scope, Scopes};
use notme_chain::Refusal;
use notme_keys::Ed25519PublicKey;
use serde_json::{Value, json};

use super::connections::permit_way_in;
use super::invites::{InviteRow, scopes_of};
use super::registration::{Sort, insert_principal};
use super::{grants, principal, trail};
use crate::host::random;
use crate::sql::Argument::{Bytes, Number, Text};
use crate::sql::{Database, internal};

/// Whom an identity leads to.
pub(in crate::signing_authority) struct Known {
    /// Who it is, or will be.
    pub(in crate::signing_authority) principal: PrincipalId,
    /// What they may do at this moment.
    pub(in crate::signing_authority) granted: Scopes,
    /// The most that can come of it: what the row allows, and of a pair of ours what that may be used for.
    pub(in crate::signing_authority) ceiling: Scopes,
    /// What the pair that is shown hangs on, if it is one on somebody's behalf.
    pub(in crate::signing_authority) on: Option<ItemId>,
    /// How long what was shown lasts.
    pub(in crate::signing_authority) evidence: Lasting,
    /// What is written when something is issued.
    pub(in crate::signing_authority) way_in: WayIn,
}

/// What is written of the way in when something is issued.
pub(in crate::signing_authority) enum WayIn {
    /// Nothing; it is this one, if that is known.
    Known(Option<String>),
    /// That it was used.
    Used(Owner),
    /// That there is somebody new.
    New,
    /// That it is a further one of a principal's, by this invite.
    Further(Box<InviteRow>),
}

/// Whom identities led to when they were last looked at. Nothing is decided by it.
#[derive(Default)]
pub(super) struct Remembered(BTreeMap<[String; 3], (PrincipalId, Scopes)>);

/// How many of them are remembered.
const MOST_REMEMBERED: usize = 4096;

impl Remembered {
    fn name(identified: &Identified) -> [String; 3] {
        [&identified.kind, &identified.issuer, &identified.subject].map(Clone::clone)
    }

    /// What an identity led to; nothing for a certificate, which may be one of ours.
    pub(super) fn find(&self, identified: &Identified) -> Option<&(PrincipalId, Scopes)> {
        if identified.certificate.is_some() {
            return None;
        }
        self.0.get(&Self::name(identified))
    }

    pub(super) fn keep(&mut self, identified: &Identified, known: &Known) {
        if self.find(identified).is_some_and(|(principal, granted)| {
            *principal == known.principal && *granted == known.granted
        }) {
            return;
        }
        if self.0.len() >= MOST_REMEMBERED {
            self.0.clear();
        }
        let known = (known.principal.clone(), known.granted.clone());
        self.0.insert(Self::name(identified), known);
    }
}

/// The principal that an identity leads to, and what it may do at this moment; for one that nobody has seen yet,
/// who it will be, and what its row grants it.
///
/// # Errors
/// [`Error::TurnedAway`] if it may not come in, [`Error::UnknownIdentity`] if it is a person that nobody knows,
/// [`Error::PersonIdentity`] if it is somebody's whose proof has to be made for this request.
pub(in crate::signing_authority) fn known(
    db: &Database,
    newcomer: &Newcomer,
    invite: Option<InviteRow>,
    now: u64,
) -> Result<Known, Error> {
    let identified = &newcomer.identified;
    let row = &identified.ceiling;
    let mut known = Known {
        principal: newcomer.principal.clone(),
        granted: row.clone(),
        ceiling: row.clone(),
        on: None,
        evidence: Lasting::of(identified),
        way_in: WayIn::New,
    };
    if let Some(ours) = ours(db, identified)? {
        // By this clock: what is taken back is taken back by it too.
        if let Some(until) = identified.until.filter(|until| *until < now) {
            return Err(over(until));
        }
        known.ceiling = row.narrowed_to(&ours.scopes);
        known.on = ours.on;
        known.evidence.renews = Some(ours.first);
        known.evidence.fresh_until = ours.fresh_until;
        // Of what doesn't say how long its proof lasts no more is known than how long it does itself.
        known.evidence.until = ours.evidence_until.or(identified.until);
        if let Some((owner, is_turned_away)) = ours.owner {
            if is_turned_away {
                return Err(Error::TurnedAway);
            }
            known.granted = scopes_of(&grants(db, &owner, now)?);
            known.principal = owner;
            known.way_in = WayIn::Known(ours.way_in); // it stands for the way in that it was issued for
            if invite.is_some() {
                return Err(Error::IdentityTaken);
            }
            return Ok(known);
        }
    }
    match owner_and_scopes(db, identified, now)? {
        Some((owner, _)) if owner.is_turned_away => return Err(Error::TurnedAway),
        Some((owner, granted)) => {
            identified.permit_owner(&owner)?;
            if let Some(invite) = &invite {
                invite.workload(now)?;
                let wanted = invite.owner.as_ref().map(|wanted| &wanted.principal);
                // It is theirs already: the invite stays for another one.
                if wanted != Some(&owner.principal) {
                    return Err(Error::IdentityTaken);
                }
            }
            known.granted = granted;
            known.principal = owner.principal.clone();
            known.way_in = WayIn::Used(owner);
        }
        None => {
            identified.permit_newcomer()?;
            if let Some(invite) = invite {
                let owner = invite.workload(now)?;
                known.principal = owner.principal.clone();
                known.granted = invite.terms.scopes.clone();
                known.way_in = WayIn::Further(Box::new(invite));
            }
        }
    }
    Ok(known)
}

/// What is known of a credential of ours that is shown.
struct Ours {
    /// Whose it is, and whether they were turned away; nobody's, if it was issued to a job before those were principals.
    owner: Option<(PrincipalId, bool)>,
    /// What it may be used for, which is the most that comes of it.
    scopes: Scopes,
    /// What it hangs on, if on anything.
    on: Option<ItemId>,
    /// The first of the pairs that it renews; itself, if it renews none.
    first: u64,
    /// Until when the proof lasts that that one was issued for, if that is known.
    evidence_until: Option<u64>,
    /// Until when its holder counts as somebody who just showed a passkey, if they did.
    fresh_until: Option<u64>,
    /// The way in that it was issued for, if that is known.
    way_in: Option<String>,
}

/// The credential that is shown, if this authority issued it.
///
/// # Errors
/// [`Error::InvalidCertificate`] if it was taken back, with its epoch, with its way in or by itself, or is not known any more.
fn ours(db: &Database, identified: &Identified) -> Result<Option<Ours>, Error> {
    let revoked = || Error::InvalidCertificate(Refusal::Revoked);
    let Some(shown) = &identified.certificate else {
        return Ok(None);
    };
    let Ok(key) = Ed25519PublicKey::from_spki(&shown.issuer_spki) else {
        return Ok(None);
    };
    let query = "SELECT epoch = (SELECT MAX(epoch) FROM signing_keys) FROM signing_keys WHERE public_key = ?";
    let Some(mut row) = db.ask(query, &[Bytes(key.as_bytes())])?.into_iter().next() else {
        return Ok(None);
    };
    // A serial number has no zeros before it, and what is stored is 16 bytes long.
    let zeros = 16_usize
        .checked_sub(shown.serial.len())
        .ok_or_else(revoked)?;
    let serial = [&vec![0; zeros], &shown.serial[..]].concat();
    let query = "SELECT c.scopes, c.principal, p.disabled_at, c.delegation, IFNULL(c.renews, c.id), c.evidence_until, c.fresh_until, c.way_in FROM credentials c LEFT JOIN principals p ON p.id = c.principal \
                 WHERE (c.serial = ?1 OR c.signing_serial = ?1) AND c.revoked_at IS NULL \
                 AND (c.way_in IS NULL OR EXISTS (SELECT 1 FROM authenticators a WHERE a.id = c.way_in))";
    let is_of_this_epoch = row.integer()? == 1;
    let mut found = db.ask(query, &[Bytes(&serial)])?.into_iter();
    let mut row = found
        .next()
        .filter(|_| is_of_this_epoch)
        .ok_or_else(revoked)?;
    let names: Value = serde_json::from_str(&row.text()?).map_err(internal)?;
    let scope = |name: &Value| name.as_str().and_then(Scope::parse);
    let scopes = names
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(scope)
        .collect();
    let principal = row.optional_text()?;
    let is_turned_away = row.optional_integer()?.is_some();
    let on = row.optional_text()?;
    let on = on.map(|id| ItemId::parse(&id).ok_or_else(|| internal("a delegation's id")));
    let owner = match principal {
        None => None,
        Some(id) => Some((
            PrincipalId::parse(&id).ok_or_else(|| internal("a principal's id"))?,
            is_turned_away,
        )),
    };
    Ok(Some(Ours {
        owner,
        scopes,
        on: on.transpose()?,
        first: row.integer()?,
        evidence_until: row.optional_integer()?,
        fresh_until: row.optional_integer()?,
        way_in: row.optional_text()?,
    }))
}

/// Makes a principal of an identity that nobody has seen yet, or notes that it was used; tells which authenticator it is,
/// if that is known. In the transaction that issues.
pub(super) fn admit(
    db: &Database,
    newcomer: &Newcomer,
    way_in: &WayIn,
    now: u64,
) -> Result<Option<String>, Error> {
    let authenticator = match way_in {
        WayIn::Known(authenticator) => return Ok(authenticator.clone()),
        WayIn::Used(owner) => {
            note_use(db, owner, now)?;
            owner.authenticator.clone()
        }
        WayIn::Further(invite) => add(db, newcomer, invite, now)?,
        WayIn::New => make(db, newcomer, now)?,
    };
    Ok(Some(authenticator))
}

fn make(db: &Database, newcomer: &Newcomer, now: u64) -> Result<String, Error> {
    let identified = &newcomer.identified;
    let grants = identified.ceiling.for_good();
    let id = &newcomer.principal;
    insert_principal(db, id, Sort::Workload, &identified.name, &grants, None, now)?;
    let authenticator = insert(db, id, identified, now)?;
    let details = json!({
        "admission": identified.kind,
        "authenticator": authenticator,
        "issuer": identified.issuer,
        "subject": identified.subject,
        "scopes": identified.ceiling.names(),
    });
    let actor = Some(id.as_str());
    let action = "principal.registered";
    trail(db, now, actor, action, actor, &newcomer.origin, &details)?;
    Ok(authenticator)
}

/// Makes an identity a further way in of the workload that an invite is for.
fn add(db: &Database, newcomer: &Newcomer, invite: &InviteRow, now: u64) -> Result<String, Error> {
    let owner = &invite.workload(now)?.principal;
    invite.redeem(db, owner, now)?;
    let identified = &newcomer.identified;
    let authenticator = insert(db, owner, identified, now)?;
    let details = json!({
        "admission": identified.kind,
        "invite": invite.id,
        "issuer": identified.issuer,
        "subject": identified.subject,
    });
    let (actor, target) = (Some(owner.as_str()), Some(authenticator.as_str()));
    let action = "authenticator.added";
    trail(db, now, actor, action, target, &newcomer.origin, &details)?;
    Ok(authenticator)
}

/// Notes that an identity was used. As with passkeys, that isn't a write each time.
pub(super) fn note_use(db: &Database, owner: &Owner, now: u64) -> Result<(), Error> {
    if owner
        .last_used_at
        .is_none_or(|at| at + SEEN_GRAIN_SECS <= now)
    {
        let statement = "UPDATE authenticators SET last_used_at = ? WHERE id = ?";
        db.run(statement, &[Number(now), Text(&owner.authenticator)])?;
    }
    Ok(())
}

/// Makes an identity a principal's that is nobody's; tells its authenticator's id.
pub(super) fn insert(
    db: &Database,
    owner: &PrincipalId,
    identified: &Identified,
    now: u64,
) -> Result<String, Error> {
    permit_way_in(db, owner)?;
    let authenticator = notme_authority::people::uuid(random::<16>()?);
    db.run(
        "INSERT INTO authenticators VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        &[
            Text(&authenticator),
            Text(owner.as_str()),
            Text(&identified.kind),
            Text(&identified.issuer),
            Text(&identified.subject),
            Text(&identified.name),
            Number(now),
        ],
    )?;
    Ok(authenticator)
}

/// Whose an identity is; nobody's, if nobody has seen it yet.
pub(super) fn owner_of(db: &Database, identified: &Identified) -> Result<Option<Owner>, Error> {
    Ok(owner_and_scopes(db, identified, 0)?.map(|(owner, _)| owner))
}

/// The same, and what they are granted at this moment: a statement for each pair is enough.
fn owner_and_scopes(
    db: &Database,
    identified: &Identified,
    now: u64,
) -> Result<Option<(Owner, Scopes)>, Error> {
    let query = "SELECT g.scope, a.principal, p.kind = 'human', p.disabled_at IS NOT NULL, a.id, a.last_used_at \
                 FROM authenticators a JOIN principals p ON p.id = a.principal \
                 LEFT JOIN grants g ON g.principal = a.principal AND (g.expires_at IS NULL OR g.expires_at > ?4) \
                 WHERE a.kind = ?1 AND a.issuer = ?2 AND a.subject = ?3";
    let by = [
        Text(&identified.kind),
        Text(&identified.issuer),
        Text(&identified.subject),
        Number(now),
    ];
    let (mut owner, mut scopes) = (None, Vec::new());
    for mut row in db.ask(query, &by)? {
        scopes.extend(row.optional_text()?.as_deref().and_then(Scope::parse));
        if owner.is_none() {
            owner = Some(Owner {
                principal: principal(&mut row)?,
                is_human: row.integer()? != 0,
                is_turned_away: row.integer()? != 0,
                authenticator: row.text()?,
                last_used_at: row.optional_integer()?,
            });
        }
    }
    Ok(owner.map(|owner| (owner, scopes.into_iter().collect())))
}

/// Whether a proof is a pair of ours: that stands for the way in that it was issued for, and is none itself.
pub(super) fn is_ours(db: &Database, identified: &Identified) -> Result<bool, Error> {
    Ok(ours(db, identified)?.is_some())
}

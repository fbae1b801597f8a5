//! Who is known by a proof of an issuer that is trusted: found, or made.

use notme_authority::Error;
use notme_authority::doors::Identified;
use notme_authority::people::connection::Owner;
use notme_authority::people::mint::Newcomer;
use notme_authority::people::session::SEEN_GRAIN_SECS;
use notme_authority::people::{PrincipalId, Scope, Scopes};
use notme_chain::Refusal;
use notme_keys::Ed25519PublicKey;
use serde_json::{Value, json};

use super::invites::scopes_of;
use super::registration::{Sort, insert_principal};
use super::{grants, principal, trail};
use crate::host::random;
use crate::sql::Argument::{Bytes, Number, Text};
use crate::sql::{Database, internal};

/// The principal that an identity leads to, and what it may do at this moment; for one that nobody has seen yet,
/// who it will be, and what its row grants it.
///
/// # Errors
/// [`Error::TurnedAway`] if it may not come in.
pub(super) fn known(
    db: &Database,
    newcomer: &Newcomer,
    now: u64,
) -> Result<(PrincipalId, Scopes), Error> {
    let ours = ours(db, &newcomer.identified)?;
    let most = |scopes: Scopes| match &ours {
        Some(ours) => scopes.narrowed_to(&ours.scopes),
        None => scopes,
    };
    if let Some(Ours {
        owner: Some((owner, is_turned_away)),
        ..
    }) = &ours
    {
        if *is_turned_away {
            return Err(Error::TurnedAway);
        }
        return Ok((owner.clone(), most(scopes_of(&grants(db, owner, now)?))));
    }
    let Some(Owner {
        principal: owner,
        is_turned_away,
        ..
    }) = owner_of(db, &newcomer.identified)?
    else {
        newcomer.identified.permit_newcomer()?;
        return Ok((
            newcomer.principal.clone(),
            most(newcomer.identified.ceiling.clone()),
        ));
    };
    if is_turned_away {
        return Err(Error::TurnedAway);
    }
    let granted = scopes_of(&grants(db, &owner, now)?);
    Ok((owner, most(granted)))
}

/// What is known of a credential of ours that is shown.
struct Ours {
    /// Whose it is, and whether they were turned away; nobody's, if it was issued to a job.
    owner: Option<(PrincipalId, bool)>,
    /// What it may be used for, which is the most that comes of it.
    scopes: Scopes,
}

/// The credential that is shown, if this authority issued it.
///
/// # Errors
/// [`Error::InvalidCertificate`] if it was taken back, with its epoch or by itself, or is not known any more.
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
    let query = "SELECT c.scopes, c.principal, p.disabled_at FROM credentials c LEFT JOIN principals p ON p.id = c.principal \
                 WHERE (c.serial = ?1 OR c.signing_serial = ?1) AND c.revoked_at IS NULL";
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
    let owner = match principal {
        None => None,
        Some(id) => Some((
            PrincipalId::parse(&id).ok_or_else(|| internal("a principal's id"))?,
            is_turned_away,
        )),
    };
    Ok(Some(Ours { owner, scopes }))
}

/// Makes a principal of an identity that nobody has seen yet, or notes that it was used. In the transaction that
/// issues.
pub(super) fn admit(db: &Database, newcomer: &Newcomer, now: u64) -> Result<(), Error> {
    let identified = &newcomer.identified;
    if ours(db, identified)?.is_some_and(|ours| ours.owner.is_some()) {
        return Ok(()); // it stands for the way in that it was issued for
    }
    if let Some(owner) = owner_of(db, identified)? {
        return note_use(db, &owner, now);
    }
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
    trail(db, now, actor, action, actor, &newcomer.origin, &details)
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
    let query = "SELECT a.principal, p.kind = 'human', p.disabled_at IS NOT NULL, a.id, a.last_used_at \
                 FROM authenticators a JOIN principals p ON p.id = a.principal \
                 WHERE a.kind = ? AND a.issuer = ? AND a.subject = ?";
    let by = [
        Text(&identified.kind),
        Text(&identified.issuer),
        Text(&identified.subject),
    ];
    let Some(mut row) = db.ask(query, &by)?.into_iter().next() else {
        return Ok(None);
    };
    Ok(Some(Owner {
        principal: principal(&mut row)?,
        is_human: row.integer()? != 0,
        is_turned_away: row.integer()? != 0,
        authenticator: row.text()?,
        last_used_at: row.optional_integer()?,
    }))
}

/// Whether a proof is a pair of ours: that stands for the way in that it was issued for, and is none itself.
pub(super) fn is_ours(db: &Database, identified: &Identified) -> Result<bool, Error> {
    Ok(ours(db, identified)?.is_some())
}

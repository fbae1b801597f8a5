//! Who is known by a proof of an issuer that is trusted: found, or made.

use notme_authority::Error;
use notme_authority::people::mint::Newcomer;
use notme_authority::people::session::SEEN_GRAIN_SECS;
use notme_authority::people::{PrincipalId, Scopes};
use serde_json::json;

use super::invites::scopes_of;
use super::registration::{Sort, insert_principal};
use super::{grants, principal, trail};
use crate::host::random;
use crate::sql::Argument::{Number, Text};
use crate::sql::{Database, Row};

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
    let Some(mut row) = find(db, newcomer)? else {
        return Ok((
            newcomer.principal.clone(),
            newcomer.identified.ceiling.clone(),
        ));
    };
    let owner = principal(&mut row)?;
    if row.optional_integer()?.is_some() {
        return Err(Error::TurnedAway);
    }
    let granted = scopes_of(&grants(db, &owner, now)?);
    Ok((owner, granted))
}

/// Makes a principal of an identity that nobody has seen yet, or notes that it was used. In the transaction that
/// issues.
pub(super) fn admit(db: &Database, newcomer: &Newcomer, now: u64) -> Result<(), Error> {
    let identified = &newcomer.identified;
    if let Some(mut row) = find(db, newcomer)? {
        let _ = (principal(&mut row)?, row.optional_integer()?);
        let (id, last_used_at) = (row.text()?, row.optional_integer()?);
        // As with passkeys, using one isn't a write each time.
        if last_used_at.is_none_or(|at| at + SEEN_GRAIN_SECS <= now) {
            let statement = "UPDATE authenticators SET last_used_at = ? WHERE id = ?";
            db.run(statement, &[Number(now), Text(&id)])?;
        }
        return Ok(());
    }
    let grants = identified.ceiling.for_good();
    let id = &newcomer.principal;
    insert_principal(db, id, Sort::Workload, &identified.name, &grants, None, now)?;
    let authenticator = notme_authority::people::uuid(random::<16>()?);
    db.run(
        "INSERT INTO authenticators VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        &[
            Text(&authenticator),
            Text(id.as_str()),
            Text(&identified.kind),
            Text(&identified.issuer),
            Text(&identified.subject),
            Text(&identified.name),
            Number(now),
        ],
    )?;
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

/// Principal, when it was turned away, authenticator, and its last use.
fn find(db: &Database, newcomer: &Newcomer) -> Result<Option<Row>, Error> {
    let identified = &newcomer.identified;
    let query = "SELECT a.principal, p.disabled_at, a.id, a.last_used_at FROM authenticators a \
                 JOIN principals p ON p.id = a.principal \
                 WHERE a.kind = ? AND a.issuer = ? AND a.subject = ?";
    let by = [
        Text(&identified.kind),
        Text(&identified.issuer),
        Text(&identified.subject),
    ];
    Ok(db.ask(query, &by)?.into_iter().next())
}

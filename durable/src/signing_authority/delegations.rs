//! Delegations as rows: the chain that one hangs on, and what is revoked with it.

use notme_authority::delegation::{Acting, Giver, Link, MAX_LINKS, Terms};
use notme_authority::people::admin::{ItemId, actions};
use notme_authority::people::command::Origin;
use notme_authority::people::{PrincipalId, Scope, Scopes};
use notme_authority::revocation::LATE_CLOCK_SECS;
use notme_authority::{Error, Fault, MAX_LEAF_SECS};
use serde_json::{Value, json};

use super::people::{grants, principal, scopes_of, trail};
use super::{REMEMBERED_SECS, first_id_at};
use crate::sql::Argument::{Bytes, Number, Text};
use crate::sql::{Argument, Database, Row, internal};

/// How many that are over one sweep forgets at most.
const FORGOTTEN_AT_ONCE: usize = 1000;

/// What `who` may do on a delegation at this moment.
pub(super) fn acting(
    db: &Database,
    id: &ItemId,
    who: &PrincipalId,
    now: u64,
) -> Result<Acting, Error> {
    let chain = chain(db, id)?;
    let giver = match chain.last() {
        Some(link) => giver(db, &link.on_behalf_of, now)?,
        None => Giver {
            scopes: Scopes::default(),
            is_turned_away: true,
        },
    };
    Acting::on(&chain, &giver, who, now)
}

/// A delegation and all that it hangs on, the highest first; nothing if there is none.
pub(super) fn chain(db: &Database, id: &ItemId) -> Result<Vec<Link>, Error> {
    // One more than there can be, so that a longer one shows.
    let query = format!(
        "WITH RECURSIVE above (id, height) AS (SELECT ?1, 0 UNION ALL \
         SELECT d.parent, height + 1 FROM above CROSS JOIN delegations d ON d.id = above.id \
         WHERE d.parent IS NOT NULL AND height < {MAX_LINKS}) \
         SELECT d.id, d.parent, d.delegator, d.on_behalf_of, d.delegate, d.scopes, d.audience, d.purpose, \
         d.depth, d.expires_at, d.revoked_at IS NOT NULL, p.disabled_at IS NOT NULL \
         FROM above CROSS JOIN delegations d ON d.id = above.id CROSS JOIN principals p ON p.id = d.delegate \
         ORDER BY height DESC"
    );
    let rows = db.ask(&query, &[Text(id.as_str())])?;
    rows.into_iter().map(link).collect()
}

fn link(mut row: Row) -> Result<Link, Error> {
    let item = |text: String| ItemId::parse(&text).ok_or_else(|| internal("a delegation's id"));
    let id = item(row.text()?)?;
    let parent = row.optional_text()?.map(item).transpose()?;
    let (delegator, on_behalf_of) = (principal(&mut row)?, principal(&mut row)?);
    let delegate = principal(&mut row)?;
    let names: Value = serde_json::from_str(&row.text()?).map_err(internal)?;
    let scope = |name: &Value| name.as_str().and_then(Scope::parse);
    let scopes = names.as_array().into_iter().flatten().filter_map(scope);
    let audience = row.optional_text()?;
    let purpose = row.optional_blob()?.map(<[u8; 32]>::try_from);
    Ok(Link {
        id,
        parent,
        delegator,
        on_behalf_of,
        delegate,
        terms: Terms {
            scopes: scopes.collect(),
            audience,
            purpose: purpose.transpose().map_err(internal)?,
            depth: u8::try_from(row.integer()?).map_err(internal)?,
            expires_at: row.integer()?,
        },
        is_revoked: row.integer()? != 0,
        is_turned_away: row.integer()? != 0,
    })
}

fn giver(db: &Database, id: &PrincipalId, now: u64) -> Result<Giver, Error> {
    let query = "SELECT disabled_at FROM principals WHERE id = ?";
    let row = db.ask(query, &[Text(id.as_str())])?.into_iter().next();
    let mut row = row.ok_or_else(|| Fault::Internal("a delegation of nobody's".into()))?;
    Ok(Giver {
        is_turned_away: row.optional_integer()?.is_some(),
        scopes: scopes_of(&grants(db, id, now)?),
    })
}

/// What the delegation `d` hangs on, as far as that goes.
macro_rules! above {
    () => {
        "LEFT JOIN delegations d1 ON d1.id = d.parent LEFT JOIN delegations d2 ON d2.id = d1.parent \
         LEFT JOIN delegations d3 ON d3.id = d2.parent LEFT JOIN delegations d4 ON d4.id = d3.parent"
    };
}

/// Whether it is worth nothing for what became of it, of one above it or of somebody in the chain.
macro_rules! is_void {
    () => {
        "EXISTS (SELECT 1 FROM delegations x CROSS JOIN principals p ON p.id = x.delegate \
         WHERE x.id IN (d.id, d1.id, d2.id, d3.id, d4.id) AND (x.revoked_at IS NOT NULL OR p.disabled_at IS NOT NULL)) \
         OR EXISTS (SELECT 1 FROM principals g WHERE g.id = d.on_behalf_of AND g.disabled_at IS NOT NULL)"
    };
}
pub(super) use {above, is_void};

/// Where what is revoked begins.
#[derive(Clone, Copy)]
pub(super) enum From<'a> {
    /// With one delegation.
    One(&'a ItemId),
    /// With all that a principal gave and was given.
    All(&'a PrincipalId),
}

/// Revokes what was issued on these delegations and all below them and may not have expired, `oldest` being the
/// first time at which that can be; how much it was.
pub(super) fn revoke_below(
    db: &Database,
    from: From<'_>,
    actor: Argument<'_>,
    first_id: u64,
    oldest: u64,
    now: u64,
) -> Result<u64, Error> {
    // What is over, or was revoked before, has nothing that is good below it.
    let (begin, id) = match from {
        From::One(id) => ("SELECT ?1", id.as_str()),
        From::All(principal) => (
            "SELECT id FROM delegations WHERE delegator = ?1 AND revoked_at IS NULL AND expires_at >= ?2 \
             UNION SELECT id FROM delegations WHERE delegate = ?1 AND revoked_at IS NULL AND expires_at >= ?2",
            principal.as_str(),
        ),
    };
    let statement = format!(
        "WITH RECURSIVE below (id) AS ({begin} UNION SELECT d.id FROM below CROSS JOIN delegations d \
         ON d.parent = below.id WHERE d.revoked_at IS NULL AND d.expires_at >= ?2) \
         UPDATE credentials SET revoked_at = ?3, revoked_by = ?4 WHERE delegation IN (SELECT id FROM below) \
         AND id >= ?5 AND expires_at >= ?2 AND revoked_at IS NULL RETURNING 1"
    );
    let arguments = [
        Text(id),
        Number(oldest),
        Number(now),
        actor,
        Number(first_id),
    ];
    let revoked = db.ask(&statement, &arguments)?.len();
    Ok(revoked.try_into().map_err(internal)?)
}

/// What delegations were signed with.
#[derive(Clone, Copy)]
pub(super) enum Signer<'a> {
    /// Pairs that this one was renewed to, or itself.
    Pairs(u64),
    /// Pairs of a principal's that began with a way in.
    WayIn(&'a str, &'a str),
}

/// Takes back what was signed with some pairs, and revokes what was issued on it; how many delegations it was.
pub(super) fn revoke_signed(
    db: &Database,
    signer: Signer<'_>,
    actor: &str,
    origin: &Origin,
    now: u64,
) -> Result<u64, Error> {
    let oldest = now.saturating_sub(LATE_CLOCK_SECS);
    let first_id = first_id_at(oldest.saturating_sub(MAX_LEAF_SECS));
    let (query, arguments) = match signer {
        Signer::Pairs(first) => (
            "SELECT id FROM delegations WHERE signed_by = ? AND revoked_at IS NULL AND expires_at >= ?",
            vec![Number(first), Number(oldest)],
        ),
        Signer::WayIn(owner, id) => (
            "SELECT id FROM delegations WHERE delegator = ? AND way_in = ? AND revoked_at IS NULL AND expires_at >= ?",
            vec![Text(owner), Text(id), Number(oldest)],
        ),
    };
    let mut taken_back = 0;
    for mut row in db.ask(query, &arguments)? {
        let id = ItemId::parse(&row.text()?).ok_or_else(|| internal("a delegation's id"))?;
        db.run(
            "UPDATE delegations SET revoked_at = ?, revoked_by = ? WHERE id = ?",
            &[Number(now), Text(actor), Text(id.as_str())],
        )?;
        let revoked = revoke_below(db, From::One(&id), Text(actor), first_id, oldest, now)?;
        let (action, details) = (
            actions::DELEGATION_REVOKED,
            json!({ "credentials": revoked }),
        );
        trail(
            db,
            now,
            Some(actor),
            action,
            Some(id.as_str()),
            origin,
            &details,
        )?;
        taken_back += 1;
    }
    Ok(taken_back)
}

/// Where a delegation came from.
pub(super) struct Source<'a> {
    /// Whose share it is of, of what limits count.
    pub(super) share: &'a str,
    /// The first of the pairs that one renews which signed for it, if one did.
    pub(super) signed_by: Option<u64>,
    /// The way in that those began with, if that is known.
    pub(super) way_in: Option<&'a str>,
}

/// Writes one down.
pub(super) fn insert(
    db: &Database,
    link: &Link,
    source: &Source<'_>,
    now: u64,
) -> Result<(), Error> {
    let Link {
        id,
        parent,
        delegator,
        on_behalf_of,
        delegate,
        terms,
        ..
    } = link;
    let scopes = Value::from(terms.scopes.names()).to_string();
    db.run(
        "INSERT INTO delegations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, ?, ?, ?)",
        &[
            Text(id.as_str()),
            parent
                .as_ref()
                .map_or(Argument::Null, |id| Text(id.as_str())),
            Text(delegator.as_str()),
            Text(on_behalf_of.as_str()),
            Text(delegate.as_str()),
            Text(&scopes),
            terms.audience.as_deref().map_or(Argument::Null, Text),
            terms
                .purpose
                .as_ref()
                .map_or(Argument::Null, |hash| Bytes(hash)),
            Number(terms.depth.into()),
            Number(now),
            Number(terms.expires_at),
            source.signed_by.map_or(Argument::Null, Number),
            source.way_in.map_or(Argument::Null, Text),
            Text(source.share),
        ],
    )
}

/// How many somebody has given out of a share that are in force; no more than `most` are counted.
pub(super) fn given(
    db: &Database,
    by: &PrincipalId,
    share: &str,
    most: u64,
    now: u64,
) -> Result<u64, Error> {
    let query = "SELECT COUNT(*) FROM (SELECT 1 FROM delegations WHERE delegator = ? AND share = ? AND expires_at > ? \
                 AND revoked_at IS NULL LIMIT ?)";
    let arguments = [Text(by.as_str()), Text(share), Number(now), Number(most)];
    let row = db.ask(query, &arguments)?.into_iter().next();
    Ok(row.map_or(Ok(0), |mut row| row.integer())?)
}

/// Whether one of a chain was given by somebody out of one of these shares, or out of none that is known.
pub(super) fn is_of(
    db: &Database,
    chain: &[Link],
    by: &PrincipalId,
    shares: &[String; 2],
) -> Result<bool, Error> {
    let query = "SELECT 1 FROM delegations WHERE id = ? AND IFNULL(share, ?2) IN (?2, ?3)";
    for link in chain.iter().filter(|link| link.delegator == *by) {
        let [first, second] = shares;
        if !db
            .ask(query, &[Text(link.id.as_str()), Text(first), Text(second)])?
            .is_empty()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Deletes those that were over long ago: what hangs on one ends no later, and is worth nothing without it.
pub(super) fn forget(db: &Database, now: u64) -> Result<(), Error> {
    let statement = format!(
        "DELETE FROM delegations WHERE id IN (SELECT id FROM delegations WHERE expires_at < ? \
         ORDER BY expires_at LIMIT {FORGOTTEN_AT_ONCE})"
    );
    db.run(&statement, &[Number(now.saturating_sub(REMEMBERED_SECS))])
}

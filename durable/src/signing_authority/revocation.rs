//! The list of what is revoked: made when somebody asks, kept until something is revoked or it grows old.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use notme_authority::people::PrincipalId;
use notme_authority::revocation::{
    Document, Form, REFRESH_SECS, Revoked, RevokedPair, signed, to_pem, told_until,
};
use notme_authority::state::OVERLAP_SECS;
use notme_authority::{Error, Fault, MAX_STALENESS_SECS};
use worker::Delay;

use super::delegations::{above, is_void};
use super::{Loaded, SWEEP_SECS, SigningAuthority, first_id_at};
use crate::clock::now_millis;
use crate::host;
use crate::sql::Argument::{Number, Text};
use crate::sql::{Database, internal};

/// How many revoked pairs a list can have so that another one is made after a millisecond: to make it takes a hundredth of
/// one for each.
const ENTRIES_PER_MILLI: u64 = 10;
/// By how much the platform's clock may be off where something waits for a timer, in milliseconds.
const LATE_MILLIS: u64 = 1_000;
/// How long a list is waited for at most, in milliseconds.
const MOST_WAIT_MILLIS: u64 = 5_000;

/// The list, in both forms.
pub(super) struct Published {
    number: u64,
    /// It says all that was revoked by then.
    revision: u64,
    /// The key that signed it.
    key_id: String,
    /// When, in Unix milliseconds.
    made_at_millis: u64,
    /// How many pairs are revoked.
    entries: u64,
    jwt: String,
    crl: Vec<u8>,
}

impl SigningAuthority {
    /// The list in a form, made anew if something was revoked since, or it is old.
    pub(super) async fn revocations(&self, form: Form) -> Result<Document, Error> {
        // What is revoked while it is made is for who asks later.
        let revision = self.revision.get();
        let published = match self.at_hand(revision).await? {
            Some(published) => published,
            None => {
                let _guard = self.publishing.lock().await;
                self.current(revision).await?
            }
        };
        Ok(Document {
            number: published.number,
            body: match form {
                Form::Jwt => published.jwt.clone().into_bytes(),
                Form::Crl => published.crl.clone(),
                Form::CrlPem => self.crls(&published.crl, now_millis() / 1000)?.into_bytes(),
            },
        })
    }

    /// The last list, if it stands and says all that was revoked by this revision.
    async fn at_hand(&self, revision: u64) -> Result<Option<Rc<Published>>, Error> {
        let loaded = self.loaded().await?;
        let known = self.published.borrow().clone();
        let now = now_millis() / 1000;
        Ok(known.filter(|known| known.revision >= revision && known.stands(&loaded, now)))
    }

    /// The same, made if need be. Whoever calls it holds [`SigningAuthority::publishing`].
    async fn current(&self, revision: u64) -> Result<Rc<Published>, Error> {
        loop {
            if let Some(published) = self.at_hand(revision).await? {
                return Ok(published);
            }
            // A long one takes its time, which others need: who has much taken back waits for the list that says so.
            if let Some(wait) = self.wait() {
                Delay::from(Duration::from_millis(wait)).await;
            }
            let loaded = self.loaded().await?;
            let published = self.publish(&loaded, now_millis()).await?;
            // The key may have changed while it was signed.
            let current = self.loaded.borrow().clone();
            if current.is_some_and(|current| Rc::ptr_eq(&current, &loaded)) {
                self.published.replace(Some(Rc::new(published)));
            }
        }
    }

    /// In how many milliseconds another list may be made: after ten times as long as the last one took, by its length.
    fn wait(&self) -> Option<u64> {
        // Timers go by a clock that never goes back: after one that was ahead they are late, and everybody would wait.
        let is_late = host::now_millis().abs_diff(now_millis()) > LATE_MILLIS;
        let last = self.published.borrow().clone().filter(|_| !is_late)?;
        let age = now_millis().checked_sub(last.made_at_millis)?;
        let wait = (last.entries / ENTRIES_PER_MILLI).min(MOST_WAIT_MILLIS);
        wait.checked_sub(age).filter(|wait| *wait > 0)
    }

    async fn publish(&self, loaded: &Loaded, now_millis: u64) -> Result<Published, Error> {
        let now = now_millis / 1000;
        let revision = self.revision.get();
        let (revoked, number) = self
            .db
            .transact(|db| Ok((read(db, now)?, next_number(db)?)))?;
        let (epoch, key_id) = (loaded.epoch, &loaded.key_id);
        let jwt = revoked.to_jwt(&loaded.url, key_id, epoch, number, now);
        let until = now + MAX_STALENESS_SECS;
        let crl = revoked.to_crl(&loaded.issuer, number, now, until);
        let messages = [jwt.as_bytes(), crl.as_bytes()];
        let [of_jwt, of_crl] = loaded.key.sign_both(messages).await?;
        Ok(Published {
            number,
            revision,
            key_id: key_id.clone(),
            made_at_millis: now_millis,
            entries: u64::try_from(revoked.pairs.len()).map_err(internal)?,
            jwt: signed(&jwt, &of_jwt),
            crl: crl.into_certificate(&of_crl),
        })
    }

    /// The last CRL of a key that is about to be rolled over, good for as long as the key is trusted. What is
    /// revoked later isn't in it; what the key signed has expired within the bound for verifiers anyway.
    pub(super) async fn last_crl(&self, loaded: &Loaded, now: u64) -> Result<Vec<u8>, Error> {
        let (revoked, number) = self
            .db
            .transact(|db| Ok((read(db, now)?, next_number(db)?)))?;
        let crl = revoked.to_crl(&loaded.issuer, number, now, now + OVERLAP_SECS);
        let signature = loaded.key.sign(crl.as_bytes()).await?;
        Ok(crl.into_certificate(&signature))
    }

    /// The current key's, and those of the keys that are trusted beside it.
    fn crls(&self, current: &[u8], now: u64) -> Result<String, Error> {
        let query = "SELECT last_crl FROM signing_keys WHERE last_crl IS NOT NULL AND retired_at >= ? \
                     AND epoch = (SELECT MAX(epoch) FROM signing_keys) ORDER BY position DESC";
        let oldest = now.saturating_sub(OVERLAP_SECS);
        let rows = self.db.ask(query, &[Number(oldest)])?.into_iter();
        let former = rows
            .map(|mut row| row.blob())
            .collect::<Result<Vec<_>, Fault>>()?;
        let former = former.iter().map(Vec::as_slice);
        Ok(to_pem(std::iter::once(current).chain(former)))
    }

    /// Something is revoked: the list says so from now on.
    pub(super) fn revise(&self) {
        self.revision.set(self.revision.get().wrapping_add(1));
    }
}

impl Published {
    /// Whether it says all there is to say.
    fn stands(&self, loaded: &Loaded, now: u64) -> bool {
        let age = now.checked_sub(self.made_at_millis / 1000);
        self.key_id == loaded.key_id && age.is_some_and(|age| age < REFRESH_SECS)
    }
}

/// Revokes whatever was issued to a principal until now, also by a clock that was ahead and left its mark: access tokens
/// stand nowhere else.
pub(super) fn revoke_principal(
    db: &Database,
    principal: &PrincipalId,
    now: u64,
) -> Result<(), Error> {
    let query =
        "SELECT MAX(?1, IIF(forgotten_before > ?1, forgotten_before + ?2, 0)) FROM authority";
    let row = db
        .ask(query, &[Number(now), Number(SWEEP_SECS)])?
        .into_iter()
        .next();
    let now = row.map_or(Ok(now), |mut row| row.integer())?;
    db.run(
        "INSERT OR REPLACE INTO revoked VALUES ('principal', ?, ?, ?)",
        &[
            Text(principal.as_str()),
            Number(now),
            Number(told_until(now)),
        ],
    )
}

/// Deletes what nothing is left of.
pub(super) fn forget(db: &Database, now: u64) -> Result<(), Error> {
    db.run("DELETE FROM revoked WHERE told_until < ?", &[Number(now)])
}

/// The delegations that something was issued on which is revoked with them, and when the last of it was issued. Nothing
/// more is issued on one while it is worth nothing.
const VOID: &str = concat!(
    "SELECT d.id, c.before FROM (SELECT delegation, MAX(issued_at) before FROM credentials INDEXED BY credentials_revoked \
     WHERE revoked_at IS NOT NULL AND id >= ? AND delegation IS NOT NULL GROUP BY delegation) c \
     CROSS JOIN delegations d ON d.id = c.delegation ",
    above!(),
    " WHERE ",
    is_void!()
);

/// All that is revoked and may not have expired, by the clock of a verifier that is behind.
fn read(db: &Database, now: u64) -> Result<Revoked, Error> {
    let oldest = now.saturating_sub(told_until(0));
    let query = "SELECT c.serial, c.signing_serial, IIF(c.subject <> c.principal, c.identity, c.principal), d.on_behalf_of, \
                 c.delegation, c.issued_at, c.revoked_at FROM credentials c LEFT JOIN delegations d ON d.id = c.delegation \
                 WHERE c.revoked_at IS NOT NULL AND c.id >= ?";
    let pair = |row: &mut crate::sql::Row| -> Result<RevokedPair, Error> {
        let mut serial = || row.blob()?.try_into().map_err(internal);
        let serials = [serial()?, serial()?];
        let [first, second] = serials;
        // An issuing certificate is one, and is told once.
        let serials = if first == second {
            vec![first]
        } else {
            serials.to_vec()
        };
        Ok(RevokedPair {
            serials,
            names: [row.optional_text()?, row.optional_text()?]
                .into_iter()
                .flatten()
                .collect(),
            delegation: row.optional_text()?,
            issued_at: row.integer()?,
            revoked_at: row.integer()?,
        })
    };
    let mut rows = db.ask(query, &[Number(first_id_at(oldest))])?;
    let pairs = rows.iter_mut().map(pair).collect::<Result<_, _>>()?;
    // By their ids; and by the URIs of what doesn't name them, or whoever had much issued would be a long list.
    let query = "SELECT subject, before FROM revoked WHERE kind = 'principal' AND told_until >= ?1 \
                 UNION ALL SELECT c.identity, MAX(r.before) FROM revoked r CROSS JOIN credentials c ON c.principal = r.subject \
                 WHERE r.kind = 'principal' AND r.told_until >= ?1 AND c.id >= ?2 AND +c.subject <> c.principal GROUP BY c.identity";
    let mut principals = BTreeMap::new();
    for mut row in db.ask(query, &[Number(now), Number(first_id_at(oldest))])? {
        principals.insert(row.text()?, row.integer()?);
    }
    let mut delegations = BTreeMap::new();
    for mut row in db.ask(VOID, &[Number(first_id_at(oldest))])? {
        delegations.insert(row.text()?, row.integer()?);
    }
    Ok(Revoked {
        pairs,
        principals,
        delegations,
    })
}

fn next_number(db: &Database) -> Result<u64, Error> {
    let statement = "INSERT INTO revocation_list VALUES (1, 1) \
                     ON CONFLICT DO UPDATE SET number = number + 1 RETURNING number";
    let row = db.ask(statement, &[])?.into_iter().next();
    let mut row = row.ok_or_else(|| internal("a list without a number"))?;
    Ok(row.integer()?)
}

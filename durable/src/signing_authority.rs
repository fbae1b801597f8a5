//! The object that owns the CA key.
//!
//! There is one, named `default`: it alone sees all proofs that are used and all keys there were,
//! in order, so one transaction in it is what "once" means. Its key is imported into WebCrypto as
//! non-extractable when it is loaded; afterwards the seed is nowhere in wasm's memory (where it is
//! stored in clear, what passed it on to the database isn't wiped).
//!
//! An enrolment signs before it burns: if signing fails, nothing is burned, and if the proof was
//! used in the meantime, what was signed is thrown away. The burn commits before the answer leaves.

mod admin;
mod ca_key;
mod delegations;
mod people;
mod revocation;
mod rotation;
mod tokens;

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use futures_util::lock::Mutex;
use js_sys::Uint8Array;
use notme_authority::bundle;
use notme_authority::issue::{Authority, IssueRequest, Issued, Messages, Prepared};
use notme_authority::limits::Class;
use notme_authority::people::command;
use notme_authority::people::mint::{Holder, Mint};
use notme_authority::protocol::{self, Command, Reply, Sent};
use notme_authority::rotation::KeyChanged;
use notme_authority::state::{Archive, EpochKey};
use notme_authority::tokens::command as token_command;
use notme_authority::{Burn, Error, Fault, MAX_LEAF_SECS};
use notme_keys::Ed25519PublicKey;
use notme_wire::Message;
use notme_wire::identity::CABundle;
use notme_x509::Issuer;
use serde_json::Value;
use wasm_bindgen::prelude::*;
use worker::{DurableObject, Env, Request, Response, SqlStorageValue, State, durable_object};

use crate::clock::{self, now_millis};
use crate::host::{config, random};
use crate::sql::Argument::{Bytes, Null, Number, Text};
use crate::sql::{Database, Row, integer, internal};
use crate::webcrypto::SigningKey;
use people::identities::WayIn;
use people::{KeyFacts, People};

const MIGRATIONS: [&str; 8] = [
    include_str!("../migrations/signing_authority/0001_initial.sql"),
    include_str!("../migrations/signing_authority/0002_people.sql"),
    include_str!("../migrations/signing_authority/0003_credentials.sql"),
    include_str!("../migrations/signing_authority/0004_endorsements.sql"),
    include_str!("../migrations/signing_authority/0005_revocation.sql"),
    include_str!("../migrations/signing_authority/0006_delegations_and_issuers.sql"),
    include_str!("../migrations/signing_authority/0007_evidence_and_further_ways_in.sql"),
    include_str!("../migrations/signing_authority/0008_shares_and_sources.sql"),
];
/// How often used proofs that have expired are deleted, in seconds.
const SWEEP_SECS: u64 = 60;
/// How long what was issued is remembered after it expired, in seconds: 30 days.
const REMEMBERED_SECS: u64 = 30 * 86_400;
/// How many issued credentials one sweep forgets at most: everybody waits for it.
const FORGOTTEN_AT_ONCE: usize = 1000;
/// How often a pair is made anew whose holder changed while it was signed.
const MOST_TRIES: usize = 5;
/// How many used proofs one sweep forgets at most: more than can be used between two.
const USED_AT_ONCE: usize = 100_000;
/// By how much an issued credential's id moves with a second, as [`record`] writes it.
const IDS_PER_SEC: u64 = 1 << 20;

/// What comes later, of a size that nobody needs to know.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

/// The authority in memory.
struct Loaded {
    archive: Archive,
    /// The authority's URL.
    url: String,
    issuer: Issuer,
    epoch: u64,
    key_id: String,
    key: SigningKey,
    bundle: RefCell<Option<CABundle>>,
    people: Rc<People>,
}

/// The object; see the module's documentation.
#[durable_object(fetch)]
pub struct SigningAuthority {
    env: Env,
    db: Database,
    loaded: RefCell<Option<Rc<Loaded>>>,
    /// Held while the key is loaded or changed, so that two first requests make one key.
    loading: Mutex<()>,
    /// When used proofs were last deleted, in Unix seconds.
    swept_at: Cell<u64>,
    /// The last list of what is revoked.
    published: RefCell<Option<Rc<revocation::Published>>>,
    /// Held while it is made: who asks meanwhile waits for that one.
    publishing: Mutex<()>,
    /// Moves with all that may have to be in that list.
    revision: Cell<u64>,
}

impl DurableObject for SigningAuthority {
    fn new(state: State, env: Env) -> Self {
        Self {
            db: Database::new(&state),
            env,
            loaded: RefCell::default(),
            loading: Mutex::default(),
            swept_at: Cell::new(0),
            published: RefCell::default(),
            publishing: Mutex::default(),
            revision: Cell::new(0),
        }
    }

    async fn fetch(&self, _request: Request) -> worker::Result<Response> {
        Response::error("this object is called, not fetched", 404)
    }
}

#[wasm_bindgen]
impl SigningAuthority {
    /// Answers one [`Command`] with one [`Reply`], both in the form of [`protocol`].
    ///
    /// # Errors
    /// Only if the answer can't be encoded; a refusal is an answer.
    pub async fn call(&self, command: Uint8Array) -> Result<Uint8Array, JsValue> {
        let reply = match self.answer(&command.to_vec()).await {
            Ok(reply) => reply,
            Err(error) => Reply::Refused(error.into()),
        };
        let bytes = protocol::encode(&reply).map_err(|fault| format!("{fault:?}"))?;
        Ok(Uint8Array::from(&bytes[..]))
    }
}

impl SigningAuthority {
    async fn answer(&self, command: &[u8]) -> Result<Reply, Error> {
        #[cfg(feature = "panic-probe")]
        if command == b"panic" {
            self.loaded().await?;
            #[expect(clippy::panic, reason = "that is what it is for")]
            {
                panic!("the object was asked to panic");
            }
        }
        #[cfg(feature = "panic-probe")]
        if command == b"stack" {
            return Err(internal(crate::overflow(0)).into());
        }
        let sent: Sent<Command> = protocol::decode(command)?;
        clock::heard(sent.at);
        let command = sent.message;
        let loaded = self.loaded().await?;
        match command {
            Command::Mint(mint) => Ok(Reply::Issued(self.mint(loaded, &mint).await?)),
            // Behind pointers, so that a young instance compiles what it runs and no more.
            Command::Archive => Ok(Reply::Archive(loaded.archive.clone())),
            Command::Bundle => {
                let bundle: Boxed<'_, Vec<u8>> = Box::pin(self.bundle());
                Ok(Reply::Bundle(bundle.await?))
            }
            Command::People(command) => {
                self.sweep(now_millis() / 1000)?;
                let key = KeyFacts {
                    epoch: loaded.epoch,
                    seqno: loaded
                        .bundle
                        .borrow()
                        .as_ref()
                        .map_or(0, |bundle| bundle.seqno),
                    key_id: &loaded.key_id,
                };
                let (db, known) = (&self.db, &loaded.people);
                let revokes = command.revokes();
                let reply = match *command {
                    command::Command::SignIn(shown) => {
                        let session: Boxed<'_, _> = Box::pin(known.sign_in(db, &shown));
                        session.await?
                    }
                    command::Command::StepUp(shown) => {
                        let session: Boxed<'_, _> = Box::pin(known.step_up(db, &shown));
                        session.await?
                    }
                    other => known.answer(db, other, &key)?,
                };
                if revokes {
                    self.revise();
                }
                Ok(Reply::People(reply))
            }
            Command::Rotate(rotation) => {
                let changed: Boxed<'_, KeyChanged> = Box::pin(self.rotate(&rotation));
                Ok(Reply::Rotated(changed.await?))
            }
            Command::Revocations(form) => {
                let list: Boxed<'_, _> = Box::pin(self.revocations(form));
                Ok(Reply::Revocations(list.await?))
            }
            Command::Tokens(token_command::Command::Issue(issue)) => {
                let issued: Boxed<'_, token_command::Reply> = Box::pin(self.token(loaded, &issue));
                Ok(Reply::Tokens(issued.await?))
            }
            Command::Tokens(token_command::Command::Consent(consent)) => {
                let now = now_millis() / 1000;
                let people = &loaded.people;
                let reply = self.db.transact(|db| people.consent(db, &consent, now))?;
                Ok(Reply::Tokens(reply))
            }
            Command::Delegate(wish) => {
                let reply = admin::delegate(&loaded.people, &self.db, &wish, loaded.epoch)?;
                Ok(Reply::Admin(reply))
            }
            Command::Rows(known) => Ok(Reply::Rows(admin::rows(&self.db, known)?)),
            Command::Admin(command) => {
                let people = &loaded.people;
                let (reply, revokes) =
                    admin::answer(people, &self.db, &command, loaded.epoch, &self.env)?;
                if revokes {
                    self.revise();
                }
                Ok(Reply::Admin(reply))
            }
        }
    }

    /// Issues to whoever a proof is about. What they may do is read twice: it may change while the signatures are
    /// made.
    async fn mint(&self, loaded: Rc<Loaded>, mint: &Mint) -> Result<Vec<u8>, Error> {
        let people = Rc::clone(&loaded.people);
        if let Holder::First { code, origin, .. } = &mint.holder {
            people.await_first(&self.db)?;
            people.check_code(&self.db, code, origin, now_millis() / 1000)?;
        }
        let decide = |db: &Database| people.mint(db, mint, now_millis() / 1000);
        let mut guess = people.guess(mint, now_millis() / 1000);
        for _ in 0..MOST_TRIES {
            let (request, way_in) = match (guess.take(), &mint.holder) {
                (Some(guess), _) => (guess, WayIn::Known(None)),
                // Nothing is written, so there is nothing to undo.
                (None, Holder::Identified(_)) => decide(&self.db)?,
                (None, _) => self.db.transact(decide)?,
            };
            people.permit_newcomer(&mint.holder, &way_in, now_millis() / 1000)?;
            let share = People::share(&self.db, &request)?;
            let permit = || people.permit(Class::Enrolments, &share, now_millis() / 1000);
            permit()?;
            let (body, issued) = self.sign_in_epoch(Rc::clone(&loaded), &request).await?;
            self.sweep(now_millis() / 1000)?;
            let issued_by = self.db.transact(|db| {
                // Somebody may have made the principal meanwhile, or changed its grants: then it is another pair.
                let (decided, way_in) = decide(db)?;
                if decided != request {
                    return Ok(None);
                }
                permit()?;
                let now = now_millis() / 1000;
                people.permit_newcomer(&mint.holder, &way_in, now)?;
                let authenticator = people.admit_holder(db, &mint.holder, &way_in, now)?;
                burn_minted(db, mint, &request)?;
                record(db, &request, &issued, authenticator.as_deref())?;
                Ok(Some(way_in))
            })?;
            if let Some(way_in) = issued_by {
                let now = now_millis() / 1000;
                people.charge(Class::Enrolments, &share, now);
                people.charge_newcomer(&mint.holder, &way_in, now);
                return Ok(body);
            }
        }
        Err(internal("what a holder may do changed each time that it was looked at").into())
    }

    /// Makes a pair of the epoch that is in force afterwards: one of an epoch that ended meanwhile isn't
    /// worth a proof. Nothing is awaited between its last look and what the caller then writes.
    async fn sign_in_epoch(
        &self,
        mut loaded: Rc<Loaded>,
        request: &IssueRequest,
    ) -> Result<(Vec<u8>, Issued), Error> {
        loop {
            let signed = self.sign(&loaded, request).await?;
            let current = self.loaded.borrow().clone();
            match current {
                Some(current) if current.epoch != loaded.epoch => loaded = current,
                _ => return Ok(signed),
            }
        }
    }

    /// Makes the certificates, and the answer that holds them.
    async fn sign(
        &self,
        loaded: &Loaded,
        request: &IssueRequest,
    ) -> Result<(Vec<u8>, Issued), Error> {
        let now = now_millis();
        let authority = Authority {
            issuer: &loaded.issuer,
            epoch: loaded.epoch,
            key_id: &loaded.key_id,
        };
        let prepared = Prepared::new(authority, request, now, random()?)?;
        let signatures = match prepared.messages() {
            Messages::Pair(pair) => loaded.key.sign_both(pair).await?,
            Messages::Issuing(one) => [loaded.key.sign(one).await?; 2],
        };
        let issued = prepared.issued();
        Ok((prepared.into_answer(request, signatures)?, issued))
    }

    /// Deletes used proofs that have expired and credentials that expired long ago, once in a while. In
    /// a transaction of its own, or a stranger's replays would undo it each time.
    fn sweep(&self, now: u64) -> Result<(), Error> {
        let swept_at = self.swept_at.get();
        // A clock that was ahead is no reason to wait for it.
        if now >= swept_at.saturating_add(SWEEP_SECS) || now < swept_at {
            let is_done = self.db.transact(|db| {
                people::forget(db, now)?;
                delegations::forget(db, now)?;
                revocation::forget(db, now)?;
                forget(db, now)
            })?;
            // What is left is for the next second: it must keep up with what is issued.
            let wait = if is_done { SWEEP_SECS } else { 1 };
            self.swept_at.set((now + wait).saturating_sub(SWEEP_SECS));
        }
        Ok(())
    }

    /// The revocation bundle as JSON, made anew if it is due.
    async fn bundle(&self) -> Result<Vec<u8>, Error> {
        loop {
            let loaded = self.loaded().await?;
            let last = loaded.bundle.borrow().clone();
            let due = bundle::due(&loaded.archive, last.as_ref(), now_millis() / 1000)?;
            let mut next = match (due, last.as_ref()) {
                (Some(next), _) => next,
                (None, Some(last)) => return Ok(bundle::to_json(last)?),
                (None, None) => return Err(internal("no bundle is due, and there is none").into()),
            };
            let message = bundle::to_be_signed(&next)?;
            next.signature = loaded.key.sign(&message).await?.to_vec();
            // While this one was signed another request may have made one, whose number is taken, or
            // changed the key.
            let current = self.loaded.borrow().clone();
            let is_current = current.is_some_and(|current| Rc::ptr_eq(&current, &loaded));
            if !is_current || *loaded.bundle.borrow() != last {
                continue;
            }
            let body = next.to_canonical_capnp().map_err(internal)?;
            self.db.transact(|db| {
                let body = SqlStorageValue::Blob(body);
                db.execute("INSERT OR REPLACE INTO bundle VALUES (1, ?)", vec![body])?;
                Ok(())
            })?;
            loaded.bundle.replace(Some(next));
        }
    }

    /// The authority, loaded or made if this is the first request.
    async fn loaded(&self) -> Result<Rc<Loaded>, Error> {
        let known = self.loaded.borrow().clone();
        if let Some(loaded) = known {
            return Ok(loaded);
        }
        let _guard = self.loading.lock().await;
        let known = self.loaded.borrow().clone();
        if let Some(loaded) = known {
            return Ok(loaded);
        }
        let loading: Boxed<'_, Loaded> = Box::pin(self.load());
        let loaded = Rc::new(loading.await?);
        self.loaded.replace(Some(Rc::clone(&loaded)));
        Ok(loaded)
    }

    async fn load(&self) -> Result<Loaded, Error> {
        let config = config(&self.env)?;
        self.db.migrate(&MIGRATIONS)?;
        let (seed, archive, people) = self.db.transact(|db| {
            let seed = ca_key::open(db, &config)?;
            let people = People::open(db, &config)?;
            Ok((seed, archive(db)?, people))
        })?;
        let lost = || Fault::Internal("there is no current key".into());
        let current = archive.current().ok_or_else(lost)?;
        let public_key = Ed25519PublicKey::from_bytes(current.public_key).map_err(internal)?;
        let bundle = self
            .db
            .rows("SELECT body FROM bundle", vec![])?
            .into_iter()
            .next();
        let stored = |mut row: Row| CABundle::from_canonical_capnp(&row.blob()?).map_err(internal);
        let bundle = bundle.map(stored);
        Ok(Loaded {
            issuer: Issuer::new(&config.authority_url.host(), &public_key),
            url: config.authority_url.to_string(),
            epoch: current.epoch,
            key_id: public_key.key_id().to_string(),
            key: SigningKey::import(&seed).await?,
            bundle: RefCell::new(bundle.transpose()?),
            people: Rc::new(people),
            archive,
        })
    }
}

/// Burns what makes the proof of a pair for a principal single.
fn burn_minted(db: &Database, mint: &Mint, request: &IssueRequest) -> Result<(), Error> {
    // The proof's own first: what is told of a proof that was used is that.
    let burns = request
        .evidence
        .burns
        .split_at_checked(mint.holder.burns().len());
    match (&mint.holder, burns.unwrap_or_default()) {
        (Holder::Identified(_), ([], [])) => Err(internal("nothing makes the proof single").into()),
        // A session is no single-use value, and a code is used up.
        (_, (of_proof, challenge)) => {
            burn_all(db, of_proof)?;
            burn_all(db, challenge).map_err(|error| match error {
                Error::ProofUsed => Error::BadChallenge,
                error => error,
            })
        }
    }
}

/// Burns what makes a proof single.
fn burn(db: &Database, burns: &[Burn]) -> Result<(), Error> {
    if burns.is_empty() {
        return Err(Fault::Internal("a proof without a single-use value".into()).into());
    }
    burn_all(db, burns)
}

fn burn_all(db: &Database, burns: &[Burn]) -> Result<(), Error> {
    for burn in burns {
        // A proof that expired before what was forgotten may have been used, and its row be gone:
        // clocks go back. The condition is part of the insert, so it costs no statement of its own.
        let statement = "INSERT INTO burned SELECT ?1, ?2 FROM authority WHERE forgotten_before <= ?2 \
                         ON CONFLICT DO NOTHING";
        let expires_at = integer(burn.expires_at)?;
        let arguments = vec![SqlStorageValue::Blob(burn.digest.to_vec()), expires_at];
        if db.execute(statement, arguments)? == 0 {
            return Err(refused(db, burn)?);
        }
    }
    Ok(())
}

/// Why a proof can't be burned: it was used, or nobody can tell.
#[cold]
fn refused(db: &Database, burn: &Burn) -> Result<Error, Error> {
    let query = "SELECT forgotten_before FROM authority WHERE forgotten_before > ?";
    let row = db
        .rows(query, vec![integer(burn.expires_at)?])?
        .into_iter()
        .next();
    let Some(mut row) = row else {
        return Ok(Error::ProofUsed);
    };
    let until = row.integer()?;
    let reason = format!(
        "the clock was ahead once: what was used before Unix time {until} is forgotten, so no proof is taken \
         that expires before then; docs/storage.md says what to do"
    );
    Ok(Fault::Clock(reason).into())
}

/// Records what is issued, in the transaction that issues it.
fn record(
    db: &Database,
    request: &IssueRequest,
    issued: &Issued,
    way_in: Option<&str>,
) -> Result<(), Error> {
    let evidence = &request.evidence;
    let [serial, signing_serial] = &issued.serials;
    let scopes = Value::from(evidence.scopes.clone()).to_string();
    // Each value crosses to the platform once.
    db.run(
        "INSERT INTO credentials SELECT MAX(?1 * 1048576, IFNULL((SELECT MAX(id) FROM credentials), 0) + 1), \
         ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?1, ?10, NULL, NULL, ?11, ?12, ?13, ?14, ?15",
        &[
            Number(issued.issued_at),
            Bytes(serial),
            Bytes(signing_serial),
            Text(&evidence.subject),
            Text(&evidence.identity),
            Text(request.principal.as_str()),
            Text(&evidence.auth_method),
            Text(&scopes),
            Number(issued.epoch),
            Number(issued.expires_at),
            evidence
                .behalf
                .as_ref()
                .map_or(Null, |behalf| Text(behalf.delegation.as_str())),
            request.evidence_until.map_or(Null, Number),
            request.fresh_until.map_or(Null, Number),
            request.renews.map_or(Null, Number),
            way_in.map_or(Null, Text),
        ],
    )
}

/// The least id of credentials that were issued at `time`, in Unix seconds, or later.
fn first_id_at(time: u64) -> u64 {
    time.saturating_mul(IDS_PER_SEC)
}

/// Deletes used proofs that have expired, and some of the credentials that expired long ago; whether
/// those were all.
fn forget(db: &Database, now: u64) -> Result<bool, Error> {
    // Some at once, like the rest. Those that stay do no harm.
    let statement = format!(
        "DELETE FROM burned WHERE digest IN (SELECT digest FROM burned WHERE expires_at < ? LIMIT {USED_AT_ONCE})"
    );
    db.execute(&statement, vec![integer(now)?])?;
    let statement = "UPDATE authority SET forgotten_before = MAX(forgotten_before, ?)";
    db.execute(statement, vec![integer(now)?])?;
    let oldest = now.saturating_sub(REMEMBERED_SECS + MAX_LEAF_SECS);
    let limit = FORGOTTEN_AT_ONCE;
    let statement = format!(
        "DELETE FROM credentials WHERE id IN (SELECT id FROM credentials WHERE id < ? ORDER BY id LIMIT {limit})"
    );
    // Rows of indexes count, so it may say that more are left when none are.
    let deleted = db.execute(&statement, vec![integer(first_id_at(oldest))?])?;
    Ok(deleted < limit)
}

fn archive(db: &Database) -> Result<Archive, Error> {
    let query = "SELECT epoch, public_key, created_at, retired_at, endorsement, root \
                 FROM signing_keys ORDER BY epoch, position";
    let mut keys = Vec::new();
    for mut row in db.rows(query, vec![])? {
        keys.push(EpochKey {
            epoch: row.integer()?,
            public_key: row.blob()?.try_into().map_err(internal)?,
            created_at: row.integer()?,
            retired_at: row.optional_integer()?,
            endorsement: row.optional_blob()?,
            root: row.blob()?,
        });
    }
    Ok(Archive { keys })
}

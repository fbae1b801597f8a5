//! The object that owns the CA key.
//!
//! There is one, named `default`: it alone sees all proofs that are used and all keys there were,
//! in order, so one transaction in it is what "once" means. Its key is imported into WebCrypto as
//! non-extractable when it is loaded; afterwards the seed is nowhere in wasm's memory.
//!
//! An enrolment signs before it burns: if signing fails, nothing is burned, and if the proof was
//! used in the meantime, what was signed is thrown away. The burn commits before the answer leaves.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ed25519_dalek::{Signer, SigningKey};
use futures_util::lock::Mutex;
use js_sys::{Array, Promise, Uint8Array};
use notme_authority::bundle;
use notme_authority::config::{Config, KeyStorage, LogLevel};
use notme_authority::issue::{Authority, IssueRequest, Prepared};
use notme_authority::protocol::{self, Command, Reply};
use notme_authority::sealing::OpenError;
use notme_authority::state::{Archive, EpochKey};
use notme_authority::{Burn, Error, Fault};
use notme_keys::Ed25519PublicKey;
use notme_wire::Message;
use notme_wire::identity::CABundle;
use notme_x509::{Issuer, RootProfile, SerialNumber};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::{DurableObject, Env, Request, Response, SqlStorageValue, State, durable_object};
use zeroize::{Zeroize, Zeroizing};

use crate::host::{config, log, now_millis, random};
use crate::sql::{Database, Row, integer, internal};

const MIGRATIONS: [&str; 1] = [include_str!(
    "../migrations/signing_authority/0001_initial.sql"
)];
/// What the CA key is sealed for.
const PURPOSE: &str = "ca";
/// What an operator has to know who seals a key that was stored in clear.
const CLEAR_COPIES: &str = "the database file, its backups and the platform's recovery points may hold the key in clear: start a new state if they are in anybody's reach";
/// How often used proofs that have expired are deleted, in seconds.
const SWEEP_SECS: u64 = 60;
/// DER of a PKCS #8 Ed25519 private key up to the seed (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = importKey, catch)]
    fn import_key(
        format: &str,
        key: &Uint8Array,
        algorithm: &str,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], catch)]
    fn sign(algorithm: &str, key: &JsValue, message: &[u8]) -> Result<Promise, JsValue>;
}

/// The authority in memory.
struct Loaded {
    archive: Archive,
    issuer: Issuer,
    epoch: u64,
    key_id: String,
    /// A non-extractable WebCrypto key.
    key: JsValue,
    bundle: RefCell<Option<CABundle>>,
}

/// The object; see the module's documentation.
#[durable_object]
pub struct SigningAuthority {
    env: Env,
    db: Database,
    loaded: RefCell<Option<Rc<Loaded>>>,
    /// Held while the key is loaded, so that two first requests make one key.
    loading: Mutex<()>,
    /// When used proofs were last deleted, in Unix seconds.
    swept_at: Cell<u64>,
}

impl DurableObject for SigningAuthority {
    fn new(state: State, env: Env) -> Self {
        Self {
            db: Database::new(&state),
            env,
            loaded: RefCell::default(),
            loading: Mutex::default(),
            swept_at: Cell::new(0),
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
        let command: Command = protocol::decode(command)?;
        let loaded = self.loaded().await?;
        match command {
            Command::Issue(request) => Ok(Reply::Issued(self.issue(&loaded, &request).await?)),
            Command::Archive => Ok(Reply::Archive(loaded.archive.clone())),
            Command::Bundle => Ok(Reply::Bundle(self.bundle(&loaded).await?)),
        }
    }

    async fn issue(&self, loaded: &Loaded, request: &IssueRequest) -> Result<Vec<u8>, Error> {
        let now = now_millis();
        let authority = Authority {
            issuer: &loaded.issuer,
            epoch: loaded.epoch,
            key_id: &loaded.key_id,
        };
        let prepared = Prepared::new(authority, request, now, random()?)?;
        let [mtls, signing] = prepared.messages();
        let signatures = [loaded.sign(mtls)?, loaded.sign(signing)?];
        let [mtls, signing] = signatures;
        let signatures = [signature(mtls).await?, signature(signing).await?];
        let body = prepared.into_answer(request, signatures)?;
        self.sweep(now / 1000)?;
        self.db.transact(|db| burn(db, &request.evidence.burns))?;
        Ok(body)
    }

    /// Deletes used proofs that have expired, once in a while. In a transaction of its own, or a
    /// stranger's replays would undo it each time.
    fn sweep(&self, now: u64) -> Result<(), Error> {
        if now >= self.swept_at.get().saturating_add(SWEEP_SECS) {
            self.db.transact(|db| forget(db, now))?;
            self.swept_at.set(now);
        }
        Ok(())
    }

    /// The revocation bundle as JSON, made anew if it is due.
    async fn bundle(&self, loaded: &Loaded) -> Result<Vec<u8>, Error> {
        loop {
            let last = loaded.bundle.borrow().clone();
            let due = bundle::due(&loaded.archive, last.as_ref(), now_millis() / 1000)?;
            let mut next = match (due, last.as_ref()) {
                (Some(next), _) => next,
                (None, Some(last)) => return Ok(bundle::to_json(last)?),
                (None, None) => return Err(internal("no bundle is due, and there is none").into()),
            };
            let message = bundle::to_be_signed(&next)?;
            next.signature = signature(loaded.sign(&message)?).await?.to_vec();
            // Another request may have made one while this one signed: its number is taken.
            if *loaded.bundle.borrow() != last {
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
        let loaded = Rc::new(self.load().await?);
        self.loaded.replace(Some(Rc::clone(&loaded)));
        Ok(loaded)
    }

    async fn load(&self) -> Result<Loaded, Error> {
        let config = config(&self.env)?;
        self.db.migrate(&MIGRATIONS)?;
        let (seed, archive) = self.db.transact(|db| {
            let is_new = claim(db, &config)?;
            let seed = if is_new {
                create(db, &config)?
            } else {
                unlock(db, &config)?
            };
            Ok((seed, archive(db)?))
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
            epoch: current.epoch,
            key_id: public_key.key_id().to_string(),
            key: import(&seed).await?,
            bundle: RefCell::new(bundle.transpose()?),
            archive,
        })
    }
}

impl Loaded {
    /// Begins to sign `message`, which WebCrypto is done reading when this returns.
    fn sign(&self, message: &[u8]) -> Result<Promise, Fault> {
        sign("Ed25519", &self.key, message).map_err(internal)
    }
}

async fn signature(promise: Promise) -> Result<[u8; 64], Fault> {
    let bytes = JsFuture::from(promise).await.map_err(internal)?;
    Uint8Array::new(&bytes)
        .to_vec()
        .try_into()
        .map_err(internal)
}

/// Imports a seed as a key that can sign and not be read.
async fn import(seed: &[u8; 32]) -> Result<JsValue, Fault> {
    let pkcs8 = Zeroizing::new([&PKCS8_PREFIX[..], seed].concat());
    let copy = Uint8Array::from(&pkcs8[..]);
    let promise = import_key(
        "pkcs8",
        &copy,
        "Ed25519",
        false,
        &Array::of1(&"sign".into()),
    );
    let key = JsFuture::from(promise.map_err(internal)?).await;
    copy.fill(0, 0, copy.length());
    key.map_err(internal)
}

/// Burns what makes a proof single.
fn burn(db: &Database, burns: &[Burn]) -> Result<(), Error> {
    if burns.is_empty() {
        return Err(Fault::Internal("a proof without a single-use value".into()).into());
    }
    for burn in burns {
        // A proof that expired before what was forgotten may have been used, and its row be gone:
        // clocks go back. The condition is part of the insert, so it costs no statement of its own.
        let statement = "INSERT INTO burned SELECT ?1, ?2 FROM authority WHERE forgotten_before <= ?2 \
                         ON CONFLICT DO NOTHING";
        let expires_at = integer(burn.expires_at)?;
        let arguments = vec![SqlStorageValue::Blob(burn.digest.to_vec()), expires_at];
        if db.execute(statement, arguments)? == 0 {
            return Err(Error::ProofUsed);
        }
    }
    Ok(())
}

/// Deletes used proofs that have expired.
fn forget(db: &Database, now: u64) -> Result<(), Error> {
    db.execute(
        "DELETE FROM burned WHERE expires_at < ?",
        vec![integer(now)?],
    )?;
    let statement = "UPDATE authority SET forgotten_before = MAX(forgotten_before, ?)";
    db.execute(statement, vec![integer(now)?])?;
    Ok(())
}

/// Makes sure that the state is this authority's: its URL and trust domain stand in what it signed.
/// Tells whether the state is new.
fn claim(db: &Database, config: &Config) -> Result<bool, Error> {
    let names = [config.authority_url.to_string(), config.trust_domain()];
    let stored = db
        .rows("SELECT url, trust_domain FROM authority", vec![])?
        .into_iter()
        .next();
    let Some(mut stored) = stored else {
        let [url, trust_domain] = names;
        let arguments = vec![
            url.into(),
            trust_domain.into(),
            integer(now_millis() / 1000)?,
        ];
        db.execute("INSERT INTO authority VALUES (1, ?, ?, ?, 0)", arguments)?;
        return Ok(true);
    };
    let stored = [stored.text()?, stored.text()?];
    if stored == names {
        return Ok(false);
    }
    let ([stored_url, stored_domain], [url, trust_domain]) = (stored, names);
    if !config.allow_url_change {
        let reason = format!(
            "SIGNET_AUTHORITY_URL is {url} with the trust domain {trust_domain} (SITE_URL), and this state belongs to {stored_url} with {stored_domain}: set them back, or set NOTME_ALLOW_URL_CHANGE=on to take the state over (verifiers must then fetch the new root)"
        );
        return Err(Fault::Configuration(reason).into());
    }
    log(
        LogLevel::Warn,
        "url_changed",
        [("from", stored_url.into()), ("to", url.as_str().into())],
    );
    let arguments = vec![url.into(), trust_domain.into()];
    db.execute("UPDATE authority SET url = ?, trust_domain = ?", arguments)?;
    // The name in the root is the URL's host: the root is made anew when the key is next in hand.
    db.execute(
        "UPDATE signing_keys SET root = x'' WHERE retired_at IS NULL",
        vec![],
    )?;
    Ok(false)
}

/// The seed of the current key, or of a new one if it was in memory only.
fn unlock(db: &Database, config: &Config) -> Result<Zeroizing<[u8; 32]>, Error> {
    let refuse = |reason: &str| Err(Fault::KeyStorage(reason.to_owned()).into());
    let query = "SELECT epoch, key_id, storage, private_key, public_key, root \
                 FROM signing_keys WHERE retired_at IS NULL";
    let Some(mut row) = db.rows(query, vec![])?.into_iter().next() else {
        return refuse("the CA key's row is gone: restore the state from a backup");
    };
    let (epoch, key_id, storage) = (row.integer()?, row.text()?, row.text()?);
    let private_key = row.optional_blob()?.map(Zeroizing::new);
    let (stored_public_key, root) = (row.blob()?, row.blob()?);
    let seed = match (storage.as_str(), &config.key_storage, private_key) {
        ("memory", _, _) => {
            // The only copy was in the memory of an instance that is gone.
            log(
                LogLevel::Warn,
                "key_lost",
                [("key_id", key_id.into()), ("epoch", epoch.into())],
            );
            return create(db, config);
        }
        (_, KeyStorage::Ephemeral, _) => {
            return refuse(
                "NOTME_KEY_STORAGE=ephemeral promises that no key is stored, and this state holds one: set the mode that it was made with, or start with an empty state",
            );
        }
        ("clear", KeyStorage::CfManaged, Some(seed)) => seed_from(&seed)?,
        ("clear", KeyStorage::Encrypted { .. }, Some(seed)) => {
            let seed = seed_from(&seed)?;
            store(db, config, epoch, &key_id, &seed)?;
            log(
                LogLevel::Warn,
                "key_sealed",
                [
                    ("key_id", key_id.clone().into()),
                    ("warning", CLEAR_COPIES.into()),
                ],
            );
            seed
        }
        ("sealed", KeyStorage::CfManaged, Some(_)) => {
            return refuse(
                "the CA key is sealed: set NOTME_KEK_SECRET to the secret that it was sealed with",
            );
        }
        ("sealed", KeyStorage::Encrypted { current, previous }, Some(blob)) => {
            match (current.open(PURPOSE, &key_id, &blob), previous) {
                (Ok(seed), _) => seed,
                (Err(OpenError::OtherSecret), Some(previous)) => {
                    let Ok(seed) = previous.open(PURPOSE, &key_id, &blob) else {
                        return refuse(
                            "the CA key was sealed with neither NOTME_KEK_SECRET nor NOTME_KEK_SECRET_PREVIOUS",
                        );
                    };
                    store(db, config, epoch, &key_id, &seed)?;
                    log(
                        LogLevel::Warn,
                        "key_resealed",
                        [("key_id", key_id.clone().into())],
                    );
                    seed
                }
                (Err(OpenError::OtherSecret), None) => {
                    return refuse(
                        "the CA key was sealed with another secret: set NOTME_KEK_SECRET to that one (or put it into NOTME_KEK_SECRET_PREVIOUS to change it)",
                    );
                }
                (Err(OpenError::Corrupt), _) => {
                    return refuse("the sealed CA key is damaged: restore the state from a backup");
                }
            }
        }
        _ => return refuse("the CA key's row is damaged: restore the state from a backup"),
    };
    let public_key = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    let public_key = Ed25519PublicKey::from_bytes(public_key).map_err(internal)?;
    if public_key.key_id().to_string() != key_id || public_key.as_bytes()[..] != stored_public_key {
        return refuse(
            "the CA key doesn't belong to its public key: restore the state from a backup",
        );
    }
    if root.is_empty() {
        let (_, root) = certify(config, &seed)?;
        let statement = "UPDATE signing_keys SET root = ? WHERE retired_at IS NULL";
        db.execute(statement, vec![SqlStorageValue::Blob(root)])?;
    } else if !root
        .windows(Ed25519PublicKey::SPKI_LEN)
        .any(|part| part == public_key.to_spki())
    {
        return refuse("the root certificate isn't the CA key's: restore the state from a backup");
    }
    Ok(seed)
}

/// Makes a key, and its root, for a new epoch.
fn create(db: &Database, config: &Config) -> Result<Zeroizing<[u8; 32]>, Error> {
    let epoch = db.rows("SELECT IFNULL(MAX(epoch), 0) FROM signing_keys", vec![])?;
    let last = epoch
        .into_iter()
        .next()
        .map_or(Ok(0), |mut row| row.integer())?;
    let epoch = last + 1;
    let seed = Zeroizing::new(random::<32>()?);
    let (public_key, root) = certify(config, &seed)?;
    let key_id = public_key.key_id().to_string();
    let now = integer(now_millis() / 1000)?;
    // Retiring comes with forgetting: an old key signs nothing any more.
    db.execute(
        "UPDATE signing_keys SET retired_at = ?, private_key = NULL WHERE retired_at IS NULL",
        vec![now.clone()],
    )?;
    db.execute(
        "INSERT INTO signing_keys VALUES (?, ?, ?, 'memory', NULL, ?, ?, NULL)",
        vec![
            integer(epoch)?,
            key_id.as_str().into(),
            SqlStorageValue::Blob(public_key.as_bytes().to_vec()),
            SqlStorageValue::Blob(root),
            now,
        ],
    )?;
    store(db, config, epoch, &key_id, &seed)?;
    log(
        LogLevel::Info,
        "key_created",
        [("key_id", key_id.into()), ("epoch", epoch.into())],
    );
    Ok(seed)
}

/// Writes the private key of the current row in the form that the configuration asks for.
fn store(
    db: &Database,
    config: &Config,
    epoch: u64,
    key_id: &str,
    seed: &Zeroizing<[u8; 32]>,
) -> Result<(), Error> {
    let (storage, private_key) = match &config.key_storage {
        KeyStorage::Ephemeral => ("memory", SqlStorageValue::Null),
        KeyStorage::CfManaged => ("clear", SqlStorageValue::Blob(seed.to_vec())),
        KeyStorage::Encrypted { current, .. } => {
            let blob = current.seal(PURPOSE, key_id, seed, random()?);
            // A key that can't be opened again would be lost at the next start.
            if current.open(PURPOSE, key_id, &blob).as_ref() != Ok(seed) {
                return Err(Fault::KeyStorage("sealing the CA key failed".into()).into());
            }
            ("sealed", SqlStorageValue::Blob(blob))
        }
    };
    db.execute(
        "UPDATE signing_keys SET storage = ?, private_key = ? WHERE epoch = ? AND key_id = ?",
        vec![storage.into(), private_key, integer(epoch)?, key_id.into()],
    )?;
    Ok(())
}

/// The public key of `seed` and its DER root certificate.
fn certify(config: &Config, seed: &[u8; 32]) -> Result<(Ed25519PublicKey, Vec<u8>), Error> {
    let signer = SigningKey::from_bytes(seed);
    let key = Ed25519PublicKey::from_bytes(signer.verifying_key().to_bytes()).map_err(internal)?;
    let profile = RootProfile {
        issuer: &Issuer::new(&config.authority_url.host(), &key),
        key: &key,
        serial: SerialNumber::from_random(random()?),
        created_at: now_millis() / 1000,
    };
    let root = profile.to_be_signed();
    let signature = signer.sign(root.as_bytes()).to_bytes();
    Ok((key, root.into_certificate(&signature)))
}

fn seed_from(bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>, Fault> {
    let mut seed: [u8; 32] = bytes.try_into().map_err(internal)?;
    let kept = Zeroizing::new(seed);
    seed.zeroize();
    Ok(kept)
}

fn archive(db: &Database) -> Result<Archive, Error> {
    let query = "SELECT epoch, public_key, retired_at, root FROM signing_keys \
                 ORDER BY epoch, retired_at IS NULL, retired_at";
    let mut keys = Vec::new();
    for mut row in db.rows(query, vec![])? {
        keys.push(EpochKey {
            epoch: row.integer()?,
            public_key: row.blob()?.try_into().map_err(internal)?,
            retired_at: row.optional_integer()?,
            root: row.blob()?,
        });
    }
    Ok(Archive { keys })
}

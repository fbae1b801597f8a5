//! The CA key at rest (notme protocol §15): made once, sealed, opened, and never made anew where one
//! should be.

use ed25519_dalek::{Signer, SigningKey};
use notme_authority::config::{Config, KeyStorage, LogLevel};
use notme_authority::rotation::Place;
use notme_authority::sealing::OpenError;
use notme_authority::{Error, Fault};
use notme_keys::Ed25519PublicKey;
use notme_x509::{Issuer, RootProfile, SerialNumber};
use worker::SqlStorageValue;
use zeroize::{Zeroize, Zeroizing};

use crate::clock::now_millis;
use crate::host::{log, random};
use crate::sql::{Argument, Database, integer, internal};

/// What the CA key is sealed for.
const PURPOSE: &str = "ca";
/// What an operator has to know who seals a key that was stored in clear.
const CLEAR_COPIES: &str = "the database file, its backups and the platform's recovery points may hold the key in clear: start a new state if they are in anybody's reach";

/// The seed of the CA key: made if the state is new or the key was in memory only, opened otherwise.
pub(super) fn open(db: &Database, config: &Config) -> Result<Zeroizing<[u8; 32]>, Error> {
    if claim(db, config)? {
        create(db, config)
    } else {
        unlock(db, config)
    }
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
                "the CA key is sealed: leave NOTME_KEY_STORAGE out, and set NOTME_KEK_SECRET to the secret that it was sealed with",
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
    let place = Place {
        epoch: last + 1,
        position: 0,
    };
    let successor = Successor::make(config)?;
    let now = now_millis() / 1000;
    retire(db, now, None)?;
    successor.install(db, config, place, now, None)?;
    log(
        LogLevel::Info,
        "key_created",
        [
            ("key_id", successor.public_key.key_id().to_string().into()),
            ("epoch", place.epoch.into()),
        ],
    );
    Ok(successor.seed)
}

/// Takes the current key out of use, if there is one, and gives its id. Retiring comes with forgetting:
/// an old key signs nothing any more, and so leaves a CRL.
pub(super) fn retire(
    db: &Database,
    now: u64,
    last_crl: Option<&[u8]>,
) -> Result<Option<String>, Error> {
    let statement = "UPDATE signing_keys SET retired_at = ?, private_key = NULL, last_crl = ? \
                     WHERE retired_at IS NULL RETURNING key_id";
    let last_crl = last_crl.map_or(Argument::Null, Argument::Bytes);
    let retired = db.ask(statement, &[Argument::Number(now), last_crl])?;
    let id = retired.into_iter().next().map(|mut row| row.text());
    Ok(id.transpose()?)
}

/// A key that is to be the CA's.
pub(super) struct Successor {
    pub(super) seed: Zeroizing<[u8; 32]>,
    pub(super) public_key: Ed25519PublicKey,
    root: Vec<u8>,
}

impl Successor {
    /// Makes a key, and its root.
    pub(super) fn make(config: &Config) -> Result<Self, Error> {
        let seed = Zeroizing::new(random::<32>()?);
        let (public_key, root) = certify(config, &seed)?;
        Ok(Self {
            seed,
            public_key,
            root,
        })
    }

    /// Writes it down as the key that signs, in the transaction that retires the one before.
    pub(super) fn install(
        &self,
        db: &Database,
        config: &Config,
        place: Place,
        now: u64,
        endorsement: Option<&[u8]>,
    ) -> Result<(), Error> {
        let key_id = self.public_key.key_id().to_string();
        db.execute(
            "INSERT INTO signing_keys (epoch, position, key_id, public_key, storage, root, created_at, endorsement) \
             VALUES (?, ?, ?, ?, 'memory', ?, ?, ?)",
            vec![
                integer(place.epoch)?,
                integer(place.position)?,
                key_id.as_str().into(),
                SqlStorageValue::Blob(self.public_key.as_bytes().to_vec()),
                SqlStorageValue::Blob(self.root.clone()),
                integer(now)?,
                endorsement.map_or(SqlStorageValue::Null, |bytes| SqlStorageValue::Blob(bytes.to_vec())),
            ],
        )?;
        store(db, config, place.epoch, &key_id, &self.seed)
    }
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
        // The copy that goes to the database isn't wiped: who chose this mode has the seed there anyway.
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

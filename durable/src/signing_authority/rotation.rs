//! Changing the CA's key while it is in use.
//!
//! All that may fail is done before the transaction that changes the key; what is in memory follows in
//! the same turn, so whoever comes next finds both new. Requests that are on their way finish with the
//! key that they began with, which is trusted for as long as what it signs; only if its epoch is over
//! they begin again.

use std::rc::Rc;

use notme_authority::http::Session;
use notme_authority::rotation::{Act, KeyChanged, Rotation};
use notme_authority::{Error, Fault};
use notme_keys::{Ed25519PublicKey, endorsement};
use notme_x509::Issuer;

use super::ca_key::{Successor, retire};
use super::people::trail;
use super::{Loaded, SigningAuthority, archive};
use crate::clock::now_millis;
use crate::host::config;
use crate::sql::{Database, internal};
use crate::webcrypto::SigningKey;

impl SigningAuthority {
    pub(super) async fn rotate(&self, rotation: &Rotation) -> Result<KeyChanged, Error> {
        let _guard = self.loading.lock().await;
        let old = self.loaded.borrow().clone();
        let old = old.ok_or_else(|| Fault::Internal("the key is not loaded".into()))?;
        let authorize = |db: &Database| {
            let now = now_millis() / 1000;
            let (people, session) = (&old.people, rotation.session);
            people.authorize(db, session, Session::ManageFresh, now)
        };
        // Strangers are sent away before anything is made for them.
        self.db.transact(authorize)?;

        let config = config(&self.env)?;
        let now = now_millis() / 1000;
        let place = rotation.act.place(&old.archive, now)?;
        let successor = Successor::make(&config)?;
        let key = SigningKey::import(&successor.seed).await?;
        let endorsed = match rotation.act {
            Act::BumpEpoch => None,
            Act::RollOver => {
                let by = old.archive.current().map(|key| key.public_key);
                let by = by.ok_or_else(|| internal("there is no current key"))?;
                let by = Ed25519PublicKey::from_bytes(by).map_err(internal)?;
                let message = endorsement(&by, &successor.public_key, place.epoch, now);
                Some(old.key.sign(&message).await?.to_vec())
            }
        };
        let changed = KeyChanged {
            epoch: place.epoch,
            key_id: successor.public_key.key_id().to_string(),
            previous_key_id: old.key_id.clone(),
        };
        let archive = loop {
            let revision = self.revision.get();
            let last_crl = match rotation.act {
                Act::BumpEpoch => None,
                Act::RollOver => Some(self.last_crl(&old, now).await?),
            };
            // What was revoked while its last CRL was signed has to be in it.
            let rotated = self.db.transact(|db| {
                let session = authorize(db)?;
                if self.revision.get() != revision {
                    return Ok(None);
                }
                if retire(db, now, last_crl.as_deref())?.as_ref() != Some(&old.key_id) {
                    return Err(
                        internal("another key than the one in memory is the current one").into(),
                    );
                }
                successor.install(db, &config, place, now, endorsed.as_deref())?;
                trail(
                    db,
                    now,
                    Some(session.principal.as_str()),
                    rotation.act.action(),
                    Some(&changed.key_id),
                    &rotation.origin,
                    &rotation.details(&changed, old.epoch),
                )?;
                archive(db).map(Some)
            })?;
            if let Some(archive) = rotated {
                break archive;
            }
        };
        // Nothing is awaited from here on, and nothing can fail.
        self.loaded.replace(Some(Rc::new(Loaded {
            issuer: Issuer::new(&config.authority_url.host(), &successor.public_key),
            url: config.authority_url.to_string(),
            epoch: place.epoch,
            key_id: changed.key_id.clone(),
            key,
            bundle: old.bundle.clone(),
            people: Rc::clone(&old.people),
            archive,
        })));
        Ok(changed)
    }
}

//! The object that keeps one issuer's keys, named after the issuer, and after where they are if a row says so.
//!
//! Workers come and go and can't wait for each other's fetches; an object is one, so however many
//! requests name a key that nobody has seen, the issuer is asked once, and not again for a while.
//! It holds nothing that couldn't be fetched again, so it stores nothing.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::lock::Mutex;
use js_sys::Uint8Array;
use notme_authority::config::LogLevel;
use notme_authority::issuer_keys::{
    Discovered, Endpoints, FETCH_TIMEOUT_MILLIS, KeyCache, KeySetAnswer, MAX_DOCUMENT_BYTES, Plan,
    discovery_url,
};
use notme_authority::protocol::{self, KeysReply, KeysWanted, Sent};
use notme_authority::{Error, Fault};
use notme_jose::JwkSet;
use wasm_bindgen::prelude::*;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::clock::{self, now_millis};
use crate::host::log;

#[wasm_bindgen(module = "/src/streams.mjs")]
extern "C" {
    #[wasm_bindgen(js_name = fetchDocument, catch)]
    async fn fetch_document(
        url: &str,
        timeout_millis: u32,
        max_bytes: u32,
    ) -> Result<JsValue, JsValue>;
}

/// The object; see the module's documentation.
#[durable_object(fetch)]
pub struct IssuerKeys {
    state: State,
    keys: Rc<Keys>,
}

#[derive(Default)]
struct Keys {
    cache: RefCell<KeyCache>,
    answer: RefCell<Option<KeySetAnswer>>,
    /// Held while the issuer is asked: who comes meanwhile waits for that answer.
    fetching: Mutex<()>,
}

impl DurableObject for IssuerKeys {
    fn new(state: State, _env: Env) -> Self {
        Self {
            state,
            keys: Rc::default(),
        }
    }

    async fn fetch(&self, _request: Request) -> worker::Result<Response> {
        Response::error("this object is called, not fetched", 404)
    }
}

#[wasm_bindgen]
impl IssuerKeys {
    /// Answers one [`KeysWanted`] with one [`KeysReply`], both in the form of [`protocol`].
    ///
    /// # Errors
    /// Only if the answer can't be encoded; a refusal is an answer.
    pub async fn call(&self, wanted: Uint8Array) -> Result<Uint8Array, JsValue> {
        let reply = match self.answer(&wanted.to_vec()).await {
            Ok(answer) => KeysReply::Keys(answer),
            Err(error) => KeysReply::Refused(error.into()),
        };
        let bytes = protocol::encode(&reply).map_err(|fault| format!("{fault:?}"))?;
        Ok(Uint8Array::from(&bytes[..]))
    }
}

impl IssuerKeys {
    async fn answer(&self, wanted: &[u8]) -> Result<KeySetAnswer, Error> {
        let sent: Sent<KeysWanted> = protocol::decode(wanted)?;
        clock::heard(sent.at);
        let KeysWanted { issuer, kid, at } = sent.message;
        let refresh = {
            let (keys, issuer, kid) = (Rc::clone(&self.keys), issuer.clone(), kid.clone());
            async move { keys.refresh(&issuer, at.as_deref(), kid.as_deref()).await }
        };
        match self.keys.plan(kid.as_deref()) {
            Plan::Use | Plan::Unavailable => {}
            Plan::Refresh => self.state.wait_until(refresh),
            Plan::Fetch => refresh.await,
        }
        let is_of_use = self.keys.cache.borrow().can_serve(None, now_millis());
        let answer = self.keys.answer.borrow().clone();
        answer.filter(|_| is_of_use).ok_or_else(|| {
            Fault::IssuerUnavailable(format!("{issuer} could not be reached")).into()
        })
    }
}

impl Keys {
    fn plan(&self, kid: Option<&str>) -> Plan {
        self.cache.borrow().plan(kid, now_millis())
    }

    /// Asks the issuer, unless somebody did so meanwhile. If that fails, what is at hand stays, and
    /// its age decides.
    async fn refresh(&self, issuer: &str, at: Option<&str>, kid: Option<&str>) {
        let _guard = self.fetching.lock().await;
        if !matches!(self.plan(kid), Plan::Refresh | Plan::Fetch) {
            return;
        }
        let asked_at = now_millis();
        let fetched = fetch_keys(issuer, at).await;
        self.cache.borrow_mut().attempt(asked_at);
        match fetched {
            Ok((json, set, endpoints)) => {
                let fetched_at = now_millis();
                let mut cache = self.cache.borrow_mut();
                cache.store(set, endpoints.clone(), fetched_at);
                self.answer.replace(Some(KeySetAnswer {
                    json,
                    endpoints,
                    fetched_at,
                }));
            }
            Err(fault) => {
                let reason = fault.to_string();
                log(
                    LogLevel::Warn,
                    "issuer_unavailable",
                    [("reason", reason.into())],
                );
            }
        }
    }
}

/// An issuer's keys, as it sent them and as we read them, and where it signs people in.
type FetchedKeys = (Vec<u8>, JwkSet, Option<Endpoints>);

async fn fetch_keys(issuer: &str, at: Option<&str>) -> Result<FetchedKeys, Fault> {
    let (json, endpoints) = match at {
        Some(uri) => (document(uri).await?, None),
        None => {
            let discovery = document(&discovery_url(issuer)).await?;
            let discovered = Discovered::read(issuer, &discovery)?;
            (document(&discovered.jwks_uri).await?, discovered.endpoints)
        }
    };
    let set = JwkSet::parse(&json)
        .map_err(|error| Fault::IssuerUnavailable(format!("the keys of {issuer}: {error}")))?;
    Ok((json, set, endpoints))
}

async fn document(url: &str) -> Result<Vec<u8>, Fault> {
    let body = fetch_document(url, FETCH_TIMEOUT_MILLIS, MAX_DOCUMENT_BYTES).await;
    let body = body.map_err(|error| {
        let reason = js_sys::Object::from(error).to_string();
        Fault::IssuerUnavailable(format!("{url}: {}", String::from(reason)))
    })?;
    Ok(Uint8Array::new(&body).to_vec())
}

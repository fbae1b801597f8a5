//! Calling the objects.

use js_sys::Uint8Array;
use notme_authority::asking::{Question, object};
use notme_authority::config::LogLevel;
use notme_authority::doors::Answer;
use notme_authority::issuer_keys::{Endpoints, KeyCache, Plan};
use notme_authority::protocol::{self, AskReply, Command, KeysReply, KeysWanted, Reply};
use notme_authority::{Error, Fault};
use notme_durable::{log, now_millis};
use notme_jose::{Algorithm, JwkSet};
use notme_keys::VerifyingKey;
use std::cell::RefCell;
use std::collections::BTreeMap;
use wasm_bindgen::prelude::*;
use worker::Env;

#[wasm_bindgen]
extern "C" {
    type Object;
    #[wasm_bindgen(method, catch)]
    async fn call(this: &Object, message: &Uint8Array) -> Result<JsValue, JsValue>;
}

thread_local! {
    /// This worker's copies of what the objects answered, by issuer.
    static KEYS: RefCell<BTreeMap<String, KeyCache>> = RefCell::default();
}

pub(crate) async fn ask(
    env: &Env,
    binding: &str,
    name: &str,
    message: &[u8],
) -> Result<Vec<u8>, Fault> {
    let failed = |error: &str| Fault::Internal(format!("{binding}: {error}"));
    let refused = |error: worker::Error| failed(&error.to_string());
    let namespace = env.durable_object(binding).map_err(refused)?;
    let object: Object = namespace.get_by_name(name).map_err(refused)?.into_rpc();
    let answer = object
        .call(&Uint8Array::from(message))
        .await
        .map_err(|error| failed(&format!("{error:?}")))?;
    Ok(Uint8Array::new(&answer).to_vec())
}

/// Asks the object that signs.
///
/// # Errors
/// Its refusal, or [`Fault::Internal`] if it can't be reached.
pub(crate) async fn signing_authority(env: &Env, command: &Command) -> Result<Reply, Error> {
    let message = protocol::sent(command, now_millis())?;
    let answer = ask(env, "SIGNING_AUTHORITY", "default", &message).await?;
    match protocol::decode(&answer)? {
        Reply::Refused(refusal) => Err(refusal.into()),
        reply => Ok(reply),
    }
}

/// Has an API asked.
///
/// # Errors
/// [`Fault::ApiUnavailable`], and [`Fault::Internal`] if the object can't be reached.
pub(crate) async fn api_answer(env: &Env, question: &Question) -> Result<Answer, Error> {
    let name = object(question);
    let message = protocol::sent(question, now_millis())?;
    let answer = ask(env, "API_ANSWERS", &name, &message).await?;
    match protocol::decode(&answer)? {
        AskReply::Answered(answer) => Ok(answer),
        AskReply::Refused(refusal) => Err(refusal.into()),
    }
}

/// The most copies that are kept: more than there are issuers in rows at once. Those of rows that were changed or only
/// tried stay until then.
const MOST_COPIES: usize = 256;

/// The copy of an issuer's keys. Nobody asks for those of others than are in rows.
fn with_keys<T>(name: &str, work: impl FnOnce(&mut KeyCache) -> T) -> T {
    KEYS.with_borrow_mut(|copies| {
        if copies.len() >= MOST_COPIES && !copies.contains_key(name) {
            copies.clear();
        }
        work(copies.entry(name.to_owned()).or_default())
    })
}

/// The key that a token of `issuer` means which names this `kid` and `algorithm`, if there is one. `at` is where
/// its keys are, if no discovery document says so.
///
/// # Errors
/// [`Fault::IssuerUnavailable`] if that can't be found out.
pub(crate) async fn issuer_key(
    env: &Env,
    issuer: &str,
    at: Option<&str>,
    kid: &str,
    algorithm: Algorithm,
) -> Result<Option<VerifyingKey>, Error> {
    // A row may be changed to have its keys elsewhere: those of before are other ones.
    let name = at.map_or_else(|| issuer.to_owned(), |at| format!("{issuer} {at}"));
    let wanted = KeysWanted {
        issuer: issuer.to_owned(),
        kid: Some(kid.to_owned()),
        at: at.map(str::to_owned),
    };
    look_up(env, &name, wanted).await?;
    Ok(with_keys(&name, |keys| keys.keys()?.find(kid, algorithm)))
}

/// Where an issuer signs people in, which its discovery document says.
///
/// # Errors
/// [`Fault::IssuerUnavailable`] if it doesn't, or that can't be found out.
pub(crate) async fn issuer_endpoints(env: &Env, issuer: &str) -> Result<Endpoints, Error> {
    let wanted = KeysWanted {
        issuer: issuer.to_owned(),
        kid: None,
        at: None,
    };
    look_up(env, issuer, wanted).await?;
    let found = with_keys(issuer, |keys| keys.endpoints().cloned());
    found.ok_or_else(|| {
        let why = format!("{issuer} has no endpoints at which people could sign in");
        Fault::IssuerUnavailable(why).into()
    })
}

/// Has what is wanted in this worker's copy, as far as the issuer has it.
async fn look_up(env: &Env, name: &str, wanted: KeysWanted) -> Result<(), Error> {
    let (kid, now) = (wanted.kid.as_deref(), now_millis());
    if with_keys(name, |keys| keys.plan(kid, now)) != Plan::Use {
        let message = protocol::sent(&wanted, now)?;
        let answer = ask(env, "ISSUER_KEYS", name, &message).await;
        match answer.and_then(|answer| protocol::decode(&answer)) {
            Ok(KeysReply::Keys(answer)) => {
                let set = JwkSet::parse(&answer.json)
                    .map_err(|error| Fault::Internal(format!("the object's key set: {error}")))?;
                with_keys(name, |keys| {
                    keys.copied(now);
                    keys.store(set, answer.endpoints, answer.fetched_at);
                });
            }
            // The object may have lost what this copy still has.
            Ok(KeysReply::Refused(_)) if with_keys(name, |keys| keys.can_serve(kid, now)) => {}
            Ok(KeysReply::Refused(refusal)) => return Err(refusal.into()),
            // Or be lost itself.
            Err(fault) if with_keys(name, |keys| keys.can_serve(kid, now)) => {
                let fields = [("reason", fault.to_string().into())];
                log(LogLevel::Warn, "issuer_unavailable", fields);
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(())
}

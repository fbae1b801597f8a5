//! What the platform gives: configuration, time, randomness, a log.

use std::cell::Cell;

use js_sys::Uint8Array;
use notme_authority::config::{Config, LogLevel};
use notme_authority::http::MAX_BODY_BYTES;
use notme_authority::{Error, Fault};
use serde_json::{Map, Value};
use wasm_bindgen::prelude::*;
use worker::Env;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = log)]
    fn console_log(line: &str);
}

#[wasm_bindgen(module = "/src/streams.mjs")]
extern "C" {
    #[wasm_bindgen(js_name = readBody, catch)]
    async fn read_body_up_to(
        request: &web_sys::Request,
        max_bytes: u32,
    ) -> Result<JsValue, JsValue>;
}

/// Reads the configuration from the bindings.
///
/// # Errors
/// [`Fault::Configuration`] with every problem there is.
pub fn config(env: &Env) -> Result<Config, Fault> {
    let lookup = |name: &str| js_sys::Reflect::get(env, &name.into()).ok()?.as_string();
    let bindings: &js_sys::Object = env.unchecked_ref();
    let mut problems: Vec<String> = js_sys::Object::keys(bindings)
        .iter()
        .filter_map(|name| name.as_string())
        .filter(|name| Config::is_misspelt(name))
        .map(|name| format!("{name} is no variable of notme: wrangler.toml.example has them all"))
        .collect();
    let config = Config::read(lookup).map_err(|errors| {
        problems.extend(errors.iter().map(ToString::to_string));
    });
    let (Ok(config), true) = (config, problems.is_empty()) else {
        return Err(Fault::Configuration(problems.join("; ")));
    };
    LEVEL.set(config.log_level);
    Ok(config)
}

/// Unix milliseconds.
#[must_use]
#[expect(
    clippy::as_conversions,
    reason = "a time is a safe integer, and the cast saturates"
)]
pub fn now_millis() -> u64 {
    js_sys::Date::now() as u64
}

/// Random bytes of the platform's generator.
///
/// # Errors
/// [`Fault::Internal`] if it has none to give.
pub fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Fault::Internal(error.to_string()))?;
    Ok(bytes)
}

thread_local! {
    static LEVEL: Cell<LogLevel> = Cell::default();
}

/// Whether lines of this level are written.
#[must_use]
pub fn is_logged(level: LogLevel) -> bool {
    level <= LEVEL.get()
}

/// Writes one log line, a JSON object with `time` (ISO 8601, UTC), `level`, `event` and `fields`,
/// unless the configuration asks for less.
pub fn log<const N: usize>(level: LogLevel, event: &str, fields: [(&str, Value); N]) {
    if !is_logged(level) {
        return;
    }
    let mut line = Map::new();
    let time = String::from(js_sys::Date::new_0().to_iso_string());
    line.insert("time".into(), time.into());
    line.insert("level".into(), level.name().into());
    line.insert("event".into(), event.into());
    line.extend(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value)),
    );
    console_log(&Value::Object(line).to_string());
}

/// Reads a request's body.
///
/// # Errors
/// [`Error::BodyTooLarge`], [`Error::BodyTimeout`] and [`Error::BodyIncomplete`].
pub async fn read_body(request: &web_sys::Request) -> Result<Vec<u8>, Error> {
    let body = read_body_up_to(request, MAX_BODY_BYTES).await;
    let body = body.map_err(|error| Fault::Internal(format!("reading the body: {error:?}")))?;
    match body.as_string().as_deref() {
        None => Ok(Uint8Array::new(&body).to_vec()),
        Some("too large") => Err(Error::BodyTooLarge),
        Some("too slow") => Err(Error::BodyTimeout),
        Some(_) => Err(Error::BodyIncomplete),
    }
}

//! Questions to APIs.

use js_sys::{Array, Uint8Array};
use notme_authority::Fault;
use notme_authority::asking::{MAX_ANSWER_BYTES, TIMEOUT_MILLIS};
use notme_authority::doors::{Answer, Ask};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/src/streams.mjs")]
extern "C" {
    #[wasm_bindgen(js_name = askApi, catch)]
    async fn ask_api(
        url: &str,
        headers: &str,
        form: Option<&str>,
        wanted: &str,
        timeout_millis: u32,
        max_bytes: u32,
    ) -> Result<JsValue, JsValue>;
}

/// Asks an API. Whatever its status, that is an answer.
///
/// # Errors
/// [`Fault::ApiUnavailable`] if there is none in time, or it is too long.
pub async fn ask(ask: &Ask) -> Result<Answer, Fault> {
    let mut headers = String::new();
    for (name, value) in &ask.headers {
        headers.extend([name, "\n", value, "\n"]);
    }
    let wanted = ask.wanted.join("\n");
    let answer = ask_api(
        &ask.url,
        &headers,
        ask.form.as_deref(),
        &wanted,
        TIMEOUT_MILLIS,
        MAX_ANSWER_BYTES,
    )
    .await;
    let answer = answer.map_err(|error| {
        let reason = String::from(js_sys::Object::from(error).to_string());
        Fault::ApiUnavailable {
            reason: format!("{}: {reason}", ask.url),
            retry_after: 10,
        }
    })?;
    let answer = Array::from(&answer);
    let mut parts = answer.iter();
    let status = parts.next().and_then(|status| status.as_string());
    let body = parts.next().map(|body| Uint8Array::new(&body).to_vec());
    let values = parts.map(|value| value.as_string());
    let headers = ask.wanted.iter().zip(values);
    Ok(Answer {
        status: status.and_then(|status| status.parse().ok()).unwrap_or(0),
        headers: headers
            .filter_map(|(name, value)| Some((*name, value?)))
            .collect(),
        body: body.unwrap_or_default(),
    })
}

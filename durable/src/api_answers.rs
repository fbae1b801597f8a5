//! The objects that ask an API or a token endpoint: sixteen for each host, and each question is always the same one's.
//!
//! Workers come and go and can't wait for each other's questions; an object is one, so however many requests show one
//! token, its host is asked about it once, and no host is asked more at a time than is good. What the host said is kept for
//! seconds, in memory: they store nothing.

use std::cell::RefCell;

use js_sys::{Array, Promise, Uint8Array};
use notme_authority::asking::{
    Asking, MAX_ANSWER_BYTES, Outcome, Plan, Question, TIMEOUT_MILLIS, Ticket,
};
use notme_authority::doors::{Answer, Ask};
use notme_authority::protocol::{self, AskReply, Sent};
use notme_authority::{Error, Fault};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::clock::{self, now_millis};

#[wasm_bindgen(module = "/src/streams.mjs")]
extern "C" {
    #[wasm_bindgen(js_name = askApi)]
    fn ask_api(
        url: &str,
        headers: &str,
        form: Option<&str>,
        wanted: &str,
        timeout_millis: u32,
        max_bytes: u32,
    ) -> Promise;
}

/// The object; see the module's documentation.
#[durable_object(fetch)]
pub struct ApiAnswers {
    asking: RefCell<Asking<Asked>>,
}

/// A question that is being asked: whoever has it too waits for the same answer.
#[derive(Clone)]
struct Asked {
    ticket: Ticket,
    answer: Promise,
}

impl DurableObject for ApiAnswers {
    fn new(_state: State, _env: Env) -> Self {
        Self {
            asking: RefCell::default(),
        }
    }

    async fn fetch(&self, _request: Request) -> worker::Result<Response> {
        Response::error("this object is called, not fetched", 404)
    }
}

#[wasm_bindgen]
impl ApiAnswers {
    /// Answers one [`Question`] with one [`AskReply`], both in the form of [`protocol`].
    ///
    /// # Errors
    /// Only if the answer can't be encoded; a refusal is an answer.
    pub async fn call(&self, question: Uint8Array) -> Result<Uint8Array, JsValue> {
        let answer = match protocol::decode(&question.to_vec()) {
            Ok(Sent { at, message }) => {
                clock::heard(at);
                self.answer(&message).await
            }
            Err(fault) => Err(fault.into()),
        };
        let reply = match answer {
            Ok(answer) => AskReply::Answered(answer),
            Err(error) => AskReply::Refused(error.into()),
        };
        let bytes = protocol::encode(&reply).map_err(|fault| format!("{fault:?}"))?;
        Ok(Uint8Array::from(&bytes[..]))
    }
}

impl ApiAnswers {
    async fn answer(&self, question: &Question) -> Result<Answer, Error> {
        let now = now_millis();
        let plan = self.asking.borrow_mut().plan(&question.ask, now);
        let asked = match plan {
            Plan::Known(outcome) => return Ok(outcome?),
            Plan::Wait(asked) => asked,
            Plan::Ask => {
                let answer = |ticket| Asked {
                    ticket,
                    answer: begin(&question.ask),
                };
                let mut asking = self.asking.borrow_mut();
                asking.begin(question, now, answer)?
            }
        };
        let answer = JsFuture::from(asked.answer).await;
        let outcome = read(&question.ask, answer);
        let mut asking = self.asking.borrow_mut();
        asking.end(asked.ticket, &outcome, now_millis());
        Ok(outcome?)
    }
}

/// Asks an API.
fn begin(ask: &Ask) -> Promise {
    let mut headers = String::new();
    for (name, value) in &ask.headers {
        headers.extend([name, "\n", value, "\n"]);
    }
    ask_api(
        &ask.url,
        &headers,
        ask.form.as_deref(),
        &ask.wanted.join("\n"),
        TIMEOUT_MILLIS,
        MAX_ANSWER_BYTES,
    )
}

/// What came of that. Whatever its status, an answer is one.
fn read(ask: &Ask, answer: Result<JsValue, JsValue>) -> Outcome {
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
    let headers = ask.wanted.iter().cloned().zip(values);
    Ok(Answer {
        status: status.and_then(|status| status.parse().ok()).unwrap_or(0),
        headers: headers
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
        body: body.unwrap_or_default(),
    })
}

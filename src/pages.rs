//! Pages, and the files that they are made of: read from the build, by the binding `ASSETS`.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Reflect, Uint8Array};
use notme_authority::http::{self, MANIFEST, Manifest, Page, Problem, Reply, Route};
use notme_authority::{Error, Fault};
use wasm_bindgen::prelude::*;
use worker::Env;

use crate::{Call, header_block, people};

#[wasm_bindgen(module = "/src/host.mjs")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn readFile(assets: &JsValue, file: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn respondFile(
        assets: &JsValue,
        file: &str,
        status: u16,
        block: &str,
        request_id: &str,
    ) -> Result<JsValue, JsValue>;
}

thread_local! {
    /// The build doesn't change while a worker lives.
    static KNOWN: RefCell<Option<Rc<Manifest>>> = const { RefCell::new(None) };
}

/// A page that is the same for everybody.
pub(crate) async fn page(call: &Call, page: Page) -> Result<Reply, Error> {
    let template = read(&call.env, page.file()).await?;
    let known = if_none_match(call);
    Ok(http::page(&call.config, page, &template, known.as_deref()))
}

/// A page with values in it.
pub(crate) async fn filled(
    call: &Call,
    page: Page,
    values: &[(&str, String)],
) -> Result<Reply, Error> {
    let template = read(&call.env, page.file()).await?;
    let values: Vec<(&str, &str)> = values
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    Ok(http::filled_page(&call.config, page, &template, &values))
}

/// A page where there is JSON too.
pub(crate) async fn negotiated(call: &Call, which: Page) -> Result<Reply, Error> {
    let mut reply = page(call, which).await?;
    reply.set("vary", "Accept");
    Ok(reply)
}

/// One's own page, or the way to sign in.
pub(crate) async fn me(call: &Call) -> Result<Reply, Error> {
    match people::me(call).await {
        Ok(_) => negotiated(call, Page::Me).await,
        Err(Error::NoSession) => {
            let mut reply = http::redirect(&call.config, "/login");
            reply.set("vary", "Accept");
            Ok(reply)
        }
        Err(error) => Err(error),
    }
}

/// A file that pages are made of.
pub(crate) async fn asset(route: &Route, path: &str, call: &Call) -> Result<Reply, Error> {
    let name = route.parameters(path).next().unwrap_or_default();
    let known = if_none_match(call);
    let manifest = manifest(&call.env).await?;
    manifest
        .answer(name, known.as_deref())
        .ok_or(Error::NotFound)
}

/// The page of a problem, if the build can be read.
pub(crate) async fn problem(call: &Call, problem: &Problem) -> Option<Reply> {
    let template = read(&call.env, Page::of(problem).file()).await.ok()?;
    Some(http::problem_page(&call.config, problem, &template))
}

/// A response whose body is a file of the build.
pub(crate) async fn send(
    env: &Env,
    reply: &Reply,
    file: &str,
    request_id: &str,
) -> Result<web_sys::Response, Fault> {
    let (block, _) = header_block(reply);
    let sent = respondFile(&assets(env), file, reply.status, &block, request_id).await;
    let sent = sent.map_err(|error| unreadable(file, &error))?;
    Ok(sent.unchecked_into())
}

async fn manifest(env: &Env) -> Result<Rc<Manifest>, Fault> {
    if let Some(known) = KNOWN.with_borrow(Clone::clone) {
        return Ok(known);
    }
    let manifest = Rc::new(Manifest::parse(&read(env, MANIFEST).await?)?);
    KNOWN.set(Some(Rc::clone(&manifest)));
    Ok(manifest)
}

async fn read(env: &Env, file: &str) -> Result<Vec<u8>, Fault> {
    let bytes = readFile(&assets(env), file).await;
    let bytes = bytes.map_err(|error| unreadable(file, &error))?;
    Ok(Uint8Array::new(&bytes).to_vec())
}

/// The binding; what isn't there fails when it is used.
fn assets(env: &Env) -> JsValue {
    Reflect::get(env, &"ASSETS".into()).unwrap_or_default()
}

fn unreadable(file: &str, error: &JsValue) -> Fault {
    Fault::Internal(format!("{file} can't be read through ASSETS: {error:?}"))
}

fn if_none_match(call: &Call) -> Option<String> {
    call.request.headers().get("if-none-match").ok().flatten()
}

//! The authority as a Cloudflare Worker.
//!
//! This crate translates: a request into the values that `notme-authority` decides about, its
//! decisions into calls of the platform, its answers into a response. An `if` about who may do what
//! is in the wrong house here.

#![allow(
    missing_docs,
    reason = "the macro for events writes items without documentation"
)]

mod admin;
mod connections;
mod doors;
mod handlers;
mod keys;
mod limits;
mod objects;
mod pages;
mod people;
#[cfg(feature = "panic-probe")]
mod probe;
mod rows;
mod tokens;

use std::cell::OnceCell;
use std::rc::Rc;

use notme_authority::config::{Config, LogLevel};
use notme_authority::http::{
    Body, Cache, Cors, Dispatch, Problem, Reply, RequestHead, Route, Session, authority_path,
    dispatch, preflight, problem, secure, share,
};
use notme_authority::{Error, Fault};
pub use notme_durable::{ApiAnswers, IssuerKeys, SigningAuthority};
use notme_durable::{is_logged, log, random, read_body};
use wasm_bindgen::prelude::*;
use worker::{Context, Env, event};

#[wasm_bindgen(module = "/src/host.mjs")]
extern "C" {
    fn respond(
        status: u16,
        block: &str,
        request_id: &str,
        cookie: &str,
        body: js_sys::Uint8Array,
    ) -> web_sys::Response;
}

thread_local! {
    /// The bindings of a worker don't change while it lives.
    static CONFIG: OnceCell<Result<Rc<Config>, Fault>> = const { OnceCell::new() };
}

/// A request on its way, and what handlers need beside it.
struct Call {
    /// The request's id, as the caller sees it.
    id: String,
    env: Env,
    config: Rc<Config>,
    head: RequestHead,
    /// What follows the `?`, as it was sent.
    query: String,
    request: web_sys::Request,
}

#[event(fetch)]
async fn fetch(
    request: web_sys::Request,
    env: Env,
    _context: Context,
) -> worker::Result<web_sys::Response> {
    let id = request_id();
    let method = request.method();
    let head = head_of(&request);
    let config = config(&env);
    let url = request.url();
    let path = path_of(&url);
    let call = config.map(|config| Call {
        id: id.clone(),
        env,
        config,
        head: head.clone(),
        query: query_of(&url).to_owned(),
        request,
    });
    let mut reply = match &call {
        Ok(call) => handle(call, &method, path).await,
        Err(fault) => refuse(&fault.clone().into(), &id, path).reply(&head),
    };
    let config = call.as_ref().ok().map(|call| &*call.config);
    secure(&mut reply, config);
    log_answer(&reply, &id, &method, path);
    if method == "HEAD" {
        reply.body = Vec::new();
        reply.file = None;
    }
    let (Ok(call), Some(file)) = (&call, reply.file.take()) else {
        return Ok(into_response(&reply, &id));
    };
    match Box::pin(pages::send(&call.env, &reply, &file, &id)).await {
        Ok(response) => Ok(response),
        Err(fault) => {
            let mut reply = refuse(&fault.into(), &id, path).reply(&head);
            secure(&mut reply, config);
            Ok(into_response(&reply, &id))
        }
    }
}

/// Everything between a request's head and its answer.
async fn handle(call: &Call, method: &str, path: &str) -> Reply {
    #[cfg(feature = "panic-probe")]
    probe::panic_if_asked(call).await;
    let within = authority_path(&call.config, path);
    let (within, route) = match dispatch(method, within) {
        Dispatch::NotFound => (path, dispatch(method, path)), // a proxy stripped what looks like our prefix
        found => (within, found),
    };
    let (answer, route) = match route {
        Dispatch::Route(route) => (run(call, route, within).await, Some(route)),
        Dispatch::Preflight => return preflight(&call.config, &call.head),
        Dispatch::MethodNotAllowed(allow) => (Err(Error::MethodNotAllowed(allow)), None),
        Dispatch::NotFound => (Err(Error::NotFound), None),
    };
    let mut reply = match answer {
        Ok(reply) => reply,
        Err(error) => {
            let mut problem = refuse(&error, &call.id, path);
            if let Some(route) = route {
                problem = problem.in_words_of(route.operation, call.head.has_session_cookie());
            }
            let page = if problem.is_page(&call.head) {
                Box::pin(pages::problem(call, &problem)).await
            } else {
                None
            };
            page.unwrap_or_else(|| problem.reply(&call.head))
        }
    };
    if let Some(cors) = route
        .map(|route| route.cors)
        .filter(|cors| *cors != Cors::Nobody)
    {
        share(&mut reply, cors, &call.config, &call.head);
    }
    reply
}

async fn run(call: &Call, route: &'static Route, path: &str) -> Result<Reply, Error> {
    // A form uses no session where it is taken: an application of elsewhere may send it.
    let is_form = route.body == Body::JsonOrForm && call.head.is_form();
    if route.session != Session::Unused && !route.is_page(&call.head) && !is_form {
        // Before it is counted: another site's page would use up what its visitors have.
        call.head.permit_page(&call.config)?;
    }
    if let Some(class) = route.class() {
        limits::permit(call, class).await?;
    }
    let body = if route.body == Body::None {
        Vec::new()
    } else {
        call.head.permit_body(route.body)?;
        read_body(&call.request).await?
    };
    let mut reply = handlers::run(route, path, call, &body).await?;
    // Pages and files bring their own.
    if let (Cache::Public(secs), false) = (route.cache, route.is_page(&call.head)) {
        reply.set("cache-control", format!("public, max-age={secs}"));
    }
    Ok(reply)
}

/// What a request is answered with that isn't answered with what it asked for; logged.
fn refuse(error: &Error, id: &str, path: &str) -> Problem {
    let problem = problem(error);
    log_problem(&problem, id, path);
    problem
}

fn log_answer(reply: &Reply, id: &str, method: &str, path: &str) {
    if is_logged(LogLevel::Debug) {
        log(
            LogLevel::Debug,
            "answered",
            [
                ("request_id", id.into()),
                ("method", method.into()),
                ("path", shorten(path).into()),
                ("status", reply.status.into()),
            ],
        );
    }
}

fn log_problem(problem: &Problem, id: &str, path: &str) {
    log(
        problem.level,
        "refused",
        [
            ("request_id", id.into()),
            ("path", shorten(path).into()),
            ("status", problem.status.into()),
            ("code", problem.code.into()),
            (
                "reason",
                problem
                    .reason
                    .clone()
                    .unwrap_or_else(|| problem.text.clone())
                    .into(),
            ),
        ],
    );
}

/// A path as it may stand in a log: a stranger chose it.
fn shorten(path: &str) -> String {
    let segments = path
        .split('/')
        .map(|segment| match segment.char_indices().nth(40) {
            // What is so long is no name of ours, and might be a token that strayed.
            Some(_) => "…",
            None => segment,
        });
    let path: Vec<&str> = segments.take(20).collect();
    path.join("/")
}

fn config(env: &Env) -> Result<Rc<Config>, Fault> {
    CONFIG.with(|cell| {
        cell.get_or_init(|| {
            let config = notme_durable::config(env)?;
            for warning in config.warnings() {
                log(
                    LogLevel::Warn,
                    "configuration",
                    [("warning", warning.into())],
                );
            }
            Ok(Rc::new(config))
        })
        .clone()
    })
}

fn head_of(request: &web_sys::Request) -> RequestHead {
    let headers = request.headers();
    let header = |name| headers.get(name).ok().flatten();
    RequestHead {
        accept: header("accept"),
        origin: header("origin"),
        content_type: header("content-type"),
        cookie: header("cookie"),
        fetch_site: header("sec-fetch-site"),
        content_length: header("content-length").and_then(|length| length.parse().ok()),
    }
}

/// The path of an absolute URL, without query and fragment.
fn path_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme
        .find('/')
        .and_then(|at| after_scheme.get(at..))
        .unwrap_or("/");
    path.split(['?', '#']).next().unwrap_or("/")
}

/// The query of an absolute URL, without its question mark.
fn query_of(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or_default();
    url.split_once('?').map_or("", |(_, query)| query)
}

/// 32 hex digits.
fn request_id() -> String {
    // Without randomness the next signature fails, with a proper error; an id is only a label.
    let bytes: [u8; 16] = random().unwrap_or_default();
    hex::encode(bytes)
}

/// The headers as `src/host.mjs` takes them, and apart from them the cookie.
fn header_block(reply: &Reply) -> (String, &str) {
    let mut block = String::with_capacity(512);
    let mut cookie = "";
    for (name, value) in &reply.headers {
        if *name == "set-cookie" {
            cookie = value;
        } else {
            block.extend([name, ": ", value, "\n"]);
        }
    }
    (block, cookie)
}

fn into_response(reply: &Reply, request_id: &str) -> web_sys::Response {
    let (block, cookie) = header_block(reply);
    let body = js_sys::Uint8Array::from(&reply.body[..]);
    respond(reply.status, &block, request_id, cookie, body)
}

//! The API reference: OpenAPI 3.1 made of the route table, of what [`operations`] says about each
//! operation, and of the schemas.
//!
//! It is made when code is generated (`npm run codegen`) and committed as `gen/openapi/openapi.json`;
//! the worker has no part in it.

mod operations;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::operations::{Answer, Caller, Description, Format, Tag, describe};
use super::{Body, Cache, Cors, Problem, ROUTES, Route, Session, problem};
use crate::{Error, Fault};

/// JSON Schema of what pages and the authority exchange, from `schema/api.capnp`.
const API_SCHEMAS: &str = include_str!("../../../../gen/json-schema/api.json");
/// JSON Schema of everything else: what the protocol or WebAuthn lays down.
const OTHER_SCHEMAS: &str = include_str!("openapi/schemas.json");

/// The document.
///
/// # Errors
/// If one of the schemas isn't JSON.
pub fn document() -> Result<Value, serde_json::Error> {
    let mut schemas = Map::new();
    for source in [API_SCHEMAS, OTHER_SCHEMAS] {
        let source = source.replace("#/$defs/", "#/components/schemas/");
        let file: Value = serde_json::from_str(&source)?;
        schemas.extend(
            file.get("$defs")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default(),
        );
    }
    let mut responses = Map::new();
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operation = operation(route, &describe(route), &mut responses);
        let path = paths.entry(route.path).or_insert_with(|| {
            let parameters: Vec<Value> = path_parameters(route).collect();
            let mut path = json!({});
            set(&mut path, "parameters", parameters.into(), true);
            path
        });
        set(path, &route.method.name().to_lowercase(), operation, false);
    }
    responses.sort_keys();
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "notme",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "An identity authority: a proof of who is asking goes in, a five-minute certificate pair that only its keys' holder can use comes out.",
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": ".", "description": "The authority that this document comes from." }],
        "tags": Tag::ALL.map(|tag| json!({ "name": tag.name(), "description": tag.description() })),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses,
            "headers": {
                "RequestId": {
                    "description": "The id of the request, under which the authority's log has it.",
                    "required": true,
                    "schema": { "type": "string", "pattern": "^[0-9a-f]{32}$" },
                },
                "RetryAfter": {
                    "description": "When it makes sense to try again, in seconds.",
                    "required": true,
                    "schema": { "type": "integer", "minimum": 0 },
                },
                "SetCookie": {
                    "description": "`notme_session`, the session's secret: `HttpOnly; Secure; SameSite=Strict; Path=/`.",
                    "required": true,
                    "schema": { "type": "string", "pattern": "^notme_session=" },
                },
                "DpopNonce": {
                    "description": "The nonce that the next DPoP proof has to name, where proofs need one (RFC 9449 §8).",
                    "schema": { "type": "string" },
                },
                "Location": {
                    "description": "Where to.",
                    "required": true,
                    "schema": { "type": "string", "format": "uri" },
                },
                "FileName": {
                    "description": "Of a CSV answer: under which name to keep it.",
                    "schema": { "type": "string" },
                },
                "NextPage": {
                    "description": "Of a CSV answer: the next page, `rel=\"next\"`; absent on the last.",
                    "schema": { "type": "string" },
                },
            },
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "notme_session",
                    "description": "A session, which `/auth/passkey/login/verify`, `/auth/passkey/register/verify`, `/auth/oidc/login` and `/join` begin. The browser holds it; scripts can't read it.",
                },
                "githubActions": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The OIDC token of a GitHub Actions job, for the audience that discovery names in `cert_gha_audience`. Good once.",
                },
            },
        },
    }))
}

const INTRODUCTION: &str = "\
`HEAD` is answered wherever `GET` is, and `OPTIONS` everywhere. Any other method of a path that exists is a 405 with `Allow`, \
any other path a 404 with code `not_found`. A slash at the end of a path doesn't count.\n\n\
Bodies are JSON of at most 64 KiB. Members that aren't known are ignored, both ways: a later version may add some. \
A member that may be left out may be `null` in a request, and a parameter of a query empty: that is as if it weren't there.\n\n\
Every error is `{\"error\": text, \"code\": code}`. Codes don't change, texts may. With `Accept: application/problem+json` it is \
a problem document (RFC 9457), with `Accept: text/html` a page. Every answer has `X-Request-Id`.\n\n\
Routes that have to do with sessions refuse requests that another site's page made (`cross_site`), by `Sec-Fetch-Site` and `Origin`.";

/// Sets a member, unless it is to be left out where it is empty.
fn set(object: &mut Value, name: &str, value: Value, skip_empty: bool) {
    let is_empty = match &value {
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Null => true,
        _ => false,
    };
    if let Some(members) = object.as_object_mut()
        && !(skip_empty && is_empty)
    {
        members.insert(name.to_owned(), value);
    }
}

fn path_parameters(route: &Route) -> impl Iterator<Item = Value> {
    let names = route.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?;
        name.strip_suffix('}')
    });
    names.map(|name| {
        let description = match name {
            "id" => "The item's id, as lists have it.",
            "client" => "What the issuer's client is called by, as `/auth/oidc/issuers` has it in `redirectUri`.",
            "scope" => "The scope, percent-encoded.",
            "serial" => "The serial number of one of the two certificates, in lower-case hex.",
            "file" => "The file's name.",
            _ => "",
        };
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": description,
            "schema": { "type": "string", "minLength": 1 },
        })
    })
}

fn operation(
    route: &Route,
    description: &Description,
    responses: &mut Map<String, Value>,
) -> Value {
    let id = operation_id(route);
    let parameters = description.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "allowEmptyValue": true,
            "description": parameter.what,
            "schema": parameter.schema,
        })
    });
    let headers = description.headers.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "header",
            "description": parameter.what,
            "schema": parameter.schema,
        })
    });
    let request = description.request.as_ref().map(|request| {
        let mut content = json!({ "application/json": { "schema": request } });
        if let Some(form) = &description.form {
            let media_type = "application/x-www-form-urlencoded";
            set(&mut content, media_type, json!({ "schema": form }), false);
        }
        json!({ "required": true, "content": content })
    });
    let mut operation = json!({
        "operationId": id,
        "tags": [description.tag.name()],
        "summary": route.summary.trim_end_matches('.'),
    });
    set(
        &mut operation,
        "description",
        notes(route, description).into(),
        true,
    );
    set(
        &mut operation,
        "security",
        security(route, description),
        false,
    );
    set(
        &mut operation,
        "parameters",
        parameters.chain(headers).collect(),
        true,
    );
    set(
        &mut operation,
        "requestBody",
        request.unwrap_or_default(),
        true,
    );
    set(
        &mut operation,
        "responses",
        answers(route, description, &id, responses),
        false,
    );
    operation
}

/// `POST /me/passkeys/{id}` as `postMePasskeysId`: it stays the same, whatever the operation's name.
fn operation_id(route: &Route) -> String {
    let path = route.path.split(|c: char| !c.is_ascii_alphanumeric());
    let words = path.filter(|word| !word.is_empty()).map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    let words: String = words.collect();
    let method = route.method.name().to_lowercase();
    method + if words.is_empty() { "Root" } else { &words }
}

/// What the table and the description say beside the summary.
fn notes(route: &Route, description: &Description) -> String {
    let mut notes: Vec<String> = Vec::new();
    notes.extend((!description.details.is_empty()).then(|| description.details.to_owned()));
    match description.caller {
        Caller::Session => notes.push("Needs a session.".into()),
        Caller::Job => notes.push(
            "Needs `Authorization: Bearer` with the OIDC token of a GitHub Actions job.".into(),
        ),
        Caller::Anybody | Caller::AnybodyOrSession => {}
    }
    match route.session {
        Session::Manage => notes.push("Needs a session with the scope `authorityManage`.".into()),
        Session::ManageFresh => notes.push(
            "Needs a session with the scope `authorityManage`, and a passkey that was shown in the last five minutes: see `/auth/passkey/step-up/options`.".into(),
        ),
        Session::Unused | Session::Used => {}
    }
    if let Cache::Public(secs) = route.cache {
        notes.push(format!("May be cached for {secs} seconds."));
    }
    if route.cors == Cors::Anybody {
        notes.push("Pages of any origin may read the answer.".into());
    }
    notes.join("\n\n")
}

fn security(route: &Route, description: &Description) -> Value {
    match (route.session, description.caller) {
        (Session::Manage | Session::ManageFresh, _) | (_, Caller::Session) => {
            json!([{ "session": [] }])
        }
        (_, Caller::Anybody) => json!([]),
        (_, Caller::AnybodyOrSession) => json!([{}, { "session": [] }]),
        (_, Caller::Job) => json!([{ "githubActions": [] }]),
    }
}

/// What can go wrong with every request to such a route, whatever it does.
fn common_errors(route: &Route) -> Vec<Error> {
    let mut errors = vec![
        Error::Fault(Fault::Configuration(String::new())),
        Error::Fault(Fault::KeyStorage(String::new())),
        Error::Fault(Fault::Clock(String::new())),
        Error::Fault(Fault::Internal(String::new())),
    ];
    if route.class().is_some() {
        errors.push(Error::TooManyRequests(1));
    }
    if route.session != Session::Unused {
        errors.push(Error::CrossSite);
    }
    if route.body != Body::None {
        errors.extend([
            Error::UnsupportedMediaType,
            Error::BodyTooLarge,
            Error::BodyTimeout,
            Error::BodyIncomplete,
        ]);
    }
    if matches!(route.session, Session::Manage | Session::ManageFresh) {
        errors.extend([
            Error::NoSession,
            Error::ManageRequired,
            Error::StepUpRequired,
        ]);
    }
    errors
}

fn answers(
    route: &Route,
    description: &Description,
    operation_id: &str,
    responses: &mut Map<String, Value>,
) -> Value {
    let mut answers = Map::new();
    for answer in &description.answers {
        answers.insert(answer.status.to_string(), success(answer));
    }
    let mut problems: BTreeMap<u16, BTreeMap<&str, Problem>> = BTreeMap::new();
    for error in common_errors(route).iter().chain(&description.errors) {
        let problem = problem(error);
        problems
            .entry(problem.status)
            .or_default()
            .insert(problem.code, problem);
    }
    for (status, problems) in problems {
        let codes: Vec<&str> = problems.keys().copied().collect();
        let mut name = format!("{status}.{}", codes.join("."));
        if name.len() > 80 {
            name = format!("{status}.{operation_id}");
        }
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        responses.entry(name).or_insert_with(|| failure(&problems));
        answers.insert(status.to_string(), reference);
    }
    answers.into()
}

fn success(answer: &Answer) -> Value {
    let mut response = json!({
        "description": answer.what,
        "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
    });
    if let Some(headers) = response.get_mut("headers") {
        for (name, component) in &answer.headers {
            let reference = format!("#/components/headers/{component}");
            set(headers, name, json!({ "$ref": reference }), false);
        }
    }
    let mut content = Map::new();
    for format in &answer.formats {
        let (media_type, schema) = match format {
            Format::Json(schema) => ("application/json", schema.clone()),
            Format::Other(media_type) => (*media_type, json!({ "type": "string" })),
        };
        content.insert(media_type.to_owned(), json!({ "schema": schema }));
    }
    if !content.is_empty() {
        set(&mut response, "content", content.into(), false);
    }
    response
}

fn failure(problems: &BTreeMap<&str, Problem>) -> Value {
    let lines = problems
        .values()
        .map(|problem| format!("- `{}`: {}", problem.code, problem.text));
    let codes: Vec<&str> = problems.keys().copied().collect();
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestId" } });
    if problems
        .values()
        .all(|problem| problem.retry_after.is_some())
    {
        let reference = json!({ "$ref": "#/components/headers/RetryAfter" });
        set(&mut headers, "Retry-After", reference, false);
    }
    json!({
        "description": lines.collect::<Vec<_>>().join("\n"),
        "headers": headers,
        "content": {
            "application/json": {
                "schema": {
                    "title": "Problem",
                    "allOf": [{ "$ref": "#/components/schemas/Problem" }],
                    "properties": { "code": { "enum": codes } },
                },
            },
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/ProblemDocument" } },
            "text/html": { "schema": { "type": "string" } },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::problem::examples;
    use super::*;

    fn text() -> String {
        let document = document().unwrap();
        serde_json::to_string_pretty(&document).unwrap() + "\n"
    }

    #[test]
    fn docs_are_generated() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../gen/openapi/openapi.json"
        );
        if std::env::var_os("NOTME_WRITE_DOCS").is_some() {
            std::fs::write(path, text()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == text(), "run `npm run codegen`");
    }

    /// Calls `visit` with each `$ref` in a value.
    fn references(value: &Value, visit: &mut dyn FnMut(&str)) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| references(item, visit)),
            Value::Object(members) => {
                for (name, member) in members {
                    match member {
                        Value::String(target) if name == "$ref" => visit(target),
                        member => references(member, visit),
                    }
                }
            }
            _ => {}
        }
    }

    #[test]
    fn whatever_is_referred_to_is_there_and_whatever_is_there_is_referred_to() {
        let document = document().unwrap();
        let mut used = BTreeSet::new();
        references(&document, &mut |target| {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
            used.insert(target.to_owned());
        });
        for kind in ["schemas", "responses", "headers"] {
            let components = document.pointer(&format!("/components/{kind}")).unwrap();
            for name in components.as_object().unwrap().keys() {
                let target = format!("#/components/{kind}/{name}");
                assert!(used.contains(&target), "{target} is not used");
            }
        }
    }

    #[test]
    fn operations_have_names_of_their_own_and_an_answer() {
        let mut ids = BTreeSet::new();
        for route in ROUTES {
            assert!(ids.insert(operation_id(route)), "{}", operation_id(route));
            let description = describe(route);
            let is_served = !description.answers.is_empty();
            let never = description
                .errors
                .iter()
                .any(|error| matches!(error, Error::NotAnHttpEndpoint | Error::NotImplemented));
            assert!(is_served || never, "{}", route.path);
            assert_eq!(
                description.request.is_some(),
                route.body != Body::None,
                "{}",
                route.path
            );
        }
    }

    /// A new error has to be described where it can come up.
    #[test]
    fn every_error_is_somewhere() {
        let text = text();
        for problem in examples().iter().map(problem) {
            let is_elsewhere = matches!(problem.code, "not_found" | "method_not_allowed");
            let code = format!("\"{}\"", problem.code);
            assert!(is_elsewhere || text.contains(&code), "{}", problem.code);
        }
    }
}

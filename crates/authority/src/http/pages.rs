//! The pages that people see, and the files that those are made of.
//!
//! The build writes both into a folder that the host can read files of (a binding on Workers, a disk
//! service of workerd), beside a manifest of what may be asked for. Which file answers what, and with
//! which headers, is decided here for all hosts.

use notme_keys::encode_base64url;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Problem, Reply};
use crate::Fault;
use crate::config::Config;
use crate::documents::escape;

/// Where the API reference for machines is, in the folder of the build.
pub const OPENAPI: &str = "openapi.json";

/// Where the manifest is, in the folder of the build.
pub const MANIFEST: &str = "manifest.json";

/// What a page may do: nothing but what comes from here, no script in the page itself, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'";

/// What the API reference may do. Its viewer is much code of other people's: it has all that it shows
/// in its own files, so it needs to connect to nothing, and a session that is there is no use to it.
const REFERENCE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'";

/// Which features of the browser a page may use: passkeys, and what it offers to copy.
const PERMISSIONS: &str = "publickey-credentials-get=(self), publickey-credentials-create=(self), \
     clipboard-write=(self), camera=(), geolocation=(), microphone=(), payment=(), usb=()";

/// How long a browser may keep a file whose name has its hash.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// What this authority is.
    Landing,
    /// Where one signs in.
    SignIn,
    /// Where issuers send people back to.
    Callback,
    /// Where an invite leads to.
    Join,
    /// One's own page.
    Me,
    /// The operators' page.
    Console,
    /// Where somebody lets an application act for them.
    Authorize,
    /// The API reference.
    Reference,
    /// That there is nothing.
    NotFound,
    /// That something isn't answered with what it asked for.
    Problem,
}

impl Page {
    /// Its template, in the folder of the build.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Landing => "pages/landing.html",
            Self::SignIn => "pages/login.html",
            Self::Callback => "pages/callback.html",
            Self::Join => "pages/join.html",
            Self::Me => "pages/me.html",
            Self::Console => "pages/console.html",
            Self::Authorize => "pages/authorize.html",
            Self::Reference => "pages/reference.html",
            Self::NotFound => "pages/404.html",
            Self::Problem => "pages/problem.html",
        }
    }

    /// The page that tells of a problem.
    #[must_use]
    pub fn of(problem: &Problem) -> Self {
        if problem.status == 404 {
            Self::NotFound
        } else {
            Self::Problem
        }
    }

    /// Its content security policy.
    const fn policy(self) -> &'static str {
        match self {
            Self::Reference => REFERENCE_POLICY,
            _ => POLICY,
        }
    }
}

/// The answer to a request for a page: the template, filled, unless the caller has it already.
#[must_use]
pub fn page(config: &Config, page: Page, template: &[u8], if_none_match: Option<&str>) -> Reply {
    let body = fill(config, template, &[]);
    let hash = Sha256::digest(&body);
    let tag = hash.get(..16).map(encode_base64url).unwrap_or_default();
    let mut reply = tagged(&tag, if_none_match, "text/html; charset=utf-8", body);
    reply.set("cache-control", "no-cache");
    protect(&mut reply, page);
    reply
}

/// A page with values in it, which is nobody else's.
#[must_use]
pub fn filled_page(config: &Config, page: Page, template: &[u8], values: &[(&str, &str)]) -> Reply {
    let body = fill(config, template, values);
    let mut reply = Reply::new(200, "text/html; charset=utf-8", body);
    protect(&mut reply, page);
    reply
}

/// The page of a problem, from the template of [`Page::of`].
#[must_use]
pub fn problem_page(config: &Config, problem: &Problem, template: &[u8]) -> Reply {
    let status = problem.status.to_string();
    let values = [
        ("status", status.as_str()),
        ("title", problem.title()),
        ("text", &problem.text),
        ("code", problem.code),
    ];
    let mut reply = Reply::new(
        problem.status,
        "text/html; charset=utf-8",
        fill(config, template, &values),
    );
    problem.annotate(&mut reply);
    protect(&mut reply, Page::of(problem));
    reply
}

/// To the page `path` of this authority.
#[must_use]
pub fn redirect(config: &Config, path: &str) -> Reply {
    let mut reply = Reply::new(302, "text/plain; charset=utf-8", Vec::new());
    reply.set("location", format!("{}{path}", config.authority_url));
    reply
}

fn protect(reply: &mut Reply, page: Page) {
    reply.set("content-security-policy", page.policy());
    reply.set("permissions-policy", PERMISSIONS);
    reply.set("cross-origin-opener-policy", "same-origin");
    reply.set("cross-origin-resource-policy", "same-origin");
}

/// Which files may be asked for, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest(Value);

impl Manifest {
    /// Reads what the build wrote: `{"assets": {name: {"file": …, "type": …, "hash": …}}}`.
    ///
    /// # Errors
    /// [`Fault::Internal`] if it is no manifest.
    pub fn parse(json: &[u8]) -> Result<Self, Fault> {
        let manifest: Option<Value> = serde_json::from_slice(json).ok();
        let assets = manifest.and_then(|mut manifest| Some(manifest.get_mut("assets")?.take()));
        let assets = assets.filter(Value::is_object);
        assets
            .map(Self)
            .ok_or_else(|| Fault::Internal("the build's manifest is broken".into()))
    }

    /// The answer to a request for the file `name`, if there is one: its body is a file of the build.
    #[must_use]
    pub fn answer(&self, name: &str, if_none_match: Option<&str>) -> Option<Reply> {
        let asset = self.0.get(name)?;
        let text = |member| asset.get(member).and_then(Value::as_str);
        let (file, media_type, hash) = (text("file")?, text("type")?, text("hash")?);
        let mut reply = tagged(hash, if_none_match, media_type, Vec::new());
        if reply.status == 200 {
            reply.file = Some(file.to_owned());
        }
        reply.set("cache-control", FOREVER);
        reply.set("cross-origin-resource-policy", "same-origin");
        Some(reply)
    }
}

/// An answer with an entity tag, or none where the caller has what it stands for.
pub(crate) fn tagged(
    tag: &str,
    if_none_match: Option<&str>,
    media_type: &str,
    body: Vec<u8>,
) -> Reply {
    let tag = format!("\"{tag}\"");
    // What is on the way may have packed the body, and made the tag a weak one.
    let bare = |one: &str| one.trim().trim_start_matches("W/") == tag;
    let is_known =
        if_none_match.is_some_and(|tags| tags.trim() == "*" || tags.split(',').any(bare));
    let mut reply = if is_known {
        Reply::empty(304)
    } else {
        Reply::new(200, media_type, body)
    };
    reply.set("etag", tag);
    reply
}

/// Puts values in the place of their names in braces, as they may stand in HTML. `base` is the path
/// that the authority is under, `authority` its URL.
fn fill(config: &Config, template: &[u8], values: &[(&str, &str)]) -> Vec<u8> {
    let template = String::from_utf8_lossy(template);
    let mut out = String::with_capacity(template.len() + 512);
    let mut rest: &str = &template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, after)) = after.split_once("}}") else {
            rest = "";
            break;
        };
        let given = values.iter().find(|(given, _)| *given == name);
        match (name, given) {
            ("base", _) => out.push_str(&escape(config.authority_url.path())),
            ("authority", _) => out.push_str(&escape(&config.authority_url.to_string())),
            (_, Some((_, value))) => out.push_str(&escape(value)),
            (_, None) => {}
        }
        rest = after;
    }
    out.push_str(rest);
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TokenError;
    use crate::http::problem;
    use crate::{Echo, Error};

    fn config() -> Config {
        let url = "https://example.com/a'b";
        Config::read(|name| (name == "SIGNET_AUTHORITY_URL").then(|| url.to_owned())).unwrap()
    }

    fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
        let mut headers = reply.headers.iter();
        headers
            .find(|(present, _)| *present == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn templates_are_filled_with_escaped_values_once() {
        let fill = |template: &str, values: &[(&str, &str)]| {
            String::from_utf8(fill(&config(), template.as_bytes(), values)).unwrap()
        };
        assert_eq!(
            fill("<a href=\"{{base}}/x\">{{authority}}</a>", &[]),
            "<a href=\"/a&#39;b/x\">https://example.com/a&#39;b</a>"
        );
        assert_eq!(
            fill("{{text}}{{nobody}}.", &[("text", "<b>{{base}}")]),
            "&lt;b&gt;{{base}}."
        );
        assert_eq!(fill("a{{base", &[]), "a");
    }

    #[test]
    fn a_page_that_is_known_is_not_sent_again() {
        let first = page(&config(), Page::Me, b"{{base}}", None);
        assert_eq!((first.status, first.body.is_empty()), (200, false));
        let tag = header(&first, "etag").unwrap().to_owned();
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
            let again = page(&config(), Page::Me, b"{{base}}", Some(&known));
            assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
            assert_eq!(header(&again, "etag"), Some(tag.as_str()));
            assert_eq!(header(&again, "content-security-policy"), Some(POLICY));
        }
        assert_eq!(page(&config(), Page::Me, b"b", Some(&tag)).status, 200);
    }

    #[test]
    fn only_what_the_manifest_names_is_an_asset() {
        let json = br#"{"assets": {"a-1.js": {"file": "assets/a-1.js", "type": "text/javascript", "hash": "h"}, "b": 1}}"#;
        let manifest = Manifest::parse(json).unwrap();
        let found = manifest.answer("a-1.js", None).unwrap();
        assert_eq!(found.file.as_deref(), Some("assets/a-1.js"));
        assert_eq!(header(&found, "content-type"), Some("text/javascript"));
        let known = manifest.answer("a-1.js", Some("\"h\"")).unwrap();
        assert_eq!((known.status, known.file), (304, None));
        for name in ["b", "c", "", "assets", "../a-1.js", "a-1.js.map"] {
            assert_eq!(manifest.answer(name, None), None, "{name}");
        }
        for broken in [&b""[..], b"{}", b"{\"assets\": []}"] {
            assert!(Manifest::parse(broken).is_err());
        }
    }

    #[test]
    fn a_problem_keeps_its_status_and_headers_as_a_page() {
        let error = Error::InvalidToken(TokenError::WrongIssuer(Echo::new("<script>")));
        let reply = problem_page(&config(), &problem(&error), b"{{status}} {{text}}");
        assert_eq!(reply.status, 401);
        assert_eq!(header(&reply, "www-authenticate"), Some("Bearer"));
        assert_eq!(header(&reply, "cache-control"), Some("no-store"));
        let body = String::from_utf8(reply.body).unwrap();
        assert_eq!(body, "401 invalid token: wrong issuer: &lt;script&gt;");
        assert_eq!(Page::of(&problem(&Error::NotFound)), Page::NotFound);
    }
}

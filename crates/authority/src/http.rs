//! HTTP manners: routes, errors, headers; as decisions about values, without a server.

mod openapi;
mod pages;
mod problem;
mod route;
mod words;

use crate::Error;
use crate::config::Config;
use crate::people::session::Presented;

pub use openapi::document as openapi;
pub(crate) use pages::tagged;
pub use pages::{MANIFEST, Manifest, OPENAPI, Page, filled_page, page, problem_page, redirect};
pub use problem::{Problem, errors_markdown, problem, tell_nonce};
pub use route::{
    Body, Cache, Cors, Dispatch, Method, Operation, ROUTES, Route, Session, dispatch, markdown,
};

/// The longest body that a stranger may send, in bytes.
pub const MAX_BODY_BYTES: u32 = 64 * 1024;

/// What an answer consists of. The host adds nothing but the request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers, in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The file of the build that is the body, if `body` isn't.
    pub file: Option<String>,
}

impl Reply {
    /// An answer with a body of the media type `content_type`, not to be cached.
    #[must_use]
    pub fn new(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        let headers = vec![
            ("content-type", content_type.into()),
            ("cache-control", "no-store".into()),
        ];
        Self {
            status,
            headers,
            body,
            file: None,
        }
    }

    /// An answer without a body.
    #[must_use]
    pub const fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            file: None,
        }
    }

    /// An answer whose body is a file of the build.
    #[must_use]
    pub fn of_file(content_type: &str, file: &str) -> Self {
        Self {
            file: Some(file.into()),
            ..Self::new(200, content_type, Vec::new())
        }
    }

    /// A JSON answer, not to be cached.
    #[must_use]
    pub fn json(body: Vec<u8>) -> Self {
        Self::new(200, "application/json", body)
    }

    /// Sets a header, whether it was there or not.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.headers.retain(|(present, _)| *present != name);
        self.headers.push((name, value.into()));
    }

    /// Sets a header unless it was there.
    pub fn set_if_missing(&mut self, name: &'static str, value: &str) {
        if !self.headers.iter().any(|(present, _)| *present == name) {
            self.headers.push((name, value.into()));
        }
    }
}

/// What of a request's head matters to its answer, beside the path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// `Accept`.
    pub accept: Option<String>,
    /// `Origin`.
    pub origin: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Length`, if it is a number.
    pub content_length: Option<u64>,
    /// `Cookie`.
    pub cookie: Option<String>,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<String>,
}

impl RequestHead {
    /// Whether `Accept` names `media_type`.
    #[must_use]
    pub fn accepts(&self, media_type: &str) -> bool {
        let types = self.accept.as_deref().unwrap_or_default().split(',');
        types
            .filter_map(|entry| entry.split(';').next())
            .any(|name| name.trim().eq_ignore_ascii_case(media_type))
    }

    /// Whether the request wants `/` as JSON (notme protocol §3.7).
    #[must_use]
    pub fn wants_json(&self) -> bool {
        self.accepts("application/json") || self.accepts("application/schema+json")
    }

    /// Whether the request wants a page where there is JSON too: browsers do when they navigate.
    #[must_use]
    pub fn wants_page(&self) -> bool {
        self.accepts("text/html") && !self.wants_json()
    }

    /// Whether it has what may be a session's cookie.
    #[must_use]
    pub fn has_session_cookie(&self) -> bool {
        !matches!(Presented::read(self.cookie.as_deref()), Presented::Nothing)
    }

    /// Whether the request may use a session, or begin one: not if another site's page made it. What
    /// sends neither header is no browser, and has no cookies but its own.
    ///
    /// # Errors
    /// [`Error::CrossSite`].
    pub fn permit_page(&self, config: &Config) -> Result<(), Error> {
        let is_same_site = match self.fetch_site.as_deref() {
            None => true,
            Some(site) => matches!(site, "same-origin" | "none"),
        };
        let party = config.relying_party.as_ref();
        let is_same_origin = self.origin.as_ref().is_none_or(|origin| {
            *origin == config.authority_url.origin()
                || party.is_some_and(|party| party.origins().contains(origin))
        });
        if is_same_site && is_same_origin {
            Ok(())
        } else {
            Err(Error::CrossSite)
        }
    }

    /// Which other site's page made the request, if one did: by its origin where that is configured, for there may be many
    /// others.
    #[must_use]
    pub fn page<'a>(&'a self, config: &Config) -> Option<&'a str> {
        match self.permit_page(config) {
            Ok(()) => None,
            Err(_) => Some(allowed_origin(config, self).unwrap_or("elsewhere")),
        }
    }

    /// Whether the body says that it is a form (RFC 6749 appendix B).
    #[must_use]
    pub fn is_form(&self) -> bool {
        self.has_type("application/x-www-form-urlencoded") == Some(true)
    }

    /// Whether the body is of this media type, if it says of which it is.
    fn has_type(&self, wanted: &str) -> Option<bool> {
        let named = self.content_type.as_deref()?.split(';').next()?;
        Some(named.trim().eq_ignore_ascii_case(wanted))
    }

    /// Whether the body may be read at all.
    ///
    /// # Errors
    /// [`Error::UnsupportedMediaType`] or [`Error::BodyTooLarge`].
    pub fn permit_body(&self, body: Body) -> Result<(), Error> {
        if self
            .content_length
            .is_some_and(|bytes| bytes > u64::from(MAX_BODY_BYTES))
        {
            return Err(Error::BodyTooLarge);
        }
        match (body, self.has_type("application/json")) {
            (Body::None, _)
            | (Body::Json | Body::JsonOrForm, Some(true))
            | (Body::JsonOrUntyped, None | Some(true)) => Ok(()),
            (Body::JsonOrForm, Some(false)) if self.is_form() => Ok(()),
            (Body::Json | Body::JsonOrForm | Body::JsonOrUntyped, _) => {
                Err(Error::UnsupportedMediaType)
            }
        }
    }
}

/// The path within the authority: without the path prefix of its URL, which a proxy may have
/// stripped or not.
#[must_use]
pub fn authority_path<'a>(config: &Config, path: &'a str) -> &'a str {
    match path.strip_prefix(config.authority_url.path()) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// Headers that every answer has.
pub fn secure(reply: &mut Reply, config: Option<&Config>) {
    reply.set("x-content-type-options", "nosniff");
    reply.set("referrer-policy", "no-referrer");
    reply.set("x-frame-options", "DENY");
    // Pages have their own.
    reply.set_if_missing(
        "content-security-policy",
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    reply.set_if_missing("cross-origin-resource-policy", "cross-origin");
    if config.is_some_and(|config| config.authority_url.is_https()) {
        reply.set("strict-transport-security", "max-age=31536000");
    }
}

/// CORS headers of an answer (notme protocol §3.3).
pub fn share(reply: &mut Reply, cors: Cors, config: &Config, head: &RequestHead) {
    match cors {
        Cors::Anybody => reply.set("access-control-allow-origin", "*"),
        Cors::Configured => {
            reply.set("vary", "Origin");
            if let Some(origin) = allowed_origin(config, head) {
                reply.set("access-control-allow-origin", origin);
            }
        }
        Cors::Nobody => {}
    }
}

/// The answer to `OPTIONS` on any path.
#[must_use]
pub fn preflight(config: &Config, head: &RequestHead) -> Reply {
    let mut reply = Reply::empty(204);
    reply.set("access-control-allow-methods", "GET, POST, OPTIONS");
    reply.set(
        "access-control-allow-headers",
        "Content-Type, Authorization, DPoP",
    );
    reply.set("access-control-max-age", "86400");
    reply.set("vary", "Origin");
    if let Some(origin) = allowed_origin(config, head) {
        reply.set("access-control-allow-origin", origin);
    }
    reply
}

fn allowed_origin<'a>(config: &Config, head: &'a RequestHead) -> Option<&'a str> {
    let origin = head.origin.as_deref()?;
    config
        .cors_origins
        .iter()
        .any(|allowed| allowed == origin)
        .then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Config {
        Config::read(|name| (name == "SIGNET_AUTHORITY_URL").then(|| url.to_owned())).unwrap()
    }

    fn head(content_type: Option<&str>, content_length: Option<u64>) -> RequestHead {
        RequestHead {
            content_type: content_type.map(Into::into),
            content_length,
            ..RequestHead::default()
        }
    }

    #[test]
    fn a_path_prefix_works_stripped_or_not() {
        let config = config("https://example.com/identity");
        for (path, expected) in [
            ("/identity/cert/gha", "/cert/gha"),
            ("/cert/gha", "/cert/gha"),
            ("/identity", "/"),
            ("/identity/", "/"),
            ("/", "/"),
            ("/identityx/cert", "/identityx/cert"),
        ] {
            assert_eq!(authority_path(&config, path), expected);
        }
    }

    #[test]
    fn a_prefixless_authority_leaves_paths_alone() {
        let config = config("https://example.com");
        for path in ["/", "/cert", "//cert"] {
            assert_eq!(authority_path(&config, path), path);
        }
    }

    #[test]
    fn bodies_are_json_and_short() {
        let json = Some("application/json; charset=utf-8");
        assert_eq!(head(json, Some(65_536)).permit_body(Body::Json), Ok(()));
        assert_eq!(
            head(json, Some(65_537)).permit_body(Body::Json),
            Err(Error::BodyTooLarge)
        );
        assert_eq!(head(None, None).permit_body(Body::JsonOrUntyped), Ok(()));
        let form = Some("Application/x-www-form-urlencoded;charset=UTF-8");
        assert_eq!(head(form, None).permit_body(Body::JsonOrForm), Ok(()));
        assert_eq!(head(json, None).permit_body(Body::JsonOrForm), Ok(()));
        for other in [None, Some("text/plain"), Some("multipart/form-data")] {
            let refused = head(other, None).permit_body(Body::JsonOrForm);
            assert_eq!(refused, Err(Error::UnsupportedMediaType), "{other:?}");
        }
        for content_type in [
            "text/plain",
            "application/jsonp",
            "application/x-www-form-urlencoded",
            "",
        ] {
            for body in [Body::Json, Body::JsonOrUntyped] {
                let refused = head(Some(content_type), None).permit_body(body);
                assert_eq!(refused, Err(Error::UnsupportedMediaType), "{content_type}");
            }
        }
        assert_eq!(
            head(None, None).permit_body(Body::Json),
            Err(Error::UnsupportedMediaType)
        );
    }

    #[test]
    fn accept_is_read_as_a_list_of_media_types() {
        let accepts = |accept: &str| {
            let head = RequestHead {
                accept: Some(accept.into()),
                ..RequestHead::default()
            };
            head.accepts("text/html")
        };
        assert!(accepts("text/html"));
        assert!(accepts("application/json, Text/HTML;q=0.9"));
        assert!(!accepts("text/htmlx, */*"));
        assert!(!accepts(""));
    }

    #[test]
    fn only_configured_origins_are_shared_with() {
        let config = config("https://example.com");
        let from = |origin: &str| RequestHead {
            origin: Some(origin.into()),
            ..RequestHead::default()
        };
        let allowed = |origin| {
            let reply = preflight(&config, &from(origin));
            reply
                .headers
                .iter()
                .any(|(name, _)| *name == "access-control-allow-origin")
        };
        assert!(allowed("https://example.com"));
        for origin in [
            "https://example.com.evil.example",
            "http://example.com",
            "null",
            "https://example.com:444",
        ] {
            assert!(!allowed(origin), "{origin}");
        }
    }
}

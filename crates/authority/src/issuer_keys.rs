//! Keeping a token issuer's key set: when to use what is at hand, when to fetch, when to say no.
//!
//! One [`KeyCache`] sits in the object that fetches, so that one key set is fetched once however
//! many workers ask; each worker keeps a copy of its answers in another.

use notme_jose::JwkSet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BaseUrl, Fault};

/// How long a key set is used before the issuer is asked behind whoever needs it, in milliseconds: where there are
/// requests nobody waits for it.
const AHEAD_MILLIS: u64 = 240_000;
/// How long a key set is used without an answer to that, in milliseconds. A key that an issuer withdraws is refused
/// after this, while it can be asked: copies age with their original.
const FRESH_MILLIS: u64 = 300_000;
/// How long the last good set is used when the issuer can't be reached, in milliseconds.
const STALE_MILLIS: u64 = 3_600_000;
/// How long a fetch that failed says that the issuer can't be asked, in milliseconds: until then nobody waits for it, and
/// whoever comes later finds out.
const FAILED_MILLIS: u64 = 60_000;
/// The least time between two fetches, in milliseconds: tokens with made-up key ids can't make us
/// hammer the issuer, and a key that it just published is accepted within 15 seconds.
const BACK_OFF_MILLIS: u64 = 10_000;

/// How long a worker waits between asking the object for keys that its copy doesn't have, in
/// milliseconds. Short, because the object backs off by itself.
pub const COPY_BACK_OFF_MILLIS: u64 = 2_000;

/// The longest discovery document or key set that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: u32 = 256 * 1024;
/// How long one fetch may take, in milliseconds. A refresh makes two, and with the back-off that has to
/// stay below the 15 seconds within which a new key is accepted.
pub const FETCH_TIMEOUT_MILLIS: u32 = 2_500;

/// An issuer's key set as it travels from the object to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySetAnswer {
    /// The JWK set, as the issuer sent it.
    #[serde(with = "serde_bytes")]
    pub json: Vec<u8>,
    /// Where it signs people in, if it does.
    pub endpoints: Option<Endpoints>,
    /// When it was fetched, in Unix milliseconds.
    pub fetched_at: u64,
}

/// Where an issuer signs people in (OpenID Connect Discovery §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// `authorization_endpoint`: where their browsers go.
    pub authorization: String,
    /// `token_endpoint`: where a code is redeemed.
    pub token: String,
    /// Whether it takes a client's secret in the body and not in a header.
    pub has_secret_in_body: bool,
    /// Whether it says with each answer that it is its (RFC 9207 §3).
    pub names_itself: bool,
}

/// What a discovery document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// Where the keys are.
    pub jwks_uri: String,
    /// Where the issuer signs people in, if it does.
    pub endpoints: Option<Endpoints>,
}

/// Where an issuer says where its keys are (OpenID Connect Discovery §4).
#[must_use]
pub fn discovery_url(issuer: &str) -> String {
    format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    )
}

impl Discovered {
    /// Reads `issuer`'s discovery document.
    ///
    /// # Errors
    /// [`Fault::IssuerUnavailable`] if the document isn't the issuer's, or sends us for its keys to plain http or from a
    /// public name to what isn't one. If it does so for what signs people in, it signs nobody in.
    pub fn read(issuer: &str, discovery: &[u8]) -> Result<Self, Fault> {
        let error = |why: &str| {
            Fault::IssuerUnavailable(format!("the discovery document of {issuer} {why}"))
        };
        let document: Value = serde_json::from_slice(discovery).map_err(|_| error("isn't JSON"))?;
        let member = |name: &str| document.get(name).and_then(Value::as_str);
        // OpenID Connect Discovery §4.3: exactly.
        if member("issuer") != Some(issuer) {
            return Err(error("names another issuer"));
        }
        let issuer = BaseUrl::parse(issuer).ok();
        let place = |name: &str| {
            let uri = member(name).ok_or("which isn't there")?;
            permit_place(issuer.as_ref(), uri)?;
            Ok(uri.to_owned())
        };
        let methods = document.get("token_endpoint_auth_methods_supported");
        let takes = |name: &str| match methods.and_then(Value::as_array) {
            // Discovery §3: the default.
            None => name == "client_secret_basic",
            Some(methods) => methods.iter().any(|method| method == name),
        };
        let endpoint = |name| place(name).ok().filter(|uri| !uri.contains('#'));
        let endpoints = endpoint("authorization_endpoint").zip(endpoint("token_endpoint"));
        Ok(Self {
            jwks_uri: place("jwks_uri")
                .map_err(|why: &str| error(&format!("has a jwks_uri {why}")))?,
            endpoints: endpoints.map(|(authorization, token)| Endpoints {
                authorization,
                token,
                has_secret_in_body: !takes("client_secret_basic") && takes("client_secret_post"),
                names_itself: document.get("authorization_response_iss_parameter_supported")
                    == Some(&Value::Bool(true)),
            }),
        })
    }
}

/// Whether a document of this issuer may lead there.
fn permit_place(issuer: Option<&BaseUrl>, uri: &str) -> Result<(), &'static str> {
    let place = uri.split('?').next().unwrap_or_default();
    let url = BaseUrl::parse(place).map_err(|_| "that isn't an https URL")?;
    if url.may_be_loopback() && !issuer.is_some_and(BaseUrl::is_loopback) {
        return Err("on this machine");
    }
    if !url.is_public() && issuer.is_none_or(BaseUrl::is_public) {
        return Err("that isn't public");
    }
    Ok(())
}

/// What is known of an issuer's keys. Times are Unix milliseconds.
#[derive(Clone, Debug, Default)]
pub struct KeyCache {
    fetched: Option<Fetched>,
    attempted_at: Option<u64>,
}

#[derive(Clone, Debug)]
struct Fetched {
    set: JwkSet,
    endpoints: Option<Endpoints>,
    at: u64,
}

impl Fetched {
    /// Whether it says what somebody wants to know: of a key by its id, or of where people sign in.
    fn knows(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.set.knows(kid))
    }
}

/// What to do for a token that names a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Look the key up in what is at hand; if it isn't there, it is unknown.
    Use,
    /// The same, and ask behind it.
    Refresh,
    /// Ask (the object, or the issuer) first.
    Fetch,
    /// There is nothing to look up in, and it is too early to ask again.
    Unavailable,
}

impl KeyCache {
    /// What to do at `now` for a token that names `kid`; without one, for whoever wants to sign in.
    #[must_use]
    pub fn plan(&self, kid: Option<&str>, now: u64) -> Plan {
        // What is from the future was noted by a clock that has gone back since: it counts as old.
        let within = |since: u64, limit| now.checked_sub(since).is_some_and(|age| age < limit);
        let backing_off = self
            .attempted_at
            .is_some_and(|at| within(at, BACK_OFF_MILLIS));
        match &self.fetched {
            Some(held) if held.knows(kid) && within(held.at, AHEAD_MILLIS) => Plan::Use,
            _ if backing_off => self.plan_without(within),
            Some(held) if held.knows(kid) && within(held.at, FRESH_MILLIS) => Plan::Refresh,
            // It couldn't be asked a moment ago: nobody waits until it can.
            Some(held)
                if held.knows(kid)
                    && within(held.at, STALE_MILLIS)
                    && self
                        .attempted_at
                        .is_some_and(|at| at > held.at && within(at, FAILED_MILLIS)) =>
            {
                Plan::Refresh
            }
            _ => Plan::Fetch,
        }
    }

    /// What to do while the issuer isn't asked.
    fn plan_without(&self, within: impl Fn(u64, u64) -> bool) -> Plan {
        match &self.fetched {
            Some(held) if within(held.at, STALE_MILLIS) => Plan::Use,
            _ => Plan::Unavailable,
        }
    }

    /// The key set at hand.
    #[must_use]
    pub fn keys(&self) -> Option<&JwkSet> {
        self.fetched.as_ref().map(|held| &held.set)
    }

    /// Where the issuer signs people in, as far as that is at hand.
    #[must_use]
    pub fn endpoints(&self) -> Option<&Endpoints> {
        self.fetched.as_ref()?.endpoints.as_ref()
    }

    /// Whether that is at hand and not too old to be used while a newer set is being fetched.
    #[must_use]
    pub fn can_serve(&self, kid: Option<&str>, now: u64) -> bool {
        self.fetched.as_ref().is_some_and(|held| {
            held.knows(kid)
                && now
                    .checked_sub(held.at)
                    .is_some_and(|age| age < STALE_MILLIS)
        })
    }

    /// Notes that the issuer was asked, successfully or not, at `now`. Only once it has answered: who
    /// comes while it is being asked has to wait instead of being told that there is nothing.
    pub const fn attempt(&mut self, now: u64) {
        self.attempted_at = Some(now);
    }

    /// Notes that a copy of this cache was brought up to date at `now`: it asks again only after
    /// [`COPY_BACK_OFF_MILLIS`].
    pub const fn copied(&mut self, now: u64) {
        self.attempt(now.saturating_sub(BACK_OFF_MILLIS - COPY_BACK_OFF_MILLIS));
    }

    /// Takes what was fetched at `at`.
    pub fn store(&mut self, set: JwkSet, endpoints: Option<Endpoints>, at: u64) {
        self.fetched = Some(Fetched { set, endpoints, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kid: &str) -> JwkSet {
        let json = format!(
            r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]}}"#
        );
        JwkSet::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn discovery_documents_are_checked() {
        let issuer = "https://ghe.example.com/_services/token";
        let document =
            |issuer: &str, uri: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}"}}"#);
        let uri = "https://ghe.example.com/_services/token/.well-known/jwks";
        assert_eq!(
            discovery_url(issuer),
            "https://ghe.example.com/_services/token/.well-known/openid-configuration"
        );
        let jwks_uri = |issuer: &str, document: &[u8]| {
            Discovered::read(issuer, document).map(|discovered| discovered.jwks_uri)
        };
        assert_eq!(
            jwks_uri(issuer, document(issuer, uri).as_bytes()).unwrap(),
            uri
        );
        for bad in [
            document("https://evil.example", uri),
            document("https://ghe.example.com/_services/token/", uri),
            document(issuer, "http://ghe.example.com/jwks"),
            document(issuer, "http://127.0.0.1/jwks"),
            document(issuer, "https://localhost/jwks"),
            document(issuer, "https://10.0.0.1/jwks"),
            document(issuer, "https://vault.internal/jwks"),
            document(issuer, "file:///etc/passwd"),
            "{}".into(),
            "[]".into(),
            String::new(),
        ] {
            assert!(jwks_uri(issuer, bad.as_bytes()).is_err(), "{bad}");
        }
        let local = "http://127.0.0.1:9";
        let lan = "https://10.0.0.1";
        assert!(jwks_uri(lan, document(lan, "https://10.0.0.2/jwks").as_bytes()).is_ok());
        for uri in [
            "http://127.0.0.1/jwks",
            "https://127.1/jwks",
            "https://0.0.0.0/jwks",
            "https://[::ffff:127.0.0.1]/",
        ] {
            assert!(
                jwks_uri(lan, document(lan, uri).as_bytes()).is_err(),
                "{uri}"
            );
        }
        assert!(jwks_uri(local, document(local, "http://127.0.0.1:9/jwks").as_bytes()).is_ok());
    }

    #[test]
    fn people_sign_in_where_the_issuer_says_unless_that_leads_astray() {
        let issuer = "https://login.example";
        let read = |more: Value| {
            let mut document = serde_json::json!({ "issuer": issuer, "jwks_uri": "https://login.example/keys",
                "authorization_endpoint": "https://login.example/auth?p=1", "token_endpoint": "https://api.example/token" });
            let members = document.as_object_mut().unwrap();
            members.extend(more.as_object().unwrap().clone());
            let document = document.to_string();
            Discovered::read(issuer, document.as_bytes())
                .unwrap()
                .endpoints
        };
        let found = read(serde_json::json!({})).unwrap();
        assert_eq!(found.authorization, "https://login.example/auth?p=1");
        assert_eq!(found.token, "https://api.example/token");
        assert!(!found.names_itself);
        let naming = serde_json::json!({ "authorization_response_iss_parameter_supported": true });
        assert!(read(naming).unwrap().names_itself);
        for (methods, in_body) in [
            (serde_json::json!(["client_secret_post"]), true),
            (
                serde_json::json!(["client_secret_post", "client_secret_basic"]),
                false,
            ),
            (serde_json::json!(["private_key_jwt"]), false),
            (Value::Null, false),
        ] {
            let found =
                read(serde_json::json!({ "token_endpoint_auth_methods_supported": methods }));
            assert_eq!(found.unwrap().has_secret_in_body, in_body, "{methods}");
        }
        for name in ["authorization_endpoint", "token_endpoint"] {
            for bad in [
                Value::Null,
                serde_json::json!(1),
                "javascript:alert(1)//https://login.example".into(),
                "http://login.example/x".into(),
                "http://127.0.0.1/x".into(),
                "https://10.0.0.1/x".into(),
                "https://vault.internal/x".into(),
                "https://login.example/x#y".into(),
            ] {
                assert_eq!(
                    read(serde_json::json!({ name: bad })),
                    None,
                    "{name}: {bad}"
                );
            }
        }
    }

    #[test]
    fn where_people_sign_in_is_asked_as_seldom_as_keys_are() {
        let mut cache = KeyCache::default();
        assert_eq!(cache.plan(None, 0), Plan::Fetch);
        cache.attempt(0);
        assert_eq!(cache.plan(None, 1), Plan::Unavailable);
        cache.store(set("a"), None, 0);
        assert_eq!((cache.plan(None, 1), cache.endpoints()), (Plan::Use, None));
        assert_eq!(cache.plan(None, 300_000), Plan::Fetch);
        assert!(cache.can_serve(None, 3_599_999) && !cache.can_serve(None, 3_600_000));
    }

    #[test]
    fn a_known_key_needs_no_fetch_while_fresh() {
        let mut cache = KeyCache::default();
        assert_eq!(cache.plan(Some("a"), 1_000_000), Plan::Fetch);
        cache.attempt(1_000_000);
        cache.store(set("a"), None, 1_000_000);
        assert_eq!(cache.plan(Some("a"), 1_000_000), Plan::Use);
        assert_eq!(cache.plan(Some("a"), 1_239_999), Plan::Use);
        // Then it is asked before it has to be.
        assert_eq!(cache.plan(Some("a"), 1_240_000), Plan::Refresh);
        assert_eq!(cache.plan(Some("a"), 1_299_999), Plan::Refresh);
        assert_eq!(cache.plan(Some("a"), 1_300_000), Plan::Fetch);
    }

    #[test]
    fn whoever_comes_late_waits_for_the_issuer_unless_it_could_not_be_asked() {
        let mut cache = KeyCache::default();
        cache.attempt(0);
        cache.store(set("a"), None, 0);
        assert_eq!(cache.plan(Some("a"), 300_000), Plan::Fetch);
        cache.attempt(300_000);
        assert_eq!(cache.plan(Some("a"), 309_999), Plan::Use);
        assert_eq!(cache.plan(Some("a"), 310_000), Plan::Refresh);
        assert_eq!(cache.plan(Some("b"), 310_000), Plan::Fetch);
        assert_eq!(cache.plan(Some("a"), 359_999), Plan::Refresh);
        // It may be there again by now.
        assert_eq!(cache.plan(Some("a"), 360_000), Plan::Fetch);
        cache.attempt(3_595_000);
        assert_eq!(cache.plan(Some("a"), 3_599_999), Plan::Use);
        assert_eq!(cache.plan(Some("a"), 3_600_000), Plan::Unavailable);
        assert_eq!(cache.plan(Some("a"), 3_605_000), Plan::Fetch);
        cache.store(set("a"), None, 310_000);
        assert_eq!(cache.plan(Some("a"), 610_000), Plan::Fetch);
    }

    #[test]
    fn unknown_keys_cause_one_fetch_in_ten_seconds() {
        let mut cache = KeyCache::default();
        cache.attempt(0);
        cache.store(set("a"), None, 0);
        for now in [0, 9_999] {
            assert_eq!(cache.plan(Some("b"), now), Plan::Use, "{now}");
        }
        assert_eq!(cache.plan(Some("b"), 10_000), Plan::Fetch);
        cache.attempt(10_000);
        assert_eq!(cache.plan(Some("b"), 19_999), Plan::Use);
        assert_eq!(cache.plan(Some("a"), 19_999), Plan::Use);
    }

    #[test]
    fn an_unreachable_issuer_is_asked_again_after_the_back_off() {
        let mut cache = KeyCache::default();
        cache.attempt(0);
        assert_eq!(cache.plan(Some("a"), 1), Plan::Unavailable);
        assert_eq!(cache.plan(Some("a"), 10_000), Plan::Fetch);
    }

    #[test]
    fn the_last_good_set_serves_for_an_hour() {
        let mut cache = KeyCache::default();
        cache.store(set("a"), None, 0);
        assert!(cache.can_serve(Some("a"), 3_599_999) && !cache.can_serve(Some("a"), 3_600_000));
        assert!(!cache.can_serve(Some("b"), 1));
        cache.attempt(3_599_000);
        assert_eq!(cache.plan(Some("a"), 3_599_999), Plan::Use);
        assert_eq!(cache.plan(Some("a"), 3_600_000), Plan::Unavailable);
    }

    #[test]
    fn a_clock_that_went_back_freezes_nothing() {
        let mut cache = KeyCache::default();
        cache.attempt(u64::MAX);
        cache.store(set("a"), None, u64::MAX);
        assert_eq!(cache.plan(Some("a"), 0), Plan::Fetch);
        assert!(!cache.can_serve(Some("a"), 0));
    }
}

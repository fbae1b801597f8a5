//! Letting an application act for oneself: `/authorize` and `/authorize/code` (notme protocol §12.4, RFC 6749
//! §4.1, RFC 7636, RFC 9700).
//!
//! What is wrong with a request is told to whoever looks at it, and never sent on to where it says: the
//! protocol's clients expect it so, and what has no answer can't be led astray.

use notme_keys::decode_base64url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{self, Client};
use super::code::{Code, digest};
use super::proof::is_thumbprint;
use super::{TokenRules, request};
use crate::people::Scopes;
use crate::people::admin::Query;
use crate::people::body::object;
use crate::people::challenge::CODE_LIFETIME_SECS;
use crate::people::command::Origin;
use crate::url::encode_component;
use crate::{Echo, Error};

/// The longest `state`, in bytes.
const MAX_STATE_LEN: usize = 1024;

/// What is wrong with a code challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeProblem {
    /// There is none: a code that anybody can redeem who sees it isn't given out.
    Missing,
    /// Another method than S256, or none.
    Method,
    /// It is no SHA-256 in base64url.
    Malformed,
}

/// A parameter that may be there, by its name.
type Given<'a> = &'a mut dyn FnMut(&str) -> Option<String>;

/// What an application asks somebody for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Who asks.
    pub client: Client,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// Whom the token is for.
    pub audience: String,
    /// What it is to carry.
    pub scopes: Scopes,
    state: Option<String>,
    code_challenge: [u8; 32],
    thumbprint: Option<String>,
    issuer: String,
}

/// What the signing object is asked for: a code, for whoever has this session and consents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// The hash of the session's secret.
    pub session: [u8; 32],
    /// What it will stand for, as bytes of [`Code`]; the object writes whose session it is.
    #[serde(with = "serde_bytes")]
    pub code: Vec<u8>,
    /// Where it goes, for the trail.
    pub redirect_uri: String,
    /// Where from.
    pub origin: Origin,
}

impl Authorization {
    /// Reads the query of `/authorize`.
    ///
    /// # Errors
    /// In the order of the protocol: [`Error::BadCodeChallenge`], [`Error::BadRedirectUri`]; then the rest.
    pub fn from_query(rules: &TokenRules, query: &str) -> Result<Self, Error> {
        let query = Query::parse(query);
        let mut query = query.map_err(|_| {
            Error::InvalidRequest("the query has the wrong form, or a parameter twice")
        })?;
        let given: Given<'_> = &mut |name| query.take(name);
        let challenge = given("code_challenge");
        let method = given("code_challenge_method");
        let challenge = challenge
            .map(|challenge| challenge_of(&challenge, method.as_deref().unwrap_or_default()))
            .transpose()?;
        let (client, redirect_uri) = client_of(rules, given)?;
        let code_challenge = challenge.ok_or(Error::BadCodeChallenge(ChallengeProblem::Missing))?;
        if given("response_type").is_some_and(|kind| kind != "code") {
            return Err(Error::InvalidRequest("response_type must be code"));
        }
        if given("response_mode").is_some_and(|mode| mode != "query") {
            return Err(Error::InvalidRequest("response_mode must be query"));
        }
        let audience = given("audience").or_else(|| given("resource"));
        let audience = audience.unwrap_or_else(|| client.default_audience(rules));
        permit_audience(rules, &client, &audience)?;
        Self::read(rules, client, redirect_uri, audience, code_challenge, given)
    }

    /// Reads the body of `/authorize/code`: the same as an object, after whoever has the session consented.
    ///
    /// # Errors
    /// In the order of the protocol: [`Error::AudienceRequired`], [`Error::AudienceNotAllowed`],
    /// [`Error::BadRedirectUri`], [`Error::BadCodeChallenge`]; then the rest.
    pub fn from_body(rules: &TokenRules, body: &[u8]) -> Result<Self, Error> {
        let json: Value = object(body)?;
        let given: Given<'_> = &mut |name| {
            let text = json.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let audience = given("audience").ok_or(Error::AudienceRequired)?;
        rules.permit_audience(&audience)?;
        let (client, redirect_uri) = client_of(rules, given)?;
        permit_audience(rules, &client, &audience)?;
        let challenge = given("code_challenge");
        let challenge = challenge.ok_or(Error::BadCodeChallenge(ChallengeProblem::Missing))?;
        let method = given("code_challenge_method");
        let challenge = challenge_of(&challenge, method.as_deref().unwrap_or("S256"))?;
        Self::read(rules, client, redirect_uri, audience, challenge, given)
    }

    fn read(
        rules: &TokenRules,
        client: Client,
        redirect_uri: String,
        audience: String,
        code_challenge: [u8; 32],
        given: Given<'_>,
    ) -> Result<Self, Error> {
        let (asked, requested) = request::scopes(given("scope").as_deref());
        let scopes = asked.narrowed_to(&client.scopes);
        if scopes.is_empty() {
            return Err(Error::ScopesNotEligible { requested });
        }
        let thumbprint = given("dpop_jkt");
        if thumbprint.as_ref().is_some_and(|jkt| !is_thumbprint(jkt)) {
            return Err(Error::InvalidRequest("dpop_jkt is no thumbprint of a key"));
        }
        let state = given("state");
        if state
            .as_ref()
            .is_some_and(|state| state.len() > MAX_STATE_LEN)
        {
            return Err(Error::InvalidRequest("state is too long"));
        }
        Ok(Self {
            client,
            redirect_uri,
            audience,
            scopes,
            state,
            code_challenge,
            thumbprint,
            issuer: rules.issuer.clone(),
        })
    }

    /// What a code for it stands for, once it is known whose session it is.
    #[inline(never)]
    #[must_use]
    pub fn code(&self) -> Code {
        Code {
            session: String::new(),
            client: self.client.id.clone(),
            redirect_uri: digest(&self.redirect_uri),
            audience: self.audience.clone(),
            scopes: self.scopes.clone(),
            code_challenge: self.code_challenge,
            thumbprint: self.thumbprint.clone(),
        }
    }

    /// Where the browser goes with a code, or after a no.
    #[must_use]
    pub fn answer(&self, code: Option<&str>) -> String {
        let first = match code {
            Some(code) => ("code", code),
            None => ("error", "access_denied"),
        };
        let state = self.state.as_deref().map(|state| ("state", state));
        // So that an application of several authorities knows whose answer it is (RFC 9207).
        let issuer = Some(("iss", self.issuer.as_str()));
        let mut location = self.redirect_uri.clone();
        for (name, value) in [Some(first), state, issuer].into_iter().flatten() {
            location.push(if location.contains('?') { '&' } else { '?' });
            location.push_str(name);
            location.push('=');
            encode_component(value, &mut location);
        }
        location
    }

    /// The answer to whoever consented.
    #[must_use]
    pub fn consented(&self, code: &str) -> Vec<u8> {
        // Neither has a character that JSON would escape.
        let location = self.answer(Some(code));
        format!(r#"{{"code":"{code}","expires_in":{CODE_LIFETIME_SECS},"location":"{location}"}}"#)
            .into_bytes()
    }

    /// The scopes that were asked for, to repeat them to whoever gets none.
    #[must_use]
    pub fn asked(&self) -> Vec<Echo> {
        self.scopes
            .names()
            .iter()
            .map(|name| Echo::new(name))
            .collect()
    }

    /// What the page tells and sends back, by the names that its template has for it.
    #[must_use]
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let after_scheme = self.redirect_uri.split_once("://");
        let host = after_scheme.and_then(|(_, rest)| rest.split(['/', '?']).next());
        vec![
            ("client", self.client.id.clone()),
            ("name", self.client.name.clone()),
            ("host", host.unwrap_or_default().to_owned()),
            ("redirect_uri", self.redirect_uri.clone()),
            ("audience", self.audience.clone()),
            ("scope", self.scopes.names().join(" ")),
            ("state", optional(&self.state)),
            (
                "code_challenge",
                notme_keys::encode_base64url(&self.code_challenge),
            ),
            ("dpop_jkt", optional(&self.thumbprint)),
            ("denied", self.answer(None)),
        ]
    }
}

impl Client {
    /// Whom its tokens are for if a request doesn't say: the first that it is registered with, or this authority
    /// itself.
    fn default_audience(&self, rules: &TokenRules) -> String {
        let own = self.audiences.as_ref().and_then(|list| list.first());
        let first = own.or_else(|| rules.audiences.first());
        first.cloned().unwrap_or_default()
    }
}

fn permit_audience(rules: &TokenRules, client: &Client, audience: &str) -> Result<(), Error> {
    rules.permit_audience(audience)?;
    match &client.audiences {
        Some(own) if !own.iter().any(|allowed| allowed == audience) => {
            Err(Error::AudienceNotAllowed(own.clone()))
        }
        _ => Ok(()),
    }
}

fn client_of(rules: &TokenRules, given: Given<'_>) -> Result<(Client, String), Error> {
    let (id, uri) = (given("client_id"), given("redirect_uri"));
    let uri = uri.unwrap_or_default();
    let client = client::find(&rules.clients, id.as_deref(), &uri);
    Ok((client.map_err(Error::BadRedirectUri)?.clone(), uri))
}

fn challenge_of(challenge: &str, method: &str) -> Result<[u8; 32], Error> {
    let problem = |problem| Err(Error::BadCodeChallenge(problem));
    if method != "S256" {
        return problem(ChallengeProblem::Method);
    }
    match decode_base64url(challenge).map(<[u8; 32]>::try_from) {
        Some(Ok(challenge)) => Ok(challenge),
        _ => problem(ChallengeProblem::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::client::RedirectProblem;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn rules() -> TokenRules {
        let clients = r#"[{"id": "app", "name": "An app", "redirect_uris": ["https://app.example/cb", "https://app.example/cb?x=1", "http://127.0.0.1/cb"]},
            {"id": "narrow", "redirect_uris": ["https://n.example/"], "audiences": ["https://b.example"]}]"#;
        TokenRules {
            issuer: "https://a.example".into(),
            audiences: vec!["https://a.example".into(), "https://b.example".into()],
            clients: Client::read_all(clients).unwrap(),
            requires_nonce: false,
        }
    }

    fn query(change: &[(&str, Option<&str>)]) -> Result<Authorization, Error> {
        let mut parameters = vec![
            ("client_id", "app"),
            ("redirect_uri", "https://app.example/cb"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in change {
            parameters.retain(|(known, _)| known != name);
            parameters.extend(value.map(|value| (*name, value)));
        }
        let mut text = String::new();
        for (name, value) in parameters {
            text.push_str(&format!("&{name}="));
            encode_component(value, &mut text);
        }
        Authorization::from_query(&rules(), &text)
    }

    #[test]
    fn a_good_request_says_who_asks_for_what() {
        let read = query(&[("state", Some("a b&c")), ("response_type", Some("code"))]).unwrap();
        assert_eq!(
            (read.client.name.as_str(), read.audience.as_str()),
            ("An app", "https://a.example")
        );
        assert_eq!(
            read.answer(Some("C-_~")),
            "https://app.example/cb?code=C-_~&state=a%20b%26c&iss=https%3A%2F%2Fa.example"
        );
        let nameless = query(&[
            ("client_id", None),
            ("redirect_uri", Some("https://app.example/cb?x=1")),
        ]);
        assert_eq!(
            nameless.unwrap().answer(None),
            "https://app.example/cb?x=1&error=access_denied&iss=https%3A%2F%2Fa.example"
        );
        let asked = query(&[
            ("audience", Some("https://b.example")),
            ("scope", Some("bridgeCert authorityManage")),
        ])
        .unwrap();
        assert_eq!(
            (asked.audience.as_str(), asked.scopes.names()),
            ("https://b.example", vec!["bridgeCert".to_owned()])
        );
        let narrow = query(&[
            ("client_id", Some("narrow")),
            ("redirect_uri", Some("https://n.example/")),
        ]);
        assert_eq!(narrow.unwrap().audience, "https://b.example");
        let shown = query(&[("redirect_uri", Some("http://127.0.0.1:4711/cb"))])
            .unwrap()
            .shown();
        assert!(shown.contains(&("host", "127.0.0.1:4711".into())));
    }

    #[test]
    fn a_bad_request_is_refused_with_the_first_thing_that_is_wrong() {
        let missing = Error::BadCodeChallenge(ChallengeProblem::Missing);
        let method = Error::BadCodeChallenge(ChallengeProblem::Method);
        let malformed = Error::BadCodeChallenge(ChallengeProblem::Malformed);
        let redirect = Error::BadRedirectUri;
        let not_eligible = |name| Error::ScopesNotEligible {
            requested: vec![Echo::new(name)],
        };
        let long = "s".repeat(MAX_STATE_LEN + 1);
        for (change, error) in [
            (
                &[("code_challenge", None), ("redirect_uri", None)][..],
                redirect(RedirectProblem::Missing),
            ),
            (
                &[("code_challenge", Some("x")), ("redirect_uri", None)],
                malformed.clone(),
            ),
            (
                &[("code_challenge_method", None), ("redirect_uri", None)],
                method.clone(),
            ),
            (&[("code_challenge_method", Some("plain"))], method),
            (
                &[(
                    "code_challenge",
                    Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c="),
                )],
                malformed,
            ),
            (&[("code_challenge", None)], missing),
            (
                &[("redirect_uri", Some("https://evil.example/cb"))],
                redirect(RedirectProblem::Unregistered),
            ),
            (
                &[("client_id", Some("narrow"))],
                redirect(RedirectProblem::Unregistered),
            ),
            (
                &[("client_id", Some("nobody"))],
                redirect(RedirectProblem::Unregistered),
            ),
            (
                &[("response_type", Some("token"))],
                Error::InvalidRequest("response_type must be code"),
            ),
            (
                &[("response_mode", Some("fragment"))],
                Error::InvalidRequest("response_mode must be query"),
            ),
            (
                &[("audience", Some("https://c.example"))],
                Error::AudienceNotAllowed(rules().audiences),
            ),
            (
                &[("resource", Some("https://c.example"))],
                Error::AudienceNotAllowed(rules().audiences),
            ),
            (
                &[
                    ("client_id", Some("narrow")),
                    ("redirect_uri", Some("https://n.example/")),
                    ("audience", Some("https://a.example")),
                ],
                Error::AudienceNotAllowed(vec!["https://b.example".into()]),
            ),
            (
                &[("scope", Some("authorityManage"))],
                not_eligible("authorityManage"),
            ),
            (&[("scope", Some("openid"))], not_eligible("openid")),
            (
                &[("dpop_jkt", Some("AA"))],
                Error::InvalidRequest("dpop_jkt is no thumbprint of a key"),
            ),
            (
                &[("state", Some(&long))],
                Error::InvalidRequest("state is too long"),
            ),
        ] {
            assert_eq!(query(change), Err(error), "{change:?}");
        }
        let twice = format!(
            "redirect_uri=https://app.example/cb&redirect_uri=https://evil.example/&code_challenge={CHALLENGE}"
        );
        let refused = Authorization::from_query(&rules(), &twice);
        assert!(matches!(refused, Err(Error::InvalidRequest(_))));
    }

    #[test]
    fn a_body_says_the_same_in_its_own_order() {
        let body =
            |members: &str| Authorization::from_body(&rules(), format!("{{{members}}}").as_bytes());
        let good = format!(
            r#""audience": "https://a.example", "redirect_uri": "https://app.example/cb", "code_challenge": "{CHALLENGE}""#
        );
        let read = body(&good).unwrap();
        assert_eq!(Ok(read.code()), query(&[]).map(|read| read.code()));
        for (members, error) in [
            (String::new(), Error::AudienceRequired),
            (r#""audience": 1"#.into(), Error::AudienceRequired),
            (
                r#""audience": "x""#.into(),
                Error::AudienceNotAllowed(rules().audiences),
            ),
            (
                r#""audience": "https://a.example""#.into(),
                Error::BadRedirectUri(RedirectProblem::Missing),
            ),
            (
                good.replace(CHALLENGE, ""),
                Error::BadCodeChallenge(ChallengeProblem::Missing),
            ),
            (
                good.replace(CHALLENGE, "x"),
                Error::BadCodeChallenge(ChallengeProblem::Malformed),
            ),
            (
                format!(r#"{good}, "code_challenge_method": "plain""#),
                Error::BadCodeChallenge(ChallengeProblem::Method),
            ),
        ] {
            assert_eq!(body(&members), Err(error), "{members}");
        }
    }
}

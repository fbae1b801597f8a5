//! What is asked for at `/token` and `/authorize/redeem`.

use serde_json::Value;

use super::code::{Redemption, digest};
use crate::people::admin::Query;
use crate::people::body::{object, text};
use crate::people::{Scope, Scopes};
use crate::{Echo, Error};

/// How many of the scopes that were asked for are repeated to whoever gets none of them.
const MAX_ECHOED: usize = 20;
/// The longest code verifier, in bytes (RFC 7636 §4.1).
const MAX_VERIFIER_LEN: usize = 128;
/// The shortest.
const MIN_VERIFIER_LEN: usize = 43;

/// What whoever has a session asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Whom the token is for.
    pub audience: String,
    /// What it is to carry.
    pub scopes: Scopes,
    /// The same, as it was put.
    pub asked: Vec<Echo>,
}

impl Wish {
    /// Reads `{audience, scope?}`.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::InvalidMember`], [`Error::AudienceRequired`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let json: Value = object(body)?;
        let audience = text(json.get("audience"), "audience")?.unwrap_or_default();
        if audience.is_empty() {
            return Err(Error::AudienceRequired);
        }
        let (scopes, asked) = scopes(text(json.get("scope"), "scope")?);
        Ok(Self {
            audience: audience.to_owned(),
            scopes,
            asked,
        })
    }
}

/// The scopes that a text names (RFC 6749 §3.3), and what it calls them. Who says nothing asks for what whoever
/// is here may do.
pub(super) fn scopes(text: Option<&str>) -> (Scopes, Vec<Echo>) {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return (Scopes::of_anybody(), Vec::new());
    };
    let names = || text.split(' ').filter(|name| !name.is_empty());
    // A name that isn't a scope is one that nobody was granted.
    let scopes = names().filter_map(Scope::parse).collect();
    (scopes, names().take(MAX_ECHOED).map(Echo::new).collect())
}

impl Redemption {
    /// Reads `{code, code_verifier, redirect_uri, client_id?}` (notme protocol §12.4).
    ///
    /// # Errors
    /// [`Error::InvalidJson`] and [`Error::InvalidRequest`].
    pub fn from_json(body: &[u8]) -> Result<Self, Error> {
        let json: Value = object(body)?;
        Self::read(&mut |name| json.get(name)?.as_str().map(str::to_owned))
    }

    /// Reads a form: RFC 6749 §4.1.3, with the verifier of RFC 7636.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] and [`Error::UnsupportedGrantType`].
    pub fn from_form(body: &[u8]) -> Result<Self, Error> {
        let form = std::str::from_utf8(body)
            .ok()
            .and_then(|body| Query::parse(body).ok());
        let mut form = form.ok_or(Error::InvalidRequest("the body is no form"))?;
        match form.take("grant_type").as_deref() {
            None => return Err(Error::InvalidRequest("grant_type required")),
            Some("authorization_code") => {}
            Some(_) => return Err(Error::UnsupportedGrantType),
        }
        let redemption = Self::read(&mut |name| form.take(name))?;
        // Whoever has no secret says who they are (§4.1.3).
        if redemption.client.is_none() {
            return Err(Error::InvalidRequest("client_id required"));
        }
        Ok(redemption)
    }

    fn read(member: &mut dyn FnMut(&'static str) -> Option<String>) -> Result<Self, Error> {
        let mut required = |name, problem| {
            let value = member(name).filter(|value| !value.is_empty());
            value.ok_or(Error::InvalidRequest(problem))
        };
        let code = required("code", "code required")?;
        let bad_verifier = "code_verifier must be 43-128 unreserved characters (RFC 7636 §4.1)";
        let verifier = required("code_verifier", bad_verifier)?;
        if !is_verifier(&verifier) {
            return Err(Error::InvalidRequest(bad_verifier));
        }
        let redirect_uri = required("redirect_uri", "redirect_uri required")?;
        Ok(Self {
            code,
            verifier: digest(&verifier),
            redirect_uri: digest(&redirect_uri),
            client: member("client_id"),
        })
    }
}

fn is_verifier(text: &str) -> bool {
    (MIN_VERIFIER_LEN..=MAX_VERIFIER_LEN).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    #[test]
    fn a_wish_has_an_audience_and_may_name_scopes() {
        let parse = |body: &str| Wish::parse(body.as_bytes());
        let wish = parse(r#"{"audience": "https://a.example", "more": 1}"#).unwrap();
        assert_eq!(wish.scopes.names(), ["bridgeCert"]);
        let wish = parse(r#"{"audience": "a", "scope": "certMint  nope bridgeCert"}"#).unwrap();
        assert_eq!(wish.scopes.names(), ["bridgeCert", "certMint"]);
        assert_eq!(wish.asked.len(), 3);
        for (body, error) in [
            ("", Error::InvalidJson),
            ("[]", Error::InvalidJson),
            ("{", Error::InvalidJson),
            ("{}", Error::AudienceRequired),
            (r#"{"audience": ""}"#, Error::AudienceRequired),
            (r#"{"audience": null}"#, Error::AudienceRequired),
            (r#"{"audience": ["a"]}"#, Error::InvalidMember("audience")),
            (
                r#"{"audience": "a", "scope": 1}"#,
                Error::InvalidMember("scope"),
            ),
        ] {
            assert_eq!(parse(body), Err(error), "{body}");
        }
    }

    #[test]
    fn a_redemption_is_the_same_as_json_and_as_a_form() {
        let json = format!(
            r#"{{"code": "c", "code_verifier": "{VERIFIER}", "redirect_uri": "https://a.example/?x=1", "client_id": "app"}}"#
        );
        let form = format!(
            "grant_type=authorization_code&code=c&code_verifier={VERIFIER}&redirect_uri=https%3A%2F%2Fa.example%2F%3Fx%3D1&client_id=app"
        );
        let read = Redemption::from_json(json.as_bytes()).unwrap();
        assert_eq!(Redemption::from_form(form.as_bytes()), Ok(read.clone()));
        assert_eq!(read.verifier, digest(VERIFIER));
        let nameless = json.replace(r#", "client_id": "app""#, "");
        assert_eq!(
            Redemption::from_json(nameless.as_bytes()).unwrap().client,
            None
        );
        for (from, to, problem) in [
            ("grant_type=authorization_code&", "", "grant_type required"),
            ("code=c", "code=", "code required"),
            ("code_verifier=d", "code_verifier=", "code_verifier must"),
            ("_wW1g", "+wW1g", "code_verifier must"),
            (
                "redirect_uri=https%3A%2F%2Fa.example%2F%3Fx%3D1",
                "x=y",
                "redirect_uri required",
            ),
            ("&client_id=app", "", "client_id required"),
            ("client_id=app", "code=d", "no form"),
            ("client_id=app", "client_id=%zz", "no form"),
        ] {
            let Err(Error::InvalidRequest(told)) =
                Redemption::from_form(form.replacen(from, to, 1).as_bytes())
            else {
                panic!("{from}")
            };
            assert!(told.contains(problem), "{told}");
        }
        let other = form.replace("authorization_code", "password");
        let refused = Redemption::from_form(other.as_bytes());
        assert_eq!(refused, Err(Error::UnsupportedGrantType));
        assert!(Redemption::from_form(b"\xff=1").is_err());
        for len in [42, 129] {
            assert!(!is_verifier(&"a".repeat(len)));
        }
        assert!(is_verifier(&"~".repeat(43)) && is_verifier(&".".repeat(128)));
    }
}

//! The passkey ceremonies as requests and answers (notme protocol §4.4 and §10.1).

use notme_webauthn::{
    AuthenticationResponse, Challenge, CreationOptions, RegistrationResponse, RelyingParty,
    RequestOptions, User, UserHandle,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::bootstrap::BootstrapCode;
use super::command::{Reply, SessionFacts};
use super::{PrincipalId, Scope};
use crate::{CeremonyError, Error, Fault};

/// The longest display name, in characters.
const MAX_NAME_CHARS: usize = 64;
/// What a principal is called that gave no name.
const DEFAULT_NAME: &str = "user";

/// A request for registration options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginRegistration {
    /// The hash of the operator's code, if one was sent.
    pub code: Option<[u8; 32]>,
    /// What the principal is to be called.
    pub display_name: String,
}

impl BeginRegistration {
    /// Reads `{bootstrapCode?, displayName?}`.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] and [`Error::InvalidMember`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: RegistrationWish = object(body)?;
        let code = text(body.bootstrap_code.as_ref(), "bootstrapCode")?;
        let code = code.filter(|code| !code.trim().is_empty());
        let name = text(body.display_name.as_ref(), "displayName")?;
        let name = name.map(str::trim).unwrap_or_default();
        let is_shown = |c: char| {
            !c.is_control()
                && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        if name.chars().count() > MAX_NAME_CHARS || !name.chars().all(is_shown) {
            return Err(Error::InvalidMember("displayName"));
        }
        Ok(Self {
            code: code.map(|code| *BootstrapCode::presented(code).hash()),
            display_name: if name.is_empty() { DEFAULT_NAME } else { name }.to_owned(),
        })
    }
}

/// A registration response, and whom it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// The principal to be.
    pub principal: PrincipalId,
    /// The challenge that the response claims to answer.
    pub challenge: Challenge,
    /// The response.
    pub response: RegistrationResponse,
}

impl Registration {
    /// Reads `{userId, response}`.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::MissingUserId`], [`Error::Ceremony`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: Answer<'_> = object(body)?;
        let principal = text(body.user_id.as_ref(), "userId")?
            .and_then(PrincipalId::parse)
            .ok_or(Error::MissingUserId)?;
        let failed = |error| Error::Ceremony(CeremonyError::Registration(error));
        let response = RegistrationResponse::parse(body.response()).map_err(failed)?;
        Ok(Self {
            principal,
            challenge: response.claimed_challenge().map_err(failed)?,
            response,
        })
    }
}

/// An authentication response.
#[derive(Clone, Debug, PartialEq)]
pub struct SignIn {
    /// The challenge that the response claims to answer.
    pub challenge: Challenge,
    /// The response.
    pub response: AuthenticationResponse,
}

impl SignIn {
    /// Reads `{response}`.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] and [`Error::Ceremony`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: Answer<'_> = object(body)?;
        let failed = |error| Error::Ceremony(CeremonyError::SignIn(error));
        let response = AuthenticationResponse::parse(body.response()).map_err(failed)?;
        Ok(Self {
            challenge: response.claimed_challenge().map_err(failed)?,
            response,
        })
    }
}

/// The answer to a request for registration options.
///
/// # Errors
/// [`Fault::Internal`] if `begun` is another reply.
pub fn registration_options(party: &RelyingParty, begun: Reply) -> Result<Value, Fault> {
    let Reply::RegistrationBegun {
        principal,
        display_name,
        is_first,
        scopes,
        challenge,
    } = begun
    else {
        return Err(Fault::Internal("another reply to a registration".into()));
    };
    let handle = UserHandle::new(principal.as_str().as_bytes().to_vec());
    let user = User {
        handle: handle.map_err(|error| Fault::Internal(error.to_string()))?,
        name: display_name.clone(),
        display_name,
    };
    let options = CreationOptions {
        party,
        user: &user,
        challenge: &Challenge::from_bytes(challenge),
        exclude: &[],
    };
    Ok(json!({
        "options": serde_json::to_value(options).map_err(|e| Fault::Internal(e.to_string()))?,
        "isFirstUser": is_first,
        "userId": principal.as_str(),
        "scopes": scopes.names(),
    }))
}

/// The answer to a request for authentication options.
///
/// # Errors
/// [`Fault::Internal`] if they don't serialize.
pub fn sign_in_options(party: &RelyingParty, challenge: [u8; 32]) -> Result<Value, Fault> {
    serde_json::to_value(RequestOptions {
        party,
        challenge: &Challenge::from_bytes(challenge),
        allow: &[],
    })
    .map_err(|error| Fault::Internal(error.to_string()))
}

/// The answer to a registration that succeeded.
#[must_use]
pub fn registered(session: &SessionFacts) -> Value {
    json!({ "verified": true, "scopes": session.scopes.names() })
}

/// The answer to a sign-in that succeeded.
#[must_use]
pub fn signed_in(session: &SessionFacts) -> Value {
    json!({
        "verified": true,
        "userId": session.principal.as_str(),
        "isAdmin": session.scopes.contains(Scope::AuthorityManage),
    })
}

/// `/me` as JSON.
#[must_use]
pub fn me(session: &SessionFacts) -> Value {
    json!({
        "authenticated": true,
        "userId": session.principal.as_str(),
        "isAdmin": session.scopes.contains(Scope::AuthorityManage),
        "expiresAt": session.expires_at,
        "displayName": session.display_name,
        "scopes": session.scopes.names(),
        "authMethod": session.method,
    })
}

/// The members of a request for registration options. A member that stands twice is no JSON of ours.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationWish {
    bootstrap_code: Option<Value>,
    display_name: Option<Value>,
}

/// The members of an answer to a challenge. The response is passed on as it was written, for what
/// takes it apart is strict about how.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    user_id: Option<Value>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

impl Answer<'_> {
    fn response(&self) -> &[u8] {
        self.response.map_or(&[], |json| json.get().as_bytes())
    }
}

fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    // A sequence would do for a struct, and isn't what is asked for.
    match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).map_err(|_| Error::InvalidJson),
        _ => Err(Error::InvalidJson),
    }
}

/// A text that may be missing.
fn text<'a>(member: Option<&'a Value>, name: &'static str) -> Result<Option<&'a str>, Error> {
    match member {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::InvalidMember(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_visible() {
        let name = |body: &str| BeginRegistration::parse(body.as_bytes()).map(|b| b.display_name);
        assert_eq!(name("{}"), Ok("user".into()));
        assert_eq!(name(r#"{"displayName":" Ana "}"#), Ok("Ana".into()));
        for body in [
            r#"{"displayName":1}"#,
            r#"{"displayName":"a\nb"}"#,
            r#"{"displayName":"a\u202eb"}"#,
            &format!(r#"{{"displayName":"{}"}}"#, "x".repeat(65)),
        ] {
            assert_eq!(
                name(body),
                Err(Error::InvalidMember("displayName")),
                "{body}"
            );
        }
        for body in [
            "",
            "[]",
            "1",
            "{",
            r#"{"displayName":"a","displayName":"b"}"#,
        ] {
            assert_eq!(name(body), Err(Error::InvalidJson), "{body}");
        }
    }

    #[test]
    fn a_code_is_hashed_at_once_and_an_empty_one_is_none() {
        let code = |body: &str| BeginRegistration::parse(body.as_bytes()).unwrap().code;
        assert_eq!(code(r#"{"bootstrapCode":" "}"#), None);
        assert!(code(r#"{"bootstrapCode":"x"}"#).is_some());
        assert_eq!(
            code(r#"{"bootstrapCode":"x "}"#),
            code(r#"{"bootstrapCode":"x"}"#)
        );
    }

    #[test]
    fn a_registration_names_its_user() {
        for body in ["{}", r#"{"userId":"x"}"#] {
            let parsed = Registration::parse(body.as_bytes());
            assert_eq!(parsed, Err(Error::MissingUserId), "{body}");
        }
    }
}

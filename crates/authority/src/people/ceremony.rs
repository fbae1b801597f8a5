//! The passkey ceremonies as requests and answers (notme protocol §4.4 and §10.1).

use notme_keys::decode_base64url;
use notme_webauthn::{
    AuthenticationResponse, Challenge, CreationOptions, CredentialDescriptor, RegistrationResponse,
    RelyingParty, RequestOptions, User, UserHandle,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::body::{object, shown_name, text};
use super::bootstrap::BootstrapCode;
use super::command::{KnownPasskey, RegistrationBegun, SessionFacts, Wish};
use super::invite::{self, InviteToken};
use super::{DEFAULT_NAME, PrincipalId, Scope};
use crate::{CeremonyError, Echo, Error, Fault};

/// A request for registration options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginRegistration {
    /// The hash of the operator's code, if one was sent.
    pub code: Option<[u8; 32]>,
    /// The hash of an invite's token, if one was sent.
    pub invite: Option<[u8; 32]>,
    /// Whether it is for a further passkey of whoever is signed in, and for nobody new.
    pub is_further: bool,
    /// What the principal is to be called, if that was said.
    pub display_name: Option<String>,
}

impl BeginRegistration {
    /// Reads `{bootstrapCode?, invite?, further?, displayName?}`.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::InvalidMember`] and [`Error::BadInvite`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: RegistrationWish = object(body)?;
        let code = text(body.bootstrap_code.as_ref(), "bootstrapCode")?;
        let code = code.filter(|code| !code.trim().is_empty());
        let invite = text(body.invite.as_ref(), "invite")?.filter(|token| !token.is_empty());
        let invite = invite.map(|token| InviteToken::parse(token).ok_or(Error::BadInvite));
        let is_further = match body.further {
            None | Some(Value::Null) => false,
            Some(Value::Bool(further)) => further,
            Some(_) => return Err(Error::InvalidMember("further")),
        };
        Ok(Self {
            code: code.map(|code| *BootstrapCode::presented(code).hash()),
            invite: invite.transpose()?.map(|token| token.hash()),
            is_further,
            display_name: shown_name(body.display_name.as_ref(), "displayName")?,
        })
    }

    /// What somebody wants who sends this, and has this session, if any. Whoever gives a name is somebody
    /// new, also in a browser that is signed in.
    ///
    /// # Errors
    /// [`Error::NoSession`] for a further passkey of nobody.
    pub fn wish(&self, session: Option<[u8; 32]>) -> Result<Wish, Error> {
        if let Some(code) = self.code {
            return Ok(Wish::Code(code));
        }
        if let Some(token) = self.invite {
            return Ok(Wish::Invite(token));
        }
        match session {
            Some(session) if self.is_further || self.display_name.is_none() => {
                Ok(Wish::Session(session))
            }
            None if self.is_further => Err(Error::NoSession),
            _ => Ok(Wish::Nothing),
        }
    }

    /// What the principal will be called.
    #[must_use]
    pub fn name(self) -> String {
        self.display_name.unwrap_or_else(|| DEFAULT_NAME.to_owned())
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
    /// What its owner calls the passkey.
    pub name: Option<String>,
}

impl Registration {
    /// Reads `{userId, response, name?}`.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::MissingUserId`], [`Error::InvalidMember`],
    /// [`Error::Ceremony`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: Answer<'_> = object(body)?;
        let principal = text(body.user_id.as_ref(), "userId")?
            .and_then(PrincipalId::parse)
            .ok_or(Error::MissingUserId)?;
        let name = shown_name(body.name.as_ref(), "name")?;
        let failed = |error| Error::Ceremony(CeremonyError::Registration(error));
        let response = RegistrationResponse::parse(body.response()).map_err(failed)?;
        Ok(Self {
            principal,
            challenge: response.claimed_challenge().map_err(failed)?,
            response,
            name,
        })
    }
}

/// An invite, and the passkey that was made for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The hash of the invite's token.
    pub invite: [u8; 32],
    /// The registration.
    pub registration: Registration,
}

impl Join {
    /// Reads `{token, proof: {type: "passkey", userId, response, name?}}`.
    ///
    /// # Errors
    /// [`Error::MissingInviteToken`], [`Error::BadInvite`], [`Error::MissingProofType`],
    /// [`Error::UnknownProofType`], and those of [`Registration::parse`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let invite = invite::presented(body)?.hash();
        let body: Joining<'_> = object(body)?;
        let proof = body.proof.map_or("{}", RawValue::get).as_bytes();
        let kind: Value = object(proof)?;
        match text(kind.get("type"), "proof.type")? {
            Some("passkey") => {}
            None | Some("") => return Err(Error::MissingProofType),
            Some(other) => return Err(Error::UnknownProofType(Echo::new(other))),
        }
        Ok(Self {
            invite,
            registration: Registration::parse(proof)?,
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

/// Which challenge a body answers that may be no response at all, and for which user: as much of it as is
/// where it should be. It is used up, whatever is wrong with the rest.
#[must_use]
pub fn answered(body: &[u8]) -> Option<(Vec<u8>, [u8; 32])> {
    let body: Value = serde_json::from_slice(body).ok()?;
    // `/join` has it all within the proof.
    let answer = body.get("proof").unwrap_or(&body);
    let client = answer
        .pointer("/response/response/clientDataJSON")?
        .as_str()?;
    let client: Value = serde_json::from_slice(&decode_base64url(client)?).ok()?;
    let challenge = decode_base64url(client.get("challenge")?.as_str()?)?;
    let user = answer
        .get("userId")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some((user.as_bytes().to_vec(), challenge.try_into().ok()?))
}

/// The answer to a request for registration options.
///
/// # Errors
/// [`Fault::Internal`] if what was begun can't be put into options.
pub fn registration_options(
    party: &RelyingParty,
    begun: RegistrationBegun,
) -> Result<Value, Fault> {
    let RegistrationBegun {
        principal,
        display_name,
        is_first,
        scopes,
        challenge,
        exclude,
    } = begun;
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
        exclude: &descriptors(&exclude)?,
    };
    Ok(json!({
        "options": serde_json::to_value(options).map_err(|e| Fault::Internal(e.to_string()))?,
        "isFirstUser": is_first,
        "userId": principal.as_str(),
        "scopes": scopes.names(),
    }))
}

/// The answer to a request for recovery: registration options, and that nobody was removed.
///
/// # Errors
/// As [`registration_options`].
pub fn recovery_options(party: &RelyingParty, begun: RegistrationBegun) -> Result<Value, Fault> {
    let mut answer = registration_options(party, begun)?;
    if let Some(members) = answer.as_object_mut() {
        members.insert("ok".into(), true.into());
        members.insert("deleted".into(), 0.into());
    }
    Ok(answer)
}

fn descriptors(passkeys: &[KnownPasskey]) -> Result<Vec<CredentialDescriptor>, Fault> {
    passkeys.iter().map(KnownPasskey::descriptor).collect()
}

/// The answer to a request for authentication options.
///
/// # Errors
/// [`Fault::Internal`] if they don't serialize.
pub fn sign_in_options(
    party: &RelyingParty,
    challenge: [u8; 32],
    allow: &[KnownPasskey],
) -> Result<Value, Fault> {
    serde_json::to_value(RequestOptions {
        party,
        challenge: &Challenge::from_bytes(challenge),
        allow: &descriptors(allow)?,
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

/// The answer to an invite that was redeemed.
#[must_use]
pub fn joined(session: &SessionFacts) -> Value {
    json!({
        "joined": true,
        "principalId": session.principal.as_str(),
        "scopes": session.scopes.names(),
    })
}

/// The answer to a passkey that was shown again.
#[must_use]
pub fn stepped_up(session: &SessionFacts) -> Value {
    json!({ "verified": true, "freshUntil": session.fresh_until })
}

/// The members of a request for registration options. A member that stands twice is no JSON of ours.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationWish {
    bootstrap_code: Option<Value>,
    invite: Option<Value>,
    further: Option<Value>,
    display_name: Option<Value>,
}

/// The members of an answer to a challenge. The response is passed on as it was written, for what
/// takes it apart is strict about how.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    user_id: Option<Value>,
    name: Option<Value>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

impl Answer<'_> {
    fn response(&self) -> &[u8] {
        self.response.map_or(&[], |json| json.get().as_bytes())
    }
}

/// The members of a request to join.
#[derive(Deserialize)]
struct Joining<'a> {
    #[serde(borrow)]
    proof: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_visible() {
        let name = |body: &str| BeginRegistration::parse(body.as_bytes()).map(|b| b.name());
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
    fn whoever_gives_a_name_is_somebody_new() {
        let wish = |body: &str, session| {
            BeginRegistration::parse(body.as_bytes())
                .unwrap()
                .wish(session)
        };
        let session = Some([1; 32]);
        for (body, wanted) in [
            ("{}", Ok(Wish::Session([1; 32]))),
            (r#"{"further":true}"#, Ok(Wish::Session([1; 32]))),
            (
                r#"{"further":true,"displayName":"Ana"}"#,
                Ok(Wish::Session([1; 32])),
            ),
            (r#"{"displayName":"Ana"}"#, Ok(Wish::Nothing)),
        ] {
            assert_eq!(wish(body, session), wanted, "{body}");
        }
        assert_eq!(wish("{}", None), Ok(Wish::Nothing));
        assert_eq!(wish(r#"{"further":true}"#, None), Err(Error::NoSession));
        let coded = wish(r#"{"bootstrapCode":"x","displayName":"Ana"}"#, session);
        assert!(matches!(coded, Ok(Wish::Code(_))));
        let further = BeginRegistration::parse(br#"{"further":1}"#);
        assert_eq!(further, Err(Error::InvalidMember("further")));
    }

    #[test]
    fn a_registration_names_its_user() {
        for body in ["{}", r#"{"userId":"x"}"#] {
            let parsed = Registration::parse(body.as_bytes());
            assert_eq!(parsed, Err(Error::MissingUserId), "{body}");
        }
    }
}

//! Passkeys and sessions: the ceremonies, from request to answer.
//!
//! The worker takes a response apart and settles its signature; the object knows the challenge again,
//! decides, and writes. A response that isn't good uses its challenge up.

use notme_authority::config::LogLevel;
use notme_authority::http::Reply;
use notme_authority::people::ceremony::{self, BeginRegistration, Registration, SignIn};
use notme_authority::people::command as people;
use notme_authority::people::command::{Command, Origin, PasskeyState, SessionFacts};
use notme_authority::people::session::{Presented, SessionToken, clear_cookie};
use notme_authority::people::{challenge, mint};
use notme_authority::protocol;
use notme_authority::{CeremonyError, Error, Fault};
use notme_durable::{log, random};
use notme_keys::encode_base64url;
use notme_webauthn::{Counter, NewCredential, RelyingParty};

use crate::Call;
use crate::handlers::{json, unexpected};
use crate::objects::signing_authority;
use crate::webcrypto::settle_all;

pub(crate) async fn begin_registration(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let party = party(call)?;
    let BeginRegistration { code, display_name } = BeginRegistration::parse(body)?;
    let command = Command::BeginRegistration {
        code,
        display_name,
        origin: origin(call),
    };
    let begun = ask(call, command).await?;
    Ok(json(&ceremony::registration_options(party, begun)?))
}

pub(crate) async fn register(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let party = party(call)?;
    let registration = Registration::parse(body)?;
    let principal = registration.principal.clone();
    let challenge = *registration.challenge.as_bytes();
    let credential = match verify_registration(party, registration).await {
        Ok(credential) => credential,
        Err(error) => {
            let principal = Some(principal);
            ask(
                call,
                Command::Spend {
                    principal,
                    challenge,
                },
            )
            .await?;
            return Err(error);
        }
    };
    let token = SessionToken::from_random(random()?);
    let command = Command::Register {
        principal,
        challenge,
        passkey: credential.into(),
        session: token.hash(),
        origin: origin(call),
    };
    let session = session(ask(call, command).await?)?;
    tell(call, "registered", &session);
    Ok(begun(json(&ceremony::registered(&session)), &token))
}

async fn verify_registration(
    party: &RelyingParty,
    registration: Registration,
) -> Result<NewCredential, Error> {
    let failed = |error| Error::Ceremony(CeremonyError::Registration(error));
    let Registration {
        challenge,
        response,
        ..
    } = registration;
    let obliged = response.oblige(party, &challenge).map_err(failed)?;
    let outcomes = settle_all(obliged.checks()).await?;
    obliged.settle(&outcomes).map_err(failed)
}

pub(crate) async fn begin_sign_in(call: &Call) -> Result<Reply, Error> {
    let party = party(call)?;
    match ask(call, Command::BeginSignIn).await? {
        people::Reply::SignInBegun(challenge) => {
            Ok(json(&ceremony::sign_in_options(party, challenge)?))
        }
        other => Err(unexpected(&protocol::Reply::People(other))),
    }
}

pub(crate) async fn sign_in(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let party = party(call)?;
    let sign_in = SignIn::parse(body)?;
    let challenge = *sign_in.challenge.as_bytes();
    let credential = sign_in.response.credential_id().as_bytes().to_vec();
    let state = match verify_sign_in(call, party, sign_in).await {
        Ok(state) => state,
        Err(error) => {
            let principal = None;
            ask(
                call,
                Command::Spend {
                    principal,
                    challenge,
                },
            )
            .await?;
            return Err(error);
        }
    };
    let token = SessionToken::from_random(random()?);
    let command = Command::SignIn {
        credential,
        challenge,
        state,
        session: token.hash(),
        origin: origin(call),
    };
    let session = session(ask(call, command).await?)?;
    tell(call, "signed_in", &session);
    Ok(begun(json(&ceremony::signed_in(&session)), &token))
}

async fn verify_sign_in(
    call: &Call,
    party: &RelyingParty,
    sign_in: SignIn,
) -> Result<PasskeyState, Error> {
    let failed = |error| Error::Ceremony(CeremonyError::SignIn(error));
    let SignIn {
        challenge,
        response,
    } = sign_in;
    let id = response.credential_id().as_bytes().to_vec();
    let known = match ask(call, Command::FindPasskey(id)).await? {
        people::Reply::Passkey(known) => known.ok_or(Error::UnknownPasskey)?,
        other => return Err(unexpected(&protocol::Reply::People(other))),
    };
    let obliged = response.oblige(party, &challenge, &known.stored()?);
    let obliged = obliged.map_err(failed)?;
    let outcomes = settle_all(obliged.checks()).await?;
    let assertion = obliged.settle(&outcomes).map_err(failed)?;
    Ok(PasskeyState {
        sign_count: assertion.sign_count,
        backed_up: assertion.backed_up,
        went_back: assertion.counter == Counter::WentBack,
    })
}

pub(crate) async fn me(call: &Call) -> Result<Reply, Error> {
    let token = presented(call)?;
    let session = session(ask(call, Command::Session(token.hash())).await?)?;
    Ok(json(&ceremony::me(&session)))
}

pub(crate) async fn begin_possession(call: &Call) -> Result<Reply, Error> {
    let session = session_of_cert(call)?.hash();
    match ask(call, Command::BeginPossession(session))
        .await
        .map_err(of_cert)?
    {
        people::Reply::PossessionBegun(challenge) => {
            let challenge = encode_base64url(&challenge);
            Ok(json(&serde_json::json!({
                "challenge": challenge,
                "expires_in": challenge::LIFETIME_SECS,
            })))
        }
        other => Err(unexpected(&protocol::Reply::People(other))),
    }
}

/// A pair for whoever has a session (notme protocol §8.1).
pub(crate) async fn cert(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let request = mint::Request::parse(body)?;
    let session = session_of_cert(call)?.hash();
    let outcomes = settle_all(&request.checks()).await?;
    let mint = request.settle(session, &outcomes)?;
    let command = protocol::Command::Mint(Box::new(mint));
    match signing_authority(&call.env, &command)
        .await
        .map_err(of_cert)?
    {
        protocol::Reply::Issued(body) => {
            let fields = [("request_id", call.id.as_str().into())];
            log(LogLevel::Info, "issued", fields);
            Ok(Reply::json(body))
        }
        other => Err(unexpected(&other)),
    }
}

fn session_of_cert(call: &Call) -> Result<SessionToken, Error> {
    match Presented::read(call.head.cookie.as_deref()) {
        Presented::Token(token) => Ok(token),
        Presented::Nothing => Err(Error::NoSessionCookie),
        Presented::Malformed => Err(Error::InvalidSession),
    }
}

/// The route has words of its own (§8.1).
fn of_cert(error: Error) -> Error {
    match error {
        Error::NoSession => Error::InvalidSession,
        error => error,
    }
}

pub(crate) async fn sign_out(call: &Call) -> Result<Reply, Error> {
    // Whoever has no session, or none that is good, is signed out already.
    if let Ok(token) = presented(call) {
        let command = Command::SignOut {
            session: token.hash(),
            origin: origin(call),
        };
        ask(call, command).await?;
    }
    let mut reply = json(&serde_json::json!({ "signedOut": true }));
    reply.set("set-cookie", clear_cookie());
    Ok(reply)
}

fn presented(call: &Call) -> Result<SessionToken, Error> {
    match Presented::read(call.head.cookie.as_deref()) {
        Presented::Token(token) => Ok(token),
        Presented::Nothing | Presented::Malformed => Err(Error::NoSession),
    }
}

fn begun(mut reply: Reply, token: &SessionToken) -> Reply {
    reply.set("set-cookie", token.set_cookie());
    reply
}

fn party(call: &Call) -> Result<&RelyingParty, Error> {
    call.config.relying_party.as_ref().ok_or_else(|| {
        let reason = "passkeys need a name, and SIGNET_AUTHORITY_URL has an address: give it a name, or set WEBAUTHN_RP_ID and WEBAUTHN_ORIGINS";
        Fault::Configuration(reason.into()).into()
    })
}

fn origin(call: &Call) -> Origin {
    let source = call
        .request
        .headers()
        .get("cf-connecting-ip")
        .ok()
        .flatten();
    Origin {
        source: source.map_or_else(|| "unknown".into(), |text| text.chars().take(64).collect()),
        request_id: call.id.clone(),
    }
}

fn tell(call: &Call, event: &str, session: &SessionFacts) {
    let fields = [
        ("request_id", call.id.as_str().into()),
        ("principal", session.principal.as_str().into()),
        ("method", session.method.as_str().into()),
    ];
    log(LogLevel::Info, event, fields);
}

async fn ask(call: &Call, command: Command) -> Result<people::Reply, Error> {
    let command = protocol::Command::People(Box::new(command));
    match signing_authority(&call.env, &command).await? {
        protocol::Reply::People(reply) => Ok(reply),
        other => Err(unexpected(&other)),
    }
}

fn session(reply: people::Reply) -> Result<SessionFacts, Error> {
    match reply {
        people::Reply::Session(session) => Ok(session),
        other => Err(unexpected(&protocol::Reply::People(other))),
    }
}

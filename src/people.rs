//! Passkeys and sessions: the ceremonies, from request to answer.
//!
//! The worker takes a response apart and settles its signature; the object knows the challenge again,
//! decides, and writes. A response that isn't good uses its challenge up.

use std::cell::RefCell;
use std::pin::Pin;

use notme_authority::config::LogLevel;
use notme_authority::doors::Proof;
use notme_authority::http::Reply;
use notme_authority::people::ceremony::{self, BeginRegistration, Join, Registration};
use notme_authority::people::challenge::{self, AnybodysKey, Ceremony};
use notme_authority::people::command as people;
use notme_authority::people::command::{
    Command, Origin, OwnAct, Register, RegistrationBegun, SessionFacts, Shown, Wish,
};
use notme_authority::people::connection::Joining;
use notme_authority::people::invite::{self, Draft, InviteToken};
use notme_authority::people::mint::{Holder, Mint};
use notme_authority::people::session::{Presented, SessionToken, clear_cookie};
use notme_authority::people::{PrincipalId, mint, own};
use notme_authority::protocol;
use notme_authority::{CeremonyError, Echo, Error, Fault, gha};
use notme_durable::{log, now_millis, random, settle_all};
use notme_keys::encode_base64url;
use notme_webauthn::{NewCredential, RelyingParty};
use serde_json::Value;

use crate::handlers::{json, unexpected};
use crate::limits::told_source;
use crate::objects::signing_authority;
use crate::{Call, connections, doors, rows};

/// This worker's copy of the key of challenges that are for anybody.
#[derive(Clone)]
struct KeyCopy {
    key: AnybodysKey,
    /// Since when, in Unix seconds.
    at: u64,
}

impl KeyCopy {
    /// The key stays as long as the object's state does. Should that be made anew under running workers, they know
    /// of it as soon as the challenges of before are over.
    const fn is_good(&self, now: u64) -> bool {
        self.at <= now && now - self.at < challenge::LIFETIME_SECS
    }
}

thread_local! {
    static ANYBODYS_KEY: RefCell<Option<KeyCopy>> = const { RefCell::new(None) };
}

/// What a stranger may know before they knock.
pub(crate) async fn door(call: &Call) -> Result<Reply, Error> {
    document(ask(call, Command::Door).await?)
}

pub(crate) async fn begin_registration(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let registration = BeginRegistration::parse(body)?;
    let wish = registration.wish(current(call))?;
    let begun = begin(call, wish, registration.name()).await?;
    Ok(json(&ceremony::registration_options(party(call)?, begun)?))
}

/// Begins recovery: where the administrators are lost, the operator's code lets a new one in.
pub(crate) async fn begin_recovery(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let registration = BeginRegistration::parse(body)?;
    let code = registration.code.ok_or(Error::BadBootstrapCode)?;
    let begun = begin(call, Wish::Recovery(code), registration.name()).await?;
    let fields = [("request_id", call.id.as_str().into())];
    log(LogLevel::Warn, "recovery_began", fields);
    Ok(json(&ceremony::recovery_options(party(call)?, begun)?))
}

async fn begin(call: &Call, wish: Wish, display_name: String) -> Result<RegistrationBegun, Error> {
    party(call)?;
    let command = Command::BeginRegistration {
        wish,
        display_name,
        origin: origin(call),
    };
    match ask(call, command).await? {
        people::Reply::RegistrationBegun(begun) => Ok(begun),
        other => Err(astray(other)),
    }
}

pub(crate) async fn register(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let registration = taken_apart(call, body, Registration::parse(body)).await?;
    let (session, token) = registered(call, registration, None).await?;
    Ok(begun(&ceremony::registered(&session), &token, &session))
}

/// What can't be taken apart has answered its challenge too.
async fn taken_apart<T>(call: &Call, body: &[u8], parsed: Result<T, Error>) -> Result<T, Error> {
    if let (Err(_), Some((context, challenge))) = (&parsed, ceremony::answered(body)) {
        let _ = spend(call, Ceremony::Registration, context, challenge).await; // used before, or now
    }
    parsed
}

/// Redeems an invite: what [`register`] does for whoever began with one, in the words of `/join`; or for whoever shows
/// an identity.
pub(crate) async fn join(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    if let Some(joining) = Joining::parse(body, &call.config, call)? {
        return connections::join(call, joining).await;
    }
    let Join {
        invite,
        registration,
    } = taken_apart(call, body, Join::parse(body)).await?;
    let (session, token) = registered(call, registration, Some(invite)).await?;
    Ok(begun(&ceremony::joined(&session), &token, &session))
}

async fn registered(
    call: &Call,
    registration: Registration,
    invite: Option<[u8; 32]>,
) -> Result<(SessionFacts, SessionToken), Error> {
    let party = party(call)?;
    let principal = registration.principal.clone();
    let challenge = *registration.challenge.as_bytes();
    let name = registration.name.clone();
    let credential = match verify_registration(party, registration).await {
        Ok(credential) => credential,
        Err(error) if error.is_passing() => return Err(error),
        Err(error) => {
            let context = principal.as_str().as_bytes().to_vec();
            spend(call, Ceremony::Registration, context, challenge).await?;
            return Err(error);
        }
    };
    let token = SessionToken::from_random(random()?);
    let command = Command::Register(Box::new(Register {
        principal,
        challenge,
        passkey: credential.into(),
        name,
        invite,
        current: current(call),
        session: token.hash(),
        origin: origin(call),
    }));
    let session = session(ask(call, command).await?)?;
    tell(call, "registered", &session);
    Ok((session, token))
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
    let challenge = anybodys_challenge(call, Ceremony::SignIn).await?;
    Ok(json(&ceremony::sign_in_options(party, challenge, &[])?))
}

/// A challenge that is for anybody. Making it doesn't take the object, but for its key once in a while.
pub(crate) async fn anybodys_challenge(call: &Call, ceremony: Ceremony) -> Result<[u8; 32], Error> {
    let now = now_millis() / 1000;
    Ok(anybodys_key(call, now)
        .await?
        .make(ceremony, random()?, now))
}

/// Whether that is one, before it is answered: that it was used already only the object knows.
pub(crate) async fn recognize_anybodys(
    call: &Call,
    ceremony: Ceremony,
    challenge: &[u8; 32],
) -> Result<(), Error> {
    let now = now_millis() / 1000;
    let known = anybodys_key(call, now)
        .await?
        .recognize(ceremony, challenge, now);
    known.map(drop).map_err(|_| Error::BadChallenge)
}

async fn anybodys_key(call: &Call, now: u64) -> Result<AnybodysKey, Error> {
    let copy = ANYBODYS_KEY.with_borrow(|copy| copy.clone().filter(|copy| copy.is_good(now)));
    let copy = match copy {
        Some(copy) => copy,
        None => match ask(call, Command::AnybodysKey).await? {
            people::Reply::AnybodysKey(key) => {
                let copy = KeyCopy { key, at: now };
                ANYBODYS_KEY.set(Some(copy.clone()));
                copy
            }
            other => return Err(astray(other)),
        },
    };
    Ok(copy.key)
}

pub(crate) async fn begin_step_up(call: &Call) -> Result<Reply, Error> {
    let party = party(call)?;
    let session = presented(call)?.hash();
    match ask(call, Command::BeginStepUp(session)).await? {
        people::Reply::StepUpBegun { challenge, allow } => {
            Ok(json(&ceremony::sign_in_options(party, challenge, &allow)?))
        }
        other => Err(astray(other)),
    }
}

pub(crate) async fn sign_in(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    party(call)?;
    let (shown, token) = shown(call, body)?;
    let session = session(ask(call, Command::SignIn(shown)).await?)?;
    tell(call, "signed_in", &session);
    Ok(begun(&ceremony::signed_in(&session), &token, &session))
}

pub(crate) async fn step_up(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    party(call)?;
    presented(call)?;
    let (shown, token) = shown(call, body)?;
    let session = session(ask(call, Command::StepUp(shown)).await?)?;
    tell(call, "stepped_up", &session);
    Ok(begun(&ceremony::stepped_up(&session), &token, &session))
}

/// A passkey that is shown, and the secret of the session that it may lead to.
fn shown(call: &Call, body: &[u8]) -> Result<(Shown, SessionToken), Error> {
    let token = SessionToken::from_random(random()?);
    let shown = Shown {
        body: body.to_vec(),
        current: current(call),
        session: token.hash(),
        origin: origin(call),
    };
    Ok((shown, token))
}

/// A ceremony went wrong: its challenge is used up all the same.
pub(crate) async fn spend(
    call: &Call,
    ceremony: Ceremony,
    context: Vec<u8>,
    challenge: [u8; 32],
) -> Result<(), Error> {
    let command = Command::Spend {
        ceremony,
        context,
        challenge,
    };
    ask(call, command).await.map(drop)
}

/// The session that was presented, if it is good.
pub(crate) async fn session_of(call: &Call) -> Result<SessionFacts, Error> {
    let token = presented(call)?;
    session(ask(call, Command::Session(token.hash())).await?)
}

pub(crate) async fn me(call: &Call) -> Result<Reply, Error> {
    let session = session_of(call).await?;
    Ok(json(&own::me(&session, &call.config.trust_domain())))
}

/// One of the things that a principal does with what is its own.
pub(crate) async fn own(call: &Call, act: OwnAct) -> Result<Reply, Error> {
    let command = Command::Own {
        session: presented(call)?.hash(),
        act,
        origin: origin(call),
    };
    match ask(call, command).await? {
        people::Reply::Done => Ok(json(&serde_json::json!({ "done": true }))),
        reply => document(reply),
    }
}

pub(crate) async fn rename_passkey(call: &Call, id: String, body: &[u8]) -> Result<Reply, Error> {
    let act = OwnAct::RenamePasskey {
        id,
        name: own::new_name(body)?,
    };
    own(call, act).await
}

pub(crate) async fn make_invite(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let session = presented(call)?.hash();
    let draft = Draft::parse(body)?;
    let token = InviteToken::from_random(random()?);
    let command = Command::Invite {
        session,
        draft,
        token: token.hash(),
        origin: origin(call),
    };
    match ask(call, command).await? {
        people::Reply::Invited {
            id,
            expires_at,
            scopes,
        } => {
            let url = &call.config.authority_url;
            Ok(json(&invite::made(url, &token, &id, &scopes, expires_at)))
        }
        other => Err(astray(other)),
    }
}

pub(crate) async fn invitation(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let token = invite::presented(body)?.hash();
    document(ask(call, Command::Invitation(token)).await?)
}

pub(crate) async fn status(call: &Call) -> Result<Reply, Error> {
    let status = match presented(call) {
        Ok(session) => ask(call, Command::Status(session.hash())).await,
        Err(_) if call.head.has_session_cookie() => Err(Error::ManageRequired),
        Err(error) => Err(error),
    };
    // Whose cookie is no good session's is told as much as who may not look (§4.4).
    document(status.map_err(|error| match error {
        Error::NoSession if call.head.has_session_cookie() => Error::ManageRequired,
        error => error,
    })?)
}

pub(crate) async fn begin_possession(call: &Call) -> Result<Reply, Error> {
    // For a session, if there is one; for whatever else is shown there is one without.
    let session = match session_of_cert(call) {
        Ok(session) => Some(session.hash()),
        Err(Error::NoSessionCookie) => None,
        Err(error) => return Err(error),
    };
    let challenge = match session {
        None => anybodys_challenge(call, Ceremony::Possession).await?,
        Some(session) => {
            let begun = ask(call, Command::BeginPossession(session)).await;
            match begun.map_err(of_cert)? {
                people::Reply::Challenge(challenge) => challenge,
                other => return Err(astray(other)),
            }
        }
    };
    let challenge = encode_base64url(&challenge);
    Ok(json(&serde_json::json!({
        "challenge": challenge,
        "expires_in": challenge::LIFETIME_SECS,
    })))
}

/// A pair for a principal, by whatever proof (notme protocol §8.1).
pub(crate) async fn cert(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    rows::with_rows(&|| Box::pin(shown_proof(call, body))).await
}

async fn shown_proof(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let request = mint::Request::parse(body, &call.config, call)?;
    let holder = match &request.proof {
        Proof::Session => Holder::Session(session_of_cert(call)?.hash()),
        Proof::Code(code, display_name) => Holder::First {
            code: *code,
            principal: PrincipalId::from_random(random()?),
            display_name: display_name.clone(),
            origin: origin(call),
        },
        Proof::Shown(_) => {
            let wish = Wished::of(&request, &[]);
            return minted(call, wish, Box::pin(doors::identified(call, request))).await;
        }
    };
    held(call, request, holder).await
}

/// A pair for a GitHub Actions job (notme protocol §7). What lets it in is configured, so rows that administrators
/// make aren't asked for.
pub(crate) async fn cert_gha(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let authorization = call.request.headers().get("authorization").ok().flatten();
    let request = gha::request(authorization, body)?;
    let wish = Wished::of(&request, &[]);
    let mint = doors::identified_by(call, &call.config.rows, request);
    minted(call, wish, mint).await
}

/// The same for whoever holds the cookie, and not only sends it (§8.2).
pub(crate) async fn cert_passkey(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let session = match session_of_cert(call) {
        Err(Error::InvalidSession) => {
            // What lacks keys or proofs is told so first.
            let parsed = mint::Request::parse_bound_to_cookie(body, "").err();
            let first = parsed.filter(|error| !matches!(error, Error::InvalidKey(_)));
            return Err(first.unwrap_or(Error::InvalidSession));
        }
        session => session?,
    };
    let request = mint::Request::parse_bound_to_cookie(body, &session.to_text());
    let holder = Holder::Session(session.hash());
    match request {
        Ok(request) => held(call, request, holder).await,
        Err(error @ Error::InvalidKey(_)) => Err(told_after_session(call, &holder, error).await),
        Err(error) => Err(error),
    }
}

/// What of a request is needed when it was refused.
struct Wished {
    asked: Vec<Echo>,
    challenge: Option<[u8; 32]>,
    /// What the challenge was made for.
    context: Vec<u8>,
}

impl Wished {
    fn of(request: &mint::Request, context: &[u8]) -> Self {
        Self {
            asked: request.asked.clone(),
            challenge: request.challenge,
            context: context.to_vec(),
        }
    }
}

/// A pair for this holder.
async fn held(call: &Call, request: mint::Request, holder: Holder) -> Result<Reply, Error> {
    let wish = Wished::of(&request, holder.context());
    let mint = async {
        let outcomes = settle_all(&request.checks()).await?;
        match request.settle(holder.clone(), &outcomes) {
            Ok(mint) => Ok(mint),
            Err(error) => Err(told_after_session(call, &holder, error).await),
        }
    };
    minted(call, wish, Box::pin(mint)).await
}

/// An error in keys or proofs, unless the session isn't good: that is told first (§8).
async fn told_after_session(call: &Call, holder: &Holder, error: Error) -> Error {
    match holder {
        Holder::Session(hash) => match ask(call, Command::Session(*hash)).await {
            Ok(_) => error,
            Err(session) => of_cert(session),
        },
        Holder::First { .. } | Holder::Identified(_) => error,
    }
}

/// The mint is behind a pointer, so that this is compiled once and not for each kind of proof.
async fn minted(
    call: &Call,
    wish: Wished,
    mint: Pin<Box<dyn Future<Output = Result<Mint, Error>> + '_>>,
) -> Result<Reply, Error> {
    let issued = match mint.await {
        Ok(mint) => issued(call, mint).await,
        Err(error) => Err(error),
    };
    // A challenge is used by whatever is wrong.
    let is_refused = issued.as_ref().is_err_and(|error| !error.is_passing());
    if let (true, Some(challenge)) = (is_refused, wish.challenge) {
        spend(call, Ceremony::Possession, wish.context, challenge).await?;
    }
    issued.map_err(|error| of_cert(error).asked_for(&wish.asked))
}

async fn issued(call: &Call, mint: Mint) -> Result<Reply, Error> {
    let identity = mint.holder.alias().map(|alias| alias.identity.clone());
    let command = protocol::Command::Mint(Box::new(mint));
    match signing_authority(&call.env, &command).await? {
        protocol::Reply::Issued(body) => {
            let id = ("request_id", call.id.as_str().into());
            match identity {
                Some(identity) => log(
                    LogLevel::Info,
                    "issued",
                    [id, ("identity", identity.into())],
                ),
                None => log(LogLevel::Info, "issued", [id]),
            }
            Ok(Reply::json(body))
        }
        other => Err(unexpected(&other)),
    }
}

pub(crate) fn session_of_cert(call: &Call) -> Result<SessionToken, Error> {
    match Presented::read(call.head.cookie.as_deref()) {
        Presented::Token(token) => Ok(token),
        Presented::Nothing => Err(Error::NoSessionCookie),
        Presented::Malformed => Err(Error::InvalidSession),
    }
}

/// A session that is over is told as what its cookie is (§8.1).
pub(crate) fn of_cert(error: Error) -> Error {
    match error {
        Error::NoSession => Error::InvalidSession,
        error => error,
    }
}

pub(crate) async fn sign_out(call: &Call) -> Result<Reply, Error> {
    // Whoever has no session, or none that is good, is signed out already. If somebody put another cookie
    // beside the good one, both end.
    for token in Presented::all(call.head.cookie.as_deref()) {
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

pub(crate) fn presented(call: &Call) -> Result<SessionToken, Error> {
    match Presented::read(call.head.cookie.as_deref()) {
        Presented::Token(token) => Ok(token),
        Presented::Nothing | Presented::Malformed => Err(Error::NoSession),
    }
}

/// The session that the request may have.
pub(crate) fn current(call: &Call) -> Option<[u8; 32]> {
    presented(call).ok().map(|token| token.hash())
}

/// An answer that gives the browser a session's secret.
pub(crate) fn begun(answer: &Value, token: &SessionToken, session: &SessionFacts) -> Reply {
    let mut reply = json(answer);
    let lifetime = session.expires_at.saturating_sub(now_millis() / 1000);
    reply.set("set-cookie", token.set_cookie(lifetime));
    reply
}

fn party(call: &Call) -> Result<&RelyingParty, Error> {
    call.config.relying_party.as_ref().ok_or_else(|| {
        let reason = "passkeys need a name, and SIGNET_AUTHORITY_URL has an address: give it a name, or set WEBAUTHN_RP_ID and WEBAUTHN_ORIGINS";
        Fault::Configuration(reason.into()).into()
    })
}

pub(crate) fn origin(call: &Call) -> Origin {
    Origin::told(told_source(call).as_deref(), &call.id)
}

pub(crate) fn tell(call: &Call, event: &str, session: &SessionFacts) {
    let fields = [
        ("request_id", call.id.as_str().into()),
        ("principal", session.principal.as_str().into()),
        ("method", session.method.as_str().into()),
    ];
    log(LogLevel::Info, event, fields);
}

pub(crate) async fn ask(call: &Call, command: Command) -> Result<people::Reply, Error> {
    let command = protocol::Command::People(Box::new(command));
    match signing_authority(&call.env, &command).await? {
        protocol::Reply::People(reply) => Ok(reply),
        other => Err(unexpected(&other)),
    }
}

pub(crate) fn session(reply: people::Reply) -> Result<SessionFacts, Error> {
    match reply {
        people::Reply::Session(session) => Ok(session),
        other => Err(astray(other)),
    }
}

fn document(reply: people::Reply) -> Result<Reply, Error> {
    match reply {
        people::Reply::Document(text) => Ok(Reply::json(text.into_bytes())),
        other => Err(astray(other)),
    }
}

/// The object answered something else than what it was asked.
pub(crate) fn astray(reply: people::Reply) -> Error {
    unexpected(&protocol::Reply::People(reply))
}

//! Identities that others vouch for: linked to whoever is signed in, and what signs people in or lets them join.
//!
//! The worker says who a proof is about, and that it was made for this; the object decides whose that is, and writes. A
//! proof that is refused has answered its challenge; a code that is refused never became one.

use std::pin::Pin;

use notme_authority::Error;
use notme_authority::doors::Identified;
use notme_authority::http::Reply;
use notme_authority::people::challenge::Ceremony;
use notme_authority::people::command::{Command, Reply as Answer};
use notme_authority::people::connection::{self, Joining, Presented, Proven};
use notme_authority::people::federation::{self, Departure};
use notme_authority::people::session::SessionToken;
use notme_authority::people::{PrincipalId, ceremony};
use notme_durable::{now_millis, random};

use crate::handlers::json;
use crate::objects::issuer_endpoints;
use crate::people::{
    anybodys_challenge, ask, astray, begun, current, origin, presented, recognize_anybodys,
    session, session_of, spend, tell,
};
use crate::{Call, doors, rows};

/// Begins linking.
pub(crate) async fn begin(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let departure = Departure::parse(body)?;
    let command = Command::BeginConnection(presented(call)?.hash());
    match ask(call, command).await? {
        Answer::Challenge(challenge) => options(call, departure.as_ref(), &challenge).await,
        other => Err(astray(other)),
    }
}

/// Begins signing in, or joining, by an identity.
pub(crate) async fn begin_sign_in(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let departure = Departure::parse(body)?;
    let challenge = anybodys_challenge(call, Ceremony::Identity).await?;
    options(call, departure.as_ref(), &challenge).await
}

async fn options(
    call: &Call,
    departure: Option<&Departure>,
    challenge: &[u8; 32],
) -> Result<Reply, Error> {
    let Some(departure) = departure else {
        return Ok(json(&connection::options(challenge, None)));
    };
    let rows = rows::rows(call).await?.rows;
    let endpoints = issuer_endpoints(&call.env, departure.issuer(&rows)?).await?;
    let address = departure.address(&rows, &endpoints, &call.config, challenge)?;
    let sent = Some((address.as_str(), &endpoints));
    Ok(json(&connection::options(challenge, sent)))
}

/// Where people may sign in beside here.
pub(crate) async fn issuers(call: &Call) -> Result<Reply, Error> {
    let rows = rows::rows(call).await?.rows;
    Ok(json(&federation::issuers(&call.config, &rows)))
}

/// Links an identity to whoever is signed in.
pub(crate) async fn connect(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    // Nothing is looked at, nor asked of an issuer, for whoever couldn't link it.
    let holder = session_of(call).await?;
    holder.require_fresh(now_millis() / 1000)?;
    let shown = redeemed(call, Presented::parse(body, &call.config, call)?).await?;
    let owner = &holder.principal;
    rows::with_rows(&|| Box::pin(linked(call, owner, &shown))).await
}

async fn linked(call: &Call, owner: &PrincipalId, shown: &Presented) -> Result<Reply, Error> {
    let session = presented(call)?.hash();
    let proven = proven(call, shown, Some(owner), Ceremony::Connection, &session).await?;
    let answer = connection::connected(&proven.identified);
    ask(call, Command::Connect(proven)).await?;
    Ok(json(&answer))
}

/// Begins a session for whoever an identity is linked to.
pub(crate) async fn sign_in(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let shown = anybodys(call, Presented::sign_in(body, &call.config, call)?).await?;
    rows::with_rows(&|| Box::pin(signed_in(call, &shown))).await
}

async fn signed_in(call: &Call, shown: &Presented) -> Result<Reply, Error> {
    let token = SessionToken::from_random(random()?);
    let command = Command::Identify {
        proven: proven(call, shown, None, Ceremony::Identity, b"").await?,
        session: token.hash(),
    };
    let session = session(ask(call, command).await?)?;
    tell(call, "signed_in", &session);
    Ok(begun(&connection::signed_in(&session), &token, &session))
}

/// Redeems an invite for an identity.
pub(crate) async fn join(call: &Call, mut joining: Joining) -> Result<Reply, Error> {
    if joining.guest.code().is_some() {
        // Whoever has no invite has no issuer asked.
        ask(call, Command::Invitation(joining.invite)).await?;
    }
    joining.guest = anybodys(call, joining.guest).await?;
    rows::with_rows(&|| Box::pin(joined(call, &joining))).await
}

async fn joined(call: &Call, joining: &Joining) -> Result<Reply, Error> {
    let token = SessionToken::from_random(random()?);
    let command = Command::JoinBy {
        proven: proven(call, &joining.guest, None, Ceremony::Identity, b"").await?,
        invite: joining.invite,
        principal: PrincipalId::from_random(random()?),
        display_name: joining.display_name.clone(),
        session: token.hash(),
    };
    let session = session(ask(call, command).await?)?;
    tell(call, "registered", &session);
    Ok(begun(&ceremony::joined(&session), &token, &session))
}

/// What strangers show, redeemed if it is for a challenge of ours: an issuer is asked for nobody who made one up.
async fn anybodys(call: &Call, shown: Presented) -> Result<Presented, Error> {
    if shown.code().is_some() {
        recognize_anybodys(call, Ceremony::Identity, &shown.challenge).await?;
    }
    redeemed(call, shown).await
}

/// With the token that the issuer gives for a code, if that is what is shown. It is asked once, whatever becomes of the
/// token, and while there is none nothing of ours is used up.
async fn redeemed(call: &Call, shown: Presented) -> Result<Presented, Error> {
    let Some(code) = shown.code() else {
        return Ok(shown);
    };
    let rows = rows::rows(call).await?.rows;
    let endpoints = issuer_endpoints(&call.env, code.issuer(&rows)?).await?;
    let answer = doors::answer(call, code.question(&endpoints, &call.config)).await?;
    let token = code.token(&answer)?;
    shown.redeemed(&token, &call.config, call)
}

/// Who a proof is about, if that is a person and it was made for this. `owner` is whom a certificate's key has to say
/// that it is linked to. What is wrong uses the challenge up.
///
/// It is behind a pointer, so that it is compiled once.
fn proven<'a>(
    call: &'a Call,
    shown: &'a Presented,
    owner: Option<&'a PrincipalId>,
    ceremony: Ceremony,
    context: &'a [u8],
) -> Pin<Box<dyn Future<Output = Result<Box<Proven>, Error>> + 'a>> {
    Box::pin(async move {
        match identified(call, shown, owner).await {
            Ok(identified) => Ok(Box::new(Proven {
                identified,
                challenge: shown.challenge,
                current: current(call),
                origin: origin(call),
            })),
            Err(error) if error.is_passing() => Err(error),
            Err(error) => {
                spend(call, ceremony, context.to_vec(), shown.challenge).await?;
                Err(error)
            }
        }
    })
}

async fn identified(
    call: &Call,
    shown: &Presented,
    owner: Option<&PrincipalId>,
) -> Result<Identified, Error> {
    let rows = rows::rows(call).await?.rows;
    let narrowed = shown.rows(&rows);
    let rows = narrowed.as_ref().unwrap_or(&rows);
    let opened = shown.open(&call.config, rows, owner, now_millis() / 1000)?;
    let (identified, _) = doors::settled(call, &*opened, Vec::new()).await?;
    identified.require_person()?;
    Ok(identified)
}

//! Access tokens: from request to answer.

use notme_authority::Error;
use notme_authority::config::LogLevel;
use notme_authority::http::{Page, Reply, tell_nonce};
use notme_authority::people::command as people_command;
use notme_authority::protocol::{self, Command};
use notme_authority::tokens::Redemption;
use notme_authority::tokens::authorize::{Authorization, Consent};
use notme_authority::tokens::command::{By, Command as Tokens, Issue, Reply as Answer};
use notme_authority::tokens::proof::{DpopProblem, Proof, ProvenKey};
use notme_authority::tokens::request::Wish;
use notme_durable::{log, now_millis, settle_all};
use notme_keys::Outcome;

use crate::Call;
use crate::handlers::unexpected;
use crate::objects::signing_authority;
use crate::pages;
use crate::people::{ask, of_cert, origin, presented, session_of_cert};

/// A token for whoever has a session, or, asked for by a form, for an application that has a code
/// (notme protocol §12.2, RFC 6749 §4.1.3).
pub(crate) async fn token(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    if call.head.is_form() {
        return redeemed(call, Redemption::from_form(body), "/token").await;
    }
    let shown = shown_proof(call).ok_or(DpopProblem::Missing)?;
    let wish = Wish::parse(body)?;
    call.config.tokens.permit_audience(&wish.audience)?;
    let hash = presented(call)?.hash();
    let key = match proven(call, &shown, "/token").await {
        Ok(key) => key,
        Err(error) => {
            // That a session isn't good is told first.
            ask(call, people_command::Command::Session(hash)).await?;
            return Err(error);
        }
    };
    let by = By::Session {
        hash,
        audience: wish.audience,
        scopes: wish.scopes,
    };
    let issued = issued(call, by, Some(key)).await;
    issued.map_err(|error| error.asked_for(&wish.asked))
}

/// The same for an application that sends its code as JSON (§12.4).
pub(crate) async fn redeem(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    redeemed(call, Redemption::from_json(body), "/authorize/redeem").await
}

/// A token for a code. Whether it needs a proof is for the object to say, who knows whose code it is.
async fn redeemed(
    call: &Call,
    redemption: Result<Redemption, Error>,
    path: &str,
) -> Result<Reply, Error> {
    let issued = async {
        let by = By::Code(redemption?);
        let key = match shown_proof(call) {
            Some(shown) => Some(proven(call, &shown, path).await?),
            None => None,
        };
        issued(call, by, key).await
    };
    issued.await.map_err(Error::in_oauth)
}

async fn issued(call: &Call, by: By, key: Option<ProvenKey>) -> Result<Reply, Error> {
    let issue = Issue {
        by,
        key,
        origin: origin(call),
    };
    match tokens(call, Tokens::Issue(Box::new(issue))).await? {
        Answer::Issued {
            body,
            id,
            principal,
            nonce,
        } => {
            let fields = [
                ("request_id", call.id.as_str().into()),
                ("principal", principal.into()),
                ("jti", id.into()),
            ];
            log(LogLevel::Info, "token_issued", fields);
            let mut reply = Reply::json(body);
            if let Some(nonce) = nonce {
                tell_nonce(&mut reply, &nonce);
            }
            Ok(reply)
        }
        other => Err(astray(other)),
    }
}

fn shown_proof(call: &Call) -> Option<String> {
    call.request.headers().get("dpop").ok().flatten()
}

/// The key whose holder made this request.
async fn proven(call: &Call, shown: &str, path: &str) -> Result<ProvenKey, Error> {
    let url = &call.config.authority_url;
    let proof = Proof::parse(shown, url, path, now_millis() / 1000)?;
    let outcomes = settle_all(std::slice::from_ref(proof.check())).await?;
    proof.settle(outcomes.first().copied().unwrap_or(Outcome::Failed))
}

/// The consent page. It says what is asked for; whose session it is, is for its script to find out: a browser that
/// comes from the application's page sends no cookie along.
pub(crate) async fn authorize(call: &Call) -> Result<Reply, Error> {
    let wanted = Authorization::from_query(&call.config.tokens, &call.query)?;
    pages::filled(call, Page::Authorize, &wanted.shown()).await
}

/// A code, for whoever consents.
pub(crate) async fn authorize_code(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let session = session_of_cert(call);
    if matches!(session, Err(Error::NoSessionCookie)) {
        return Err(Error::NoSessionCookie);
    }
    let wanted = Authorization::from_body(&call.config.tokens, body)?;
    let consent = Consent {
        session: session?.hash(),
        code: wanted.code().to_bytes()?,
        redirect_uri: wanted.redirect_uri.clone(),
        origin: origin(call),
    };
    let consented = tokens(call, Tokens::Consent(Box::new(consent))).await;
    match consented.map_err(|error| of_cert(error).asked_for(&wanted.asked()))? {
        Answer::Code(code) => {
            let fields = [
                ("request_id", call.id.as_str().into()),
                ("client", wanted.client.id.as_str().into()),
            ];
            log(LogLevel::Info, "authorized", fields);
            Ok(Reply::json(wanted.consented(&code)))
        }
        other => Err(astray(other)),
    }
}

async fn tokens(call: &Call, command: Tokens) -> Result<Answer, Error> {
    match signing_authority(&call.env, &Command::Tokens(command)).await? {
        protocol::Reply::Tokens(reply) => Ok(reply),
        other => Err(unexpected(&other)),
    }
}

/// The object answered something else than what it was asked.
fn astray(reply: Answer) -> Error {
    unexpected(&protocol::Reply::Tokens(reply))
}

//! What each operation of the route table does.

use std::future::ready;
use std::pin::Pin;

use notme_authority::http::{OPENAPI, Operation, Page, Reply, Route};
use notme_authority::people::command::OwnAct;
use notme_authority::protocol::{self, Command};
use notme_authority::revocation::Form;
use notme_authority::rotation::Act;
use notme_authority::state::Archive;
use notme_authority::{Error, Fault, documents};
use notme_durable::now_millis;
use serde_json::Value;

use crate::objects::signing_authority;
use crate::{Call, admin, connections, keys, pages, people, rows, tokens};

/// An answer that is being made.
type Answering<'a> = Pin<Box<dyn Future<Output = Result<Reply, Error>> + 'a>>;

/// Runs an operation.
///
/// Each is behind a pointer: what the compiler sees at once it makes into one function, and a young
/// instance would have to compile all operations to run the first.
///
/// `path` is the request's within the authority; where the route has `{…}`, its parameters are there.
pub(crate) fn run<'a>(
    route: &'static Route,
    path: &'a str,
    call: &'a Call,
    body: &'a [u8],
) -> Answering<'a> {
    let config = &call.config;
    let parameter = || route.parameters(path).next().unwrap_or_default().to_owned();
    match route.operation {
        Operation::Authorize => Box::pin(tokens::authorize(call)),
        Operation::AuthorizeCode => Box::pin(tokens::authorize_code(call, body)),
        Operation::BeginConnection => Box::pin(connections::begin(call, body)),
        Operation::BeginIdentity => Box::pin(connections::begin_sign_in(call, body)),
        Operation::Connect => Box::pin(connections::connect(call, body)),
        Operation::Connections => Box::pin(people::own(call, OwnAct::Connections)),
        Operation::Disconnect => Box::pin(people::own(call, OwnAct::Disconnect(parameter()))),
        Operation::Identify => Box::pin(connections::sign_in(call, body)),
        Operation::BeginRecovery => Box::pin(people::begin_recovery(call, body)),
        Operation::BeginStepUp => Box::pin(people::begin_step_up(call)),
        Operation::CertPasskey => Box::pin(people::cert_passkey(call, body)),
        Operation::SignInIssuers => Box::pin(connections::issuers(call)),
        Operation::Door => Box::pin(people::door(call)),
        Operation::EndOwnSession => Box::pin(people::own(call, OwnAct::EndSession(parameter()))),
        Operation::Invitation => Box::pin(people::invitation(call, body)),
        Operation::Join => Box::pin(people::join(call, body)),
        Operation::MakeDelegation => Box::pin(crate::doors::delegate(call, route, path, body)),
        Operation::MakeInvite => Box::pin(people::make_invite(call, body)),
        Operation::OwnPasskeys => Box::pin(people::own(call, OwnAct::Passkeys)),
        Operation::PasskeyEndpoints => done(Ok(json(&documents::passkey_endpoints(config)))),
        Operation::RelatedOrigins => done(Ok(json(&documents::related_origins(config)))),
        Operation::RemovePasskey => Box::pin(people::own(call, OwnAct::RemovePasskey(parameter()))),
        Operation::RenamePasskey => Box::pin(people::rename_passkey(call, parameter(), body)),
        Operation::Status => Box::pin(people::status(call)),
        Operation::StepUp => Box::pin(people::step_up(call, body)),
        Operation::Asset => Box::pin(pages::asset(route, path, call)),
        Operation::BeginPossession => Box::pin(people::begin_possession(call)),
        Operation::BeginRegistration => Box::pin(people::begin_registration(call, body)),
        Operation::BeginSignIn => Box::pin(people::begin_sign_in(call)),
        Operation::BumpEpoch => Box::pin(keys::rotate(call, body, Act::BumpEpoch)),
        Operation::Bundle => Box::pin(bundle(call)),
        Operation::ListRows => Box::pin(admin::answer(call, route, path, body)),
        Operation::MakeRow | Operation::EditRow | Operation::RemoveRow => {
            Box::pin(rows::change(call, route, path, body))
        }
        Operation::TestPolicy => Box::pin(crate::doors::test_policy(call, body)),
        Operation::Revocations(form) => Box::pin(revocations(call, form)),
        Operation::Cert => Box::pin(people::cert(call, body)),
        Operation::CertGha => Box::pin(people::cert_gha(call, body)),
        Operation::Discovery => done(Ok(json(&documents::discovery(config)))),
        Operation::Epochs => Box::pin(epochs(call)),
        Operation::Health => done(Ok(text("ok"))),
        Operation::Jwks => Box::pin(jwks(call)),
        Operation::Me if route.is_page(&call.head) => Box::pin(pages::me(call)),
        Operation::Me => Box::pin(people::me(call)),
        Operation::Metadata => done(Ok(json(&documents::authorization_server(config)))),
        Operation::NotAnHttpEndpoint => done(Err(Error::NotAnHttpEndpoint)),
        Operation::NotImplemented => done(Err(Error::NotImplemented)),
        Operation::OpenApi => done(Ok(Reply::of_file("application/json", OPENAPI))),
        Operation::Page(page @ Page::Callback) => Box::pin(pages::filled(call, page, &[])),
        Operation::Page(page) => Box::pin(pages::page(call, page)),
        Operation::Redeem => Box::pin(tokens::redeem(call, body)),
        Operation::Register => Box::pin(people::register(call, body)),
        Operation::RollKey => Box::pin(keys::rotate(call, body, Act::RollOver)),
        Operation::Roots => Box::pin(roots(call)),
        Operation::Service if route.is_page(&call.head) => {
            Box::pin(pages::negotiated(call, Page::Landing))
        }
        Operation::Service => done(Ok(service(call))),
        Operation::SignIn => Box::pin(people::sign_in(call, body)),
        Operation::SignOut => Box::pin(people::sign_out(call)),
        Operation::ListPrincipals
        | Operation::ShowPrincipal
        | Operation::DisablePrincipal
        | Operation::EnablePrincipal
        | Operation::GrantScope
        | Operation::RevokeGrant
        | Operation::ListAuthenticators
        | Operation::RemoveAuthenticator
        | Operation::ListGrants
        | Operation::ListSessions
        | Operation::EndSession
        | Operation::ListCredentials
        | Operation::OwnCredentials
        | Operation::OwnSessions
        | Operation::RevokeCredential
        | Operation::ListAudit
        | Operation::ListInvites
        | Operation::RevokeInvite
        | Operation::OwnDelegations
        | Operation::ListDelegations
        | Operation::RevokeDelegation => Box::pin(admin::answer(call, route, path, body)),
        Operation::Token => Box::pin(tokens::token(call, body)),
        Operation::Version => done(Ok(json(&documents::version(config)))),
    }
}

/// An answer that nothing has to be awaited for.
fn done<'a>(answer: Result<Reply, Error>) -> Answering<'a> {
    Box::pin(ready(answer))
}

async fn epochs(call: &Call) -> Result<Reply, Error> {
    Ok(json(&documents::epochs(&archive(call).await?)))
}

async fn jwks(call: &Call) -> Result<Reply, Error> {
    Ok(json(&documents::jwks(
        &archive(call).await?,
        now_millis() / 1000,
    )))
}

async fn roots(call: &Call) -> Result<Reply, Error> {
    let pem = documents::roots(&archive(call).await?, now_millis() / 1000);
    Ok(Reply::new(200, "application/x-pem-file", pem.into_bytes()))
}

async fn bundle(call: &Call) -> Result<Reply, Error> {
    match signing_authority(&call.env, &Command::Bundle).await? {
        protocol::Reply::Bundle(body) => Ok(Reply::json(body)),
        other => Err(unexpected(&other)),
    }
}

async fn revocations(call: &Call, form: Form) -> Result<Reply, Error> {
    match signing_authority(&call.env, &Command::Revocations(form)).await? {
        protocol::Reply::Revocations(list) => {
            let known = call.request.headers().get("if-none-match").ok().flatten();
            Ok(list.reply(form, known.as_deref()))
        }
        other => Err(unexpected(&other)),
    }
}

pub(crate) async fn archive(call: &Call) -> Result<Archive, Error> {
    match signing_authority(&call.env, &Command::Archive).await? {
        protocol::Reply::Archive(archive) => Ok(archive),
        other => Err(unexpected(&other)),
    }
}

fn service(call: &Call) -> Reply {
    let mut reply = json(&documents::service(&call.config));
    reply.set("vary", "Accept");
    reply
}

pub(crate) fn json(document: &Value) -> Reply {
    Reply::json(document.to_string().into_bytes())
}

fn text(text: &str) -> Reply {
    Reply::new(200, "text/plain; charset=utf-8", text.as_bytes().to_vec())
}

pub(crate) fn unexpected(reply: &protocol::Reply) -> Error {
    // Not the reply itself: it may hold what was issued.
    let kind = match reply {
        protocol::Reply::Issued(_) => "a pair",
        protocol::Reply::Archive(_) => "the archive",
        protocol::Reply::Bundle(_) => "a bundle",
        protocol::Reply::Revocations(_) => "a list of what is revoked",
        protocol::Reply::Refused(_) => "a refusal",
        protocol::Reply::People(_) => "something about people",
        protocol::Reply::Rotated(_) => "a changed key",
        protocol::Reply::Tokens(_) => "something about tokens",
        protocol::Reply::Admin(_) => "what administrators see",
        protocol::Reply::Rows(_) => "rows",
    };
    Fault::Internal(format!(
        "the object answered with {kind}, which nobody asked for"
    ))
    .into()
}

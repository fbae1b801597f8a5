//! A pair for whoever a token of a trusted issuer, or a certificate under a pinned root, is about.

use notme_authority::delegation::{Delegate, Signed};
use notme_authority::doors::explain;
use notme_authority::doors::issuer::{Keys, Kind};
use notme_authority::doors::oidc::Exchange;
use notme_authority::doors::{Identified, x509};
use notme_authority::http::{Reply, Route, Session};
use notme_authority::people::PrincipalId;
use notme_authority::people::challenge::Ceremony;
use notme_authority::people::mint::{self, Holder, Mint, Newcomer};
use notme_authority::protocol;
use notme_authority::{Error, Fault, TokenError};
use notme_durable::{now_millis, random, settle_all};
use notme_jose::{Algorithm, CompactJws};
use notme_keys::{Outcome, VerifyingKey};
use serde_json::Value;

use crate::Call;
use crate::admin;
use crate::handlers::{archive, json, unexpected};
use crate::objects::{issuer_key, signing_authority};
use crate::people::{origin, session_of, spend};

/// From a request that shows a token to what the object is asked for:
///
/// 1. take the token apart;
/// 2. find the key that it names;
/// 3. settle its signature, and then the proofs of possession;
/// 4. say who it is about, and whether they hold the keys.
pub(crate) async fn identified(
    call: &Call,
    request: mint::Request,
    kind: Kind,
    token: &str,
) -> Result<Mint, Error> {
    let exchange = Exchange::parse(&call.config.issuers, kind, token, now_millis() / 1000)?; // (1)
    let (kid, algorithm) = (exchange.kid(), exchange.algorithm());
    let key = find_key(call, exchange.issuer(), exchange.keys(), kid, algorithm).await?; // (2)
    let obliged = exchange.oblige(key)?;
    let mut checks = vec![obliged.check().clone()];
    checks.extend(request.checks());
    let outcomes = settle_all(&checks).await?; // (3)
    let (of_token, of_keys) = outcomes.split_first().unwrap_or((&Outcome::Failed, &[]));
    let identified = obliged.settle(*of_token, request.challenge.is_some())?;
    newcomer(call, request, identified, of_keys) // (4)
}

/// The same for a chain of certificates: nothing has to be fetched.
pub(crate) async fn certified(
    call: &Call,
    request: mint::Request,
    shown: &x509::Shown,
) -> Result<Mint, Error> {
    let message = request.message_of_certificate(shown.leaf())?;
    let exchange = x509::Exchange::parse(&call.config.roots, shown)?;
    let obliged = exchange.oblige(message, now_millis() / 1000)?;
    let mut checks = obliged.checks().to_vec();
    let of_chain = checks.len();
    checks.extend(request.checks());
    let outcomes = settle_all(&checks).await?;
    let (of_chain, of_keys) = outcomes.split_at_checked(of_chain).unwrap_or_default();
    newcomer(call, request, obliged.settle(of_chain)?, of_keys)
}

/// What the object is asked for, if they hold the keys.
fn newcomer(
    call: &Call,
    request: mint::Request,
    identified: Identified,
    of_keys: &[Outcome],
) -> Result<Mint, Error> {
    let newcomer = Newcomer {
        identified,
        principal: PrincipalId::from_random(random()?),
        origin: origin(call),
    };
    request.settle(Holder::Identified(Box::new(newcomer)), of_keys)
}

/// Makes a delegation: for whoever has a session, or for whoever has signed the wish with a live pair.
pub(crate) async fn delegate(
    call: &Call,
    route: &'static Route,
    path: &str,
    body: &[u8],
) -> Result<Reply, Error> {
    let Some(signed) = Signed::parse(body)? else {
        return admin::answer(call, route, path, body).await;
    };
    let newcomer = match signer(call, &signed).await {
        Ok(newcomer) => newcomer,
        Err(error) => {
            if !matches!(error, Error::Fault(_)) {
                spend(call, Ceremony::Possession, Vec::new(), signed.challenge).await?;
            }
            return Err(error);
        }
    };
    let command = protocol::Command::Delegate(Box::new(Delegate {
        newcomer,
        challenge: signed.challenge,
        wish: signed.wish,
    }));
    match signing_authority(&call.env, &command).await? {
        protocol::Reply::Admin(reply) => Ok(Reply::json(reply.body)),
        other => Err(unexpected(&other)),
    }
}

/// Whose pair it is that a wish is signed with.
async fn signer(call: &Call, signed: &Signed) -> Result<Newcomer, Error> {
    let now = now_millis() / 1000;
    let archive = archive(call).await?;
    let roots = archive.trusted(now).map(|key| key.root.clone());
    let rows = [x509::TrustedRoots::own(roots.collect())?];
    let exchange = x509::Exchange::parse(&rows, &signed.shown)?;
    let obliged = exchange.oblige(signed.message(), now)?;
    let outcomes = settle_all(obliged.checks()).await?;
    Ok(Newcomer {
        identified: obliged.settle(&outcomes)?,
        principal: PrincipalId::from_random(random()?),
        origin: origin(call),
    })
}

/// The key of an issuer that a token names.
async fn find_key(
    call: &Call,
    issuer: &str,
    keys: &Keys,
    kid: &str,
    algorithm: Algorithm,
) -> Result<Option<VerifyingKey>, Error> {
    let at = match keys {
        Keys::Given(set) => return Ok(set.find(kid, algorithm)),
        Keys::At(uri) => Some(uri.as_str()),
        Keys::Discovered => None,
    };
    issuer_key(&call.env, issuer, at, kid, algorithm).await
}

/// What every row makes of a token. It is shown by an administrator, and isn't used up.
pub(crate) async fn test_policy(call: &Call, body: &[u8]) -> Result<Reply, Error> {
    let session = session_of(call).await?;
    session.permit(Session::Manage, now_millis() / 1000)?;
    let token = explain::wanted(body)?;
    let rows = explain::explain(&call.config.issuers, &token, now_millis() / 1000)?;
    let signature = signature_of(call, &token).await?;
    Ok(json(&explain::answer(signature, &rows)))
}

async fn signature_of(call: &Call, token: &str) -> Result<&'static str, Error> {
    let token = CompactJws::parse(token).map_err(|_| TokenError::Malformed)?;
    let iss = token.claims().get("iss").and_then(Value::as_str);
    let row = (call.config.issuers.iter()).find(|row| Some(row.issuer.as_str()) == iss);
    let Some(row) = row else {
        return Ok("unknown_issuer");
    };
    let Some(algorithm) = token.algorithm() else {
        return Ok("invalid");
    };
    let kid = token.header("kid").unwrap_or_default();
    match find_key(call, &row.issuer, &row.keys, kid, algorithm).await {
        Ok(Some(key)) => match settle_all(&[token.signature_check(key)]).await?.first() {
            Some(outcome) if outcome.is_verified() => Ok("valid"),
            _ => Ok("invalid"),
        },
        Ok(None) => Ok("unknown_key"),
        Err(Error::Fault(Fault::IssuerUnavailable(_))) => Ok("unavailable"),
        Err(error) => Err(error),
    }
}

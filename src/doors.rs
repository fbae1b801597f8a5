//! A pair for whoever a proof is about: what the doors need is fetched, and what they name is settled.

use std::pin::Pin;
use std::rc::Rc;

use notme_authority::asking::Question;
use notme_authority::delegation::{Delegate, Signed};
use notme_authority::doors::github;
use notme_authority::doors::issuer::{Keys, TrustedIssuer};
use notme_authority::doors::made;
use notme_authority::doors::oidc::apart;
use notme_authority::doors::rows::Rows;
use notme_authority::doors::x509::{self, TrustedRoots};
use notme_authority::doors::{Answer, Ask, Edge, Gathered, Identified, Need, Opened, explain};
use notme_authority::http::{Reply, Route, Session};
use notme_authority::limits::source;
use notme_authority::people::PrincipalId;
use notme_authority::people::challenge::Ceremony;
use notme_authority::people::mint::{Holder, Mint, Newcomer, Request};
use notme_authority::protocol;
use notme_authority::{Error, Fault};
use notme_durable::{now_millis, random, settle_all};
use notme_jose::Algorithm;
use notme_keys::{Outcome, SignatureCheck, VerifyingKey};
use serde_json::Value;
use wasm_bindgen::JsValue;

use crate::handlers::{archive, json, unexpected};
use crate::limits::told_source;
use crate::objects::{api_answer, issuer_key, signing_authority};
use crate::people::{origin, session_of, spend};
use crate::{Call, admin, rows};

impl Edge for Call {
    fn header(&self, name: &str) -> Option<String> {
        self.request.headers().get(name).ok().flatten()
    }

    fn tls(&self, fact: &str) -> Option<String> {
        let member = |of: &JsValue, name: &str| js_sys::Reflect::get(of, &name.into()).ok();
        let facts = member(&member(&self.request, "cf")?, "tlsClientAuth")?;
        member(&facts, fact)?.as_string()
    }
}

/// From a request that shows something to what the object is asked for:
///
/// 1. take the proof apart;
/// 2. fetch what it needs;
/// 3. settle what it comes to, and then the proofs of possession;
/// 4. say who it is about, and whether they hold the keys.
pub(crate) async fn identified(call: &Call, request: Request) -> Result<Mint, Error> {
    let rows = rows::rows(call).await?.rows;
    identified_by(call, &rows, request).await
}

/// The same, by these rows. Behind a pointer, so that it is compiled once.
pub(crate) fn identified_by<'a>(
    call: &'a Call,
    rows: &'a Rows,
    request: Request,
) -> Pin<Box<dyn Future<Output = Result<Mint, Error>> + 'a>> {
    Box::pin(async move {
        let nobody = || Fault::Internal("a proof without a door".into());
        let opened = request.open(&call.config, rows, now_millis() / 1000)?; // (1)
        let opened = opened.ok_or_else(nobody)?;
        let (identified, of_keys) = settled(call, &*opened, request.checks()).await?;
        drop(opened);
        let newcomer = Newcomer {
            identified,
            principal: PrincipalId::from_random(random()?),
            origin: origin(call),
        };
        request.settle(Holder::Identified(Box::new(newcomer)), &of_keys)
    })
}

/// Who was proven to be asking, and what came of further checks.
type Settled = Result<(Identified, Vec<Outcome>), Error>;

/// Fetches what a proof needs and settles it, and with it whatever else has to hold. Behind a pointer, so that it is
/// compiled once.
pub(crate) fn settled<'a>(
    call: &'a Call,
    opened: &'a dyn Opened,
    further: Vec<SignatureCheck>,
) -> Pin<Box<dyn Future<Output = Settled> + 'a>> {
    Box::pin(async move {
        let obliged = opened.oblige(gather(call, opened.need()).await?)?; // (2)
        let mut checks = obliged.checks().to_vec();
        checks.extend(further);
        let mut of_proof = settle_all(&checks).await?; // (3)
        let of_further = of_proof.split_off(obliged.checks().len().min(of_proof.len()));
        Ok((obliged.settle(&of_proof)?, of_further)) // (4)
    })
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
    let own = TrustedRoots::own(roots.collect())?;
    let opened = signed.shown.open_in(&own, signed.message(), now)?;
    let (identified, _) = settled(call, &*opened, Vec::new()).await?;
    Ok(Newcomer {
        identified,
        principal: PrincipalId::from_random(random()?),
        origin: origin(call),
    })
}

/// Fetches what a proof needs.
async fn gather(call: &Call, need: Need<'_>) -> Result<Gathered, Error> {
    match need {
        Need::Nothing => Ok(Gathered::Nothing),
        Need::Key {
            issuer,
            keys,
            kid,
            algorithm,
        } => {
            let key = find_key(call, issuer, keys, kid, algorithm).await?;
            Ok(Gathered::Key(key))
        }
        Need::Answers(asks) => Box::pin(answers(call, asks)).await.map(Gathered::Answers),
    }
}

async fn answers(call: &Call, asks: Vec<Ask>) -> Result<Vec<Answer>, Error> {
    let mut answers = Vec::with_capacity(asks.len());
    for ask in asks {
        let answer = answer(call, ask).await?;
        let is_good = answer.status == 200;
        answers.push(answer);
        if !is_good {
            break;
        }
    }
    Ok(answers)
}

/// What an API says.
pub(crate) async fn answer(call: &Call, ask: Ask) -> Result<Answer, Error> {
    let source = told_source(call).map(|told| source(&told));
    api_answer(&call.env, &Question { ask, source }).await
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
    let trial = explain::wanted(body)?;
    let copy = rows::rows(call).await?;
    let rows = match &trial.draft {
        Some(draft) => {
            let id = trial.id.as_deref();
            Rc::new(made::with_draft(&call.config, &copy.made, draft, id)?)
        }
        None => copy.rows,
    };
    let now = now_millis() / 1000;
    if let Some(tried) = github::Trial::of(&trial.token) {
        let explained = Box::pin(try_github(call, &rows, &tried, now)).await?;
        return Ok(json(&explained));
    }
    if let Some(chain) = x509::Trial::of(&trial.token) {
        let chain = chain?;
        let outcomes = settle_all(&chain.checks(&rows, now)).await?;
        let (signature, explained) = chain.explain(&rows, now, &outcomes);
        return Ok(json(&explain::answer(signature, &explained)));
    }
    let mut explained = explain::explain(&rows.issuers, &trial.token, now)?;
    explained.extend(explain::of_jobs(&call.config, &trial.token, now));
    let signature = signature_of(call, &rows.issuers, &trial.token).await?;
    Ok(json(&explain::answer(signature, &explained)))
}

/// What rows make of a token of GitHub's, which is asked about it as at the door.
async fn try_github(
    call: &Call,
    rows: &Rows,
    tried: &github::Trial,
    now: u64,
) -> Result<Value, Error> {
    let asks = tried.asks(&call.config, rows, now)?;
    let answers = answers(call, asks).await?;
    match tried.explain(&call.config, rows, &answers, now) {
        Ok(explained) if explained.is_empty() => Ok(explain::answer("unknown_issuer", &[])),
        Ok(explained) => Ok(explain::answer("valid", &explained)),
        Err(Error::TokenRefused) => Ok(explain::answer("invalid", &[])),
        Err(error) => Err(error),
    }
}

async fn signature_of(
    call: &Call,
    rows: &[TrustedIssuer],
    token: &str,
) -> Result<&'static str, Error> {
    let token = apart(token)?;
    let iss = token.claims().get("iss").and_then(Value::as_str);
    let Some(algorithm) = token.algorithm() else {
        return Ok("invalid");
    };
    let kid = token.header("kid").unwrap_or_default();
    let of_issuer = |row: &&TrustedIssuer| Some(row.issuer.as_str()) == iss;
    let of_token = |row: &&TrustedIssuer| of_issuer(row) && row.may_have(kid, algorithm);
    let row = rows.iter().find(of_token);
    let row = row.or_else(|| rows.iter().find(of_issuer));
    let jobs = call.config.gha.issuer.as_str();
    let (issuer, keys) = match row {
        Some(row) => (row.issuer.as_str(), &row.keys),
        None if iss == Some(jobs) => (jobs, &Keys::Discovered),
        None => return Ok("unknown_issuer"),
    };
    match find_key(call, issuer, keys, kid, algorithm).await {
        Ok(Some(key)) => match settle_all(&[token.signature_check(key)]).await?.first() {
            Some(outcome) if outcome.is_verified() => Ok("valid"),
            _ => Ok("invalid"),
        },
        Ok(None) => Ok("unknown_key"),
        Err(Error::Fault(Fault::IssuerUnavailable(_))) => Ok("unavailable"),
        Err(error) => Err(error),
    }
}

//! A pair for whoever a token of a trusted issuer, or a certificate under a pinned root, is about.

use notme_authority::Error;
use notme_authority::doors::issuer::{Keys, Kind};
use notme_authority::doors::oidc::Exchange;
use notme_authority::doors::{Identified, x509};
use notme_authority::people::PrincipalId;
use notme_authority::people::mint::{self, Holder, Mint, Newcomer};
use notme_durable::{now_millis, random, settle_all};
use notme_keys::Outcome;

use crate::Call;
use crate::objects::issuer_key;
use crate::people::origin;

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
    let key = match exchange.keys() {
        Keys::Given(set) => set.find(kid, algorithm),
        keys => {
            let at = match keys {
                Keys::At(uri) => Some(uri.as_str()),
                _ => None,
            };
            issuer_key(&call.env, exchange.issuer(), at, kid, algorithm).await?
        }
    }; // (2)
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

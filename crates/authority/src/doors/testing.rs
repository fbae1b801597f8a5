//! What tests of doors have in common: a configuration, a caller, and the whole way of a proof without a host.

use ed25519_dalek::Signer;
use notme_keys::native::settle;
use notme_keys::{Ed25519PublicKey, Outcome, P256PublicKey, encode_base64url, encode_pem};
use serde_json::{Value, json};

use super::{Edge, Gathered, Identified, Need};
use crate::Error;
use crate::config::Config;
use crate::people::mint::{Holder, Request};

/// The time of tests, in Unix seconds.
pub(crate) const NOW: u64 = 1_800_000_000;
/// The challenge of tests.
pub(crate) const CHALLENGE: [u8; 32] = [7; 32];

/// What is beside a body: headers, and what the platform says of a client's certificate as `tls FACT`.
pub(crate) struct Beside<'a>(pub(crate) &'a [(&'a str, &'a str)]);

impl Edge for Beside<'_> {
    fn header(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    }

    fn tls(&self, fact: &str) -> Option<String> {
        self.header(&format!("tls {fact}"))
    }
}

/// A configuration with these rows, and with further variables.
pub(crate) fn config_with(rows: &Value, more: &[(&str, &str)]) -> Config {
    let rows = rows.to_string();
    let ours = [
        ("SIGNET_AUTHORITY_URL", "https://id.example"),
        ("TRUSTED_ISSUERS", rows.as_str()),
    ];
    let lookup = |name: &str| {
        let found = ours.iter().chain(more).find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::read(lookup).unwrap()
}

/// A configuration with these rows.
pub(crate) fn config(rows: &Value) -> Config {
    config_with(rows, &[])
}

/// Somebody who asks for a pair.
pub(crate) struct Caller {
    mtls: p256::ecdsa::SigningKey,
    signing: ed25519_dalek::SigningKey,
}

impl Caller {
    /// One whose keys are always the same.
    pub(crate) fn new() -> Self {
        Self {
            mtls: p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap(),
            signing: ed25519_dalek::SigningKey::from_bytes(&[2; 32]),
        }
    }

    /// Both public keys, as they stand in what is signed.
    pub(crate) fn spkis(&self) -> Vec<u8> {
        let (mtls, signing) = self.keys();
        [&mtls[..], &signing].concat()
    }

    fn keys(&self) -> (Vec<u8>, Vec<u8>) {
        let point = self.mtls.verifying_key().to_sec1_point(false);
        let mtls = P256PublicKey::from_coordinates(point.as_bytes()[1..].try_into().unwrap());
        let signing = Ed25519PublicKey::from_bytes(self.signing.verifying_key().to_bytes());
        (mtls.to_spki().to_vec(), signing.unwrap().to_spki().to_vec())
    }

    /// A request with this proof, whose keys sign `message`.
    pub(crate) fn request(&self, proof: &Value, message: &[u8]) -> Value {
        let (mtls, signing) = self.keys();
        let pem = |spki: &[u8]| encode_pem("PUBLIC KEY", spki);
        let by_mtls: p256::ecdsa::Signature = self.mtls.sign(message);
        json!({
            "proof": proof,
            "public_keys": { "mtls": pem(&mtls), "signing": pem(&signing) },
            "proofs": {
                "mtls": encode_base64url(&by_mtls.to_bytes()),
                "signing": encode_base64url(&self.signing.sign(message).to_bytes()),
            },
        })
    }

    /// A request with this proof and a challenge.
    pub(crate) fn challenged(&self, proof: &Value) -> Value {
        let label = &b"notme-proof-of-possession-v1\0"[..];
        let mut request = self.request(proof, &[label, &CHALLENGE, &self.spkis()].concat());
        request["challenge"] = encode_base64url(&CHALLENGE).into();
        request
    }
}

/// The whole way of a proof: parsed, opened, gathered for, settled, and whoever it is about holds the keys.
pub(crate) fn identified(
    config: &Config,
    beside: &[(&str, &str)],
    request: &Value,
    gather: impl FnOnce(Need<'_>) -> Gathered,
) -> Result<Identified, Error> {
    let body = request.to_string();
    let request = Request::parse(body.as_bytes(), config, &Beside(beside))?;
    let (identified, of_keys) = {
        let opened = request.open(config, &config.rows, NOW)?.unwrap();
        let obliged = opened.oblige(gather(opened.need()))?;
        let checks = [obliged.checks(), &request.checks()].concat();
        // As hosts do it: without the first the others aren't made.
        let mut outcomes = vec![Outcome::Failed; checks.len()];
        for (check, outcome) in checks.iter().zip(&mut outcomes) {
            *outcome = settle(check);
            if !settle(&checks[0]).is_verified() {
                break;
            }
        }
        let (of_proof, of_keys) = outcomes.split_at(obliged.checks().len());
        (obliged.settle(of_proof)?, of_keys.to_vec())
    };
    request.settle(Holder::Session([0; 32]), &of_keys)?;
    Ok(identified)
}

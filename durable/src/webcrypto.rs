//! An Ed25519 key that can sign and not be read: WebCrypto's.

use js_sys::{Array, Promise, Uint8Array};
use notme_authority::Fault;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use zeroize::Zeroizing;

use crate::sql::internal;

/// DER of a PKCS #8 Ed25519 private key up to the seed (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = importKey, catch)]
    fn import_key(
        format: &str,
        key: &Uint8Array,
        algorithm: &str,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;
}

#[wasm_bindgen(module = "/src/signing.mjs")]
extern "C" {
    #[wasm_bindgen(js_name = signBoth, catch)]
    async fn sign_both(key: &JsValue, first: &[u8], second: &[u8]) -> Result<JsValue, JsValue>;
}

/// A private key outside of wasm's memory.
pub(crate) struct SigningKey(JsValue);

impl SigningKey {
    /// Imports a seed; our copy of it is the caller's to forget.
    pub(crate) async fn import(seed: &[u8; 32]) -> Result<Self, Fault> {
        let pkcs8 = Zeroizing::new([&PKCS8_PREFIX[..], seed].concat());
        let copy = Uint8Array::from(&pkcs8[..]);
        let usages = Array::of1(&"sign".into());
        let key = import_key("pkcs8", &copy, "Ed25519", false, &usages).map_err(internal)?;
        let key = JsFuture::from(key).await;
        copy.fill(0, 0, copy.length());
        Ok(Self(key.map_err(internal)?))
    }

    /// Signs a message.
    pub(crate) async fn sign(&self, message: &[u8]) -> Result<[u8; 64], Fault> {
        let signature = sign_both(&self.0, message, &[]).await.map_err(internal)?;
        let bytes = Uint8Array::new(&signature).to_vec();
        bytes.try_into().map_err(internal)
    }

    /// Signs two messages, at the price of little more than one.
    pub(crate) async fn sign_both(&self, messages: [&[u8]; 2]) -> Result<[[u8; 64]; 2], Fault> {
        let [first, second] = messages;
        let signatures = sign_both(&self.0, first, second).await.map_err(internal)?;
        let bytes: [u8; 128] = Uint8Array::new(&signatures)
            .to_vec()
            .try_into()
            .map_err(internal)?;
        let mut signatures = [[0; 64]; 2];
        signatures.as_flattened_mut().copy_from_slice(&bytes);
        Ok(signatures)
    }
}

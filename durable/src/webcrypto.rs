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

    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], catch)]
    fn sign(algorithm: &str, key: &JsValue, message: &[u8]) -> Result<Promise, JsValue>;
}

/// A private key outside of wasm's memory.
pub(crate) struct SigningKey(JsValue);

/// A signature that is being made.
pub(crate) struct Signing(Promise);

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

    /// Begins to sign `message`, which WebCrypto is done reading when this returns.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Signing, Fault> {
        Ok(Signing(
            sign("Ed25519", &self.0, message).map_err(internal)?,
        ))
    }
}

impl Signing {
    pub(crate) async fn done(self) -> Result<[u8; 64], Fault> {
        let signature = JsFuture::from(self.0).await.map_err(internal)?;
        Uint8Array::new(&signature)
            .to_vec()
            .try_into()
            .map_err(internal)
    }
}

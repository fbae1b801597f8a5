use wasm_bindgen::prelude::*;
use worker::*;

#[durable_object]
pub struct SigningAuthority {
    state: State,
    env: Env,
}

impl DurableObject for SigningAuthority {
    fn new(state: State, env: Env) -> Self {
        Self { state, env }
    }
    async fn fetch(&self, _req: Request) -> Result<Response> {
        Response::error("rpc only", 404)
    }
}

#[wasm_bindgen]
impl SigningAuthority {
    pub async fn call(
        &self,
        bytes: js_sys::Uint8Array,
    ) -> std::result::Result<js_sys::Uint8Array, JsValue> {
        let v = bytes.to_vec();
        if v.first() == Some(&b'p') {
            panic!("boom")
        }
        Ok(js_sys::Uint8Array::from(&v[..]))
    }
}

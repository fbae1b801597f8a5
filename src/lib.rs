pub use notme_durable::SigningAuthority;
use wasm_bindgen::prelude::*;
use worker::{Context, Env, Result, event};

#[wasm_bindgen]
extern "C" {
    type Stub;
    #[wasm_bindgen(method, catch)]
    async fn call(this: &Stub, b: &js_sys::Uint8Array) -> std::result::Result<JsValue, JsValue>;
}

#[event(fetch)]
async fn fetch(req: web_sys::Request, env: Env, _ctx: Context) -> Result<web_sys::Response> {
    let url = req.url();
    if url.ends_with("wpanic") {
        panic!("worker boom")
    }
    let ns = env.durable_object("SIGNING_AUTHORITY")?;
    let stub: Stub = ns.id_from_name("default")?.get_stub()?.into_rpc();
    let arg = js_sys::Uint8Array::from(if url.ends_with("opanic") {
        &b"p"[..]
    } else {
        &b"hello"[..]
    });
    let r = stub.call(&arg).await?;
    let r: js_sys::Uint8Array = r.unchecked_into();
    web_sys::Response::new_with_opt_str(Some(&format!("{url} {:?}", r.to_vec())))
        .map_err(Into::into)
}

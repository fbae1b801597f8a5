use worker::{event, Context, Env, Result};
pub use notme_durable::SigningAuthority;

#[event(fetch)]
async fn fetch(req: web_sys::Request, env: Env, _ctx: Context) -> Result<web_sys::Response> {
    let url = req.url();
    web_sys::Response::new_with_opt_str(Some(&url)).map_err(Into::into)
}

//! Where a request comes from, and whether it is one too many.

use std::cell::RefCell;

use js_sys::{Object, Reflect};
use notme_authority::Error;
use notme_authority::config::LogLevel;
use notme_authority::limits::{Class, Limiter, source};
use notme_durable::{log, now_millis};
use wasm_bindgen::prelude::*;

use crate::Call;

#[wasm_bindgen]
extern "C" {
    type Limit;
    #[wasm_bindgen(method, catch)]
    async fn limit(this: &Limit, options: &Object) -> Result<JsValue, JsValue>;
}

thread_local! {
    /// What was asked of this worker of late.
    static LIMITERS: RefCell<[Limiter; Class::ALL.len()]> = RefCell::default();
}

/// How long to wait where the platform says no: it doesn't say how long, and its periods are a minute at most.
const PLATFORM_PERIOD_SECS: u32 = 60;

/// The caller's address as the header that is believed tells it, or, where none is, as the server saw it.
pub(crate) fn told_source(call: &Call) -> Option<String> {
    match call.config.source_header.as_deref() {
        Some(name) => call.request.headers().get(name).ok().flatten(),
        None => {
            let member = |of: &JsValue, name: &str| Reflect::get(of, &name.into()).ok();
            let facts = member(&call.request, "cf").filter(JsValue::is_object)?;
            member(&facts, "clientIp")?.as_string()
        }
    }
}

/// Takes one request of this class from what its source has left. Nothing tells sources apart where none is
/// known, so there nobody's are counted: else one could use up what others have.
///
/// # Errors
/// [`Error::TooManyRequests`].
pub(crate) async fn permit(call: &Call, class: Class) -> Result<(), Error> {
    let Some(size) = call.config.rate_limits.of(class) else {
        return Ok(());
    };
    let Some(mut source) = told_source(call).map(|told| source(&told)) else {
        return Ok(());
    };
    // What another site's page asks for in a visitor's browser uses up nothing of what its address has.
    if let Some(page) = call.head.page(&call.config) {
        source.extend([" ", page]);
    }
    let now = now_millis() / 1000;
    LIMITERS.with_borrow_mut(|limiters| {
        let mut each = Class::ALL.iter().zip(limiters);
        let own = each.find(|(of, _)| **of == class);
        own.map_or(Ok(()), |(_, limiter)| limiter.take(&source, size, now))
    })?;
    match class.binding() {
        Some(binding) => platform(call, binding, format!("{}:{source}", class.name())).await,
        None => Ok(()),
    }
}

/// Asks the platform's limiter, which counts for all workers of a place, if there is one.
async fn platform(call: &Call, binding: &str, key: String) -> Result<(), Error> {
    let Ok(limiter) = Reflect::get(call.env.as_ref(), &binding.into()) else {
        return Ok(());
    };
    if !limiter.is_object() {
        return Ok(());
    }
    let options = Object::new();
    let _ = Reflect::set(&options, &"key".into(), &key.into()); // it is a plain object
    match limiter.unchecked_ref::<Limit>().limit(&options).await {
        Ok(outcome) => match Reflect::get(&outcome, &"success".into()) {
            Ok(success) if success.is_falsy() => Err(Error::TooManyRequests(PLATFORM_PERIOD_SECS)),
            _ => Ok(()),
        },
        Err(error) => {
            // Our own limits hold without it.
            let reason = format!("{binding}: {error:?}");
            let fields = [
                ("request_id", call.id.as_str().into()),
                ("reason", reason.into()),
            ];
            log(LogLevel::Warn, "limiter_failed", fields);
            Ok(())
        }
    }
}

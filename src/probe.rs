//! Panics on request. Compiled into the build that `tests/panic.test.mjs` makes, and into no other.

use crate::Call;
use crate::objects::ask;

#[expect(clippy::panic, reason = "that is what it is for")]
pub(crate) async fn panic_if_asked(call: &Call) {
    match call
        .request
        .headers()
        .get("x-panic")
        .ok()
        .flatten()
        .as_deref()
    {
        Some("worker") => panic!("the worker was asked to panic"),
        Some("worker-later") => {
            let _ = ask(&call.env, "SIGNING_AUTHORITY", "default", &[]).await;
            panic!("the worker was asked to panic after an await");
        }
        Some("worker-stack") => assert!(notme_durable::overflow(0) > 0, "the stack has an end"),
        Some("object-stack") => {
            let answer = ask(&call.env, "SIGNING_AUTHORITY", "default", b"stack").await;
            assert!(answer.is_ok(), "the object died");
        }
        Some("object") => {
            let answer = ask(&call.env, "SIGNING_AUTHORITY", "default", b"panic").await;
            assert!(answer.is_ok(), "the object died");
        }
        _ => {}
    }
}

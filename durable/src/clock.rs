//! What time it is, for objects ([`notme_authority::clock`]).

use std::cell::Cell;

use notme_authority::clock::Told;

use crate::host;

thread_local! {
    static TOLD: Cell<Told> = Cell::default();
}

/// Takes the time at which a message was sent, in Unix milliseconds.
pub(crate) fn heard(at: u64) {
    TOLD.set(TOLD.get().hear(at));
}

/// Unix milliseconds.
pub(crate) fn now_millis() -> u64 {
    TOLD.get().now(host::now_millis())
}

//! This worker's copy of the rows that administrators made.
//!
//! It is at most 15 seconds old. What was taken back meanwhile lets nobody in all the same: the object looks again,
//! in the transaction that issues.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use notme_authority::config::LogLevel;
use notme_authority::doors::made::{MadeRow, Plan, RowSet, plan};
use notme_authority::doors::rows::Rows;
use notme_authority::http::{Reply, Route};
use notme_authority::protocol::{self, Command};
use notme_authority::{Error, Fault};
use notme_durable::{log, now_millis};

use crate::handlers::unexpected;
use crate::objects::signing_authority;
use crate::{Call, admin};

/// A copy.
#[derive(Clone)]
pub(crate) struct Copy {
    revision: u64,
    /// What administrators made, as it is stored.
    pub(crate) made: Rc<[MadeRow]>,
    /// All rows, the configuration's first.
    pub(crate) rows: Rc<Rows>,
    /// Since when it is known to be right, in Unix milliseconds.
    at: u64,
}

thread_local! {
    static COPY: RefCell<Option<Copy>> = const { RefCell::new(None) };
    /// Whether a request asks for the rows that others needn't ask for.
    static IS_ASKED_FOR: Cell<bool> = const { Cell::new(false) };
    /// Moves when a copy becomes worthless: also one that is on its way.
    static GENERATION: Cell<u64> = const { Cell::new(0) };
}

/// All rows, as of the last 15 seconds.
///
/// # Errors
/// [`Fault::RowsUnavailable`] if they can't be had.
pub(crate) async fn rows(call: &Call) -> Result<Copy, Error> {
    let known = COPY.with_borrow(Clone::clone);
    match known {
        Some(copy) if plan(copy.at, IS_ASKED_FOR.get(), now_millis()) == Plan::Use => Ok(copy),
        known => asked(call, known).await,
    }
}

/// Has the object asked before the next proof is looked at.
pub(crate) fn forget() {
    COPY.set(None);
    GENERATION.set(GENERATION.get().wrapping_add(1));
}

/// What goes by the rows, and can be done again.
pub(crate) type Work<'a> =
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Reply, Error>> + 'a>> + 'a;

/// Does what goes by the rows. If the object says that one of them is another by now, what this worker knew was old,
/// and nothing was used up: it is done once more, and who is still let in notices nothing.
pub(crate) async fn with_rows(work: &Work<'_>) -> Result<Reply, Error> {
    match work().await {
        Err(Error::RowChanged) => {
            forget();
            work().await
        }
        answer => answer,
    }
}

/// Changes the rows. This worker knows of it at once.
pub(crate) async fn change(
    call: &Call,
    route: &'static Route,
    path: &str,
    body: &[u8],
) -> Result<Reply, Error> {
    let answer = admin::answer(call, route, path, body).await;
    forget();
    answer
}

async fn asked(call: &Call, known: Option<Copy>) -> Result<Copy, Error> {
    // While this request asks, the others go by a copy that counts. They can't wait for it: what one request of a
    // worker waits for, no other one may.
    IS_ASKED_FOR.set(true);
    let (at, generation) = (now_millis(), GENERATION.get());
    let command = Command::Rows(known.as_ref().map(|copy| copy.revision));
    let answer = signing_authority(&call.env, &command).await;
    IS_ASKED_FOR.set(false);
    let copy = match (answer, known) {
        (Ok(protocol::Reply::Rows(Some(set))), _) => read(call, set, at),
        (Ok(protocol::Reply::Rows(None)), Some(known)) => Copy { at, ..known },
        (Ok(other), _) => return Err(unexpected(&other)),
        (Err(Error::Fault(Fault::Internal(why))), _) => {
            return Err(Fault::RowsUnavailable(why).into());
        }
        (Err(error), _) => return Err(error),
    };
    if generation == GENERATION.get() {
        COPY.set(Some(copy.clone()));
    }
    Ok(copy)
}

fn read(call: &Call, set: RowSet, at: u64) -> Copy {
    let (rows, problems) = Rows::with(&call.config, &set.rows);
    for (id, problem) in problems {
        let fields = [("row", id.into()), ("reason", problem.into())];
        log(LogLevel::Warn, "row_unusable", fields);
    }
    Copy {
        revision: set.revision,
        made: set.rows.into(),
        rows: Rc::new(rows),
        at,
    }
}

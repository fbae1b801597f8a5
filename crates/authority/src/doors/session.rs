//! The door for whoever is signed in. The cookie is the proof; the object alone knows what it is worth.

use super::{Door, Proof, RowsOf};

/// The door.
pub const DOOR: Door = Door {
    name: "session",
    read: |_| Ok(Proof::Session),
    rows: RowsOf::Never,
};

//! The door for the operator's code, where nobody is yet. The object alone knows whether it was used.

use super::{Door, Given, Proof, RowsOf};
use crate::Error;
use crate::people::DEFAULT_NAME;
use crate::people::body::{shown_name, text};
use crate::people::bootstrap::BootstrapCode;

/// The door.
pub const DOOR: Door = Door {
    name: "bootstrap",
    read,
    rows: RowsOf::Never,
};

fn read(given: &Given<'_>) -> Result<Proof, Error> {
    let code = text(given.member("code"), "proof.code")?.unwrap_or_default();
    if code.trim().is_empty() {
        return Err(Error::BadBootstrapCode);
    }
    let name = shown_name(given.member("displayName"), "proof.displayName")?;
    Ok(Proof::Code(
        *BootstrapCode::presented(code).hash(),
        name.unwrap_or_else(|| DEFAULT_NAME.to_owned()),
    ))
}

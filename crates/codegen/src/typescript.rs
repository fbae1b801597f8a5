//! TS.
use crate::model::File;
/// x
pub fn emit(_file: &File) -> String { String::new() }

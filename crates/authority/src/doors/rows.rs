//! All rows, of whatever kind, in the order in which they are asked.

use serde_json::Value;

use super::issuer::TrustedIssuer;
use super::x509::{self, TrustedRoots};
use crate::rows::each;

/// Whom an authority lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The issuers whose tokens let somebody in.
    pub issuers: Vec<TrustedIssuer>,
    /// The roots whose certificates let somebody in.
    pub roots: Vec<TrustedRoots>,
}

impl Rows {
    /// Reads rows: a JSON array of objects.
    ///
    /// # Errors
    /// Sentences for the operator, each about one row. They don't repeat values.
    pub fn read_all(json: &str) -> Result<Self, Vec<String>> {
        let mut rows = Self::default();
        each(json, &mut |row| rows.add(row))?;
        Ok(rows)
    }

    /// Adds a row behind those that are there.
    pub(super) fn add(&mut self, row: &Value) -> Result<(), String> {
        if x509::is_row(row) {
            self.roots.push(TrustedRoots::read(row, &self.roots)?);
        } else {
            self.issuers.push(TrustedIssuer::read(row, &self.issuers)?);
        }
        Ok(())
    }
}

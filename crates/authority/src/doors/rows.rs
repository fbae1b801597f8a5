//! All rows, of whatever kind, in the order in which they are asked.

use serde_json::Value;

use super::RowsOf;
use super::issuer::TrustedIssuer;
use super::row::{Row, door_of};
use super::x509::TrustedRoots;
use crate::rows::each;

/// Whom an authority lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The issuers whose tokens let somebody in.
    pub issuers: Vec<TrustedIssuer>,
    /// The roots whose certificates let somebody in.
    pub roots: Vec<TrustedRoots>,
    /// The rows of other doors.
    pub plain: Vec<Row>,
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
        let door = door_of(row);
        match door.map(|door| (door.name, door.rows)) {
            Some((kind, RowsOf::Roots)) => {
                self.roots.push(TrustedRoots::read(row, kind, &self.roots)?);
            }
            Some((kind, RowsOf::Plain(form))) => self.plain.push(Row::read(row, kind, form)?),
            // Of issuers, or of no door, which is told there.
            _ => self.issuers.push(TrustedIssuer::read(row, &self.issuers)?),
        }
        Ok(())
    }
}

//! Rows of the doors that have no form of their own: a name, whom they let in and as what, and what the door adds.

use serde_json::{Map, Value};

use super::claims::{Claims, Rule};
use super::issuer::{permit, pinned_by, rules, scopes};
use super::{Door, Rows};
use crate::people::Scopes;

/// The members that each has.
const MEMBERS: [&str; 4] = ["name", "rules", "scopes", "type"];

/// What a door's rows have beside name, rules and scopes.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Further members.
    pub members: &'static [&'static str],
    /// Claims of which every rule must look at one, for something in particular; none where rules may be `[{}]`.
    pub pins: &'static [&'static str],
    /// What is wrong with them, in a sentence for the operator that repeats no value.
    pub check: fn(&Map<String, Value>) -> Result<(), String>,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The door that it is of.
    pub kind: &'static str,
    /// What operators call it.
    pub name: String,
    /// What those may do at most whom it lets in.
    pub scopes: Scopes,
    /// All its members.
    pub members: Map<String, Value>,
    rules: Vec<Rule>,
}

impl Row {
    /// Reads the rows that are of such doors, of a JSON array that was found to be one.
    ///
    /// # Errors
    /// Sentences for the operator, each about one row. They don't repeat values.
    pub fn read_all(json: &str) -> Result<Vec<Self>, Vec<String>> {
        let rows: Value = serde_json::from_str(json).unwrap_or_default();
        let (mut read, mut problems) = (Vec::new(), Vec::new());
        for (at, row) in rows.as_array().into_iter().flatten().enumerate() {
            let Some((row, door)) = row.as_object().zip(door_of(row)) else {
                continue;
            };
            if let Rows::Plain(form) = door.rows {
                match Self::read(row, door.name, form) {
                    Ok(row) => read.push(row),
                    Err(problem) => problems.push(format!("row {}: {problem}", at + 1)),
                }
            }
        }
        if problems.is_empty() {
            Ok(read)
        } else {
            Err(problems)
        }
    }

    fn read(row: &Map<String, Value>, kind: &'static str, form: Form) -> Result<Self, String> {
        let is_known = |name: &str| MEMBERS.contains(&name) || form.members.contains(&name);
        if let Some(unknown) = row.keys().find(|name| !is_known(name)) {
            let members = [&MEMBERS[..], form.members].concat().join(", ");
            return Err(format!(
                "{unknown} is no member of a row of type {kind}; they are {members}"
            ));
        }
        let name = match row.get("name") {
            None => kind,
            Some(name) => name
                .as_str()
                .filter(|name| !name.trim().is_empty())
                .ok_or("name must be a text")?,
        };
        (form.check)(row)?;
        Ok(Self {
            kind,
            name: name.to_owned(),
            scopes: scopes(row.get("scopes"))?,
            rules: pinned_by(rules(row.get("rules"))?, form.pins, false)?,
            members: row.clone(),
        })
    }

    /// Whether one of the rules lets these claims in.
    #[must_use]
    pub fn permits(&self, claims: &Claims) -> bool {
        permit(&self.rules, claims).is_ok()
    }

    /// Whether one of those rules lets these claims in that say what `claim` has to be.
    #[must_use]
    pub fn permits_by(&self, claim: &str, claims: &Claims) -> bool {
        let fits = |rule: &Rule| rule.looks_at(claim) && rule.first_mismatch(claims).is_none();
        self.rules.iter().any(fits)
    }

    /// Whether one of the rules looks at this claim.
    #[must_use]
    pub fn looks_at(&self, claim: &str) -> bool {
        self.rules.iter().any(|rule| rule.looks_at(claim))
    }

    /// A member, if it is a text.
    #[must_use]
    pub fn text(&self, member: &str) -> &str {
        let member = self.members.get(member).and_then(Value::as_str);
        member.unwrap_or_default()
    }
}

/// The door that a row is of, if it names one.
pub(super) fn door_of(row: &Value) -> Option<&'static Door> {
    Door::find(row.get("type")?.as_str()?)
}

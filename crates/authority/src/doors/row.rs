//! Rows of the doors that have no form of their own: a name, whom they let in and as what, and what the door adds.

use serde_json::{Map, Value};

use super::Door;
use super::claims::{Claims, Rule};
use super::issuer::{permit, pinned_by, rules, scopes};
use super::made::RowRef;
use crate::people::Scopes;
use crate::rows;

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
    /// Which row it is, if an administrator made it.
    pub made: Option<RowRef>,
    rules: Vec<Rule>,
}

impl Row {
    /// Reads a row of this door.
    ///
    /// # Errors
    /// A sentence for whoever wrote it. It doesn't repeat values.
    pub(super) fn read(row: &Value, kind: &'static str, form: Form) -> Result<Self, String> {
        let members = [&MEMBERS[..], form.members].concat();
        let read = rows::Row::new(row, &format!("a row of type {kind}"), &members)?;
        let name = read.text("name")?.unwrap_or(kind);
        let members = row.as_object().cloned().unwrap_or_default();
        (form.check)(&members)?;
        Ok(Self {
            kind,
            name: name.to_owned(),
            scopes: scopes(read.get("scopes"))?,
            rules: pinned_by(rules(read.get("rules"))?, form.pins, false)?,
            members,
            made: None,
        })
    }

    /// The first of the rules that lets these claims in.
    #[must_use]
    pub fn permit(&self, claims: &Claims) -> Option<&Rule> {
        permit(&self.rules, claims).ok()
    }

    /// The first that lets these claims in of those that say what `claim` has to be.
    #[must_use]
    pub fn permit_by(&self, claim: &str, claims: &Claims) -> Option<&Rule> {
        let fits = |rule: &&Rule| rule.looks_at(claim) && rule.first_mismatch(claims).is_none();
        self.rules.iter().find(fits)
    }

    /// Of each rule the claim that stands in the way of these; nothing, where none does.
    pub fn mismatches<'a>(&'a self, claims: &'a Claims) -> impl Iterator<Item = Option<&'a str>> {
        self.rules.iter().map(|rule| rule.first_mismatch(claims))
    }

    /// Of each rule whether it says what this claim has to be.
    pub fn rules_that_look_at<'a>(&'a self, claim: &'a str) -> impl Iterator<Item = bool> + 'a {
        self.rules.iter().map(move |rule| rule.looks_at(claim))
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

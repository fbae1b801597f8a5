//! Rows of configuration: a JSON array of objects, read strictly. A member that is misspelt would be a rule
//! that isn't there.

use serde_json::{Map, Value};

use crate::Echo;

/// The most rows that there may be.
pub(crate) const MAX_ROWS: usize = 100;

/// A row: an object with no other members than there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a>(&'a Map<String, Value>);

/// Reads each row of a JSON array, in order.
///
/// # Errors
/// Sentences for the operator, each about one row. They don't repeat values.
pub(crate) fn each(
    json: &str,
    read: &mut dyn FnMut(&Value) -> Result<(), String>,
) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    let rows = values(json).map_err(|problem| vec![problem])?;
    for (at, row) in rows.iter().enumerate() {
        if let Err(problem) = read(row) {
            problems.push(format!("row {}: {problem}", at + 1));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// The rows of a JSON array, unread.
///
/// # Errors
/// A sentence.
pub(crate) fn values(json: &str) -> Result<Vec<Value>, String> {
    let not_rows = |_| "must be a JSON array, in which no member stands twice".to_owned();
    let object = notme_keys::json::object(format!("{{\"rows\":{json}}}").as_bytes());
    let mut object = object.map_err(not_rows)?;
    match (object.len(), object.remove("rows")) {
        (1, Some(Value::Array(rows))) if rows.len() <= MAX_ROWS => Ok(rows),
        (1, Some(Value::Array(_))) => Err(format!("has more than {MAX_ROWS} rows")),
        _ => Err("must be a JSON array of rows".into()),
    }
}

impl<'a> Row<'a> {
    /// A row of this sort, which has these members.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn new(row: &'a Value, sort: &str, members: &[&str]) -> Result<Self, String> {
        let row = row.as_object().ok_or("is no object")?;
        match row.keys().find(|name| !members.contains(&name.as_str())) {
            None => Ok(Self(row)),
            Some(unknown) => Err(format!(
                "{} is no member of {sort}; they are {}",
                Echo::new(unknown),
                members.join(", ")
            )),
        }
    }

    /// A member, whatever it is.
    pub(crate) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name)
    }

    /// A text that may be missing, but not blank.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text)),
            Some(_) => Err(format!("{name} must be a text")),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn required(self, name: &str) -> Result<&'a str, String> {
        self.text(name)?.ok_or_else(|| format!("{name} is missing"))
    }

    /// A list of texts that may be missing, but not empty.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn texts(self, name: &str) -> Result<Option<Vec<String>>, String> {
        let Some(list) = self.get(name) else {
            return Ok(None);
        };
        let text = |one: &Value| match one {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        let list = list.as_array().filter(|list| !list.is_empty());
        let texts = list.and_then(|list| list.iter().map(text).collect());
        let problem = || format!("{name} must be an array of texts, and not empty");
        texts.map(Some).ok_or_else(problem)
    }
}

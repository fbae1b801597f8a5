//! Reading the JSON bodies of requests about people.

use serde::Deserialize;
use serde_json::Value;

use crate::Error;

/// The longest name of anything, in characters.
const MAX_NAME_CHARS: usize = 64;

/// Reads a JSON object; another value is none.
pub(crate) fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    // A sequence would do for a struct, and isn't what is asked for.
    match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).map_err(|_| Error::InvalidJson),
        _ => Err(Error::InvalidJson),
    }
}

/// A text that may be missing.
pub(super) fn text<'a>(
    member: Option<&'a Value>,
    name: &'static str,
) -> Result<Option<&'a str>, Error> {
    match member {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::InvalidMember(name)),
    }
}

/// What somebody or something is to be called; `None` if nothing was said.
pub(super) fn shown_name(
    member: Option<&Value>,
    name: &'static str,
) -> Result<Option<String>, Error> {
    shown_text(member, name, MAX_NAME_CHARS)
}

/// A text of at most so many characters; `None` if nothing was said. It is shown to others, so it has
/// no characters that change how the text around it reads.
pub(crate) fn shown_text(
    member: Option<&Value>,
    name: &'static str,
    max_chars: usize,
) -> Result<Option<String>, Error> {
    let shown = text(member, name)?.map(str::trim).unwrap_or_default();
    let is_shown = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if shown.chars().count() > max_chars || !shown.chars().all(is_shown) {
        return Err(Error::InvalidMember(name));
    }
    Ok((!shown.is_empty()).then(|| shown.to_owned()))
}

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
pub(crate) fn text<'a>(
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
    if shown.chars().count() > max_chars || !shown.chars().all(is_shown) {
        return Err(Error::InvalidMember(name));
    }
    Ok((!shown.is_empty()).then(|| shown.to_owned()))
}

/// Whether a character leaves a trace, and no other on the text around it: two names that differ look
/// different. The others are Unicode's `Default_Ignorable_Code_Point`, what separates lines or turns them
/// around, and the blanks that aren't white space.
fn is_shown(c: char) -> bool {
    let is_ignorable = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}'
    );
    !c.is_control() && !is_ignorable && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{2800}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_look_different() {
        let read = |name: &str| shown_name(Some(&name.into()), "name");
        for name in ["Ana", "Ana María", "安娜", "آنا", "🦊 Ana"] {
            assert_eq!(read(name), Ok(Some(name.to_owned())), "{name}");
        }
        for c in [
            '\u{ad}',
            '\u{61c}',
            '\u{200d}',
            '\u{202e}',
            '\u{2060}',
            '\u{2069}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{ffa0}',
            '\u{e0041}',
        ] {
            let name = format!("An{c}a");
            assert_eq!(read(&name), Err(Error::InvalidMember("name")), "{c:?}");
        }
        // White space of any kind around a name is none of it.
        assert_eq!(read("\u{3000}\u{a0}Ana "), Ok(Some("Ana".into())));
    }
}

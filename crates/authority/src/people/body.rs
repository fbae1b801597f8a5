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

/// A challenge that a request names; `None` if it names none.
pub(super) fn challenge(member: Option<&Value>) -> Result<Option<[u8; 32]>, Error> {
    match member {
        None | Some(Value::Null) => Ok(None),
        Some(challenge) => {
            let bytes = challenge.as_str().and_then(notme_keys::decode_base64url);
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            Ok(Some(bytes.ok_or(Error::BadChallenge)?))
        }
    }
}

/// What somebody or something is to be called; `None` if nothing was said.
pub(crate) fn shown_name(
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
    if shown.chars().count() > max_chars || !is_shown(shown) {
        return Err(Error::InvalidMember(name));
    }
    Ok((!shown.is_empty()).then(|| shown.to_owned()))
}

/// Whether each character leaves a trace, and no other on the text around it. The others are Unicode's
/// `Default_Ignorable_Code_Point`, what separates lines or turns them around, and the blanks that aren't white
/// space. Names that are written with other letters that look alike are not told apart.
fn is_shown(text: &str) -> bool {
    let mut before = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let is_good = match c {
            JOINER | NON_JOINER | EMOJI_STYLE => is_joined(before, c, rest.clone().next()),
            c => !c.is_control() && !is_ignorable(c),
        };
        if !is_good {
            return false;
        }
        before = Some(c);
    }
    true
}

fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';
const EMOJI_STYLE: char = '\u{fe0f}';

fn is_arabic(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{64a}' | '\u{66e}'..='\u{6d3}' | '\u{6fa}'..='\u{6ff}' | '\u{750}'..='\u{77f}')
}

fn is_virama(c: char) -> bool {
    matches!(
        c,
        '\u{94d}'
            | '\u{9cd}'
            | '\u{a4d}'
            | '\u{acd}'
            | '\u{b4d}'
            | '\u{bcd}'
            | '\u{c4d}'
            | '\u{ccd}'
            | '\u{d3b}'..='\u{d3c}' | '\u{d4d}' | '\u{dca}' | '\u{1039}' | '\u{17d2}'
    )
}

fn is_pictograph(c: char) -> bool {
    matches!(c,
        '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'..='\u{27bf}' | '\u{2934}'..='\u{2b55}'
        | '\u{1f000}'..='\u{1faff}'
    )
}

fn is_emoji(c: char) -> bool {
    c == EMOJI_STYLE || is_pictograph(c)
}

/// Whether a character that joins its neighbours stands where it changes how they look: in Persian and the
/// scripts of India after what RFC 5892 appendices A.1 and A.2 name, and in emoji.
fn is_joined(before: Option<char>, c: char, after: Option<char>) -> bool {
    let is = |c: Option<char>, of: fn(char) -> bool| c.is_some_and(of);
    match c {
        NON_JOINER => is(before, is_virama) || is(before, is_arabic) && is(after, is_arabic),
        JOINER => is(before, is_virama) || is(before, is_emoji) && is(after, is_pictograph),
        _ => is(before, is_pictograph),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_see_is_in_no_name_unless_it_joins() {
        let read = |name: &str| shown_name(Some(&name.into()), "name");
        for name in [
            "Ana",
            "Ana María",
            "安娜",
            "آنا",
            "🦊 Ana",
            "نیک\u{200c}نام",
            "ශ්\u{200d}රී",
            "👩\u{200d}💻",
            "❤\u{fe0f}\u{200d}🔥 Ana",
        ] {
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

//! Text of others on somebody's terminal.

use std::path::Path;

/// How much of it is shown, in characters.
const LONGEST: usize = 300;

/// The longest argument that is repeated to whoever typed it, in bytes.
const LONGEST_TYPED: usize = 64;

/// `text` on one line, without what a terminal would obey, and not endless.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if is_harmless(c) { c } else { '\u{fffd}' })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// Neither a control character, nor one that changes the direction of others, nor one without a width.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

/// A path for people: one that is a token, given in the wrong place, isn't shown.
pub(crate) fn show_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if is_like_a_token(&text) {
        return "…".to_owned();
    }
    harmless(&text)
}

/// `text` about the command line `arguments`, without those among them that may be secret: what starts
/// as a JWS does, and what is longer than anybody types.
pub(crate) fn without_secrets(text: &str, arguments: &[String]) -> String {
    // `--option=value` is told of in parts.
    let parts = arguments.iter().flat_map(|argument| {
        let (name, value) = argument.split_once('=').unwrap_or((argument, argument));
        [argument, name, value]
    });
    let mut secret: Vec<_> = parts
        .filter(|part| part.len() > LONGEST_TYPED || is_like_a_token(part))
        .collect();
    // What is part of another one goes after it.
    secret.sort_by_key(|part| std::cmp::Reverse(part.len()));
    secret
        .into_iter()
        .fold(text.to_owned(), |text, part| text.replace(part, "…"))
}

/// Whether there is `eyJ`, which is how JSON begins in base64url, and two dots after it.
fn is_like_a_token(text: &str) -> bool {
    let start = text.find("eyJ").and_then(|at| text.get(at..));
    start.is_some_and(|token| token.matches('.').count() >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_replaced() {
        assert_eq!(
            harmless("a\u{1b}[31m\nb\u{202e}é"),
            "a\u{fffd}[31m\u{fffd}b\u{fffd}é"
        );
    }

    #[test]
    fn what_nobody_sees_is_replaced() {
        for c in [
            '\u{61c}', '\u{200b}', '\u{200d}', '\u{200f}', '\u{202e}', '\u{feff}',
        ] {
            assert_eq!(harmless(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
        }
    }

    #[test]
    fn a_token_in_the_wrong_place_is_not_repeated() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln";
        let long = "a".repeat(65);
        for argument in [
            token,
            &long,
            &format!("--token={token}"),
            &format!("--{token}"),
            &format!("--{token}=x"),
        ] {
            let text = format!("'{argument}' or '{}'", argument.replace("--token=", ""));
            let shown = without_secrets(&text, &["x".to_owned(), argument.to_owned()]);
            assert!(!shown.contains("eyJ") && !shown.contains(&long), "{shown}");
        }
        let typed = "--sideways".to_owned();
        assert_eq!(
            without_secrets("no '--sideways'", &[typed]),
            "no '--sideways'"
        );
        assert_eq!(show_path(Path::new(token)), "…");
        assert_eq!(show_path(Path::new("a\u{1b}/b.c.d")), "a\u{fffd}/b.c.d");
    }

    #[test]
    fn it_ends() {
        assert_eq!(harmless(&"é".repeat(300)), "é".repeat(300));
        assert_eq!(harmless(&"é".repeat(301)), "é".repeat(300) + "…");
    }
}

//! Text of others on somebody's terminal.

/// How much of it is shown, in characters.
const LONGEST: usize = 300;

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

/// Neither a control character nor one that changes the direction of others.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
    fn it_ends() {
        assert_eq!(harmless(&"é".repeat(300)), "é".repeat(300));
        assert_eq!(harmless(&"é".repeat(301)), "é".repeat(300) + "…");
    }
}

//! Patterns and lists of them, as policies are written.

/// Exact text in which `*` stands for any run of characters, `/` included. Nothing else is special.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    ignore_case: bool,
}

impl Pattern {
    /// Whether the whole of `value` matches.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        if self.ignore_case {
            glob(&self.text, &value.to_ascii_lowercase())
        } else {
            glob(&self.text, value)
        }
    }
}

/// A list of patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatternList(Vec<Pattern>);

impl PatternList {
    /// The list of these patterns.
    #[must_use]
    pub fn of(patterns: impl IntoIterator<Item = String>) -> Self {
        let pattern = |text| Pattern {
            text,
            ignore_case: false,
        };
        Self(patterns.into_iter().map(pattern).collect())
    }

    /// Whether nothing but the texts themselves match.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.0.iter().any(|pattern| pattern.text.contains('*'))
    }

    /// Whether each says how what matches begins: a text, or one that ends in its only `*`.
    #[must_use]
    pub fn are_prefixes(&self) -> bool {
        let begins = |pattern: &Pattern| {
            let text = pattern.text.strip_suffix('*').unwrap_or(&pattern.text);
            !text.is_empty() && !text.contains('*')
        };
        self.0.iter().all(begins)
    }

    /// Reads a comma-separated list; blanks around entries and empty entries are dropped.
    #[must_use]
    pub fn parse(csv: &str) -> Self {
        Self::with_case(csv, false)
    }

    /// Reads a list that ignores the case of ASCII letters.
    #[must_use]
    pub fn parse_ignoring_case(csv: &str) -> Self {
        Self::with_case(csv, true)
    }

    fn with_case(csv: &str, ignore_case: bool) -> Self {
        let entries = csv
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let text = |entry: &str| {
            if ignore_case {
                entry.to_ascii_lowercase()
            } else {
                entry.to_owned()
            }
        };
        Self(
            entries
                .map(|entry| Pattern {
                    text: text(entry),
                    ignore_case,
                })
                .collect(),
        )
    }

    /// Whether the list has no pattern.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a pattern of the list matches. An empty list matches nothing.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(value))
    }
}

/// Linear in practice and quadratic at worst: after a mismatch only the last `*` is tried again.
fn glob(pattern: &str, value: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = value.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.split_at(at + part.len()).1,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_run() {
        for (pattern, value, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "ba", false),
            ("*", "", true),
            ("*", "x/y", true),
            ("a*", "a", true),
            ("a*b", "ab", true),
            ("a*b", "axxb", true),
            ("a*b", "axxbc", false),
            ("ab*ba", "aba", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c2b", false),
            ("refs/heads/*", "refs/heads/main", true),
            ("refs/heads/*", "refs/tags/v1", false),
            ("a?", "ab", false),
            ("[ab]", "a", false),
        ] {
            assert_eq!(
                PatternList::parse(pattern).matches(value),
                expected,
                "{pattern} {value}"
            );
        }
    }

    #[test]
    fn lists_are_sets_and_empty_ones_match_nothing() {
        let list = PatternList::parse_ignoring_case(" Acme ,, octo/* ");
        assert!(list.matches("ACME"));
        assert!(list.matches("octo/Cat"));
        assert!(!list.matches("acme/app"));
        for empty in ["", " ", ",", " , "] {
            assert!(PatternList::parse(empty).is_empty());
            assert!(!PatternList::parse(empty).matches(""));
        }
    }
}

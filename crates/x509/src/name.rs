//! Distinguished names, built structurally: no character of a value can end an attribute.

use std::borrow::Cow;

use der::asn1::ObjectIdentifier;
use sha2::{Digest, Sha256};

use crate::oid;
use crate::writer::{Writer, tag};

/// ub-common-name (RFC 5280 appendix A.1), in characters.
const MAX_COMMON_NAME: usize = 64;
/// How much of a longer subject its CN keeps; `~` and 16 hex digits follow.
const KEPT: usize = 47;

/// The DER of a Name with two attributes: a common name, then `O=notme`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Vec<u8>);

impl Name {
    /// The name whose CN is `subject`, or what [`common_name`] makes of it.
    #[must_use]
    pub fn new(subject: &str) -> Self {
        let mut w = Writer::with_capacity(96);
        w.sequence(|w| {
            attribute(w, &oid::COMMON_NAME, &common_name(subject));
            attribute(w, &oid::ORGANIZATION, "notme");
        });
        Self(w.into_bytes())
    }

    /// The DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }
}

/// `subject` itself if it has at most 64 characters; else its first 47, `~`, and 16 hex digits of
/// its SHA-256, so that two subjects never share a CN by being cut.
pub(crate) fn common_name(subject: &str) -> Cow<'_, str> {
    if subject.chars().count() <= MAX_COMMON_NAME {
        return subject.into();
    }
    let digest = Sha256::digest(subject);
    let kept = subject.chars().take(KEPT);
    let hex = digest
        .iter()
        .take(8)
        .map(|b| format!("{b:02x}"))
        .collect::<String>();
    kept.chain(['~'])
        .chain(hex.chars())
        .collect::<String>()
        .into()
}

fn attribute(w: &mut Writer, kind: &ObjectIdentifier, value: &str) {
    let string = if value.chars().all(is_printable) {
        tag::PRINTABLE_STRING
    } else {
        tag::UTF8_STRING
    };
    w.element(tag::SET, |w| {
        w.sequence(|w| {
            w.oid(kind);
            w.primitive(string, value.as_bytes());
        });
    });
}

/// The repertoire of PrintableString (X.680 §41.4).
const fn is_printable(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | ' ' | '\'' | '(' | ')' | '+' | ',' | '-' | '.' | '/' | ':' | '=' | '?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_the_protocol_shows() {
        // CN=signet-authority, O=notme, both PrintableString.
        assert_eq!(
            hex::encode(Name::new("signet-authority").as_der()),
            "302b3119301706035504031310\
             7369676e65742d617574686f72697479310e300c060355040a13056e6f746d65"
        );
    }

    #[test]
    fn a_comma_is_a_comma() {
        let name = Name::new("repo:a/b, O=evil+CN=root");
        // One SET for the CN and one for O: injection would add a third.
        assert_eq!(name.as_der().iter().filter(|b| **b == tag::SET).count(), 2);
    }

    #[test]
    fn strings_are_printable_where_they_can_be() {
        assert_eq!(Name::new("a b:c/d=e?").as_der()[11], tag::PRINTABLE_STRING);
        for subject in ["a_b", "a@b", "a*b", "ä", "a~b"] {
            assert_eq!(
                Name::new(subject).as_der()[11],
                tag::UTF8_STRING,
                "{subject}"
            );
        }
    }

    #[test]
    fn long_subjects_are_cut_and_stay_distinct() {
        let exact = "x".repeat(64);
        assert_eq!(common_name(&exact), exact);
        let (a, b) = (format!("{exact}a"), format!("{exact}b"));
        // The digits are those of `printf %s xxx…xa | sha256sum`.
        assert_eq!(common_name(&a).chars().count(), 64);
        assert!(common_name(&a).starts_with(&format!("{}~", "x".repeat(47))));
        assert_ne!(common_name(&a), common_name(&b));
        let wide = "ä".repeat(65);
        assert_eq!(common_name(&wide).chars().count(), 64);
    }
}

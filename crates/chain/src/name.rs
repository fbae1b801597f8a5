//! Distinguished names (RFC 5280 §4.1.2.4), and when two of them are one (§7.1).

use notme_keys::der::{Der, Element, tag};

/// id-at-commonName, -organizationName and -organizationalUnitName (X.520): 2.5.4.3, .10 and .11.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 4, 11];
/// emailAddress (PKCS #9): 1.2.840.113549.1.9.1.
const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];

/// How many RDNs a name may have, and how many attributes an RDN. Comparing two names takes the square of the
/// latter, and a stranger writes both.
const MAX_RDNS: usize = 32;
const MAX_ATTRIBUTES: usize = 4;

/// An attribute: its type, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attribute<'a> {
    kind: &'a [u8],
    value: Element<'a>,
}

/// A distinguished name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    der: &'a [u8],
    /// The attributes of each RDN, of which none is empty.
    rdns: Vec<Vec<Attribute<'a>>>,
}

impl<'a> Name<'a> {
    /// The next element as a name.
    pub(crate) fn read(outer: &mut Der<'a>) -> Option<Self> {
        let element = outer.next_if(tag::SEQUENCE)?;
        let mut sequence = Der::new(element.content);
        let mut rdns = Vec::new();
        while !sequence.is_empty() {
            let mut set = sequence.enter(tag::SET)?;
            let mut rdn = Vec::new();
            let mut last: &[u8] = &[];
            loop {
                let attribute = set.next_if(tag::SEQUENCE)?;
                // The elements of a set are in ascending order (X.690 §11.6), and no two are the same.
                if attribute.whole <= last {
                    return None;
                }
                last = attribute.whole;
                let mut parts = Der::new(attribute.content);
                rdn.push(Attribute {
                    kind: parts.expect(tag::OID)?,
                    value: parts.any()?,
                });
                parts.end()?;
                if set.is_empty() {
                    break;
                }
                if rdn.len() == MAX_ATTRIBUTES {
                    return None;
                }
            }
            if rdns.len() == MAX_RDNS {
                return None;
            }
            rdns.push(rdn);
        }
        Some(Self {
            der: element.whole,
            rdns,
        })
    }

    /// The DER.
    #[must_use]
    pub const fn as_der(&self) -> &'a [u8] {
        self.der
    }

    /// Whether it names nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// Whether both name the same one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.der == other.der
            || (self.rdns.len() == other.rdns.len() && self.is_below(other, false))
    }

    /// Whether it is `base` or below it (§4.2.1.10). What can't be compared counts as `in_doubt`.
    pub(crate) fn is_below(&self, base: &Self, in_doubt: bool) -> bool {
        let pairs = self.rdns.iter().zip(&base.rdns);
        self.rdns.len() >= base.rdns.len()
            && pairs.into_iter().all(|(a, b)| same_rdn(a, b, in_doubt))
    }

    /// The common names that can be read.
    pub fn common_names(&self) -> impl Iterator<Item = &'a str> {
        self.texts(COMMON_NAME)
    }

    /// The names of organisations that can be read.
    pub fn organizations(&self) -> impl Iterator<Item = &'a str> {
        self.texts(ORGANIZATION)
    }

    /// The names of parts of organisations that can be read.
    pub fn organizational_units(&self) -> impl Iterator<Item = &'a str> {
        self.texts(ORGANIZATIONAL_UNIT)
    }

    /// The values of its attributes that are mail addresses.
    pub(crate) fn emails(&self) -> impl Iterator<Item = &'a [u8]> {
        let attributes = self.rdns.iter().flatten();
        attributes
            .filter(|one| one.kind == EMAIL_ADDRESS)
            .map(|one| one.value.content)
    }

    fn texts(&self, kind: &'static [u8]) -> impl Iterator<Item = &'a str> {
        let attributes = self
            .rdns
            .iter()
            .flatten()
            .filter(move |one| one.kind == kind);
        attributes.filter_map(|one| {
            is_text(&one.value).then(|| std::str::from_utf8(one.value.content).ok())?
        })
    }
}

/// Whether two RDNs are the same: each attribute of one is in the other.
fn same_rdn(a: &[Attribute<'_>], b: &[Attribute<'_>], in_doubt: bool) -> bool {
    let holds = |all: &[Attribute<'_>], one: &Attribute<'_>| {
        all.iter()
            .any(|other| other.kind == one.kind && same_value(&other.value, &one.value, in_doubt))
    };
    a.len() == b.len() && a.iter().all(|one| holds(b, one)) && b.iter().all(|one| holds(a, one))
}

const fn is_text(value: &Element<'_>) -> bool {
    matches!(
        value.tag,
        tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING
    )
}

/// Texts are the same whatever their case, their type, and how much white space is where there is some (§7.1).
/// Case is folded in ASCII only: beyond it, and in strings of other types, two that differ may be the same.
fn same_value(a: &Element<'_>, b: &Element<'_>, in_doubt: bool) -> bool {
    if a.content == b.content && a.tag == b.tag {
        return true;
    }
    if !is_text(a) || !is_text(b) {
        return in_doubt;
    }
    let words = |value: &[u8]| {
        let words = value
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        words.map(<[u8]>::to_ascii_lowercase).collect::<Vec<_>>()
    };
    words(a.content) == words(b.content)
        || (in_doubt && !a.content.is_ascii() && !b.content.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn name(rdns: &[&[(u8, u8, &str)]]) -> Vec<u8> {
        let rdn = |attributes: &&[(u8, u8, &str)]| {
            let attribute = |(kind, string, text): &(u8, u8, &str)| {
                let content = [
                    element(tag::OID, &[0x55, 4, *kind]),
                    element(*string, text.as_bytes()),
                ];
                element(tag::SEQUENCE, &content.concat())
            };
            element(
                tag::SET,
                &attributes
                    .iter()
                    .map(attribute)
                    .collect::<Vec<_>>()
                    .concat(),
            )
        };
        element(
            tag::SEQUENCE,
            &rdns.iter().map(rdn).collect::<Vec<_>>().concat(),
        )
    }

    fn read(der: &[u8]) -> Option<Name<'_>> {
        Name::read(&mut Der::new(der))
    }

    const U: u8 = tag::UTF8_STRING;
    const P: u8 = tag::PRINTABLE_STRING;
    const T61: u8 = 0x14;

    #[test]
    fn what_takes_long_to_compare_is_no_name() {
        const KINDS: [(u8, u8, &str); 5] = [
            (3, U, "a"),
            (4, U, "a"),
            (5, U, "a"),
            (6, U, "a"),
            (7, U, "a"),
        ];
        assert!(read(&name(&[&KINDS[..4]])).is_some());
        assert!(read(&name(&[&KINDS[..]])).is_none());
        let rdns = |count| {
            let content = element(
                tag::SET,
                &element(
                    tag::SEQUENCE,
                    &[element(tag::OID, &[0x55, 4, 3]), element(U, b"")].concat(),
                ),
            )
            .repeat(count);
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag::SEQUENCE, 0x82], &length[..], &content].concat()
        };
        assert!(read(&rdns(32)).is_some());
        assert!(read(&rdns(33)).is_none());
    }

    #[test]
    fn names_are_the_same_whatever_their_case_type_and_space() {
        for (a, b, is_same, may_be) in [
            ((U, "a b"), (P, "  A   B "), true, true),
            ((U, "ab"), (P, "a b"), false, false),
            ((U, "a"), (U, "b"), false, false),
            ((U, "ä"), (U, "Ä"), false, true),
            ((U, "ä"), (U, "A"), false, false),
            ((T61, "a"), (T61, "a"), true, true),
            ((T61, "a"), (U, "a"), false, true),
        ] {
            let (left, right) = (name(&[&[(3, a.0, a.1)]]), name(&[&[(3, b.0, b.1)]]));
            let (left, right) = (read(&left).unwrap(), read(&right).unwrap());
            assert_eq!(left.is(&right), is_same, "{a:?} {b:?}");
            assert_eq!(left.is_below(&right, true), may_be, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_name_is_below_its_beginnings() {
        let whole = name(&[&[(10, U, "o")], &[(3, U, "c"), (11, U, "u")]]);
        let whole = read(&whole).unwrap();
        for (base, is_below) in [
            (name(&[]), true),
            (name(&[&[(10, U, "O")]]), true),
            (name(&[&[(10, U, "o")], &[(3, U, "c"), (11, U, "u")]]), true),
            (name(&[&[(10, U, "o")], &[(3, U, "c")]]), false),
            (name(&[&[(3, U, "o")]]), false),
            (
                name(&[
                    &[(10, U, "o")],
                    &[(3, U, "c"), (11, U, "u")],
                    &[(3, U, "x")],
                ]),
                false,
            ),
        ] {
            assert_eq!(
                whole.is_below(&read(&base).unwrap(), false),
                is_below,
                "{base:02x?}"
            );
        }
        assert!(!whole.is(&read(&name(&[&[(10, U, "o")]])).unwrap()));
        assert_eq!(whole.common_names().collect::<Vec<_>>(), ["c"]);
        assert_eq!(whole.organizations().collect::<Vec<_>>(), ["o"]);
        assert_eq!(whole.organizational_units().collect::<Vec<_>>(), ["u"]);
    }

    #[test]
    fn sets_are_in_order_and_not_empty() {
        for der in [
            name(&[&[]]),
            name(&[&[(11, U, "u"), (3, U, "c")]]),
            name(&[&[(3, U, "c"), (3, U, "c")]]),
        ] {
            assert!(read(&der).is_none(), "{der:02x?}");
        }
    }
}

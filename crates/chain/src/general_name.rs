//! General names (RFC 5280 §4.2.1.6), as subject alternative names hold them.

use notme_keys::der::{Der, Element, tag};

use crate::Name;

/// Tags of the choices that can be judged.
pub(crate) mod form {
    pub(crate) const OTHER: u8 = 0xa0;
    pub(crate) const EMAIL: u8 = 0x81;
    pub(crate) const DNS: u8 = 0x82;
    pub(crate) const DIRECTORY: u8 = 0xa4;
    pub(crate) const URI: u8 = 0x86;
    pub(crate) const IP: u8 = 0x87;
}

/// A name that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName<'a> {
    /// A mail address.
    Email(&'a str),
    /// A host's name, which may begin with `*.`.
    Dns(&'a str),
    /// A distinguished name.
    Directory(Name<'a>),
    /// A URI.
    Uri(&'a str),
    /// An address: 4 bytes or 16.
    Ip(&'a [u8]),
    /// A name of another form, by the tag of that; nothing is known about it.
    Other(u8),
}

impl<'a> GeneralName<'a> {
    /// The name that this element is, if it is well formed.
    pub(crate) fn read(element: &Element<'a>) -> Option<Self> {
        let content = element.content;
        match element.tag {
            form::EMAIL => text(content)
                .filter(|text| is_mailbox(text))
                .map(Self::Email),
            form::DNS => text(content)
                .filter(|text| is_host(text.strip_prefix("*.").unwrap_or(text)))
                .map(Self::Dns),
            form::DIRECTORY => {
                let mut inner = Der::new(content);
                let name = Name::read(&mut inner)?;
                inner.end()?;
                Some(Self::Directory(name))
            }
            form::URI => text(content).filter(|text| is_uri(text)).map(Self::Uri),
            form::IP => matches!(content.len(), 4 | 16).then_some(Self::Ip(content)),
            // An otherName, an X.400 or EDI address, a registered id.
            form::OTHER | 0xa3 | 0xa5 | 0x88 => Some(Self::Other(element.tag)),
            _ => None,
        }
    }

    /// The names of a subjectAltName, of which there is one at least.
    pub(crate) fn read_all(value: &'a [u8]) -> Option<Vec<Self>> {
        let mut list = Der::new(Der::only(value, tag::SEQUENCE)?);
        let mut names = Vec::new();
        while !list.is_empty() {
            names.push(Self::read(&list.any()?)?);
        }
        (!names.is_empty()).then_some(names)
    }
}

/// An IA5String that can be shown: no space, no control character.
pub(crate) fn text(content: &[u8]) -> Option<&str> {
    let is_shown = content.iter().all(u8::is_ascii_graphic);
    is_shown.then(|| std::str::from_utf8(content).ok())?
}

/// A host's name in the preferred syntax (RFC 1034 §3.5, RFC 1123 §2.1), which no address has.
pub(crate) fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    text.len() <= 253
        && text.split('.').all(is_label)
        && !text.rsplit('.').next().is_none_or(is_number)
}

/// Local part and host of a mail address. Those with quotes are none here.
pub(crate) fn mailbox(text: &str) -> Option<(&str, &str)> {
    let (local, host) = text.split_once('@')?;
    (!local.is_empty() && !local.contains('"') && is_host(host)).then_some((local, host))
}

fn is_mailbox(text: &str) -> bool {
    mailbox(text).is_some()
}

/// A scheme (RFC 3986 §3.1) with something behind it.
fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !rest.is_empty()
    })
}

/// The host's name in a URI, if it has one: no address, and nobody's name before it.
pub(crate) fn host_of(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = match authority.split_once(':') {
        Some((host, port)) => port.bytes().all(|b| b.is_ascii_digit()).then_some(host)?,
        None => authority,
    };
    is_host(host).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, content: &[u8]) -> bool {
        let element = Element {
            tag,
            content,
            whole: content,
        };
        GeneralName::read(&element).is_some()
    }

    #[test]
    fn names_are_well_formed() {
        for (form, name, is_one) in [
            (form::DNS, "a.example", true),
            (form::DNS, "*.a.example", true),
            (form::DNS, "1a", true),
            (form::DNS, "*", false),
            (form::DNS, "a*.example", false),
            (form::DNS, "a.*.example", false),
            (form::DNS, ".example", false),
            (form::DNS, "a.example.", false),
            (form::DNS, "a_b.example", false),
            (form::DNS, "-a.example", false),
            (form::DNS, "8.8.8.8", false),
            (form::DNS, "", false),
            (form::DNS, "a b", false),
            (form::DNS, "ä.example", false),
            (form::EMAIL, "a@example", true),
            (form::EMAIL, "@example", false),
            (form::EMAIL, "a@b@example", false),
            (form::EMAIL, "\"a\"@example", false),
            (form::EMAIL, "a", false),
            (form::URI, "spiffe://td/a", true),
            (form::URI, "urn:a", true),
            (form::URI, "a", false),
            (form::URI, "a:", false),
            (form::URI, "1:a", false),
            (form::URI, "a://b c", false),
            (form::IP, "1234", true),
            (form::IP, "12345", false),
            (form::IP, "12345678", false),
            (0x83, "x", false),
            (0x88, "x", true),
        ] {
            assert_eq!(read(form, name.as_bytes()), is_one, "{name}");
        }
    }

    #[test]
    fn a_uri_has_a_host_or_none() {
        for (uri, host) in [
            ("spiffe://td.example/a@b:c", Some("td.example")),
            ("https://td.example:8443?a", Some("td.example")),
            ("https://td.example#a", Some("td.example")),
            ("https://user@td.example/", None),
            ("https://10.0.0.1/", None),
            ("https://[::1]/", None),
            ("https://td.example:a/", None),
            ("https:///a", None),
            ("https://%61.example/", None),
            ("urn:a", None),
        ] {
            assert_eq!(host_of(uri), host, "{uri}");
        }
    }
}

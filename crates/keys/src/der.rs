//! The little of DER (X.690) that certificates and signatures need, read strictly.
//!
//! Elements with one-byte tags and definite, shortest lengths below 16 MiB; what is read is a slice of
//! the input. A library for certificates is ten times the size, in a worker whose size is how long a
//! cold start takes.

/// Tags (X.690 §8.1.2) that are read here.
pub mod tag {
    /// A truth.
    pub const BOOLEAN: u8 = 0x01;
    /// A whole number.
    pub const INTEGER: u8 = 0x02;
    /// Bits, behind the number of those that don't count.
    pub const BIT_STRING: u8 = 0x03;
    /// Bytes.
    pub const OCTET_STRING: u8 = 0x04;
    /// An object identifier.
    pub const OID: u8 = 0x06;
    /// An element of an enumeration.
    pub const ENUMERATED: u8 = 0x0a;
    /// Text in UTF-8.
    pub const UTF8_STRING: u8 = 0x0c;
    /// Text of letters, digits and some marks.
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// Text in ASCII.
    pub const IA5_STRING: u8 = 0x16;
    /// A time with a year of two digits.
    pub const UTC_TIME: u8 = 0x17;
    /// A time with a year of four digits.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// Elements in order.
    pub const SEQUENCE: u8 = 0x30;
    /// Elements without an order.
    pub const SET: u8 = 0x31;
    /// The context-specific tag `number`, constructed.
    #[must_use]
    pub const fn explicit(number: u8) -> u8 {
        0xa0 | number
    }
    /// The context-specific tag `number`, primitive.
    #[must_use]
    pub const fn implicit(number: u8) -> u8 {
        0x80 | number
    }
}

/// What is left to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Der<'a>(&'a [u8]);

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its tag.
    pub tag: u8,
    /// What it holds.
    pub content: &'a [u8],
    /// With its tag and length.
    pub whole: &'a [u8],
}

impl<'a> Der<'a> {
    /// All of `input`, which is read to its end.
    #[must_use]
    pub const fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is.
    pub fn any(&mut self) -> Option<Element<'a>> {
        let (tag, rest) = self.0.split_first()?;
        if tag & 0x1f == 0x1f {
            return None; // a tag of several bytes
        }
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81 => {
                let (length, rest) = rest.split_first()?;
                (*length >= 0x80).then_some((usize::from(*length), rest))?
            }
            0x82 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let length = u16::from_be_bytes(*length);
                (length >= 0x100).then_some((usize::from(length), rest))?
            }
            0x83 => {
                let ([high, low @ ..], rest) = rest.split_first_chunk::<3>()?;
                let length = usize::from(*high) << 16 | usize::from(u16::from_be_bytes(*low));
                (length >= 0x1_0000).then_some((length, rest))?
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len() - rest.len())?;
        self.0 = rest;
        Some(Element {
            tag: *tag,
            content,
            whole,
        })
    }

    /// The next element, if it has this tag.
    pub fn next_if(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.any().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }

    /// The content of the next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next_if(tag).map(|element| element.content)
    }

    /// The next element's content as something to be read, if the element has this tag.
    pub fn enter(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(Self)
    }

    /// That nothing is left.
    #[must_use = "what is left over is an error"]
    pub fn end(&self) -> Option<()> {
        self.is_empty().then_some(())
    }

    /// The one element of this tag that all of `input` is.
    #[must_use]
    pub fn only(input: &'a [u8], tag: u8) -> Option<&'a [u8]> {
        let mut der = Self(input);
        let content = der.expect(tag)?;
        der.end()?;
        Some(content)
    }

    /// A boolean (X.690 §11.1).
    pub fn boolean(&mut self) -> Option<bool> {
        match self.expect(tag::BOOLEAN)? {
            [0xff] => Some(true),
            [0x00] => Some(false),
            _ => None,
        }
    }

    /// The big-endian bytes of an integer that isn't negative, in their shortest form (§8.3.2).
    pub fn unsigned(&mut self) -> Option<&'a [u8]> {
        match self.expect(tag::INTEGER)? {
            [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Some(rest),
            content @ ([0] | [0x01..=0x7f, ..]) => Some(content),
            _ => None,
        }
    }
}

/// r ‖ s of a DER Ecdsa-Sig-Value (RFC 3279 §2.2.3) of P-256.
#[must_use]
pub fn ecdsa_signature(der: &[u8]) -> Option<[u8; 64]> {
    let mut numbers = Der::new(Der::only(der, tag::SEQUENCE)?);
    let (r, s) = (numbers.unsigned()?, numbers.unsigned()?);
    numbers.end()?;
    let mut raw = [0; 64];
    let (left, right) = raw.split_at_mut(32);
    for (number, into) in [(r, left), (s, right)] {
        let zeros = into.len().checked_sub(number.len())?;
        into.split_at_mut(zeros).1.copy_from_slice(number);
    }
    Some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_the_shortest() {
        let long = |head: &[u8], n: usize| [head, &vec![7; n]].concat();
        for (input, length) in [
            (vec![4, 0], Some(0)),
            (vec![4, 1, 7], Some(1)),
            (long(&[4, 0x7f], 127), Some(127)),
            (long(&[4, 0x81, 0x80], 128), Some(128)),
            (long(&[4, 0x82, 1, 0], 256), Some(256)),
            (long(&[4, 0x81, 0x7f], 127), None),
            (long(&[4, 0x82, 0, 0xff], 255), None),
            (long(&[4, 0x83, 1, 0, 0], 0x1_0000), Some(0x1_0000)),
            (long(&[4, 0x83, 0, 0xff, 0xff], 0xffff), None),
            (long(&[4, 0x83, 0, 1, 0], 256), None),
            (long(&[4, 0x84, 0, 1, 0, 0], 0x1_0000), None),
            (vec![4, 0x80, 0, 0], None),
            (vec![4, 2, 7], None),
            (vec![4], None),
            (vec![], None),
            (vec![0x1f, 0x81, 0, 0], None),
        ] {
            let read = Der::only(&input, tag::OCTET_STRING).map(<[u8]>::len);
            assert_eq!(read, length, "{:02x?}", input.get(..4));
        }
        assert_eq!(Der::only(&[4, 0, 0], tag::OCTET_STRING), None, "trailing");
    }

    #[test]
    fn integers_are_the_shortest_and_not_negative() {
        for (content, value) in [
            (&[0][..], Some(&[0][..])),
            (&[0x7f], Some(&[0x7f])),
            (&[0, 0x80], Some(&[0x80])),
            (&[1, 0], Some(&[1, 0])),
            (&[0x80], None),
            (&[0, 0x7f], None),
            (&[0, 0], None),
            (&[0], Some(&[0])),
            (&[], None),
        ] {
            let len = u8::try_from(content.len()).unwrap();
            let input = [&[2, len], content].concat();
            assert_eq!(Der::new(&input).unsigned(), value, "{content:02x?}");
        }
    }
}

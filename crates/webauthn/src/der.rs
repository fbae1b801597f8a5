//! The little of DER (X.690) that attestation certificates and ECDSA signatures need.
//!
//! Elements with one-byte tags and definite, shortest lengths below 64 KiB; what is read is a slice of
//! the input. A library for certificates is ten times the size, in a worker whose size is how long a
//! cold start takes.

/// Tags (X.690 §8.1.2) that are read here.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// The context-specific tag `number`, constructed.
    pub(crate) const fn explicit(number: u8) -> u8 {
        0xa0 | number
    }
    /// The context-specific tag `number`, primitive.
    pub(crate) const fn implicit(number: u8) -> u8 {
        0x80 | number
    }
}

/// What is left to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Der<'a>(&'a [u8]);

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// With its tag and length.
    pub(crate) whole: &'a [u8],
}

impl<'a> Der<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Option<Element<'a>> {
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
    pub(crate) fn next_if(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.any().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next_if(tag).map(|element| element.content)
    }

    /// The next element's content as something to be read, if the element has this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(Self)
    }

    /// That nothing is left.
    pub(crate) fn end(&self) -> Option<()> {
        self.is_empty().then_some(())
    }

    /// The one element of this tag that all of `input` is.
    pub(crate) fn only(input: &'a [u8], tag: u8) -> Option<&'a [u8]> {
        let mut der = Self(input);
        let content = der.expect(tag)?;
        der.end()?;
        Some(content)
    }

    /// A boolean (X.690 §11.1).
    pub(crate) fn boolean(&mut self) -> Option<bool> {
        match self.expect(tag::BOOLEAN)? {
            [0xff] => Some(true),
            [0x00] => Some(false),
            _ => None,
        }
    }

    /// The big-endian bytes of an integer that isn't negative, in their shortest form (§8.3.2).
    pub(crate) fn unsigned(&mut self) -> Option<&'a [u8]> {
        match self.expect(tag::INTEGER)? {
            [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Some(rest),
            content @ ([0] | [0x01..=0x7f, ..]) => Some(content),
            _ => None,
        }
    }
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
            (long(&[4, 0x83, 0, 1, 0], 256), None),
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

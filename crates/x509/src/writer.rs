//! A writer of DER (ITU-T X.690): definite lengths in their shortest form, one pass, no tree.
//!
//! The issuing path runs this twice per pair, so it writes forward into one buffer and moves the
//! content by a byte or two only where a length needs more than one octet.

use der::asn1::ObjectIdentifier;

pub(crate) mod tag {
    //! Identifier octets (X.690 §8.1.2).
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// `[0]` primitive: keyIdentifier in an AuthorityKeyIdentifier.
    pub(crate) const KEY_IDENTIFIER: u8 = 0x80;
    /// `[0]` primitive: audience in a Delegation.
    pub(crate) const AUDIENCE: u8 = 0x80;
    /// `[1]` primitive: purpose in a Delegation.
    pub(crate) const PURPOSE: u8 = 0x81;
    /// `[6]` primitive: uniformResourceIdentifier in a GeneralName.
    pub(crate) const URI: u8 = 0x86;
    /// `[0]` constructed: version in a TBSCertificate.
    pub(crate) const VERSION: u8 = 0xa0;
    /// `[0]` constructed: crlExtensions in a TBSCertList.
    pub(crate) const LIST_EXTENSIONS: u8 = 0xa0;
    /// `[3]` constructed: extensions in a TBSCertificate.
    pub(crate) const EXTENSIONS: u8 = 0xa3;
}

pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Bytes that are DER already.
    pub(crate) fn raw(&mut self, der: &[u8]) {
        self.out.extend_from_slice(der);
    }

    /// One element whose content `content` writes.
    pub(crate) fn element(&mut self, tag: u8, content: impl FnOnce(&mut Self)) {
        self.out.push(tag);
        let start = self.out.len();
        content(self);
        let bytes = (self.out.len() - start).to_be_bytes();
        let zeros = bytes.iter().take_while(|b| **b == 0).count();
        let significant = bytes.split_at(zeros).1;
        let short = matches!(significant, [] | [0..=0x7f]);
        let length = significant.iter().copied();
        if short {
            self.out
                .insert(start, significant.first().copied().unwrap_or(0));
        } else {
            let count = u8::try_from(significant.len()).unwrap_or(u8::MAX); // at most 8
            drop(
                self.out
                    .splice(start..start, std::iter::once(0x80 | count).chain(length)),
            );
        }
    }

    pub(crate) fn primitive(&mut self, tag: u8, content: &[u8]) {
        self.element(tag, |w| w.raw(content));
    }

    pub(crate) fn sequence(&mut self, content: impl FnOnce(&mut Self)) {
        self.element(tag::SEQUENCE, content);
    }

    pub(crate) fn oid(&mut self, oid: &ObjectIdentifier) {
        self.primitive(tag::OBJECT_IDENTIFIER, oid.as_bytes());
    }

    pub(crate) fn utf8(&mut self, text: &str) {
        self.primitive(tag::UTF8_STRING, text.as_bytes());
    }

    /// A non-negative INTEGER from its big-endian magnitude, in the fewest octets (X.690 §8.3.2).
    pub(crate) fn unsigned(&mut self, magnitude: &[u8]) {
        let zeros = magnitude.iter().take_while(|b| **b == 0).count();
        let significant = magnitude.split_at(zeros).1;
        self.element(tag::INTEGER, |w| {
            if significant.first().is_none_or(|b| b & 0x80 != 0) {
                w.raw(&[0]);
            }
            w.raw(significant);
        });
    }

    /// A BIT STRING of whole octets.
    pub(crate) fn bit_string(&mut self, bytes: &[u8]) {
        self.element(tag::BIT_STRING, |w| {
            w.raw(&[0]);
            w.raw(bytes);
        });
    }

    /// An Extension (RFC 5280 §4.1) whose extnValue holds what `value` writes.
    pub(crate) fn extension(
        &mut self,
        oid: &ObjectIdentifier,
        critical: bool,
        value: impl FnOnce(&mut Self),
    ) {
        self.sequence(|w| {
            w.oid(oid);
            if critical {
                w.primitive(tag::BOOLEAN, &[0xff]);
            }
            w.element(tag::OCTET_STRING, value);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(f: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::with_capacity(0);
        f(&mut w);
        w.into_bytes()
    }

    #[test]
    fn lengths_are_minimal() {
        for (len, header) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
            (65_536, &[4, 0x83, 1, 0, 0]),
        ] {
            let der = written(|w| w.primitive(tag::OCTET_STRING, &vec![7; len]));
            assert_eq!(&der[..header.len()], header, "{len}");
            assert_eq!(der.len(), header.len() + len);
        }
    }

    #[test]
    fn integers_are_minimal_and_positive() {
        for (magnitude, der) in [
            (&[0, 0][..], &[2, 1, 0][..]),
            (&[1], &[2, 1, 1]),
            (&[0, 0, 0, 1], &[2, 1, 1]),
            (&[0x7f], &[2, 1, 0x7f]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0, 0xff, 1], &[2, 3, 0, 0xff, 1]),
        ] {
            assert_eq!(written(|w| w.unsigned(magnitude)), der);
        }
    }
}

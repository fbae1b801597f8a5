//! Deterministic CBOR, as far as the revocation bundle needs it: unsigned integers, byte strings,
//! text strings and maps, of definite length and with shortest heads
//! ([RFC 8949 §4.2.1](https://www.rfc-editor.org/rfc/rfc8949#section-4.2.1)).

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const MAP: u8 = 5;

/// Writes items one after the other.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn unsigned(&mut self, value: u64) {
        self.head(UNSIGNED, value);
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.string(BYTES, value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.string(TEXT, value.as_bytes());
    }

    /// The head of a map of this many pairs, which follow.
    pub(crate) fn map(&mut self, pairs: usize) {
        self.head(MAP, length(pairs));
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn string(&mut self, major: u8, value: &[u8]) {
        self.head(major, length(value.len()));
        self.0.extend_from_slice(value);
    }

    fn head(&mut self, major: u8, value: u64) {
        let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
        let major = major << 5;
        match value {
            0..=23 => self.0.push(major | h),
            24..=0xff => self.0.extend([major | 24, h]),
            0x100..=0xffff => self.0.extend([major | 25, g, h]),
            0x1_0000..=0xffff_ffff => self.0.extend([major | 26, e, f, g, h]),
            _ => self.0.extend([major | 27, a, b, c, d, e, f, g, h]),
        }
    }
}

/// No target has lengths over 64 bits.
fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Reads items one after the other, and accepts only what [`Writer`] writes. `None` is any failure:
/// the caller signs or verifies the bytes, so it needs no more than that they are not acceptable.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn unsigned(&mut self) -> Option<u64> {
        self.head(UNSIGNED)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        self.string(BYTES)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string(TEXT)?).ok()
    }

    /// The number of pairs of a map.
    pub(crate) fn map(&mut self) -> Option<u64> {
        self.head(MAP)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn string(&mut self, major: u8) -> Option<&'a [u8]> {
        let length = usize::try_from(self.head(major)?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    fn head(&mut self, major: u8) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        if first >> 5 != major {
            return None;
        }
        // A longer head than the value needs is not deterministic.
        match first & 31 {
            value @ 0..=23 => Some(u64::from(value)),
            24 => Some(u64::from(u8::from_be_bytes(self.take()?))).filter(|value| *value > 23),
            25 => Some(u64::from(u16::from_be_bytes(self.take()?))).filter(|value| *value > 0xff),
            26 => Some(u64::from(u32::from_be_bytes(self.take()?))).filter(|value| *value > 0xffff),
            27 => Some(u64::from_be_bytes(self.take()?)).filter(|value| *value > 0xffff_ffff),
            _ => None,
        }
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }
}

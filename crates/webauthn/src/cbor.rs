//! CBOR in the form that authenticators have to write (§2.2, CTAP 2.1 §8).
//!
//! The reader is `minicbor`'s; what it read is written again and must give the same bytes, which
//! only shortest heads and definite lengths do. Tags, floating-point numbers, repeated keys and deep
//! nesting are refused as well. The order of keys carries no meaning and isn't looked at: some
//! authenticators in people's hands have it wrong.

use minicbor::data::{Int, Type};
use minicbor::{Decoder, Encoder};

/// How deep maps and arrays may be in each other. CTAP allows 4.
const MAX_DEPTH: usize = 4;
/// How many elements a map or an array may have: the largest real ones have a dozen.
const MAX_ELEMENTS: u64 = 64;

/// The bytes aren't CBOR of that form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A data item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Integer(Int),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Bool(bool),
    Null,
}

impl<'a> Value<'a> {
    /// Reads the item that `input` begins with, and gives what follows it.
    pub(crate) fn read(input: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let mut decoder = Decoder::new(input);
        let value = Self::decode(&mut decoder, MAX_DEPTH)?;
        let (item, rest) = input
            .split_at_checked(decoder.position())
            .ok_or(Malformed)?;
        let mut encoder = Encoder::new(Vec::with_capacity(item.len()));
        value.encode(&mut encoder)?;
        if encoder.writer() != item {
            return Err(Malformed);
        }
        Ok((value, rest))
    }

    /// Reads the item that `input` is.
    pub(crate) fn read_all(input: &'a [u8]) -> Result<Self, Malformed> {
        match Self::read(input)? {
            (value, []) => Ok(value),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(int) => i64::try_from(*int).ok(),
            _ => None,
        }
    }

    pub(crate) const fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) const fn as_text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    pub(crate) fn as_map(&self) -> Option<&[(Self, Self)]> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The values of a map that has exactly these keys, in their order.
    pub(crate) fn members<const N: usize>(&self, keys: [Self; N]) -> Option<[&Self; N]> {
        let entries = self.as_map().filter(|entries| entries.len() == N)?;
        let found = keys.map(|wanted| {
            let entry = entries.iter().find(|(key, _)| *key == wanted);
            entry.map(|(_, value)| value)
        });
        if found.iter().any(Option::is_none) {
            return None;
        }
        // Every one was found, so there is nothing to fall back to.
        Some(found.map(|value| value.unwrap_or(self)))
    }

    fn decode(decoder: &mut Decoder<'a>, depth: usize) -> Result<Self, Malformed> {
        let bad = |_: minicbor::decode::Error| Malformed;
        Ok(match decoder.datatype().map_err(bad)? {
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64
            | Type::Int => Self::Integer(decoder.int().map_err(bad)?),
            Type::Bytes => Self::Bytes(decoder.bytes().map_err(bad)?),
            Type::String => Self::Text(decoder.str().map_err(bad)?),
            Type::Bool => Self::Bool(decoder.bool().map_err(bad)?),
            Type::Null => {
                decoder.null().map_err(bad)?;
                Self::Null
            }
            Type::Array => {
                let below = depth.checked_sub(1).ok_or(Malformed)?;
                let count = bounded(decoder.array().map_err(bad)?)?;
                let elements = (0..count).map(|_| Self::decode(decoder, below));
                Self::Array(elements.collect::<Result<_, _>>()?)
            }
            Type::Map => {
                let below = depth.checked_sub(1).ok_or(Malformed)?;
                let count = bounded(decoder.map().map_err(bad)?)?;
                let mut entries = Vec::<(Self, Self)>::new();
                for _ in 0..count {
                    let key = Self::decode(decoder, below)?;
                    if entries.iter().any(|(known, _)| *known == key) {
                        return Err(Malformed);
                    }
                    entries.push((key, Self::decode(decoder, below)?));
                }
                Self::Map(entries)
            }
            _ => return Err(Malformed),
        })
    }

    fn encode(&self, encoder: &mut Encoder<Vec<u8>>) -> Result<(), Malformed> {
        let count = |len: usize| u64::try_from(len).map_err(|_| Malformed);
        match self {
            Self::Integer(int) => encoder.int(*int),
            Self::Bytes(bytes) => encoder.bytes(bytes),
            Self::Text(text) => encoder.str(text),
            Self::Bool(bool) => encoder.bool(*bool),
            Self::Null => encoder.null(),
            Self::Array(elements) => encoder.array(count(elements.len())?),
            Self::Map(entries) => encoder.map(count(entries.len())?),
        }
        .map_err(|_| Malformed)?;
        match self {
            Self::Array(elements) => elements.iter().try_for_each(|one| one.encode(encoder)),
            Self::Map(entries) => entries.iter().try_for_each(|(key, value)| {
                key.encode(encoder)?;
                value.encode(encoder)
            }),
            _ => Ok(()),
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(int: i64) -> Self {
        Self::Integer(int.into())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

/// The length of an array or a map: definite, and not beyond what real ones have.
fn bounded(length: Option<u64>) -> Result<u64, Malformed> {
    length
        .filter(|count| *count <= MAX_ELEMENTS)
        .ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(hex: &str) -> Result<usize, Malformed> {
        Value::read(&hex::decode(hex).unwrap()).map(|(_, rest)| rest.len())
    }

    #[test]
    fn items_end_where_they_end() {
        // RFC 8949 appendix A, then bytes that don't belong to the item.
        for (hex, rest) in [
            ("00", 0),
            ("1818", 0),
            ("1bffffffffffffffff00", 1),
            ("3bffffffffffffffff", 0),
            ("4401020304ffff", 2),
            ("62c3bc", 0),
            ("8301820203820405", 0),
            ("a26161016162820203", 0),
            ("f5f4", 1),
            ("f6", 0),
        ] {
            assert_eq!(read(hex), Ok(rest), "{hex}");
        }
    }

    #[test]
    fn other_encodings_of_a_value_are_refused() {
        for hex in [
            "1800",               // 0 in two bytes
            "1917",               // cut short
            "190017",             // 23 in three bytes
            "1a0000ffff",         // 65535 in five
            "1b00000000ffffffff", // and in nine
            "3800",               // -1 in two
            "580100",             // a length in two
            "7801ff",
            "780161",
            "980100",     // an array's
            "b801616101", // a map's
            "5f4100ff",   // indefinite lengths
            "7f6161ff",
            "9f00ff",
            "bf616100ff",
        ] {
            assert_eq!(read(hex), Err(Malformed), "{hex}");
        }
    }

    #[test]
    fn repeated_keys_are_refused() {
        assert_eq!(read("a2010102 02".replace(' ', "").as_str()), Ok(0));
        assert_eq!(read("a201010102"), Err(Malformed));
        assert_eq!(read("a2616101616102"), Err(Malformed));
        assert_eq!(read("a100a201010102"), Err(Malformed));
        assert_eq!(
            read("a2616101416102"),
            Ok(0),
            "a text and bytes are two keys"
        );
    }

    #[test]
    fn what_authenticators_never_write_is_refused() {
        for hex in [
            "c000",
            "d9d9f700",
            "f7",
            "f0",
            "f8ff",
            "f93c00",
            "fa47c35000",
            "fb3ff199999999999a",
            "1c",
            "ff",
            "",
            "42aa",
            "61ff",
            "62ff41",
        ] {
            assert_eq!(read(hex), Err(Malformed), "{hex}");
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        assert_eq!(read("8181818100"), Ok(0));
        assert_eq!(read("818181818100"), Err(Malformed));
        assert_eq!(read(&"81".repeat(100_000)), Err(Malformed));
        assert_eq!(read("9bffffffffffffffff"), Err(Malformed));
        assert_eq!(read("bbffffffffffffffff"), Err(Malformed));
        assert_eq!(read("5bffffffffffffffff"), Err(Malformed));
        assert_eq!(read(&format!("9840{}", "00".repeat(64))), Ok(0));
        assert_eq!(read(&format!("9841{}", "00".repeat(65))), Err(Malformed));
    }

    #[test]
    fn members_are_exactly_those_named() {
        let bytes = hex::decode("a2617801617902").unwrap();
        let map = Value::read_all(&bytes).unwrap();
        assert_eq!(
            map.members(["y".into(), "x".into()]),
            Some([&2.into(), &1.into()])
        );
        assert_eq!(map.members(["x".into()]), None);
        assert_eq!(map.members(["x".into(), "z".into()]), None);
        assert_eq!(map.members(["x".into(), "y".into(), "z".into()]), None);
        assert!(Value::read_all(&[&bytes[..], &[0]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Value::read(&bytes);
        }
    }
}

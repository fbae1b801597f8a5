//! The JSON form of the generated types, where it is not serde's own.
//!
//! The rules are those of all three languages: member names as in the schema; 64-bit integers are
//! JSON numbers and safe integers (at most 2^53 - 1 away from zero) or refused; `Data` is standard
//! base64 with padding; an enum is the enumerant's name; a union is the one member that is set; a
//! member is required unless the schema says `$Notme.optional`; unknown members are ignored.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The largest integer that a JSON number carries without loss in every language.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// 64-bit integers that must be safe, alone or in a list.
macro_rules! safe_integer {
    ($module:ident, $list:ident, $type:ty) => {
        pub(crate) mod $module {
            use serde::{Deserialize, Deserializer, Serializer, de, ser};

            pub(crate) fn safe(value: &$type) -> Option<$type> {
                // `abs` is `unsigned_abs` for signed integers and the value itself for others.
                (super::Magnitude::magnitude(*value) <= super::MAX_SAFE_INTEGER).then_some(*value)
            }

            pub(crate) fn serialize<S: Serializer>(v: &$type, s: S) -> Result<S::Ok, S::Error> {
                let value = safe(v).ok_or_else(|| ser::Error::custom("unsafe integer"))?;
                serde::Serialize::serialize(&value, s)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<$type, D::Error> {
                let value = <$type>::deserialize(d)?;
                safe(&value).ok_or_else(|| de::Error::custom("unsafe integer"))
            }
        }

        pub(crate) mod $list {
            use serde::{Deserialize, Deserializer, Serializer, de, ser};

            pub(crate) fn serialize<S: Serializer>(v: &[$type], s: S) -> Result<S::Ok, S::Error> {
                if v.iter().any(|value| super::$module::safe(value).is_none()) {
                    return Err(ser::Error::custom("unsafe integer"));
                }
                s.collect_seq(v)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                d: D,
            ) -> Result<Vec<$type>, D::Error> {
                let values = Vec::<$type>::deserialize(d)?;
                if values
                    .iter()
                    .any(|value| super::$module::safe(value).is_none())
                {
                    return Err(de::Error::custom("unsafe integer"));
                }
                Ok(values)
            }
        }
    };
}

safe_integer!(uint64, uint64_list, u64);
safe_integer!(int64, int64_list, i64);

trait Magnitude {
    fn magnitude(self) -> u64;
}

impl Magnitude for u64 {
    fn magnitude(self) -> u64 {
        self
    }
}

impl Magnitude for i64 {
    fn magnitude(self) -> u64 {
        self.unsigned_abs()
    }
}

/// `Data` as base64.
pub(crate) mod base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(value: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        decode(&String::deserialize(d)?)
    }

    pub(super) fn decode<E: de::Error>(text: &str) -> Result<Vec<u8>, E> {
        STANDARD
            .decode(text)
            .map_err(|_| E::custom("not standard base64"))
    }
}

/// A list of `Data`, each in base64.
pub(crate) mod base64_list {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(values: &[Vec<u8>], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(values.iter().map(|value| STANDARD.encode(value)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        texts
            .iter()
            .map(|text| super::base64::decode(text))
            .collect()
    }
}

/// A member of a union that has no value: `null`.
pub(crate) mod void {
    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer>(s: S) -> Result<S::Ok, S::Error> {
        s.serialize_unit()
    }
}

/// An optional struct: it may be left out, but `null` is not a struct.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A union, whose JSON form is the one member that is set.
pub(crate) trait Union: Sized {
    /// The struct that the union is in.
    const NAME: &'static str;

    /// The value of the member `key`, or `None` without touching `map` if the union has no such
    /// member.
    fn member<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Option<Self>, A::Error>;
}

/// Reads a union and insists on exactly one member. Works inside `#[serde(flatten)]` as well.
pub(crate) fn union<'de, T: Union, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(UnionVisitor(PhantomData))
}

struct UnionVisitor<T>(PhantomData<T>);

impl<'de, T: Union> Visitor<'de> for UnionVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exactly one member of the union in {}", T::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut value = None;
        while let Some(key) = map.next_key::<String>()? {
            match T::member(&key, &mut map)? {
                Some(_) if value.is_some() => {
                    return Err(de::Error::custom(format_args!(
                        "two members of {}",
                        T::NAME
                    )));
                }
                Some(member) => value = Some(member),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        value.ok_or_else(|| de::Error::invalid_length(0, &self))
    }
}

/// The value of a union's member, where its JSON form is not serde's own.
macro_rules! member_value {
    ($name:ident, $type:ty, $module:ident) => {
        pub(crate) struct $name(pub(crate) $type);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $module::deserialize(deserializer).map(Self)
            }
        }
    };
}

member_value!(Base64, Vec<u8>, base64);
member_value!(Base64List, Vec<Vec<u8>>, base64_list);
member_value!(Int64, i64, int64);
member_value!(Int64List, Vec<i64>, int64_list);
member_value!(Uint64, u64, uint64);
member_value!(Uint64List, Vec<u64>, uint64_list);

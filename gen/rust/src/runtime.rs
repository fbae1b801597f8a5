//! Canonical Cap'n Proto, as far as the generated types need it.
//!
//! Follows the [encoding specification](https://capnproto.org/encoding.html) and its section on
//! canonicalisation: one segment, no segment table, objects in pre-order, trailing zero words of
//! data and trailing null pointers cut off. A builder is a tree ([`StructBuilder`], [`Pointer`])
//! that is laid out in one pass; a reader walks the received bytes and copies values out.
//!
//! In scope: structs, groups, unions, enums, integers, `Bool`, `Text`, `Data` and lists of them.
//! Out of scope, and refused: far pointers and capabilities (a canonical message has neither), and
//! reading a list of scalars as a list of structs or the other way round.
//!
//! Invariants: no length or offset in a message is trusted, no input panics, memory and time are
//! linear in the input's length, and whatever [`Message::to_canonical_capnp`] writes
//! [`Message::from_canonical_capnp`] reads.

mod build;
mod error;
mod read;

pub use build::{Pointer, StructBuilder};
pub use error::{DecodeError, EncodeError};
pub use read::{PointerReader, StructReader};

use std::marker::PhantomData;

/// How many pointers may be followed one after the other, the root's included. The same limit as
/// the reference implementation's.
pub const MAX_DEPTH: u8 = 64;

/// How many elements without any bytes of their own one message may hold in all. They cost an
/// attacker nothing to claim, so the input's length does not bound them.
pub const MAX_EMPTY_ELEMENTS: u32 = 65_536;

/// What lives in the data and pointer sections of a struct: a struct, a group or a union.
pub trait Record: Sized {
    /// Writes the members into `builder`.
    ///
    /// # Errors
    /// [`EncodeError`] if a list or text is too long.
    fn write(&self, builder: &mut StructBuilder) -> Result<(), EncodeError>;

    /// Reads the members from `reader`. What the writer did not know is read as its default.
    ///
    /// # Errors
    /// [`DecodeError`] as said there.
    fn read(reader: &StructReader<'_>) -> Result<Self, DecodeError>;
}

/// A struct of the schema, which can be the root of a message.
pub trait Message: Record {
    /// The name of the struct in the schema.
    const NAME: &'static str;

    /// The one canonical encoding of this value: a single segment without segment table.
    ///
    /// # Errors
    /// [`EncodeError`] if a list or text is too long or structs are nested too deeply.
    fn to_canonical_capnp(&self) -> Result<Vec<u8>, EncodeError> {
        build::lay_out(&Pointer::from_record(self)?)
    }

    /// Reads a message of one segment without segment table, canonical or not. Fields that a newer
    /// writer added are ignored, fields that an older writer did not know have their default.
    ///
    /// # Errors
    /// [`DecodeError`] as said there.
    fn from_capnp(bytes: &[u8]) -> Result<Self, DecodeError> {
        read::root(bytes)?.record(Self::NAME)
    }

    /// Reads a message and refuses any bytes that [`to_canonical_capnp`](Self::to_canonical_capnp)
    /// would not have written for the value in them.
    ///
    /// # Errors
    /// [`DecodeError::NotCanonical`], and whatever [`from_capnp`](Self::from_capnp) refuses.
    fn from_canonical_capnp(bytes: &[u8]) -> Result<Self, DecodeError> {
        let value = Self::from_capnp(bytes)?;
        match value.to_canonical_capnp() {
            Ok(canonical) if canonical == bytes => Ok(value),
            _ => Err(DecodeError::NotCanonical),
        }
    }
}

/// An enum of the schema.
pub trait Enumerant: Copy + Sized {
    /// The name of the enum in the schema.
    const NAME: &'static str;

    /// The ordinal.
    fn ordinal(self) -> u16;

    /// The enumerant with this ordinal, if the schema knows one.
    fn from_ordinal(ordinal: u16) -> Option<Self>;
}

/// What a pointer leads to, for which absence and emptiness are the same value.
pub trait Pointed {
    /// The value in Rust.
    type Value: Default;

    /// Whether the value is empty. As a field it is then a null pointer.
    fn is_empty(value: &Self::Value) -> bool;

    /// The object for this value, empty or not.
    ///
    /// # Errors
    /// [`EncodeError`] if a list or text is too long.
    fn build(value: &Self::Value) -> Result<Pointer, EncodeError>;

    /// The value behind a pointer; a null pointer reads as the empty value.
    ///
    /// # Errors
    /// [`DecodeError`] as said there.
    fn parse(pointer: PointerReader<'_>) -> Result<Self::Value, DecodeError>;
}

/// What a list can hold.
pub trait Element {
    /// The value in Rust.
    type Value;

    /// The list object for these elements.
    ///
    /// # Errors
    /// [`EncodeError`] if a list or text is too long.
    fn build_list(values: &[Self::Value]) -> Result<Pointer, EncodeError>;

    /// The elements of the list behind a pointer; a null pointer has none.
    ///
    /// # Errors
    /// [`DecodeError`] as said there.
    fn parse_list(pointer: PointerReader<'_>) -> Result<Vec<Self::Value>, DecodeError>;
}

/// `Text`: UTF-8 with a final zero byte on the wire.
#[derive(Debug)]
pub struct Text;

impl Pointed for Text {
    type Value = String;

    fn is_empty(value: &String) -> bool {
        value.is_empty()
    }

    fn build(value: &String) -> Result<Pointer, EncodeError> {
        let mut bytes = Vec::with_capacity(value.len().saturating_add(1));
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        Pointer::scalars::<1>(bytes)
    }

    fn parse(pointer: PointerReader<'_>) -> Result<String, DecodeError> {
        let Some(bytes) = pointer.scalars::<1>()? else {
            return Ok(String::new());
        };
        let Some((0, text)) = bytes.split_last() else {
            return Err(DecodeError::MissingNul);
        };
        match std::str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(DecodeError::InvalidUtf8),
        }
    }
}

/// `Data`: bytes.
#[derive(Debug)]
pub struct Data;

impl Pointed for Data {
    type Value = Vec<u8>;

    fn is_empty(value: &Vec<u8>) -> bool {
        value.is_empty()
    }

    fn build(value: &Vec<u8>) -> Result<Pointer, EncodeError> {
        Pointer::scalars::<1>(value.clone())
    }

    fn parse(pointer: PointerReader<'_>) -> Result<Vec<u8>, DecodeError> {
        Ok(pointer.scalars::<1>()?.unwrap_or_default().to_vec())
    }
}

/// `List(E)`.
#[derive(Debug)]
pub struct List<E>(PhantomData<E>);

impl<E: Element> Pointed for List<E> {
    type Value = Vec<E::Value>;

    fn is_empty(value: &Self::Value) -> bool {
        value.is_empty()
    }

    fn build(value: &Self::Value) -> Result<Pointer, EncodeError> {
        E::build_list(value)
    }

    fn parse(pointer: PointerReader<'_>) -> Result<Self::Value, DecodeError> {
        E::parse_list(pointer)
    }
}

/// Elements that are pointers: they are never null, so that an empty text in a list stays one.
macro_rules! pointer_element {
    ($type:ty $(, $generic:ident)?) => {
        impl $(<$generic: Element>)? Element for $type {
            type Value = <Self as Pointed>::Value;

            fn build_list(values: &[Self::Value]) -> Result<Pointer, EncodeError> {
                let pointers: Result<Vec<_>, _> = values.iter().map(Self::build).collect();
                Ok(Pointer::Pointers(pointers?))
            }

            fn parse_list(pointer: PointerReader<'_>) -> Result<Vec<Self::Value>, DecodeError> {
                pointer.pointers()?.map(Self::parse).collect()
            }
        }
    };
}

pointer_element!(Text);
pointer_element!(Data);
pointer_element!(List<E>, E);

/// Integers are their own element type.
macro_rules! integer_element {
    ($($type:ident)*) => {$(
        impl Element for $type {
            type Value = Self;

            fn build_list(values: &[Self]) -> Result<Pointer, EncodeError> {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                Pointer::scalars::<{ size_of::<Self>() }>(bytes)
            }

            fn parse_list(pointer: PointerReader<'_>) -> Result<Vec<Self>, DecodeError> {
                let bytes = pointer.scalars::<{ size_of::<Self>() }>()?.unwrap_or_default();
                let (values, _) = bytes.as_chunks();
                Ok(values.iter().map(|bytes| Self::from_le_bytes(*bytes)).collect())
            }
        }
    )*};
}

integer_element!(u8 u16 u32 u64 i8 i16 i32 i64);

impl Element for bool {
    type Value = Self;

    fn build_list(values: &[Self]) -> Result<Pointer, EncodeError> {
        let bytes = values.chunks(8).map(|bits| {
            let bits = bits.iter().rev();
            bits.fold(0, |byte, bit| byte << 1 | u8::from(*bit))
        });
        Pointer::bits(bytes.collect(), values.len())
    }

    fn parse_list(pointer: PointerReader<'_>) -> Result<Vec<Self>, DecodeError> {
        let (bytes, count) = pointer.bits()?;
        let bits = bytes
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
        Ok(bits.take(count).collect())
    }
}

/// An enum as an element.
#[derive(Debug)]
pub struct Enum<T>(PhantomData<T>);

impl<T: Enumerant> Element for Enum<T> {
    type Value = T;

    fn build_list(values: &[T]) -> Result<Pointer, EncodeError> {
        let ordinals: Vec<u16> = values.iter().map(|value| value.ordinal()).collect();
        u16::build_list(&ordinals)
    }

    fn parse_list(pointer: PointerReader<'_>) -> Result<Vec<T>, DecodeError> {
        u16::parse_list(pointer)?
            .into_iter()
            .map(enumerant)
            .collect()
    }
}

/// A struct as an element.
#[derive(Debug)]
pub struct Struct<T>(PhantomData<T>);

impl<T: Record> Element for Struct<T> {
    type Value = T;

    fn build_list(values: &[T]) -> Result<Pointer, EncodeError> {
        let builders: Result<Vec<_>, _> = values.iter().map(StructBuilder::from_record).collect();
        Ok(Pointer::Structs(builders?))
    }

    fn parse_list(pointer: PointerReader<'_>) -> Result<Vec<T>, DecodeError> {
        pointer.structs()?.map(|reader| T::read(&reader)).collect()
    }
}

/// The enumerant with this ordinal.
///
/// # Errors
/// [`DecodeError::UnknownEnumerant`]: what a value nobody here knows means must not be guessed.
pub fn enumerant<T: Enumerant>(ordinal: u16) -> Result<T, DecodeError> {
    T::from_ordinal(ordinal).ok_or(DecodeError::UnknownEnumerant {
        name: T::NAME,
        ordinal,
    })
}

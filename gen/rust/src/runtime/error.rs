use std::fmt;

/// Why a value has no canonical encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// Structs and lists are nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// A list has 2^29 elements or more, the message 2^29 words or more, or there are more than
    /// [`MAX_EMPTY_ELEMENTS`](super::MAX_EMPTY_ELEMENTS) elements that are all default.
    TooLarge,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooDeep => "nested too deeply",
            Self::TooLarge => "too large for a message",
        })
    }
}

impl std::error::Error for EncodeError {}

/// Why bytes are not a message of the expected struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A text is not UTF-8.
    InvalidUtf8,
    /// A text does not end in a zero byte.
    MissingNul,
    /// A struct that the schema requires is a null pointer.
    MissingStruct {
        /// The field, as `Struct.field`, or the struct if it is the root.
        field: &'static str,
    },
    /// The bytes are a valid message, but not the canonical one for their value.
    NotCanonical,
    /// A pointer leads outside the message.
    OutOfBounds,
    /// Pointers are nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// More is read than there are bytes, because pointers overlap, or there are more than
    /// [`MAX_EMPTY_ELEMENTS`](super::MAX_EMPTY_ELEMENTS) elements without bytes.
    TooMuch,
    /// The length is not a multiple of eight, or zero.
    Truncated,
    /// An enum has an ordinal that this version of the schema does not know.
    UnknownEnumerant {
        /// The enum.
        name: &'static str,
        /// The ordinal found.
        ordinal: u16,
    },
    /// A union has a member that this version of the schema does not know.
    UnknownMember {
        /// The union.
        name: &'static str,
        /// The discriminant found.
        discriminant: u16,
    },
    /// A far pointer or a capability.
    UnsupportedPointer,
    /// A pointer leads to a struct where a list belongs, to a list where a struct belongs, or to a
    /// list of other elements.
    WrongKind,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUtf8 => f.write_str("text is not UTF-8"),
            Self::MissingNul => f.write_str("text does not end in a zero byte"),
            Self::MissingStruct { field } => write!(f, "{field} is missing"),
            Self::NotCanonical => f.write_str("not in canonical form"),
            Self::OutOfBounds => f.write_str("pointer leads outside the message"),
            Self::TooDeep => f.write_str("nested too deeply"),
            Self::TooMuch => f.write_str("pointers overlap or claim too many elements"),
            Self::Truncated => f.write_str("length is not a positive multiple of eight"),
            Self::UnknownEnumerant { name, ordinal } => {
                write!(f, "{name} has no enumerant {ordinal}")
            }
            Self::UnknownMember { name, discriminant } => {
                write!(f, "{name} has no member {discriminant}")
            }
            Self::UnsupportedPointer => f.write_str("far pointer or capability"),
            Self::WrongKind => f.write_str("pointer to another kind of object"),
        }
    }
}

impl std::error::Error for DecodeError {}

//! The schema as the emitters see it, read from the compiler's own `CodeGeneratorRequest`.
//!
//! Whatever cannot be expressed in all three languages is refused here, by name, so that the
//! emitters are total: they have no construct left to skip.

mod json_only;
mod read;
mod recursion;

use std::fmt;

pub use json_only::{JsonField, JsonFile, JsonStruct, JsonType, JsonValue};
pub(crate) use read::module;
pub use read::read;

/// All files that the compiler was asked to compile, each kind in the order of the command line.
#[derive(Debug)]
pub struct Schema {
    /// Those whose messages every language reads and writes.
    pub files: Vec<File>,
    /// Those whose messages are JSON only.
    pub json_files: Vec<JsonFile>,
}

/// A schema file.
#[derive(Debug)]
pub struct File {
    /// The file's name without its folder and extension; a module in every language.
    pub module: String,
    /// The import path of its Go package.
    pub go_import: String,
    /// Its types in the order of declaration, nested ones after the one around them. Groups and
    /// unions are part of their struct.
    pub types: Vec<Type>,
}

/// A named type.
#[derive(Debug)]
pub enum Type {
    /// An enum.
    Enum(Enum),
    /// A struct.
    Struct(Struct),
}

/// An enum.
#[derive(Debug)]
pub struct Enum {
    /// The name, unique in its file.
    pub name: Name,
    /// The documentation.
    pub doc: String,
    /// The enumerants in the order of their ordinals, which have no gaps.
    pub enumerants: Vec<Enumerant>,
}

/// One value of an enum.
#[derive(Debug)]
pub struct Enumerant {
    /// The name as in the schema.
    pub name: String,
    /// The documentation.
    pub doc: String,
}

/// A struct, or a group, which is a struct that lives in the sections of the one around it.
#[derive(Debug)]
pub struct Struct {
    /// The name, unique in its file.
    pub name: Name,
    /// The documentation.
    pub doc: String,
    /// The members outside any union.
    pub fields: Vec<Field>,
    /// The anonymous union, if there is one.
    pub union: Option<Union>,
}

impl Struct {
    /// The name of the type of its anonymous union, which languages that need one share.
    pub fn union_name(&self) -> Name {
        self.name.child("Union")
    }
}

/// An anonymous union. A named one is a group that holds nothing else.
#[derive(Debug)]
pub struct Union {
    /// Byte offset of the discriminant in the data section.
    pub discriminant_offset: u32,
    /// The members.
    pub members: Vec<Member>,
}

/// A member of a union.
#[derive(Debug)]
pub struct Member {
    /// The value of the discriminant that selects it.
    pub discriminant: u16,
    /// The field.
    pub field: Field,
}

/// A member of a struct.
#[derive(Debug)]
pub struct Field {
    /// The name as in the schema.
    pub name: String,
    /// What `$Json.name` calls it in JSON, which only a file that is JSON only may have.
    pub json_name: Option<String>,
    /// The documentation.
    pub doc: String,
    /// Whether `$Notme.optional` is on it.
    pub optional: bool,
    /// Whether the struct it holds can hold this field's struct again.
    pub recursive: bool,
    /// Where it is and what it holds.
    pub kind: FieldKind,
}

/// Where a field is and what it holds.
#[derive(Debug)]
pub enum FieldKind {
    /// Something without a value, which only a union's member can be.
    Void,
    /// A bit at a bit offset of the data section.
    Bool {
        /// The offset in bits.
        offset: u32,
        /// The default, by XOR.
        default: bool,
    },
    /// An integer at a byte offset of the data section.
    Integer {
        /// The type.
        integer: Integer,
        /// The offset in bytes.
        offset: u32,
        /// The default.
        default: i128,
    },
    /// An enum at a byte offset of the data section.
    Enum {
        /// The type.
        of: TypeRef,
        /// The offset in bytes.
        offset: u32,
        /// The default's ordinal.
        default: u16,
    },
    /// Text, data or a list at an index of the pointer section.
    Pointer {
        /// What the pointer leads to.
        to: Pointed,
        /// The index.
        index: u32,
    },
    /// A struct at an index of the pointer section.
    Struct {
        /// The type.
        of: TypeRef,
        /// The index.
        index: u32,
    },
    /// A group or named union, in the same sections.
    Group(Struct),
}

/// What a pointer that is not a struct leads to.
#[derive(Clone, Debug)]
pub enum Pointed {
    /// UTF-8.
    Text,
    /// Bytes.
    Data,
    /// A list.
    List(Box<Element>),
}

/// What a list holds.
#[derive(Clone, Debug)]
pub enum Element {
    /// Bits.
    Bool,
    /// Integers.
    Integer(Integer),
    /// Enums.
    Enum(TypeRef),
    /// Pointers.
    Pointer(Pointed),
    /// Structs.
    Struct(TypeRef),
}

/// An integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    /// 8, 16, 32 or 64.
    pub bits: u32,
    /// Whether it can be negative.
    pub signed: bool,
}

impl Integer {
    /// Its size.
    pub fn bytes(self) -> u32 {
        self.bits / 8
    }
}

/// A type by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeRef {
    /// The module of its file.
    pub module: String,
    /// Its name there.
    pub name: Name,
}

/// The name of a type: its own and those of what it is nested in, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub Vec<String>);

impl Name {
    /// One word for languages without nested types, `ListsPoint`.
    pub fn joined(&self) -> String {
        self.0.concat()
    }

    /// The name as the schema writes it, `Lists.Point`.
    pub fn dotted(&self) -> String {
        self.0.join(".")
    }

    /// The name of something nested in this.
    pub fn child(&self, name: &str) -> Self {
        let mut path = self.0.clone();
        path.push(name.to_owned());
        Self(path)
    }
}

/// Why a schema cannot be generated.
#[derive(Debug)]
pub enum Error {
    /// The request itself cannot be read.
    Request(capnp::Error),
    /// A construct that the generator does not know.
    Unsupported {
        /// The node and, where it applies, the field: `identity.capnp:Proof.passkey`.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => write!(f, "cannot read the compiler's request: {error}"),
            Self::Unsupported { what, why } => write!(f, "{what}: {why}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<capnp::Error> for Error {
    fn from(error: capnp::Error) -> Self {
        Self::Request(error)
    }
}

impl From<capnp::NotInSchema> for Error {
    fn from(error: capnp::NotInSchema) -> Self {
        Self::Request(error.into())
    }
}

impl From<std::str::Utf8Error> for Error {
    fn from(error: std::str::Utf8Error) -> Self {
        Self::Request(error.into())
    }
}

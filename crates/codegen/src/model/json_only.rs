use std::collections::HashSet;

use super::{
    Element, Enum, Error, Field, FieldKind, File, Integer, Pointed, Struct, Type, TypeRef,
};

/// A file whose messages are JSON only. It holds less than others do: what no message of a web
/// page needs is refused.
#[derive(Debug)]
pub struct JsonFile {
    /// The file's name without its folder and extension.
    pub module: String,
    /// Its types in the order of declaration.
    pub types: Vec<JsonType>,
}

/// A named type.
#[derive(Debug)]
pub enum JsonType {
    /// An enum: text in JSON.
    Enum(Enum),
    /// A struct: an object in JSON.
    Struct(JsonStruct),
}

/// A struct.
#[derive(Debug)]
pub struct JsonStruct {
    /// The name, unique in its file.
    pub name: String,
    /// The documentation.
    pub doc: String,
    /// The members.
    pub fields: Vec<JsonField>,
}

/// A member of a struct.
#[derive(Debug)]
pub struct JsonField {
    /// The name in JSON.
    pub name: String,
    /// The documentation.
    pub doc: String,
    /// Whether it may be left out.
    pub optional: bool,
    /// What it holds.
    pub value: JsonValue,
}

/// What a member or an element holds.
#[derive(Debug)]
pub enum JsonValue {
    /// `true` or `false`.
    Bool,
    /// A number; of 64 bits only those that JSON's readers agree about.
    Integer(Integer),
    /// Text.
    Text,
    /// A list.
    List(Box<Self>),
    /// A struct or enum of the same file, by its name.
    Named(String),
}

/// Narrows a file that says it is JSON only.
pub(super) fn narrow(file: File) -> Result<JsonFile, Error> {
    let narrow = Narrow {
        module: &file.module,
    };
    let types = file.types.into_iter().map(|ty| match ty {
        Type::Enum(of) => Ok(JsonType::Enum(of)),
        Type::Struct(of) => narrow.record(of).map(JsonType::Struct),
    });
    Ok(JsonFile {
        types: types.collect::<Result<_, _>>()?,
        module: file.module,
    })
}

struct Narrow<'a> {
    module: &'a str,
}

impl Narrow<'_> {
    fn refused(&self, what: &str, why: &str) -> Error {
        Error::Unsupported {
            what: format!("{}.capnp:{what}", self.module),
            why: format!("{why} in a file that is JSON only"),
        }
    }

    fn record(&self, of: Struct) -> Result<JsonStruct, Error> {
        if of.union.is_some() {
            return Err(self.refused(&of.name.dotted(), "unions are not supported"));
        }
        let fields = of.fields.into_iter().map(|field| {
            let what = format!("{}.{}", of.name.dotted(), field.name);
            Ok::<_, Error>(JsonField {
                value: self.field(&what, &field.kind)?,
                name: field.json_name.unwrap_or(field.name),
                doc: field.doc,
                optional: field.optional,
            })
        });
        Ok(JsonStruct {
            fields: fields.collect::<Result<_, _>>()?,
            name: of.name.joined(),
            doc: of.doc,
        })
    }

    fn field(&self, what: &str, kind: &FieldKind) -> Result<JsonValue, Error> {
        let has_default = match kind {
            FieldKind::Bool { default, .. } => *default,
            FieldKind::Integer { default, .. } => *default != 0,
            FieldKind::Enum { default, .. } => *default != 0,
            _ => false,
        };
        if has_default {
            return Err(self.refused(what, "default values are not supported"));
        }
        match kind {
            FieldKind::Void => Err(self.refused(what, "Void is not supported")),
            FieldKind::Bool { .. } => Ok(JsonValue::Bool),
            FieldKind::Integer { integer, .. } => Ok(JsonValue::Integer(*integer)),
            FieldKind::Enum { of, .. } | FieldKind::Struct { of, .. } => self.named(what, of),
            FieldKind::Pointer { to, .. } => self.pointed(what, to),
            FieldKind::Group(_) => Err(self.refused(what, "groups are not supported")),
        }
    }

    fn pointed(&self, what: &str, to: &Pointed) -> Result<JsonValue, Error> {
        match to {
            Pointed::Text => Ok(JsonValue::Text),
            Pointed::Data => Err(self.refused(what, "Data is not supported")),
            Pointed::List(element) => {
                let element = match element.as_ref() {
                    Element::Bool => JsonValue::Bool,
                    Element::Integer(integer) => JsonValue::Integer(*integer),
                    Element::Enum(of) | Element::Struct(of) => self.named(what, of)?,
                    Element::Pointer(to) => self.pointed(what, to)?,
                };
                Ok(JsonValue::List(Box::new(element)))
            }
        }
    }

    fn named(&self, what: &str, of: &TypeRef) -> Result<JsonValue, Error> {
        if of.module == self.module {
            Ok(JsonValue::Named(of.name.joined()))
        } else {
            Err(self.refused(what, "types of other files are not supported"))
        }
    }
}

/// Refuses what only a file that is JSON only may say.
pub(super) fn check_other(file: &File, json_modules: &HashSet<String>) -> Result<(), Error> {
    for ty in &file.types {
        if let Type::Struct(of) = ty {
            check_record(file, of, json_modules)?;
        }
    }
    Ok(())
}

fn check_record(file: &File, of: &Struct, json_modules: &HashSet<String>) -> Result<(), Error> {
    let members = of.union.iter().flat_map(|union| &union.members);
    let members = members.map(|member| &member.field);
    for field in of.fields.iter().chain(members) {
        if let FieldKind::Group(group) = &field.kind {
            check_record(file, group, json_modules)?;
        }
        let is_pointer = matches!(
            field.kind,
            FieldKind::Pointer { .. } | FieldKind::Struct { .. }
        );
        let why = if field.optional && !is_pointer {
            "$Notme.optional is for pointers outside unions"
        } else if field.json_name.is_some() {
            "$Json.name is for files that are JSON only"
        } else if refers_to(field, json_modules) {
            "its type is in a file that is JSON only"
        } else {
            continue;
        };
        return Err(Error::Unsupported {
            what: format!("{}.capnp:{}.{}", file.module, of.name.dotted(), field.name),
            why: why.to_owned(),
        });
    }
    Ok(())
}

fn refers_to(field: &Field, modules: &HashSet<String>) -> bool {
    fn pointed(to: &Pointed, modules: &HashSet<String>) -> bool {
        match to {
            Pointed::Text | Pointed::Data => false,
            Pointed::List(element) => match element.as_ref() {
                Element::Bool | Element::Integer(_) => false,
                Element::Enum(of) | Element::Struct(of) => modules.contains(&of.module),
                Element::Pointer(to) => pointed(to, modules),
            },
        }
    }
    match &field.kind {
        FieldKind::Enum { of, .. } | FieldKind::Struct { of, .. } => modules.contains(&of.module),
        FieldKind::Pointer { to, .. } => pointed(to, modules),
        FieldKind::Void
        | FieldKind::Bool { .. }
        | FieldKind::Integer { .. }
        | FieldKind::Group(_) => false,
    }
}

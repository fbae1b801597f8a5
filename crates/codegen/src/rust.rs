//! Rust: plain types with serde's traits, which write and read themselves through `notme-wire`'s
//! hand-written runtime.

use crate::model::{
    Element, Enum, Field, FieldKind, File, Integer, Member, Pointed, Schema, Struct, Type, TypeRef,
    Union,
};
use crate::text::{NOTICE, Text, pascal_case, snake_case};

/// Names that Rust keeps for itself.
const KEYWORDS: [&str; 39] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "type",
];

/// The list of modules.
pub fn modules(schema: &Schema) -> String {
    let mut out = Text::new("    ");
    out.comment("//", NOTICE);
    out.line("//! One module for each schema file.");
    for file in &schema.files {
        out.line("");
        out.line(&format!("/// Types of `schema/{}.capnp`.", file.module));
        out.line("#[rustfmt::skip]");
        out.line(&format!("pub mod {};", file.module));
    }
    out.finish()
}

/// A module for one schema file.
pub fn emit(file: &File) -> String {
    let mut out = Text::new("    ");
    out.comment("//", NOTICE);
    out.line("// Names and the sizes of a union's members are the schema's.");
    out.line("#![allow(clippy::large_enum_variant, clippy::use_self)]");
    out.line("");
    out.lines(
        "use serde::de::{Deserialize, Deserializer, MapAccess};
        use serde::{Deserialize as DeriveDeserialize, Serialize as DeriveSerialize};

        use crate::json;
        use crate::runtime::{
            self, DecodeError, EncodeError, Enumerant as _, StructBuilder, StructReader,
        };",
    );
    for ty in &file.types {
        match ty {
            Type::Enum(of) => enumeration(&mut out, of),
            Type::Struct(of) => {
                record(&mut out, file, of);
                out.line("");
                out.line(&format!(
                    "impl runtime::Message for {} {{",
                    of.name.joined()
                ));
                out.line(&format!(
                    "const NAME: &'static str = \"{}\";",
                    of.name.dotted()
                ));
                out.line("}");
            }
        }
    }
    out.finish()
}

fn enumeration(out: &mut Text, of: &Enum) {
    let name = of.name.joined();
    out.line("");
    out.comment("///", &of.doc);
    out.line(
        "#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, DeriveSerialize, DeriveDeserialize)]",
    );
    out.line(&format!("pub enum {name} {{"));
    for enumerant in &of.enumerants {
        out.comment("///", &enumerant.doc);
        out.line(&format!("#[serde(rename = \"{}\")]", enumerant.name));
        out.line(&format!("{},", pascal_case(&enumerant.name)));
    }
    out.line("}");
    out.line("");
    out.line(&format!("impl {name} {{"));
    out.line("/// The name in the schema, which is the name in JSON.");
    out.line("pub const fn as_str(self) -> &'static str {");
    out.line("match self {");
    for enumerant in &of.enumerants {
        out.line(&format!(
            "Self::{} => \"{}\",",
            pascal_case(&enumerant.name),
            enumerant.name
        ));
    }
    out.lines("}\n}\n}\n");
    out.line("");
    out.line(&format!("impl runtime::Enumerant for {name} {{"));
    out.line(&format!(
        "const NAME: &'static str = \"{}\";",
        of.name.dotted()
    ));
    out.line("");
    out.line("fn ordinal(self) -> u16 {");
    out.line("match self {");
    for (ordinal, enumerant) in of.enumerants.iter().enumerate() {
        out.line(&format!(
            "Self::{} => {ordinal},",
            pascal_case(&enumerant.name)
        ));
    }
    out.lines("}\n}\n");
    out.line("");
    out.line("fn from_ordinal(ordinal: u16) -> Option<Self> {");
    out.line("match ordinal {");
    for (ordinal, enumerant) in of.enumerants.iter().enumerate() {
        out.line(&format!(
            "{ordinal} => Some(Self::{}),",
            pascal_case(&enumerant.name)
        ));
    }
    out.line("_ => None,");
    out.lines("}\n}\n}");
}

/// A struct or group, then the groups and the union in it. One that is nothing but a union is a
/// Rust enum under its own name.
fn record(out: &mut Text, file: &File, of: &Struct) {
    match &of.union {
        Some(union) if of.fields.is_empty() => {
            enum_of_members(out, file, &of.name.joined(), of, union);
        }
        union => {
            struct_of_fields(out, file, of);
            if let Some(union) = union {
                enum_of_members(out, file, &of.union_name().joined(), of, union);
            }
        }
    }
    let members = of.union.iter().flat_map(|union| &union.members);
    for field in of.fields.iter().chain(members.map(|member| &member.field)) {
        if let FieldKind::Group(group) = &field.kind {
            record(out, file, group);
        }
    }
}

fn struct_of_fields(out: &mut Text, file: &File, of: &Struct) {
    let name = of.name.joined();
    let union = of.union.as_ref().map(|_| of.union_name().joined());
    out.line("");
    out.comment("///", &of.doc);
    out.line("#[derive(Clone, Debug, PartialEq, Eq, DeriveSerialize, DeriveDeserialize)]");
    out.line(&format!("pub struct {name} {{"));
    for field in &of.fields {
        out.comment("///", &field.doc);
        out.line(&format!("#[serde({})]", serde_attributes(field)));
        out.line(&format!(
            "pub {}: {},",
            ident(&field.name),
            field_type(file, field)
        ));
    }
    if let Some(union) = &union {
        out.line("/// The member of the union that is set.");
        out.line("#[serde(flatten)]");
        out.line(&format!("pub which: {union},"));
    }
    out.line("}");
    out.line("");
    out.line(&format!("impl runtime::Record for {name} {{"));
    out.line("fn write(&self, builder: &mut StructBuilder) -> Result<(), EncodeError> {");
    for field in &of.fields {
        let value = format!("self.{}", ident(&field.name));
        out.line(&write_field(file, field, &value, false));
    }
    if union.is_some() {
        out.line("self.which.write(builder)?;");
    }
    out.line("Ok(())");
    out.line("}");
    out.line("");
    out.line("fn read(reader: &StructReader<'_>) -> Result<Self, DecodeError> {");
    out.line("Ok(Self {");
    for field in &of.fields {
        out.line(&format!(
            "{}: {},",
            ident(&field.name),
            read_field(file, of, field)
        ));
    }
    if let Some(union) = &union {
        out.line(&format!("which: {union}::read(reader)?,"));
    }
    out.lines("})\n}\n}");
}

fn enum_of_members(out: &mut Text, file: &File, name: &str, of: &Struct, union: &Union) {
    out.line("");
    out.comment("///", &of.doc);
    out.line("#[derive(Clone, Debug, PartialEq, Eq, DeriveSerialize)]");
    out.line(&format!("pub enum {name} {{"));
    for Member { field, .. } in &union.members {
        let variant = pascal_case(&field.name);
        out.comment("///", &field.doc);
        if matches!(field.kind, FieldKind::Void) {
            let with = "serialize_with = \"json::void::serialize\"";
            out.line(&format!("#[serde(rename = \"{}\", {with})]", field.name));
            out.line(&format!("{variant},"));
        } else {
            let with =
                json_module(field).map(|module| format!("#[serde(with = \"json::{module}\")] "));
            out.line(&format!("#[serde(rename = \"{}\")]", field.name));
            let ty = field_type(file, field);
            out.line(&format!("{variant}({}{ty}),", with.unwrap_or_default()));
        }
    }
    out.line("}");
    out.line("");
    out.line(&format!("impl runtime::Record for {name} {{"));
    out.line("fn write(&self, builder: &mut StructBuilder) -> Result<(), EncodeError> {");
    out.line("match self {");
    let offset = union.discriminant_offset;
    for Member {
        discriminant,
        field,
    } in &union.members
    {
        let variant = pascal_case(&field.name);
        let is_void = matches!(field.kind, FieldKind::Void);
        out.line(&format!(
            "Self::{variant}{} => {{",
            if is_void { "" } else { "(value)" }
        ));
        out.line(&format!(
            "builder.put({offset}, {discriminant}_u16.to_le_bytes());"
        ));
        if !is_void {
            out.line(&write_field(file, field, "value", true));
        }
        out.line("}");
    }
    out.line("}");
    out.line("Ok(())");
    out.line("}");
    out.line("");
    out.line("fn read(reader: &StructReader<'_>) -> Result<Self, DecodeError> {");
    out.line(&format!(
        "Ok(match u16::from_le_bytes(reader.bytes({offset})) {{"
    ));
    for Member {
        discriminant,
        field,
    } in &union.members
    {
        let variant = pascal_case(&field.name);
        let value = if matches!(field.kind, FieldKind::Void) {
            format!("Self::{variant}")
        } else {
            format!("Self::{variant}({})", read_field(file, of, field))
        };
        out.line(&format!("{discriminant} => {value},"));
    }
    out.line("discriminant => {");
    let name_of = of.name.dotted();
    out.line(&format!(
        "return Err(DecodeError::UnknownMember {{ name: \"{name_of}\", discriminant }});"
    ));
    out.line("}");
    out.lines("})\n}\n}");
    out.line("");
    out.line(&format!("impl json::Union for {name} {{"));
    out.line(&format!(
        "const NAME: &'static str = \"{}\";",
        of.name.dotted()
    ));
    out.line("");
    let signature = "fn member<'de, A: MapAccess<'de>>(key: &str, map: &mut A) \
                     -> Result<Option<Self>, A::Error> {";
    out.line(signature);
    out.line("Ok(Some(match key {");
    for Member { field, .. } in &union.members {
        let variant = pascal_case(&field.name);
        let value = match (json_module(field), &field.kind) {
            (_, FieldKind::Void) => {
                out.line(&format!("\"{}\" => {{", field.name));
                out.line("map.next_value::<()>()?;");
                out.line(&format!("Self::{variant}"));
                out.line("}");
                continue;
            }
            (Some(module), _) => {
                let wrapper = pascal_case(module).replace("_list", "List");
                format!("map.next_value::<json::{wrapper}>()?.0")
            }
            (None, _) => "map.next_value()?".to_owned(),
        };
        out.line(&format!("\"{}\" => Self::{variant}({value}),", field.name));
    }
    out.line("_ => return Ok(None),");
    out.lines("}))\n}\n}");
    out.line("");
    out.line(&format!("impl<'de> Deserialize<'de> for {name} {{"));
    out.line("fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {");
    out.lines("json::union(deserializer)\n}\n}");
}

fn ident(name: &str) -> String {
    let name = snake_case(name);
    if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}

/// A type of this file by its name, one of another file by its path.
fn type_name(file: &File, of: &TypeRef) -> String {
    if of.module == file.module {
        of.name.joined()
    } else {
        format!("crate::{}::{}", of.module, of.name.joined())
    }
}

fn integer_type(integer: Integer) -> String {
    format!("{}{}", if integer.signed { "i" } else { "u" }, integer.bits)
}

fn field_type(file: &File, field: &Field) -> String {
    match &field.kind {
        FieldKind::Void => "()".to_owned(),
        FieldKind::Bool { .. } => "bool".to_owned(),
        FieldKind::Integer { integer, .. } => integer_type(*integer),
        FieldKind::Enum { of, .. } => type_name(file, of),
        FieldKind::Pointer { to, .. } => pointed_type(file, to),
        FieldKind::Group(group) => group.name.joined(),
        FieldKind::Struct { of, .. } => {
            let mut ty = type_name(file, of);
            if field.recursive {
                ty = format!("Box<{ty}>");
            }
            if field.optional {
                format!("Option<{ty}>")
            } else {
                ty
            }
        }
    }
}

fn pointed_type(file: &File, to: &Pointed) -> String {
    match to {
        Pointed::Text => "String".to_owned(),
        Pointed::Data => "Vec<u8>".to_owned(),
        Pointed::List(element) => match element.as_ref() {
            Element::Bool => "Vec<bool>".to_owned(),
            Element::Integer(integer) => format!("Vec<{}>", integer_type(*integer)),
            Element::Enum(of) | Element::Struct(of) => format!("Vec<{}>", type_name(file, of)),
            Element::Pointer(to) => format!("Vec<{}>", pointed_type(file, to)),
        },
    }
}

/// The type that tells the runtime how a pointer's value is encoded.
fn codec(file: &File, to: &Pointed) -> String {
    match to {
        Pointed::Text => "runtime::Text".to_owned(),
        Pointed::Data => "runtime::Data".to_owned(),
        Pointed::List(element) => {
            let element = match element.as_ref() {
                Element::Bool => "bool".to_owned(),
                Element::Integer(integer) => integer_type(*integer),
                Element::Enum(of) => format!("runtime::Enum<{}>", type_name(file, of)),
                Element::Struct(of) => format!("runtime::Struct<{}>", type_name(file, of)),
                Element::Pointer(to) => codec(file, to),
            };
            format!("runtime::List<{element}>")
        }
    }
}

/// The module of the JSON form, where it is not serde's own.
fn json_module(field: &Field) -> Option<&'static str> {
    let integer = |integer: Integer, unsigned, signed| {
        (integer.bits == 64).then_some(if integer.signed { signed } else { unsigned })
    };
    match &field.kind {
        FieldKind::Integer { integer: of, .. } => integer(*of, "uint64", "int64"),
        FieldKind::Pointer {
            to: Pointed::Data, ..
        } => Some("base64"),
        FieldKind::Pointer {
            to: Pointed::List(element),
            ..
        } => match element.as_ref() {
            Element::Integer(of) => integer(*of, "uint64_list", "int64_list"),
            Element::Pointer(Pointed::Data) => Some("base64_list"),
            _ => None,
        },
        _ => None,
    }
}

fn serde_attributes(field: &Field) -> String {
    let mut attributes = format!("rename = \"{}\"", field.name);
    if let Some(module) = json_module(field) {
        attributes.push_str(&format!(", with = \"json::{module}\""));
    }
    if field.optional {
        attributes.push_str(match &field.kind {
            FieldKind::Struct { .. } => {
                ", default, skip_serializing_if = \"Option::is_none\", \
                 deserialize_with = \"json::present\""
            }
            FieldKind::Pointer {
                to: Pointed::Text, ..
            } => ", default, skip_serializing_if = \"String::is_empty\"",
            _ => ", default, skip_serializing_if = \"Vec::is_empty\"",
        });
    }
    attributes
}

/// A statement. `by_reference` says that `value` is a reference to the field's value.
fn write_field(file: &File, field: &Field, value: &str, by_reference: bool) -> String {
    let (deref, reference) = if by_reference { ("*", "") } else { ("", "&") };
    match &field.kind {
        FieldKind::Void => String::new(),
        FieldKind::Bool { offset, default } => {
            let not = if *default { "!" } else { "" };
            format!("builder.put_bit({offset}, {not}{deref}{value});")
        }
        FieldKind::Integer {
            offset, default, ..
        } => {
            if *default == 0 {
                format!("builder.put({offset}, {value}.to_le_bytes());")
            } else {
                format!("builder.put({offset}, ({deref}{value} ^ {default}).to_le_bytes());")
            }
        }
        FieldKind::Enum {
            offset, default, ..
        } => {
            let ordinal = format!("{value}.ordinal()");
            if *default == 0 {
                format!("builder.put({offset}, {ordinal}.to_le_bytes());")
            } else {
                format!("builder.put({offset}, ({ordinal} ^ {default}).to_le_bytes());")
            }
        }
        FieldKind::Pointer { to, index } => {
            let codec = codec(file, to);
            // A member of a union was chosen, so it is written even if it is empty.
            let put = if by_reference {
                "put_value"
            } else {
                "put_unless_empty"
            };
            format!("builder.{put}::<{codec}>({index}, {reference}{value})?;")
        }
        FieldKind::Struct { index, .. } if field.optional => {
            let inner = if field.recursive {
                "value.as_ref()"
            } else {
                "value"
            };
            format!("if let Some(value) = &{value} {{ builder.put_struct({index}, {inner})?; }}")
        }
        FieldKind::Struct { index, .. } => {
            let inner = if field.recursive {
                format!("{value}.as_ref()")
            } else {
                format!("{reference}{value}")
            };
            format!("builder.put_struct({index}, {inner})?;")
        }
        FieldKind::Group(_) => format!("{value}.write(builder)?;"),
    }
}

/// An expression.
fn read_field(file: &File, parent: &Struct, field: &Field) -> String {
    match &field.kind {
        FieldKind::Void => "()".to_owned(),
        FieldKind::Bool { offset, default } => {
            format!("{}reader.bit({offset})", if *default { "!" } else { "" })
        }
        FieldKind::Integer {
            integer,
            offset,
            default,
        } => {
            let value = format!(
                "{}::from_le_bytes(reader.bytes({offset}))",
                integer_type(*integer)
            );
            if *default == 0 {
                value
            } else {
                format!("{value} ^ {default}")
            }
        }
        FieldKind::Enum {
            offset, default, ..
        } => format!("reader.enumerant({offset}, {default})?"),
        FieldKind::Pointer { to, index } => {
            format!("reader.value::<{}>({index})?", codec(file, to))
        }
        FieldKind::Struct { index, .. } => {
            let boxed = if field.recursive {
                ".map(Box::new)"
            } else {
                ""
            };
            if field.optional {
                format!("reader.optional({index})?{boxed}")
            } else {
                let what = format!("{}.{}", parent.name.dotted(), field.name);
                let value = format!("reader.required({index}, \"{what}\")?");
                if field.recursive {
                    format!("Box::new({value})")
                } else {
                    value
                }
            }
        }
        FieldKind::Group(group) => format!("{}::read(reader)?", group.name.joined()),
    }
}

//! TypeScript: types, Zod schemas of their JSON, and codecs on the hand-written runtime in
//! `gen/ts/runtime`.

use std::collections::BTreeSet;

use crate::model::{
    Element, Enum, Field, FieldKind, File, Integer, Member, Pointed, Struct, Type, TypeRef, Union,
};
use crate::text::{NOTICE, Text};

/// A module for one schema file.
pub fn emit(file: &File) -> String {
    let mut module = Module {
        file,
        out: Text::new("  "),
        emitted: BTreeSet::new(),
    };
    let mut imports = BTreeSet::new();
    for ty in &file.types {
        if let Type::Struct(of) = ty {
            imported(file, of, &mut imports);
        }
    }
    let out = &mut module.out;
    out.comment("//", NOTICE);
    out.line("");
    out.line("import * as z from \"zod\";");
    out.line("");
    for import in imports {
        out.line(&format!("import * as {import} from \"./{import}.ts\";"));
    }
    out.line("import * as capnp from \"./runtime/capnp.ts\";");
    out.line("import * as json from \"./runtime/json.ts\";");
    for ty in &file.types {
        match ty {
            Type::Enum(of) => module.enumeration(of),
            Type::Struct(of) => {
                module.record(of);
                module.functions(of);
            }
        }
    }
    module.out.finish()
}

/// The modules of other files that a struct refers to.
fn imported(file: &File, of: &Struct, modules: &mut BTreeSet<String>) {
    fn refs<'a>(to: &'a Pointed, all: &mut Vec<&'a TypeRef>) {
        if let Pointed::List(element) = to {
            match element.as_ref() {
                Element::Enum(of) | Element::Struct(of) => all.push(of),
                Element::Pointer(to) => refs(to, all),
                Element::Bool | Element::Integer(_) => {}
            }
        }
    }
    for field in fields(of) {
        let mut all = Vec::new();
        match &field.kind {
            FieldKind::Enum { of, .. } | FieldKind::Struct { of, .. } => all.push(of),
            FieldKind::Pointer { to, .. } => refs(to, &mut all),
            FieldKind::Group(group) => imported(file, group, modules),
            FieldKind::Void | FieldKind::Bool { .. } | FieldKind::Integer { .. } => {}
        }
        let others = all.into_iter().filter(|of| of.module != file.module);
        modules.extend(others.map(|of| of.module.clone()));
    }
}

/// All fields, those of the union last.
fn fields(of: &Struct) -> impl Iterator<Item = &Field> {
    let members = of.union.iter().flat_map(|union| &union.members);
    of.fields.iter().chain(members.map(|member| &member.field))
}

struct Module<'a> {
    file: &'a File,
    out: Text,
    /// Types whose Zod schema is already there, so that it can be referred to.
    emitted: BTreeSet<String>,
}

impl Module<'_> {
    fn doc(&mut self, doc: &str) {
        self.out.block_comment(doc);
    }

    fn enumeration(&mut self, of: &Enum) {
        let name = of.name.joined();
        self.out.line("");
        self.doc(&of.doc);
        self.out.line(&format!("export const {name} = {{"));
        for (ordinal, enumerant) in of.enumerants.iter().enumerate() {
            self.doc(&enumerant.doc);
            self.out.line(&format!("{}: {ordinal},", enumerant.name));
        }
        self.out.line("} as const;");
        self.out
            .line(&format!("export type {name} = keyof typeof {name};"));
        let names: Vec<_> = of
            .enumerants
            .iter()
            .map(|of| format!("\"{}\"", of.name))
            .collect();
        self.out.line(&format!(
            "export const {name}Schema = z.enum([{}]);",
            names.join(", ")
        ));
        let dotted = of.name.dotted();
        self.out.line(&format!(
            "export const {name}Enumeration: capnp.Enumeration<{name}> = {{ name: \"{dotted}\", ordinals: {name} }};"
        ));
        self.emitted.insert(name);
    }

    /// A struct or group: groups first, then its type, its JSON's type, its schema and its codec.
    fn record(&mut self, of: &Struct) {
        for field in fields(of) {
            if let FieldKind::Group(group) = &field.kind {
                self.record(group);
            }
        }
        self.value_type(of);
        self.json_type(of);
        self.schema(of);
        self.codec(of);
    }

    fn value_type(&mut self, of: &Struct) {
        let name = of.name.joined();
        self.out.line("");
        self.doc(&of.doc);
        let Some(union) = &of.union else {
            self.out.line(&format!("export interface {name} {{"));
            self.members(&of.fields);
            self.out.line("}");
            return;
        };
        if of.fields.is_empty() {
            self.out.line(&format!("export type {name} ="));
        } else {
            self.out.line(&format!("export type {name} = {{"));
            self.members(&of.fields);
            self.out.line("} & (");
        }
        for Member { field, .. } in &union.members {
            let ty = self.field_type(field, false);
            self.doc(&field.doc);
            self.out
                .line(&format!("| {{ which: \"{0}\"; {0}: {ty} }}", field.name));
        }
        self.out.line(if of.fields.is_empty() { ";" } else { ");" });
    }

    fn members(&mut self, fields: &[Field]) {
        for field in fields {
            let ty = self.field_type(field, false);
            self.doc(&field.doc);
            let is_struct = matches!(field.kind, FieldKind::Struct { .. });
            if field.optional && is_struct {
                self.out
                    .line(&format!("{}?: {ty} | undefined;", field.name));
            } else {
                self.out.line(&format!("{}: {ty};", field.name));
            }
        }
    }

    fn json_type(&mut self, of: &Struct) {
        self.out.line("");
        self.out.line(&format!(
            "/** The JSON form of {{@link {}}}. */",
            of.name.joined()
        ));
        self.out
            .line(&format!("export interface {}Json {{", of.name.joined()));
        let members = of.union.iter().flat_map(|union| &union.members);
        let members = members.map(|member| (&member.field, true));
        for (field, in_union) in of.fields.iter().map(|field| (field, false)).chain(members) {
            let ty = self.field_type(field, true);
            let (mark, undefined) = if in_union || field.optional {
                ("?", " | undefined")
            } else {
                ("", "")
            };
            self.out
                .line(&format!("{}{mark}: {ty}{undefined};", field.name));
        }
        self.out.line("}");
    }

    fn schema(&mut self, of: &Struct) {
        let name = of.name.joined();
        self.out.line("");
        self.out
            .line(&format!("/** Validates {{@link {name}Json}}. */"));
        let annotation = format!("z.ZodType<{name}, {name}Json>");
        match &of.union {
            None => self.out.line(&format!(
                "export const {name}Schema: {annotation} = z.object({{"
            )),
            Some(_) => {
                self.out.line(&format!(
                    "export const {name}Schema: {annotation} = json.union("
                ));
                self.out.line(&format!("\"{}\",", of.name.dotted()));
                self.out.line("z.object({");
            }
        }
        for field in &of.fields {
            let schema = self.field_schema(field);
            self.out.line(&format!("{}: {schema},", field.name));
        }
        if let Some(union) = &of.union {
            for Member { field, .. } in &union.members {
                let schema = self.field_schema(field);
                self.out
                    .line(&format!("{}: {schema}.optional(),", field.name));
            }
            self.out.line("}),");
            let names: Vec<_> = union
                .members
                .iter()
                .map(|of| format!("\"{}\"", of.field.name))
                .collect();
            self.out.line(&format!("[{}],", names.join(", ")));
            self.out.line(");");
        } else {
            self.out.line("});");
        }
        self.emitted.insert(name);
    }

    fn codec(&mut self, of: &Struct) {
        let name = of.name.joined();
        self.out.line("");
        self.out.line(&format!(
            "/** Canonical Cap'n Proto of {{@link {name}}}. */"
        ));
        self.out.line(&format!(
            "export const {name}Codec: capnp.Codec<{name}> = {{"
        ));
        self.out.line(&format!("name: \"{}\",", of.name.dotted()));
        self.out.line("write(value, builder) {");
        for field in &of.fields {
            let statement = self.write_field(field, false);
            self.out.line(&statement);
        }
        if let Some(union) = &of.union {
            self.write_union(union);
        }
        self.out.line("},");
        self.out.line("read(reader) {");
        match &of.union {
            None => {
                self.out.line("return {");
                self.read_fields(of);
                self.out.line("};");
            }
            Some(union) => self.read_union(of, union),
        }
        self.out.line("},");
        self.out.line("};");
    }

    fn write_union(&mut self, union: &Union) {
        let offset = union.discriminant_offset;
        self.out.line("switch (value.which) {");
        for Member {
            discriminant,
            field,
        } in &union.members
        {
            self.out.line(&format!("case \"{}\": {{", field.name));
            self.out.line(&format!(
                "builder.integer({offset}, 16, false, {discriminant});"
            ));
            if !matches!(field.kind, FieldKind::Void) {
                let statement = self.write_field(field, true);
                self.out.line(&statement);
            }
            self.out.line("break;");
            self.out.line("}");
        }
        self.out.line("default:");
        self.out.line("value satisfies never;");
        self.out
            .line("throw new capnp.EncodeError(\"unknownMember\");");
        self.out.line("}");
    }

    fn read_fields(&mut self, of: &Struct) {
        for field in &of.fields {
            let value = self.read_field(of, field);
            self.out.line(&format!("{}: {value},", field.name));
        }
    }

    fn read_union(&mut self, of: &Struct, union: &Union) {
        let spread = if of.fields.is_empty() {
            ""
        } else {
            self.out.line("const fields = {");
            self.read_fields(of);
            self.out.line("};");
            "...fields, "
        };
        let offset = union.discriminant_offset;
        self.out.line(&format!(
            "const discriminant = reader.integer({offset}, 16, false);"
        ));
        self.out.line("switch (discriminant) {");
        for Member {
            discriminant,
            field,
        } in &union.members
        {
            let value = self.read_field(of, field);
            self.out.line(&format!("case {discriminant}:"));
            self.out.line(&format!(
                "return {{ {spread}which: \"{0}\", {0}: {value} }};",
                field.name
            ));
        }
        self.out.line("default:");
        let name = of.name.dotted();
        self.out.line(&format!(
            "throw new capnp.DecodeError(\"unknownMember\", `{name} ${{discriminant}}`);"
        ));
        self.out.line("}");
    }

    fn functions(&mut self, of: &Struct) {
        let name = of.name.joined();
        for (function, doc, parameter, result) in [
            (
                "encode",
                "The canonical Cap'n Proto of a value.",
                format!("value: {name}"),
                "Uint8Array",
            ),
            (
                "decode",
                "Reads Cap'n Proto, canonical or not, of this or another version.",
                "bytes: Uint8Array".to_owned(),
                name.as_str(),
            ),
            (
                "decodeCanonical",
                "Reads canonical Cap'n Proto and refuses any other.",
                "bytes: Uint8Array".to_owned(),
                name.as_str(),
            ),
        ] {
            let argument = parameter.split(':').next().unwrap_or_default();
            self.out.line("");
            self.doc(doc);
            self.out.line(&format!(
                "export function {function}{name}({parameter}): {result} {{"
            ));
            self.out.line(&format!(
                "return capnp.{function}({name}Codec, {argument});"
            ));
            self.out.line("}");
        }
    }

    fn type_name(&self, of: &TypeRef) -> String {
        let name = of.name.joined();
        if of.module == self.file.module {
            name
        } else {
            format!("{}.{name}", of.module)
        }
    }

    fn field_type(&self, field: &Field, json: bool) -> String {
        let suffix = if json { "Json" } else { "" };
        match &field.kind {
            FieldKind::Void => "null".to_owned(),
            FieldKind::Bool { .. } => "boolean".to_owned(),
            FieldKind::Integer { integer, .. } => integer_type(*integer, json).to_owned(),
            FieldKind::Enum { of, .. } => self.type_name(of),
            FieldKind::Pointer { to, .. } => self.pointed_type(to, json),
            FieldKind::Struct { of, .. } => format!("{}{suffix}", self.type_name(of)),
            FieldKind::Group(group) => format!("{}{suffix}", group.name.joined()),
        }
    }

    fn pointed_type(&self, to: &Pointed, json: bool) -> String {
        match to {
            Pointed::Text => "string".to_owned(),
            Pointed::Data if json => "string".to_owned(),
            Pointed::Data => "Uint8Array".to_owned(),
            Pointed::List(element) => match element.as_ref() {
                Element::Bool => "boolean[]".to_owned(),
                Element::Integer(integer) => format!("{}[]", integer_type(*integer, json)),
                Element::Enum(of) => format!("{}[]", self.type_name(of)),
                Element::Struct(of) if json => format!("{}Json[]", self.type_name(of)),
                Element::Struct(of) => format!("{}[]", self.type_name(of)),
                Element::Pointer(to) => format!("{}[]", self.pointed_type(to, json)),
            },
        }
    }

    fn field_schema(&self, field: &Field) -> String {
        match &field.kind {
            FieldKind::Void => "z.null()".to_owned(),
            FieldKind::Bool { .. } => "z.boolean()".to_owned(),
            FieldKind::Integer { integer, .. } => integer_schema(*integer),
            FieldKind::Enum { of, .. } => self.schema_ref(of),
            FieldKind::Group(group) => format!("{}Schema", group.name.joined()),
            FieldKind::Struct { of, .. } => {
                let optional = if field.optional { ".optional()" } else { "" };
                format!("{}{optional}", self.schema_ref(of))
            }
            FieldKind::Pointer { to, .. } => match to {
                Pointed::Text if field.optional => "json.optionalText".to_owned(),
                Pointed::Data if field.optional => "json.optionalBase64".to_owned(),
                Pointed::List(element) if field.optional => {
                    format!("json.optionalList({})", self.element_schema(element))
                }
                _ => self.pointed_schema(to),
            },
        }
    }

    fn pointed_schema(&self, to: &Pointed) -> String {
        match to {
            Pointed::Text => "json.text".to_owned(),
            Pointed::Data => "json.base64".to_owned(),
            Pointed::List(element) => format!("z.array({})", self.element_schema(element)),
        }
    }

    fn element_schema(&self, element: &Element) -> String {
        match element {
            Element::Bool => "z.boolean()".to_owned(),
            Element::Integer(integer) => integer_schema(*integer),
            Element::Enum(of) | Element::Struct(of) => self.schema_ref(of),
            Element::Pointer(to) => self.pointed_schema(to),
        }
    }

    /// A schema by name, lazily if it comes further down.
    fn schema_ref(&self, of: &TypeRef) -> String {
        let schema = format!("{}Schema", self.type_name(of));
        if of.module != self.file.module || self.emitted.contains(&of.name.joined()) {
            schema
        } else {
            format!("z.lazy(() => {schema})")
        }
    }

    /// The runtime's description of how a pointer's value is encoded.
    fn pointed(&self, to: &Pointed) -> String {
        match to {
            Pointed::Text => "capnp.text".to_owned(),
            Pointed::Data => "capnp.data".to_owned(),
            Pointed::List(element) => {
                let element = match element.as_ref() {
                    Element::Bool => "capnp.bool".to_owned(),
                    Element::Integer(integer) => {
                        let signed = if integer.signed { "int" } else { "uint" };
                        format!("capnp.{signed}{}", integer.bits)
                    }
                    Element::Enum(of) => {
                        format!("capnp.enumeration({}Enumeration)", self.type_name(of))
                    }
                    Element::Struct(of) => format!("capnp.struct({}Codec)", self.type_name(of)),
                    Element::Pointer(to) => format!("capnp.pointer({})", self.pointed(to)),
                };
                format!("capnp.list({element})")
            }
        }
    }

    /// A statement.
    fn write_field(&self, field: &Field, in_union: bool) -> String {
        let value = format!("value.{}", field.name);
        match &field.kind {
            FieldKind::Void => String::new(),
            FieldKind::Bool { offset, default } => {
                let default = if *default { ", true" } else { "" };
                format!("builder.bool({offset}, {value}{default});")
            }
            FieldKind::Integer {
                integer: Integer { bits, signed },
                offset,
                default,
            } => {
                let default = default_integer(*bits, *default);
                format!("builder.integer({offset}, {bits}, {signed}, {value}{default});")
            }
            FieldKind::Enum {
                of,
                offset,
                default,
            } => {
                let default = default_integer(16, (*default).into());
                format!(
                    "builder.enumerant({offset}, {}, {value}{default});",
                    self.type_name(of)
                )
            }
            FieldKind::Pointer { to, index } => {
                // A member of a union was chosen, so it is written even if it is empty.
                let put = if in_union {
                    "value"
                } else {
                    "valueUnlessEmpty"
                };
                format!("builder.{put}({index}, {}, {value});", self.pointed(to))
            }
            FieldKind::Struct { of, index } => {
                let put = format!(
                    "builder.struct({index}, {}Codec, {value});",
                    self.type_name(of)
                );
                if field.optional {
                    format!("if ({value} !== undefined) {put}")
                } else {
                    put
                }
            }
            FieldKind::Group(group) => {
                format!("{}Codec.write({value}, builder);", group.name.joined())
            }
        }
    }

    /// An expression.
    fn read_field(&self, parent: &Struct, field: &Field) -> String {
        match &field.kind {
            FieldKind::Void => "null".to_owned(),
            FieldKind::Bool { offset, default } => {
                format!(
                    "reader.bool({offset}{})",
                    if *default { ", true" } else { "" }
                )
            }
            FieldKind::Integer {
                integer: Integer { bits: 64, signed },
                offset,
                default,
            } => {
                format!(
                    "reader.large({offset}, {signed}{})",
                    default_integer(64, *default)
                )
            }
            FieldKind::Integer {
                integer: Integer { bits, signed },
                offset,
                default,
            } => {
                let default = default_integer(*bits, *default);
                format!("reader.integer({offset}, {bits}, {signed}{default})")
            }
            FieldKind::Enum {
                of,
                offset,
                default,
            } => {
                let default = default_integer(16, (*default).into());
                format!(
                    "reader.enumerant({offset}, {}Enumeration{default})",
                    self.type_name(of)
                )
            }
            FieldKind::Pointer { to, index } => {
                format!("reader.value({index}, {})", self.pointed(to))
            }
            FieldKind::Struct { of, index } if field.optional => {
                format!("reader.optional({index}, {}Codec)", self.type_name(of))
            }
            FieldKind::Struct { of, index } => {
                let what = format!("{}.{}", parent.name.dotted(), field.name);
                format!(
                    "reader.required({index}, {}Codec, \"{what}\")",
                    self.type_name(of)
                )
            }
            FieldKind::Group(group) => format!("{}Codec.read(reader)", group.name.joined()),
        }
    }
}

/// 64 bits are a bigint, except in JSON.
fn integer_type(integer: Integer, json: bool) -> &'static str {
    if integer.bits == 64 && !json {
        "bigint"
    } else {
        "number"
    }
}

fn integer_schema(integer: Integer) -> String {
    let half = 1_i128 << (integer.bits - 1);
    match (integer.bits, integer.signed) {
        (64, true) => "json.int64".to_owned(),
        (64, false) => "json.uint64".to_owned(),
        (_, true) => format!("json.integer({}, {})", -half, half - 1),
        (_, false) => format!("json.integer(0, {})", half * 2 - 1),
    }
}

/// A trailing argument, left out for zero.
fn default_integer(bits: u32, default: i128) -> String {
    match (bits, default) {
        (_, 0) => String::new(),
        (64, default) => format!(", {default}n"),
        (_, default) => format!(", {default}"),
    }
}

//! Go: plain structs with JSON and canonical Cap'n Proto on the hand-written package
//! `gen/go/wire`. The structs of the Go library itself come from capnpc-go, see [`crate::run`].

use std::collections::BTreeMap;

use crate::model::{
    Element, Enum, Field, FieldKind, File, Integer, Member, Pointed, Schema, Struct, Type, TypeRef,
    Union,
};
use crate::text::{NOTICE, Text, pascal_case};

/// The package of plain structs for one schema file.
pub fn emit(schema: &Schema, file: &File) -> String {
    let paths = schema
        .files
        .iter()
        .map(|file| (file.module.as_str(), package_path(file)));
    let mut body = Package {
        file,
        out: Text::new("\t"),
        imports: BTreeMap::new(),
        paths: paths.collect(),
    };
    for ty in &file.types {
        match ty {
            Type::Enum(of) => body.enumeration(of),
            Type::Struct(of) => {
                body.record(of);
                body.functions(of);
            }
        }
    }
    let mut out = Text::new("\t");
    out.comment("//", NOTICE);
    out.line("");
    let module = &file.module;
    out.comment(
        "//",
        &format!(
            "Package {module}json has the structs of schema/{module}.capnp as plain Go values."
        ),
    );
    out.line(&format!("package {module}json"));
    out.line("");
    out.line("import (");
    let wire = file
        .go_import
        .rsplit_once('/')
        .map_or("", |(parent, _)| parent);
    body.imports
        .insert("wire".to_owned(), format!("{wire}/wire"));
    for path in body.imports.values() {
        out.line(&format!("\"{path}\""));
    }
    out.line(")");
    out.finish() + &body.out.finish()
}

fn package_path(file: &File) -> String {
    let parent = file
        .go_import
        .rsplit_once('/')
        .map_or("", |(parent, _)| parent);
    format!("{parent}/{}json", file.module)
}

struct Package<'a> {
    file: &'a File,
    out: Text,
    /// Name to path of the packages that are used.
    imports: BTreeMap<String, String>,
    /// Module to path of all packages.
    paths: BTreeMap<&'a str, String>,
}

impl Package<'_> {
    fn enumeration(&mut self, of: &Enum) {
        let name = of.name.joined();
        self.out.line("");
        self.out.comment("//", &of.doc);
        self.out.line(&format!("type {name} string"));
        self.out.line("");
        self.out.line(&format!("// The enumerants of {name}."));
        self.out.line("const (");
        for enumerant in &of.enumerants {
            self.out.comment("//", &enumerant.doc);
            let constant = format!("{name}{}", pascal_case(&enumerant.name));
            self.out
                .line(&format!("{constant} {name} = \"{}\"", enumerant.name));
        }
        self.out.line(")");
        self.out.line("");
        self.out.line(&format!(
            "// {name}Enumeration has the enumerants by ordinal."
        ));
        self.out.line(&format!(
            "var {name}Enumeration = wire.Enumeration[{name}]{{"
        ));
        self.out.line(&format!("Name: \"{}\",", of.name.dotted()));
        let names: Vec<_> = of
            .enumerants
            .iter()
            .map(|of| format!("{name}{}", pascal_case(&of.name)))
            .collect();
        self.out
            .line(&format!("Enumerants: []{name}{{{}}},", names.join(", ")));
        self.out.line("}");
    }

    fn record(&mut self, of: &Struct) {
        self.value_type(of);
        self.methods(of);
        self.json(of);
        let members = of.union.iter().flat_map(|union| &union.members);
        for field in of.fields.iter().chain(members.map(|member| &member.field)) {
            if let FieldKind::Group(group) = &field.kind {
                self.record(group);
            }
        }
    }

    fn value_type(&mut self, of: &Struct) {
        let name = of.name.joined();
        self.out.line("");
        self.out.comment("//", &of.doc);
        self.out.line(&format!("type {name} struct {{"));
        for field in &of.fields {
            self.member(field, false);
        }
        if let Some(union) = &of.union {
            self.out
                .line("// Which names the member of the union that is set.");
            self.out.line(&format!("Which {name}Which"));
            for Member { field, .. } in &union.members {
                if !matches!(field.kind, FieldKind::Void) {
                    self.member(field, true);
                }
            }
        }
        self.out.line("}");
        if let Some(union) = &of.union {
            self.out.line("");
            self.out.line(&format!(
                "// {name}Which names a member of the union in {name}."
            ));
            self.out.line(&format!("type {name}Which string"));
            self.out.line("");
            self.out
                .line(&format!("// The members of the union in {name}."));
            self.out.line("const (");
            for Member { field, .. } in &union.members {
                self.out.comment("//", &field.doc);
                let constant = format!("{name}Which{}", pascal_case(&field.name));
                self.out
                    .line(&format!("{constant} {name}Which = \"{}\"", field.name));
            }
            self.out.line(")");
        }
    }

    fn member(&mut self, field: &Field, in_union: bool) {
        let ty = self.field_type(field, in_union);
        self.out.comment("//", &field.doc);
        self.out.line(&format!("{} {ty}", pascal_case(&field.name)));
    }

    fn methods(&mut self, of: &Struct) {
        let name = of.name.joined();
        self.out.line("");
        self.out.line("// WriteTo implements wire.Record.");
        self.out.line(&format!(
            "func (v *{name}) WriteTo(b *wire.Builder) error {{"
        ));
        for field in &of.fields {
            self.write_field(field, false);
        }
        if let Some(union) = &of.union {
            self.write_union(of, union);
        }
        self.out.lines("return nil\n}");
        self.out.line("");
        self.out.line("// ReadFrom implements wire.Record.");
        self.out.line(&format!(
            "func (v *{name}) ReadFrom(r wire.Reader) error {{"
        ));
        for field in &of.fields {
            self.read_field(of, field, false);
        }
        if let Some(union) = &of.union {
            self.read_union(of, union);
        }
        self.out.lines("return nil\n}");
    }

    fn write_union(&mut self, of: &Struct, union: &Union) {
        let name = of.name.joined();
        self.out.line("switch v.Which {");
        for Member {
            discriminant,
            field,
        } in &union.members
        {
            self.case(&format!("{name}Which{}", pascal_case(&field.name)));
            self.out.line(&format!(
                "b.SetUint16({}, {discriminant})",
                union.discriminant_offset
            ));
            self.write_field(field, true);
        }
        self.case("");
        self.out.line(&format!(
            "return wire.NoMember(\"{}\", string(v.Which))",
            of.name.dotted()
        ));
        self.out.line("}");
    }

    fn read_union(&mut self, of: &Struct, union: &Union) {
        let name = of.name.joined();
        let offset = union.discriminant_offset;
        self.out.line(&format!(
            "switch discriminant := r.Uint16({offset}); discriminant {{"
        ));
        for Member {
            discriminant,
            field,
        } in &union.members
        {
            self.case(&discriminant.to_string());
            self.out.line(&format!(
                "v.Which = {name}Which{}",
                pascal_case(&field.name)
            ));
            self.read_field(of, field, true);
        }
        self.case("");
        self.out.line(&format!(
            "return wire.UnknownMember(\"{}\", discriminant)",
            of.name.dotted()
        ));
        self.out.line("}");
    }

    /// The head of a case, or of the default.
    fn case(&mut self, value: &str) {
        self.out.outdented(&if value.is_empty() {
            "default:".to_owned()
        } else {
            format!("case {value}:")
        });
    }

    fn write_field(&mut self, field: &Field, in_union: bool) {
        let member = format!("v.{}", pascal_case(&field.name));
        match &field.kind {
            FieldKind::Void => {}
            FieldKind::Bool { offset, default } => {
                let not = if *default { "!" } else { "" };
                self.out.line(&format!("b.SetBit({offset}, {not}{member})"));
            }
            FieldKind::Integer {
                integer,
                offset,
                default,
            } => {
                let unsigned = format!("uint{}", integer.bits);
                let value = if integer.signed {
                    format!("{unsigned}({member})")
                } else {
                    member
                };
                let mask = mask(*integer, *default);
                self.out.line(&format!(
                    "b.SetUint{}({offset}, {value}{mask})",
                    integer.bits
                ));
            }
            FieldKind::Enum {
                of,
                offset,
                default,
            } => {
                let of = self.type_name(of);
                self.out.line("{");
                self.out.line(&format!(
                    "ordinal, err := {of}Enumeration.Ordinal({member})"
                ));
                self.check();
                let mask = if *default == 0 {
                    String::new()
                } else {
                    format!(" ^ {default}")
                };
                self.out
                    .line(&format!("b.SetUint16({offset}, ordinal{mask})"));
                self.out.line("}");
            }
            FieldKind::Pointer { to, index } => {
                let codec = self.codec(to);
                let set = if in_union { "Set" } else { "SetUnlessEmpty" };
                self.attempt(&format!("wire.{set}(b, {index}, {codec}, {member})"));
            }
            FieldKind::Struct { index, .. } => {
                let is_pointer = in_union || field.optional || field.recursive;
                let must = is_pointer && !field.optional;
                if must {
                    self.out.line(&format!("if {member} == nil {{"));
                    self.out
                        .line(&format!("return wire.NoMember(\"{}\", \"\")", field.name));
                    self.out.line("}");
                }
                if field.optional {
                    self.out.line(&format!("if {member} != nil {{"));
                }
                let reference = if is_pointer {
                    member
                } else {
                    format!("&{member}")
                };
                self.attempt(&format!("wire.SetStruct(b, {index}, {reference})"));
                if field.optional {
                    self.out.line("}");
                }
            }
            FieldKind::Group(_) => self.attempt(&format!("{member}.WriteTo(b)")),
        }
    }

    fn read_field(&mut self, parent: &Struct, field: &Field, in_union: bool) {
        let member = format!("v.{}", pascal_case(&field.name));
        match &field.kind {
            FieldKind::Void => {}
            FieldKind::Bool { offset, default } => {
                let not = if *default { "!" } else { "" };
                self.out.line(&format!("{member} = {not}r.Bit({offset})"));
            }
            FieldKind::Integer {
                integer,
                offset,
                default,
            } => {
                let mask = mask(*integer, *default);
                let value = format!("r.Uint{}({offset}){mask}", integer.bits);
                let value = if integer.signed {
                    format!("int{}({value})", integer.bits)
                } else {
                    value
                };
                self.out.line(&format!("{member} = {value}"));
            }
            FieldKind::Enum {
                of,
                offset,
                default,
            } => {
                let of = self.type_name(of);
                let mask = if *default == 0 {
                    String::new()
                } else {
                    format!(" ^ {default}")
                };
                self.out.line("{");
                self.out.line(&format!(
                    "enumerant, err := {of}Enumeration.Enumerant(r.Uint16({offset}){mask})"
                ));
                self.check();
                self.out.line(&format!("{member} = enumerant"));
                self.out.line("}");
            }
            FieldKind::Pointer { to, index } => {
                let codec = self.codec(to);
                self.attempt(&format!("wire.Get(r, {index}, {codec}, &{member})"));
            }
            FieldKind::Struct { of, index } => {
                let ty = self.type_name(of);
                let what = format!("{}.{}", parent.name.dotted(), field.name);
                if field.optional {
                    self.out.line("{");
                    self.out.line(&format!(
                        "value, err := wire.GetOptionalStruct[{ty}](r, {index})"
                    ));
                    self.check();
                    self.out.line(&format!("{member} = value"));
                    self.out.line("}");
                } else if in_union || field.recursive {
                    self.out.line(&format!("{member} = new({ty})"));
                    self.attempt(&format!("wire.GetStruct(r, {index}, \"{what}\", {member})"));
                } else {
                    self.attempt(&format!(
                        "wire.GetStruct(r, {index}, \"{what}\", &{member})"
                    ));
                }
            }
            FieldKind::Group(_) => self.attempt(&format!("{member}.ReadFrom(r)")),
        }
    }

    /// A call that may fail.
    fn attempt(&mut self, call: &str) {
        self.out.line(&format!("if err := {call}; err != nil {{"));
        self.out.lines("return err\n}");
    }

    fn check(&mut self) {
        self.out.lines("if err != nil {\nreturn err\n}");
    }

    fn json(&mut self, of: &Struct) {
        let name = of.name.joined();
        self.out.line("");
        self.out.line("// MarshalJSON implements json.Marshaler.");
        self.out
            .line(&format!("func (v {name}) MarshalJSON() ([]byte, error) {{"));
        self.out.line("var o wire.ObjectWriter");
        for field in &of.fields {
            self.put(field, false);
        }
        if let Some(union) = &of.union {
            self.out.line("switch v.Which {");
            for Member { field, .. } in &union.members {
                self.case(&format!("{name}Which{}", pascal_case(&field.name)));
                self.put(field, true);
            }
            self.case("");
            self.out.line(&format!(
                "return nil, wire.NoMember(\"{}\", string(v.Which))",
                of.name.dotted()
            ));
            self.out.line("}");
        }
        self.out.line("return o.Finish()");
        self.out.line("}");
        self.out.line("");
        self.out
            .line("// UnmarshalJSON implements json.Unmarshaler.");
        self.out.line(&format!(
            "func (v *{name}) UnmarshalJSON(b []byte) error {{"
        ));
        self.out.line(&format!("*v = {name}{{}}"));
        self.out.line(&format!(
            "o := wire.ReadObject(\"{}\", b)",
            of.name.dotted()
        ));
        for field in &of.fields {
            self.take(field, false);
        }
        if let Some(union) = &of.union {
            let constants: Vec<_> = union
                .members
                .iter()
                .map(|member| format!("{name}Which{}", pascal_case(&member.field.name)))
                .collect();
            self.out.line(&format!(
                "v.Which = wire.Which(o, {})",
                constants.join(", ")
            ));
            self.out.line("switch v.Which {");
            for Member { field, .. } in &union.members {
                self.case(&format!("{name}Which{}", pascal_case(&field.name)));
                self.take(field, true);
            }
            self.out.line("}");
        }
        self.out.line("return o.Err()");
        self.out.line("}");
    }

    fn put(&mut self, field: &Field, in_union: bool) {
        let member = format!("v.{}", pascal_case(&field.name));
        let key = &field.name;
        match &field.kind {
            FieldKind::Void => self.out.line(&format!("wire.PutNull(&o, \"{key}\")")),
            FieldKind::Struct { of, .. } if in_union || field.optional || field.recursive => {
                let ty = self.type_name(of);
                self.out.line(&format!("if {member} != nil {{"));
                self.out.line(&format!(
                    "wire.Put(&o, \"{key}\", wire.Plain[{ty}](), *{member})"
                ));
                self.out.line("}");
            }
            _ => {
                let form = self.field_form(field);
                let put = format!("wire.Put(&o, \"{key}\", {form}, {member})");
                if field.optional {
                    self.out.line(&format!("if len({member}) > 0 {{"));
                    self.out.line(&put);
                    self.out.line("}");
                } else {
                    self.out.line(&put);
                }
            }
        }
    }

    fn take(&mut self, field: &Field, in_union: bool) {
        let member = format!("v.{}", pascal_case(&field.name));
        let key = &field.name;
        let line = match &field.kind {
            FieldKind::Void => format!("wire.TakeNull(o, \"{key}\")"),
            FieldKind::Struct { .. } if in_union || field.optional || field.recursive => {
                format!("wire.TakePointer(o, \"{key}\", &{member})")
            }
            _ => {
                let take = if field.optional {
                    "TakeOptional"
                } else {
                    "Take"
                };
                let form = self.field_form(field);
                format!("wire.{take}(o, \"{key}\", {form}, &{member})")
            }
        };
        self.out.line(&line);
    }

    fn functions(&mut self, of: &Struct) {
        let name = of.name.joined();
        self.out.line("");
        self.out
            .line("// MarshalCapnp gives the canonical Cap'n Proto.");
        self.out.line(&format!(
            "func (v *{name}) MarshalCapnp() ([]byte, error) {{"
        ));
        self.out.lines("return wire.Marshal(v)\n}");
        self.out.line("");
        self.out.line(
            "// UnmarshalCapnp reads Cap'n Proto, canonical or not, of this or another version.",
        );
        self.out.line(&format!(
            "func (v *{name}) UnmarshalCapnp(b []byte) error {{"
        ));
        self.out.lines("return wire.Unmarshal(b, v)\n}");
        self.out.line("");
        self.out
            .line("// UnmarshalCanonicalCapnp reads canonical Cap'n Proto and refuses any other.");
        self.out.line(&format!(
            "func (v *{name}) UnmarshalCanonicalCapnp(b []byte) error {{"
        ));
        self.out.lines("return wire.UnmarshalCanonical(b, v)\n}");
    }

    fn type_name(&mut self, of: &TypeRef) -> String {
        let name = of.name.joined();
        if of.module == self.file.module {
            return name;
        }
        let package = format!("{}json", of.module);
        let path = self
            .paths
            .get(of.module.as_str())
            .cloned()
            .unwrap_or_default();
        self.imports.insert(package.clone(), path);
        format!("{package}.{name}")
    }

    fn field_type(&mut self, field: &Field, in_union: bool) -> String {
        match &field.kind {
            FieldKind::Void => "struct{}".to_owned(),
            FieldKind::Bool { .. } => "bool".to_owned(),
            FieldKind::Integer { integer, .. } => integer_type(*integer),
            FieldKind::Enum { of, .. } => self.type_name(of),
            FieldKind::Pointer { to, .. } => self.pointed_type(to),
            FieldKind::Group(group) => group.name.joined(),
            FieldKind::Struct { of, .. } => {
                let ty = self.type_name(of);
                if in_union || field.optional || field.recursive {
                    format!("*{ty}")
                } else {
                    ty
                }
            }
        }
    }

    fn pointed_type(&mut self, to: &Pointed) -> String {
        match to {
            Pointed::Text => "string".to_owned(),
            Pointed::Data => "[]byte".to_owned(),
            Pointed::List(element) => match element.as_ref() {
                Element::Bool => "[]bool".to_owned(),
                Element::Integer(integer) => format!("[]{}", integer_type(*integer)),
                Element::Enum(of) | Element::Struct(of) => format!("[]{}", self.type_name(of)),
                Element::Pointer(to) => format!("[]{}", self.pointed_type(to)),
            },
        }
    }

    fn codec(&mut self, to: &Pointed) -> String {
        match to {
            Pointed::Text => "wire.Text".to_owned(),
            Pointed::Data => "wire.Data".to_owned(),
            Pointed::List(element) => match element.as_ref() {
                Element::Bool => "wire.Bools".to_owned(),
                Element::Integer(integer) => {
                    let signed = if integer.signed { "Int" } else { "Uint" };
                    format!("wire.{signed}{}s", integer.bits)
                }
                Element::Enum(of) => format!("wire.Enums({}Enumeration)", self.type_name(of)),
                Element::Struct(of) => format!("wire.Structs[{}]()", self.type_name(of)),
                Element::Pointer(to) => format!("wire.List({})", self.codec(to)),
            },
        }
    }

    fn field_form(&mut self, field: &Field) -> String {
        match &field.kind {
            FieldKind::Integer { integer, .. } => integer_form(*integer),
            FieldKind::Enum { of, .. } => {
                format!("wire.Enumerant({}Enumeration)", self.type_name(of))
            }
            FieldKind::Pointer { to, .. } => self.pointed_form(to),
            _ => format!("wire.Plain[{}]()", self.field_type(field, false)),
        }
    }

    fn pointed_form(&mut self, to: &Pointed) -> String {
        match to {
            Pointed::Text => "wire.Strings".to_owned(),
            Pointed::Data => "wire.Bytes".to_owned(),
            Pointed::List(element) => {
                let element = match element.as_ref() {
                    Element::Bool => "wire.Plain[bool]()".to_owned(),
                    Element::Integer(integer) => integer_form(*integer),
                    Element::Enum(of) => {
                        format!("wire.Enumerant({}Enumeration)", self.type_name(of))
                    }
                    Element::Struct(of) => format!("wire.Plain[{}]()", self.type_name(of)),
                    Element::Pointer(to) => self.pointed_form(to),
                };
                format!("wire.Array({element})")
            }
        }
    }
}

fn integer_type(integer: Integer) -> String {
    format!(
        "{}{}",
        if integer.signed { "int" } else { "uint" },
        integer.bits
    )
}

fn integer_form(integer: Integer) -> String {
    match (integer.bits, integer.signed) {
        (64, true) => "wire.Int64".to_owned(),
        (64, false) => "wire.Uint64".to_owned(),
        _ => format!("wire.Plain[{}]()", integer_type(integer)),
    }
}

/// XOR with the default, as bits.
fn mask(integer: Integer, default: i128) -> String {
    if default == 0 {
        return String::new();
    }
    let bits = default & ((1 << integer.bits) - 1);
    format!(" ^ {bits:#x}")
}

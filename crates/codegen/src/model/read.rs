use std::collections::{HashMap, HashSet};

use capnp::message::{Reader, ReaderOptions};
use capnp::schema_capnp::{annotation, brand, code_generator_request, field, node, type_, value};
use capnp::serialize::OwnedSegments;

use super::{
    Element, Enum, Enumerant, Error, Field, FieldKind, File, Integer, Member, Name, Pointed,
    Schema, Struct, Type, TypeRef, Union, json_only,
};

/// `$Go.package` and `$Go.import`, for capnpc-go.
const GO_PACKAGE: u64 = 0xbea9_7f10_2379_2be0;
const GO_IMPORT: u64 = 0xe130_b601_260e_44b5;
/// `$Json.base64`.
const JSON_BASE64: u64 = 0xd7d8_7945_0a25_3e4b;
/// `$Json.name`.
const JSON_NAME: u64 = 0xfa5b_1fd6_1c2e_7c3d;
/// `$Notme.optional`.
const OPTIONAL: u64 = 0xe4fb_d1bb_d9a7_d1c4;
/// `$Notme.jsonOnly`.
const JSON_ONLY: u64 = 0x8463_2f59_a671_9998;

/// Names that generated code uses for something else.
const RESERVED: [&str; 9] = [
    "Array",
    "BigInt",
    "None",
    "Option",
    "Result",
    "Some",
    "String",
    "Uint8Array",
    "Vec",
];

/// Reads a request as `capnp compile -o-` writes it.
///
/// # Errors
/// [`Error::Unsupported`] for the first construct that cannot be expressed in every language.
pub fn read(request: &[u8]) -> Result<Schema, Error> {
    let message = capnp::serialize::read_message(request, ReaderOptions::new())?;
    Request::new(&message)?.schema()
}

/// A node of the request, with what else the request says of it.
#[derive(Clone, Copy)]
struct Node<'a> {
    reader: node::Reader<'a>,
    doc: &'a str,
}

struct Request<'a> {
    files: Vec<(u64, String)>,
    nodes: HashMap<u64, Node<'a>>,
    member_docs: HashMap<u64, Vec<&'a str>>,
    /// Where each type that will be generated is found.
    refs: HashMap<u64, TypeRef>,
}

impl<'a> Request<'a> {
    fn new(message: &'a Reader<OwnedSegments>) -> Result<Self, Error> {
        let request: code_generator_request::Reader<'a> = message.get_root()?;
        let mut docs = HashMap::new();
        let mut member_docs = HashMap::new();
        for info in request.get_source_info()? {
            docs.insert(info.get_id(), info.get_doc_comment()?.to_str()?);
            let members = info.get_members()?.into_iter();
            let members: Result<Vec<_>, Error> = members
                .map(|member| Ok(member.get_doc_comment()?.to_str()?))
                .collect();
            member_docs.insert(info.get_id(), members?);
        }
        let nodes = request.get_nodes()?.into_iter().map(|reader| {
            let doc = docs.get(&reader.get_id()).copied().unwrap_or_default();
            (reader.get_id(), Node { reader, doc })
        });
        let nodes = nodes.collect();
        let files = request.get_requested_files()?.into_iter();
        let files: Result<Vec<_>, Error> = files
            .map(|file| Ok((file.get_id(), file.get_filename()?.to_string()?)))
            .collect();
        let files = files?;
        let mut request = Self {
            files,
            nodes,
            member_docs,
            refs: HashMap::new(),
        };
        for (id, filename) in request.files.clone() {
            request.name_types(&module(&filename), &Name(Vec::new()), request.node(id)?)?;
        }
        Ok(request)
    }

    fn node(&self, id: u64) -> Result<Node<'a>, Error> {
        self.nodes
            .get(&id)
            .copied()
            .ok_or_else(|| Error::Unsupported {
                what: format!("@{id:#x}"),
                why: "the request does not contain this node".to_owned(),
            })
    }

    /// Records the names of all structs and enums below a node.
    fn name_types(&mut self, module: &str, name: &Name, node: Node<'a>) -> Result<(), Error> {
        for nested in node.reader.get_nested_nodes()? {
            let name = name.child(nested.get_name()?.to_str()?);
            let node = self.node(nested.get_id())?;
            let of = TypeRef {
                module: module.to_owned(),
                name: name.clone(),
            };
            self.refs.insert(nested.get_id(), of);
            self.name_types(module, &name, node)?;
        }
        Ok(())
    }

    fn schema(&self) -> Result<Schema, Error> {
        let (mut files, mut json_files) = (Vec::new(), Vec::new());
        for (id, filename) in &self.files {
            match self.file(*id, filename)? {
                (Form::Binary, file) => files.push(file),
                (Form::JsonOnly, file) => json_files.push(file),
            }
        }
        let json_modules = json_files.iter().map(|file| file.module.clone()).collect();
        for file in &files {
            json_only::check_other(file, &json_modules)?;
        }
        // Also of what is JSON only a struct must have a value.
        let mut json_schema = Schema {
            files: json_files,
            json_files: Vec::new(),
        };
        super::recursion::mark(&mut json_schema)?;
        let json_files = json_schema.files.into_iter().map(json_only::narrow);
        let mut schema = Schema {
            files,
            json_files: json_files.collect::<Result<_, _>>()?,
        };
        super::recursion::mark(&mut schema)?;
        Ok(schema)
    }

    fn file(&self, id: u64, filename: &str) -> Result<(Form, File), Error> {
        let node = self.node(id)?;
        let what = node.reader.get_display_name()?.to_str()?;
        let (form, go_import) = form(what, node)?;
        let mut file = File {
            module: module(filename),
            go_import,
            types: Vec::new(),
        };
        self.collect_types(node, &mut file.types)?;
        check_names(what, &file.types)?;
        Ok((form, file))
    }

    fn collect_types(&self, node: Node<'a>, types: &mut Vec<Type>) -> Result<(), Error> {
        for nested in node.reader.get_nested_nodes()? {
            let node = self.node(nested.get_id())?;
            let what = node.reader.get_display_name()?.to_str()?;
            if node.reader.get_is_generic() || !node.reader.get_parameters()?.is_empty() {
                return Err(unsupported(what, "generic types are not supported"));
            }
            if node.doc.is_empty() {
                return Err(unsupported(what, "has no doc comment"));
            }
            check_annotations(what, node.reader.get_annotations()?.into_iter(), &[])?;
            let of = self.refs.get(&nested.get_id());
            let name = of
                .map(|of| of.name.clone())
                .ok_or_else(|| unsupported(what, "no name"))?;
            match node.reader.which()? {
                node::Struct(_) => types.push(Type::Struct(self.record(name, node, node.doc)?)),
                node::Enum(_) => types.push(Type::Enum(self.enumeration(name, node)?)),
                node::Interface(_) => {
                    return Err(unsupported(what, "interfaces are not supported"));
                }
                node::Const(_) => return Err(unsupported(what, "constants are not supported")),
                node::Annotation(_) => {
                    let why = "annotations are declared in files of their own, under include/";
                    return Err(unsupported(what, why));
                }
                node::File(()) => return Err(unsupported(what, "a file inside a file")),
            }
            self.collect_types(node, types)?;
        }
        Ok(())
    }

    fn enumeration(&self, name: Name, node: Node<'a>) -> Result<Enum, Error> {
        let what = node.reader.get_display_name()?.to_str()?;
        let node::Enum(reader) = node.reader.which()? else {
            return Err(unsupported(what, "is not an enum"));
        };
        let docs = self.member_docs.get(&node.reader.get_id());
        let mut enumerants = Vec::new();
        for (index, enumerant) in reader.get_enumerants()?.into_iter().enumerate() {
            let name = enumerant.get_name()?.to_string()?;
            let what = format!("{what}.{name}");
            check_annotations(&what, enumerant.get_annotations()?.into_iter(), &[])?;
            let doc = docs
                .and_then(|docs| docs.get(index))
                .copied()
                .unwrap_or_default();
            if doc.is_empty() {
                return Err(unsupported(&what, "has no doc comment"));
            }
            enumerants.push(Enumerant {
                name,
                doc: doc.to_owned(),
            });
        }
        Ok(Enum {
            name,
            doc: node.doc.to_owned(),
            enumerants,
        })
    }

    /// A struct or a group.
    fn record(&self, name: Name, node: Node<'a>, doc: &str) -> Result<Struct, Error> {
        let what = node.reader.get_display_name()?.to_str()?;
        let node::Struct(reader) = node.reader.which()? else {
            return Err(unsupported(what, "is not a struct"));
        };
        let docs = self.member_docs.get(&node.reader.get_id());
        let mut fields: Vec<_> = reader.get_fields()?.into_iter().enumerate().collect();
        fields.sort_by_key(|(_, field)| field.get_code_order());
        let mut record = Struct {
            name,
            doc: doc.to_owned(),
            fields: Vec::new(),
            union: None,
        };
        let mut members = Vec::new();
        for (index, reader) in fields {
            let doc = docs
                .and_then(|docs| docs.get(index))
                .copied()
                .unwrap_or_default();
            let discriminant = reader.get_discriminant_value();
            let in_union = discriminant != field::NO_DISCRIMINANT;
            let field = self.field(&record.name, what, reader, doc, in_union)?;
            if in_union {
                members.push(Member {
                    discriminant,
                    field,
                });
            } else {
                record.fields.push(field);
            }
        }
        if !members.is_empty() {
            let discriminant_offset = reader.get_discriminant_offset() * 2;
            if record.fields.iter().any(|field| field.name == "which") {
                let why = "the name is taken by the union beside it";
                return Err(unsupported(&format!("{what}.which"), why));
            }
            record.union = Some(Union {
                discriminant_offset,
                members,
            });
        }
        Ok(record)
    }

    fn field(
        &self,
        parent: &Name,
        parent_what: &str,
        reader: field::Reader<'a>,
        doc: &str,
        in_union: bool,
    ) -> Result<Field, Error> {
        let name = reader.get_name()?.to_string()?;
        let what = format!("{parent_what}.{name}");
        let annotations = reader.get_annotations()?;
        let known = [OPTIONAL, JSON_BASE64, JSON_NAME];
        check_annotations(&what, annotations.into_iter(), &known)?;
        let has = |id| {
            annotations
                .into_iter()
                .any(|annotation| annotation.get_id() == id)
        };
        let (optional, base64) = (has(OPTIONAL), has(JSON_BASE64));
        let mut doc = doc.to_owned();
        let kind = match reader.which()? {
            field::Slot(slot) => self.slot(&what, slot, in_union)?,
            field::Group(group) => {
                let node = self.node(group.get_type_id())?;
                if doc.is_empty() {
                    node.doc.clone_into(&mut doc);
                }
                FieldKind::Group(self.record(parent.child(&capitalised(&name)), node, &doc)?)
            }
        };
        if doc.is_empty() {
            return Err(unsupported(&what, "has no doc comment"));
        }
        let is_data = matches!(
            kind,
            FieldKind::Pointer {
                to: Pointed::Data,
                ..
            }
        );
        if is_data != base64 {
            let why = "$Json.base64 belongs on every field of type Data and on no other";
            return Err(unsupported(&what, why));
        }
        if optional && (in_union || matches!(kind, FieldKind::Group(_))) {
            let why = "$Notme.optional is not for groups and members of unions";
            return Err(unsupported(&what, why));
        }
        Ok(Field {
            name,
            json_name: text_of(annotations.into_iter(), JSON_NAME)?,
            doc,
            optional,
            recursive: false,
            kind,
        })
    }

    fn slot(
        &self,
        what: &str,
        slot: field::slot::Reader<'a>,
        in_union: bool,
    ) -> Result<FieldKind, Error> {
        let offset = slot.get_offset();
        let default = slot.get_default_value()?.which()?;
        let integer = |bits, signed, default| {
            let integer = Integer { bits, signed };
            Ok(FieldKind::Integer {
                integer,
                offset: offset * integer.bytes(),
                default,
            })
        };
        let ty = slot.get_type()?;
        let kind = match (ty.which()?, default) {
            (type_::Void(()), _) if in_union => Ok(FieldKind::Void),
            (type_::Void(()), _) => Err(unsupported(what, "a Void field outside a union")),
            (type_::Bool(()), value::Bool(default)) => Ok(FieldKind::Bool { offset, default }),
            (type_::Int8(()), value::Int8(default)) => integer(8, true, default.into()),
            (type_::Int16(()), value::Int16(default)) => integer(16, true, default.into()),
            (type_::Int32(()), value::Int32(default)) => integer(32, true, default.into()),
            (type_::Int64(()), value::Int64(default)) => integer(64, true, default.into()),
            (type_::Uint8(()), value::Uint8(default)) => integer(8, false, default.into()),
            (type_::Uint16(()), value::Uint16(default)) => integer(16, false, default.into()),
            (type_::Uint32(()), value::Uint32(default)) => integer(32, false, default.into()),
            (type_::Uint64(()), value::Uint64(default)) => integer(64, false, default.into()),
            (type_::Enum(of), value::Enum(default)) => {
                let of = self.type_ref(what, of.get_type_id(), of.get_brand()?)?;
                Ok(FieldKind::Enum {
                    of,
                    offset: offset * 2,
                    default,
                })
            }
            (type_::Struct(of), _) => {
                let of = self.type_ref(what, of.get_type_id(), of.get_brand()?)?;
                Ok(FieldKind::Struct { of, index: offset })
            }
            _ => Ok(FieldKind::Pointer {
                to: self.pointed(what, ty, 0)?,
                index: offset,
            }),
        }?;
        let is_pointer = matches!(kind, FieldKind::Pointer { .. } | FieldKind::Struct { .. });
        if is_pointer && slot.get_had_explicit_default() {
            return Err(unsupported(
                what,
                "default values of pointers are not supported",
            ));
        }
        Ok(kind)
    }

    /// What a pointer that is not a struct leads to, inside `depth` lists.
    fn pointed(&self, what: &str, ty: type_::Reader<'a>, depth: u8) -> Result<Pointed, Error> {
        match ty.which()? {
            type_::Text(()) => Ok(Pointed::Text),
            type_::Data(()) => Ok(Pointed::Data),
            type_::List(list) => {
                let element = self.element(what, list.get_element_type()?, depth + 1)?;
                Ok(Pointed::List(Box::new(element)))
            }
            type_::Float32(()) | type_::Float64(()) => {
                let why = "floating point is not supported: it has no single canonical form";
                Err(unsupported(what, why))
            }
            type_::Interface(_) => Err(unsupported(what, "interfaces are not supported")),
            type_::AnyPointer(_) => Err(unsupported(what, "AnyPointer is not supported")),
            _ => Err(unsupported(what, "a type that is not supported")),
        }
    }

    fn element(&self, what: &str, ty: type_::Reader<'a>, depth: u8) -> Result<Element, Error> {
        let integer = |bits, signed| {
            if bits == 64 && depth > 1 {
                let why = "lists of lists of 64-bit integers are not supported";
                return Err(unsupported(what, why));
            }
            Ok(Element::Integer(Integer { bits, signed }))
        };
        match ty.which()? {
            type_::Void(()) => Err(unsupported(what, "lists of Void are not supported")),
            type_::Bool(()) => Ok(Element::Bool),
            type_::Int8(()) => integer(8, true),
            type_::Int16(()) => integer(16, true),
            type_::Int32(()) => integer(32, true),
            type_::Int64(()) => integer(64, true),
            type_::Uint8(()) => integer(8, false),
            type_::Uint16(()) => integer(16, false),
            type_::Uint32(()) => integer(32, false),
            type_::Uint64(()) => integer(64, false),
            type_::Enum(of) => Ok(Element::Enum(self.type_ref(
                what,
                of.get_type_id(),
                of.get_brand()?,
            )?)),
            type_::Struct(of) => Ok(Element::Struct(self.type_ref(
                what,
                of.get_type_id(),
                of.get_brand()?,
            )?)),
            type_::Data(()) if depth > 1 => Err(unsupported(
                what,
                "lists of lists of Data are not supported",
            )),
            _ => Ok(Element::Pointer(self.pointed(what, ty, depth)?)),
        }
    }

    fn type_ref(&self, what: &str, id: u64, brand: brand::Reader<'a>) -> Result<TypeRef, Error> {
        if !brand.get_scopes()?.is_empty() {
            return Err(unsupported(what, "generic types are not supported"));
        }
        self.refs.get(&id).cloned().ok_or_else(|| {
            unsupported(
                what,
                "its type is in a file that is not generated with this one",
            )
        })
    }
}

/// What the messages of a file are written as.
enum Form {
    /// Cap'n Proto and JSON.
    Binary,
    /// JSON alone.
    JsonOnly,
}

/// What a file's own annotations say of it: its form, and the import path of its Go package.
fn form(what: &str, node: Node<'_>) -> Result<(Form, String), Error> {
    let annotations = node.reader.get_annotations()?;
    let is_json_only = annotations
        .into_iter()
        .any(|annotation| annotation.get_id() == JSON_ONLY);
    if is_json_only {
        // Without Go there is nothing to say about its package.
        check_annotations(what, annotations.into_iter(), &[JSON_ONLY])?;
        return Ok((Form::JsonOnly, String::new()));
    }
    check_annotations(what, annotations.into_iter(), &[GO_PACKAGE, GO_IMPORT])?;
    let go_import = text_of(annotations.into_iter(), GO_IMPORT)?;
    let go_import = go_import.ok_or_else(|| unsupported(what, "has no $Go.import"))?;
    Ok((Form::Binary, go_import))
}

/// The module of a schema file: its name without folder and extension.
pub(crate) fn module(filename: &str) -> String {
    let name = filename.rsplit('/').next().unwrap_or(filename);
    name.strip_suffix(".capnp")
        .unwrap_or(name)
        .replace('-', "_")
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}

fn unsupported(what: &str, why: &str) -> Error {
    Error::Unsupported {
        what: what.to_owned(),
        why: why.to_owned(),
    }
}

/// The text that an annotation carries, if it is there.
fn text_of<'a>(
    mut annotations: impl Iterator<Item = annotation::Reader<'a>>,
    id: u64,
) -> Result<Option<String>, Error> {
    match annotations.find(|annotation| annotation.get_id() == id) {
        None => Ok(None),
        Some(annotation) => match annotation.get_value()?.which()? {
            value::Text(text) => Ok(Some(text?.to_string()?)),
            _ => Ok(None),
        },
    }
}

/// An annotation that nobody here knows may change what a field means, so it is refused.
fn check_annotations<'a>(
    what: &str,
    annotations: impl Iterator<Item = annotation::Reader<'a>>,
    known: &[u64],
) -> Result<(), Error> {
    for annotation in annotations {
        if !known.contains(&annotation.get_id()) {
            let why = format!(
                "the annotation @{:#x} is not supported here",
                annotation.get_id()
            );
            return Err(unsupported(what, &why));
        }
    }
    Ok(())
}

/// Nested names are joined into one word, which must not make two types one.
fn check_names(what: &str, types: &[Type]) -> Result<(), Error> {
    fn names(record: &Struct, all: &mut Vec<Name>) {
        all.push(record.name.clone());
        if record.union.is_some() {
            all.push(record.union_name());
        }
        let members = record.union.iter().flat_map(|union| &union.members);
        for field in record
            .fields
            .iter()
            .chain(members.map(|member| &member.field))
        {
            if let FieldKind::Group(group) = &field.kind {
                names(group, all);
            }
        }
    }
    let mut all = Vec::new();
    for ty in types {
        match ty {
            Type::Enum(of) => all.push(of.name.clone()),
            Type::Struct(of) => names(of, &mut all),
        }
    }
    let mut seen = HashSet::new();
    for name in all {
        let joined = name.joined();
        if RESERVED.contains(&joined.as_str()) {
            return Err(unsupported(
                &format!("{what}:{}", name.dotted()),
                "the name is reserved",
            ));
        }
        if !seen.insert(joined.clone()) {
            let why = format!("two types would be named {joined}");
            return Err(unsupported(&format!("{what}:{}", name.dotted()), &why));
        }
    }
    Ok(())
}

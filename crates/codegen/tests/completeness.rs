//! Nothing in the schema is dropped: every field, member, group and enumerant of the compiler's
//! request is looked for in the output of every language. The request is walked here once more, so
//! that what the generator's own model forgets is missed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::HashMap;
use std::path::PathBuf;

use capnp::message::{Reader, ReaderOptions};
use capnp::schema_capnp::{code_generator_request, field, node, value};
use capnp::serialize::OwnedSegments;
use notme_codegen::{go, json_schema, model, rust, typescript, zod};
use support::compile;

/// The text of one language for one schema file.
struct Output {
    language: &'static str,
    text: String,
}

impl Output {
    /// What lies between a line that begins so and the next line that ends the block.
    fn block(&self, begins: &str, ends: &str) -> Option<&str> {
        let start = self.text.find(&format!("\n{begins}"))? + 1;
        let rest = self.text.get(start..)?;
        Some(rest.get(..rest.find(ends)?).unwrap())
    }

    fn expect(&self, what: &str, begins: &[String], ends: &str, needles: &[String]) {
        let blocks: Vec<_> = begins
            .iter()
            .filter_map(|begins| self.block(begins, ends))
            .collect();
        assert!(
            !blocks.is_empty(),
            "{}: no {what}, looked for {begins:?}",
            self.language
        );
        let found = |needle: &String| blocks.iter().any(|block| block.contains(needle.as_str()));
        assert!(
            needles.iter().any(found),
            "{}: {what} is missing: {needles:?}",
            self.language
        );
    }
}

struct Walk<'a> {
    nodes: HashMap<u64, node::Reader<'a>>,
    outputs: [Output; 3],
    fields: usize,
}

impl<'a> Walk<'a> {
    fn nested(&mut self, node: node::Reader<'a>, name: &str) {
        for nested in node.get_nested_nodes().unwrap() {
            let name = format!("{name}{}", nested.get_name().unwrap().to_str().unwrap());
            let node = *self.nodes.get(&nested.get_id()).unwrap();
            match node.which().unwrap() {
                node::Struct(_) => self.record(node, &name),
                node::Enum(reader) => {
                    for enumerant in reader.get_enumerants().unwrap() {
                        self.enumerant(&name, enumerant.get_name().unwrap().to_str().unwrap());
                    }
                }
                _ => panic!("{name}: neither a struct nor an enum"),
            }
            self.nested(node, &name);
        }
    }

    fn record(&mut self, node: node::Reader<'a>, name: &str) {
        let node::Struct(reader) = node.which().unwrap() else {
            panic!("{name} is not a struct");
        };
        for field in reader.get_fields().unwrap() {
            let field_name = field.get_name().unwrap().to_str().unwrap();
            let is_void = match field.which().unwrap() {
                field::Slot(slot) => {
                    let ty = slot.get_type().unwrap().which().unwrap();
                    matches!(ty, capnp::schema_capnp::type_::Void(()))
                }
                field::Group(group) => {
                    let (first, rest) = field_name.split_at(1);
                    let name = format!("{name}{}{rest}", first.to_uppercase());
                    self.record(*self.nodes.get(&group.get_type_id()).unwrap(), &name);
                    false
                }
            };
            self.field(name, field_name, is_void);
            self.fields += 1;
        }
    }

    fn field(&self, name: &str, field: &str, is_void: bool) {
        let what = &format!("{name}.{field}");
        let [rust, typescript, go] = &self.outputs;
        let types = ["struct", "enum"];
        let names = [name.to_owned(), format!("{name}Union")];
        let blocks: Vec<_> = types
            .iter()
            .flat_map(|ty| names.iter().map(move |name| format!("pub {ty} {name} {{")))
            .collect();
        rust.expect(what, &blocks, "\n}", &[format!("rename = \"{field}\"")]);

        let member = [
            format!("  {field}: "),
            format!("  {field}?: "),
            format!("; {field}: "),
        ];
        let types = [
            format!("export interface {name} {{"),
            format!("export type {name} ="),
        ];
        typescript.expect(what, &types, "\n\n", &member);
        let json = [format!("export interface {name}Json {{")];
        typescript.expect(what, &json, "\n}", &member);
        let schema = [format!("export const {name}Schema:")];
        typescript.expect(what, &schema, "\n\n", &member);
        let codec = [format!("export const {name}Codec:")];
        let (read, write) = ([format!(" {field}: ")], [format!("value.{field}")]);
        typescript.expect(what, &codec, "\n};", &read);
        if !is_void {
            typescript.expect(what, &codec, "\n};", &write);
        }

        let (first, rest) = field.split_at(1);
        let exported = format!("{}{rest}", first.to_uppercase());
        if is_void {
            let members = [format!("// The members of the union in {name}.")];
            go.expect(what, &members, "\n)", &[format!("\"{field}\"")]);
        } else {
            let member = [format!("\t{exported} ")];
            go.expect(what, &[format!("type {name} struct {{")], "\n}", &member);
        }
        let value = [format!("v.{exported}"), format!("{name}Which{exported}")];
        for function in ["WriteTo(b *wire.Builder)", "ReadFrom(r wire.Reader)"] {
            go.expect(
                what,
                &[format!("func (v *{name}) {function}")],
                "\n}",
                &value,
            );
        }
        let key = [format!("\"{field}\"")];
        go.expect(
            what,
            &[format!("func (v {name}) MarshalJSON()")],
            "\n}",
            &key,
        );
        go.expect(
            what,
            &[format!("func (v *{name}) UnmarshalJSON(")],
            "\n}",
            &key,
        );
    }

    fn enumerant(&self, name: &str, enumerant: &str) {
        let what = &format!("{name}.{enumerant}");
        let [rust, typescript, go] = &self.outputs;
        let needle = [format!("rename = \"{enumerant}\"")];
        rust.expect(what, &[format!("pub enum {name} {{")], "\n}", &needle);
        let needle = [format!("  {enumerant}: ")];
        typescript.expect(what, &[format!("export const {name} = {{")], "\n}", &needle);
        let needle = [format!("\"{enumerant}\"")];
        typescript.expect(what, &[format!("export const {name}Schema")], "\n", &needle);
        let needle = [format!(" {name} = \"{enumerant}\"")];
        go.expect(
            what,
            &[format!("// The enumerants of {name}.")],
            "\n)",
            &needle,
        );
    }
}

fn request() -> Option<Vec<u8>> {
    compile(&["schema/identity.capnp", "schema/conformance.capnp"].map(PathBuf::from))
}

#[test]
fn every_field_is_in_every_language() {
    let Some(bytes) = request() else {
        return;
    };
    let schema = model::read(&bytes).unwrap();
    let message: Reader<OwnedSegments> =
        capnp::serialize::read_message(bytes.as_slice(), ReaderOptions::new()).unwrap();
    let request: code_generator_request::Reader<'_> = message.get_root().unwrap();
    let nodes = request.get_nodes().unwrap();
    let nodes: HashMap<_, _> = nodes
        .into_iter()
        .map(|node| (node.get_id(), node))
        .collect();
    let mut fields = 0;
    for (requested, file) in request
        .get_requested_files()
        .unwrap()
        .into_iter()
        .zip(&schema.files)
    {
        let outputs = [
            Output {
                language: "Rust",
                text: rust::emit(file),
            },
            Output {
                language: "TypeScript",
                text: typescript::emit(file),
            },
            Output {
                language: "Go",
                text: go::emit(&schema, file),
            },
        ];
        let file = *nodes.get(&requested.get_id()).unwrap();
        let mut walk = Walk {
            nodes: nodes.clone(),
            outputs,
            fields: 0,
        };
        walk.nested(file, "");
        fields += walk.fields;
    }
    assert!(fields > 150, "{fields} fields");
}

/// Of a file that is JSON only there are validators and a JSON Schema, and both have everything.
#[test]
fn every_field_of_a_json_only_file_is_in_both_outputs() {
    let Some(bytes) = compile(&[PathBuf::from("schema/api.capnp")]) else {
        return;
    };
    let schema = model::read(&bytes).unwrap();
    assert!(schema.files.is_empty(), "Rust and Go would be generated");
    let [file] = schema.json_files.as_slice() else {
        panic!("not one file");
    };
    let message: Reader<OwnedSegments> =
        capnp::serialize::read_message(bytes.as_slice(), ReaderOptions::new()).unwrap();
    let request: code_generator_request::Reader<'_> = message.get_root().unwrap();
    let requested = request.get_requested_files().unwrap().get(0).get_id();
    let nodes = request.get_nodes().unwrap().into_iter();
    let nodes: Vec<_> = nodes
        .filter(|node| node.get_scope_id() == requested)
        .collect();
    let typescript = Output {
        language: "TypeScript",
        text: zod::emit(file),
    };
    let json = Output {
        language: "JSON Schema",
        text: json_schema::emit(file),
    };
    let mut fields = 0;
    for node in nodes {
        let display = node.get_display_name().unwrap().to_str().unwrap();
        let name = display.rsplit(':').next().unwrap();
        let json_block = [format!("    \"{name}\": {{")];
        match node.which().unwrap() {
            node::Struct(reader) => {
                for field in reader.get_fields().unwrap() {
                    let mut named = field.get_name().unwrap().to_str().unwrap();
                    let mut is_optional = false;
                    for annotation in field.get_annotations().unwrap() {
                        match annotation.get_value().unwrap().which().unwrap() {
                            value::Text(text) => named = text.unwrap().to_str().unwrap(),
                            _ => is_optional = true,
                        }
                    }
                    let what = &format!("{name}.{named}");
                    let mark = if is_optional { "?" } else { "" };
                    let interface = [format!("export interface {name} {{")];
                    typescript.expect(what, &interface, "\n}", &[format!("  {named}{mark}: ")]);
                    let optional = if is_optional {
                        "/* @__PURE__ */ z.optional("
                    } else {
                        ""
                    };
                    let schema = [format!("export const {name}Schema: ")];
                    typescript.expect(what, &schema, "\n}", &[format!("  {named}: {optional}")]);
                    let member = format!("        \"{named}\": {{\n");
                    json.expect(what, &json_block, "\n    }", &[member]);
                    let block = json.block(&json_block[0], "\n    }").unwrap();
                    let required = block.split("\"required\": [").nth(1).unwrap_or_default();
                    let is_required = required.contains(&format!("\"{named}\""));
                    assert_eq!(is_required, !is_optional, "{what}");
                    fields += 1;
                }
            }
            node::Enum(reader) => {
                for enumerant in reader.get_enumerants().unwrap() {
                    let needle = [format!(
                        "\"{}\"",
                        enumerant.get_name().unwrap().to_str().unwrap()
                    )];
                    let ty = [format!("export type {name} =")];
                    typescript.expect(name, &ty, ";", &needle);
                    let schema = [format!("export const {name}Schema: ")];
                    typescript.expect(name, &schema, ";", &needle);
                    json.expect(name, &json_block, "\n    }", &needle);
                }
            }
            _ => panic!("{display}: neither a struct nor an enum"),
        }
    }
    assert!(fields > 100, "{fields} fields");
}

/// The three fields that a parser of the schema's text once dropped, because their comments contain
/// braces (`notme-protocol` §20).
#[test]
fn braces_in_comments_do_no_harm() {
    let Some(bytes) = request() else {
        return;
    };
    let schema = model::read(&bytes).unwrap();
    let file = schema
        .files
        .iter()
        .find(|file| file.module == "identity")
        .unwrap();
    let fields = [
        ("BridgeCertPair", "identity"),
        ("GHAClaims", "sub"),
        ("BeadRef", "contentHash"),
    ];
    for (record, field) in fields {
        let found = file.types.iter().find_map(|ty| match ty {
            model::Type::Struct(of) if of.name.joined() == record => {
                of.fields.iter().find(|of| of.name == field)
            }
            _ => None,
        });
        let doc = &found
            .unwrap_or_else(|| panic!("{record}.{field} is missing"))
            .doc;
        assert!(
            doc.contains('{') && doc.contains('}'),
            "{record}.{field}: {doc}"
        );
        for text in [
            rust::emit(file),
            typescript::emit(file),
            go::emit(&schema, file),
        ] {
            assert!(
                text.contains(doc.trim_end()),
                "{record}.{field}: the comment is missing"
            );
        }
    }
}

/// A struct without a vector would be encoded by nobody's test.
#[test]
fn every_struct_has_a_vector() {
    let Some(bytes) = request() else {
        return;
    };
    for file in model::read(&bytes).unwrap().files {
        let path = support::root().join(format!("schema/fixtures/{}.json", file.module));
        let vectors = std::fs::read_to_string(path).unwrap();
        for ty in &file.types {
            // One that is nested in another is in the vectors of that.
            if let model::Type::Struct(of) = ty
                && of.name.0.len() == 1
            {
                let needle = format!("\"struct\":\"{}\"", of.name.joined());
                assert!(
                    vectors.contains(&needle),
                    "{} has no vector",
                    of.name.dotted()
                );
            }
        }
    }
}

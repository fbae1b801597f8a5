//! TypeScript for a file whose messages are JSON only: types, and validators that a web page can
//! afford. Value and JSON are the same.

use std::collections::BTreeSet;

use crate::model::{Enum, JsonFile, JsonStruct, JsonType, JsonValue};
use crate::text::{NOTICE, Text};

/// Lets a bundler leave out what a page doesn't import.
const PURE: &str = "/* @__PURE__ */";

/// A module for one schema file.
pub fn emit(file: &JsonFile) -> String {
    let mut module = Module {
        out: Text::new("  "),
        emitted: BTreeSet::new(),
    };
    let out = &mut module.out;
    out.comment("//", NOTICE);
    out.line("");
    // Methods on schemas, which the other modules use, cost four times as much in a page.
    out.line("import * as z from \"zod/mini\";");
    out.line("");
    out.line("import * as plain from \"./runtime/plain.ts\";");
    for ty in &file.types {
        match ty {
            JsonType::Enum(of) => module.enumeration(of),
            JsonType::Struct(of) => module.record(of),
        }
    }
    module.out.finish()
}

struct Module {
    out: Text,
    /// Types whose schema is already there, so that it can be referred to.
    emitted: BTreeSet<String>,
}

impl Module {
    fn enumeration(&mut self, of: &Enum) {
        let name = of.name.joined();
        self.out.line("");
        self.out.block_comment(&of.doc);
        self.out.line(&format!("export type {name} ="));
        for (index, enumerant) in of.enumerants.iter().enumerate() {
            let end = if index + 1 == of.enumerants.len() {
                ";"
            } else {
                ""
            };
            self.out.block_comment(&enumerant.doc);
            self.out.line(&format!("| \"{}\"{end}", enumerant.name));
        }
        self.out.line("");
        self.out
            .line(&format!("/** Validates {{@link {name}}}. */"));
        let names = of.enumerants.iter();
        let names: Vec<_> = names.map(|of| format!("\"{}\"", of.name)).collect();
        let names = names.join(", ");
        self.out.line(&format!(
            "export const {name}Schema: z.ZodMiniType<{name}> = {PURE} z.enum([{names}]);"
        ));
        self.emitted.insert(name);
    }

    fn record(&mut self, of: &JsonStruct) {
        let name = &of.name;
        self.out.line("");
        self.out.block_comment(&of.doc);
        self.out.line(&format!("export interface {name} {{"));
        for field in &of.fields {
            let ty = value_type(&field.value);
            self.out.block_comment(&field.doc);
            let (mark, undefined) = if field.optional {
                ("?", " | undefined")
            } else {
                ("", "")
            };
            self.out
                .line(&format!("{}{mark}: {ty}{undefined};", field.name));
        }
        self.out.line("}");
        self.out.line("");
        self.out
            .line(&format!("/** Validates {{@link {name}}}. */"));
        self.out.line(&format!(
            "export const {name}Schema: z.ZodMiniType<{name}> = {PURE} z.object({{"
        ));
        for field in &of.fields {
            let mut schema = self.schema(&field.value);
            if field.optional {
                schema = format!("{PURE} z.optional({schema})");
            }
            self.out.line(&format!("{}: {schema},", field.name));
        }
        self.out.line("});");
        self.emitted.insert(name.clone());
    }

    fn schema(&self, value: &JsonValue) -> String {
        match value {
            JsonValue::Bool => format!("{PURE} z.boolean()"),
            JsonValue::Integer(integer) => {
                let signed = if integer.signed { "int" } else { "uint" };
                format!("plain.{signed}{}", integer.bits)
            }
            JsonValue::Text => "plain.text".to_owned(),
            JsonValue::List(element) => format!("{PURE} z.array({})", self.schema(element)),
            JsonValue::Named(name) if self.emitted.contains(name) => format!("{name}Schema"),
            JsonValue::Named(name) => format!("{PURE} z.lazy(() => {name}Schema)"),
        }
    }
}

fn value_type(value: &JsonValue) -> String {
    match value {
        JsonValue::Bool => "boolean".to_owned(),
        JsonValue::Integer(_) => "number".to_owned(),
        JsonValue::Text => "string".to_owned(),
        JsonValue::List(element) => format!("{}[]", value_type(element)),
        JsonValue::Named(name) => name.clone(),
    }
}

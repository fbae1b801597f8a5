//! JSON Schema 2020-12 of a file whose messages are JSON only: each type below `$defs`.

use crate::model::{Enum, JsonFile, JsonStruct, JsonType, JsonValue};
use crate::text::NOTICE;

/// The largest integer that every reader of JSON reads as it is written.
const MAX_SAFE_INTEGER: i128 = (1 << 53) - 1;

/// A value, its members in order.
enum Json {
    Integer(i128),
    Text(String),
    Array(Vec<Self>),
    Object(Vec<(&'static str, Self)>),
    Named(Vec<(String, Self)>),
}

/// A document for one schema file.
pub fn emit(file: &JsonFile) -> String {
    let types = file.types.iter().map(|ty| match ty {
        JsonType::Enum(of) => (of.name.joined(), enumeration(of)),
        JsonType::Struct(of) => (of.name.clone(), record(of)),
    });
    let document = Json::Object(vec![
        (
            "$schema",
            text("https://json-schema.org/draft/2020-12/schema"),
        ),
        ("$defs", Json::Named(types.collect())),
    ]);
    // The notice stands in the first line, where stale files are known by it.
    let mut text = String::new();
    document.write(0, &mut text);
    let rest = text.trim_start_matches('{');
    format!("{{ \"$comment\": {},{rest}\n", quoted(NOTICE))
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

/// A comment as one paragraph.
fn description(doc: &str) -> (&'static str, Json) {
    let words: Vec<_> = doc.split_whitespace().collect();
    ("description", Json::Text(words.join(" ")))
}

fn enumeration(of: &Enum) -> Json {
    let each = of.enumerants.iter().map(|enumerant| {
        Json::Object(vec![
            ("const", text(&enumerant.name)),
            description(&enumerant.doc),
        ])
    });
    Json::Object(vec![
        description(&of.doc),
        ("type", text("string")),
        ("oneOf", Json::Array(each.collect())),
    ])
}

fn record(of: &JsonStruct) -> Json {
    let members = of.fields.iter().map(|field| {
        let mut members = vec![description(&field.doc)];
        members.extend(value(&field.value));
        (field.name.clone(), Json::Object(members))
    });
    let required = of.fields.iter().filter(|field| !field.optional);
    let required: Vec<_> = required.map(|field| text(&field.name)).collect();
    let mut object = vec![
        description(&of.doc),
        ("type", text("object")),
        ("properties", Json::Named(members.collect())),
    ];
    if !required.is_empty() {
        object.push(("required", Json::Array(required)));
    }
    Json::Object(object)
}

fn value(value: &JsonValue) -> Vec<(&'static str, Json)> {
    match value {
        JsonValue::Bool => vec![("type", text("boolean"))],
        JsonValue::Integer(integer) => {
            let half = 1_i128 << (integer.bits - 1);
            let (min, max) = if integer.signed {
                (-half, half - 1)
            } else {
                (0, half * 2 - 1)
            };
            let (min, max) = (min.max(-MAX_SAFE_INTEGER), max.min(MAX_SAFE_INTEGER));
            vec![
                ("type", text("integer")),
                ("minimum", Json::Integer(min)),
                ("maximum", Json::Integer(max)),
            ]
        }
        JsonValue::Text => vec![("type", text("string"))],
        JsonValue::List(element) => vec![
            ("type", text("array")),
            ("items", Json::Object(self::value(element))),
        ],
        JsonValue::Named(name) => vec![("$ref", Json::Text(format!("#/$defs/{name}")))],
    }
}

impl Json {
    fn write(&self, depth: usize, out: &mut String) {
        match self {
            Self::Integer(value) => out.push_str(&value.to_string()),
            Self::Text(value) => out.push_str(&quoted(value)),
            Self::Array(values) => {
                let values = values.iter().map(|value| (None, value));
                block(['[', ']'], values, depth, out);
            }
            Self::Object(members) => {
                let members = members.iter().map(|(name, value)| (Some(*name), value));
                block(['{', '}'], members, depth, out);
            }
            Self::Named(members) => {
                let members = members
                    .iter()
                    .map(|(name, value)| (Some(name.as_str()), value));
                block(['{', '}'], members, depth, out);
            }
        }
    }
}

fn block<'a>(
    [open, close]: [char; 2],
    values: impl Iterator<Item = (Option<&'a str>, &'a Json)>,
    depth: usize,
    out: &mut String,
) {
    out.push(open);
    let mut is_first = true;
    for (name, value) in values {
        out.push_str(if is_first { "\n" } else { ",\n" });
        is_first = false;
        out.push_str(&"  ".repeat(depth + 1));
        if let Some(name) = name {
            out.push_str(&quoted(name));
            out.push_str(": ");
        }
        value.write(depth + 1, out);
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
    out.push(close);
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if u32::from(letter) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

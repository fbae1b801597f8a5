use std::collections::{HashMap, HashSet};

use super::{Error, Field, FieldKind, Schema, Struct, Type, TypeRef};

/// The structs that a struct holds directly, not through a list.
type Edges = HashMap<String, Vec<Edge>>;

struct Edge {
    field: String,
    target: String,
    /// Whether no value of the struct is without it.
    required: bool,
}

/// Marks the fields through which a struct can hold itself.
pub(super) fn mark(schema: &mut Schema) -> Result<(), Error> {
    let mut edges = Edges::new();
    for (module, record) in records(schema) {
        let mut from = Vec::new();
        collect(record, true, &mut from);
        edges.insert(key(module, &record.name.joined()), from);
    }
    for (module, record) in records(schema) {
        let start = key(module, &record.name.joined());
        if reachable(&edges, &start, true).contains(&start) {
            let fields = edges
                .get(&start)
                .into_iter()
                .flatten()
                .filter(|edge| edge.required);
            let fields: Vec<_> = fields.map(|edge| edge.field.as_str()).collect();
            return Err(Error::Unsupported {
                what: format!(
                    "{module}.capnp:{}.{}",
                    record.name.dotted(),
                    fields.join(", ")
                ),
                why: "a struct that always holds itself has no value; use $Notme.optional".into(),
            });
        }
    }
    for file in &mut schema.files {
        for ty in &mut file.types {
            if let Type::Struct(record) = ty {
                let start = key(&file.module, &record.name.joined());
                mark_fields(record, &edges, &start);
            }
        }
    }
    Ok(())
}

fn records(schema: &Schema) -> impl Iterator<Item = (&str, &Struct)> {
    schema.files.iter().flat_map(|file| {
        file.types.iter().filter_map(|ty| match ty {
            Type::Struct(record) => Some((file.module.as_str(), record)),
            Type::Enum(_) => None,
        })
    })
}

fn key(module: &str, name: &str) -> String {
    format!("{module}:{name}")
}

fn ref_key(of: &TypeRef) -> String {
    key(&of.module, &of.name.joined())
}

fn collect(record: &Struct, required: bool, edges: &mut Vec<Edge>) {
    let mut add = |field: &Field, required: bool| match &field.kind {
        FieldKind::Struct { of, .. } => edges.push(Edge {
            field: field.name.clone(),
            target: ref_key(of),
            required: required && !field.optional,
        }),
        FieldKind::Group(group) => collect(group, required, edges),
        _ => {}
    };
    for field in &record.fields {
        add(field, required);
    }
    for member in record.union.iter().flat_map(|union| &union.members) {
        add(&member.field, false);
    }
}

fn reachable(edges: &Edges, start: &str, required: bool) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut open = vec![start.to_owned()];
    while let Some(next) = open.pop() {
        for edge in edges.get(&next).into_iter().flatten() {
            if (edge.required || !required) && found.insert(edge.target.clone()) {
                open.push(edge.target.clone());
            }
        }
    }
    found
}

fn mark_fields(record: &mut Struct, edges: &Edges, start: &str) {
    let members = record.union.iter_mut().flat_map(|union| &mut union.members);
    for field in record
        .fields
        .iter_mut()
        .chain(members.map(|member| &mut member.field))
    {
        match &mut field.kind {
            FieldKind::Struct { of, .. } => {
                let target = ref_key(of);
                field.recursive =
                    target == start || reachable(edges, &target, false).contains(start);
            }
            FieldKind::Group(group) => mark_fields(group, edges, start),
            _ => {}
        }
    }
}

//! The generator of `gen/`: Rust, TypeScript and Go from the Cap'n Proto schema.
//!
//! It never parses schema text. The `capnp` compiler does, and hands over a `CodeGeneratorRequest`,
//! which [`model::read`] turns into a small typed [`model::Schema`]; one emitter per language turns
//! that into text. Files whose messages are JSON only have two emitters of their own, [`zod`] and
//! [`json_schema`]. A construct that one of the languages could not express is an error that names
//! it, raised by the model, so that nothing can get lost in an emitter.

mod text;

pub mod go;
pub mod json_schema;
pub mod model;
pub mod run;
pub mod rust;
pub mod typescript;
pub mod zod;

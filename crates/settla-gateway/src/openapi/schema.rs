//! Schemas: from the port's types, under the names that a reader expects.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The schema of a type, made when it is asked for.
#[derive(Clone, Copy)]
pub(crate) struct TypeDoc {
    name: fn() -> Cow<'static, str>,
    schema: fn() -> RefOr<Schema>,
    parts: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl TypeDoc {
    pub(crate) fn of<T: ToSchema>() -> Self {
        Self { name: T::name, schema: <T as PartialSchema>::schema, parts: T::schemas }
    }
}

/// What an answer holds, with an example that has its type.
pub(crate) enum Content {
    /// No body.
    Nothing,
    /// An object.
    One(TypeDoc, Value),
    /// `data` alone.
    List(TypeDoc, Value),
    /// `data` and `next_cursor`.
    Page(TypeDoc, Value),
    /// JSON without a schema.
    AnyJson,
    /// A page for people.
    Html,
}

impl Content {
    pub(crate) fn one<T: ToSchema + Serialize>(sample: &T) -> Self {
        Self::One(TypeDoc::of::<T>(), example(sample))
    }

    pub(crate) fn list<T: ToSchema + Serialize>(sample: &T) -> Self {
        Self::List(TypeDoc::of::<T>(), json!({ "data": [example(sample)] }))
    }

    pub(crate) fn page<T: ToSchema + Serialize>(sample: &T) -> Self {
        Self::Page(TypeDoc::of::<T>(), json!({ "data": [example(sample)], "next_cursor": "b3BhcXVl" }))
    }
}

/// Rendering our own plain data does not fail; a missing example would be seen in the committed document.
fn example<T: Serialize>(sample: &T) -> Value {
    serde_json::to_value(sample).unwrap_or_default()
}

/// The `components/schemas` being collected.
#[derive(Default)]
pub(crate) struct Components(BTreeMap<String, Value>);

impl Components {
    /// Adds a schema that no type stands for.
    pub(crate) fn add(&mut self, name: &str, schema: Value) -> Value {
        self.0.insert(name.to_owned(), schema);
        reference(name)
    }

    /// Adds a type and all that it is made of; returns the reference to it.
    pub(crate) fn of(&mut self, doc: TypeDoc) -> Value {
        let mut parts = vec![((doc.name)().into_owned(), (doc.schema)())];
        (doc.parts)(&mut parts);
        for (name, schema) in parts {
            // Rendering our own plain data does not fail; an empty schema would be seen in the committed document.
            let mut schema = serde_json::to_value(schema).unwrap_or_default();
            tidy(&mut schema);
            let earlier = self.0.insert(plain(&name).to_owned(), schema.clone());
            debug_assert!(earlier.is_none_or(|earlier| earlier == schema), "two types are called {name}");
        }
        reference(plain(&(doc.name)()))
    }

    /// An answer's body as the document has it, if it is JSON.
    pub(crate) fn of_content(&mut self, content: &Content) -> Option<Value> {
        let (schema, example) = match content {
            Content::Nothing | Content::Html => return None,
            Content::AnyJson => return Some(json!({ "schema": { "type": "object" } })),
            Content::One(doc, example) => (self.of(*doc), example),
            Content::List(doc, example) => (self.collection(*doc, "List", json!({})), example),
            Content::Page(doc, example) => {
                let cursor = "Ask with it for the next page; absent on the last one.";
                let cursor = json!({ "next_cursor": { "type": "string", "description": cursor } });
                (self.collection(*doc, "Page", cursor), example)
            }
        };
        Some(json!({ "schema": schema, "example": example }))
    }

    /// An object with the items under `data`, and what else there is.
    fn collection(&mut self, doc: TypeDoc, suffix: &str, mut properties: Value) -> Value {
        let items = self.of(doc);
        properties["data"] = json!({ "type": "array", "items": items });
        let schema = json!({ "type": "object", "required": ["data"], "properties": properties });
        self.add(&format!("{}{suffix}", plain(&(doc.name)())), schema)
    }

    pub(crate) fn into_schemas(self) -> Map<String, Value> {
        self.0.into_iter().collect()
    }
}

/// A reference to a schema.
pub(crate) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A header parameter or header by reference.
pub(crate) fn header_reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

/// `TransferView` is a view in our code and a transfer to everybody else.
fn plain(name: &str) -> &str {
    match name.rsplit('/').next() {
        // What is asked has that name already, and is not the same: this one is masked.
        Some("BeneficiaryView") => name,
        _ => name.strip_suffix("View").unwrap_or(name),
    }
}

/// Renames references, and marks what is a time by the names that times have in the API.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get_mut("$ref") {
                *target = plain(target).to_owned();
            }
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                for (name, schema) in properties {
                    let is_time = name == "at" || name == "as_of" || name.ends_with("_at");
                    if is_time && let Value::Object(schema) = schema {
                        schema.insert("format".into(), "date-time".into());
                    }
                }
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

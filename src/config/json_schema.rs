//! JSON Schemas of the two kinds of files, generated from the raw types. Editors complete the files with them, and
//! [`super::shape`] finds unknown keys and wrong types with them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::{NodeFile, PipelineFile};

/// The schema of a pipeline file.
pub fn pipeline_schema() -> Value {
    schema_of::<PipelineFile>()
}

/// The schema of `forebay.toml`.
pub fn node_schema() -> Value {
    schema_of::<NodeFile>()
}

/// Draft 7 without references is what every editor understands.
fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    clean(&mut schema);
    schema
}

/// Takes out what only makes sense in Rust or JSON: TOML has no null, and `int64` is no format that editors know.
fn clean(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    object.remove("default");
    object.remove("format");
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(clean);
    }
    for values in ["items", "additionalProperties"] {
        if let Some(schema) = object.get_mut(values) {
            clean(schema);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        for (kind, schema) in [("pipeline", pipeline_schema()), ("forebay", node_schema())] {
            let file = format!("docs/schema/{kind}.schema.json");
            let committed = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file));
            let committed = committed.ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
            assert!(
                committed.as_ref() == Some(&schema),
                "{file} is stale: run `cargo run -- check --print-schema {kind} > {file}`"
            );
        }
    }

    #[test]
    fn the_schemas_are_valid_and_every_key_has_a_description_and_a_plain_shape() {
        fn visit(path: &str, schema: &Value) {
            assert!(schema["type"].is_string(), "{path}: {schema}");
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(property["description"].is_string(), "{path} has a description");
                visit(&path, property);
            }
            if schema["additionalProperties"].is_object() {
                visit(&format!("{path}.*"), &schema["additionalProperties"]);
            } else if schema["type"] == "object" {
                assert_eq!(schema["additionalProperties"], false, "{path}");
            }
            if schema["type"] == "array" {
                visit(&format!("{path}[]"), &schema["items"]);
            }
        }
        for schema in [pipeline_schema(), node_schema()] {
            jsonschema::draft7::meta::validate(&schema).expect("a valid schema");
            visit("", &schema);
        }
    }
}

//! What editors offer from the JSON Schemas is what the checks take.

use serde_json::Value;

use super::*;
use crate::config::json_schema::node_schema;

#[test]
fn every_word_that_editors_offer_is_taken() {
    let schema = pipeline_schema();
    let words = |pointer: &str| -> Vec<String> {
        let words = schema.pointer(pointer).and_then(Value::as_array).expect(pointer);
        words.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    for word in words("/properties/stream/properties/durability/enum") {
        pipeline(&format!("stream = {{ name = \"s\", durability = {word:?} }}"));
    }
    let delivery = "schema.columns = [{ name = \"id\", type = \"int64\" }]\n[[delivery]]\nname = \"d\"\n";
    for word in words("/properties/ingest/properties/on_invalid/enum") {
        pipeline(&format!("{STREAM}ingest.on_invalid = {word:?}\n{delivery}"));
    }
    let compressions = words("/properties/delivery/items/properties/compression/enum");
    let mut taken = Vec::new();
    for format in words("/properties/delivery/items/properties/format/enum") {
        pipeline(&format!("{STREAM}{delivery}format = {format:?}"));
        for compression in &compressions {
            let text = format!("{STREAM}{delivery}format = {format:?}\ncompression = {compression:?}");
            let (checked, _) = checked_from(&text, &env);
            taken.extend(checked.pipeline.map(|_| format!("{format} {compression}")));
        }
    }
    let json = ["json gzip", "json zstd", "json snappy", "json hadoop_snappy", "json none"];
    let parquet = ["parquet gzip", "parquet zstd", "parquet snappy", "parquet lz4", "parquet none"];
    let orc = ["orc zstd", "orc snappy", "orc zlib", "orc lz4", "orc none"];
    let raw = ["raw gzip", "raw zstd", "raw snappy", "raw hadoop_snappy", "raw none"];
    assert_eq!(taken, [&json[..], &raw[..], &parquet[..], &orc[..]].concat());
}

#[test]
fn every_example_that_editors_show_fits_its_own_schema() {
    fn visit(path: &str, schema: &Value, seen: &mut usize) {
        for example in schema["examples"].as_array().into_iter().flatten() {
            *seen += 1;
            assert!(jsonschema::is_valid(schema, example), "{path}: {example}");
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            visit(&format!("{path}.{name}"), property, seen);
        }
        if let Some(items) = schema.get("items") {
            visit(&format!("{path}[]"), items, seen);
        }
    }
    for (schema, least) in [(pipeline_schema(), 25), (node_schema(), 14)] {
        let mut seen = 0;
        visit("", &schema, &mut seen);
        assert!(seen >= least, "{seen} examples");
    }
}

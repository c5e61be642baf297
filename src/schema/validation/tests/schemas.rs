use serde_json::json;

use super::*;

fn error(schema: &Value) -> String {
    Plan::compile(Some(schema), &[]).unwrap_err().to_string()
}

#[test]
fn an_invalid_document_is_refused_with_its_place() {
    for (schema, pointer) in [
        (json!({"type": "strnig"}), "/type"),
        (json!({"properties": {"a": {"minLength": -1}}}), "/properties/a/minLength"),
        (json!({"properties": {"a": 5}}), "/properties/a"),
        (json!({"required": "a"}), "/required"),
        (
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "exclusiveMinimum": 5}),
            "/exclusiveMinimum",
        ),
        (json!({"items": {"pattern": "(a"}}), "/items/pattern"),
        (json!({"items": {"patternProperties": {"[": true}}}), "/items/patternProperties"),
    ] {
        let shown = error(&schema);
        assert!(shown.starts_with(&format!("invalid schema at {pointer}")), "{schema}: {shown}");
        assert!(shown.ends_with("; correct it there"), "{shown}");
    }
}

#[test]
fn a_document_of_another_kind_is_refused() {
    assert_eq!(Plan::compile(Some(&json!([])), &[]).unwrap_err(), SchemaError::NotASchema { found: "array" });
}

#[test]
fn an_unknown_draft_is_refused() {
    for uri in [json!("http://json-schema.org/draft-03/schema#"), json!("https://example.com/meta"), json!(7)]
    {
        let shown = error(&json!({"$schema": uri}));
        assert!(shown.starts_with("unknown \"$schema\""), "{shown}");
    }
}

#[test]
fn a_reference_out_of_the_document_is_refused_and_not_fetched() {
    for reference in
        ["https://example.com/a.json", "other.json#/a", "file:///etc/hostname", "#/$defs/none", "#nowhere"]
    {
        let shown = error(&json!({"properties": {"a": {"$ref": reference}}}));
        assert!(shown.starts_with("unresolved reference in the schema"), "{reference}: {shown}");
    }
}

#[test]
fn a_schema_that_is_its_own_alternative_is_refused() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        json!({"anyOf": [{"type": "object"}, {"not": {"$ref": "#"}}]}),
        json!({"properties": {"a": {"dependentSchemas": {"b": {"$ref": "#/properties/a"}}}}}),
    ] {
        assert!(matches!(Plan::compile(Some(&schema), &[]), Err(SchemaError::Circular { .. })), "{schema}");
    }
}

#[test]
fn what_is_not_claimed_falls_back_and_says_why() {
    for (schema, reason) in [
        (json!({"unevaluatedProperties": false}), "\"unevaluatedProperties\" at /"),
        (
            json!({"properties": {"a": {"pattern": "(?=a)"}}}),
            "the regular expression '(?=a)' at /properties/a",
        ),
        (json!({"$defs": {"x": {"$anchor": "y"}}, "items": {"$ref": "#y"}}), "\"$ref\": \"#y\" at /items"),
        (json!({"properties": {"a": {"$id": "http://x.example/"}}}), "\"$id\" at /properties/a"),
    ] {
        let plan = Plan::compile(Some(&schema), &[]).unwrap();
        assert!(!plan.is_compiled());
        assert_eq!(plan.fallback_reason(), Some(reason));
    }
}

#[test]
fn the_fallback_reports_like_the_compiled_form() {
    let rules = json!({
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "integer", "minimum": 1},
            "name": {"type": "string", "minLength": 2, "pattern": "^[a-z]+$"},
            "at": {"format": "date-time"},
            "kind": {"enum": ["a", "b"]},
            "tags": {"type": "array", "items": {"type": ["string", "null"]}},
            "n/o": false,
        },
        "additionalProperties": false,
    });
    let mut with_fallback = rules.clone();
    with_fallback["unevaluatedProperties"] = json!(true);
    let (fast, slow) = (compiled(&rules), Plan::compile(Some(&with_fallback), &[]).unwrap());
    assert!(!slow.is_compiled());
    for record in [
        r#"{"id":1}"#,
        r#"{"id":"1"}"#,
        r#"{"id":0}"#,
        r#"{}"#,
        r#"{"id":1,"name":"A1"}"#,
        r#"{"id":1,"name":"a"}"#,
        r#"{"id":1,"name":5}"#,
        r#"{"id":1,"at":"yesterday"}"#,
        r#"{"id":1,"tags":["a",{}]}"#,
        r#"{"id":1,"extra":[]}"#,
        r#"[1]"#,
    ] {
        assert_eq!(verdict(&fast, record), verdict(&slow, record), "{record}");
    }
}

#[test]
fn the_fallback_takes_records_as_deep_as_the_scanner_does() {
    let schema = json!({"unevaluatedProperties": {"type": "object"}, "additionalProperties": true});
    let plan = Plan::compile(Some(&schema), &[]).unwrap();
    let record = format!("{}1{}", r#"{"a":"#.repeat(128), "}".repeat(128));
    assert_eq!(verdict(&plan, &record), "fits");
    assert_eq!(verdict(&compiled(&json!({})), &record), "fits");
}

#[test]
fn plans_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Plan>();
    shared::<Scratch>();
}

#[test]
fn floats_of_a_schema_are_read_exactly() {
    // A parser that is one unit in the last place off would refuse the limit itself.
    let schema: Value = serde_json::from_str(
        r#"{"properties":{"a":{"maximum":1.7976931348623155e308,"minimum":31.245270191439438}}}"#,
    )
    .unwrap();
    let plan = compiled(&schema);
    assert_eq!(verdict(&plan, r#"{"a":31.245270191439438}"#), "fits");
    assert_eq!(verdict(&plan, r#"{"a":1.7976931348623155e308}"#), "fits");
}

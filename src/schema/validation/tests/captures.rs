use serde_json::json;

use super::*;

/// The captured texts; `None` where a field is absent.
fn captured<'r>(plan: &Plan, record: &'r str) -> Vec<Option<&'r str>> {
    let mut scratch = Scratch::new();
    let _ = plan.check(&mut Scanner::new(record), &mut scratch).unwrap();
    let text = |span: &Span| record.get(span.start()..span.start() + span.len());
    scratch.captures().iter().map(|span| if span.is_present() { text(span) } else { None }).collect()
}

const FIELDS: [&str; 7] = ["/a", "/b/c", "/list/1/x", "/list/0", "/b", "/a~1b", "/a"];
const RECORD: &str = r#" { "z": 1, "list": [ [1, 2] , { "x" : "two" , "y": 0 } ], "b": {"d": 0, "c" : null }, "a/b": {} , "a": 1.50 }"#;

#[test]
fn fields_are_captured_without_a_schema() {
    let plan = Plan::compile(None, &pointers(&FIELDS)).unwrap();
    let expected = [
        Some("1.50"),
        Some("null"),
        Some(r#""two""#),
        Some("[1, 2]"),
        Some(r#"{"d": 0, "c" : null }"#),
        Some("{}"),
        Some("1.50"),
    ];
    assert_eq!(captured(&plan, RECORD), expected);
}

#[test]
fn fields_are_captured_whatever_the_schema_says_of_them() {
    let expected = captured(&Plan::compile(None, &pointers(&FIELDS)).unwrap(), RECORD);
    for schema in [
        json!({}),
        json!(true),
        json!(false),
        json!({"type": "string"}),
        json!({"properties": {"a": {"type": "string"}, "b": {"properties": {"c": {"type": "integer"}}}}}),
        json!({"properties": {"list": {"type": "array", "items": {"type": "integer"}}}, "required": ["none"]}),
        json!({"additionalProperties": false}),
        json!({"patternProperties": {"^[ab]": {"minimum": 5}, "a": {"type": "null"}}}),
        json!({"$ref": "#/$defs/r", "$defs": {"r": {"properties": {"b": {"$ref": "#/$defs/r"}}}}}),
        json!({"allOf": [{"properties": {"a": {"type": "string"}}}], "maxProperties": 1}),
        json!({"properties": {"list": {"prefixItems": [true, {"properties": {"x": false}}], "items": false}}}),
        json!({"unevaluatedProperties": false}),
    ] {
        let plan = Plan::compile(Some(&schema), &pointers(&FIELDS)).unwrap();
        assert_eq!(captured(&plan, RECORD), expected, "{schema}");
    }
}

#[test]
fn a_captured_field_is_still_checked() {
    for (schema, expected) in [
        (
            json!({"properties": {"b": {"properties": {"c": {"type": "integer"}}}}}),
            "/b/c: expected integer, got string",
        ),
        (json!({"additionalProperties": {"type": "array"}}), "/b: expected array, got object"),
        (
            json!({"patternProperties": {"^b": {"minProperties": 2}}}),
            "/b: expected at least 2 properties, got 1",
        ),
        (
            json!({"additionalProperties": {"additionalProperties": false}}),
            "/b/c: expected no value, got string",
        ),
    ] {
        let plan = Plan::compile(Some(&schema), &pointers(&["/b/c", "/b"])).unwrap();
        assert_eq!(verdict(&plan, r#"{"b":{"c":"x"}}"#), expected, "{schema}");
    }
}

#[test]
fn absent_fields_stay_absent() {
    let plan = Plan::compile(None, &pointers(&["/a", "/b/c", "/list/1", "/list/01", "/b/-"])).unwrap();
    assert_eq!(captured(&plan, r#"{"b":1,"list":[0]}"#), [None; 5]);
    assert_eq!(
        captured(&plan, r#"{"b":{"c":[]},"list":{"1":7}}"#),
        [None, Some("[]"), Some("7"), None, None]
    );
    assert_eq!(captured(&plan, r#"[{"a":1}]"#), [None; 5], "a record that is no object has no fields");
}

#[test]
fn a_pointer_longer_than_records_are_deep_finds_nothing() {
    let plan = Plan::compile(None, &pointers(&["/0".repeat(100_000).as_str(), "/a"])).unwrap();
    assert_eq!(captured(&plan, r#"{"0":{"0":1},"a":2}"#), [None, Some("2")]);
}

#[test]
fn an_escaped_key_is_captured_under_its_name() {
    let plan = Plan::compile(None, &pointers(&["/key"])).unwrap();
    assert_eq!(captured(&plan, r#"{"k\u0065y":"v"}"#), [Some(r#""v""#)]);
}

#[test]
fn spans_count_from_the_start_of_the_body() {
    let body = r#"[{"a":1}, {"a":"two"} ]"#;
    let plan = Plan::compile(None, &pointers(&["/a"])).unwrap();
    let (mut scanner, mut scratch, mut first) = (Scanner::new(body), Scratch::new(), true);
    let mut found = Vec::new();
    scanner.enter_array().unwrap();
    while scanner.next_element(&mut first).unwrap() {
        assert_eq!(plan.check(&mut scanner, &mut scratch), Ok(Verdict::Fits));
        let span = scratch.captures()[0];
        found.push(&body[span.start()..span.start() + span.len()]);
    }
    scanner.end().unwrap();
    assert_eq!(found, ["1", r#""two""#]);
}

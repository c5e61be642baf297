use serde_json::json;

use super::*;
use crate::json::SyntaxErrorKind;

fn event() -> Value {
    json!({
        "type": "object",
        "required": ["client", "status"],
        "properties": {
            "client": {"type": "object", "properties": {"ip": {"type": "string", "format": "ipv4"}}},
            "status": {"type": "integer", "minimum": 100, "exclusiveMaximum": 600},
            "ratio": {"type": "number", "multipleOf": 0.5},
            "method": {"enum": ["GET", "POST"]},
            "name": {"type": "string", "minLength": 2, "maxLength": 4},
            "path": {"pattern": "^/"},
            "tags": {"items": {"type": "string"}, "maxItems": 2, "uniqueItems": true},
            "flag": {"type": ["boolean", "null"]},
            "kind": {"const": "web"},
            "a/b~c": {"type": "null"},
        },
        "additionalProperties": false,
    })
}

#[test]
fn a_violation_names_the_place_and_both_sides() {
    let plan = compiled(&event());
    for (member, expected) in [
        (r#""flag":null"#, "fits"),
        (r#""status":"200""#, "/status: expected integer, got string"),
        (r#""status":200.5"#, "/status: expected integer, got 200.5"),
        (r#""status":2e2"#, "fits"),
        (r#""status":99"#, "/status: expected a number >= 100, got 99"),
        (r#""status":600"#, "/status: expected a number < 600, got 600"),
        (r#""ratio":0.75"#, "/ratio: expected a multiple of 0.5, got 0.75"),
        (r#""ratio":[]"#, "/ratio: expected number, got array"),
        (r#""method":"PUT""#, r#"/method: expected one of "GET", "POST", got "PUT""#),
        (r#""method":{}"#, r#"/method: expected one of "GET", "POST", got object"#),
        (r#""name":"x""#, r#"/name: expected at least 2 characters, got "x""#),
        (r#""name":"äöüßé""#, r#"/name: expected at most 4 characters, got "äöüßé""#),
        (r#""name":"\u00e4\ud83d\ude00""#, "fits"),
        (r#""path":"x""#, r#"/path: expected a string that matches '^/', got "x""#),
        (r#""tags":["a",1]"#, "/tags/1: expected string, got number"),
        (r#""tags":["a","b","c"]"#, "/tags: expected at most 2 items, got 3"),
        (r#""tags":["a","\u0061"]"#, "/tags: expected items without repetition, got an equal pair"),
        (r#""flag":0"#, "/flag: expected boolean or null, got number"),
        (r#""kind":"app""#, r#"/kind: expected "web", got "app""#),
        (r#""a/b~c":true"#, "/a~1b~0c: expected null, got boolean"),
        (r#""client":{"ip":"1.2.3"}"#, r#"/client/ip: expected a string of the format ipv4, got "1.2.3""#),
        (r#""extra":1"#, "/extra: expected no value, got number"),
    ] {
        let name = member.split(':').next().unwrap();
        let rest = [r#""client":{}"#, r#""status":200"#].into_iter().filter(|other| !other.starts_with(name));
        let members: Vec<_> = rest.chain([member]).collect();
        assert_eq!(verdict(&plan, &format!("{{{}}}", members.join(","))), expected, "{member}");
    }
    assert_eq!(verdict(&plan, r#"{"client":{}}"#), "/status: expected a value, got nothing");
}

#[test]
fn only_objects_are_records() {
    for plan in [Plan::compile(None, &[]).unwrap(), compiled(&json!({})), compiled(&json!({"type": "array"}))]
    {
        assert_eq!(verdict(&plan, "[1]"), "/: expected object, got array");
        assert_eq!(verdict(&plan, " \"x\" "), "/: expected object, got string");
    }
    assert_eq!(verdict(&Plan::compile(None, &[]).unwrap(), "{}"), "fits");
}

#[test]
fn the_first_violation_is_reported_and_the_whole_value_consumed() {
    let plan = compiled(&json!({"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}));
    let body = r#"[{"a":1,"b":2,"c":[{}]},{"a":"x"},5,{}]"#;
    let (mut scanner, mut scratch, mut first) = (Scanner::new(body), Scratch::new(), true);
    let mut shown = Vec::new();
    scanner.enter_array().unwrap();
    while scanner.next_element(&mut first).unwrap() {
        let _ = plan.check(&mut scanner, &mut scratch).unwrap();
        shown.push(scratch.violation().map(ToString::to_string));
    }
    scanner.end().unwrap();
    let broken = |text: &str| Some(text.to_owned());
    assert_eq!(
        shown,
        [broken("/a: expected string, got number"), None, broken("/: expected object, got number"), None]
    );
}

#[test]
fn syntax_is_checked_behind_a_violation() {
    let plan = compiled(&json!({"properties": {"a": {"type": "string"}}}));
    for record in [r#"{"a":1,"b":01}"#, r#"{"a":1"#, r#"{"a":1,"b":{"c":1,"c":2}}"#, r#"{"a":1,}"#] {
        assert!(plan.check(&mut Scanner::new(record), &mut Scratch::new()).is_err(), "{record}");
    }
}

#[test]
fn duplicate_keys_are_refused_known_or_not() {
    let known = json!({"properties": {"a": true, "b": {"properties": {"c": {"type": "integer"}}}}, "required": ["d"]});
    for plan in [Plan::compile(None, &pointers(&["/a"])).unwrap(), compiled(&known)] {
        for record in [
            r#"{"d":0,"a":1,"a":1}"#,
            r#"{"d":0,"a":1,"\u0061":1}"#,
            r#"{"d":0,"x":1,"y":1,"x":2}"#,
            r#"{"d":0,"x":1,"\u0078":2}"#,
            r#"{"d":0,"b":{"c":1,"c":1}}"#,
            r#"{"d":0,"b":{"x":{"y":1,"z":1,"y":1}}}"#,
            r#"{"d":0,"l":[{"y":1,"y":1}]}"#,
        ] {
            let error = plan.check(&mut Scanner::new(record), &mut Scratch::new()).unwrap_err();
            assert_eq!(error.kind, SyntaxErrorKind::DuplicateKey, "{record}");
        }
        assert_eq!(verdict(&plan, r#"{"d":0,"a":1,"b":{"a":1,"c":1,"d":{"a":1}},"x":{"x":1}}"#), "fits");
    }
}

#[test]
fn an_aborted_record_leaves_nothing_for_the_next() {
    let plan = compiled(&json!({"properties": {"a": {"type": "string"}}}));
    let mut scratch = Scratch::new();
    assert!(plan.check(&mut Scanner::new(r#"{"x":1,"a":2,"y":{"#), &mut scratch).is_err());
    assert_eq!(plan.check(&mut Scanner::new(r#"{"x":1,"a":"s","y":1}"#), &mut scratch), Ok(Verdict::Fits));
    assert_eq!(scratch.violation(), None);
}

#[test]
fn many_properties_are_found_in_any_order() {
    let names: Vec<String> = (0..200).map(|n| format!("property_{n}")).collect();
    let properties: serde_json::Map<_, _> =
        names.iter().map(|name| (name.clone(), json!({"type": "integer"}))).collect();
    let plan = compiled(&json!({"properties": properties, "required": names, "additionalProperties": false}));
    let record = |order: &mut dyn Iterator<Item = &String>| {
        let members: Vec<_> = order.map(|name| format!("\"{name}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(verdict(&plan, &record(&mut names.iter())), "fits");
    assert_eq!(verdict(&plan, &record(&mut names.iter().rev())), "fits");
    for (index, name) in names.iter().enumerate() {
        let without = record(&mut names.iter().filter(|other| *other != name));
        assert_eq!(verdict(&plan, &without), format!("/{name}: expected a value, got nothing"), "{index}");
        let twice = record(&mut names.iter().chain([name]));
        assert!(plan.check(&mut Scanner::new(&twice), &mut Scratch::new()).is_err());
    }
    let other = record(&mut names.iter()).replace("{", r#"{"other":{},"#);
    assert_eq!(verdict(&plan, &other), "/other: expected no value, got object");
}

#[test]
fn alternatives_and_conditions_are_decided() {
    let plan = compiled(&json!({
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        "if": {"properties": {"kind": {"const": "big"}}, "required": ["kind"]},
        "then": {"properties": {"size": {"minimum": 10}}},
        "else": {"properties": {"size": {"maximum": 9}}},
        "not": {"required": ["forbidden"]},
        "propertyNames": {"maxLength": 9},
        "dependentRequired": {"b": ["c"]},
        "dependentSchemas": {"b": {"properties": {"c": {"type": "string"}}}},
        "properties": {"list": {"contains": {"type": "integer"}, "maxContains": 1}},
    }));
    for (record, expected) in [
        (r#"{"a":1}"#, "fits"),
        (r#"{}"#, "/: expected a value that fits one of the schemas of \"oneOf\", got object"),
        (
            r#"{"a":1,"b":1,"c":""}"#,
            "/: expected a value that fits only one of the schemas of \"oneOf\", got object",
        ),
        (r#"{"b":1}"#, "/c: expected a value, got nothing"),
        (r#"{"b":1,"c":1}"#, "/c: expected string, got number"),
        (r#"{"a":1,"kind":"big","size":5}"#, "/size: expected a number >= 10, got 5"),
        (r#"{"a":1,"kind":"small","size":11}"#, "/size: expected a number <= 9, got 11"),
        (
            r#"{"a":1,"forbidden":0}"#,
            "/: expected a value that does not fit the schema of \"not\", got object",
        ),
        (r#"{"a":1,"0123456789":0}"#, "/0123456789: expected at most 9 characters, got \"0123456789\""),
        (
            r#"{"a":1,"list":["x"]}"#,
            "/list: expected at least 1 items that fit the schema of \"contains\", got 0",
        ),
        (
            r#"{"a":1,"list":[1,2]}"#,
            "/list: expected at most 1 items that fit the schema of \"contains\", got 2",
        ),
    ] {
        assert_eq!(verdict(&plan, record), expected, "{record}");
    }
}

#[test]
fn a_recursive_schema_reaches_every_level() {
    let plan = compiled(&json!({
        "$defs": {"node": {
            "type": "object",
            "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
        }},
        "$ref": "#/$defs/node",
    }));
    let nested = |leaf: &str| format!("{}{leaf}{}", r#"{"children":[{},"#.repeat(60), "]}".repeat(60));
    assert_eq!(verdict(&plan, &nested(r#"{"value":1}"#)), "fits");
    let shown = verdict(&plan, &nested(r#"{"value":"x"}"#));
    assert!(
        shown.starts_with("/children/1/children/1/") && shown.ends_with("/…: expected integer, got string"),
        "{shown}"
    );
}

#[test]
fn a_schema_with_exponential_alternatives_is_cut_short() {
    // Each level is looked at twice for each look at the level above it: 2^60 looks.
    let plan = compiled(&json!({"$defs": {"n": {"anyOf": [
        {"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["x"]},
        {"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["y"]},
        {"type": "integer"},
    ]}}, "properties": {"a": {"$ref": "#/$defs/n"}}}));
    let record = format!("{}1{}", r#"{"a":"#.repeat(60), "}".repeat(60));
    let shown = verdict(&plan, &record);
    assert!(shown.contains("expected a value that its schema can be checked on in few looks"), "{shown}");
}

#[test]
fn a_long_list_of_alternatives_is_within_the_bound() {
    let alternatives: Vec<_> =
        (0..1000).map(|n| json!({"properties": {"kind": {"const": format!("kind {n}")}}})).collect();
    let plan = compiled(&json!({"required": ["kind"], "oneOf": alternatives}));
    assert_eq!(verdict(&plan, r#"{"kind":"kind 999"}"#), "fits");
}

#[test]
fn messages_stay_short_whatever_the_client_sends() {
    let plan = compiled(&json!({"additionalProperties": {"additionalProperties": {"type": "null"}}}));
    let long = "ü/".repeat(5000);
    let shown = verdict(&plan, &format!(r#"{{"{long}":{{"{long}":"{long}"}}}}"#));
    assert!(shown.chars().count() < 1000, "{} characters", shown.chars().count());
    let plan = compiled(&json!({"properties": {"a": {"maxLength": 1}}}));
    assert!(verdict(&plan, &format!(r#"{{"a":"{long}"}}"#)).chars().count() < 120);
}

#[test]
fn drafts_differ_where_they_should() {
    let draft4 = "http://json-schema.org/draft-04/schema#";
    let plan = compiled(&json!({"$schema": draft4, "properties": {
        "int": {"type": "integer"},
        "above": {"minimum": 5, "exclusiveMinimum": true},
        "pair": {"items": [{"type": "string"}], "additionalItems": false},
        "ref": {"$ref": "#/properties/int", "minimum": 10},
    }}));
    assert_eq!(verdict(&plan, r#"{"int":1.0}"#), "/int: expected integer, got 1.0");
    assert_eq!(verdict(&plan, r#"{"above":5}"#), "/above: expected a number > 5, got 5");
    assert_eq!(verdict(&plan, r#"{"pair":["a",1]}"#), "/pair/1: expected no value, got number");
    assert_eq!(verdict(&plan, r#"{"ref":1}"#), "fits");
    let plan = compiled(&json!({"properties": {
        "int": {"type": "integer"},
        "above": {"exclusiveMinimum": 5},
        "pair": {"prefixItems": [{"type": "string"}], "items": false},
        "ref": {"$ref": "#/properties/int", "minimum": 10},
    }}));
    assert_eq!(verdict(&plan, r#"{"int":1.0}"#), "fits");
    assert_eq!(verdict(&plan, r#"{"above":5.0}"#), "/above: expected a number > 5, got 5.0");
    assert_eq!(verdict(&plan, r#"{"pair":["a",1]}"#), "/pair/1: expected no value, got number");
    assert_eq!(verdict(&plan, r#"{"ref":1}"#), "/ref: expected a number >= 10, got 1");
}

//! Names that readers refuse, keys, and columns that contradict a JSON Schema.

use super::*;

fn columns(declarations: &[(&str, &str)]) -> Columns {
    let declared: Vec<_> = declarations.iter().map(|(name, text)| declaration(name, text)).collect();
    Columns::declared(&declared).unwrap()
}

fn complaints(declarations: &[(&str, &str)]) -> Vec<(usize, String)> {
    let errors = columns(declarations).check_names().err().unwrap_or_default();
    errors
        .into_iter()
        .map(|(index, error)| (index, format!("{error}: {}", error.other_name().unwrap())))
        .collect()
}

#[test]
fn names_that_hive_or_spark_refuse_are_told_with_what_to_write() {
    for refused in NAME_CHARACTERS_REFUSED.chars().chain(['\u{7}', '\u{85}']) {
        let name = format!("a{refused}b");
        let found = complaints(&[("id", "int64"), (&name, "int64")]);
        let expected = format!(
            "the name {name:?} has {refused:?} in it, which Hive and Spark do not take: write name = \"a_b\", key = {name:?}"
        );
        assert_eq!(found, [(1, expected)]);
    }
    let nested = complaints(&[("a", "list<map<string, struct<x: int8, \"y z\": int8>>>")]);
    assert_eq!(nested.len(), 1);
    assert!(nested[0].1.ends_with(": write y_z = \"y z\" in the type"), "{nested:?}");
    assert_eq!(complaints(&[("user-id", "int64"), ("größe", "int64"), ("@t", "int64"), ("_1", "int64")]), []);
}

#[test]
fn names_that_differ_in_case_only_are_told() {
    let message = |first: &str, second: &str, help: &str| {
        format!(
            "the names '{first}' and '{second}' differ only in upper and lower case, which Hive and Spark take for one name: {help}"
        )
    };
    let found = complaints(&[("Id", "int64"), ("x", "int64"), ("iD", "int64")]);
    assert_eq!(found, [(2, message("Id", "iD", "write name = \"iD_2\", key = \"iD\""))]);
    let found = complaints(&[("s", "struct<ÄB: int8, äb: int8>")]);
    assert_eq!(found, [(0, message("ÄB", "äb", "write äb_2 = \"äb\" in the type"))]);
    // On different levels they do not meet.
    assert_eq!(complaints(&[("a", "struct<A: int8>")]), []);
}

#[test]
fn a_key_is_read_into_one_column() {
    let with_key = |name: &str, key: &str| {
        let mut declaration = declaration(name, "int64");
        declaration.key = Some(key.to_owned());
        declaration
    };
    let errors = Columns::declared(&[with_key("a", "x"), with_key("x", "a"), declaration("b", "int64")]);
    assert_eq!(errors.map(|columns| columns.leaves()), Ok(3), "names and keys may cross");
    let errors = Columns::declared(&[declaration("a", "int64"), with_key("b", "a")]).unwrap_err();
    assert_eq!(errors, [(0, ColumnError::DuplicateKey("a".to_owned()))]);
    assert_eq!(Column::new("a", ColumnType::Bool, true).with_key("a").other_key, None);
}

#[test]
fn the_key_of_a_field_is_part_of_the_type() {
    for text in ["struct<user_id = \"user id\": int64, n: int64>", "list<struct<a = \"b\": json>>"] {
        assert_eq!(parse(text).unwrap().to_string(), text);
    }
    assert_eq!(parse("struct<a = b: json>").unwrap().to_string(), "struct<a = \"b\": json>");
    assert_eq!(parse("struct<a=\"a\" : json>").unwrap().to_string(), "struct<a: json>");
    assert_eq!(parse("struct<a: json, b = a: json>"), Err(ColumnError::DuplicateKey("a".to_owned())));
    assert!(message("struct<a = : json>").contains("a field's name"), "{}", message("struct<a = : json>"));
}

#[test]
fn an_epoch_needs_a_timestamp() {
    let declared = |type_text: &str| {
        let mut declaration = declaration("a", type_text);
        declaration.reading.epoch = Some(TimeUnit::Millis);
        Columns::declared(&[declaration])
    };
    declared("map<string, list<struct<at: timestamp_micros>>>").unwrap();
    assert_eq!(declared("list<int64>"), Err(vec![(0, ColumnError::EpochWithoutTimestamp)]));
}

proptest! {
    #[test]
    fn a_sanitized_name_is_never_refused(name in ".{0,12}") {
        let sanitized = sanitized_name(&name);
        let columns = Columns::new(vec![Column::new(&sanitized, ColumnType::Bool, true).with_key(&name)]);
        prop_assert_eq!(columns.unwrap().check_names(), Ok(()));
        prop_assert_eq!(sanitized_name(&sanitized), sanitized);
    }
}

fn contradictions(declared: &Columns, schema: &serde_json::Value) -> Vec<String> {
    declared.contradictions(schema).into_iter().map(|found| found.message).collect()
}

#[test]
fn kinds_of_values_that_can_never_fit_are_told() {
    let schema = json!({
        "$defs": {"words": {"type": "array", "items": {"type": "string"}}},
        "properties": {
            "status": {"type": "string"},
            "code": {"enum": ["a", "b"]},
            "words": {"$ref": "#/$defs/words"},
            "pos": {"type": ["object", "null"], "properties": {"lat": {"type": "boolean"}}},
            "choice": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "all": {"allOf": [{"type": ["string", "number"]}, {"type": ["array", "string"]}]},
        },
    });
    let declared = columns(&[
        ("status", "int32"),
        ("code", "float64"),
        ("words", "list<int64>"),
        ("pos", "struct<lat: float64>"),
        ("choice", "string"),
        ("all", "decimal(3, 1)"),
    ]);
    assert_eq!(
        contradictions(&declared, &schema),
        [
            "column \"status\" is int32, which takes number, but the JSON Schema allows string at /properties/status",
            "column \"code\" is float64, which takes number, but the JSON Schema allows string at /properties/code",
            "column \"words\", element is int64, which takes number, but the JSON Schema allows string at /$defs/words/items",
            "column \"pos\", field \"lat\" is float64, which takes number, but the JSON Schema allows boolean at /properties/pos/properties/lat",
            "column \"all\" is decimal(3, 1), which takes number, but the JSON Schema allows string at /properties/all",
        ],
        "a column that may be null fits what may be null"
    );
    let reading = Reading { coercion: Coercion::Lenient, epoch: None };
    let lenient = declared.as_slice().iter().map(|column| column.clone().with_reading(reading));
    let lenient = Columns::new(lenient.collect()).unwrap();
    assert_eq!(contradictions(&lenient, &schema).len(), 1, "only the boolean is still no number");
}

#[test]
fn columns_that_cannot_be_there_or_need_not_be_are_told() {
    let schema = json!({"properties": {"a": {}, "b": {}}, "required": ["b"], "additionalProperties": false});
    let fields = ["a", "b", "c"].map(|name| Column::new(name, ColumnType::Json, false));
    let declared = Columns::new(fields.to_vec()).unwrap();
    assert_eq!(
        contradictions(&declared, &schema),
        [
            "column \"a\" has nullable = false, but the JSON Schema does not require \"a\" at its root",
            "column \"c\" can have no value: the JSON Schema has \"additionalProperties\": false at its root, and no property \"c\"",
        ]
    );
    // What a key is called in the records counts.
    let renamed = Columns::new(vec![Column::new("c", ColumnType::Json, false).with_key("b")]).unwrap();
    assert_eq!(contradictions(&renamed, &schema), [""; 0]);
}

#[test]
fn what_may_be_legitimate_is_no_contradiction() {
    let declared = columns(&[("a", "int64"), ("b", "struct<x: int64>"), ("t", "timestamp_micros")]);
    for schema in [
        json!(true),
        json!({}),
        json!({"properties": {"a": true, "b": {"$ref": "other.json"}}}),
        json!({"properties": {"a": {"type": ["integer", "string"]}}}),
        json!({"properties": {"a": {"$ref": "#/properties/a"}}}),
        json!({"properties": {"a": {"type": "null"}}}),
        json!({"additionalProperties": false, "patternProperties": {"^.$": {}}}),
        json!({"properties": {"t": {"type": "string"}}}),
        json!({"properties": {"t": {"type": "integer"}}}),
    ] {
        assert_eq!(contradictions(&declared, &schema), [""; 0], "{schema}");
    }
    let strict = Columns::new(vec![Column::new("a", ColumnType::Json, false)]).unwrap();
    let elsewhere = json!({"properties": {"a": {}}, "allOf": [{"required": ["a"]}]});
    assert_eq!(contradictions(&strict, &elsewhere), [""; 0]);
}

#[test]
fn a_schema_of_endless_alternatives_is_given_up_on() {
    let choices = vec![json!({"$ref": "#/$defs/a"}); 20];
    let schema = json!({"$defs": {"a": {"anyOf": choices}}, "properties": {"a": {"$ref": "#/$defs/a"}}});
    assert_eq!(contradictions(&columns(&[("a", "int64")]), &schema), [""; 0]);
}

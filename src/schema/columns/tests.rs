mod names;

use arrow::datatypes::{DataType, TimeUnit as ArrowTimeUnit};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(text: &str) -> Result<ColumnType, ColumnError> {
    text.parse()
}

fn message(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn declaration(name: &str, type_text: &str) -> ColumnDeclaration {
    ColumnDeclaration::new(name, type_text, true)
}

/// `name: type` for each column, with `!` behind those that are not nullable.
fn derived(schema: &serde_json::Value) -> Vec<String> {
    let columns = Columns::derive(schema).unwrap();
    let text = |column: &Column| {
        format!("{}: {}{}", column.name, column.column_type, if column.nullable { "" } else { "!" })
    };
    columns.as_slice().iter().map(text).collect()
}

#[test]
fn every_type_of_the_product_page_is_read() {
    for text in [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "decimal(12, 2)",
        "decimal(38, 38)",
        "string",
        "binary",
        "date",
        "timestamp_seconds",
        "timestamp_millis",
        "timestamp_micros",
        "timestamp_nanos",
        "list<string>",
        "map<string, int64>",
        "struct<lat: float64, lon: float64>",
        "list<map<string, struct<a: list<list<decimal(1, 0)>>, b: json>>>",
        "json",
    ] {
        assert_eq!(parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn white_space_and_odd_field_names_are_free() {
    assert_eq!(parse(" decimal( 12 ,2 ) "), Ok(ColumnType::Decimal { precision: 12, scale: 2 }));
    assert_eq!(parse("decimal(5)"), Ok(ColumnType::Decimal { precision: 5, scale: 0 }));
    assert_eq!(parse("map < string,list<int8>>").unwrap().to_string(), "map<string, list<int8>>");
    let odd = parse(r#"struct<"a b": int8, größe: int8, x-y.z: int8, "\"": int8>"#).unwrap();
    let ColumnType::Struct(fields) = &odd else { panic!("{odd}") };
    let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["a b", "größe", "x-y.z", "\""]);
    assert_eq!(parse(&odd.to_string()), Ok(odd));
}

#[test]
fn a_wrong_type_is_told_with_its_place_and_what_to_write() {
    for (text, expected) in [
        ("strng", "unknown type 'strng' at character 1: write string"),
        ("list<integer>", "unknown type 'integer' at character 6: write int32 or int64"),
        ("timestamp", "unknown type 'timestamp' at character 1: write timestamp_micros"),
        ("lst<int8>", "unknown type 'lst' at character 1: write list<string>"),
        ("list", "at character 5 of the type: expected '<', as in list<string>, found the end"),
        ("list<int8", "at character 10 of the type: expected '>' behind the element's type, found the end"),
        ("int8 int8", "at character 6 of the type: expected the end of the type, found 'i'"),
        (
            "map<int64, string>",
            "at character 5 of the type: expected the key type 'string', as in map<string, int64>, found 'i'",
        ),
        ("decimal(39, 2)", "at character 9 of the type: decimal(p, s) needs 1 <= p <= 38 and 0 <= s <= p"),
        ("decimal(3, 4)", "at character 9 of the type: decimal(p, s) needs 1 <= p <= 38 and 0 <= s <= p"),
        ("decimal(0)", "at character 9 of the type: decimal(p, s) needs 1 <= p <= 38 and 0 <= s <= p"),
        (
            "decimal(9, -2)",
            "at character 12 of the type: expected a number of digits, as in decimal(12, 2), found '-'",
        ),
        ("struct<a: int8, a: int8>", "the name 'a' is used twice: rename or remove one of them"),
    ] {
        assert_eq!(message(text), expected, "{text}");
    }
    assert!(message("geometry").contains("write bool, int8 to int64"));
    assert!(message("struct<>").contains("expected a field's name"));
    assert!(message("").contains("expected a type such as int64"));
    assert!(message("struct<größe int8>").contains("at character 14 of the type: expected ':'"));
}

#[test]
fn a_type_nests_to_the_bound_and_no_deeper() {
    let nested = |levels: usize| format!("{}int8{}", "list<".repeat(levels), ">".repeat(levels));
    assert!(Columns::declared(&[declaration("a", &nested(TYPE_DEPTH_MAX))]).is_ok());
    assert_eq!(parse(&nested(TYPE_DEPTH_MAX + 1)), Err(ColumnError::TooDeep));
    assert_eq!(parse(&"list<".repeat(1_000_000)), Err(ColumnError::TooDeep));
}

#[test]
fn all_wrong_declarations_are_told_at_once() {
    let errors = Columns::declared(&[
        declaration("id", "int64"),
        declaration("id", "string"),
        declaration("", "string"),
        declaration("at", "datetime"),
    ])
    .unwrap_err();
    let indexes: Vec<_> = errors.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [1, 2, 3]);
    assert_eq!(errors[0].1, ColumnError::DuplicateName("id".to_owned()));
    assert_eq!(errors[1].1, ColumnError::NoName);
    assert_eq!(Columns::declared(&[]), Err(vec![(0, ColumnError::Empty)]));
}

#[test]
fn columns_built_by_hand_are_checked_as_well() {
    let column = |column_type| Column::new("a", column_type, true);
    let build = |column_type| Columns::new(vec![column(column_type)]).map(drop);
    assert_eq!(build(ColumnType::Struct(Vec::new())), Err(ColumnError::EmptyStruct("a".to_owned())));
    let decimal = ColumnType::Decimal { precision: 39, scale: 0 };
    assert!(matches!(build(decimal), Err(ColumnError::DecimalRange { .. })));
    let fields = (0..=COLUMN_LEAVES_MAX).map(|index| Column::new(index.to_string(), ColumnType::Bool, true));
    assert_eq!(build(ColumnType::Struct(fields.collect())), Err(ColumnError::TooMany));
}

#[test]
fn arrow_knows_every_type_and_names_nested_fields_as_parquet_does() {
    let columns = Columns::declared(&[
        declaration("s", "timestamp_seconds"),
        declaration("d", "decimal(12, 2)"),
        declaration("l", "list<string>"),
        declaration("m", "map<string, int64>"),
    ])
    .unwrap();
    let schema = columns.arrow_schema();
    let millis = DataType::Timestamp(ArrowTimeUnit::Millisecond, Some("UTC".into()));
    assert_eq!(schema.field(0).data_type(), &millis);
    assert_eq!(schema.field(1).data_type(), &DataType::Decimal128(12, 2));
    let DataType::List(element) = schema.field(2).data_type() else { panic!() };
    assert_eq!((element.name().as_str(), element.is_nullable()), (LIST_ELEMENT, true));
    let DataType::Map(entries, false) = schema.field(3).data_type() else { panic!() };
    let DataType::Struct(pair) = entries.data_type() else { panic!() };
    assert_eq!(entries.name(), MAP_ENTRIES);
    assert_eq!((pair[0].name().as_str(), pair[0].is_nullable()), (MAP_KEY, false));
    assert_eq!((pair[1].name().as_str(), pair[1].is_nullable()), (MAP_VALUE, true));
    assert_eq!(columns.leaves(), 5);
}

#[test]
fn a_schema_becomes_columns_in_its_own_order() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "timestamp": {"type": "string", "format": "date-time"},
            "day": {"type": "string", "format": "date"},
            "method": {"enum": ["GET", "POST"]},
            "maybe": {"enum": ["a", null]},
            "fixed": {"const": "x"},
            "client_ip": {"type": "string", "format": "ipv4"},
            "status": {"type": "integer", "minimum": 100},
            "ratio": {"type": ["number", "null"]},
            "either": {"type": ["integer", "number"]},
            "mixed": {"type": ["integer", "string"]},
            "ok": {"type": "boolean"},
            "nothing": {"type": "null"},
            "never": false,
            "any": true,
            "silent": {"description": "no type"},
            "payload": {"type": "string", "contentEncoding": "base64"},
        },
        "required": ["timestamp", "ratio", "any", "mixed", "method", "maybe", "nothing"],
    });
    assert_eq!(
        derived(&schema),
        [
            "timestamp: timestamp_micros!",
            "day: date",
            "method: string!",
            "maybe: string",
            "fixed: string",
            "client_ip: string",
            "status: int64",
            "ratio: float64",
            "either: float64",
            "mixed: json",
            "ok: bool",
            "nothing: json",
            "any: json",
            "silent: json",
            "payload: string",
        ]
    );
}

#[test]
fn nested_schemas_become_nested_columns() {
    let schema = json!({
        "type": "object",
        "properties": {
            "pos": {
                "type": "object",
                "properties": {"lon": {"type": "number"}, "lat": {"type": "number"}},
                "required": ["lat"],
            },
            "tags": {"type": "array", "items": {"type": "string"}},
            "matrix": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            "counters": {"type": "object", "additionalProperties": {"type": "integer"}},
            "open": {"type": "object"},
            "closed": {"type": "object", "additionalProperties": false},
            "patterns": {
                "type": "object",
                "patternProperties": {"^x": {"type": "string"}},
                "additionalProperties": {"type": "integer"},
            },
            "tuple": {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}},
            "old_tuple": {"type": "array", "items": [{"type": "string"}]},
            "bag": {"type": "array"},
            "impossible": {"type": "object", "properties": {"x": false}},
        },
    });
    assert_eq!(
        derived(&schema),
        [
            "pos: struct<lon: float64, lat: float64>",
            "tags: list<string>",
            "matrix: list<list<int64>>",
            "counters: map<string, int64>",
            "open: json",
            "closed: json",
            "patterns: json",
            "tuple: json",
            "old_tuple: json",
            "bag: json",
            "impossible: json",
        ]
    );
    let columns = Columns::derive(&schema).unwrap();
    let ColumnType::Struct(fields) = &columns.as_slice()[0].column_type else { panic!() };
    assert_eq!((fields[0].nullable, fields[1].nullable), (true, false));
}

#[test]
fn references_are_followed_unless_they_lead_in_a_circle() {
    let schema = json!({
        "$ref": "#/definitions/event",
        "definitions": {
            "event": {
                "type": "object",
                "properties": {
                    "id": {"$ref": "#/definitions/identifier"},
                    "again": {"$ref": "#/definitions/alias"},
                    "maybe": {"anyOf": [{"$ref": "#/definitions/identifier"}, {"type": "null"}]},
                    "wrapped": {"allOf": [{"$ref": "#/definitions/a~1b%20c"}]},
                    "choice": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
                    "parent": {"$ref": "#/definitions/event"},
                    "tree": {"$ref": "#/definitions/node"},
                    "self": {"$ref": "#/definitions/event/properties/self"},
                    "lost": {"$ref": "#/definitions/nowhere"},
                    "remote": {"$ref": "https://example.com/schema"},
                },
                "required": ["id", "again", "maybe", "parent"],
            },
            "identifier": {"type": "string"},
            "alias": {"$ref": "#/definitions/identifier"},
            "a/b c": {"type": "integer"},
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/definitions/node"}},
                },
            },
        },
    });
    assert_eq!(
        derived(&schema),
        [
            "id: string!",
            "again: string!",
            "maybe: string",
            "wrapped: int64",
            "choice: json",
            "parent: json",
            "tree: struct<name: string, children: list<json>>",
            "self: json",
            "lost: json",
            "remote: json",
        ]
    );
}

#[test]
fn a_schema_that_describes_no_object_derives_nothing() {
    for schema in [
        json!(true),
        json!({}),
        json!({"type": "object"}),
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"type": "string", "properties": {"a": {"type": "string"}}}),
        json!({"type": "object", "properties": {}}),
        json!({"$ref": "#"}),
    ] {
        assert_eq!(Columns::derive(&schema), Err(ColumnError::NoProperties), "{schema}");
    }
    let never = json!({"type": "object", "properties": {"a": false}});
    assert_eq!(Columns::derive(&never), Err(ColumnError::Empty));
    let unnamed = json!({"type": "object", "properties": {"": {"type": "string"}}});
    assert_eq!(Columns::derive(&unnamed), Err(ColumnError::NoName));
}

#[test]
fn a_schema_that_doubles_with_every_reference_is_refused() {
    let mut definitions = serde_json::Map::new();
    for level in 0..40 {
        let next = json!({"$ref": format!("#/$defs/{}", level + 1)});
        definitions
            .insert(level.to_string(), json!({"type": "object", "properties": {"x": next, "y": next}}));
    }
    definitions.insert("40".to_owned(), json!({"type": "string"}));
    let mut schema = definitions["0"].clone();
    schema["$defs"] = definitions.into();
    assert_eq!(Columns::derive(&schema), Err(ColumnError::TooMany));
}

#[test]
fn what_is_nested_deeper_than_the_bound_becomes_json() {
    let mut schema = json!({"type": "string"});
    for _ in 0..TYPE_DEPTH_MAX + 10 {
        schema = json!({"type": "array", "items": schema});
    }
    let columns = derived(&json!({"type": "object", "properties": {"deep": schema}}));
    let expected = format!("{}json{}", "list<".repeat(TYPE_DEPTH_MAX), ">".repeat(TYPE_DEPTH_MAX));
    assert_eq!(columns, [format!("deep: {expected}")]);
}

fn any_type() -> impl Strategy<Value = ColumnType> {
    let unit = prop_oneof![
        Just(TimeUnit::Seconds),
        Just(TimeUnit::Millis),
        Just(TimeUnit::Micros),
        Just(TimeUnit::Nanos)
    ];
    let decimal = (1_u8..=38, 0_u8..=38).prop_filter_map("scale", |(precision, scale)| {
        (scale <= precision).then_some(ColumnType::Decimal { precision, scale })
    });
    let leaf = prop_oneof![
        Just(ColumnType::Bool),
        Just(ColumnType::UInt16),
        Just(ColumnType::Json),
        decimal,
        unit.prop_map(ColumnType::Timestamp)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let fields = prop::collection::btree_map("\\PC{1,8}", inner.clone(), 1..4);
        let field = |(name, column_type): (String, _)| Column::new(name, column_type, true);
        prop_oneof![
            inner.clone().prop_map(|inner| ColumnType::List(Box::new(inner))),
            inner.prop_map(|inner| ColumnType::Map(Box::new(inner))),
            fields.prop_map(move |fields| ColumnType::Struct(fields.into_iter().map(field).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_type_is_read_back_from_its_own_text(column_type in any_type()) {
        prop_assert_eq!(parse(&column_type.to_string()), Ok(column_type));
    }

    #[test]
    fn no_text_makes_the_type_parser_panic(text in "[a-z0-9<>(),:\" \\\\é]{0,40}") {
        let _ = parse(&text);
    }
}

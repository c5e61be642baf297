mod differential;
mod lenient;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt64Type,
};

use super::*;
use crate::schema::columns::{Column, ColumnDeclaration, ColumnType};

fn columns(declarations: &[(&str, &str)]) -> Columns {
    let declaration = |(name, type_text): &(&str, &str)| {
        ColumnDeclaration::new(name.trim_end_matches('!'), *type_text, !name.ends_with('!'))
    };
    Columns::declared(&declarations.iter().map(declaration).collect::<Vec<_>>()).unwrap()
}

/// The column that `values` become, all of which must fit `type_text`.
fn column(type_text: &str, values: &[&str]) -> ArrayRef {
    let mut rows = RecordColumns::new(&columns(&[("a", type_text)]));
    for value in values {
        rows.push(&format!(r#"{{"a":{value}}}"#)).unwrap();
    }
    rows.take_batch().unwrap().column(0).clone()
}

/// The pointer, the expectation and the finding of a record that does not fit.
fn misfit(declarations: &[(&str, &str)], record: &str) -> (String, String, String) {
    let mut rows = RecordColumns::new(&columns(declarations));
    let misfit = rows.push(record).unwrap_err();
    assert_eq!(rows.rows(), 0);
    assert_eq!(rows.take_batch().unwrap().num_rows(), 0);
    (misfit.pointer, misfit.expected, misfit.found)
}

fn refused(type_text: &str, value: &str) -> String {
    let (pointer, expected, found) = misfit(&[("a", type_text)], &format!(r#"{{"a":{value}}}"#));
    assert_eq!((pointer.as_str(), expected.as_str()), ("/a", type_text), "{value}");
    found
}

#[test]
fn integers_are_told_by_their_value_and_not_by_how_they_are_written() {
    let array = column("int64", &["1", "1.0", "1e3", "-12.5e1", "-0", "-0.0", "9223372036854775807", "null"]);
    let values: Vec<_> = array.as_primitive::<Int64Type>().iter().collect();
    let expected = [1, 1, 1_000, -125, 0, 0, i64::MAX].map(Some);
    assert_eq!(values, [&expected[..], &[None]].concat());
    let array = column("uint64", &["18446744073709551615", "1.8446744073709551615e19", "-0"]);
    assert_eq!(array.as_primitive::<UInt64Type>().values(), &[u64::MAX, u64::MAX, 0]);
    let array = column("int8", &["-128", "127"]);
    assert_eq!(array.as_primitive::<Int8Type>().values(), &[-128, 127]);
}

#[test]
fn integers_that_do_not_fit_are_refused() {
    for (type_text, value) in [
        ("int8", "128"),
        ("int8", "-129"),
        ("uint8", "256"),
        ("uint8", "-1"),
        ("int32", "2147483648"),
        ("int64", "9223372036854775808"),
        ("int64", "1e19"),
        ("uint64", "18446744073709551616"),
        ("uint64", "-1"),
        ("int64", "1e300"),
    ] {
        assert_eq!(refused(type_text, value), "a number out of range", "{value} as {type_text}");
    }
    assert_eq!(refused("int64", "1.5"), "a number with a fraction");
    assert_eq!(refused("int64", "1e-1"), "a number with a fraction");
    assert_eq!(refused("int64", r#""5""#), "string");
    assert_eq!(refused("int64", "true"), "boolean");
}

#[test]
fn floats_are_the_nearest_to_the_digits() {
    let array =
        column("float64", &["0.1", "-0.0", "5e-324", "1.7976931348623157e308", "12345678901234567890123"]);
    let values = array.as_primitive::<Float64Type>().values().to_vec();
    assert_eq!(values, [0.1, -0.0, 5e-324, f64::MAX, 1.2345678901234568e22]);
    assert!(values[1].is_sign_negative());
    // Through a double this would be rounded to 1.0000001.
    let array = column("float32", &["1.00000005960464477540", "3.4028235e38", "1e-60"]);
    assert_eq!(array.as_primitive::<Float32Type>().values(), &[1.0000001, f32::MAX, 0.0]);
    assert_eq!(refused("float32", "3.5e38"), "a number out of range");
    assert_eq!(refused("float64", r#""NaN""#), "string");
}

#[test]
fn decimals_are_exact_or_refused() {
    let array = column("decimal(5, 2)", &["1.2", "-999.99", "1.500", "1e2", "0", "null"]);
    let values: Vec<_> = array.as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(values, [Some(120), Some(-99_999), Some(150), Some(10_000), Some(0), None]);
    let digits = "9".repeat(38);
    let array = column("decimal(38, 38)", &[&format!("0.{digits}"), &format!("-0.{digits}")]);
    let nines = 10_i128.pow(38) - 1;
    assert_eq!(array.as_primitive::<Decimal128Type>().values(), &[nines, -nines]);
    assert_eq!(refused("decimal(5, 2)", "1.005"), "a number with more than 2 fraction digits");
    assert_eq!(refused("decimal(5, 2)", "1000"), "a number out of range");
    assert_eq!(refused("decimal(5, 2)", "-1e9"), "a number out of range");
    assert_eq!(refused("decimal(38, 0)", "1e38"), "a number out of range");
    assert_eq!(refused("decimal(5, 2)", r#""1.20""#), "string");
}

#[test]
fn strings_are_unescaped_and_json_is_not() {
    let values = [r#""plain""#, r#""""#, r#""a\n\"\u00e9\ud83d\ude00\/""#, r#""größe""#, "null"];
    let array = column("string", &values);
    let strings: Vec<_> = array.as_string::<i32>().iter().collect();
    assert_eq!(strings, [Some("plain"), Some(""), Some("a\n\"é😀/"), Some("größe"), None]);
    let array = column("json", &[r#""a\n""#, r#"{"b": [1, null]}"#, "1.0", "false", "null"]);
    let texts: Vec<_> = array.as_string::<i32>().iter().collect();
    assert_eq!(texts, [Some(r#""a\n""#), Some(r#"{"b": [1, null]}"#), Some("1.0"), Some("false"), None]);
    assert_eq!(refused("string", "1"), "number");
}

#[test]
fn binary_is_base64_with_or_without_padding() {
    let array = column("binary", &[r#""AP8Q""#, r#""AA==""#, r#""AA""#, r#""""#, r#""\u0041A""#, "null"]);
    let values: Vec<_> = array.as_binary::<i32>().iter().collect();
    let zero = Some(&[0][..]);
    assert_eq!(values, [Some(&[0, 255, 16][..]), zero, zero, Some(&[]), zero, None]);
    for value in [r#""A""#, r#""AA=A""#, r#""-_-_""#, r#""AB C""#, r#""AAAAA!""#] {
        assert_eq!(refused("binary", value), "a string that is no base64", "{value}");
    }
}

#[test]
fn dates_and_timestamps_are_read_in_the_unit_of_the_column() {
    let array = column("date", &[r#""1970-01-02""#, r#""1969-12-31""#, r#""0000-01-01""#]);
    assert_eq!(array.as_primitive::<Date32Type>().values(), &[1, -1, -719_528]);
    let values = [r#""1969-12-31T23:59:59.9876543219Z""#, r#""1970-01-01T01:00:00+01:00""#, "-3", "1e1"];
    let array = column("timestamp_nanos", &values);
    assert_eq!(array.as_primitive::<TimestampNanosecondType>().values(), &[-12_345_679, 0, -3, 10]);
    let array = column("timestamp_micros", &values);
    assert_eq!(array.as_primitive::<TimestampMicrosecondType>().values(), &[-12_346, 0, -3, 10]);
    let array = column("timestamp_millis", &values);
    assert_eq!(array.as_primitive::<TimestampMillisecondType>().values(), &[-13, 0, -3, 10]);
    let array = column("timestamp_seconds", &values);
    assert_eq!(array.as_primitive::<TimestampMillisecondType>().values(), &[-1_000, 0, -3_000, 10_000]);
}

#[test]
fn times_that_do_not_fit_are_refused() {
    assert_eq!(refused("date", r#""2026-02-29""#), "a string that is no date");
    assert_eq!(refused("date", "1"), "number");
    let no_time = "a string that is no RFC 3339 date and time";
    assert_eq!(refused("timestamp_micros", r#""2026-01-01""#), no_time);
    assert_eq!(refused("timestamp_nanos", r#""2300-01-01T00:00:00Z""#), "a time out of range");
    assert_eq!(refused("timestamp_millis", "1.5"), "a number with a fraction");
    assert_eq!(refused("timestamp_seconds", "9223372036854775807"), "a number out of range");
    assert_eq!(refused("timestamp_millis", "{}"), "object");
}

#[test]
fn nested_values_go_to_nested_columns() {
    let declared = columns(&[
        ("tags", "list<string>"),
        ("attrs", "map<string, list<int64>>"),
        ("pos", "struct<lat: float64, \"a b\": bool>"),
    ]);
    let mut rows = RecordColumns::new(&declared);
    rows.push(
        r#"{"tags":["a",null,"b"],"attrs":{"x\n":[1,2],"y":null},"pos":{"a b":true,"lat":1,"z":[{}]}}"#,
    )
    .unwrap();
    rows.push(r#"{"tags":null,"pos":{}}"#).unwrap();
    rows.push(r#"{"tags":[],"attrs":{},"pos":null}"#).unwrap();
    let batch = rows.take_batch().unwrap();
    let tags = batch.column(0).as_list::<i32>();
    assert_eq!(tags.offsets().as_ref(), &[0, 3, 3, 3]);
    assert_eq!((tags.is_null(0), tags.is_null(1), tags.is_null(2)), (false, true, false));
    let words: Vec<_> = tags.values().as_string::<i32>().iter().collect();
    assert_eq!(words, [Some("a"), None, Some("b")]);
    let attrs = batch.column(1).as_map();
    assert_eq!((attrs.value_length(0), attrs.is_null(1), attrs.value_length(2)), (2, true, 0));
    assert_eq!(attrs.keys().as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["x\n", "y"]);
    assert!(attrs.values().is_null(1));
    let pos = batch.column(2).as_struct();
    assert_eq!((pos.is_null(0), pos.is_null(1), pos.is_null(2)), (false, false, true));
    assert_eq!(pos.column(0).as_primitive::<Float64Type>().iter().next(), Some(Some(1.0)));
    assert!(pos.column(1).as_boolean().value(0) && pos.column(1).is_null(1));
}

#[test]
fn the_pointer_of_a_misfit_is_exact() {
    let declared = [
        ("tags", "list<string>"),
        ("attrs", "map<string, int64>"),
        ("device", "struct<screen: struct<\"a/b~c\": int32, list: list<struct<x: bool>>>>"),
        ("id!", "int64"),
    ];
    for (record, expected) in [
        (r#"{"id":1,"tags":["a","b","c",4]}"#, ("/tags/3", "string", "number")),
        (r#"{"id":1,"tags":{}}"#, ("/tags", "list", "object")),
        (r#"{"id":1,"attrs":{"a/b":1,"c~":"x"}}"#, ("/attrs/c~0", "int64", "string")),
        (
            r#"{"id":1,"device":{"screen":{"a/b~c":1.5}}}"#,
            ("/device/screen/a~1b~0c", "int32", "a number with a fraction"),
        ),
        (
            r#"{"id":1,"device":{"screen":{"list":[{},{"x":0}]}}}"#,
            ("/device/screen/list/1/x", "bool", "number"),
        ),
        (r#"{"id":1,"device":[]}"#, ("/device", "struct", "array")),
        (r#"{"tags":[]}"#, ("/id", "int64", "nothing")),
        (r#"{"id":null}"#, ("/id", "int64", "null")),
        (r#"{"id":1,"id":2}"#, ("/id", "one value", "the key twice")),
        (r#"{"id":1,"attrs":[]}"#, ("/attrs", "map", "array")),
        ("[]", ("", "an object", "array")),
        (r#"{"id":1,"tags":["a",]}"#, ("/tags/1", "valid JSON", "unexpected character ']' at byte 20")),
        (r#"{"id":1,}"#, ("", "valid JSON", "unexpected character '}' at byte 8")),
        (r#"{"id":1} x"#, ("", "valid JSON", "trailing data after the value at byte 9")),
        ("", ("", "valid JSON", "unexpected end of JSON at byte 0")),
    ] {
        let (pointer, wanted, found) = misfit(&declared, record);
        assert_eq!((pointer.as_str(), wanted.as_str(), found.as_str()), expected, "{record}");
    }
}

#[test]
fn fields_that_must_be_there_are_missed_only_where_their_struct_is() {
    let field = |name: &str, column_type, nullable| Column::new(name, column_type, nullable);
    let inner = ColumnType::Struct(vec![field("x", ColumnType::Int64, false)]);
    let declared = Columns::new(vec![field("s", inner, true)]).unwrap();
    let mut rows = RecordColumns::new(&declared);
    rows.push("{}").unwrap();
    rows.push(r#"{"s":{"x":1}}"#).unwrap();
    assert_eq!(rows.push(r#"{"s":{}}"#).unwrap_err().pointer, "/s/x");
    rows.push(r#"{"s":null}"#).unwrap();
    let batch = rows.take_batch().unwrap();
    let nulls: Vec<_> = (0..3).map(|row| batch.column(0).is_null(row)).collect();
    assert_eq!(nulls, [true, false, true]);
}

#[test]
fn keys_are_found_in_any_order_however_many_columns_there_are() {
    for count in [3, 16, 17, 100] {
        let names: Vec<_> = (0..count).map(|index| format!("column {index}")).collect();
        let declared: Vec<_> = names.iter().map(|name| (name.as_str(), "int64")).collect();
        let mut rows = RecordColumns::new(&columns(&declared));
        let member = |index: usize| format!("\"column {index}\" : {index}");
        let orders: [Vec<usize>; 3] = [
            (0..count).collect(),
            (0..count).rev().collect(),
            (0..count).map(|i| (i * 7 + 2) % count).collect(),
        ];
        for order in &orders {
            let members: Vec<_> = order.iter().map(|index| member(*index)).collect();
            rows.push(&format!("{{ \"other\": {{}} , {} , \"column\": 1 }}", members.join(" , "))).unwrap();
        }
        // A key need not be written in the way that the column's name is.
        rows.push(r#"{"\u0063olumn 1":1}"#).unwrap();
        let batch = rows.take_batch().unwrap();
        for (index, array) in batch.columns().iter().enumerate() {
            let values: Vec<_> = array.as_primitive::<Int64Type>().iter().collect();
            let own = Some(index as i64);
            assert_eq!(values, [own, own, own, own.filter(|own| *own == 1)], "column {index} of {count}");
        }
    }
}

#[test]
fn a_small_record_cannot_become_a_large_batch() {
    let fields: Vec<_> = (0..1_000).map(|index| format!("f{index}: int64")).collect();
    let type_text = format!("list<struct<{}>>", fields.join(", "));
    let record = |elements: usize| format!(r#"{{"a":[{}]}}"#, vec!["{}"; elements].join(","));
    let mut rows = RecordColumns::new(&columns(&[("a", type_text.as_str())]));
    rows.push(&record(1_000)).unwrap();
    assert_eq!(rows.cells(), 1_000 + 1_000_000);
    let found = rows.push(&record(100_000)).unwrap_err();
    assert_eq!(found.pointer, "/a");
    assert_eq!(found.found, "more than 1048576 nested values in one record");
    assert_eq!(rows.take_batch().unwrap().num_rows(), 1);
    assert_eq!(rows.cells(), 0);
    // Values that are all written out are never too many.
    let mut rows = RecordColumns::new(&columns(&[("a", "list<int64>")]));
    rows.push(&format!(r#"{{"a":[{}]}}"#, vec!["1"; 2_000_000].join(","))).unwrap();
}

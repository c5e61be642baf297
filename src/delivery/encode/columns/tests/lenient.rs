//! `coerce`, `epoch` and `key`.

use super::*;
use crate::schema::columns::{Coercion, Reading, TimeUnit};

const LENIENT: Reading = Reading { coercion: Coercion::Lenient, epoch: None };

fn epoch(unit: TimeUnit) -> Reading {
    Reading { coercion: Coercion::Strict, epoch: Some(unit) }
}

fn lenient_epoch(unit: TimeUnit) -> Reading {
    Reading { coercion: Coercion::Lenient, epoch: Some(unit) }
}

fn rows(type_text: &str, reading: Reading) -> RecordColumns {
    let column = Column::new("a", type_text.parse().unwrap(), true).with_reading(reading);
    RecordColumns::new(&Columns::new(vec![column]).unwrap())
}

/// The column that `values` become, all of which must fit.
fn read(type_text: &str, reading: Reading, values: &[&str]) -> ArrayRef {
    let mut rows = rows(type_text, reading);
    for value in values {
        assert_eq!(rows.push(&format!(r#"{{"a":{value}}}"#)), Ok(()), "{value} as {type_text}");
    }
    rows.take_batch().unwrap().column(0).clone()
}

/// What is said about a value that does not fit.
fn found(type_text: &str, reading: Reading, value: &str) -> String {
    let misfit = rows(type_text, reading).push(&format!(r#"{{"a":{value}}}"#)).unwrap_err();
    assert_eq!((misfit.pointer.as_str(), misfit.expected.as_str()), ("/a", type_text), "{value}");
    misfit.found
}

#[test]
fn a_lenient_column_takes_a_number_in_a_string() {
    let array = read("int64", LENIENT, &[r#""5""#, r#"" -7\n""#, r#""1e3""#, r#""12.0""#, "8", "null"]);
    let values: Vec<_> = array.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(values, [Some(5), Some(-7), Some(1_000), Some(12), Some(8), None]);
    let array = read("uint64", LENIENT, &[r#""18446744073709551615""#]);
    assert_eq!(array.as_primitive::<UInt64Type>().values(), &[u64::MAX]);
    let array = read("float32", LENIENT, &[r#""0.1""#, r#""\u0031""#]);
    assert_eq!(array.as_primitive::<Float32Type>().values(), &[0.1, 1.0]);
    let array = read("float64", LENIENT, &[r#""-1.5e-3""#, "2"]);
    assert_eq!(array.as_primitive::<Float64Type>().values(), &[-0.0015, 2.0]);
    // A double would make 12345678901234567.88 of it.
    let array = read("decimal(20, 2)", LENIENT, &[r#""12345678901234567.89""#, "1.10"]);
    assert_eq!(array.as_primitive::<Decimal128Type>().values(), &[1_234_567_890_123_456_789, 110]);
}

#[test]
fn a_string_that_is_no_number_that_fits_is_refused() {
    for value in
        [r#""""#, r#"" ""#, r#""x""#, r#""1x""#, r#""+1""#, r#""01""#, r#""1 2""#, r#""NaN""#, r#""0x10""#]
    {
        for type_text in ["int32", "float64", "decimal(5, 1)"] {
            assert_eq!(found(type_text, LENIENT, value), "a string that is no number", "{value}");
        }
    }
    assert_eq!(found("int8", LENIENT, r#""128""#), "a number out of range");
    assert_eq!(found("int8", LENIENT, r#""1.5""#), "a number with a fraction");
    assert_eq!(found("float64", LENIENT, r#""1e999""#), "a number out of range");
    assert_eq!(found("decimal(5, 1)", LENIENT, r#""1.25""#), "a number with more than 1 fraction digits");
    assert_eq!(found("int8", LENIENT, "true"), "boolean");
    assert_eq!(found("int8", LENIENT, "[]"), "array");
}

#[test]
fn a_lenient_column_of_strings_keeps_numbers_and_truths_as_they_are_written() {
    let array = read("string", LENIENT, &["1.50", "-0", "1E+3", "true", "false", r#""x""#, "null"]);
    let values: Vec<_> = array.as_string::<i32>().iter().collect();
    let expected = ["1.50", "-0", "1E+3", "true", "false", "x"].map(Some);
    assert_eq!(values, [&expected[..], &[None]].concat());
    assert_eq!(found("string", LENIENT, "{}"), "object");
    assert_eq!(found("string", LENIENT, "[1]"), "array");
}

#[test]
fn a_lenient_column_of_truths_takes_their_names_and_zero_and_one() {
    let values =
        ["true", r#""true""#, r#""TRUE ""#, "1", "1.0", r#""1""#, "false", r#""False""#, "0", r#""0""#];
    let array = read("bool", LENIENT, &values);
    let truths: Vec<_> = array.as_boolean().iter().map(Option::unwrap).collect();
    assert_eq!(truths, [true, true, true, true, true, true, false, false, false, false]);
    for value in [r#""yes""#, r#""""#, r#""2""#] {
        assert_eq!(found("bool", LENIENT, value), "a string that is neither true nor false");
    }
    for value in ["2", "0.5", "-1"] {
        assert_eq!(found("bool", LENIENT, value), "a number other than 0 and 1");
    }
}

#[test]
fn a_lenient_column_of_bytes_takes_the_alphabet_of_urls_as_well() {
    let array = read("binary", LENIENT, &[r#""-_8""#, r#""+/8=""#, r#""+\/8""#]);
    let values: Vec<_> = array.as_binary::<i32>().iter().map(Option::unwrap).collect();
    assert_eq!(values, [[0xfb, 0xff], [0xfb, 0xff], [0xfb, 0xff]]);
    assert_eq!(found("binary", LENIENT, r#""-/8""#), "a string that is no base64");
    assert_eq!(refused("binary", r#""-_8""#), "a string that is no base64");
}

#[test]
fn a_lenient_date_is_the_day_in_utc_or_a_number_of_days() {
    let values =
        [r#""1970-01-03""#, r#""1970-01-02T23:30:00-01:00""#, r#"" 1970-01-03 08:00:00""#, "2", r#""2""#];
    assert_eq!(read("date", LENIENT, &values).as_primitive::<Date32Type>().values(), &[2; 5]);
    let array = read("date", LENIENT, &[r#""1969-12-31T23:59:59Z""#, "-719528", "2932896"]);
    assert_eq!(array.as_primitive::<Date32Type>().values(), &[-1, -719_528, 2_932_896]);
    // A date that is written as a number is not mistaken for days.
    assert_eq!(found("date", LENIENT, "20260228"), "a number out of range");
    assert_eq!(found("date", LENIENT, r#""20260228""#), "a string that is no date");
    assert_eq!(refused("date", "2"), "number");
    assert_eq!(refused("date", r#""1970-01-02T00:00:00Z""#), "a string that is no date");
}

#[test]
fn a_lenient_timestamp_takes_dates_times_without_a_zone_and_numbers_in_strings() {
    let values = [
        r#""1970-01-01T00:00:01Z""#,
        r#""1970-01-01T00:00:01""#,
        r#""1970-01-01 00:00:01.000""#,
        "1000000",
        r#""1000000""#,
        "1e6",
        "1000000.9",
    ];
    let array = read("timestamp_micros", LENIENT, &values);
    assert_eq!(array.as_primitive::<TimestampMicrosecondType>().values(), &[1_000_000; 7]);
    let array = read("timestamp_micros", LENIENT, &[r#""1970-01-02""#, "-0.5"]);
    assert_eq!(array.as_primitive::<TimestampMicrosecondType>().values(), &[86_400_000_000, -1]);
    for value in [r#""soon""#, r#""""#, r#""1970-02-30""#, r#""1970-01-01T00:00:01+01""#] {
        let expected = "a string that is no RFC 3339 date and time";
        assert_eq!(found("timestamp_micros", LENIENT, value), expected, "{value}");
    }
    assert_eq!(refused("timestamp_micros", r#""1000000""#), "a string that is no RFC 3339 date and time");
    assert_eq!(refused("timestamp_micros", "0.5"), "a number with a fraction");
    assert_eq!(found("timestamp_micros", LENIENT, "true"), "boolean");
}

#[test]
fn numbers_are_in_the_unit_that_epoch_names_and_strings_do_not_care() {
    let second = r#""1970-01-01T00:00:01.5Z""#;
    let array = read("timestamp_micros", epoch(TimeUnit::Seconds), &["1", "-1", "1.0", "1e2", second]);
    let expected = [1_000_000, -1_000_000, 1_000_000, 100_000_000, 1_500_000];
    assert_eq!(array.as_primitive::<TimestampMicrosecondType>().values(), &expected);
    // What is finer than the type is cut off towards the past.
    let array = read("timestamp_millis", epoch(TimeUnit::Nanos), &["1999999", "-1", "-1.0", second]);
    assert_eq!(array.as_primitive::<TimestampMillisecondType>().values(), &[1, -1, -1, 1_500]);
    let array = read("timestamp_seconds", epoch(TimeUnit::Millis), &["1999", "-1"]);
    assert_eq!(array.as_primitive::<TimestampMillisecondType>().values(), &[1_000, -1_000]);
    let lenient = lenient_epoch(TimeUnit::Seconds);
    let array = read("timestamp_nanos", lenient, &["1.123456789", r#""0.1""#, "-0.0000000001", r#""7""#]);
    let expected = [1_123_456_789, 100_000_000, -1, 7_000_000_000];
    assert_eq!(array.as_primitive::<TimestampNanosecondType>().values(), &expected);
    for (type_text, unit, value) in [
        ("timestamp_nanos", TimeUnit::Seconds, "9223372037"),
        ("timestamp_micros", TimeUnit::Seconds, "9223372036854775807"),
        ("timestamp_micros", TimeUnit::Seconds, "1e30"),
        ("timestamp_seconds", TimeUnit::Seconds, "9223372036854775"),
        ("timestamp_seconds", TimeUnit::Seconds, "9223372036854776"),
    ] {
        let fits = value == "9223372036854775";
        let mut rows = rows(type_text, epoch(unit));
        let pushed = rows.push(&format!(r#"{{"a":{value}}}"#)).map_err(|misfit| misfit.found);
        assert_eq!(pushed, if fits { Ok(()) } else { Err("a number out of range".to_owned()) }, "{value}");
    }
    assert_eq!(found("timestamp_micros", epoch(TimeUnit::Seconds), "0.5"), "a number with a fraction");
}

#[test]
fn the_reading_of_a_column_reaches_everything_inside_it() {
    let type_text = "struct<at: list<timestamp_millis>, by: map<string, struct<n: int64>>>";
    let mut rows = rows(type_text, lenient_epoch(TimeUnit::Seconds));
    rows.push(r#"{"a":{"at":[1,"2"],"by":{"x":{"n":"3"}}}}"#).unwrap();
    let misfit = rows.push(r#"{"a":{"at":[1,"2"],"by":{"x":{"n":"three"}}}}"#).unwrap_err();
    assert_eq!((misfit.pointer.as_str(), misfit.found.as_str()), ("/a/by/x/n", "a string that is no number"));
    let batch = rows.take_batch().unwrap();
    assert_eq!(batch.num_rows(), 1);
    let outer = batch.column(0).as_struct();
    let times = outer.column(0).as_list::<i32>().values();
    assert_eq!(times.as_primitive::<TimestampMillisecondType>().values(), &[1_000, 2_000]);
    let numbers = outer.column(1).as_map().values().as_struct().column(0);
    assert_eq!(numbers.as_primitive::<Int64Type>().values(), &[3]);
}

#[test]
fn values_stand_under_the_key_of_their_column() {
    let nested = "struct<user_id = \"user id\": int64, n: int64>".parse().unwrap();
    let declared = [
        Column::new("client_ip", ColumnType::String, false).with_key("client-ip"),
        Column::new("user", nested, true),
        Column::new("quoted", ColumnType::Int64, true).with_key("a\"b"),
    ];
    let mut rows = RecordColumns::new(&Columns::new(declared.to_vec()).unwrap());
    rows.push(r#"{"client-ip":"::1","user":{"n":2,"user id":1,"user_id":9},"a\"b":3,"client_ip":"no"}"#)
        .unwrap();
    rows.push(r#"{"user":{"user\u0020id":4},"a\u0022b":5,"client-\u0069p":"::2"}"#).unwrap();
    let misfit = rows.push(r#"{"client_ip":"::1"}"#).unwrap_err();
    assert_eq!((misfit.pointer.as_str(), misfit.found.as_str()), ("/client-ip", "nothing"));
    let batch = rows.take_batch().unwrap();
    assert_eq!(batch.schema().field(0).name(), "client_ip");
    assert_eq!(batch.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("::1"), Some("::2")]);
    let user = batch.column(1).as_struct();
    assert_eq!(user.column_names(), ["user_id", "n"]);
    assert_eq!(user.column(0).as_primitive::<Int64Type>().values(), &[1, 4]);
    assert_eq!(batch.column(2).as_primitive::<Int64Type>().values(), &[3, 5]);
}

#[test]
fn values_that_a_column_does_not_take_are_not_counted_for_the_next_one() {
    let reading = Reading { coercion: Coercion::Learned, epoch: None };
    let fields: Vec<String> = (0..60).map(|index| format!("f{index}: int64")).collect();
    let list = format!("list<struct<{}>>", fields.join(", "));
    let column = |name: &str, key: &str, type_text: &str| {
        Column::new(name, type_text.parse().unwrap(), true).with_key(key).with_reading(reading)
    };
    let columns = [column("a", "a", &list), column("a_json", "a", "json"), column("b", "b", &list)];
    let mut rows = RecordColumns::new(&Columns::learned(1, columns.into()).unwrap());
    // 10,000 elements of 60 values each: one such list may be in a record, two may not.
    let elements = vec!["{}"; 10_000].join(",");
    let record = |end: &str| format!(r#"{{"a":[{elements}{end}],"b":[{elements}]}}"#);
    assert_eq!(rows.push(&record(",1")), Ok(()), "the first list is kept as its text");
    assert!(rows.push(&record("")).unwrap_err().found.contains("nested values"));
    assert_eq!(rows.take_batch().unwrap().num_rows(), 1);
}

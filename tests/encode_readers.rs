//! Files with every type, read by programs that are not ours: pyarrow and DuckDB.
//!
//! Runs where `FOREBAY_PYTHON` names a Python that has both; says that it was skipped otherwise.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic in a test is a failed test, and a test that is skipped has to say so"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use forebay::config::checked::{Format, ParquetCompression, ParquetFormat};
use forebay::delivery::encode::{self, Row};
use forebay::schema::columns::{ColumnDeclaration, Columns};

/// A column, its type as pyarrow calls it, and values of it: as JSON, and as the reader is to find them.
struct Sample {
    name: &'static str,
    type_text: &'static str,
    arrow_type: &'static str,
    values: &'static [(&'static str, &'static str)],
}

const fn sample(
    name: &'static str,
    type_text: &'static str,
    arrow_type: &'static str,
    values: &'static [(&'static str, &'static str)],
) -> Sample {
    Sample { name, type_text, arrow_type, values }
}

const SAMPLES: [Sample; 27] = [
    sample("flag", "bool", "bool", &[("true", "true"), ("false", "false")]),
    sample("i8", "int8", "int8", &[("-128", "-128"), ("127", "127"), ("1.0", "1")]),
    sample("i16", "int16", "int16", &[("-32768", "-32768"), ("32767", "32767"), ("2e2", "200")]),
    sample("i32", "int32", "int32", &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")]),
    sample(
        "i64",
        "int64",
        "int64",
        &[
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775807", "9223372036854775807"),
            ("9007199254740993", "9007199254740993"),
            ("-0", "0"),
        ],
    ),
    sample("u8", "uint8", "uint8", &[("0", "0"), ("255", "255")]),
    sample("u16", "uint16", "uint16", &[("0", "0"), ("65535", "65535")]),
    sample("u32", "uint32", "uint32", &[("0", "0"), ("4294967295", "4294967295")]),
    sample("u64", "uint64", "uint64", &[("0", "0"), ("18446744073709551615", "18446744073709551615")]),
    sample(
        "f32",
        "float32",
        "float",
        &[
            ("0.1", "0.10000000149011612"),
            ("-0.0", "-0.0"),
            ("3.4028235e38", "3.4028234663852886e38"),
            ("1", "1.0"),
        ],
    ),
    sample(
        "f64",
        "float64",
        "double",
        &[
            ("0.1", "0.1"),
            ("-0.0", "-0.0"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e308"),
            ("-1", "-1.0"),
        ],
    ),
    sample(
        "small",
        "decimal(9, 2)",
        "decimal128(9, 2)",
        &[
            ("1.2", r#""1.20""#),
            ("-9999999.99", r#""-9999999.99""#),
            ("0", r#""0.00""#),
            ("1.5e3", r#""1500.00""#),
        ],
    ),
    sample(
        "middle",
        "decimal(18, 6)",
        "decimal128(18, 6)",
        &[("999999999999.999999", r#""999999999999.999999""#), ("-0.000001", r#""-0.000001""#)],
    ),
    sample(
        "large",
        "decimal(38, 10)",
        "decimal128(38, 10)",
        &[
            ("9999999999999999999999999999.9999999999", r#""9999999999999999999999999999.9999999999""#),
            ("-9999999999999999999999999999.9999999999", r#""-9999999999999999999999999999.9999999999""#),
            ("0.1", r#""0.1000000000""#),
        ],
    ),
    sample(
        "text",
        "string",
        "string",
        &[
            (r#""""#, r#""""#),
            (r#""größe \ud83d\ude00 日本語""#, r#""größe 😀 日本語""#),
            (r#""a\u0000\n\"\\\/b""#, r#""a\u0000\n\"\\/b""#),
        ],
    ),
    sample(
        "bytes",
        "binary",
        "binary",
        &[(r#""AP8Q""#, r#""00ff10""#), (r#""""#, r#""""#), (r#""AA""#, r#""00""#)],
    ),
    sample(
        "day",
        "date",
        "date32[day]",
        &[
            (r#""1970-01-01""#, r#""1970-01-01""#),
            (r#""0001-01-01""#, r#""0001-01-01""#),
            (r#""9999-12-31""#, r#""9999-12-31""#),
            (r#""2024-02-29""#, r#""2024-02-29""#),
        ],
    ),
    sample(
        "at_s",
        "timestamp_seconds",
        "timestamp[ms, tz=UTC]",
        &[
            (r#""1969-12-31T23:59:59.999Z""#, r#""-1000000000""#),
            (r#""9999-12-31T23:59:59Z""#, r#""253402300799000000000""#),
            ("1700000000", r#""1700000000000000000""#),
        ],
    ),
    sample(
        "at_ms",
        "timestamp_millis",
        "timestamp[ms, tz=UTC]",
        &[
            (r#""1969-12-31T23:59:59.9999Z""#, r#""-1000000""#),
            (r#""0001-01-01T00:00:00Z""#, r#""-62135596800000000000""#),
            ("-1", r#""-1000000""#),
        ],
    ),
    sample(
        "at_us",
        "timestamp_micros",
        "timestamp[us, tz=UTC]",
        &[
            (r#""2026-03-01T00:59:59.123456789+01:00""#, r#""1772323199123456000""#),
            (r#""1900-01-01T00:00:00.000001Z""#, r#""-2208988799999999000""#),
            ("1", r#""1000""#),
        ],
    ),
    sample(
        "at_ns",
        "timestamp_nanos",
        "timestamp[ns, tz=UTC]",
        &[
            (r#""1969-12-31T23:59:59.999999999Z""#, r#""-1""#),
            (r#""2262-04-11T00:00:00.123456789Z""#, r#""9223286400123456789""#),
            (r#""1700-01-01T00:00:00.000000001Z""#, r#""-8520335999999999999""#),
        ],
    ),
    sample(
        "tags",
        "list<string>",
        "list<element: string>",
        &[("[]", "[]"), (r#"["a",null,"ü"]"#, r#"["a",null,"ü"]"#), ("[null]", "[null]")],
    ),
    sample(
        "matrix",
        "list<list<int32>>",
        "list<element: list<element: int32>>",
        &[("[[1,2],[],null,[3]]", "[[1,2],[],null,[3]]"), ("[[]]", "[[]]"), ("[]", "[]")],
    ),
    sample(
        "attrs",
        "map<string, int64>",
        "map<string, int64>",
        &[
            ("{}", r#"{"map":[]}"#),
            (r#"{"b":1,"a\n":null}"#, r#"{"map":[["b",1],["a\n",null]]}"#),
            (r#"{"":-9223372036854775808}"#, r#"{"map":[["",-9223372036854775808]]}"#),
        ],
    ),
    sample(
        "place",
        "struct<lat: float64, at: timestamp_micros, inner: struct<x: uint8>>",
        "struct<lat: double, at: timestamp[us, tz=UTC], inner: struct<x: uint8>>",
        &[
            (r#"{"lat":1.5,"at":-1,"inner":{"x":255}}"#, r#"{"lat":1.5,"at":"-1000","inner":{"x":255}}"#),
            ("{}", r#"{"lat":null,"at":null,"inner":null}"#),
            (r#"{"inner":{},"unknown":[1]}"#, r#"{"lat":null,"at":null,"inner":{"x":null}}"#),
        ],
    ),
    sample(
        "visits",
        "list<struct<page: string, price: decimal(12, 2), on: map<string, list<date>>>>",
        "list<element: struct<page: string, price: decimal128(12, 2), on: map<string, list<element: date32[day]>>>>",
        &[
            (
                r#"[{"page":"/","price":0.1,"on":{"x":["2024-02-29",null]}},null,{}]"#,
                r#"[{"page":"/","price":"0.10","on":{"map":[["x",["2024-02-29",null]]]}},null,{"page":null,"price":null,"on":null}]"#,
            ),
            ("[]", "[]"),
            (
                r#"[{"on":{"y":null,"z":[]}}]"#,
                r#"[{"page":null,"price":null,"on":{"map":[["y",null],["z",[]]]}}]"#,
            ),
        ],
    ),
    sample(
        "raw",
        "json",
        "string",
        &[
            (r#"{"a": [1.0, "\u00e9"]}"#, r#""{\"a\": [1.0, \"\\u00e9\"]}""#),
            (r#""x""#, r#""\"x\"""#),
            ("0", r#""0""#),
        ],
    ),
];

/// The record in row `row`, and the values that readers are to find in it. Columns have different numbers of
/// values, so that most combinations come; each also has nulls and is sometimes missing.
fn row(row: usize) -> (String, String) {
    let mut record = format!(r#"{{"id":{row}"#);
    let mut expected = format!("[{row}");
    for sample in &SAMPLES {
        let count = sample.values.len();
        let (value, found) = match row % (count + 2) {
            turn if turn < count => sample.values[turn],
            turn if turn == count => ("null", "null"),
            _ => ("", "null"),
        };
        if !value.is_empty() {
            write!(record, r#","{}":{value}"#, sample.name).unwrap();
        }
        write!(expected, ",{found}").unwrap();
    }
    (record + "}", expected + "]")
}

fn columns() -> Columns {
    let id = ColumnDeclaration::new("id", "int64", false);
    let declared = SAMPLES.iter().map(|sample| ColumnDeclaration::new(sample.name, sample.type_text, true));
    Columns::declared(&[id].into_iter().chain(declared).collect::<Vec<_>>()).unwrap()
}

/// Writes a Parquet file of `rows` rows to `path`; returns what is to be found in it.
fn write_file(path: &Path, compression: ParquetCompression, rows: usize) -> String {
    let format = Format::Parquet(ParquetFormat::new(compression, Arc::new(columns())));
    let mut encoder = encode::open(&format);
    let mut expected = r#"{"columns":[{"name":"id","type":"int64","nullable":false}"#.to_owned();
    for Sample { name, arrow_type, .. } in &SAMPLES {
        write!(expected, r#",{{"name":"{name}","type":"{arrow_type}","nullable":true}}"#).unwrap();
    }
    expected.push_str("],\"rows\":[");
    for index in 0..rows {
        let (record, values) = row(index);
        encoder.push(Row::of_payload(&record)).unwrap();
        expected.push_str(if index == 0 { "\n" } else { ",\n" });
        expected.push_str(&values);
    }
    std::fs::write(
        path,
        encoder.finish(&[("forebay.stream".to_owned(), "every-type".to_owned())]).unwrap().concat(),
    )
    .unwrap();
    expected + "]}"
}

fn check(python: &str, compression: ParquetCompression, rows: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (file, expected) = (folder.path().join("file.parquet"), folder.path().join("expected.json"));
    std::fs::write(&expected, write_file(&file, compression, rows)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/check_columns.py");
    let output = Command::new(python).arg(script).arg(&expected).arg(&file).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    eprint!("{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn independent_readers_find_every_value_of_every_type() {
    let Ok(python) = std::env::var("FOREBAY_PYTHON") else {
        forebay::testkit::skip::skipped("FOREBAY_PYTHON is not set to a Python that has pyarrow and duckdb");
        return;
    };
    // Fewer than one batch, and more than one with dictionaries and without.
    check(&python, ParquetCompression::None, 97);
    check(&python, ParquetCompression::Snappy, 9_001);
}

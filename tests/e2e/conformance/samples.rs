//! Values of every type, and the patterns in which columns lack them.

use std::fmt::Write as _;

/// A column, its type as pyarrow calls it, and values of it: as JSON, and as the reader is to find them.
pub struct Sample {
    pub name: &'static str,
    pub type_text: &'static str,
    pub arrow_type: &'static str,
    pub values: &'static [(&'static str, &'static str)],
}

const fn sample(
    name: &'static str,
    type_text: &'static str,
    arrow_type: &'static str,
    values: &'static [(&'static str, &'static str)],
) -> Sample {
    Sample { name, type_text, arrow_type, values }
}

pub const SAMPLES: [Sample; 28] = [
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
            (r#""1969-12-31T23:59:59.000Z""#, r#""-1000000000""#),
            (r#""9999-12-31T23:59:59Z""#, r#""253402300799000000000""#),
            ("1700000000", r#""1700000000000000000""#),
        ],
    ),
    sample(
        "at_ms",
        "timestamp_millis",
        "timestamp[ms, tz=UTC]",
        &[
            (r#""1969-12-31T23:59:58.9999Z""#, r#""-1001000000""#),
            (r#""0001-01-01T00:00:00Z""#, r#""-62135596800000000000""#),
            ("-1001", r#""-1001000000""#),
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
            (r#""1969-12-31T23:59:58.999999999Z""#, r#""-1000000001""#),
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
            (
                r#"{"lat":1.5,"at":-1000001,"inner":{"x":255}}"#,
                r#"{"lat":1.5,"at":"-1000001000","inner":{"x":255}}"#,
            ),
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
    sample(
        "deep",
        "struct<a: list<struct<b: map<string, list<int32>>>>>",
        "struct<a: list<element: struct<b: map<string, list<element: int32>>>>>",
        &[
            (r#"{"a":null}"#, r#"{"a":null}"#),
            (r#"{"a":[]}"#, r#"{"a":[]}"#),
            (r#"{"a":[null]}"#, r#"{"a":[null]}"#),
            (r#"{"a":[{},{"b":null}]}"#, r#"{"a":[{"b":null},{"b":null}]}"#),
            (r#"{"a":[{"b":{}},null]}"#, r#"{"a":[{"b":{"map":[]}},null]}"#),
            (r#"{"a":[{"b":{"k":null}}]}"#, r#"{"a":[{"b":{"map":[["k",null]]}}]}"#),
            (r#"{"a":[{"b":{"k":[],"l":[null]}}]}"#, r#"{"a":[{"b":{"map":[["k",[]],["l",[null]]]}}]}"#),
            (r#"{"a":[{"b":{"k":[1,null,2]}}]}"#, r#"{"a":[{"b":{"map":[["k",[1,null,2]]]}}]}"#),
        ],
    ),
];

/// Where a column has no value: by row, column and number of rows.
type IsNull = fn(usize, usize, usize) -> bool;

/// A pattern of nulls, and how many rows are written with it. Each is a file of its own.
pub struct Pattern {
    pub name: &'static str,
    pub rows: usize,
    is_null: IsNull,
}

const fn pattern(name: &'static str, rows: usize, is_null: IsNull) -> Pattern {
    Pattern { name, rows, is_null }
}

/// More rows than columnar writers take at a time, so that columns go over several batches and get dictionaries.
const MANY: usize = 2_500;

pub const PATTERNS: [Pattern; 9] = [
    pattern("none", 150, |_, _, _| false),
    pattern("all", 150, |_, _, _| true),
    pattern("alternating", 150, |row, column, _| (row + column).is_multiple_of(2)),
    pattern("runs", 150, |row, column, _| (row / 31 + column).is_multiple_of(2)),
    pattern("leading", 150, |row, column, rows| row < rows * (column % 3 + 1) / 4),
    pattern("trailing", 150, |row, column, rows| row >= rows - rows * (column % 3 + 1) / 4),
    pattern("sparse_nulls", 150, |row, column, _| (row + 7 * column).is_multiple_of(61)),
    pattern("sparse_values", 150, |row, column, _| !(row + 7 * column).is_multiple_of(61)),
    pattern("mixed", MANY, |row, column, _| (7 * row + 3 * column).is_multiple_of(5)),
];

impl Pattern {
    /// The record of row `row`, and the values that readers are to find in it. A value that is not there is null or
    /// missing, by turns.
    pub fn row(&self, row: usize, id: u64) -> (String, String) {
        let mut record = format!(r#"{{"id":{id},"pattern":"{}""#, self.name);
        let mut expected = format!("[{id}");
        for (column, sample) in SAMPLES.iter().enumerate() {
            // Values come in runs in some columns, and by turns in others.
            let turn = if column.is_multiple_of(3) { row / 13 } else { row } + column;
            let (value, found) = match (self.is_null)(row, column, self.rows) {
                false => sample.values[turn % sample.values.len()],
                true if (row + column).is_multiple_of(3) => ("null", "null"),
                true => ("", "null"),
            };
            if !value.is_empty() {
                write!(record, r#","{}":{value}"#, sample.name).unwrap();
            }
            write!(expected, ",{found}").unwrap();
        }
        (record + "}", expected + "]")
    }
}

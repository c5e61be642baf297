//! Records that violate the columns, each in its own way, or that are no records at all.

/// A bad record and its dead letter.
pub struct BadRow {
    /// The record; `ID` stands for a number that is its own.
    pub record: &'static str,
    /// Reason of the dead letter.
    pub reason: &'static str,
    /// What its message begins with.
    pub message: &'static str,
}

const fn columns(record: &'static str, message: &'static str) -> BadRow {
    BadRow { record, reason: "columns", message }
}

/// One that is no record, and not taken by any delivery.
const fn no_record(record: &'static str, reason: &'static str, message: &'static str) -> BadRow {
    BadRow { record, reason, message }
}

/// All of the pattern `none`, among whose good rows they come.
pub const BAD_ROWS: [BadRow; 47] = [
    columns(r#"{"id":ID,"pattern":"none","flag":1}"#, "/flag: expected bool, got number"),
    columns(r#"{"id":ID,"pattern":"none","flag":"true"}"#, "/flag: expected bool, got string"),
    columns(r#"{"id":ID,"pattern":"none","i8":128}"#, "/i8: expected int8, got a number out of range"),
    columns(r#"{"id":ID,"pattern":"none","i8":1.5}"#, "/i8: expected int8, got a number with a fraction"),
    columns(r#"{"id":ID,"pattern":"none","i8":"1"}"#, "/i8: expected int8, got string"),
    columns(r#"{"id":ID,"pattern":"none","i16":-32769}"#, "/i16: expected int16, got a number out of range"),
    columns(r#"{"id":ID,"pattern":"none","i32":true}"#, "/i32: expected int32, got boolean"),
    columns(
        r#"{"id":ID,"pattern":"none","i64":9223372036854775808}"#,
        "/i64: expected int64, got a number out of range",
    ),
    columns(r#"{"id":ID,"pattern":"none","i64":[1]}"#, "/i64: expected int64, got array"),
    columns(r#"{"id":ID,"pattern":"none","u8":-1}"#, "/u8: expected uint8, got a number out of range"),
    columns(r#"{"id":ID,"pattern":"none","u16":65536}"#, "/u16: expected uint16, got a number out of range"),
    columns(r#"{"id":ID,"pattern":"none","u32":{}}"#, "/u32: expected uint32, got object"),
    columns(
        r#"{"id":ID,"pattern":"none","u64":18446744073709551616}"#,
        "/u64: expected uint64, got a number out of range",
    ),
    columns(r#"{"id":ID,"pattern":"none","f32":1e39}"#, "/f32: expected float32, got a number out of range"),
    columns(r#"{"id":ID,"pattern":"none","f64":"1.5"}"#, "/f64: expected float64, got string"),
    columns(
        r#"{"id":ID,"pattern":"none","small":0.001}"#,
        "/small: expected decimal(9, 2), got a number with more than 2 fraction digits",
    ),
    columns(
        r#"{"id":ID,"pattern":"none","small":10000000}"#,
        "/small: expected decimal(9, 2), got a number out of range",
    ),
    columns(r#"{"id":ID,"pattern":"none","large":"1"}"#, "/large: expected decimal(38, 10), got string"),
    columns(r#"{"id":ID,"pattern":"none","text":5}"#, "/text: expected string, got number"),
    columns(r#"{"id":ID,"pattern":"none","text":{"a":1}}"#, "/text: expected string, got object"),
    columns(
        r#"{"id":ID,"pattern":"none","bytes":"*"}"#,
        "/bytes: expected binary, got a string that is no base64",
    ),
    columns(
        r#"{"id":ID,"pattern":"none","day":"2023-02-29"}"#,
        "/day: expected date, got a string that is no date",
    ),
    columns(r#"{"id":ID,"pattern":"none","day":5}"#, "/day: expected date, got number"),
    columns(
        r#"{"id":ID,"pattern":"none","at_s":"12:00"}"#,
        "/at_s: expected timestamp_seconds, got a string that is no RFC 3339 date and time",
    ),
    columns(r#"{"id":ID,"pattern":"none","at_ms":false}"#, "/at_ms: expected timestamp_millis, got boolean"),
    columns(
        r#"{"id":ID,"pattern":"none","at_us":"yesterday"}"#,
        "/at_us: expected timestamp_micros, got a string that is no RFC 3339 date and time",
    ),
    columns(
        r#"{"id":ID,"pattern":"none","at_us":1.5}"#,
        "/at_us: expected timestamp_micros, got a number with a fraction",
    ),
    columns(
        r#"{"id":ID,"pattern":"none","at_ns":"9999-01-01T00:00:00Z"}"#,
        "/at_ns: expected timestamp_nanos, got a time out of range",
    ),
    columns(r#"{"id":ID,"pattern":"none","tags":"a"}"#, "/tags: expected list, got string"),
    columns(r#"{"id":ID,"pattern":"none","tags":["a",1]}"#, "/tags/1: expected string, got number"),
    columns(
        r#"{"id":ID,"pattern":"none","matrix":[[1],[2,"x"]]}"#,
        "/matrix/1/1: expected int32, got string",
    ),
    columns(r#"{"id":ID,"pattern":"none","attrs":[]}"#, "/attrs: expected map, got array"),
    columns(
        r#"{"id":ID,"pattern":"none","attrs":{"a/b~":"x"}}"#,
        "/attrs/a~1b~0: expected int64, got string",
    ),
    columns(r#"{"id":ID,"pattern":"none","place":5}"#, "/place: expected struct, got number"),
    columns(
        r#"{"id":ID,"pattern":"none","place":{"lat":1,"inner":{"x":256}}}"#,
        "/place/inner/x: expected uint8, got a number out of range",
    ),
    columns(
        r#"{"id":ID,"pattern":"none","visits":[{"on":{"k":["2024-02-30"]}}]}"#,
        "/visits/0/on/k/0: expected date, got a string that is no date",
    ),
    columns(
        r#"{"id":ID,"pattern":"none","deep":{"a":[{"b":{"k":[1,null,"x"]}}]}}"#,
        "/deep/a/0/b/k/2: expected int32, got string",
    ),
    columns(r#"{"nr":ID,"pattern":"none","flag":true}"#, "/id: expected int64, got nothing"),
    columns(r#"{"nr":ID,"pattern":"none","id":null}"#, "/id: expected int64, got null"),
    columns(r#"{"id":"ID","pattern":"none"}"#, "/id: expected int64, got string"),
    no_record(r#"{"id":ID,"pattern":"none","flag":true,"flag":false}"#, "json", "duplicate key in an object"),
    no_record(r#"{"id":ID,"pattern":"none","i64":1e400}"#, "json", "number out of range of a double"),
    no_record(r#"{"id":ID,"pattern":"none","i64":01}"#, "json", "invalid number"),
    no_record(r#"{"id":ID,"pattern":"none","text":"\ud800"}"#, "json", "lone surrogate in a string"),
    no_record(r#"{"id":ID,"pattern":"none","text":"a"#, "json", "unexpected end of JSON"),
    no_record(r#"[ID]"#, "schema", "/: expected object, got array"),
    no_record(
        r#"{"id":ID,"pattern":"none","text":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"#,
        "json",
        "nested deeper than 128",
    ),
];

/// A time that ORC cannot hold, and Parquet can.
pub struct LastSecond {
    pub column: &'static str,
    /// As it is sent.
    pub value: &'static str,
    /// As readers of Parquet are to find it.
    pub found: &'static str,
    /// What the message of the dead letter in a delivery of ORC begins with.
    pub message: &'static str,
}

/// In the last second of 1969, in each unit.
pub const LAST_SECOND: [LastSecond; 3] = [
    LastSecond {
        column: "at_ms",
        value: "-1",
        found: r#""-1000000""#,
        message: "/at_ms: expected timestamp_millis, got ",
    },
    LastSecond {
        column: "at_us",
        value: r#""1969-12-31T23:59:59.999999Z""#,
        found: r#""-1000""#,
        message: "/at_us: expected timestamp_micros, got ",
    },
    LastSecond {
        column: "at_ns",
        value: r#""1969-12-31T23:59:59.999999999Z""#,
        found: r#""-1""#,
        message: "/at_ns: expected timestamp_nanos, got ",
    },
];

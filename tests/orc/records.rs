//! Records with every type and pattern of nulls.

use std::fmt::Write as _;
use std::sync::Arc;

use forebay::schema::columns::{ColumnDeclaration, Columns};

/// A name, the type, and the JSON of the value that a number stands for.
pub type Kind = (&'static str, &'static str, fn(u64) -> String);

pub const KINDS: [Kind; 21] = [
    ("flag", "bool", |n| (n % 3 == 0).to_string()),
    ("i8", "int8", |n| (n as i8).to_string()),
    ("i16", "int16", |n| (n as i16 >> (n % 16)).to_string()),
    ("i32", "int32", |n| (n as i32 >> (n % 32)).to_string()),
    ("i64", "int64", |n| (n as i64 >> (n % 64)).to_string()),
    ("u8", "uint8", |n| (n as u8).to_string()),
    ("u16", "uint16", |n| (n as u16).to_string()),
    ("u32", "uint32", |n| (n as u32).to_string()),
    ("u64", "uint64", |n| (n >> (n % 64)).to_string()),
    ("f32", "float32", |n| format!("{}.5", n as i16)),
    ("f64", "float64", |n| format!("{}e-3", n as i32)),
    ("dec9", "decimal(9, 2)", |n| format!("{}.{:02}", n as i16, n % 100)),
    ("dec38", "decimal(38, 10)", |n| format!("{}{:012}.{}", n as i64 >> 10, n >> 25, n % 1_000)),
    ("text", "string", |n| format!("\"größe {}\"", n % 5_000_011)),
    ("word", "string", |n| format!("\"word{}\"", n % 37)),
    ("bytes", "binary", |n| format!("\"{:08x}\"", n as u32)),
    ("day", "date", |n| format!("\"{:04}-{:02}-{:02}\"", 1 + n % 9_999, 1 + n % 12, 1 + n % 28)),
    ("ms", "timestamp_millis", |n| time(n as i64 % 9_000_000_000_000, 1_000)),
    ("us", "timestamp_micros", |n| time(n as i64 % 9_000_000_000_000_000, 1_000_000)),
    ("ns", "timestamp_nanos", |n| time(n as i64 / 10_i64.pow((n % 10) as u32), 1_000_000_000)),
    ("raw", "json", |n| format!("{{\"a\":[{n}]}}")),
];

pub const NESTED: [Kind; 5] = [
    ("tags", "list<string>", |n| match n % 5 {
        0 => "[]".to_owned(),
        1 => "[null]".to_owned(),
        _ => format!("[\"a{}\",null,\"b\"]", n % 99),
    }),
    ("matrix", "list<list<int32>>", |n| match n % 4 {
        0 => "[[],null]".to_owned(),
        _ => format!("[[{},{}],[],null,[{}]]", n as i16, n as i8, n as i32),
    }),
    ("attrs", "map<string, uint64>", |n| match n % 4 {
        0 => "{}".to_owned(),
        _ => format!("{{\"k{}\":{n},\"none\":null}}", n % 3),
    }),
    ("place", "struct<lat: float64, on: date, inner: struct<x: uint8, flag: bool>>", |n| match n % 4 {
        0 => "{}".to_owned(),
        1 => "{\"inner\":{}}".to_owned(),
        2 => format!("{{\"on\":\"2024-02-29\",\"inner\":{{\"flag\":{}}}}}", n % 7 == 0),
        _ => format!("{{\"lat\":{}.25,\"inner\":{{\"x\":{},\"flag\":null}}}}", n as i32, n as u8),
    }),
    (
        "visits",
        "list<struct<page: string, price: decimal(12, 2), on: map<string, list<struct<at: timestamp_micros>>>>>",
        |n| match n % 4 {
            0 => "[null,{}]".to_owned(),
            1 => format!("[{{\"page\":\"/{}\",\"price\":{}.5}}]", n % 11, n as i8),
            2 => format!(
                "[{{\"on\":{{\"x\":[{{\"at\":{}}},null,{{}}],\"y\":null,\"z\":[]}}}},{{\"price\":1}}]",
                n >> 14
            ),
            _ => "[]".to_owned(),
        },
    ),
];

/// A time; none in the last second of 1969, which ORC cannot hold.
fn time(value: i64, per_second: i64) -> String {
    (if value < 0 { value - per_second } else { value }).to_string()
}

/// Which rows have a value: a name, and whether a row has one.
pub type Pattern = (&'static str, fn(u64) -> bool);

pub const PATTERNS: [Pattern; 5] = [
    ("all", |_| true),
    ("none", |_| false),
    ("every_other", |row| row % 2 == 0),
    ("few", |row| row % 701 == 350),
    ("late", |row| row % 3_000 >= 1_100),
];

fn noise(index: u64) -> u64 {
    let mixed = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

pub fn columns(patterns: &[Pattern]) -> Arc<Columns> {
    let id = ColumnDeclaration::new("id", "int64", false);
    let declared = KINDS.iter().chain(&NESTED).flat_map(|(name, type_text, _)| {
        let column =
            move |pattern: &str| ColumnDeclaration::new(format!("{name}_{pattern}"), *type_text, true);
        patterns.iter().map(move |(pattern, _)| column(pattern))
    });
    Arc::new(Columns::declared(&[id].into_iter().chain(declared).collect::<Vec<_>>()).unwrap())
}

pub fn record(row: u64, patterns: &[Pattern]) -> String {
    let mut record = format!(r#"{{"id":{row}"#);
    for (place, (name, _, value)) in KINDS.iter().chain(&NESTED).enumerate() {
        for (pattern, is_there) in patterns {
            // Constant stretches, so that there are runs of everything.
            let number = if row % 1_000 < 300 { row / 1_000 } else { row };
            match is_there(row) {
                true => write!(record, r#","{name}_{pattern}":{}"#, value(noise(number * 31 + place as u64)))
                    .unwrap(),
                false if row.is_multiple_of(5) => write!(record, r#","{name}_{pattern}":null"#).unwrap(),
                false => (),
            }
        }
    }
    record + "}"
}

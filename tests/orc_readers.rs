//! ORC files with every type, null pattern and codec, read by a program that is not ours: ORC's own C++ library,
//! through pyarrow and pyorc. What they are to find is in a Parquet file of the same records.
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

use bytes::Bytes;
use forebay::config::checked::{Format, OrcCompression, OrcFormat, ParquetCompression, ParquetFormat};
use forebay::delivery::encode::{self, Row};
use forebay::schema::columns::{ColumnDeclaration, Columns};
use forebay::testkit::web_events;

/// A name, the type, and the JSON of the value that a number stands for.
type Kind = (&'static str, &'static str, fn(u64) -> String);

const KINDS: [Kind; 21] = [
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

const NESTED: [Kind; 5] = [
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
type Pattern = (&'static str, fn(u64) -> bool);

const PATTERNS: [Pattern; 5] = [
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

fn columns(patterns: &[Pattern]) -> Arc<Columns> {
    let id = ColumnDeclaration::new("id", "int64", false);
    let declared = KINDS.iter().chain(&NESTED).flat_map(|(name, type_text, _)| {
        let column =
            move |pattern: &str| ColumnDeclaration::new(format!("{name}_{pattern}"), *type_text, true);
        patterns.iter().map(move |(pattern, _)| column(pattern))
    });
    Arc::new(Columns::declared(&[id].into_iter().chain(declared).collect::<Vec<_>>()).unwrap())
}

fn record(row: u64, patterns: &[Pattern]) -> String {
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

/// Writes a file of `format`, in the pieces that an upload would take.
fn write_file(path: &Path, format: &Format, records: impl Iterator<Item = String>) {
    let mut encoder = encode::open(format);
    let mut pieces: Vec<Bytes> = Vec::new();
    for record in records {
        encoder.push(Row::of_payload(&record)).unwrap();
        pieces.extend(encoder.take_finished());
    }
    pieces.extend(encoder.finish(&[("forebay.stream".to_owned(), "größe".to_owned())]).unwrap());
    std::fs::write(path, pieces.concat()).unwrap();
}

fn python(script: &str, arguments: &[&Path]) -> bool {
    let Ok(python) = std::env::var("FOREBAY_PYTHON") else {
        forebay::testkit::skip::skipped("FOREBAY_PYTHON is not set to a Python that has pyarrow and pyorc");
        return false;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(script);
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert!(output.status.success(), "{printed}");
    eprint!("{printed}");
    true
}

#[test]
fn orcs_own_library_finds_every_value_of_every_type() {
    let zlib = OrcCompression::Zlib { level: 6 };
    let zstd = OrcCompression::Zstd { level: 1 };
    // Codec, rows, rows of a row group (0: no index), bytes of a stripe, patterns of nulls.
    let files: [(OrcCompression, u64, u32, u64, &[_]); 9] = [
        (OrcCompression::Snappy, 0, 10_000, 16 << 20, &PATTERNS),
        (OrcCompression::None, 1, 10_000, 16 << 20, &PATTERNS),
        (OrcCompression::None, 3_000, 500, 16 << 20, &PATTERNS),
        (OrcCompression::Snappy, 3_000, 333, 16 << 20, &PATTERNS),
        (OrcCompression::Lz4, 2_000, 500, 1 << 20, &PATTERNS),
        (zlib, 2_000, 500, 1 << 20, &PATTERNS),
        (zstd, 2_000, 0, 1 << 20, &PATTERNS),
        (zstd, 10_000, 10_000, 16 << 20, &PATTERNS[2..3]),
        (OrcCompression::Snappy, 20_001, 10_000, 8 << 20, &PATTERNS[4..5]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (number, (compression, rows, row_index_stride, stripe_bytes, patterns)) in
        files.into_iter().enumerate()
    {
        let columns = columns(patterns);
        let expected = folder.path().join(format!("{number}.parquet"));
        let file = folder.path().join(format!("{number}.orc"));
        let records = || (0..rows).map(|row| record(row, patterns));
        let parquet = ParquetFormat::new(ParquetCompression::None, Arc::clone(&columns));
        write_file(&expected, &Format::Parquet(parquet), records());
        let has_bloom_filter = number % 2 == 1;
        let paths_of_filters = columns.as_slice().iter().map(|column| column.name.clone());
        let orc = OrcFormat {
            stripe_bytes,
            row_index_stride,
            bloom_filters: paths_of_filters.filter(|_| has_bloom_filter).collect(),
            ..OrcFormat::new(compression, Arc::clone(&columns))
        };
        write_file(&file, &Format::Orc(orc), records());
        paths.extend([expected, file]);
    }
    python("check_orc.py", &paths.iter().map(AsRef::as_ref).collect::<Vec<_>>());
}

/// Enough for several blocks of each column.
const EVENTS: u64 = 60_000;

#[test]
fn files_are_about_as_small_as_those_of_orcs_own_library() {
    let columns = Arc::new(Columns::declared(&web_events::columns()).unwrap());
    let mut nested = Columns::as_slice(&self::columns(&PATTERNS[..1])).to_vec();
    nested.truncate(1 + KINDS.len() + NESTED.len());
    let nested = Arc::new(Columns::new(nested).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for compression in [
        OrcCompression::None,
        OrcCompression::Zlib { level: 6 },
        OrcCompression::Snappy,
        OrcCompression::Lz4,
        OrcCompression::Zstd { level: 1 },
    ] {
        let file = |name: &str| folder.path().join(format!("{name}-{compression:?}.orc"));
        let format = |columns: &Arc<Columns>| Format::Orc(OrcFormat::new(compression, Arc::clone(columns)));
        write_file(&file("events"), &format(&columns), (0..EVENTS).map(web_events::event));
        let records = (0..EVENTS / 4).map(|row| record(row, &PATTERNS[..1]));
        write_file(&file("types"), &format(&nested), records);
        paths.extend([file("events"), file("types")]);
    }
    python("check_orc_size.py", &paths.iter().map(AsRef::as_ref).collect::<Vec<_>>());
}

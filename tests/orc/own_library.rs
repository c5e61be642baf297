//! Read by ORC's own C++ library, through pyarrow and pyorc. What they are to find is in a Parquet file of the same
//! records.
//!
//! Runs where `FOREBAY_PYTHON` names a Python that has both; says that it was skipped otherwise.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use forebay::config::checked::{Format, OrcCompression, OrcFormat, ParquetCompression, ParquetFormat};
use forebay::delivery::encode::{self, Row};
use forebay::schema::columns::Columns;
use forebay::testkit::web_events;

use crate::records::{KINDS, NESTED, PATTERNS, columns as columns_of, record};

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
        let columns = columns_of(patterns);
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
    let mut nested = Columns::as_slice(&columns_of(&PATTERNS[..1])).to_vec();
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

//! Thousands of open files fit the budget that a node has by default.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::config::checked::{
    Format, JsonCompression, JsonFormat, OrcCompression, OrcFormat, ParquetCompression, ParquetFormat,
};
use crate::config::limits::{DELIVERY_PRESSURE_PERCENT, MEMORY_BUDGET_DEFAULT};
use crate::delivery::encode;
use crate::runtime::budget::Budget;
use crate::runtime::clock;
use crate::schema::columns::{ColumnDeclaration, Columns};
use crate::testkit::web_events;

const PARTITIONS: u64 = 2_000;

fn formats() -> [(&'static str, Format); 3] {
    let columns = Arc::new(Columns::declared(&web_events::columns()).unwrap());
    [
        ("json", Format::from(JsonCompression::None)),
        ("gzip", Format::from(JsonCompression::Gzip { level: 1 })),
        ("parquet", Format::Parquet(ParquetFormat::new(ParquetCompression::Snappy, columns))),
    ]
}

/// So many files with so many records each, paid for from the half of the default budget that deliveries have.
fn open(format: &Format, records: u64) -> (Files, Arc<Budget>) {
    let budget = Budget::new(MEMORY_BUDGET_DEFAULT / 2);
    let mut files = Files::new(0);
    for partition in 0..PARTITIONS {
        let opening = Opening {
            folder: format!("p={partition}/"),
            extension: "".into(),
            dead: None,
            passed: false,
            encoder: encode::open(format),
            permit: budget.take_anyway(0),
            opened: clock::monotonic(),
            sizes: None,
            due: clock::monotonic() + Duration::from_secs(3_600),
        };
        files.insert(&partition.to_be_bytes(), OpenFile::new(opening));
    }
    for number in 0..PARTITIONS * records {
        let event = web_events::event(number);
        let is_full = files.push(&(number % PARTITIONS).to_be_bytes(), Row::of_payload(&event), 64 << 20);
        assert!(!is_full.unwrap());
    }
    (files, budget)
}

/// What they hold, whether it was charged already or not.
fn held(files: &Files) -> u64 {
    files.by_key.values().map(|file| file.encoder.memory_bytes()).sum()
}

#[test]
fn two_thousand_open_files_fit_the_default_budget_without_pressure() {
    for (name, format) in formats() {
        // 66 records of 331 bytes are 22 KB each, 44 MB in all.
        let (files, budget) = open(&format, 66);
        assert_eq!(files.len(), PARTITIONS as usize);
        assert!(!budget.is_taken_to(DELIVERY_PRESSURE_PERCENT), "{name}: {}", budget.used());
        let held = held(&files);
        assert!(held < MEMORY_BUDGET_DEFAULT / 2 * DELIVERY_PRESSURE_PERCENT / 100, "{name}: {held}");
        // What is charged is at most a quarter off, see `WEIGH_BYTES_MAX`.
        assert!(budget.used() * 4 >= held * 3, "{name}: {} charged of {held}", budget.used());
    }
}

#[test]
fn a_file_with_one_record_costs_little_and_all_of_it_is_charged_from_the_start() {
    for (name, format) in formats() {
        let (files, budget) = open(&format, 1);
        let each = held(&files) / PARTITIONS;
        assert!(each < 8 << 10, "{name}: {each} bytes");
        assert!(budget.used() >= PARTITIONS * OPEN_FILE_BYTES, "{name}: {}", budget.used());
        drop(files);
        assert_eq!(budget.used(), 0);
    }
}

/// Most that a file holds beyond what is charged, while it takes so many times this record.
fn most_uncharged(format: &Format, row: Row<'_>, records: u64) -> u64 {
    let budget = Budget::new(MEMORY_BUDGET_DEFAULT);
    let opening = Opening {
        folder: String::new(),
        extension: "".into(),
        dead: None,
        passed: false,
        encoder: encode::open(format),
        permit: budget.take_anyway(0),
        opened: clock::monotonic(),
        sizes: None,
        due: clock::monotonic() + Duration::from_secs(3_600),
    };
    let mut file = OpenFile::new(opening);
    let mut most = 0;
    for number in 0..records {
        file.push(row).unwrap();
        file.is_full(64 << 20);
        // Not after each, which takes long with many columns.
        if number % 7 > 0 {
            continue;
        }
        let held = file.encoder.memory_bytes() + file.finished_bytes;
        most = most.max(held.saturating_sub(file.memory_bytes()));
    }
    assert_eq!(file.records, records);
    most
}

#[test]
fn records_that_are_much_smaller_than_their_columns_are_charged_as_soon_as_they_are_held() {
    let column =
        |number: usize| ColumnDeclaration::new(format!("c{number}"), ["int64", "string"][number % 2], true);
    let columns = Arc::new(Columns::declared(&(0..500).map(column).collect::<Vec<_>>()).unwrap());
    let formats = [
        Format::Parquet(ParquetFormat::new(ParquetCompression::Snappy, Arc::clone(&columns))),
        Format::Orc(OrcFormat::new(OrcCompression::Zlib { level: 1 }, columns)),
    ];
    for format in formats {
        let most = most_uncharged(&format, Row::of_payload("{}"), 100_000);
        assert!(most < 4 * WEIGH_BYTES_MAX, "{most} uncharged");
    }
}

#[test]
fn envelopes_that_are_much_larger_than_their_records_are_charged_as_soon_as_they_are_held() {
    let key = [b'k'; 256];
    let row = Row { key: &key, ..Row::of_payload("{}") };
    for compression in [JsonCompression::None, JsonCompression::Zstd { level: 1 }] {
        let format = Format::Json(JsonFormat { envelope: true, ..JsonFormat::from(compression) });
        let most = most_uncharged(&format, row, 20_000);
        assert!(most < 4 * WEIGH_BYTES_MAX, "{compression:?}: {most}");
    }
}

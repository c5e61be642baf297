//! Thousands of open files fit the budget that a node has by default.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::config::checked::{Format, JsonCompression, ParquetCompression, ParquetFormat};
use crate::config::limits::{DELIVERY_PRESSURE_PERCENT, MEMORY_BUDGET_DEFAULT};
use crate::delivery::encode;
use crate::runtime::budget::Budget;
use crate::runtime::clock;
use crate::schema::columns::Columns;
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
            extension: "",
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

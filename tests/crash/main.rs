//! The crash matrix: the real binary under load, killed, starved, lied to and started again, and then judged by what
//! lies in the lake.
//!
//! A row is a test. It ends with a line in `target/crash-matrix.md`. Without `FOREBAY_CRASH_KILLS` rows are short
//! (`make test`); `make crash` sets it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a panic in a test is a failed test"
)]

mod chance;
mod clock;
mod cluster;
mod disk_errors;
mod fan_out;
mod full_disk;
mod kills;
mod ledger_files;
mod load;
mod log_files;
mod memory;
mod node;
mod points;
mod store_faults;
mod table;
#[path = "../kafka/topic_reader.rs"]
#[allow(dead_code, reason = "not all of what other tests need is needed here")]
mod topic_reader;
mod trial;

//! Load for Forebay, and the proof that all of it arrived.
//!
//! - [`generate`]: records as text, from a seed;
//! - [`run`]: posts records, measures, and writes down in a [`manifest`] what the server took;
//! - [`record`]: a run second by second, for plots and comparisons;
//! - [`verify`]: reads a lake back and says what is missing, duplicated, reordered or damaged.

// Tests may unwrap: a panic there is a failed test.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "a panic in a test is a failed test"
    )
)]

pub mod calibrate;
pub mod chaos;
pub mod compare;
pub mod generate;
pub mod join;
pub mod manifest;
pub mod plot;
pub mod ramp;
pub mod ranges;
pub mod record;
pub mod report;
pub mod run;
pub mod spread;
pub mod verify;

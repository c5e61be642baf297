//! Load for Forebay, and the proof that all of it arrived.
//!
//! - [`generate`]: records as text, from a seed;
//! - [`run`]: posts records, measures, and writes down in a [`manifest`] what the server took;
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

pub mod generate;
pub mod manifest;
pub mod ranges;
pub mod run;
pub mod verify;

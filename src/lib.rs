//! Forebay takes events over HTTP, keeps them in an ordered sharded log, and delivers files to a data lake.

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

pub mod config;
pub mod delivery;
pub mod json;
pub mod record;
pub mod runtime;
pub mod schema;
pub mod stream;
pub mod testkit;

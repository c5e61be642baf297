//! Forebay takes events over HTTP, keeps them in an ordered sharded log, and delivers files to a data lake.
//!
//! The flow, and the module of each step:
//!
//! 1. [`config`]: files → checked settings; [`pipeline`] builds the stages from them;
//! 2. [`edge`]: a socket → a request → its records, paid for ([`runtime::budget`]), validated ([`schema`]) in one scan
//!    of their bytes ([`json`]);
//! 3. [`node`]: the folder that durable streams live in, and what is theirs in it;
//! 4. [`stream`]: records → shards, numbered, acknowledged;
//! 5. [`tap`]: live reads of a shard;
//! 6. [`delivery`]: records → open files → sealed files → objects, or dead letters;
//! 7. [`function`]: a stage between two streams, where records go through a service of the user;
//! 8. [`kafka`]: clusters that records go to, or come from;
//! 9. [`telemetry`]: what operators see of all that.
//!
//! [`record`] is what travels.

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

pub mod cli;
pub mod config;
pub mod delivery;
pub mod edge;
pub mod function;
pub mod json;
pub mod kafka;
pub mod node;
pub mod pipeline;
pub mod record;
pub mod runtime;
pub mod schema;
pub mod stream;
pub mod tap;
pub mod telemetry;
pub mod testkit;

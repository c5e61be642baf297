//! The real binary and a real broker that speaks the protocol of Kafka, over real sockets: one module a concern.
//!
//! `tests/infra/kafka.sh COMMAND` starts the broker; without it these tests skip themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a failed test")]

mod broker;
mod check_online;
mod cluster;
mod compression;
mod cursors;
mod doors;
mod fan_out;
mod faults;
mod growth;
#[path = "../e2e/lake.rs"]
#[expect(dead_code, reason = "not all of what other tests need is needed here")]
mod lake;
mod log;
mod producer;
mod readers;
#[path = "../e2e/server.rs"]
#[expect(dead_code, reason = "not all of what other tests need is needed here")]
mod server;
mod shared_fan_out;
mod source;
#[path = "../e2e/tail_command.rs"]
mod tail_command;
mod topic_reader;
mod troubled_topic;
mod verify;

//! The real binary over real sockets: one module a concern.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a failed test")]

mod aws;
mod backup;
mod bad_input;
mod conformance;
mod delivery;
mod dlq;
mod edge;
mod idempotency;
mod lake;
mod learned;
mod node_folder;
mod partitions;
mod real_data;
mod restart;
mod server;
mod shipped;
mod shutdown;
mod store;
mod tap;
mod verify;

//! The real binary over real sockets: one module a concern.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a failed test")]

mod admin_doors;
mod any_content;
mod aws;
mod backup;
mod bad_input;
mod browser;
mod conformance;
mod cursors;
mod delivery;
mod dlq;
mod edge;
mod events;
mod gate;
mod http2;
mod http2_rules;
mod idempotency;
mod jwt;
mod lake;
mod learned;
mod limits;
mod listen;
mod mapping;
mod node_folder;
mod on_record;
mod partitions;
mod real_data;
mod reload;
mod reshard;
mod restart;
mod screen;
mod server;
mod shards;
mod shipped;
mod shutdown;
mod store;
mod strict;
mod tail;
mod tail_cursor;
mod tap;
mod transport;
mod verify;
mod websocket;
mod websocket_http2;

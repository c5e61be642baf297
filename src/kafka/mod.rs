//! Kafka: what every client of a cluster has in common, whether it is there for a fan-out, a log or a source.
//!
//! ```text
//! [[kafka]] ──▶ Connection ──▶ properties of librdkafka
//!                  ▲               │ logs, errors, wishes for a token
//!                  └───────────────┘
//! ```
//!
//! A [`Connection`] stands for one client. It makes the properties that the client is created with, and is told what the
//! client says: contexts of producers and consumers hand that on to it.

mod connection;
mod fault;
mod oauth;
pub mod ownership;
mod plain_context;
pub mod probe;
pub mod topic;

pub use connection::Connection;
pub use fault::{Fault, FaultClass};
pub use plain_context::PlainContext;

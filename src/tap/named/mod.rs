//! Named cursors: several workers share the shards of a stream, and the node keeps how far they are.
//!
//! ```text
//! worker ──GET records?cursor=C&worker=W──▶ [`reader`] ── leases ──▶ [`leases`] ── kept ──▶ cursors/STREAM/C.json
//!        ──PUT cursors/C {worker, next}───▶ checkpoint ────────────────┘
//! ```
//!
//! Of a stream in Kafka that several nodes read, all of them keep it, in a store: [`shared`].
//!
//! A record is given to a worker again until it is told that it is done: at least once, in the order of its shard, and
//! of a child shard only once its ancestors are done.

pub mod all;
mod alone;
mod balance;
pub mod connection;
pub mod cursor;
mod kept;
pub mod leases;
pub mod live;
pub mod page;
pub mod reader;
mod shared;
pub mod view;

pub use shared::Shelves;

#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod tests;

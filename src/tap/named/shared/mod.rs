//! Named cursors that several nodes keep together, of a stream in Kafka: as objects in the store of `[cluster] ledger`.
//!
//! # Objects
//! `{prefix}cursors/{stream}/{topic}/{cursor}/{number:020}.cursor`, JSON, see `sheet`. Each has all of the cursor: where
//! each shard is done, who has which, and how far that one was sent. None is ever changed; the one with the highest
//! number counts.
//!
//! # A change
//! ```text
//! the newest that this node knows ──[leases]──▶ the next ──create, if there is none of its number──▶ done
//!            ▲                                                         │ there is one
//!            └───────────────── list, read the newest ◀────────────────┘
//! ```
//! So there is one sequence of changes, whichever nodes make them: a worker whose shard has gone to another one by way of
//! another node is found out before its checkpoint is written, and before it is sent anything. Nothing is told to a client
//! before it is written. All changes can be made twice: what came of one is asked for again where the answer is lost.
//!
//! # Time
//! No two clocks are compared. A worker's sign of life is a *beat*, the number of the sheet that it was written by; a node
//! takes a worker for dead once it has seen the same beat for a lease and a quarter by its own clock. A node that begins
//! gives everybody so long, as after a restart of a node that is alone. Beats are written when the last one is a quarter
//! of a lease old, so a worker that only waits costs four small objects a lease, and never has less than a lease.
//!
//! # Removal
//! Old sheets go, but for the last few. A node that was asleep could then create a number again that was there and is
//! removed. So after each create it lists what lies above: where there is something, its own may not count, and it
//! begins anew with the newest. What it has left is below the newest, which nobody reads, and goes with the next that
//! are removed. A cursor that is deleted keeps one sheet, which says so, for the same reason.
//!
//! A store must refuse to create what is there, and list what it has confirmed, as for the
//! [ledgers](crate::delivery::ledger) of deliveries.

mod asks;
mod cursor;
mod sheet;
mod shelf;
mod table;

pub(super) use cursor::SharedCursor;
pub(super) use shelf::Shelf;
pub use shelf::Shelves;
pub(super) use table::Table;

#[cfg(test)]
mod tests;

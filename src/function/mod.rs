//! Functions: services of the user that records of a stream go through, before another stream has what they give back.
//!
//! ```text
//! clients ──▶ source stream ──read──▶ stage ──append──▶ target stream ──▶ deliveries
//!                                    │     ▲
//!                               note │     │ records, results
//!                                    ▼     │
//!                       functions/NAME.json   function (HTTP)
//! ```
//!
//! A function is called at least once for a record, and what it has given back is kept exactly once: deliveries read a
//! log that has each result once, so which file a result is in does not depend on what the function says when it is
//! asked again. Results of a call are appended together or not at all. Before that the stage writes down which records
//! they are of, and where the target ends: whoever finds that note after a crash sees by the end of the target whether
//! they are there ([`progress`]). Nobody else appends to the target, and a stage has one call under way.
//!
//! A record that the function gives up, or for which it cannot be called as often as wished, is in the target as it came,
//! with the reason: it becomes a dead letter of each delivery.

pub mod balance;
pub mod call;
pub mod contract;
pub mod progress;
mod shortage;
pub mod stage;
mod traced;
mod waiting;
mod work;

use std::time::Duration;

use crate::config::checked::Function;
use contract::Origin;

/// How records go through a function.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Which.
    pub function: Function,
    /// Bytes of records that a call is made for.
    pub buffer_bytes: u64,
    /// How long a record waits for others.
    pub buffer_interval: Duration,
    /// How often a call that has failed is made again.
    pub retries: u32,
    /// What the function is told of where records come from.
    pub origin: Origin,
}

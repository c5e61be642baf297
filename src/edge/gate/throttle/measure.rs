//! What is counted, of which requests, and at which level.

use std::fmt;
use std::sync::Arc;

use crate::config::checked::{Limit, Rate, Rates};

/// In which direction records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// A request that brings records.
    Ingest,
    /// Any other.
    Tap,
}

impl Flow {
    /// Its rates.
    pub fn rates(self, limit: &Limit) -> &Rates {
        match self {
            Flow::Ingest => &limit.ingest,
            Flow::Tap => &limit.tap,
        }
    }
}

/// What a bucket holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Requests.
    Requests,
    /// Records.
    Records,
    /// Bytes of bodies or answers.
    Bytes,
}

impl Measure {
    /// All of them, in the order of their buckets.
    pub const ALL: [Measure; 3] = [Measure::Requests, Measure::Records, Measure::Bytes];

    /// Its rate, if it is limited.
    pub fn rate(self, rates: &Rates) -> Option<Rate> {
        match self {
            Measure::Requests => rates.requests,
            Measure::Records => rates.records,
            Measure::Bytes => rates.bytes,
        }
    }

    /// How much of it something costs.
    pub fn of(self, cost: Cost) -> u64 {
        match self {
            Measure::Requests => cost.requests,
            Measure::Records => cost.records,
            Measure::Bytes => cost.bytes,
        }
    }

    /// The unit, in the words of the `RateLimit` fields as far as they have one.
    pub fn unit(self) -> &'static str {
        match self {
            Measure::Requests => "requests",
            Measure::Records => "records",
            Measure::Bytes => "content-bytes",
        }
    }

    /// Its plural.
    pub fn noun(self) -> &'static str {
        match self {
            Measure::Requests => "requests",
            Measure::Records => "records",
            Measure::Bytes => "bytes",
        }
    }
}

/// What something costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Requests.
    pub requests: u64,
    /// Records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Cost {
    /// What the head of a request that brings records tells of its cost.
    pub fn announced(content_length: Option<u64>) -> Self {
        Self { requests: 1, records: 1, bytes: content_length.unwrap_or(0) }
    }

    /// What a request costs that brings none: what it is given is not known yet.
    pub const READ: Self = Self { requests: 1, records: 0, bytes: 0 };
}

/// Whose bucket it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// A principal's.
    Principal(Arc<str>),
    /// A stream's.
    Stream(Arc<str>),
    /// A client's.
    ClientAddress,
    /// A route's.
    Route(&'static str),
    /// Everybody's.
    Global,
}

impl Level {
    /// Labels of the metric, in the order of [`Level::index`].
    pub const WORDS: [&'static str; 5] = ["principal", "stream", "client_address", "route", "global"];

    /// The place of a principal.
    pub const PRINCIPAL_INDEX: usize = 0;

    /// Its place, which is also the order in which levels are locked: the busiest ones last, so that they are held for
    /// the shortest time.
    pub fn index(&self) -> usize {
        match self {
            Level::Principal(_) => Self::PRINCIPAL_INDEX,
            Level::Stream(_) => 1,
            Level::ClientAddress => 2,
            Level::Route(_) => 3,
            Level::Global => 4,
        }
    }

    /// One word for it.
    pub fn word(&self) -> &'static str {
        Self::WORDS.get(self.index()).copied().unwrap_or_default()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Level::Principal(name) => write!(f, "principal {name}"),
            Level::Stream(name) => write!(f, "stream {name}"),
            Level::ClientAddress => f.write_str("client address"),
            Level::Route(name) => write!(f, "route {name}"),
            Level::Global => f.write_str("global"),
        }
    }
}

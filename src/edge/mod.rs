//! Edge: from a socket to an appended batch and its reply.
//!
//! ```text
//! accept ─▶ connection ─▶ route ─▶ admit ─▶ body ─▶ decode (validate, capture) ─▶ partition ─▶ append ─▶ reply
//! ```
//!
//! One current-thread runtime a core does all of it for the connections that the kernel gave to its listener
//! (`SO_REUSEPORT`), so a request never changes cores.

pub mod accept;
pub mod admit;
pub mod body;
mod connection;
mod cors;
pub mod decode;
mod ingest;
pub mod partition;
pub mod problem;
pub mod reply;
mod route;
mod streams;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::config::checked;
use crate::runtime::budget::{Budget, Share};
use crate::runtime::phases::Phases;
use crate::schema::validation::Plan;
use crate::stream::{Captures, Stream};
use crate::telemetry::metrics::{ConnectionMetrics, Registry};

pub use route::RouteMetrics;

/// A stream as the edge sees it: where its records go and what they must look like.
#[derive(Debug)]
pub struct Intake {
    /// The log behind it.
    pub stream: Arc<Stream>,
    /// `[ingest]` of its pipeline.
    pub ingest: checked::Ingest,
    /// The compiled schema and the fields to capture.
    pub plan: Plan,
    /// Number of captured fields that batches carry; a partition key that is captured besides comes behind them.
    pub slots: usize,
    /// Slot of the partition key, where it is a field.
    pub key_slot: Option<usize>,
    /// The stream's account of the ingest share.
    pub budget: Arc<Budget>,
}

impl Intake {
    /// Compiles what `ingest` asks for. `captures` are the fields that deliveries want.
    pub fn new(
        stream: Arc<Stream>,
        ingest: checked::Ingest,
        captures: &Captures,
        budget: Arc<Budget>,
    ) -> Result<Self, crate::schema::validation::SchemaError> {
        let mut all = captures.clone();
        let key_slot = match &ingest.partition_key {
            checked::PartitionKeySource::Pointer(pointer) => Some(all.slot(pointer)),
            _ => None,
        };
        let plan = Plan::compile(ingest.schema.as_deref(), all.pointers())?;
        Ok(Self { stream, ingest, plan, slots: captures.pointers().len(), key_slot, budget })
    }
}

/// Everything that a request may need. Shared by all edge threads.
#[derive(Debug)]
pub struct Edge {
    /// `[server]`.
    pub server: checked::Server,
    /// By stream name.
    pub intakes: HashMap<Arc<str>, Intake, foldhash::fast::RandomState>,
    /// The ingest share of the byte budget: an account a stream, and the last one for the pages of taps.
    pub budget: Share,
    /// The account of taps.
    pub taps_budget: Arc<Budget>,
    /// Told to stop by it.
    pub phases: Phases,
    /// Open connections of all threads.
    pub connections: AtomicUsize,
    /// Connection metrics.
    pub connection_metrics: ConnectionMetrics,
    /// Request metrics.
    pub route_metrics: RouteMetrics,
    /// One reclaim at a time.
    pub reclaiming: admit::Reclaiming,
}

impl Edge {
    /// Puts the edge together.
    pub fn new(
        server: checked::Server,
        intakes: Vec<Intake>,
        budget: Share,
        phases: Phases,
        registry: &Registry,
    ) -> Self {
        let intakes = intakes.into_iter().map(|intake| (Arc::clone(intake.stream.name()), intake)).collect();
        Self {
            server,
            intakes,
            taps_budget: budget.account(usize::MAX),
            budget,
            phases,
            connections: AtomicUsize::new(0),
            connection_metrics: registry.connections(),
            route_metrics: RouteMetrics::new(registry.clone()),
            reclaiming: admit::Reclaiming::default(),
        }
    }
}

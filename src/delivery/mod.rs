//! Delivery: a buffered route from a stream to a sink.
//!
//! ```text
//! stream ──read──▶ worker ──partition──▶ open file ──seal──▶ ledger ──▶ upload ──▶ sink ──▶ ledger
//!                     └──does not fit──▶ open file of dead letters ──┘
//! ```
//!
//! With a stream that outlives the process, every record ends up in exactly one object, or exactly once in the dead
//! letters, however often the process is killed: which file a record belongs to is a pure function of the record and
//! of the configuration ([`epoch`]), what a file has in it is written down before it is stored ([`ledger`]), and
//! storing it again changes nothing ([`sink`]).
//!
//! One task a delivery reads, encodes and seals; uploads run beside it. A record is in exactly one open file from the
//! moment it is read, and its memory is charged to the delivery's account of the byte budget until the sink has
//! confirmed the file. When the account is spent the delivery stops reading, the stream fills, and the edge refuses:
//! nothing in between is dropped. A delivery whose sink stalls cannot take the floor of another one's account.
//!
//! A delivery into Kafka has no files: see [`fan_out`].

mod backup;
pub mod classify;
pub mod dead_letters;
pub mod encode;
pub mod epoch;
pub mod fan_out;
pub mod files;
pub mod intake;
mod judge;
pub mod ledger;
mod outflow;
mod pause;
pub mod prefix;
mod ranges;
pub mod seal;
pub mod settled;
pub mod sharing;
pub mod sink;
pub mod status;
mod stop;
mod upload;
pub mod verify;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::Notify;

use self::ledger::shared::{Owner, SharedPlace};
use self::prefix::PrefixTemplate;
use crate::config::checked::{self, Placement, Selection};
use crate::runtime::budget::{Budget, Share};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::schema::registry::Registry;
use crate::schema::validation::SchemaError;
use crate::stream::{CapturePlan, Captures, ReadError, ReaderId, Stream};

pub use status::{Status, StatusReport};
pub use stop::Stop;
pub use worker::{Ended, Positions, Worker};

/// The delivery share of the budget, and the call to close files when it runs short.
#[derive(Debug)]
pub struct Memory {
    /// The share: an account a delivery.
    pub share: Share,
    pressure: Notify,
}

impl Memory {
    /// A share of `capacity` bytes for `deliveries` deliveries.
    pub fn new(capacity: u64, deliveries: usize) -> Arc<Self> {
        Arc::new(Self { share: Share::new(capacity, deliveries), pressure: Notify::new() })
    }

    /// Tells every delivery, also those that sleep over open files, to close some.
    fn call_for_seals(&self) {
        self.pressure.notify_waiters();
    }
}

/// Where a delivery finds its fields among the stream's captures.
#[derive(Debug, Clone)]
pub struct Slots {
    event_time: Option<usize>,
    prefix: Vec<usize>,
    late: Vec<usize>,
    /// Those of the delivery whose dead letters are wanted.
    judge: Option<Box<Slots>>,
}

impl Slots {
    /// Makes the slots that `config` needs.
    pub fn of(config: &checked::Delivery, captures: &mut Captures) -> Self {
        let Placement { late, future_max, .. } = &config.placement;
        let uses_event_time = config.prefix.uses_event_time() || late.is_some() || future_max.is_some();
        let event_time =
            config.event_time.as_ref().filter(|_| uses_event_time).map(|field| captures.slot(field));
        let mut slots =
            |prefix: &PrefixTemplate| prefix.pointers().iter().map(|field| captures.slot(field)).collect();
        let prefix = slots(&config.prefix);
        let late = late.as_ref().map(|late| slots(&late.prefix)).unwrap_or_default();
        let judge = match &config.selection {
            Selection::FailedIn(main) => Some(Box::new(Self::of(main, captures))),
            Selection::Fitting | Selection::All => None,
        };
        Self { event_time, prefix, late, judge }
    }

    /// Whether a record's file depends on what is in the record.
    fn has_fields(&self) -> bool {
        self.event_time.is_some() || !self.prefix.is_empty() || !self.late.is_empty()
    }
}

/// Which captures the slots of a delivery are those of.
#[derive(Debug, Clone)]
pub enum Fields {
    /// The stream's, of which it needs so many. They only ever grow, so that a slot stays where it is.
    OfStream(usize),
    /// Its own, for which each record is looked through again.
    Own(Arc<CapturePlan>),
}

impl Fields {
    /// Those of a stream that has `captures` at the moment.
    pub fn of_stream(captures: &Captures) -> Self {
        Self::OfStream(captures.pointers().len())
    }
}

/// What a worker is built from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Its part of the pipeline file.
    pub config: checked::Delivery,
    /// What it reads.
    pub stream: Arc<Stream>,
    /// Its number among the stream's deliveries.
    pub reader: ReaderId,
    /// Its fields among the captures.
    pub slots: Slots,
    /// Whose captures those are.
    pub fields: Fields,
    /// Where its files go.
    pub sink: sink::ObjectSink,
    /// What the rest of the process sees of it.
    pub status: Arc<Status>,
    /// The delivery share.
    pub memory: Arc<Memory>,
    /// Its account of the share.
    pub budget: Arc<Budget>,
    /// When this run of the process began, in microseconds: names it in the object keys of a stream without a ledger.
    pub run: u64,
    /// Id of the node, 16 hexadecimal digits. Where others can go on with the ledger, that has an id in its place.
    pub node: Arc<str>,
    /// The versions of its columns, if they are learned.
    pub schema: Option<Arc<Registry>>,
    /// Where it begins, if its ledger does not say so.
    pub begin: Begin,
    /// Where its ledger is. A stream that does not outlive the process has none.
    pub ledger: Option<LedgerParts>,
}

/// Where a delivery begins that has not read anything yet.
#[derive(Debug, Clone)]
pub enum Begin {
    /// At the oldest record that the stream has.
    Oldest,
    /// At the first record that has arrived then or later.
    At(UnixMicros),
    /// Where one before it has ended, whose balance this is. What that has read and not stored is lost.
    Behind(Positions, Arc<Status>),
}

/// The place of a ledger.
#[derive(Debug, Clone)]
pub enum LedgerParts {
    /// With this node, for it alone.
    Folder {
        /// The disk.
        disk: Arc<dyn Disk>,
        /// Its folder there, which no other delivery uses.
        folder: PathBuf,
    },
    /// Where other nodes find it as well.
    Shared(SharedLedger),
}

/// A ledger that several nodes can reach.
#[derive(Debug, Clone)]
pub struct SharedLedger {
    /// Where it is.
    place: SharedPlace,
    /// What others call this node.
    node: Arc<str>,
    /// The group of its cluster, if it has one.
    group: Option<Arc<str>>,
    /// What sinks that are folders are on.
    disk: Arc<dyn Disk>,
    /// Of the worker that has these parts, once it has taken the ledger over.
    generation: Option<u64>,
}

impl SharedLedger {
    /// The ledger at `place`, to be taken over by the node `node`. Sinks that are folders are on `disk`.
    pub fn new(place: SharedPlace, node: &str, disk: Arc<dyn Disk>) -> Self {
        Self { place, node: node.into(), group: None, disk, generation: None }
    }

    /// The same for a node of a cluster: no other cluster may go on with it.
    #[must_use]
    pub fn of_group(self, group: &Arc<str>) -> Self {
        Self { group: Some(Arc::clone(group)), ..self }
    }

    fn owner(&self) -> Owner<'_> {
        Owner { node: &self.node, group: self.group.as_deref() }
    }

    /// Where it is.
    pub fn place(&self) -> &SharedPlace {
        &self.place
    }
}

impl LedgerParts {
    /// A sink that an earlier configuration has had.
    fn open_sink(&self, config: &checked::ObjectSink) -> Result<sink::ObjectSink, sink::SinkError> {
        match self {
            LedgerParts::Folder { disk, .. } => sink::ObjectSink::open_on(config, Arc::clone(disk)),
            LedgerParts::Shared(SharedLedger { disk, generation, .. }) => {
                let sink = sink::ObjectSink::open_on(config, Arc::clone(disk))?;
                Ok(generation.map_or(sink.clone(), |generation| sink.written_by(generation)))
            }
        }
    }
}

/// Why a delivery cannot go on where its ledger says.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// It has a configuration of another version of the program.
    #[error(transparent)]
    Epoch(#[from] epoch::EpochError),
    /// It has files of a configuration that it does not tell.
    #[error("the ledger has files of epoch {number}, but not its configuration: restore it from a copy")]
    NoEpoch {
        /// The epoch.
        number: u32,
    },
    /// The sink of an earlier configuration, which still has to take files.
    #[error(
        "files that were closed under an earlier configuration go to its sink, which cannot be opened ({0}): \
         start with that configuration until they are stored"
    )]
    Sink(#[from] sink::SinkError),
    /// The log does not say where the delivery begins.
    #[error("cannot find where the delivery begins: {0}")]
    Log(#[from] ReadError),
    /// Fields of an earlier configuration.
    #[error("fields of an earlier configuration cannot be found: {0}")]
    Fields(#[from] SchemaError),
}

//! A delivery over a log that outlives its process, a disk that fails, and whoever looks at the lake afterwards.

mod checks;
mod process;
mod records;
mod variants;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::checked::{self, Delivery};
use crate::config::limits::LEDGER_SETTLED_MAX;
use crate::delivery::ledger::shared::SharedPlace;
use crate::delivery::sink::ObjectSink;
use crate::delivery::{
    Begin, Ended, Fields, LedgerParts, Memory, OpenError, Parts, SharedLedger, Slots, Status,
};
use crate::json::Pointer;
use crate::node::SchemaFile;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Share;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::runtime::progress::Progress;
use crate::schema::inference::Rules;
use crate::schema::registry::Registry as Schemas;
use crate::stream::reshard::{Change, Plan};
use crate::stream::wal::JournalClass;
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::journals::{Journals, Setting};
use crate::stream::wal::shard::DurableLog;
use crate::stream::{Backing, Captures, DurableParts, HashKey, HashRange, Retention, ShardFacts, Stream};
use crate::telemetry::metrics::{LogMetrics, Registry};
use crate::testkit::disk::SimulatedDisk;

pub use process::Process;
pub use records::{Kind, Spec};
pub use variants::config;

pub const SHARDS: u32 = 3;

/// So many shards, open and closed, a stream of these tests has at most.
const SHARDS_MAX: usize = 12;
pub const CONFIGS: usize = 10;
/// Small, so that there are several.
const SEGMENT_BYTES: u64 = 64 << 10;
/// 2026-01-01 00:00:00 UTC.
const ARRIVAL: i64 = 1_767_225_600_000_000;

/// See the module.
pub struct World {
    pub stream: Arc<Stream>,
    /// What the ledger and the lake are on.
    pub disk: SimulatedDisk,
    /// What the log is on.
    pub log_disk: SimulatedDisk,
    /// Where each record that was sent stands, by its own number.
    pub sent: Vec<(ShardId, SequenceNumber)>,
    /// What each of them was like, and its arrival.
    specs: Vec<(Spec, i64)>,
    /// What each of them is like.
    pub kinds: Vec<Kind>,
    /// Bytes that every record has besides its fields.
    pub pad: usize,
    /// What the ledger may remember beyond the cursor.
    pub settled_max: usize,
    /// Whether columns are learned, and how.
    pub learns: Option<Rules>,
    /// Whether the delivery has one.
    pub keeps_ledger: bool,
    /// Where it begins if that does not say so.
    pub begin: Begin,
    registry: Registry,
    captures: Captures,
    process: Option<Process>,
    /// Where the ledger is if others can reach it, and what this node is called.
    pub shared: Option<(SharedPlace, String)>,
    /// How the last process has ended that has ended by itself.
    pub ended: Option<Ended>,
}

pub fn ledger_folder() -> PathBuf {
    PathBuf::from("/data/ledger/s/d")
}

impl World {
    /// With a log in memory, which is taken for one that survives everything.
    pub fn new(seed: u64) -> Self {
        let no_log = |_: &SimulatedDisk| Backing::Memory;
        Self::with_log(seed, checked::Durability::Memory, no_log)
    }

    /// With a log on a disk.
    pub fn durable(seed: u64) -> Self {
        Self::with_log(seed, checked::Durability::Fsync, |disk| {
            let setting = Setting {
                disk: Arc::new(disk.clone()),
                folder: "/log".into(),
                node: [7; 8],
                segment_bytes: SEGMENT_BYTES,
                writer: checked::LogWriter::Thread,
                accept_damage: false,
                replies_since: UnixMicros(0),
            };
            let metrics = |_| LogMetrics::none();
            let needed = [JournalClass::Fsync];
            let (journals, _) = Journals::open(&setting, &needed, &metrics, &Progress::default()).unwrap();
            let journal = Arc::clone(journals.get(JournalClass::Fsync).unwrap());
            let retention = Retention { age: Duration::from_secs(3_600), bytes: None };
            let shard = |number| {
                let origin = SequenceNumber(1_000 * u64::from(number));
                Arc::new(DurableLog::new(ShardNumber(number), origin, Vec::new(), retention, 1))
            };
            let facts = ShardFacts::even(SHARDS, 0, SequenceNumber(0));
            let shards = facts.zip((1..=SHARDS).map(shard)).collect();
            let parts = DurableParts { journal, number: 1, shards, next_id: ShardId(SHARDS) };
            Backing::Durable(parts, Vec::new())
        })
    }

    fn with_log(
        seed: u64,
        durability: checked::Durability,
        backing: impl FnOnce(&SimulatedDisk) -> Backing,
    ) -> Self {
        let registry = Registry::new().unwrap();
        let config = checked::Stream {
            name: "s".into(),
            shards: SHARDS,
            durability,
            retention: Duration::from_secs(3_600),
            retention_bytes: None,
            idempotency_window: Duration::ZERO,
            log: Default::default(),
            quotas: Default::default(),
        };
        let mut captures = Captures::default();
        for field in ["/p", "/at"] {
            captures.slot(&Pointer::parse(field).unwrap());
        }
        let (plan, metrics) = (captures.plan().unwrap(), registry.stream("s"));
        let log_disk = SimulatedDisk::new(seed);
        let stream = Arc::new(Stream::new(&config, backing(&log_disk), 1, plan, metrics));
        let disk = SimulatedDisk::new(seed);
        for folder in ["/data", "/lake", "/pond"] {
            disk.create_folder(Path::new(folder)).unwrap();
        }
        let (sent, specs, kinds, settled_max) = (Vec::new(), Vec::new(), Vec::new(), LEDGER_SETTLED_MAX);
        Self {
            stream,
            disk,
            log_disk,
            sent,
            specs,
            kinds,
            pad: 60,
            settled_max,
            learns: None,
            keeps_ledger: true,
            begin: Begin::Oldest,
            registry,
            captures,
            process: None,
            shared: None,
            ended: None,
        }
    }

    /// Splits an open shard, or merges it with the next one.
    pub async fn reshard(&mut self, shard: u32, splits: bool) {
        let layout = self.stream.layout();
        let open: Vec<ShardFacts> = layout.open().map(|shard| shard.facts).collect();
        let index = shard as usize % open.len();
        let HashRange { first, last } = open[index].hash_keys;
        let shard = open[index].id;
        let change = match open.get(index + 1).filter(|_| !splits) {
            Some(next) => Change::Merge { shard, adjacent: next.id },
            None => Change::Split { shard, at: HashKey(first + (last - first) / 2 + 1) },
        };
        if layout.shards().len() + 2 > SHARDS_MAX {
            return;
        }
        let resharding = self.stream.reshard(|layout| Plan::new(layout, &[change])).await.unwrap();
        let replacement = resharding.replacement(UnixMicros(ARRIVAL));
        let retention = Retention { age: Duration::from_secs(3_600), bytes: None };
        let log = |facts: &ShardFacts| {
            let number = ShardNumber(100 + facts.id.0);
            Arc::new(DurableLog::new(number, facts.first, Vec::new(), retention, 1))
        };
        let durable = replacement.children.iter().filter(|_| self.stream.is_on_disk()).map(log);
        resharding.install(&replacement, durable.collect());
    }

    /// The versions of the columns, as they are on the disk.
    pub fn schema(&self) -> Option<Schemas> {
        let rules = self.learns?;
        let file = SchemaFile::at(Arc::new(self.disk.clone()), Path::new("/data"), "s");
        Some(Schemas::new(rules, file.read().unwrap(), Some(Box::new(file))))
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub fn parts(&mut self, mut config: Delivery, memory_bytes: u64) -> Result<Parts, OpenError> {
        let schema = self.schema().map(Arc::new);
        if let Some(schema) = &schema {
            config.format = config.format.with_columns(Arc::clone(&schema.latest().columns));
        }
        let status = Arc::new(Status::new(Arc::clone(&self.stream), &config.name, &self.registry));
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let slots = Slots::of(&config, &mut self.captures);
        self.stream.capture(self.captures.plan()?);
        Ok(Parts {
            stream: Arc::clone(&self.stream),
            reader: 0,
            slots,
            fields: Fields::of_stream(&self.captures),
            sink: ObjectSink::open_on(&config.sink, Arc::clone(&disk))?,
            status,
            memory: Memory::new(memory_bytes, 1),
            budget: Share::new(memory_bytes, 1).account(0),
            run: 0,
            node: "0123456789abcdef".into(),
            schema,
            begin: self.begin.clone(),
            ledger: self.keeps_ledger.then(|| self.ledger_parts(disk)),
            config,
        })
    }

    fn ledger_parts(&self, disk: Arc<dyn Disk>) -> LedgerParts {
        match &self.shared {
            Some((place, node)) => LedgerParts::Shared(SharedLedger::new(place.clone(), node, disk)),
            None => LedgerParts::Folder { disk, folder: ledger_folder() },
        }
    }
}

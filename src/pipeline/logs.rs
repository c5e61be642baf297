//! The logs of durable streams: opened before any stage is built, closed behind the last one.

mod changes;

pub use changes::NotNoted;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::config::checked::{self, Config, Durability};
use crate::node::{Catalog, CatalogShard, CatalogStream, Changes, DurabilityChange, NodeError, NodeFolder};
use crate::runtime::clock::{self, UnixMicros};
use crate::runtime::disk::{Disk, RealDisk};
use crate::runtime::phases::{Phase, Phases};
use crate::schema::validation::SchemaError;
use crate::stream::wal::JournalClass;
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::journals::{Content, Journals, Setting};
use crate::stream::wal::shard::DurableLog;
use crate::stream::{Backing, Captures, DurableParts, Retention, ShardFacts, ShardLog, Stream};
use crate::telemetry::metrics::Registry;

/// How the logs are read back, and who is told how far that is.
#[derive(Debug)]
pub struct Recovery<'a> {
    /// Whether damaged parts are left out instead of being an error.
    pub accept_damage: bool,
    /// Its progress is counted here; and it may be told to stop.
    pub phases: &'a Phases,
    /// What it has cost and found.
    pub registry: &'a Registry,
}

/// What durable streams live in.
#[derive(Debug)]
pub struct Logs {
    /// Before the folder, so that they have ended when its lock is given back.
    journals: Journals,
    /// What was found, until each stream has taken its part.
    content: Content,
    /// Numbers of the streams that have.
    taken: HashSet<u32>,
    /// Every shard.
    shards: Vec<Arc<DurableLog>>,
    /// Streams that no pipeline names.
    unnamed: Vec<Arc<Stream>>,
    /// The streams of the folder, in step with the configuration.
    pub catalog: Catalog,
    /// Whether the catalog on the disk is another one.
    unsaved: bool,
    /// Streams whose pipeline files ask for another number of shards than before.
    resized: Vec<(String, u32)>,
    /// What journals are opened with.
    setting: Setting,
    /// The node's folder, locked.
    pub folder: NodeFolder,
}

impl Logs {
    /// Opens the node's folder and what is in it. Nothing is made where no stream is durable and nobody has a quota; a folder that has been
    /// made is opened all the same, since its streams might be hidden otherwise.
    pub fn open(config: &Config, recovery: &Recovery<'_>) -> Result<Option<Self>, StartError> {
        let (disk, path): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), &config.node.data_dir);
        let mut streams = config.pipelines.iter().map(|pipeline| &pipeline.stream);
        // Deliveries of a stream in a topic keep their ledgers there, unless other nodes are to find them.
        let is_alone = config.node.cluster.is_none();
        let some_durable =
            streams.any(|stream| stream.durability.is_durable() || is_alone && stream.log.kafka().is_some());
        // What quotas count is kept there as well.
        let some_quota = config.node.have_quotas();
        if !some_durable && !some_quota && !NodeFolder::is_begun(&*disk, path) {
            return Ok(None);
        }
        Self::open_in(disk, config, recovery).map(Some)
    }

    fn open_in(disk: Arc<dyn Disk>, config: &Config, recovery: &Recovery<'_>) -> Result<Self, StartError> {
        let path = &config.node.data_dir;
        let begun = clock::monotonic();
        recovery.phases.advance(Phase::Recovering);
        let folder = NodeFolder::open(disk, path, config.node.name.as_deref())?;
        let mut catalog = Catalog::open(&folder)?;
        let streams = config.pipelines.iter().map(|pipeline| &pipeline.stream);
        let changes = catalog.reconcile(streams, clock::wall())?;
        tell(&changes);
        tracing::info!(data_dir = %path.display(), node = %folder.id(), name = folder.name(), "the node's folder is open");
        if recovery.accept_damage {
            tracing::warn!("damaged parts of the log are left out where there are any (--accept-damage)");
        }
        let setting = setting(&folder, config, recovery.accept_damage);
        let (journals, content) = open_journals(&setting, config, recovery)?;
        if recovery.phases.progress().is_stopped() {
            return Err(StartError::Stopped);
        }
        tell_recovered(recovery.registry, &content, begun.elapsed());
        Ok(Self {
            journals,
            content,
            taken: HashSet::new(),
            shards: Vec::new(),
            unnamed: Vec::new(),
            catalog,
            unsaved: changes.must_be_saved(),
            resized: changes.resized,
            setting,
            folder,
        })
    }

    /// Streams whose pipeline files ask for another number of shards than before.
    pub fn resized(&self) -> &[(String, u32)] {
        &self.resized
    }

    /// Makes the catalog durable. To be done before a record is taken, and not earlier than that: a start that fails
    /// has then bound nobody to its settings.
    pub fn save_catalog(&mut self) -> Result<(), NodeError> {
        if self.unsaved {
            self.catalog.save(&self.folder)?;
            self.unsaved = false;
        }
        Ok(())
    }

    /// What keeps the records of a stream for `readers` deliveries. To be asked for once a stream.
    pub fn backing(&mut self, config: &checked::Stream, readers: usize) -> Backing {
        let stream = self.catalog.stream(&config.name).cloned();
        let journal = class_of(config.durability).and_then(|class| self.journals.get(class).cloned());
        let (Some(stream), Some(journal)) = (stream, journal) else { return Backing::Memory };
        let retention = Retention { age: config.retention, bytes: config.retention_bytes };
        let share = retention.of_one_shard(u32::try_from(stream.shards.len()).unwrap_or(u32::MAX));
        let shards = self.shards_of(&stream, share, readers);
        let parts = DurableParts { journal, number: stream.number, shards, next_id: stream.next_id };
        let replies = self.content.replies.remove(&stream.number).unwrap_or_default();
        Backing::Durable(parts, replies)
    }

    /// Keeps the records of streams that no pipeline names any more for as long as they were promised, and no longer:
    /// they lie between those of others. To be called once every stream has its backing.
    pub fn keep_unnamed(&mut self, registry: &Registry) -> Result<(), SchemaError> {
        let unnamed: Vec<_> =
            self.catalog.streams().filter(|stream| !self.taken.contains(&stream.number)).cloned().collect();
        for stream in unnamed {
            let config = checked::Stream {
                name: stream.name.clone(),
                shards: stream.shards.len() as u32,
                durability: stream.durability,
                retention: stream.retention,
                retention_bytes: None,
                idempotency_window: Duration::ZERO,
                log: Default::default(),
                quotas: Default::default(),
            };
            let backing = self.backing(&config, 0);
            let metrics = registry.stream(&stream.name);
            let plan = Captures::default().plan()?;
            self.unnamed.push(Arc::new(Stream::new(&config, backing, 0, plan, metrics)));
        }
        self.leave_leftovers();
        Ok(())
    }

    fn shards_of(
        &mut self,
        stream: &CatalogStream,
        retention: Retention,
        readers: usize,
    ) -> Vec<(ShardFacts, Arc<DurableLog>)> {
        self.taken.insert(stream.number);
        let mut shards = Vec::with_capacity(stream.shards.len());
        for &CatalogShard { number, facts } in &stream.shards {
            let number = ShardNumber(number);
            let parts = self.content.parts.remove(&number).unwrap_or_default();
            let log = DurableLog::new(number, facts.first, parts, retention, readers);
            // The end is in the catalog, whatever the log has lost.
            facts.end.into_iter().for_each(|end| log.skip_to(end));
            shards.push((facts, Arc::new(log)));
        }
        self.shards.extend(shards.iter().map(|(_, log)| Arc::clone(log)));
        shards
    }

    /// Takes away what nobody needs; and, where the disk is full, the oldest segment if all of it has outlived its
    /// retention, although a delivery has not stored it. To be called every second or so, after the streams have let
    /// go of what is released.
    pub fn housekeeping(&self, now: UnixMicros) {
        for stream in &self.unnamed {
            stream.enforce_retention(now);
        }
        for (class, journal) in self.journals.iter() {
            let records = journal.housekeeping(&self.shards, now);
            if records > 0 {
                tracing::error!(
                    journal = class.as_str(),
                    records,
                    "the disk is full: the oldest segment, which is beyond its retention, was removed although \
                     deliveries had not stored these records"
                );
            }
        }
    }

    /// Brings the gauges of the journals up to date.
    pub fn refresh_gauges(&self, registry: &Registry) {
        for (class, journal) in self.journals.iter() {
            let (metrics, (segments, bytes)) = (registry.log(class.as_str()), journal.usage());
            metrics.segments.set(segments as f64);
            metrics.disk_bytes.set(bytes as f64);
        }
    }

    /// The journals.
    pub fn journals(&self) -> &Journals {
        &self.journals
    }
}

/// The journal of a durability.
pub(super) fn class_of(durability: Durability) -> Option<JournalClass> {
    match durability {
        Durability::Fsync => Some(JournalClass::Fsync),
        Durability::Os => Some(JournalClass::Os),
        Durability::Memory | Durability::Kafka => None,
    }
}

fn setting(folder: &NodeFolder, config: &Config, accept_damage: bool) -> Setting {
    let streams = config.pipelines.iter().map(|pipeline| &pipeline.stream);
    let window = streams.map(|stream| stream.idempotency_window).max().unwrap_or_default();
    let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
    Setting {
        disk: Arc::clone(folder.disk()),
        folder: folder.log(),
        node: folder.id().as_u64().to_be_bytes(),
        segment_bytes: config.node.log.segment_bytes,
        writer: config.node.log.writer,
        accept_damage,
        replies_since: UnixMicros(clock::wall().0.saturating_sub(window)),
    }
}

fn open_journals(
    setting: &Setting,
    config: &Config,
    recovery: &Recovery<'_>,
) -> Result<(Journals, Content), StartError> {
    let streams = config.pipelines.iter().map(|pipeline| &pipeline.stream);
    let needed: Vec<_> = streams.filter_map(|stream| class_of(stream.durability)).collect();
    let metrics = |class: JournalClass| recovery.registry.log(class.as_str());
    Ok(Journals::open(setting, &needed, &metrics, recovery.phases.progress())?)
}

/// What reading the logs back has cost, and what it has not found.
fn tell_recovered(registry: &Registry, content: &Content, time: Duration) {
    let Content { verified_bytes: bytes, damaged_bytes, .. } = *content;
    let (seconds, metrics) = (time.as_secs_f64(), registry.recovery());
    metrics.seconds.set(seconds);
    metrics.recovered_bytes.set(bytes as f64);
    metrics.damaged_bytes.increment(damaged_bytes);
    if bytes > 0 {
        let rate = bytes as f64 / 1e9 / seconds.max(1e-9);
        tracing::info!(bytes, seconds, gigabytes_per_second = rate, "the log was read back");
    }
    if damaged_bytes > 0 {
        tracing::error!(damaged_bytes, "acknowledged records were left out, because they are damaged");
    }
}

fn tell(changes: &Changes) {
    for stream in &changes.added {
        tracing::info!(stream, "new durable stream");
    }
    for DurabilityChange { stream, from, to } in &changes.changed {
        tracing::info!(stream, from = from.as_str(), to = to.as_str(), "new records get another durability");
    }
    for stream in &changes.unnamed {
        tracing::warn!(
            stream,
            "no pipeline file names this durable stream any more; its records stay until their retention is over"
        );
    }
}

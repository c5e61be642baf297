//! The logs of the node's durable streams: folder, catalog and journals put together.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::{Catalog, CatalogError, NodeError, NodeFolder};
use crate::config::checked::{self, Durability, LogWriter};
use crate::runtime::clock::{self, UnixMicros};
use crate::stream::wal::JournalClass;
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::journal::LogMetrics;
use crate::stream::wal::journals::{Content, Journals, OpenError, Setting};
use crate::stream::wal::shard::DurableLog;
use crate::stream::wal::writer::WriterChoice;
use crate::stream::{Backing, DurableParts, Retention};

/// Why the logs cannot be used.
#[derive(Debug, Error)]
pub enum LogsError {
    /// The folder or its catalog.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The configuration asks for what the catalog does not allow.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The journals.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// See the module.
#[derive(Debug)]
pub struct Logs {
    folder: NodeFolder,
    catalog: Catalog,
    journals: Journals,
    content: Content,
}

impl Logs {
    /// Brings the catalog in step with `streams`, recovers what is in the folder, and starts the journals. `verified`
    /// is told how many bytes of each journal are recovered.
    pub fn open(
        folder: NodeFolder,
        log: &checked::Log,
        streams: &[&checked::Stream],
        options: &OpenOptions<'_>,
        verified: &mut dyn FnMut(u64),
    ) -> Result<Self, LogsError> {
        let now = clock::wall();
        let mut catalog = Catalog::open(&folder)?;
        let changes = catalog.reconcile(streams.iter().copied(), now)?;
        for stream in &changes.unnamed {
            tracing::warn!(stream, "no pipeline file names this durable stream: its records stay in the log");
        }
        if changes.must_be_saved() {
            catalog.save(&folder)?;
        }
        let durable: Vec<_> = streams.iter().filter_map(|stream| class_of(stream.durability)).collect();
        let window = streams.iter().map(|stream| stream.idempotency_window).max().unwrap_or(Duration::ZERO);
        let setting = Setting {
            disk: Arc::clone(folder.disk()),
            folder: folder.log(),
            node: folder.id().as_u64().to_be_bytes(),
            segment_bytes: log.segment_bytes,
            writer: writer_of(log.writer),
            accept_damage: options.accept_damage,
            replies_since: UnixMicros(now.0.saturating_sub(window.as_micros() as i64)),
        };
        let (journals, content) = Journals::open(&setting, &durable, options.metrics, verified)?;
        Ok(Self { folder, catalog, journals, content })
    }

    /// What keeps the records of a stream for `readers` deliveries. To be asked for once a stream.
    pub fn backing(&mut self, config: &checked::Stream, readers: usize) -> Backing {
        let stream = self.catalog.stream(&config.name);
        let journal = class_of(config.durability).and_then(|class| self.journals.get(class));
        let (Some(stream), Some(journal)) = (stream, journal) else { return Backing::Memory };
        let retention = Retention { age: config.retention, bytes: config.retention_bytes };
        let share = retention.of_one_shard(config.shards);
        let shards = stream.shards.iter().map(|shard| {
            let number = ShardNumber(shard.number);
            let parts = self.content.parts.remove(&number).unwrap_or_default();
            Arc::new(DurableLog::new(number, shard.first, parts, share, readers))
        });
        let parts =
            DurableParts { journal: Arc::clone(journal), number: stream.number, shards: shards.collect() };
        let replies = self.content.replies.remove(&stream.number).unwrap_or_default();
        Backing::Durable(parts, replies)
    }

    /// The node's folder.
    pub fn folder(&self) -> &NodeFolder {
        &self.folder
    }

    /// The journals.
    pub fn journals(&self) -> &Journals {
        &self.journals
    }

    /// Bytes that were verified at the start, and those that are lost.
    pub fn recovered(&self) -> (u64, u64) {
        (self.content.verified_bytes, self.content.damaged_bytes)
    }
}

/// How logs are opened.
pub struct OpenOptions<'a> {
    /// Whether to go on behind damage.
    pub accept_damage: bool,
    /// The metric handles of a journal.
    pub metrics: &'a dyn Fn(JournalClass) -> LogMetrics,
}

/// The journal of a durability.
fn class_of(durability: Durability) -> Option<JournalClass> {
    match durability {
        Durability::Fsync => Some(JournalClass::Fsync),
        Durability::Os => Some(JournalClass::Os),
        Durability::Memory => None,
    }
}

fn writer_of(writer: LogWriter) -> WriterChoice {
    match writer {
        LogWriter::Auto => WriterChoice::Auto,
        LogWriter::IoUring => WriterChoice::IoUring,
        LogWriter::Thread => WriterChoice::Thread,
    }
}

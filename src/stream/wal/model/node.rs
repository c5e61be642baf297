//! A process: streams on a journal without threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::profile::Profile;
use crate::config::checked::{self, LogWriter};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::runtime::progress::Progress;
use crate::stream::wal::JournalClass;
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::journal::stepped::Stepped;
use crate::stream::wal::journal::{Journal, Options, Patience};
use crate::stream::wal::journals::check_complete;
use crate::stream::wal::recovery::{self, KeptReply, Source};
use crate::stream::wal::shard::DurableLog;
use crate::stream::{Backing, Captures, DurableParts, Retention, ShardFacts, Stream};
use crate::telemetry::metrics::{LogMetrics, Registry};
use crate::testkit::disk::SimulatedDisk;

const NODE: [u8; 8] = *b"node-id!";
const NO_PATIENCE: Patience = Patience { retry: Duration::ZERO, spare: Duration::ZERO, turn: Duration::ZERO };

/// The number of the very first record of every shard.
pub const ORIGIN: u64 = 1_000;

pub struct Node {
    pub journal: Arc<Journal>,
    pub threads: Stepped,
    pub streams: Vec<Stream>,
}

pub fn folder() -> PathBuf {
    PathBuf::from("log")
}

/// The number of a shard in the frames.
fn shard_number(stream: usize, shard: u32) -> ShardNumber {
    ShardNumber(100 * stream as u32 + shard)
}

impl Node {
    /// A start of the process.
    pub fn start(disk: &SimulatedDisk, profile: &Profile, now: UnixMicros) -> Result<Self, String> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let folder = folder();
        disk.create_folder(&folder).map_err(|error| error.to_string())?;
        let replies_since = UnixMicros(now.0 - profile.window.as_micros() as i64);
        let class = profile.class;
        let source =
            Source { disk: &disk, folder: &folder, class, node: NODE, accept_damage: false, replies_since };
        let mut recovered =
            recovery::recover(source, &Progress::default()).map_err(|error| error.to_string())?;
        check_complete(&folder, &recovered).map_err(|error| error.to_string())?;
        let options = options(&disk, &folder, profile);
        let (journal, threads) =
            Journal::stepped(options, recovered.resume).map_err(|error| error.to_string())?;
        let journal = Arc::new(journal);
        let registry = Registry::new().unwrap();
        let retention = Retention { age: profile.retention, bytes: profile.retention_bytes };
        let streams = profile.streams.iter().enumerate().map(|(stream, &count)| {
            let config = config(profile, stream, count);
            let shards = (0..count).map(|shard| {
                let number = shard_number(stream, shard);
                let parts = recovered.parts.remove(&number).unwrap_or_default();
                let share = retention.of_one_shard(count);
                Arc::new(DurableLog::new(number, SequenceNumber(ORIGIN), parts, share, profile.readers))
            });
            let parts = DurableParts {
                journal: Arc::clone(&journal),
                number: stream as u32,
                shards: ShardFacts::even(count, 0, SequenceNumber(ORIGIN)).zip(shards).collect(),
                next_id: ShardId(count),
            };
            let kept: Vec<KeptReply> =
                recovered.replies.iter().filter(|reply| reply.stream == stream as u32).cloned().collect();
            let plan = Captures::default().plan().unwrap();
            let backing = Backing::Durable(parts, kept);
            Stream::new(&config, backing, profile.readers, plan, registry.stream("s"))
        });
        let streams = streams.collect();
        Ok(Self { journal, threads, streams })
    }
}

fn options(disk: &Arc<dyn Disk>, folder: &Path, profile: &Profile) -> Options {
    Options {
        disk: Arc::clone(disk),
        folder: folder.to_owned(),
        class: profile.class,
        segment_bytes: profile.segment_bytes,
        writer: LogWriter::Thread,
        node: NODE,
        metrics: LogMetrics::none(),
        patience: NO_PATIENCE,
    }
}

fn config(profile: &Profile, stream: usize, shards: u32) -> checked::Stream {
    checked::Stream {
        name: format!("s{stream}"),
        shards,
        durability: match profile.class {
            JournalClass::Fsync => checked::Durability::Fsync,
            JournalClass::Os => checked::Durability::Os,
        },
        retention: profile.retention,
        retention_bytes: profile.retention_bytes,
        idempotency_window: profile.window,
        log: Default::default(),
        quotas: Default::default(),
    }
}

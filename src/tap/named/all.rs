//! The named cursors of a stream.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::alone::{self, Turn};
use super::cursor::{NamedCursor, Place};
use super::kept::KeptText;
use super::leases::Leases;
use crate::config::limits::CURSORS_MAX;
use crate::edge::problem::Problem;
use crate::node::{DocumentFolder, NodeError};
use crate::record::ShardId;
use crate::runtime::clock;
use crate::runtime::disk::Disk;
use crate::stream::{ShardFacts, Stream};
use crate::tap::cursor::Cursor;
use crate::telemetry::metrics::{CursorGauges, CursorMetrics, Registry};

/// See the module. Those of a durable stream are in the node's folder.
#[derive(Debug)]
pub struct NamedCursors {
    stream: Arc<Stream>,
    cursors: Mutex<Cursors>,
    /// One is made or deleted at a time.
    changing: Turn,
    files: Option<(DocumentFolder, u32)>,
    registry: Option<Registry>,
}

#[derive(Debug, Default)]
struct Cursors {
    by_name: BTreeMap<Arc<str>, Arc<NamedCursor>>,
    /// The stream is gone.
    are_gone: bool,
}

/// What a new cursor begins with.
#[derive(Debug, Clone)]
pub struct NewCursor {
    /// Its name.
    pub name: String,
    /// Where it begins in each shard.
    pub from: Cursor,
    /// How long a worker keeps its shards without a sign of life.
    pub lease: Duration,
}

impl NamedCursors {
    /// Those of a stream, in memory: none yet.
    pub fn in_memory(stream: &Arc<Stream>, registry: Option<&Registry>) -> Arc<Self> {
        Arc::new(Self {
            stream: Arc::clone(stream),
            cursors: Mutex::default(),
            changing: Arc::default(),
            files: None,
            registry: registry.cloned(),
        })
    }

    /// Those of a stream, in the node's folder at `data_dir` if it is durable. Cursors of an earlier stream of its name
    /// are taken away.
    ///
    /// # Errors
    /// If a file cannot be read or is damaged.
    pub fn open(
        stream: &Arc<Stream>,
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        registry: &Registry,
    ) -> Result<Arc<Self>, NodeError> {
        let Some(number) = stream.number() else { return Ok(Self::in_memory(stream, Some(registry))) };
        let files = DocumentFolder::of_cursors(disk, data_dir, stream.name());
        let mut by_name = BTreeMap::new();
        for (path, text) in files.read_all::<KeptText>()? {
            if text.stream != number {
                files.remove(&text.cursor)?;
                continue;
            }
            let kept = text.read().map_err(|what| NodeError::Damaged { path, what })?;
            let layout = stream.layout();
            let facts = layout.shards().iter().map(|shard| &shard.facts);
            let end = |shard: ShardId| Some(layout.get(shard)?.log_ref().bounds().next);
            let leases = Leases::restore(&kept, facts, end, clock::monotonic());
            let place = Place { files: files.clone(), stream: number };
            let metrics = registry.cursors(stream.name());
            let cursor = NamedCursor::new(&text.cursor, stream, (leases, layout), Some(place), metrics);
            by_name.insert(Arc::clone(cursor.name()), Arc::new(cursor));
        }
        Ok(Arc::new(Self {
            stream: Arc::clone(stream),
            cursors: Mutex::new(Cursors { by_name, are_gone: false }),
            changing: Arc::default(),
            files: Some((files, number)),
            registry: Some(registry.clone()),
        }))
    }

    fn cursors(&self) -> MutexGuard<'_, Cursors> {
        // Nothing panics while it is changed.
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, name: &str) -> Result<Arc<NamedCursor>, Problem> {
        let unknown = || Problem::UnknownCursor(name.to_owned());
        self.cursors().by_name.get(name).cloned().ok_or_else(unknown)
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<Arc<NamedCursor>> {
        self.cursors().by_name.values().cloned().collect()
    }

    /// The gauges of all of them.
    pub fn gauges(&self) -> Vec<CursorGauges> {
        let gauges = |cursor: Arc<NamedCursor>| {
            let totals = cursor.totals()?;
            let (stream, cursor) = (Arc::clone(self.stream.name()), Arc::clone(cursor.name()));
            Some(CursorGauges { stream, cursor, lag: totals.lag, leases: totals.leased_shards as u64 })
        };
        self.list().into_iter().filter_map(gauges).collect()
    }

    /// Makes one, durable where the stream is, unless there is one of its name; returns whether it was made.
    ///
    /// # Errors
    /// If there are too many, or it cannot be kept.
    pub async fn create(self: &Arc<Self>, new: NewCursor) -> Result<(Arc<NamedCursor>, bool), Problem> {
        self.change(move |cursors| cursors.create_now(&new)).await
    }

    fn create_now(&self, new: &NewCursor) -> Result<(Arc<NamedCursor>, bool), Problem> {
        {
            let cursors = self.cursors();
            if let Some(known) = cursors.by_name.get(new.name.as_str()) {
                return Ok((Arc::clone(known), false));
            }
            if cursors.by_name.len() >= CURSORS_MAX {
                let detail = format!("the stream has {CURSORS_MAX} cursors, which is the most: delete one");
                return Err(Problem::CannotChange(detail));
            }
        }
        let (stream, name) = (&self.stream, new.name.as_str());
        let layout = stream.layout();
        let facts = layout.shards().iter().map(|shard| &shard.facts);
        // A shard that was made since the position was looked up is a child, which is read from its beginning.
        let leases = Leases::new(new.lease, facts, |shard| new.from.position(shard));
        let place =
            self.files.as_ref().map(|(files, number)| Place { files: files.clone(), stream: *number });
        let metrics = self.registry.as_ref().map(|registry| registry.cursors(stream.name()));
        let metrics = metrics.unwrap_or_else(CursorMetrics::noop);
        let cursor = Arc::new(NamedCursor::new(name, stream, (leases, layout), place, metrics));
        cursor.write(|leases| leases.kept(&[]))?;
        let mut cursors = self.cursors();
        if cursors.are_gone {
            drop(cursors);
            cursor.remove(true)?;
            return Err(Problem::UnknownStream(stream.name().to_string()));
        }
        cursors.by_name.insert(Arc::clone(cursor.name()), Arc::clone(&cursor));
        tracing::info!(stream = %stream.name(), cursor = name, from = %new.from, "a named cursor was made");
        Ok((cursor, true))
    }

    /// Deletes one.
    ///
    /// # Errors
    /// If there is none, or its file cannot be taken away.
    pub async fn delete(self: &Arc<Self>, name: &str) -> Result<(), Problem> {
        let name = name.to_owned();
        self.change(move |cursors| {
            let cursor = cursors.get(&name)?;
            cursor.remove(false)?;
            cursors.cursors().by_name.remove(name.as_str());
            tracing::info!(stream = %cursors.stream.name(), cursor = name, "a named cursor was deleted");
            Ok(())
        })
        .await
    }

    /// Deletes all of them with their stream. Blocks the thread.
    pub fn delete_all(&self) {
        let all = {
            let mut cursors = self.cursors();
            cursors.are_gone = true;
            std::mem::take(&mut cursors.by_name)
        };
        for cursor in all.values() {
            if let Err(problem) = cursor.remove(true) {
                // The next start finds that it belongs to no stream.
                let (stream, why) = (self.stream.name(), problem.detail());
                tracing::warn!(%stream, cursor = %cursor.name(), why, "the file of a deleted cursor stays for now");
            }
        }
    }

    /// Follows the shards of the stream. To be called before closed ones are forgotten.
    pub fn follow(&self) {
        self.list().iter().for_each(|cursor| cursor.follow());
    }

    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        alone::run(&self.changing, (self, self.files.is_some()), change).await
    }

    /// Where a cursor begins that reads from the first record or behind the last one.
    pub fn ends(&self, earliest: bool) -> Cursor {
        let layout = self.stream.layout();
        let position = |facts: &ShardFacts| {
            let bounds = layout.get(facts.id)?.log_ref().bounds();
            Some((facts.id, if earliest { bounds.first } else { bounds.next }))
        };
        Cursor { positions: layout.shards().iter().filter_map(|shard| position(&shard.facts)).collect() }
    }
}

//! The named cursors of a stream.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::alone::{self, Turn};
use super::cursor::{NamedCursor, Place, no_shards};
use super::kept::{KeptOf, KeptText};
use super::leases::Leases;
use super::shared::{Shelves, Table};
use crate::config::limits::{CURSOR_NAMES_MAX, CURSORS_MAX};
use crate::edge::problem::Problem;
use crate::node::{DocumentFolder, NodeError};
use crate::runtime::disk::Disk;
use crate::stream::{Layout, ShardFacts, Stream};
use crate::tap::cursor::Cursor;
use crate::telemetry::metrics::{CursorGauges, CursorMetrics, Registry};

/// Where the cursors of a stream are kept.
#[derive(Debug)]
enum Home {
    /// In memory, as the stream.
    Memory,
    /// In the node's folder.
    Folder(DocumentFolder, KeptOf),
    /// In a store that other nodes reach as well.
    Store(Shelves),
}

/// Where the nodes of a cluster keep cursors of streams in Kafka together.
#[derive(Debug)]
pub enum Together {
    /// This node is alone.
    Alone,
    /// There.
    In(Shelves),
}

/// See the module. Those of a durable stream are in the node's folder.
#[derive(Debug)]
pub struct NamedCursors {
    stream: Arc<Stream>,
    cursors: Mutex<Cursors>,
    /// One is made or deleted at a time.
    changing: Turn,
    home: Home,
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

fn unknown(name: &str) -> Problem {
    Problem::UnknownCursor(name.to_owned())
}

impl NamedCursors {
    /// Those of a stream, in memory: none yet.
    pub fn in_memory(stream: &Arc<Stream>, registry: Option<&Registry>) -> Arc<Self> {
        Arc::new(Self {
            stream: Arc::clone(stream),
            cursors: Mutex::default(),
            changing: Arc::default(),
            home: Home::Memory,
            registry: registry.cloned(),
        })
    }

    /// Those of a stream in Kafka: in the node's folder, if it is alone.
    ///
    /// # Errors
    /// As of [`NamedCursors::open`].
    pub fn open_of_topic(
        (stream, topic): (&Arc<Stream>, &str),
        together: Together,
        files: (Arc<dyn Disk>, &Path),
        registry: &Registry,
    ) -> Result<Arc<Self>, NodeError> {
        let home = match together {
            Together::Alone => {
                let files = DocumentFolder::of_cursors(files.0, files.1, stream.name());
                return Self::open_in(stream, (files, KeptOf::Topic(topic.to_owned())), registry);
            }
            Together::In(shelves) => Home::Store(shelves),
        };
        let (cursors, changing) = (Mutex::default(), Arc::default());
        let registry = Some(registry.clone());
        Ok(Arc::new(Self { stream: Arc::clone(stream), cursors, changing, home, registry }))
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
        Self::open_in(stream, (files, KeptOf::Number(number)), registry)
    }

    fn open_in(
        stream: &Arc<Stream>,
        (files, owner): (DocumentFolder, KeptOf),
        registry: &Registry,
    ) -> Result<Arc<Self>, NodeError> {
        let mut by_name = BTreeMap::new();
        for (path, text) in files.read_all::<KeptText>()? {
            if text.stream != owner {
                files.remove(&text.cursor)?;
                continue;
            }
            let kept = text.read().map_err(|what| NodeError::Damaged { path, what })?;
            let place = Place { files: files.clone(), stream: owner.clone() };
            let metrics = registry.cursors(stream.name());
            let cursor = NamedCursor::restored(&text.cursor, stream, kept, place, metrics);
            by_name.insert(Arc::clone(cursor.name()), Arc::new(cursor));
        }
        Ok(Arc::new(Self {
            stream: Arc::clone(stream),
            cursors: Mutex::new(Cursors { by_name, are_gone: false }),
            changing: Arc::default(),
            home: Home::Folder(files, owner),
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
    pub async fn get(self: &Arc<Self>, name: &str) -> Result<Arc<NamedCursor>, Problem> {
        let known = self.cursors().by_name.get(name).cloned();
        match (known, &self.home) {
            (Some(known), _) if !known.is_gone() => Ok(known),
            (_, Home::Store(shelves)) => {
                let table = Table::new(name, shelves.shelf(name));
                if table.find(&self.stream).await? { self.found(name, table) } else { Err(unknown(name)) }
            }
            _ => Err(unknown(name)),
        }
    }

    /// All of them, by name: also those that only other nodes know by now.
    ///
    /// # Errors
    /// If they are in a store that does not tell.
    pub async fn all(self: &Arc<Self>) -> Result<Vec<Arc<NamedCursor>>, Problem> {
        if let Home::Store(shelves) = &self.home {
            self.learn_all(shelves).await?;
        }
        Ok(self.list())
    }

    /// All of them that this node knows, by name.
    pub fn list(&self) -> Vec<Arc<NamedCursor>> {
        self.cursors().by_name.values().filter(|cursor| !cursor.is_gone()).cloned().collect()
    }

    /// Learns what there is in the store. Returns how many names are given there.
    async fn learn_all(self: &Arc<Self>, shelves: &Shelves) -> Result<usize, Problem> {
        let names = shelves.all().await?;
        let count = names.len();
        for (shelf, number) in names {
            let known = self.list().into_iter().find(|cursor| cursor.is_on(&shelf));
            if let Some(known) = known {
                if !known.knows(number) {
                    match known.refresh().await {
                        Err(Problem::UnknownCursor(_)) | Ok(()) => {}
                        Err(problem) => return Err(problem),
                    }
                }
                continue;
            }
            if let Some(sheet) = shelf.newest(None).await?.filter(|sheet| !sheet.content.is_gone) {
                let table = Table::new(&sheet.cursor, shelf);
                if table.find(&self.stream).await? {
                    self.found(&sheet.cursor, table)?;
                }
            }
        }
        Ok(count)
    }

    /// One that was found in the store; the one that this node knows, where it has found it meanwhile.
    fn found(&self, name: &str, table: Table) -> Result<Arc<NamedCursor>, Problem> {
        if self.stream.layout().shards().is_empty() {
            return Err(no_shards(&self.stream));
        }
        let leases = table.leases().ok_or_else(|| unknown(name))?;
        let mut cursors = self.cursors();
        if let Some(known) = cursors.by_name.get(name).filter(|known| !known.is_gone()) {
            return Ok(Arc::clone(known));
        }
        let cursor = Arc::new(NamedCursor::shared((name, &self.stream), table, leases, self.metrics()));
        cursors.by_name.insert(Arc::clone(cursor.name()), Arc::clone(&cursor));
        Ok(cursor)
    }

    fn metrics(&self) -> CursorMetrics {
        let metrics = self.registry.as_ref().map(|registry| registry.cursors(self.stream.name()));
        metrics.unwrap_or_else(CursorMetrics::noop)
    }

    /// The gauges of all of them.
    pub fn gauges(&self) -> Vec<CursorGauges> {
        let gauges = |cursor: Arc<NamedCursor>| {
            // What no worker asks this node for, others tell of.
            let totals = cursor.totals().ok().filter(|_| cursor.is_recent())?;
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
        if self.stream.layout().shards().is_empty() {
            return Err(no_shards(&self.stream));
        }
        match &self.home {
            Home::Store(shelves) => self.create_in(shelves, &new).await,
            Home::Memory | Home::Folder(..) => self.change(move |cursors| cursors.create_now(&new)).await,
        }
    }

    async fn create_in(
        self: &Arc<Self>,
        shelves: &Shelves,
        new: &NewCursor,
    ) -> Result<(Arc<NamedCursor>, bool), Problem> {
        let name = new.name.as_str();
        match self.get(name).await {
            // What is known may be deleted by now.
            Ok(known) => match known.refresh().await {
                Ok(()) => return Ok((known, false)),
                Err(Problem::UnknownCursor(_)) => {}
                Err(problem) => return Err(problem),
            },
            Err(Problem::UnknownCursor(_)) => {}
            Err(problem) => return Err(problem),
        }
        let names = self.learn_all(shelves).await?;
        if self.list().len() >= CURSORS_MAX || names >= CURSOR_NAMES_MAX {
            let detail = format!(
                "the stream has {CURSORS_MAX} cursors, or has had {CURSOR_NAMES_MAX} names of such, which is the most: \
                 delete one, or take a name that it has had"
            );
            return Err(Problem::CannotChange(detail));
        }
        let (leases, _) = self.leases_of(new);
        let table = Table::new(name, shelves.shelf(name));
        let is_made = table.begin(&self.stream, &leases).await?;
        let cursor = self.found(name, table)?;
        if is_made {
            tracing::info!(stream = %self.stream.name(), cursor = name, from = %new.from, "a named cursor was made");
        }
        Ok((cursor, is_made))
    }

    fn leases_of(&self, new: &NewCursor) -> (Leases, Arc<Layout>) {
        let layout = self.stream.layout();
        let facts = layout.shards().iter().map(|shard| &shard.facts);
        // A shard that was made since the position was looked up is a child, which is read from its beginning.
        (Leases::new(new.lease, facts, |shard| new.from.position(shard)), layout)
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
        let place = match &self.home {
            Home::Folder(files, owner) => Some(Place { files: files.clone(), stream: owner.clone() }),
            Home::Memory | Home::Store(_) => None,
        };
        let cursor = NamedCursor::new(name, stream, self.leases_of(new), place, self.metrics());
        let cursor = Arc::new(cursor);
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
        let cursor = self.get(name).await?;
        if let Some(shared) = cursor.in_store() {
            shared.remove().await?;
            self.cursors().by_name.remove(name);
            tracing::info!(stream = %self.stream.name(), cursor = name, "a named cursor was deleted");
            return Ok(());
        }
        let name = name.to_owned();
        self.change(move |cursors| {
            let cursor = cursors.cursors().by_name.get(name.as_str()).cloned();
            let cursor = cursor.ok_or_else(|| unknown(&name))?;
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
        alone::run(&self.changing, (self, matches!(self.home, Home::Folder(..))), change).await
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

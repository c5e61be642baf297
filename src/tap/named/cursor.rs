//! A named cursor: its leases, and the file that keeps them.
//!
//! A checkpoint is on the disk before it counts, and so is who has which shard before records are sent. Files are
//! written one at a time, and to the end, whether or not the client still waits.

mod changes;
mod keeping;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::alone::Turn;
use super::balance::Changes;
use super::connection::{Connection, Connections};
use super::kept::{Kept, KeptOf};
use super::leases::{Held, Leases, Stretch};
use super::shared::{SharedCursor, Shelf, Table};
use super::view::{Totals, View};
use crate::edge::problem::Problem;
use crate::node::DocumentFolder;
use crate::record::ShardId;
use crate::runtime::clock;
use crate::stream::{Layout, Signal, Stream};
use crate::telemetry::metrics::CursorMetrics;

/// Where a cursor is kept.
#[derive(Debug)]
pub(super) struct Place {
    pub files: DocumentFolder,
    /// Whose it is.
    pub stream: KeptOf,
}

/// See the module.
#[derive(Debug)]
pub struct NamedCursor {
    name: Arc<str>,
    stream: Arc<Stream>,
    state: Mutex<State>,
    /// `None` where the stream is in memory. Locked while it is written.
    place: Option<Mutex<Place>>,
    /// Where several nodes keep it. Its leases are then what was known last.
    table: Option<Table>,
    /// Who waits for it to be written.
    writing: Turn,
    /// Tells workers that shards have changed hands.
    changed: Signal,
    metrics: CursorMetrics,
}

#[derive(Debug)]
struct State {
    leases: Leases,
    /// The layout that the leases follow.
    layout: Arc<Layout>,
    /// How often something has changed that is to be kept, as who has which shard.
    changed: u64,
    /// How many of these changes are on the disk.
    kept: u64,
    connections: Connections,
    /// What was found on the disk, until the stream has shards: a topic has none before a broker has told of it.
    waiting: Option<Box<Kept>>,
    is_gone: bool,
}

/// What a worker has that asks for records.
#[derive(Debug, Default)]
pub struct Joined {
    /// Its shards.
    pub held: Vec<Held>,
    /// Records that have gone unread.
    pub unread: u64,
    /// It has left since its connection began: it is to have no more.
    pub has_left: bool,
}

pub(super) fn too_many(cursor: &str) -> Problem {
    Problem::CannotChange(format!("cursor '{cursor}' has as many workers as one may have"))
}

pub(super) fn in_use(cursor: &str) -> Problem {
    let detail =
        format!("workers have shards of cursor '{cursor}': stop them first, or send \"force\": true");
    Problem::CannotChange(detail)
}

/// Leases as they were kept.
fn restored(kept: &Kept, layout: &Layout) -> Leases {
    let end = |shard: ShardId| Some(layout.get(shard)?.log_ref().bounds().next);
    Leases::restore(kept, layout.shards().iter().map(|shard| &shard.facts), end, clock::monotonic())
}

/// The log of a stream in Kafka is not there yet, so nobody knows where anything is.
pub(super) fn no_shards(stream: &Stream) -> Problem {
    let why = stream.topic().and_then(|topic| topic.trouble());
    Problem::LogUnavailable(why.unwrap_or_else(|| format!("stream '{}' has no shards yet", stream.name())))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is changed under these locks is left half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl NamedCursor {
    pub(super) fn new(
        name: &str,
        stream: &Arc<Stream>,
        (leases, layout): (Leases, Arc<Layout>),
        place: Option<Place>,
        metrics: CursorMetrics,
    ) -> Self {
        let connections = Connections::default();
        let state = State { leases, layout, changed: 0, kept: 0, connections, waiting: None, is_gone: false };
        Self {
            name: name.into(),
            stream: Arc::clone(stream),
            state: Mutex::new(state),
            place: place.map(Mutex::new),
            table: None,
            writing: Arc::default(),
            changed: Signal::default(),
            metrics,
        }
    }

    /// One that several nodes keep, as it was found in `table`.
    pub(super) fn shared(
        (name, stream): (&str, &Arc<Stream>),
        table: Table,
        leases: Leases,
        metrics: CursorMetrics,
    ) -> Self {
        let cursor = Self::new(name, stream, (leases, stream.layout()), None, metrics);
        Self { table: Some(table), ..cursor }
    }

    /// What keeps it, if several nodes do.
    pub(super) fn in_store(&self) -> Option<SharedCursor<'_>> {
        self.table.as_ref().map(|table| SharedCursor { cursor: self, table })
    }

    /// Whether it is kept there.
    pub(super) fn is_on(&self, shelf: &Shelf) -> bool {
        self.table.as_ref().is_some_and(|table| table.is_on(shelf))
    }

    /// Whether that is the newest of what several nodes have written that this one knows.
    pub(super) fn knows(&self, number: u64) -> bool {
        self.table.as_ref().is_some_and(|table| table.number() >= Some(number))
    }

    /// Whether what is known of it is not old: nobody tells this node what others do with it unless a worker asks.
    pub(super) fn is_recent(&self) -> bool {
        let Some(table) = &self.table else { return true };
        table.looked().is_some_and(|looked| clock::monotonic().saturating_duration_since(looked) < RECENT)
    }

    pub(super) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// One that was found on the disk.
    pub(super) fn restored(
        name: &str,
        stream: &Arc<Stream>,
        kept: Kept,
        place: Place,
        metrics: CursorMetrics,
    ) -> Self {
        let layout = stream.layout();
        let (leases, waiting) = match layout.shards() {
            [] => (Leases::new(kept.lease, [], |_| None), Some(Box::new(kept))),
            _ => (restored(&kept, &layout), None),
        };
        let cursor = Self::new(name, stream, (leases, layout), Some(place), metrics);
        lock(&cursor.state).waiting = waiting;
        cursor
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Woken when shards change hands.
    pub fn changed(&self) -> &Signal {
        &self.changed
    }

    /// The leases, in step with the shards of the stream.
    fn state(&self) -> Result<MutexGuard<'_, State>, Problem> {
        let mut state = lock(&self.state);
        if state.is_gone {
            return Err(Problem::UnknownCursor(self.name.to_string()));
        }
        // Behind the lock, so that it is not older than the one that is followed.
        let layout = self.stream.layout();
        if !Arc::ptr_eq(&state.layout, &layout) {
            match state.waiting.take() {
                Some(kept) => state.leases = restored(&kept, &layout),
                None => state.leases.follow(layout.shards().iter().map(|shard| &shard.facts)),
            }
            state.layout = layout;
        }
        match state.layout.shards() {
            [] => Err(no_shards(&self.stream)),
            _ => Ok(state),
        }
    }

    /// An error unless the stream has shards.
    pub(super) fn has_shards(&self) -> Result<(), Problem> {
        self.state().map(drop)
    }

    /// Takes over what several nodes have made of it.
    pub(super) fn learn(&self, leases: Leases, is_news: bool) {
        lock(&self.state).leases = leases;
        if is_news {
            self.changed.notify();
        }
    }

    /// Another node has deleted it, or this one.
    pub(super) fn is_found_gone(&self) {
        lock(&self.state).is_gone = true;
        self.changed.notify();
    }

    /// Whether it is deleted.
    pub(super) fn is_gone(&self) -> bool {
        lock(&self.state).is_gone
    }

    /// Tells of shards that have changed hands.
    pub(super) fn tell_of(&self, changes: &Changes) {
        self.tell(&mut lock(&self.state), changes);
    }

    /// Follows the shards of the stream, so that the end of one that goes is known.
    pub fn follow(&self) {
        // One that is gone follows nothing.
        drop(self.state());
    }

    fn tell(&self, state: &mut State, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        let (stream, cursor) = (self.stream.name(), &self.name);
        for given in changes.given.iter().filter(|given| given.taken_from.is_some()) {
            let from = given.taken_from.as_deref().unwrap_or_default();
            let (shard, worker) = (given.shard, &given.worker);
            tracing::warn!(%stream, %cursor, %shard, from, %worker, "a worker's lease is over: another one takes its shard");
            self.metrics.takeovers.increment(1);
        }
        let given: Vec<_> =
            changes.given.iter().map(|given| format!("{} to {}", given.shard, given.worker)).collect();
        let leaving: Vec<_> =
            changes.leaving.iter().map(|(shard, worker)| format!("{shard} by {worker}")).collect();
        tracing::info!(%stream, %cursor, ?given, handed_over = ?leaving, "shards change hands");
        state.changed += u64::from(!changes.given.is_empty());
        self.changed.notify();
    }

    /// A connection of `worker` that stays begins.
    pub fn connect(self: &Arc<Self>, worker: &Arc<str>) -> Connection {
        let number = lock(&self.state).connections.begin(worker);
        Connection { cursor: Arc::clone(self), number, joined: OnceLock::new() }
    }

    pub(super) fn disconnect(&self, connection: u64) {
        lock(&self.state).connections.forget(connection);
    }

    /// A worker asks for records, by a connection that stays or once: its leases are renewed.
    ///
    /// # Errors
    /// If there are too many workers, the cursor is gone, or who has what cannot be kept.
    pub async fn join(
        self: &Arc<Self>,
        worker: &Arc<str>,
        connection: Option<&Connection>,
    ) -> Result<Joined, Problem> {
        if connection.is_some_and(|connection| !lock(&self.state).connections.is_open(connection)) {
            return Ok(Joined { has_left: true, ..Joined::default() });
        }
        if let Some(shared) = self.in_store() {
            return shared.join(worker, connection).await;
        }
        {
            let mut state = self.state()?;
            let joined = state.leases.join(worker, clock::monotonic());
            let changes = joined.map_err(|_| too_many(&self.name))?;
            self.tell(&mut state, &changes);
        }
        loop {
            {
                let mut state = self.state()?;
                // Under one lock, so that what it has is what is on the disk. A write may be under way, or have failed.
                if state.kept >= state.changed {
                    let (held, unread) = (state.leases.held(worker), state.leases.take_unread());
                    return Ok(Joined { held, unread, has_left: false });
                }
            }
            self.run_alone(Self::keep).await?;
        }
    }

    /// [`Leases::grant`].
    ///
    /// # Errors
    /// If the cursor is gone, or that cannot be kept.
    pub async fn grant(&self, worker: &Arc<str>, records: &[Stretch]) -> Result<bool, Problem> {
        match self.in_store() {
            // What nobody is sent need not be asked for.
            Some(shared) if !records.is_empty() => shared.grant(worker, records).await,
            _ => Ok(self.state()?.leases.grant(worker, records)),
        }
    }

    /// When a waiting worker looks again: to renew its leases, or because those of others are over.
    pub fn look_again_at(&self, now: Instant) -> Instant {
        let state = lock(&self.state);
        let length = state.leases.length();
        let every = self.table.as_ref().map_or(length / RENEWALS, |_| Table::look_every(length));
        let renewal = now + every;
        state.leases.next_expiry(now).map_or(renewal, |expiry| expiry.min(renewal))
    }

    /// Learns what other nodes have made of it, if they keep it as well.
    ///
    /// # Errors
    /// If it is gone, or the store does not tell.
    pub async fn refresh(&self) -> Result<(), Problem> {
        match self.in_store() {
            Some(shared) => shared.refresh().await,
            None => Ok(()),
        }
    }

    /// What is to be seen of it.
    ///
    /// # Errors
    /// If it is gone, or its stream has no shards yet.
    pub fn view(&self) -> Result<View, Problem> {
        let now = clock::monotonic();
        let state = self.state()?;
        Ok(View {
            now,
            lease: state.leases.length(),
            shards: state.leases.states(now),
            workers: state.leases.workers(now),
            layout: Arc::clone(&state.layout),
        })
    }

    /// The same in numbers, at one pass over its shards.
    ///
    /// # Errors
    /// As of [`NamedCursor::view`].
    pub fn totals(&self) -> Result<Totals, Problem> {
        let now = clock::monotonic();
        let state = self.state()?;
        Ok(Totals::of(&state.leases, &state.layout, now))
    }
}

/// For how long the gauges of a cursor are shown that nobody asks this node for: of some look-outs of whoever waits.
const RECENT: Duration = Duration::from_secs(15);

/// Signs of life that a waiting connection gives in the time of a lease.
const RENEWALS: u32 = 3;

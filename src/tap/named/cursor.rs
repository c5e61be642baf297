//! A named cursor: its leases, and the file that keeps them.
//!
//! A checkpoint is on the disk before it counts, and so is who has which shard before records are sent. Files are
//! written one at a time, and to the end, whether or not the client still waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::alone::{self, Turn};
use super::balance::Changes;
use super::connection::{Connection, Connections};
use super::kept::{Kept, KeptText};
use super::leases::{Held, Leases, Stretch};
use super::view::{Totals, View};
use crate::edge::problem::Problem;
use crate::node::DocumentFolder;
use crate::record::ShardId;
use crate::runtime::clock;
use crate::stream::{Layout, Signal, Stream};
use crate::tap::cursor::Cursor;
use crate::telemetry::metrics::CursorMetrics;

/// Where a cursor is kept.
#[derive(Debug)]
pub(super) struct Place {
    pub files: DocumentFolder,
    /// The stream's number in the catalog.
    pub stream: u32,
}

/// See the module.
#[derive(Debug)]
pub struct NamedCursor {
    name: Arc<str>,
    stream: Arc<Stream>,
    state: Mutex<State>,
    /// `None` where the stream is in memory. Locked while it is written.
    place: Option<Mutex<Place>>,
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
        let state = State { leases, layout, changed: 0, kept: 0, connections, is_gone: false };
        Self {
            name: name.into(),
            stream: Arc::clone(stream),
            state: Mutex::new(state),
            place: place.map(Mutex::new),
            writing: Arc::default(),
            changed: Signal::default(),
            metrics,
        }
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
            state.leases.follow(layout.shards().iter().map(|shard| &shard.facts));
            state.layout = layout;
        }
        Ok(state)
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
        Connection { cursor: Arc::clone(self), number }
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
        {
            let mut state = self.state()?;
            if connection.is_some_and(|connection| !state.connections.is_open(connection)) {
                return Ok(Joined { has_left: true, ..Joined::default() });
            }
            let joined = state.leases.join(worker, clock::monotonic());
            let changes = joined.map_err(|_| {
                Problem::CannotChange(format!("cursor '{}' has as many workers as one may have", self.name))
            })?;
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
    /// If the cursor is gone.
    pub fn grant(&self, worker: &str, records: &[Stretch]) -> Result<bool, Problem> {
        Ok(self.state()?.leases.grant(worker, records))
    }

    /// When a waiting worker looks again: to renew its leases, or because those of others are over.
    pub fn look_again_at(&self, now: Instant) -> Instant {
        let state = lock(&self.state);
        let renewal = now + state.leases.length() / RENEWALS;
        state.leases.next_expiry(now).map_or(renewal, |expiry| expiry.min(renewal))
    }

    /// What of `next` is about shards that are there: no more positions than those. What is gone is done.
    pub fn only_known(&self, mut next: Cursor) -> Cursor {
        let layout = self.stream.layout();
        next.positions.retain(|(shard, _)| layout.get(*shard).is_some());
        next.positions.shrink_to_fit();
        next
    }

    /// A worker says that everything before `next` is done, or only that it is alive. What it has then.
    ///
    /// # Errors
    /// [`Problem::LeaseLost`] for shards that it does not have any more: the others have moved all the same. If it
    /// cannot be kept, nothing has moved.
    pub async fn commit(self: &Arc<Self>, worker: &Arc<str>, next: Cursor) -> Result<Cursor, Problem> {
        let worker = Arc::clone(worker);
        self.run_alone(move |cursor| cursor.commit_now(&worker, &next)).await
    }

    fn commit_now(&self, worker: &Arc<str>, next: &Cursor) -> Result<Cursor, Problem> {
        let checked = self.state()?.leases.check(worker, next);
        if !checked.forward.is_empty() {
            self.write(|leases| leases.kept(&checked.forward))?;
            self.metrics.commits.increment(1);
        }
        let mut state = self.state()?;
        state.leases.apply(&checked.forward);
        let changes = state.leases.live_on(worker, clock::monotonic());
        self.tell(&mut state, &changes);
        if !checked.lost.is_empty() {
            self.metrics.lost.increment(1);
            return Err(Problem::LeaseLost { shards: checked.lost.iter().map(ShardId::to_string).collect() });
        }
        let held = state.leases.held(worker);
        Ok(Cursor { positions: held.iter().map(|held| (held.shard, held.done)).collect() })
    }

    /// A worker gives its shards back, and its connections end.
    ///
    /// # Errors
    /// If it cannot be kept; the shards are free all the same.
    pub async fn leave(self: &Arc<Self>, worker: &str) -> Result<(), Problem> {
        let had_some = {
            let mut state = self.state()?;
            let (had_some, changes) = state.leases.leave(worker, clock::monotonic());
            state.connections.end(worker);
            self.tell(&mut state, &changes);
            self.changed.notify();
            state.changed += u64::from(had_some);
            had_some
        };
        if had_some { self.run_alone(Self::keep).await } else { Ok(()) }
    }

    /// Goes on at other positions.
    ///
    /// # Errors
    /// [`Problem::CannotChange`] where a worker has a shard and it is not `forced`; if it cannot be kept, nothing has
    /// changed.
    pub async fn reset(self: &Arc<Self>, to: Cursor, forced: bool) -> Result<(), Problem> {
        self.run_alone(move |cursor| cursor.reset_now(&to, forced)).await
    }

    fn reset_now(&self, to: &Cursor, forced: bool) -> Result<(), Problem> {
        let position = |shard| to.position(shard);
        if !forced && self.state()?.leases.is_leased(clock::monotonic()) {
            let detail = format!(
                "workers have shards of cursor '{}': stop them first, or send \"force\": true",
                self.name
            );
            return Err(Problem::CannotChange(detail));
        }
        self.write(|leases| {
            let mut next = leases.clone();
            next.reset(position);
            next.kept(&[])
        })?;
        self.state()?.leases.reset(position);
        tracing::info!(stream = %self.stream.name(), cursor = %self.name, %to, "a named cursor was reset");
        // Whoever waits asks for shards again.
        self.changed.notify();
        Ok(())
    }

    /// Another length of leases.
    ///
    /// # Errors
    /// If it cannot be kept; then it is what it was.
    pub async fn set_lease(self: &Arc<Self>, length: Duration) -> Result<(), Problem> {
        let before = {
            let mut state = self.state()?;
            let before = state.leases.length();
            state.leases.set_length(length);
            state.changed += u64::from(before != length);
            before
        };
        if before == length {
            return Ok(());
        }
        let kept = self.run_alone(Self::keep).await;
        if kept.is_err() {
            lock(&self.state).leases.set_length(before);
        }
        kept
    }

    /// Runs what writes to the disk, one at a time and to the end.
    async fn run_alone<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        alone::run(&self.writing, (self, self.place.is_some()), work).await
    }

    fn keep(&self) -> Result<(), Problem> {
        // Somebody may have written it while this one waited.
        let is_kept = {
            let state = self.state()?;
            state.kept >= state.changed
        };
        if is_kept { Ok(()) } else { self.write(|leases| leases.kept(&[])) }
    }

    /// Writes what is to be kept.
    pub(super) fn write(&self, kept: impl FnOnce(&Leases) -> Kept) -> Result<(), Problem> {
        let place = self.place.as_ref().map(lock);
        let (kept, changed) = {
            let state = self.state()?;
            (kept(&state.leases), state.changed)
        };
        let Some(place) = place else {
            lock(&self.state).kept = changed;
            return Ok(());
        };
        let text = KeptText::of(&self.name, place.stream, &kept);
        place.files.keep(&self.name, &text).map_err(|error| {
            let (stream, cursor) = (self.stream.name(), &self.name);
            tracing::warn!(%stream, %cursor, %error, "a named cursor cannot be kept");
            Problem::CursorNotKept(error.to_string())
        })?;
        // One write at a time: nobody has kept more.
        lock(&self.state).kept = changed;
        Ok(())
    }

    /// Ends it, and takes its file away. Nothing is written any more.
    ///
    /// # Errors
    /// If the file cannot be taken away; the cursor is then what it was, unless its stream is gone.
    pub(super) fn remove(&self, with_stream: bool) -> Result<(), Problem> {
        let place = self.place.as_ref().map(lock);
        lock(&self.state).is_gone = true;
        let removed = place.map_or(Ok(()), |place| place.files.remove(&self.name));
        if removed.is_err() && !with_stream {
            lock(&self.state).is_gone = false;
        }
        self.changed.notify();
        removed.map_err(|error| Problem::CursorNotKept(error.to_string()))
    }

    /// What is to be seen of it; nothing if it is gone.
    pub fn view(&self) -> Option<View> {
        let now = clock::monotonic();
        let state = self.state().ok()?;
        Some(View {
            now,
            lease: state.leases.length(),
            shards: state.leases.states(now),
            workers: state.leases.workers(now),
            layout: Arc::clone(&state.layout),
        })
    }

    /// The same in numbers, at one pass over its shards.
    pub fn totals(&self) -> Option<Totals> {
        let now = clock::monotonic();
        let state = self.state().ok()?;
        Some(Totals::of(&state.leases, &state.layout, now))
    }
}

/// Signs of life that a waiting connection gives in the time of a lease.
const RENEWALS: u32 = 3;

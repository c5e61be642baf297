//! What changes a named cursor: words of workers, and of whoever looks after it.

use std::sync::Arc;
use std::time::Duration;

use super::{NamedCursor, in_use, lock};
use crate::edge::problem::Problem;
use crate::record::ShardId;
use crate::runtime::clock;
use crate::tap::cursor::Cursor;

impl NamedCursor {
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
        if let Some(shared) = self.in_store() {
            let (lost, held) = shared.commit(worker, &next).await?;
            self.metrics.commits.increment(u64::from(!next.positions.is_empty()));
            return if lost.is_empty() { Ok(held) } else { Err(self.has_lost(&lost)) };
        }
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
            return Err(self.has_lost(&checked.lost));
        }
        let held = state.leases.held(worker);
        Ok(Cursor { positions: held.iter().map(|held| (held.shard, held.done)).collect() })
    }

    fn has_lost(&self, lost: &[ShardId]) -> Problem {
        self.metrics.lost.increment(1);
        Problem::LeaseLost { shards: lost.iter().map(ShardId::to_string).collect() }
    }

    /// A worker gives its shards back, and its connections end.
    ///
    /// # Errors
    /// If it cannot be kept; the shards are free all the same.
    pub async fn leave(self: &Arc<Self>, worker: &str) -> Result<(), Problem> {
        if let Some(shared) = self.in_store() {
            shared.leave(worker).await?;
            lock(&self.state).connections.end(worker);
            self.changed.notify();
            return Ok(());
        }
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
        match self.in_store() {
            Some(shared) => {
                shared.reset(&to, forced).await?;
                self.is_reset(&to);
                Ok(())
            }
            None => self.run_alone(move |cursor| cursor.reset_now(&to, forced)).await,
        }
    }

    fn reset_now(&self, to: &Cursor, forced: bool) -> Result<(), Problem> {
        let position = |shard| to.position(shard);
        if !forced && self.state()?.leases.is_leased(clock::monotonic()) {
            return Err(in_use(&self.name));
        }
        self.write(|leases| {
            let mut next = leases.clone();
            next.reset(position);
            next.kept(&[])
        })?;
        self.state()?.leases.reset(position);
        self.is_reset(to);
        Ok(())
    }

    fn is_reset(&self, to: &Cursor) {
        tracing::info!(stream = %self.stream.name(), cursor = %self.name, %to, "a named cursor was reset");
        // Whoever waits asks for shards again.
        self.changed.notify();
    }

    /// Another length of leases.
    ///
    /// # Errors
    /// If it cannot be kept; then it is what it was.
    pub async fn set_lease(self: &Arc<Self>, length: Duration) -> Result<(), Problem> {
        if let Some(shared) = self.in_store() {
            return shared.set_lease(length).await;
        }
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
}

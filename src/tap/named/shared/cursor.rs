//! What is asked of a named cursor of the edge, where several nodes keep it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::asks::Committed;
use super::table::{Changed, Surroundings, Table};
use crate::edge::problem::Problem;
use crate::record::ShardId;
use crate::runtime::clock;
use crate::stream::{ShardFacts, Stream};
use crate::tap::cursor::Cursor;
use crate::tap::named::connection::Connection;
use crate::tap::named::cursor::{Joined, NamedCursor};
use crate::tap::named::leases::Stretch;

impl Surroundings for Arc<Stream> {
    fn facts(&self) -> Vec<ShardFacts> {
        self.layout().shards().iter().map(|shard| shard.facts).collect()
    }

    fn now(&self) -> Instant {
        clock::monotonic()
    }
}

/// A cursor, and what keeps it.
pub(in crate::tap::named) struct SharedCursor<'a> {
    pub cursor: &'a NamedCursor,
    pub table: &'a Table,
}

impl SharedCursor<'_> {
    /// The stream: with shards, as all that is known of them would be forgotten without.
    fn around(&self) -> Result<&Arc<Stream>, Problem> {
        self.cursor.has_shards()?;
        Ok(self.cursor.stream())
    }

    /// Has the cursor know what has come of a change.
    fn learn<T>(&self, changed: Result<Changed<T>, Problem>) -> Result<Changed<T>, Problem> {
        match &changed {
            Ok(Changed { leases, is_news, .. }) => self.cursor.learn(leases.clone(), *is_news),
            Err(Problem::UnknownCursor(_)) => self.cursor.is_found_gone(),
            Err(_) => {}
        }
        changed
    }

    /// [`NamedCursor::join`].
    pub async fn join(&self, worker: &Arc<str>, connection: Option<&Connection>) -> Result<Joined, Problem> {
        let since = connection.and_then(Connection::joined);
        let changed = self.learn(self.table.join(self.around()?, worker, since).await)?;
        connection.into_iter().for_each(|connection| connection.has_joined(changed.number));
        let (joined, changes) = changed.value;
        self.cursor.tell_of(&changes);
        Ok(joined)
    }

    /// [`NamedCursor::grant`].
    pub async fn grant(&self, worker: &Arc<str>, records: &[Stretch]) -> Result<bool, Problem> {
        Ok(self.learn(self.table.grant(self.around()?, worker, records).await)?.value)
    }

    /// [`NamedCursor::commit`]: the shards that the worker has lost, and what it has.
    pub async fn commit(&self, worker: &Arc<str>, next: &Cursor) -> Result<(Vec<ShardId>, Cursor), Problem> {
        let committed = self.learn(self.table.commit(self.around()?, worker, next).await)?;
        let Committed { lost, held, changes } = committed.value;
        self.cursor.tell_of(&changes);
        Ok((lost, held))
    }

    /// [`NamedCursor::leave`].
    pub async fn leave(&self, worker: &str) -> Result<(), Problem> {
        let left = self.learn(self.table.leave(self.around()?, worker).await)?;
        self.cursor.tell_of(&left.value);
        Ok(())
    }

    /// [`NamedCursor::reset`].
    pub async fn reset(&self, to: &Cursor, forced: bool) -> Result<(), Problem> {
        self.learn(self.table.reset(self.around()?, to, forced).await).map(|_| ())
    }

    /// [`NamedCursor::set_lease`].
    pub async fn set_lease(&self, length: Duration) -> Result<(), Problem> {
        self.learn(self.table.set_lease(self.around()?, length).await).map(|_| ())
    }

    /// Looks what others have done.
    pub async fn refresh(&self) -> Result<(), Problem> {
        self.learn(self.table.refresh(self.around()?).await).map(|_| ())
    }

    /// Deletes it.
    pub async fn remove(&self) -> Result<(), Problem> {
        self.learn(self.table.remove(self.around()?).await)?;
        self.cursor.is_found_gone();
        Ok(())
    }
}

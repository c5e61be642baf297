//! The changes of a cursor that clients ask for. Each comes to the same when it is made twice.

use std::sync::Arc;
use std::time::Duration;

use super::sheet;
use super::table::{Certainty, Changed, Surroundings, Table};
use crate::edge::problem::Problem;
use crate::record::ShardId;
use crate::tap::cursor::Cursor;
use crate::tap::named::balance::Changes;
use crate::tap::named::cursor::{self, Joined};
use crate::tap::named::leases::Stretch;

/// What a word of a worker has come to.
#[derive(Debug)]
pub struct Committed {
    /// Shards that it does not have.
    pub lost: Vec<ShardId>,
    /// Where those are done that it has.
    pub held: Cursor,
    /// Shards that have changed hands.
    pub changes: Changes,
}

type Outcome<T> = Result<Changed<T>, Problem>;

impl Table {
    /// A worker asks for records; `since` is the number that its connection has joined by. It has all that is said, unless
    /// others have changed that a moment ago: [`Table::grant`] tells.
    pub async fn join(
        &self,
        around: &impl Surroundings,
        worker: &Arc<str>,
        since: Option<u64>,
    ) -> Outcome<(Joined, Changes)> {
        let join = self.change(around, Certainty::Lately, |draft| {
            let has_left = since.is_some_and(|since| draft.content.left_since(worker, since));
            if has_left {
                return Ok((Joined { has_left, ..Joined::default() }, Changes::default()));
            }
            let joined = draft.leases.join(worker, draft.now);
            let changes = joined.map_err(|_| cursor::too_many(self.name()))?;
            draft.lives(worker);
            let held = draft.leases.held(worker);
            Ok((Joined { held, unread: 0, has_left }, changes))
        });
        join.await
    }

    /// Whether a worker may be sent `records`, none of which is done: this node need not have known of a checkpoint that
    /// another one has written when they were read.
    pub async fn grant(
        &self,
        around: &impl Surroundings,
        worker: &Arc<str>,
        records: &[Stretch],
    ) -> Outcome<bool> {
        let grant = self.change(around, Certainty::Now, |draft| {
            let is_done = |records: &Stretch| {
                draft.leases.shards.get(&records.shard).is_some_and(|shard| shard.done > records.from)
            };
            let is_granted = !records.iter().any(is_done) && draft.leases.grant(worker, records);
            draft.lives(worker);
            Ok(is_granted)
        });
        grant.await
    }

    /// A worker says that everything before `next` is done.
    pub async fn commit(
        &self,
        around: &impl Surroundings,
        worker: &Arc<str>,
        next: &Cursor,
    ) -> Outcome<Committed> {
        let commit = self.change(around, Certainty::Now, |draft| {
            let checked = draft.leases.check(worker, next);
            draft.leases.apply(&checked.forward);
            let changes = draft.leases.live_on(worker, draft.now);
            draft.lives(worker);
            let held = draft.leases.held(worker);
            let held = Cursor { positions: held.iter().map(|held| (held.shard, held.done)).collect() };
            Ok(Committed { lost: checked.lost, held, changes })
        });
        commit.await
    }

    /// A worker gives its shards back.
    pub async fn leave(&self, around: &impl Surroundings, worker: &str) -> Outcome<Changes> {
        let leave = self.change(around, Certainty::Now, |draft| {
            let (_, changes) = draft.leases.leave(worker, draft.now);
            draft.leaves(worker);
            Ok(changes)
        });
        leave.await
    }

    /// Goes on elsewhere.
    pub async fn reset(&self, around: &impl Surroundings, to: &Cursor, forced: bool) -> Outcome<()> {
        let reset = self.change(around, Certainty::Now, |draft| {
            if !forced && draft.leases.is_leased(draft.now) {
                return Err(cursor::in_use(self.name()));
            }
            draft.leases.reset(|shard| to.position(shard));
            Ok(())
        });
        reset.await
    }

    /// Another length of leases.
    pub async fn set_lease(&self, around: &impl Surroundings, length: Duration) -> Outcome<()> {
        let set = self.change(around, Certainty::Now, |draft| {
            draft.leases.set_length(length);
            draft.leases.grace = sheet::grace(length);
            Ok(())
        });
        set.await
    }

    /// Looks what there is.
    pub async fn refresh(&self, around: &impl Surroundings) -> Outcome<()> {
        self.change(around, Certainty::Now, |_| Ok(())).await
    }

    /// Deletes the cursor.
    pub async fn remove(&self, around: &impl Surroundings) -> Outcome<()> {
        let remove = self.change(around, Certainty::Now, |draft| {
            draft.is_gone();
            Ok(())
        });
        remove.await
    }
}

//! A worker that reads by a named cursor: the records of the shards that it has, from where they are not done.

use std::sync::Arc;

use super::connection::Connection;
use super::cursor::{Joined, NamedCursor};
use super::leases::{Held, Stretch};
use crate::edge::problem::Problem;
use crate::record::ShardId;
use crate::runtime::clock;
use crate::stream::{Payer, Stream, Waiter};
use crate::tap::cursor::Cursor;
use crate::tap::feed::Feed;
use crate::tap::filter::Filter;
use crate::tap::found::{self, Found, Scope};

/// What a worker asks for.
#[derive(Debug)]
pub struct Asked {
    /// The cursor.
    pub cursor: Arc<NamedCursor>,
    /// The worker.
    pub worker: Arc<str>,
    /// Where it has been sent records up to, although not all of them are done.
    pub after: Cursor,
    /// Which records are shown.
    pub filter: Option<Filter>,
}

/// What is found at a time, at most.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Records that are shown.
    pub records: usize,
    /// Bytes of records that are looked at.
    pub bytes: u64,
}

/// What a step has brought.
#[derive(Debug)]
pub struct Taken {
    /// Where it began.
    pub start: Cursor,
    /// The records, which may be sent now. `next` is to be handed back once they are done.
    pub found: Found,
    /// Whether `next` is further on.
    pub has_moved: bool,
}

/// See the module.
#[derive(Debug)]
pub struct WorkerReader {
    stream: Arc<Stream>,
    asked: Asked,
    payer: Payer,
    /// The shards that it has.
    shards: Vec<ShardId>,
    /// Records that have gone unread, until they are told.
    unread: u64,
    /// If it stays.
    connection: Option<Connection>,
    has_left: bool,
}

impl WorkerReader {
    /// Reads `stream` for a worker.
    pub fn new(stream: &Arc<Stream>, asked: Asked, payer: Payer) -> Self {
        let (stream, shards) = (Arc::clone(stream), Vec::new());
        Self { stream, asked, payer, shards, unread: 0, connection: None, has_left: false }
    }

    /// It stays: until its worker leaves.
    pub fn connect(&mut self) {
        self.connection = Some(self.asked.cursor.connect(&self.asked.worker));
    }

    /// Whether its worker has left since it is connected. It has no shards then.
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    /// Where it has been sent records up to, in the shards that it has.
    pub fn cursor(&self) -> &Cursor {
        &self.asked.after
    }

    /// The cursor, and the worker.
    pub fn worker(&self) -> (Arc<NamedCursor>, Arc<str>) {
        (Arc::clone(&self.asked.cursor), Arc::clone(&self.asked.worker))
    }

    /// The shards that it has.
    pub fn shards(&self) -> &[ShardId] {
        &self.shards
    }

    /// Renews the leases and looks for records once.
    ///
    /// # Errors
    /// If the cursor is gone or cannot be kept, or records cannot be read.
    pub async fn step(&mut self, amount: Amount) -> Result<Taken, Problem> {
        loop {
            let joined = self.asked.cursor.join(&self.asked.worker, self.connection.as_ref()).await?;
            let Joined { held, unread, has_left } = joined;
            self.unread += unread;
            self.has_left = has_left;
            let (start, leaving) = positions(&held, &self.asked.after);
            let scope = Scope {
                records: amount.records,
                bytes: amount.bytes,
                filter: self.asked.filter.as_ref(),
                // Nothing more is sent of shards that are handed over.
                upto: Some(&leaving),
            };
            let mut found = found::look(&self.stream, &start, scope, &self.payer).await?;
            let moved = moved(&start, &found.next);
            if !self.asked.cursor.grant(&self.asked.worker, &moved).await? {
                // Shards have changed hands while they were read.
                continue;
            }
            // From here on nothing is waited for, so that what was granted is sent.
            found.skipped += std::mem::take(&mut self.unread);
            self.shards = held.iter().filter(|held| !held.is_leaving).map(|held| held.shard).collect();
            found.shards = Some(self.shards.clone());
            self.asked.after = found.next.clone();
            return Ok(Taken { start, found, has_moved: !moved.is_empty() });
        }
    }

    /// To be called when a step has found nothing: returns when there may be records in the shards that it has, when shards
    /// have changed hands, or when the leases have to be renewed. `feed` is that of the stream; `changes` was registered
    /// with the cursor before the step. An append to other shards wakes nobody here.
    pub async fn wait(&self, feed: &Feed, changes: Waiter<'_>) {
        let records = feed.wait(&self.shards);
        // A look after registering, so that nothing is missed in between.
        if feed.ended().is_some() || self.has_more() {
            return;
        }
        let again = self.asked.cursor.look_again_at(clock::monotonic());
        tokio::select! {
            () = Waiter::any_woken(records) => {}
            () = changes.woken() => {}
            () = tokio::time::sleep_until(again.into()) => {}
        }
    }

    /// Whether there is more in its shards than it has seen, or one of them is gone.
    fn has_more(&self) -> bool {
        let layout = self.stream.layout();
        self.shards.iter().any(|&shard| {
            let end = layout.get(shard).map(|shard| shard.log_ref().bounds().next);
            end.is_none() || end > self.asked.after.position(shard)
        })
    }
}

/// Where to read on in the shards that a worker has, for one who was sent everything before `after`; and those of them
/// of which it gets no more.
pub(super) fn positions(held: &[Held], after: &Cursor) -> (Cursor, Cursor) {
    let (mut start, mut leaving) = (Cursor::default(), Cursor::default());
    for &Held { shard, done, sent, is_leaving } in held {
        // What it was sent under an earlier lease does not count: the checkpoint may have gone back since, or the worker
        // was told that its word on those records came too late.
        let after = after.position(shard).filter(|after| *after <= sent);
        match (is_leaving, after) {
            (false, _) => start.positions.push((shard, after.map_or(done, |after| after.max(done)))),
            (true, Some(after)) => {
                start.positions.push((shard, after));
                leaving.positions.push((shard, after));
            }
            // This connection has been sent nothing of it.
            (true, None) => {}
        }
    }
    (start, leaving)
}

/// What lies between `start` and `next`, in the shards where that is something.
fn moved(start: &Cursor, next: &Cursor) -> Vec<Stretch> {
    let both = start.positions.iter().zip(&next.positions);
    let stretches = both.map(|(&(shard, from), &(_, next))| Stretch { shard, from, next });
    stretches.filter(|stretch| stretch.from != stretch.next).collect()
}

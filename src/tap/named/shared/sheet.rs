//! A cursor as it is written for other nodes, and what a node makes of it by its own clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config::limits::CURSOR_DEPARTURES_MAX;
use crate::record::{SequenceNumber, ShardId};
use crate::stream::ShardFacts;
use crate::tap::named::leases::{Hold, LeasedShard, Leases};

/// Signs of life of a worker that are written in the time of a lease.
const BEATS: u32 = 4;

/// How much longer than a lease a worker is taken for alive: its last beat is not older than that when it gives a sign of
/// life that is not written.
pub(super) fn grace(lease: Duration) -> Duration {
    lease / BEATS
}

/// The format of all of them.
pub(super) const FORMAT: u32 = 1;

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::tap::named) struct Sheet {
    pub format: u32,
    /// Its own, which its name has as well.
    pub number: u64,
    /// Drawn anew for each, so that no two that are written have the same bytes.
    pub writer: u64,
    /// The cursor's name.
    pub cursor: String,
    pub content: Content,
}

/// What it says of the cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// The cursor is deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_gone: bool,
    /// How long a worker keeps its shards without a sign of life.
    pub lease_ms: u64,
    /// Workers that are alive, each with the number of the sheet by which it was said so last.
    pub workers: BTreeMap<String, u64>,
    /// Workers that have left, and the numbers by which they did: the last ones, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<(u64, String)>,
    /// In the order of their ids.
    pub shards: Vec<Row>,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    shard: u32,
    /// Everything before it is done.
    done: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
}

/// Who has a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    worker: String,
    /// It has been sent no record from here on.
    sent: u64,
    /// It is sent no more, since the sheet of this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaving: Option<u64>,
}

impl Row {
    /// What a shard is written as in the sheet of `number`, behind one that has it as `before`.
    fn of((id, shard): (&ShardId, &LeasedShard), before: Option<&Row>, number: u64) -> Self {
        let held = |hold: &Hold| {
            let before = before.and_then(|row| row.held.as_ref()).filter(|held| *held.worker == *hold.worker);
            let since = before.and_then(|held| held.leaving).unwrap_or(number);
            let leaving = hold.is_leaving.then_some(since);
            Held { worker: hold.worker.to_string(), sent: hold.sent.0, leaving }
        };
        Self { shard: id.0, done: shard.done.0, held: shard.hold.as_ref().map(held) }
    }
}

impl Content {
    /// What `leases` are written as behind this. A shard that this node does not know stays as it is.
    pub fn followed_by(&self, leases: &Leases, number: u64) -> Self {
        let beat = |worker: &Arc<str>| {
            let known = self.workers.get(&**worker).copied();
            (worker.to_string(), known.unwrap_or(number))
        };
        let before = self.rows();
        let known = leases.shards.iter();
        let known = known.map(|(id, shard)| Row::of((id, shard), before.get(id).copied(), number));
        let others = self.shards.iter().filter(|row| !leases.shards.contains_key(&ShardId(row.shard)));
        let mut shards: Vec<_> = known.chain(others.cloned()).collect();
        shards.sort_unstable_by_key(|row| row.shard);
        Self {
            is_gone: false,
            lease_ms: u64::try_from(leases.length.as_millis()).unwrap_or(u64::MAX),
            workers: leases.workers.keys().map(beat).collect(),
            left: self.left.clone(),
            shards,
        }
    }

    fn rows(&self) -> BTreeMap<ShardId, &Row> {
        self.shards.iter().map(|row| (ShardId(row.shard), row)).collect()
    }

    /// Notes that a worker has left.
    pub fn has_left(&mut self, worker: &str, number: u64) {
        self.left.retain(|(_, known)| known != worker);
        if self.left.len() >= CURSOR_DEPARTURES_MAX {
            self.left.remove(0);
        }
        self.left.push((number, worker.to_owned()));
    }

    /// Whether a worker has left by a later sheet than that of `number`.
    pub fn left_since(&self, worker: &str, number: u64) -> bool {
        self.left.iter().any(|(when, known)| *when > number && known == worker)
    }

    /// What this means to a node that sees it `now`. `before` is what it knew until now: what has not changed since is as
    /// old as it was.
    pub fn leases(&self, before: Option<(&Content, &Leases)>, facts: &[ShardFacts], now: Instant) -> Leases {
        let (rows, rows_before) =
            (self.rows(), before.map(|(content, _)| content.rows()).unwrap_or_default());
        let done = |shard| rows.get(&shard).map(|row| SequenceNumber(row.done));
        let mut leases = Leases::new(Duration::from_millis(self.lease_ms), facts, done);
        leases.grace = grace(leases.length);
        let new_until = now + leases.length + leases.grace;
        for (worker, beat) in &self.workers {
            let same = before.filter(|(content, _)| content.workers.get(worker) == Some(beat));
            let until = same.and_then(|(_, leases)| leases.workers.get(worker.as_str()).copied());
            leases.workers.insert(worker.as_str().into(), until.unwrap_or(new_until));
        }
        for (id, shard) in &mut leases.shards {
            let Some(held) = rows.get(id).and_then(|row| row.held.as_ref()) else { continue };
            let hold_before = before.and_then(|(_, leases)| leases.shards.get(id)?.hold.as_ref());
            let same = hold_before.filter(|hold| *hold.worker == *held.worker).map(|hold| hold.until);
            let alive = leases.workers.get_key_value(held.worker.as_str());
            // What it is to hand over it has until then at the longest, and that counts from when it was told to.
            let held_before = rows_before.get(id).and_then(|row| row.held.as_ref());
            let until = match held.leaving {
                None => alive.map(|(_, until)| *until).or(same),
                leaving => same.filter(|_| held_before.is_some_and(|before| before.leaving == leaving)),
            };
            shard.hold = Some(Hold {
                worker: alive.map_or_else(|| held.worker.as_str().into(), |(name, _)| Arc::clone(name)),
                until: until.unwrap_or(new_until),
                sent: SequenceNumber(held.sent),
                is_leaving: held.leaving.is_some(),
            });
        }
        leases
    }
}

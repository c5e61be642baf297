//! Spreading shards over the workers that are alive: evenly, and moving as few as that takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::leases::{Hold, LeasedShard, Leases};
use crate::record::ShardId;

/// A shard that has got another worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The shard.
    pub shard: ShardId,
    /// Who has it now.
    pub worker: Arc<str>,
    /// Whose lease ran out.
    pub taken_from: Option<Arc<str>>,
}

/// What a balance has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Shards that have got a worker.
    pub given: Vec<Given>,
    /// Shards that a worker is to hand over.
    pub leaving: Vec<(ShardId, Arc<str>)>,
}

impl Changes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.leaving.is_empty()
    }
}

/// Shards by the worker that keeps them.
type Kept = BTreeMap<Arc<str>, Vec<ShardId>>;

/// Forgets workers that are dead, frees what is done with, and gives every worker its part of the shards that may be
/// read: none has two more than another one, as soon as the others have handed over what they have to.
pub(super) fn balance(leases: &mut Leases, now: Instant) -> Changes {
    leases.workers.retain(|_, until| *until > now);
    free_done(leases);
    let mut changes = Changes::default();
    if leases.workers.is_empty() {
        return changes;
    }
    let readable = readable(leases);
    let kept = kept(leases, &readable);
    let mut missing = BTreeMap::new();
    for (worker, quota) in quotas(&kept, readable.len()) {
        let shards = &kept[&worker];
        if shards.len() > quota {
            hand_over(leases, shards, shards.len() - quota, &mut changes);
        } else if shards.len() < quota {
            missing.insert(worker, quota - shards.len());
        }
    }
    // What is handed over and was not sent since it was done is free at once.
    free_done(leases);
    keep_own(leases, &mut missing);
    give(leases, &readable, missing, now, &mut changes);
    changes
}

fn free_done(leases: &mut Leases) {
    for shard in leases.shards.values_mut() {
        if shard.is_handed_over() || shard.is_finished() {
            shard.hold = None;
        }
    }
}

/// Shards with records to come whose ancestors are all done to their ends.
fn readable(leases: &Leases) -> Vec<ShardId> {
    let shards = &leases.shards;
    let is_readable = |shard: &LeasedShard| {
        let known = |id| shards.get(&id).map(|shard| &shard.facts);
        let done = |id| shards.get(&id).map(|shard| shard.done);
        !shard.is_finished() && shard.facts.may_be_read(known, done)
    };
    shards.iter().filter(|(_, shard)| is_readable(shard)).map(|(id, _)| *id).collect()
}

/// What each worker has and is not to hand over.
fn kept(leases: &Leases, readable: &[ShardId]) -> Kept {
    let mut kept: Kept = leases.workers.keys().map(|worker| (Arc::clone(worker), Vec::new())).collect();
    for id in readable {
        let hold = leases.shards.get(id).and_then(|shard| shard.hold.as_ref());
        if let Some(hold) = hold.filter(|hold| !hold.is_leaving)
            && let Some(shards) = kept.get_mut(&hold.worker)
        {
            shards.push(*id);
        }
    }
    kept
}

/// How many of `count` shards each worker is to have. What cannot be divided goes to those who have the most.
fn quotas(kept: &Kept, count: usize) -> Vec<(Arc<str>, usize)> {
    let (each, rest) = (count / kept.len(), count % kept.len());
    let mut workers: Vec<_> = kept.iter().map(|(worker, shards)| (shards.len(), worker)).collect();
    workers.sort_by(|(a, one), (b, other)| b.cmp(a).then(one.cmp(other)));
    let quota = |(index, (_, worker)): (usize, (usize, &Arc<str>))| {
        (Arc::clone(worker), each + usize::from(index < rest))
    };
    workers.into_iter().enumerate().map(quota).collect()
}

/// Has a worker hand over so many of its shards: first those of which it has nothing that is not done.
fn hand_over(leases: &mut Leases, shards: &[ShardId], count: usize, changes: &mut Changes) {
    let mut order: Vec<_> = shards
        .iter()
        .map(|id| {
            let shard = leases.shards.get(id);
            let is_busy =
                shard.is_some_and(|shard| shard.hold.as_ref().is_some_and(|hold| hold.sent > shard.done));
            (is_busy, std::cmp::Reverse(*id))
        })
        .collect();
    order.sort_unstable();
    for (_, std::cmp::Reverse(id)) in order.into_iter().take(count) {
        if let Some(hold) = leases.shards.get_mut(&id).and_then(|shard| shard.hold.as_mut()) {
            hold.is_leaving = true;
            changes.leaving.push((id, Arc::clone(&hold.worker)));
        }
    }
}

/// Lets workers that miss shards keep those that they were to hand over.
fn keep_own(leases: &mut Leases, missing: &mut BTreeMap<Arc<str>, usize>) {
    for hold in leases.shards.values_mut().filter_map(|shard| shard.hold.as_mut()) {
        let Some(count) = missing.get_mut(&hold.worker).filter(|count| **count > 0) else { continue };
        if let (true, Some(until)) = (hold.is_leaving, leases.workers.get(&hold.worker)) {
            (hold.is_leaving, hold.until) = (false, *until);
            *count -= 1;
        }
    }
}

/// Gives what is free to the workers that miss shards, to each in turn who misses the most.
fn give(
    leases: &mut Leases,
    readable: &[ShardId],
    mut missing: BTreeMap<Arc<str>, usize>,
    now: Instant,
    changes: &mut Changes,
) {
    for id in readable {
        let most = missing.iter_mut().max_by_key(|(_, count)| **count).filter(|(_, count)| **count > 0);
        let Some((worker, count)) = most else { return };
        let Some(&until) = leases.workers.get(worker) else { return };
        let Some(shard) = leases.shards.get_mut(id) else { continue };
        let taken_from = match &shard.hold {
            None => None,
            Some(hold) if hold.until <= now => Some(Arc::clone(&hold.worker)),
            Some(_) => continue,
        };
        *count -= 1;
        let worker = Arc::clone(worker);
        shard.hold = Some(Hold { worker: Arc::clone(&worker), until, sent: shard.done, is_leaving: false });
        changes.given.push(Given { shard: *id, worker, taken_from });
    }
}

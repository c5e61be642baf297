//! The state machine under whatever workers, clocks and reshards do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::balance::{Changes, balance};
use super::leases::{Checked, Leases, Stretch};
use super::reader::positions;
use crate::record::{SequenceNumber, ShardId};
use crate::stream::{HashRange, ShardFacts};
use crate::tap::cursor::Cursor;

mod scenarios;

const LEASE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
enum Step {
    Append(prop::sample::Index, u64),
    /// A worker asks, and gets so many records of a shard at most.
    Poll(usize, u64),
    /// The same from where its last page ended, although that is not done.
    PollOn(usize, u64),
    /// A worker's connection looks at records; it is to send them later.
    Look(usize, u64),
    /// What it has looked at is sent, if it still may be.
    Send(usize),
    /// A worker says that all of one of its pages is done.
    Commit(usize, prop::sample::Index),
    Leave(usize),
    Wait(u64),
    Split(prop::sample::Index),
    Merge(prop::sample::Index),
    Restart,
    /// Back, or forward, to so much of each shard.
    Reset(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..4_usize;
    prop_oneof![
        4 => (any::<prop::sample::Index>(), 1..5_u64).prop_map(|(shard, count)| Step::Append(shard, count)),
        6 => (worker.clone(), 0..4_u64).prop_map(|(worker, limit)| Step::Poll(worker, limit)),
        2 => (worker.clone(), 0..4_u64).prop_map(|(worker, limit)| Step::PollOn(worker, limit)),
        2 => (worker.clone(), 0..4_u64).prop_map(|(worker, limit)| Step::Look(worker, limit)),
        3 => worker.clone().prop_map(Step::Send),
        6 => (worker.clone(), any::<prop::sample::Index>()).prop_map(|(worker, page)| Step::Commit(worker, page)),
        1 => worker.prop_map(Step::Leave),
        3 => (1..40_u64).prop_map(Step::Wait),
        1 => any::<prop::sample::Index>().prop_map(Step::Split),
        1 => any::<prop::sample::Index>().prop_map(Step::Merge),
        1 => Just(Step::Restart),
        1 => any::<prop::sample::Index>().prop_map(Step::Reset),
    ]
}

/// Who has a shard.
#[derive(Debug, Clone)]
struct Owner {
    worker: usize,
    /// It has been sent records up to here, all that were not done when it got the shard.
    sent: u64,
    /// It is to hand it over, and has until then.
    leaving: Option<Instant>,
}

struct World {
    names: Vec<Arc<str>>,
    facts: Vec<ShardFacts>,
    /// Those that the leases know.
    followed: Vec<ShardFacts>,
    ends: BTreeMap<ShardId, u64>,
    leases: Leases,
    now: Instant,
    /// The pages that each worker has got in this life of the process, by their cursors.
    pages: Vec<Vec<Cursor>>,
    /// What each worker has looked at and not been sent, and the page that it will be.
    looks: Vec<Option<(Vec<Stretch>, Cursor)>>,
    handed: BTreeMap<ShardId, BTreeSet<u64>>,
    owners: BTreeMap<ShardId, Owner>,
    /// When each worker was heard last.
    heard: Vec<Instant>,
}

impl World {
    fn new(shards: u32) -> Self {
        let facts: Vec<_> = ShardFacts::even(shards, 0, SequenceNumber(100)).collect();
        let leases = Leases::new(LEASE, &facts, |_| None);
        let now = Instant::now();
        Self {
            names: (0..4).map(|index| format!("w{index}").into()).collect(),
            ends: facts.iter().map(|shard| (shard.id, 100)).collect(),
            followed: facts.clone(),
            facts,
            leases,
            now,
            pages: vec![Vec::new(); 4],
            looks: vec![None; 4],
            handed: BTreeMap::new(),
            owners: BTreeMap::new(),
            heard: vec![now; 4],
        }
    }

    fn facts(&self, id: ShardId) -> &ShardFacts {
        self.facts.iter().find(|shard| shard.id == id).unwrap()
    }

    fn done(&self, id: ShardId) -> u64 {
        self.leases.done().position(id).unwrap().0
    }

    /// Where the shards are others than before, as for a layout: leases that follow are spread anew.
    fn follow(&mut self) {
        if self.followed != self.facts {
            self.leases.follow(&self.facts);
            self.followed.clone_from(&self.facts);
        }
    }

    fn poll(&mut self, worker: usize, limit: u64, after: &Cursor) {
        self.look(worker, limit, after);
        assert!(self.send(worker), "nothing has happened in between");
    }

    fn look(&mut self, worker: usize, limit: u64, after: &Cursor) {
        let name = Arc::clone(&self.names[worker]);
        self.follow();
        let changes = self.leases.join(&name, self.now).unwrap();
        self.assert_settled();
        self.note(worker, &changes);
        let (start, leaving) = positions(&self.leases.held(&name), after);
        let (mut moved, mut page) = (Vec::new(), start.clone());
        for &(shard, from) in &start.positions {
            let end = self.ends[&shard].min(from.0 + limit);
            if leaving.position(shard).is_none() {
                let next = SequenceNumber(end);
                page.move_to(shard, next);
                moved.push(Stretch { shard, from, next });
            }
        }
        self.looks[worker] = Some((moved, page));
    }

    /// Spreading the shards once more, which is left out where nothing asks for it, would change nothing.
    fn assert_settled(&self) {
        let mut anew = self.leases.clone();
        assert_eq!(balance(&mut anew, self.now), Changes::default());
        for name in &self.names {
            assert_eq!(anew.held(name), self.leases.held(name), "{name}");
        }
    }

    /// False if shards have changed hands since the look.
    fn send(&mut self, worker: usize) -> bool {
        let Some((moved, page)) = self.looks[worker].take() else { return false };
        self.follow();
        if !self.leases.grant(&Arc::clone(&self.names[worker]), &moved) {
            return false;
        }
        for Stretch { shard, from, next } in moved {
            self.hand_out(worker, shard, from.0..next.0);
        }
        self.pages[worker].push(page);
        true
    }

    /// Goes on at a part of each shard.
    fn reset(&mut self, part: &prop::sample::Index) {
        let ends = &self.ends;
        let part = |facts: &ShardFacts| {
            let (first, end) = (facts.first.0, ends[&facts.id]);
            (facts.id, first + part.index((end - first + 1) as usize) as u64)
        };
        let to: BTreeMap<_, _> = self.facts.iter().map(part).collect();
        self.follow();
        self.leases.reset(|id| to.get(&id).map(|at| SequenceNumber(*at)));
        self.owners.clear();
        for (id, at) in to {
            // What lies before it is not wanted, and what follows is wanted again.
            self.handed.insert(id, (self.facts(id).first.0..at).collect());
        }
    }

    /// A shard gets another worker only when its last one was silent for a lease, has left, or has nothing of it that is
    /// not done. `heard` has just given a sign of life.
    fn note(&mut self, heard: usize, changes: &Changes) {
        for given in &changes.given {
            let worker = self.names.iter().position(|name| *name == given.worker).unwrap();
            if let Some(owner) = self.owners.get(&given.shard) {
                let until = owner.leaving.unwrap_or(self.heard[owner.worker] + LEASE);
                let is_free = until <= self.now || owner.sent <= self.done(given.shard);
                assert!(is_free, "{given:?}, but it is {owner:?}'s until {until:?}, now {:?}", self.now);
            }
            let sent = self.done(given.shard);
            self.owners.insert(given.shard, Owner { worker, sent, leaving: None });
        }
        self.heard[heard] = self.now;
        for (shard, _) in &changes.leaving {
            if let Some(owner) = self.owners.get_mut(shard) {
                owner.leaving = Some(self.heard[owner.worker] + LEASE);
            }
        }
        for held in self.leases.held(&self.names[heard]).iter().filter(|held| !held.is_leaving) {
            self.owners.get_mut(&held.shard).unwrap().leaving = None;
        }
    }

    /// A record goes to the one who has the shard, and none before all of those of its ancestors are done.
    fn hand_out(&mut self, worker: usize, shard: ShardId, numbers: std::ops::Range<u64>) {
        let mut ancestors: Vec<_> = self.facts(shard).parents().collect();
        while let Some(id) = ancestors.pop() {
            assert_eq!(Some(SequenceNumber(self.done(id))), self.facts(id).end, "{id} is an ancestor");
            ancestors.extend(self.facts(id).parents());
        }
        let owner = self.owners.get_mut(&shard).unwrap();
        assert_eq!(owner.worker, worker, "{shard}");
        let begins_at = owner.sent.max(self.leases.done().position(shard).unwrap().0);
        assert!(numbers.start <= begins_at, "{shard}: {numbers:?} passes over some, {owner:?}");
        owner.sent = owner.sent.max(numbers.end);
        self.handed.entry(shard).or_default().extend(numbers);
    }

    fn commit(&mut self, worker: usize, next: &Cursor) -> Checked {
        let name = Arc::clone(&self.names[worker]);
        self.follow();
        let before = self.leases.done();
        let checked = self.leases.check(&name, next);
        for (shard, position) in &checked.forward {
            assert!(before.position(*shard).unwrap() < *position);
            let owner = &self.owners[shard];
            assert_eq!(owner.worker, worker, "w{worker} moves {shard}, which is {owner:?}'s");
            let handed = &self.handed[shard];
            assert!((self.done(*shard)..position.0).all(|number| handed.contains(&number)), "{shard}");
        }
        self.leases.apply(&checked.forward);
        let changes = self.leases.live_on(&name, self.now);
        self.assert_settled();
        self.note(worker, &changes);
        for (shard, position) in &before.positions {
            assert!(self.done(*shard) >= position.0, "{shard} went back");
        }
        checked
    }

    fn leave(&mut self, worker: usize) {
        self.owners.retain(|_, owner| owner.worker != worker);
        let (_, changes) = self.leases.leave(&Arc::clone(&self.names[worker]), self.now);
        self.assert_settled();
        self.note(worker, &changes);
    }

    fn close(&mut self, id: ShardId) -> (HashRange, u64) {
        let end = self.ends[&id];
        let shard = self.facts.iter_mut().find(|shard| shard.id == id).unwrap();
        shard.end = Some(SequenceNumber(end));
        (shard.hash_keys, end)
    }

    fn open(&self) -> Vec<ShardId> {
        self.facts.iter().filter(|shard| shard.is_open()).map(|shard| shard.id).collect()
    }

    fn add(&mut self, hash_keys: HashRange, parents: [Option<ShardId>; 2], first: u64) {
        let id = ShardId(self.facts.len() as u32);
        let first = SequenceNumber(first);
        self.facts.push(ShardFacts { id, hash_keys, parents, created: 0, first, end: None });
        self.ends.insert(id, first.0);
    }

    fn split(&mut self, id: ShardId) {
        let (range, end) = self.close(id);
        for _ in 0..2 {
            self.add(range, [Some(id), None], end);
        }
    }

    fn merge(&mut self, one: ShardId, other: ShardId) {
        let (range, end) = self.close(one);
        let (_, other_end) = self.close(other);
        self.add(range, [Some(one), Some(other)], end.max(other_end));
    }

    fn restart(&mut self) {
        // It is not kept what a worker has been sent: what it was sent under an earlier lease has to be over.
        for (name, pages) in self.names.iter().zip(&mut self.pages) {
            pages.retain(|page| self.leases.check(name, page).lost.is_empty());
        }
        self.looks = vec![None; 4];
        let kept = self.leases.kept(&[]);
        let end = |id: ShardId| self.ends.get(&id).map(|end| SequenceNumber(*end));
        self.leases = Leases::restore(&kept, &self.facts, end, self.now);
        self.followed.clone_from(&self.facts);
        // Whoever had a shard has it for a lease from now on.
        self.heard = vec![self.now; 4];
        self.owners.values_mut().for_each(|owner| owner.leaving = None);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append(shard, count) => {
                let open = self.open();
                *self.ends.get_mut(shard.get(&open)).unwrap() += count;
            }
            Step::Poll(worker, limit) => self.poll(worker, limit, &Cursor::default()),
            Step::PollOn(worker, limit) => {
                let after = self.pages[worker].last().cloned().unwrap_or_default();
                self.poll(worker, limit, &after);
            }
            Step::Look(worker, limit) => {
                let after = self.pages[worker].last().cloned().unwrap_or_default();
                self.look(worker, limit, &after);
            }
            Step::Send(worker) => drop(self.send(worker)),
            Step::Reset(part) => self.reset(&part),
            Step::Commit(worker, page) if !self.pages[worker].is_empty() => {
                let page = page.get(&self.pages[worker]).clone();
                self.commit(worker, &page);
            }
            Step::Commit(..) => {}
            Step::Leave(worker) => self.leave(worker),
            Step::Wait(seconds) => self.now += Duration::from_secs(seconds),
            Step::Split(shard) => self.split(*shard.get(&self.open())),
            Step::Merge(shard) => {
                let open = self.open();
                let at = shard.index(open.len());
                if at + 1 < open.len() {
                    self.merge(open[at], open[at + 1]);
                }
            }
            Step::Restart => self.restart(),
        }
    }

    /// Everybody asks and says that all is done, often enough for shards to be handed over and children to follow.
    fn run_all(&mut self, workers: std::ops::Range<usize>) {
        for _ in 0..12 {
            for worker in workers.clone() {
                self.poll(worker, 1_000, &Cursor::default());
                let page = self.pages[worker].last().cloned().unwrap();
                self.commit(worker, &page);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_shard_has_one_worker_and_no_record_is_missed(
        shards in 1..5_u32,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(shards);
        for step in steps {
            world.take(step);
        }
        // Whoever has died is found out, and the others read all there is.
        world.now += LEASE;
        world.run_all(0..3);
        for (id, end) in world.ends.clone() {
            prop_assert_eq!(world.done(id), end);
            let first = world.facts(id).first.0;
            let handed = world.handed.get(&id).cloned().unwrap_or_default();
            prop_assert!((first..end).all(|number| handed.contains(&number)), "{}", id);
        }
        let counts: Vec<_> = world.names[..3].iter().map(|name| world.leases.held(name).len()).collect();
        prop_assert_eq!(counts.iter().sum::<usize>(), world.open().len());
        prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{:?}", counts);
    }
}

//! The end of the process, in one way or another, and the next start.

use std::collections::BTreeSet;

use super::{Case, ROUNDS_MAX};
use crate::record::{SequenceNumber, ShardId};
use crate::stream::ReadLimit;
use crate::stream::wal::JournalClass;
use crate::stream::wal::journal::stepped::Round;
use crate::stream::wal::model::check::{read, records};
use crate::stream::wal::model::expected::Request;
use crate::stream::wal::model::node::Node;

impl Case {
    pub(super) fn crash(&mut self) {
        let is_off = self.disk.is_off();
        match self.rng.u8(..5) {
            0 if !is_off => self.stop(),
            1 | 2 if !is_off => {
                self.note(|| "the process ends".to_owned());
                self.end_process();
                self.disk = self.disk.kill();
            }
            _ => {
                self.note(|| "the power ends".to_owned());
                self.end_process();
                self.disk = self.disk.crash();
                self.has_lost_power = true;
            }
        }
        self.start();
        if self.profile.class == JournalClass::Os && self.has_lost_power {
            self.take_losses();
        } else {
            self.settle();
        }
        self.has_lost_power = false;
    }

    /// The process does nothing more, as far as its disk is concerned.
    fn end_process(&mut self) {
        self.node = None;
        // A new disk has no faults.
        self.faulty = false;
    }

    /// A stop in order.
    fn stop(&mut self) {
        self.note(|| "stop".to_owned());
        self.node().journal.stop();
        for rounds in 0.. {
            assert!(rounds < ROUNDS_MAX, "the stop does not end");
            if self.node().threads.keeper_has_work() {
                self.node().threads.keep();
            }
            if self.round() == Round::Ended {
                break;
            }
        }
        assert!(self.expected.pending.is_empty(), "a stop leaves nothing undone");
        if let Some(node) = self.node.take() {
            node.threads.end();
        }
        self.heal();
    }

    /// Starts the process, on a disk that may fail meanwhile.
    fn start(&mut self) {
        if self.rng.u8(..4) == 0 {
            let changes = self.rng.u64(..30);
            self.note(|| format!("power ends after {changes} changes of the start"));
            self.disk.cut_power_after(changes);
        }
        for _ in 0..ROUNDS_MAX {
            if self.profile.kind == super::Kind::Faults && self.rng.u8(..3) == 0 {
                self.inject();
            }
            match Node::start(&self.disk, &self.profile, self.now()) {
                Ok(node) => {
                    // On a full disk.
                    self.broken = !node.threads.is_open();
                    self.node = Some(node);
                    return;
                }
                Err(error) => {
                    self.note(|| format!("the start has failed: {error}"));
                    assert!(self.faulty || self.disk.is_off(), "{error}");
                }
            }
            if self.disk.is_off() {
                self.disk = self.disk.crash();
                self.has_lost_power = true;
            }
            self.heal();
        }
        panic!("the process cannot be started");
    }

    /// Compares what is there with what must be, and tells deliveries' positions again.
    fn settle(&mut self) {
        let next = self.found_next();
        self.expected.settle(&next);
        self.find_first();
        self.check_keys();
        self.tell_released();
        self.check_all();
    }

    fn found_next(&mut self) -> Vec<Vec<u64>> {
        let streams = &self.node().streams;
        let next = |stream: &crate::stream::Stream| {
            stream.shard_ids().map(|id| stream.shard(id).unwrap().bounds().next.0).collect()
        };
        streams.iter().map(next).collect()
    }

    /// What retention had let go of may be back, and nothing else may have gone.
    fn find_first(&mut self) {
        let streams = &self.node.as_ref().unwrap().streams;
        for (stream, shards) in self.expected.shards.iter_mut().enumerate() {
            for (id, shard) in shards.iter_mut().enumerate() {
                let first = streams[stream].shard(ShardId(id as u32)).unwrap().bounds().first.0;
                assert!(first <= shard.first, "{stream}/{id} begins with {first}, not {}", shard.first);
                shard.first = first;
            }
        }
    }

    fn tell_released(&mut self) {
        let streams = &self.node.as_ref().unwrap().streams;
        for (stream, shards) in self.expected.shards.iter().enumerate() {
            for (id, shard) in shards.iter().enumerate() {
                let log = streams[stream].shard(ShardId(id as u32)).unwrap();
                for (reader, released) in shard.released.iter().enumerate() {
                    log.release(reader, SequenceNumber(*released));
                }
            }
        }
    }

    pub(super) fn check_all(&mut self) {
        for (stream, shards) in self.expected.shards.iter().enumerate() {
            for (id, shard) in shards.iter().enumerate() {
                let checked = shard.check_all(&self.node.as_ref().unwrap().streams[stream], id);
                if let Err(error) = checked {
                    assert!(self.faulty || self.disk.is_off(), "{error}");
                }
            }
        }
    }

    /// Class `os`, after the power: anything that was not synced may be gone, but only whole requests, and what is
    /// there is what it was. The model goes on from what is left.
    fn take_losses(&mut self) {
        let limbo = std::mem::take(&mut self.expected.limbo);
        let pending = std::mem::take(&mut self.expected.pending);
        let maybe: Vec<Request> = limbo.into_iter().chain(pending).collect();
        let next = self.found_next();
        for (stream, shards) in next.iter().enumerate() {
            for (shard, next) in shards.iter().enumerate() {
                self.take_shard_losses((stream, shard), *next, &maybe);
            }
        }
        for request in maybe {
            let there = request.batches.iter().flat_map(|(shard, first, records)| {
                let shard = &self.expected.shards[request.stream][*shard];
                (*first..).zip(records).map(|(number, record)| shard.records.get(&number) == Some(record))
            });
            let there: BTreeSet<bool> = there.collect();
            assert_eq!(there.len(), 1, "a request is there in part");
            if let (true, Some(key)) = (there.contains(&true), request.key) {
                self.expected.keys.insert((request.stream, key.key), key);
            }
        }
        self.forget_lost_keys();
        self.check_keys();
        self.tell_released();
        self.check_all();
    }

    fn take_shard_losses(&mut self, (stream, shard): (usize, usize), next: u64, maybe: &[Request]) {
        let node = self.node.as_ref().unwrap();
        let bounds = node.streams[stream].shard(ShardId(shard as u32)).unwrap().bounds();
        let expected = &mut self.expected.shards[stream][shard];
        let mut known = expected.records.clone();
        for request in maybe.iter().filter(|request| request.stream == stream) {
            for (_, first, records) in request.batches.iter().filter(|(of, ..)| *of == shard) {
                known.extend((*first..).zip(records.iter().cloned()));
            }
        }
        let mut found = BTreeSet::new();
        let mut from = bounds.first.0;
        loop {
            let answer = read(&node.streams[stream], shard, from, ReadLimit::bytes(10_000)).unwrap();
            for (number, record) in records(&answer.read) {
                assert_eq!(Some(&record), known.get(&number).map(|record| &**record), "record {number}");
                assert!(found.insert(number), "record {number} comes again");
            }
            if answer.read.slices.is_empty() {
                break;
            }
            from = answer.read.next.0;
        }
        known.retain(|number, _| found.contains(number));
        expected.records = known;
        (expected.first, expected.next) = (bounds.first.0, next);
        expected.released.iter_mut().for_each(|released| *released = (*released).min(next));
    }

    fn forget_lost_keys(&mut self) {
        let shards = &self.expected.shards;
        self.expected.keys.retain(|(stream, _), key| {
            key.ends.iter().any(|(shard, end)| shards[*stream][*shard].records.contains_key(&(end - 1)))
        });
    }
}

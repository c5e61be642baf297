//! A case: random steps, each checked against the model.

mod crash;
mod request;

use fastrand::Rng;

use super::check::read;
use super::expected::Expected;
use super::node::Node;
use super::profile::{Kind, Profile};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::stream::ReadLimit;
use crate::stream::wal::journal::stepped::Round;
use crate::testkit::disk::{Failure, Fault, Operation, SimulatedDisk};

/// Rounds after which work that does not end is an error.
const ROUNDS_MAX: usize = 10_000;

pub struct Case {
    rng: Rng,
    profile: Profile,
    disk: SimulatedDisk,
    /// `None` while the process is not there.
    node: Option<Node>,
    expected: Expected,
    now: i64,
    /// Whether the disk may fail.
    faulty: bool,
    /// Whether the disk's room is bounded.
    bounded: bool,
    /// Whether writing has failed, and no other segment was found yet; or no first one.
    broken: bool,
    /// Whether the power has ended since the model was last compared with all that is there.
    has_lost_power: bool,
    /// Steps since a failure for which a crash is likely.
    nervous: u8,
    requests: u64,
    trace: Vec<String>,
}

impl Case {
    pub fn new(kind: Kind, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let profile = Profile::random(kind, &mut rng);
        let disk = SimulatedDisk::new(rng.u64(..));
        let now = 1_700_000_000_000_000;
        let node = Node::start(&disk, &profile, UnixMicros(now)).unwrap();
        let expected = Expected::new(&profile);
        Self {
            rng,
            profile,
            disk,
            node: Some(node),
            expected,
            now,
            faulty: false,
            bounded: false,
            broken: false,
            has_lost_power: false,
            nervous: 0,
            requests: 0,
            trace: Vec::new(),
        }
    }

    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    pub fn trace(&self) -> &[String] {
        &self.trace
    }

    fn note(&mut self, step: impl FnOnce() -> String) {
        self.trace.push(step());
    }

    fn node(&mut self) -> &mut Node {
        self.node.as_mut().expect("the process is there between steps")
    }

    fn now(&self) -> UnixMicros {
        UnixMicros(self.now)
    }

    pub fn run(&mut self) {
        for _ in 0..self.profile.steps {
            self.now += self.rng.i64(0..50_000);
            self.step();
        }
        self.finish();
    }

    fn step(&mut self) {
        // What happens soon after a failure is what is most often done wrong.
        self.nervous = self.nervous.saturating_sub(1);
        if self.nervous > 0 && self.rng.u8(..8) == 0 {
            return self.crash();
        }
        match self.rng.u8(..100) {
            0..=39 => self.append(),
            40..=61 => {
                self.write();
            }
            62..=69 => self.work_until_idle(),
            70..=75 => self.keep(),
            76..=83 => self.read(),
            84..=86 => self.reclaim(),
            87..=89 => self.release(),
            90..=92 => self.retain(),
            93..=96 => self.trouble(),
            _ => self.crash(),
        }
    }

    fn pick_shard(&mut self) -> (usize, usize) {
        let stream = self.rng.usize(..self.profile.streams.len());
        (stream, self.rng.usize(..self.profile.streams[stream] as usize))
    }

    /// A round of the writing thread.
    fn write(&mut self) -> Round {
        // Without a spare segment the real one would wait. Now and then it has waited for nothing.
        if !self.node().threads.has_spare() && self.rng.u8(..16) > 0 {
            let made = self.node().threads.make_spare();
            self.note(|| format!("spare: {made}"));
            assert!(made || !self.is_well(), "nothing has failed");
        }
        self.round()
    }

    fn round(&mut self) -> Round {
        let round = self.node().threads.write();
        self.note(|| format!("write: {round:?}"));
        if self.broken && round == Round::Worked {
            // The new segment says where the one before ends: what has failed is void.
            self.broken = false;
            self.expected.limbo.clear();
        }
        self.hear();
        round
    }

    fn keep(&mut self) {
        let well = self.node().threads.keep();
        self.note(|| format!("keep: {well}"));
        assert!(well || !self.is_well(), "nothing has failed");
    }

    /// Everything that was taken is written, or has failed.
    fn work_until_idle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.write();
            if self.expected.pending.is_empty() {
                return;
            }
        }
        panic!("requests are neither written nor failed");
    }

    /// Nothing is left to do, neither for requests nor for segments.
    fn rest(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if self.node().threads.keeper_has_work() {
                self.keep();
            }
            let round = self.write();
            if round == Round::Idle && !self.node().threads.keeper_has_work() {
                return;
            }
        }
        panic!("the journal does not come to rest");
    }

    fn read(&mut self) {
        let (stream, shard) = self.pick_shard();
        let expected = &self.expected.shards[stream][shard];
        let from = match self.rng.u8(..8) {
            0 => 0,
            1 => expected.next + self.rng.u64(..3),
            _ => self.rng.u64(expected.first.saturating_sub(3)..=expected.next),
        };
        let bytes = if self.rng.bool() { u64::MAX } else { self.rng.u64(..20_000) };
        let records = if self.rng.bool() { usize::MAX } else { self.rng.usize(..30) };
        let limit = ReadLimit { bytes, records };
        let answer = read(&self.node().streams[stream], shard, from, limit);
        self.note(|| {
            format!("read {stream}/{shard} from {from}: {:?}", answer.as_ref().map(|a| a.read.next.0))
        });
        match answer {
            Ok(answer) => self.expected.shards[stream][shard].check(from, limit, &answer),
            Err(error) => assert!(self.faulty || self.disk.is_off(), "{error}"),
        }
    }

    fn reclaim(&mut self) {
        let before = UnixMicros(self.now - self.rng.i64(0..3_000_000));
        self.note(|| "reclaim".to_owned());
        self.node().streams.iter().for_each(|stream| stream.reclaim(before));
    }

    /// A delivery has stored something.
    fn release(&mut self) {
        if self.profile.readers == 0 {
            return;
        }
        let (stream, shard) = self.pick_shard();
        let reader = self.rng.usize(..self.profile.readers);
        let next = self.expected.shards[stream][shard].next;
        let before = self.expected.shards[stream][shard].released[reader];
        let upto = if self.rng.bool() { next } else { self.rng.u64(before.min(next)..=next) };
        self.note(|| format!("release {stream}/{shard} by {reader} up to {upto}"));
        let released = &mut self.expected.shards[stream][shard].released[reader];
        *released = upto.max(*released);
        let shard = self.node().streams[stream].shard(ShardId(shard as u32)).unwrap();
        shard.release(reader, SequenceNumber(upto));
    }

    /// Retention takes what it may, and nothing else.
    fn retain(&mut self) {
        let is_full = self.node().journal.disk_is_full();
        let now = self.now();
        self.note(|| "retain".to_owned());
        let node = self.node();
        node.streams.iter().for_each(|stream| stream.enforce_retention(now));
        let shards: Vec<_> = node.streams.iter().flat_map(|stream| stream.durable_logs()).collect();
        node.journal.housekeeping(&shards, now);
        let oldest = self.now - self.profile.retention.as_micros() as i64;
        let streams = &self.node.as_ref().unwrap().streams;
        for (stream, shards) in self.expected.shards.iter_mut().enumerate() {
            let share = self.profile.retention_bytes.map(|bytes| bytes / shards.len() as u64);
            for (id, shard) in shards.iter_mut().enumerate() {
                let first = streams[stream].shard(ShardId(id as u32)).unwrap().bounds().first.0;
                assert!(
                    first >= shard.first && first <= shard.next,
                    "{first} in {}..{}",
                    shard.first,
                    shard.next
                );
                let gone = || shard.records.range(shard.first..first);
                let held = shard.records.range(shard.first..shard.next);
                let held: u64 = held.map(|(_, record)| record.parts.payload.len() as u64).sum();
                let is_over = share.is_some_and(|share| held > share);
                assert!(
                    is_over || gone().all(|(_, record)| record.arrival < oldest),
                    "retention is not over"
                );
                let released = shard.released.iter().copied().min().unwrap_or(shard.next);
                assert!(is_full || gone().all(|(number, _)| *number < released), "a delivery needs it");
                shard.first = first;
            }
        }
    }

    /// Faults begin or end.
    fn trouble(&mut self) {
        match self.profile.kind {
            Kind::Crashes | Kind::Large => {
                let changes = self.rng.u64(..60);
                self.note(|| format!("power ends after {changes} changes"));
                self.disk.cut_power_after(changes);
            }
            Kind::Faults if self.faulty => self.heal(),
            Kind::Full if self.bounded => {
                self.note(|| "there is room again".to_owned());
                self.disk.set_capacity(None);
                self.bounded = false;
            }
            Kind::Full => {
                let room = if self.rng.bool() { 0 } else { self.rng.u64(..3 * self.profile.segment_bytes) };
                self.note(|| format!("{room} bytes of room"));
                self.disk.set_capacity(Some(self.disk.used() + room));
                self.bounded = true;
            }
            Kind::Faults => self.inject(),
            Kind::Unsynced => {}
        }
    }

    fn heal(&mut self) {
        self.note(|| "heal".to_owned());
        self.disk.heal();
        self.faulty = false;
    }

    fn inject(&mut self) {
        let operations = [
            Operation::Write,
            Operation::Write,
            Operation::Sync,
            Operation::Sync,
            Operation::Sync,
            Operation::Sync,
            Operation::Rename,
            Operation::Create,
            Operation::Remove,
            Operation::SyncFolder,
            Operation::SetLen,
            Operation::Open,
            Operation::Read,
        ];
        for _ in 0..self.rng.usize(1..=3) {
            let operation = operations[self.rng.usize(..operations.len())];
            let failure = match self.rng.u8(..4) {
                0 => Failure::Full,
                1 => Failure::Short(self.rng.usize(1..5_000)),
                _ => Failure::Io,
            };
            let fault = Fault::new(operation, failure).after(self.rng.u64(..12)).times(self.rng.u64(1..=3));
            self.note(|| format!("inject {fault:?}"));
            self.disk.inject(fault);
        }
        self.faulty = true;
    }

    /// The disk is well again: everything is there, and goes away when it may.
    fn finish(&mut self) {
        self.crash();
        self.note(|| "the end".to_owned());
        self.heal();
        self.disk.set_capacity(None);
        self.bounded = false;
        self.check_all();
        self.now += i64::from(u32::MAX);
        for (stream, shards) in self.expected.shards.iter_mut().enumerate() {
            for (id, shard) in shards.iter_mut().enumerate() {
                let log = self.node.as_ref().unwrap().streams[stream].shard(ShardId(id as u32)).unwrap();
                for (reader, released) in shard.released.iter_mut().enumerate() {
                    *released = shard.next;
                    log.release(reader, SequenceNumber(shard.next));
                }
            }
        }
        for _ in 0..3 {
            self.retain();
            self.rest();
        }
        let (segments, _) = self.node().journal.usage();
        assert!(segments <= 2, "{segments} segments are left although nobody needs them");
        self.crash();
        self.check_all();
    }
}

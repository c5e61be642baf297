//! Logs that are compared, and one round of one of them.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::config::checked::{Durability, LogWriter};

use crate::feed::Feed;
use crate::harness::disk::{Method, PAGE_BYTES, ZeroedFile};
use crate::harness::door::{Door, LogSpec};
use crate::harness::forebay::Judging;
use crate::harness::{Call, disk_folder};
use crate::load::{Seen, Until, closed_loop};

/// Clients of a closed loop.
pub const CLIENTS: usize = 8;

/// Bytes that a measurement appends at most, about.
const LOAD_BYTES_MAX: u64 = 2 << 30;
const SEGMENT_BYTES: u64 = 64 << 20;
const QUICK_SEGMENT_BYTES: u64 = 4 << 20;
const ZEROED_BYTES: u64 = 256 << 20;
/// Part of a round's time for warming up.
const WARM_UP_DIVISOR: u32 = 5;

/// A log that can be measured.
#[derive(Debug, Clone, Copy)]
pub struct Contestant {
    pub name: &'static str,
    pub log: LogSpec,
    /// The disk's way of writing that it uses.
    pub method: Option<Method>,
}

impl Contestant {
    fn new(name: &'static str, durability: Durability, writer: LogWriter, method: Option<Method>) -> Self {
        Self { name, log: LogSpec { durability, writer, segment_bytes: SEGMENT_BYTES }, method }
    }

    /// The log in memory.
    pub fn memory() -> Self {
        Self::new("memory", Durability::Memory, LogWriter::Auto, None)
    }

    /// The one that a stream gets by default.
    pub fn fsync() -> Self {
        Self::new("fsync", Durability::Fsync, LogWriter::Auto, None)
    }

    /// All that are durable and work here; says which do not.
    pub fn durable() -> Vec<Self> {
        let fsync = |name, writer, method| Self::new(name, Durability::Fsync, writer, Some(method));
        let all = [
            fsync("fsync, io_uring", LogWriter::IoUring, Method::Direct),
            fsync("fsync, thread", LogWriter::Thread, Method::WriteAndSync),
            Self::new("os", Durability::Os, LogWriter::Thread, None),
        ];
        let works = |contestant: &Self| {
            let log = LogSpec { segment_bytes: QUICK_SEGMENT_BYTES, ..contestant.log };
            Door::open(1, Judging::Syntax, log)
                .inspect_err(|error| println!("{} cannot be measured here: {error}", contestant.name))
                .is_ok()
        };
        all.into_iter().filter(works).collect()
    }

    /// A stream of `shards` shards with this log.
    pub fn open(&self, call: &Call, shards: u32) -> Arc<Door> {
        let segment_bytes = call.amount(self.log.segment_bytes, QUICK_SEGMENT_BYTES);
        Arc::new(Door::open(shards, Judging::Syntax, LogSpec { segment_bytes, ..self.log }).unwrap())
    }
}

/// Bytes of the segments.
pub fn segment_bytes(call: &Call) -> u64 {
    call.amount(SEGMENT_BYTES, QUICK_SEGMENT_BYTES)
}

/// For `full` time, or a short one.
pub fn until(call: &Call, full: Duration) -> Until {
    Until { duration: call.duration(full), bytes: call.amount(LOAD_BYTES_MAX, LOAD_BYTES_MAX / 64) }
}

/// A file for each way of writing that works here; says which do not.
pub fn disks(call: &Call) -> Vec<(Method, ZeroedFile)> {
    let create = |method: Method| {
        ZeroedFile::create(method, call.amount(ZEROED_BYTES, ZEROED_BYTES / 16))
            .inspect_err(|error| println!("{} cannot be measured here: {error}", method.name()))
            .ok()
            .map(|file| (method, file))
    };
    Method::ALL.into_iter().filter_map(create).collect()
}

/// Lets the file system finish what it has been told, such as giving the space of removed files back.
pub fn settle() {
    File::open(disk_folder()).unwrap().sync_all().unwrap();
}

/// What clients of one log have seen, and what it has written.
pub struct Round {
    pub seen: Seen,
    /// `None` if nothing was written.
    pub commits: Option<Commits>,
}

/// What a journal has written, on average.
#[derive(Debug, Clone, Copy)]
pub struct Commits {
    /// Requests of a commit.
    pub requests: f64,
    /// Bytes of a commit.
    pub bytes: f64,
}

impl Commits {
    /// Of a stream to which `requests` requests were appended. It must be the last handle of it.
    pub fn of(door: Arc<Door>, requests: u64) -> Option<Self> {
        let door = Arc::into_inner(door).unwrap();
        door.log_folder()?;
        let closed = door.close();
        let commits = closed.commits() as f64;
        let headers = (closed.segments().len() * PAGE_BYTES) as f64;
        Some(Self { requests: requests as f64 / commits, bytes: (closed.bytes() as f64 - headers) / commits })
    }

    /// Bytes of the blocks that a commit writes: it begins in the block in which the one before has ended.
    pub fn written_bytes(&self) -> usize {
        let blocks = (self.bytes - 1.0) / PAGE_BYTES as f64 + 1.0;
        (blocks.round() as usize).max(1) * PAGE_BYTES
    }
}

impl Round {
    /// Commits a second.
    pub fn commits_per_second(&self) -> Option<f64> {
        self.commits.map(|commits| self.seen.requests_per_second() / commits.requests)
    }

    /// Commits, and so syncs, a gigabyte.
    pub fn commits_per_gb(&self) -> Option<f64> {
        self.commits
            .map(|commits| self.seen.requests as f64 / commits.requests * 1e9 / self.seen.bytes as f64)
    }
}

/// The kinds of [`Feed`].
#[derive(Clone, Copy)]
pub enum Requests {
    Ready,
    Bodies,
    Keyed,
}

/// What a load is made of.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    pub shards: u32,
    pub bodies: &'a [Bytes],
    pub requests: Requests,
    pub clients: usize,
}

impl Shape<'_> {
    /// The feed of it for a stream.
    pub fn feed(&self, door: &Door) -> Arc<Feed> {
        let bodies = || self.bodies.to_vec();
        Arc::new(match self.requests {
            Requests::Ready => Feed::ready(door, self.bodies),
            Requests::Bodies => Feed::Bodies(bodies()),
            Requests::Keyed => Feed::Keyed(bodies()),
        })
    }
}

/// A closed loop into a new log.
pub fn closed_round(call: &Call, contestant: &Contestant, shape: &Shape<'_>, until: Until) -> Round {
    let door = contestant.open(call, shape.shards);
    let feed = shape.feed(&door);
    let warm_up = warm_up(&door, &feed, shape.clients, until);
    let seen = closed_loop(&door, &feed, shape.clients, until);
    let commits = Commits::of(door, warm_up.requests + seen.requests);
    settle();
    Round { seen, commits }
}

/// Fills the memory of the log before anything is measured: pages that are touched for the first time take long. Returns
/// what was sent.
pub fn warm_up(door: &Arc<Door>, feed: &Arc<Feed>, clients: usize, until: Until) -> Seen {
    closed_loop(door, feed, clients, Until { duration: until.duration / WARM_UP_DIVISOR, ..until })
}

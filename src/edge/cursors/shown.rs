//! Named cursors as clients are shown them, as JSON.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};

use crate::config::print_duration;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock;
use crate::tap::cursor::Cursor;
use crate::tap::named::view::{Totals, View};

/// Bytes of a [`Summary`] with the longest numbers, beside the name.
const SUMMARY_BYTES: u64 = 160;

/// Bytes of a shard with the longest numbers, beside its worker, and of its position in the checkpoint.
const SHARD_BYTES: u64 = 180 + 32;

/// Bytes of a worker with the longest numbers, beside its name.
const WORKER_BYTES: u64 = 80;

/// A cursor in numbers: as large whatever the number of its shards and workers.
#[derive(Debug, Serialize)]
pub struct Summary {
    #[serde(serialize_with = "in_words")]
    cursor: Arc<str>,
    lease: String,
    /// Records that are there and not done.
    lag: u64,
    worker_count: usize,
    leased_shard_count: usize,
}

impl Summary {
    /// That of the cursor of this name.
    pub fn of(name: &Arc<str>, totals: &Totals) -> Self {
        Self {
            cursor: Arc::clone(name),
            lease: print_duration(totals.lease),
            lag: totals.lag,
            worker_count: totals.workers,
            leased_shard_count: totals.leased_shards,
        }
    }

    /// Bytes of its text, at most.
    pub fn bytes_max(name: &str) -> u64 {
        SUMMARY_BYTES + name.len() as u64
    }
}

/// All there is to be seen of a cursor.
#[derive(Debug, Serialize)]
pub struct Whole<'a> {
    #[serde(flatten)]
    summary: Summary,
    /// Hand it to `reset` to come back here.
    #[serde(serialize_with = "in_words")]
    next: Cursor,
    #[serde(serialize_with = "each_worker")]
    workers: &'a View,
    #[serde(serialize_with = "each_shard")]
    shards: &'a View,
}

impl<'a> Whole<'a> {
    /// That of the cursor of this name.
    pub fn of(name: &Arc<str>, view: &'a View) -> Self {
        let summary = Summary::of(name, &view.totals());
        Self { summary, next: view.done(), workers: view, shards: view }
    }

    /// Bytes of its text, at most.
    pub fn bytes_max(name: &str, view: &View) -> u64 {
        // Each of its visible characters is two at the most.
        let worker_bytes = |worker: &str| 2 * worker.len() as u64;
        let held = view.shards.iter().filter_map(|shard| shard.held.as_ref());
        let names = held.map(|(worker, ..)| worker).chain(view.workers.iter().map(|(worker, _)| worker));
        let rows = SHARD_BYTES * view.shards.len() as u64 + WORKER_BYTES * view.workers.len() as u64;
        Summary::bytes_max(name) + rows + names.map(|worker| worker_bytes(worker)).sum::<u64>()
    }
}

#[derive(Serialize)]
struct WorkerRow<'a> {
    worker: &'a str,
    shards: usize,
    /// Unless it gives another sign of life.
    alive_until: String,
}

#[derive(Serialize)]
struct ShardRow<'a> {
    #[serde(serialize_with = "in_words")]
    shard: ShardId,
    #[serde(serialize_with = "in_words")]
    next: SequenceNumber,
    lag: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leased_until: Option<String>,
    /// It gets no more records of it, so that another worker can have it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    handed_over: bool,
}

fn in_words<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn each_worker<S: Serializer>(view: &&View, serializer: S) -> Result<S::Ok, S::Error> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (worker, ..) in view.shards.iter().filter_map(|shard| shard.held.as_ref()) {
        *counts.entry(worker).or_default() += 1;
    }
    serializer.collect_seq(view.workers.iter().map(|(worker, until)| WorkerRow {
        worker,
        shards: counts.get(&**worker).copied().unwrap_or_default(),
        alive_until: wall(view.now, *until),
    }))
}

/// Row by row, so that no more than the text is held.
fn each_shard<S: Serializer>(view: &&View, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(view.shards.iter().map(|state| ShardRow {
        shard: state.shard,
        next: state.done,
        lag: view.lag_of(state),
        worker: state.held.as_ref().map(|(worker, ..)| &**worker),
        leased_until: state.held.as_ref().map(|(_, until, _)| wall(view.now, *until)),
        handed_over: state.held.as_ref().is_some_and(|(.., is_leaving)| *is_leaving),
    }))
}

/// A time to come by the wall clock.
fn wall(now: Instant, then: Instant) -> String {
    let ahead = i64::try_from(then.duration_since(now).as_micros()).unwrap_or_default();
    let time = DateTime::from_timestamp_micros(clock::wall().0.saturating_add(ahead)).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

//! What became of requests and records, and how long it took.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::bodies::Body;
use super::reply::Answer;
use super::timeline::Timeline;
use crate::manifest::Account;
use crate::record::Interval;
use crate::spread::Spread;

/// Longest time that histograms tell apart, in microseconds: one hour. What took longer counts as this.
const MICROS_MAX: u64 = 3_600_000_000;

/// Distinct codes that are counted each on its own; a server that sends more has them counted as [`OTHER_CODE`].
const CODES_MAX: usize = 64;

/// Stands for codes beyond [`CODES_MAX`].
const OTHER_CODE: &str = "other";

/// Code of a request that never reached the server.
pub(super) const NOT_SENT: &str = "not_sent";

/// Times in microseconds, to three significant digits.
#[derive(Debug, Clone)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    pub(super) fn new() -> Self {
        #[expect(clippy::expect_used, reason = "the bounds are constants, and a test makes one")]
        let histogram = Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("bounds of a histogram");
        Self(histogram)
    }

    pub(super) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX));
    }

    pub(super) fn add(&mut self, other: &Times) {
        // Both have the same bounds, so that there is nothing that could not be added.
        let _ = self.0.add(&other.0);
    }

    pub(super) fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// Microseconds and how often.
    pub(super) fn spread(&self) -> Spread {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    /// From what [`Times::spread`] gave.
    pub(super) fn of(spread: &Spread) -> Self {
        let mut times = Self::new();
        for (value, count) in spread.iter() {
            times.0.saturating_record_n(value, count);
        }
        times
    }
}

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Requests with a final fate.
    pub(super) requests: u64,
    /// Of them, those that did not end with a success.
    pub(super) failed: u64,
    /// Further tries.
    pub(super) retries: u64,
    /// Records that were sent, further tries not counted.
    pub(super) sent: u64,
    /// Requests that found no body ready when they were due: the load generator was too slow.
    pub(super) starved: u64,
    /// Records that the server has.
    pub(super) acked: u64,
    /// Records that the server said not to have.
    pub(super) refused: u64,
    /// Records of which no reply tells whether the server has them.
    pub(super) unknown: u64,
    /// Records that were sent again, without a key, after a try of which no reply tells: they may be there twice.
    pub(super) uncertain: u64,
    /// Bytes of acked records before compression; pro rata for a request that was taken in part.
    pub(super) payload_bytes: u64,
    /// Bytes of bodies as sent, tries included.
    pub(super) body_bytes: u64,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.retries += other.retries;
        self.sent += other.sent;
        self.starved += other.starved;
        self.acked += other.acked;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.uncertain += other.uncertain;
        self.payload_bytes += other.payload_bytes;
        self.body_bytes += other.body_bytes;
    }

    /// What has happened since `before`, as the interval that begins at second `at`.
    pub(super) fn interval(&self, before: &Counts, at: u64, latency_us: Spread) -> Interval {
        Interval {
            at,
            sent: self.sent - before.sent,
            acked: self.acked - before.acked,
            refused: self.refused - before.refused,
            unknown: self.unknown - before.unknown,
            requests: self.requests - before.requests,
            failed: self.failed - before.failed,
            retries: self.retries - before.retries,
            payload_bytes: self.payload_bytes - before.payload_bytes,
            body_bytes: self.body_bytes - before.body_bytes,
            latency_ms: None,
            latency_us,
        }
    }
}

/// What was seen of a part of the load.
#[derive(Debug, Clone)]
pub(super) struct ClassTally {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) acked: u64,
    pub(super) latency: Times,
}

/// What the connections of one thread have seen.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    /// From the start of the last try to its reply.
    pub(super) service: Times,
    /// From when the request was due to its final fate, failures included.
    pub(super) latency: Times,
    /// From when a request was due to when it was sent, where its connection was idle: the generator's own share.
    pub(super) pacing: Times,
    /// Tries that did not end with a success, and refused records of those that did, by status and code.
    pub(super) errors: BTreeMap<(u16, String), u64>,
    /// What the server says that an ack means.
    pub(super) durability: Option<String>,
    /// The same by parts of the load, where there are several.
    pub(super) classes: Vec<ClassTally>,
    /// The same by seconds.
    pub(super) timeline: Timeline,
    /// Intervals of the threads that were merged into this one.
    pub(super) merged: Vec<(u64, Vec<Interval>)>,
}

impl Tally {
    pub(super) fn new(start: Instant, classes: usize) -> Self {
        let class = || ClassTally { requests: 0, failed: 0, acked: 0, latency: Times::new() };
        Self {
            classes: (0..if classes > 1 { classes } else { 0 }).map(|_| class()).collect(),
            counts: Counts::default(),
            service: Times::new(),
            latency: Times::new(),
            pacing: Times::new(),
            errors: BTreeMap::new(),
            durability: None,
            timeline: Timeline::new(start),
            merged: Vec::new(),
        }
    }

    /// To be called before something is counted at `now`.
    pub(super) fn tick(&mut self, now: Instant) {
        self.timeline.tick(now, &self.counts);
    }

    /// Counts the latency of a request that has ended.
    pub(super) fn latency(&mut self, time: Duration) {
        self.latency.record(time);
        self.timeline.latency(u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX));
    }

    /// Counts an error; status 0 stands for none.
    pub(super) fn error(&mut self, status: u16, code: &str) {
        let code = if self.errors.len() < CODES_MAX { code } else { OTHER_CODE };
        *self.errors.entry((status, code.to_owned())).or_default() += 1;
    }

    pub(super) fn merge(&mut self, other: Tally) {
        self.merged.push(other.timeline.finish(&other.counts));
        self.merged.extend(other.merged);
        self.counts.add(&other.counts);
        self.service.add(&other.service);
        self.latency.add(&other.latency);
        self.pacing.add(&other.pacing);
        for (class, other) in self.classes.iter_mut().zip(&other.classes) {
            class.requests += other.requests;
            class.failed += other.failed;
            class.acked += other.acked;
            class.latency.add(&other.latency);
        }
        for ((status, code), count) in &other.errors {
            *self.errors.entry((*status, code.clone())).or_default() += count;
        }
        if self.durability.is_none() {
            self.durability = other.durability;
        }
    }
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// There was a reply.
    Answered(Answer),
    /// It never reached the server.
    NotSent,
    /// It was sent, and there was no reply.
    Lost,
}

impl Fate {
    /// Whether the server took the request as such; it may have refused single records.
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Fate::Answered(Answer::Taken { .. }))
    }

    /// Whether the server may have the records although it did not say so.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Fate::Lost | Fate::Answered(Answer::Unknown { .. }))
    }
}

/// What the tries of a request leave open, besides the fate of the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Doubt {
    /// After one of them, the server may have had the records.
    pub(super) is_open: bool,
    /// It was followed by another, and nothing told the server that they are the same.
    pub(super) is_repeated: bool,
}

/// Writes down what became of the records of `body`.
pub(super) fn settle(account: &mut Account, counts: &mut Counts, body: &Body, fate: &Fate, doubt: Doubt) {
    let last = body.first + body.records - 1;
    if doubt.is_repeated {
        account.uncertain.insert(body.first, last);
        counts.uncertain += body.records;
    }
    let is_open = doubt.is_open || fate.is_open();
    let open = |account: &mut Account, first, last| {
        if !doubt.is_repeated {
            account.unknown.insert(first, last);
        }
    };
    match fate {
        Fate::Answered(Answer::Taken { refused, unlisted, .. }) => {
            // Nearly always.
            if refused.is_empty() && *unlisted == 0 {
                account.acked.insert(body.first, last);
                counts.acked += body.records;
                counts.payload_bytes += body.payload_bytes;
                return;
            }
            let mut next = body.first;
            let mut others = Vec::with_capacity(1);
            for (index, code) in refused {
                let sequence = body.first + index;
                refuse(account, code, sequence, sequence);
                others.extend((next < sequence).then(|| (next, sequence - 1)));
                next = sequence + 1;
            }
            others.extend((next <= last).then_some((next, last)));
            let count = body.records - refused.len() as u64;
            counts.refused += refused.len() as u64;
            // Refused without a name: nobody can say which of the others are there.
            if *unlisted > 0 {
                others.iter().for_each(|&(first, last)| open(account, first, last));
                counts.unknown += count;
                return;
            }
            others.iter().for_each(|&(first, last)| account.acked.insert(first, last));
            counts.acked += count;
            counts.payload_bytes += body.payload_bytes * count / body.records;
        }
        _ if is_open => {
            open(account, body.first, last);
            counts.unknown += body.records;
        }
        Fate::Answered(Answer::Refused { code, .. } | Answer::Unknown { code, .. }) => {
            refuse(account, code, body.first, last);
            counts.refused += body.records;
        }
        Fate::NotSent | Fate::Lost => {
            refuse(account, NOT_SENT, body.first, last);
            counts.refused += body.records;
        }
    }
}

fn refuse(account: &mut Account, code: &str, first: u64, last: u64) {
    let is_known = account.refused.contains_key(code) || account.refused.len() < CODES_MAX;
    let code = if is_known { code } else { OTHER_CODE };
    account.refused.entry(code.to_owned()).or_default().insert(first, last);
}

#[cfg(test)]
mod tests;

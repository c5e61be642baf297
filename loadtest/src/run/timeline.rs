//! What a run did in each second.
//!
//! A thread keeps the interval that it is in as counts and closes it when the next one begins. A run of any length
//! has at most [`INTERVALS_MAX`]: when there would be more, two become one and intervals are twice as long from then
//! on.

use std::time::Instant;

use super::account::Counts;
use crate::record::Interval;
use crate::spread::Counter;

/// Intervals of a run: an hour of seconds. With about 150 distinct latencies of 16 bytes, 9 MB a thread.
pub(super) const INTERVALS_MAX: usize = 3_600;

/// What the connections of a thread did, interval by interval.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    start: Instant,
    seconds: u64,
    /// Number of the open interval.
    open: u64,
    before: Counts,
    latency: Counter,
    closed: Vec<Interval>,
}

impl Timeline {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            seconds: 1,
            open: 0,
            before: Counts::default(),
            latency: Counter::default(),
            closed: Vec::new(),
        }
    }

    /// Counts the latency of a request that has ended, in microseconds.
    pub(super) fn latency(&mut self, micros: u64) {
        self.latency.record(micros);
    }

    /// Closes what is over at `now`. `counts` are those of the run so far. To be called before counting.
    pub(super) fn tick(&mut self, now: Instant, counts: &Counts) {
        let at = now.saturating_duration_since(self.start).as_secs() / self.seconds;
        if at > self.open {
            self.close(counts);
            self.open = now.saturating_duration_since(self.start).as_secs() / self.seconds;
        }
    }

    fn close(&mut self, counts: &Counts) {
        let interval = counts.interval(&self.before, self.open * self.seconds, self.latency.take());
        self.before = *counts;
        if !interval.is_idle() {
            self.closed.push(interval);
        }
        if self.closed.len() >= INTERVALS_MAX {
            self.seconds *= 2;
            self.closed = regroup(std::mem::take(&mut self.closed), self.seconds);
        }
    }

    /// All intervals in which something happened, and how many seconds each has.
    pub(super) fn finish(mut self, counts: &Counts) -> (u64, Vec<Interval>) {
        self.close(counts);
        (self.seconds, self.closed)
    }
}

/// Puts intervals together into longer ones of `seconds`.
fn regroup(intervals: Vec<Interval>, seconds: u64) -> Vec<Interval> {
    let mut grouped: Vec<Interval> = Vec::new();
    for mut interval in intervals {
        interval.at -= interval.at % seconds;
        match grouped.last_mut() {
            Some(last) if last.at == interval.at => last.merge(&interval),
            _ => grouped.push(interval),
        }
    }
    grouped
}

/// The intervals of several threads or processes as those of one, without gaps up to the last one.
pub(crate) fn merge(parts: Vec<(u64, Vec<Interval>)>) -> (u64, Vec<Interval>) {
    let mut seconds = parts.iter().map(|(seconds, _)| *seconds).max().unwrap_or(1);
    let end = parts.iter().flat_map(|(_, intervals)| intervals.last()).map(|last| last.at).max();
    while end.is_some_and(|end| end / seconds >= 2 * INTERVALS_MAX as u64) {
        seconds *= 2;
    }
    let count = end.map_or(0, |end| end / seconds + 1);
    let mut merged: Vec<_> =
        (0..count).map(|index| Interval { at: index * seconds, ..Interval::default() }).collect();
    for interval in parts.iter().flat_map(|(_, intervals)| intervals) {
        merged[(interval.at / seconds) as usize].merge(interval);
    }
    merged.iter_mut().for_each(Interval::summarise);
    (seconds, merged)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn counts(acked: u64) -> Counts {
        Counts { acked, requests: acked, ..Counts::default() }
    }

    fn timeline(seconds: impl Iterator<Item = u64>) -> (u64, Vec<Interval>) {
        let start = forebay::runtime::clock::monotonic();
        let mut timeline = Timeline::new(start);
        let mut acked = 0;
        for second in seconds {
            timeline.tick(start + Duration::from_millis(second * 1_000 + 400), &counts(acked));
            acked += 1;
            timeline.latency(1_000 * second);
        }
        timeline.finish(&counts(acked))
    }

    #[test]
    fn what_happens_is_counted_in_its_second_and_gaps_are_filled() {
        let (seconds, intervals) = merge(vec![timeline([0, 0, 1, 4].into_iter()), timeline([1].into_iter())]);
        assert_eq!(seconds, 1);
        assert_eq!(intervals.iter().map(|interval| interval.acked).collect::<Vec<_>>(), [2, 2, 0, 0, 1]);
        assert_eq!(intervals.iter().map(|interval| interval.at).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(intervals[1].latency_us.count(), 2);
        assert!(intervals[2].latency_ms.is_none() && intervals[4].latency_ms.is_some());
    }

    #[test]
    fn a_long_run_has_longer_intervals_and_loses_no_count() {
        let (seconds, intervals) = timeline(0..10_000);
        assert!(seconds > 1 && intervals.len() <= INTERVALS_MAX);
        assert_eq!(intervals.iter().map(|interval| interval.acked).sum::<u64>(), 10_000);
        let (merged_seconds, merged) = merge(vec![(seconds, intervals), timeline(0..5)]);
        assert_eq!(merged_seconds, seconds);
        assert_eq!(merged.iter().map(|interval| interval.acked).sum::<u64>(), 10_005);
        assert_eq!(merged[0].acked, seconds + 5.min(seconds));
        assert!(merged.windows(2).all(|pair| pair[0].at + seconds == pair[1].at));
    }

    #[test]
    fn a_run_without_requests_has_no_intervals() {
        assert_eq!(merge(vec![]), (1, vec![]));
        assert_eq!(merge(vec![timeline([].into_iter())]), (1, vec![]));
    }
}

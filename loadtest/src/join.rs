//! Records and manifests of several runs as those of one: processes that ran together, or steps that ran in turn.
//!
//! Counts are added, and percentiles are computed anew from the merged counts of latencies, so that they are those of
//! all requests. Times are told from the earliest start on, by the clocks of the machines that sent; starts less than
//! half an interval apart count as one.

use std::collections::BTreeMap;

use chrono::DateTime;
use thiserror::Error;

use crate::manifest::{self, Manifest, ManifestError};
use crate::record::{self, Metrics, Record, TapTimes};
use crate::run::report::{ErrorCount, Report};
use crate::run::timeline;

/// How runs lie in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// At the same time: rates and connections add up.
    Together,
    /// One after the other, with the same connections.
    InTurn,
}

/// Why runs cannot be joined.
#[derive(Debug, Error)]
pub enum JoinError {
    /// Nothing was given.
    #[error("nothing to merge: name at least one file")]
    Nothing,
    /// A start that is no time.
    #[error("{0:?} is no time: started_at is RFC 3339")]
    Time(String),
    /// Records of two streams say nothing together.
    #[error("runs into {0:?} and {1:?} cannot be one: they are of different streams")]
    Streams(String, String),
    /// Two manifests speak of the same producer.
    #[error("two manifests know producer {0:?}: give each run a --run-name of its own")]
    Producer(String),
    /// A manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Joins records.
pub fn records(records: Vec<Record>, order: Order) -> Result<Record, JoinError> {
    let mut starts = Vec::with_capacity(records.len());
    for record in &records {
        let start = DateTime::parse_from_rfc3339(&record.started_at);
        starts.push(start.map_err(|_| JoinError::Time(record.started_at.clone()))?.timestamp_millis());
    }
    let Some(first) = starts.iter().copied().min() else { return Err(JoinError::Nothing) };
    let longest = records.iter().map(|record| record.interval_seconds).max().unwrap_or(1);
    let (mut parts, mut of_taps) = (Vec::new(), Vec::new());
    let mut joined: Option<Record> = None;
    for (mut record, start) in records.into_iter().zip(starts) {
        let late = (start - first) as f64 / 1e3;
        let offset = (late / longest as f64).round() as u64 * longest;
        let intervals = std::mem::take(&mut record.intervals).into_iter();
        let moved = intervals.map(|at| record::Interval { at: at.at + offset, ..at }).collect();
        parts.push((record.interval_seconds, moved));
        of_taps.push(std::mem::take(&mut record.taps).moved(late));
        record.server.iter_mut().for_each(|sample| sample.at += late);
        record.marks.iter_mut().for_each(|mark| mark.at += late);
        record.metrics.at.iter_mut().for_each(|at| *at += late);
        record.report.seconds += late;
        match &mut joined {
            None => joined = Some(record),
            Some(joined) => add(joined, record, order)?,
        }
    }
    let Some(mut joined) = joined else { return Err(JoinError::Nothing) };
    (joined.interval_seconds, joined.intervals) = timeline::merge(parts);
    joined.taps = TapTimes::of(of_taps);
    joined.percentiles = record::curve(&joined.latency_us);
    let Record { report, latency_us, service_us, pacing_us, .. } = &mut joined;
    report.recount([latency_us, service_us, pacing_us]);
    Ok(joined)
}

fn add(joined: &mut Record, other: Record, order: Order) -> Result<(), JoinError> {
    let streams = [&joined.report.settings.stream, &other.report.settings.stream];
    if streams[0] != streams[1] {
        return Err(JoinError::Streams(streams[0].clone(), streams[1].clone()));
    }
    if other.started_at < joined.started_at {
        joined.started_at.clone_from(&other.started_at);
    }
    joined.latency_us.merge(&other.latency_us);
    joined.service_us.merge(&other.service_us);
    joined.pacing_us.merge(&other.pacing_us);
    joined.marks.extend(other.marks);
    joined.marks.sort_by(|a, b| a.at.total_cmp(&b.at));
    joined.server.extend(other.server);
    joined.server.sort_by(|a, b| a.at.total_cmp(&b.at));
    add_metrics(&mut joined.metrics, other.metrics, order);
    add_report(&mut joined.report, other.report, order);
    Ok(())
}

fn add_report(joined: &mut Report, other: Report, order: Order) {
    let settings = &mut joined.settings;
    match order {
        Order::Together => {
            settings.rate = settings.rate.zip(other.settings.rate).map(|(a, b)| a + b);
            settings.connections += other.settings.connections;
            settings.producers += other.settings.producers;
        }
        Order::InTurn => settings.rate = settings.rate.filter(|rate| Some(*rate) == other.settings.rate),
    }
    joined.seconds = joined.seconds.max(other.seconds);
    joined.late_seconds = joined.late_seconds.max(other.late_seconds);
    joined.requests.total += other.requests.total;
    joined.requests.failed += other.requests.failed;
    joined.requests.retries += other.requests.retries;
    joined.requests.starved += other.requests.starved;
    joined.records.acked += other.records.acked;
    joined.records.refused += other.records.refused;
    joined.records.unknown += other.records.unknown;
    joined.records.uncertain += other.records.uncertain;
    joined.payload_bytes += other.payload_bytes;
    joined.body_bytes += other.body_bytes;
    for (index, class) in other.classes.into_iter().enumerate() {
        match joined.classes.get_mut(index).filter(|has| has.name == class.name) {
            Some(has) => has.merge(&class),
            None => joined.classes.push(class),
        }
    }
    match (&mut joined.taps, other.taps) {
        (Some(taps), Some(other)) => taps.merge(&other),
        (taps, other) => *taps = taps.take().or(other),
    }
    joined.durability = joined.durability.take().or(other.durability);
    let mut errors: BTreeMap<_, u64> = BTreeMap::new();
    for error in joined.errors.drain(..).chain(other.errors) {
        *errors.entry((error.status, error.code)).or_default() += error.count;
    }
    let error = |((status, code), count)| ErrorCount { status, code, count };
    joined.errors = errors.into_iter().map(error).collect();
    joined.server = match (joined.server, other.server) {
        (Some(mut a), Some(b)) if order == Order::InTurn => {
            a.cpu_seconds += b.cpu_seconds;
            a.cpu_user_seconds += b.cpu_user_seconds;
            a.cpu_system_seconds += b.cpu_system_seconds;
            a.peak_rss_bytes = a.peak_rss_bytes.max(b.peak_rss_bytes);
            a.run_rss_bytes_max = a.run_rss_bytes_max.max(b.run_rss_bytes_max);
            a.alive_at_end = b.alive_at_end;
            Some(a)
        }
        (a, b) => a.or(b),
    };
}

/// Who asks at the same time gets the same answers: one of them will do.
fn add_metrics(joined: &mut Metrics, other: Metrics, order: Order) {
    if joined.at.is_empty() {
        *joined = other;
        return;
    }
    if order == Order::Together {
        return;
    }
    let (before, more) = (joined.at.len(), other.at.len());
    for (name, values) in other.series {
        joined.series.entry(name).or_insert_with(|| vec![None; before]).extend(values);
    }
    joined.series.values_mut().for_each(|values| values.resize(before + more, None));
    joined.at.extend(other.at);
}

/// Joins manifests of runs into one stream.
pub fn manifests(manifests: Vec<Manifest>) -> Result<Manifest, JoinError> {
    let mut joined: Option<Manifest> = None;
    for manifest in manifests {
        let Some(joined) = &mut joined else {
            joined = Some(manifest);
            continue;
        };
        if joined.stream != manifest.stream {
            return Err(JoinError::Streams(joined.stream.clone(), manifest.stream));
        }
        joined.idempotent &= manifest.idempotent;
        joined.producers.extend(manifest.producers);
    }
    let joined = joined.ok_or(JoinError::Nothing)?;
    match manifest::known_twice(joined.producers.iter()) {
        Some(name) => Err(JoinError::Producer(name.to_owned())),
        None => Ok(joined),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Account;
    use crate::record::{Interval, RECORD_FORMAT, RECORD_VERSION, ServerSample, TapInterval};
    use crate::spread::Spread;

    fn record(started_at: &str, micros: u64, acked: &[u64]) -> Record {
        let latency_us: Spread = [(micros, acked.len() as u64)].into_iter().collect();
        let interval = |(at, acked): (usize, &u64)| Interval {
            at: at as u64,
            acked: *acked,
            requests: 1,
            latency_us: [(micros, 1)].into_iter().collect(),
            ..Interval::default()
        };
        let mut report = crate::run::report::tests::report();
        report.seconds = acked.len() as f64;
        report.settings.rate = Some(10.0);
        report.records.acked = acked.iter().sum();
        report.requests.total = acked.len() as u64;
        report.errors = vec![ErrorCount { status: Some(503), code: "draining".into(), count: 2 }];
        Record {
            format: RECORD_FORMAT.into(),
            version: RECORD_VERSION,
            started_at: started_at.into(),
            report,
            interval_seconds: 1,
            intervals: acked.iter().enumerate().map(interval).collect(),
            percentiles: vec![],
            service_us: latency_us.clone(),
            pacing_us: Spread::default(),
            taps: TapTimes {
                interval_seconds: 1,
                intervals: vec![TapInterval {
                    records: 2,
                    latency_us: latency_us.clone(),
                    ..TapInterval::default()
                }],
            },
            latency_us,
            server: vec![ServerSample { at: 0.5, cpu_seconds: 1.0, rss_bytes: 1 }],
            metrics: Metrics { at: vec![0.0], series: [("a".to_owned(), vec![Some(1.0)])].into() },
            marks: vec![],
        }
    }

    #[test]
    fn processes_that_ran_together_are_one_run_with_the_sum_of_their_rates() {
        let parts = ["2026-01-01T00:00:00.400Z", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:02.100Z"];
        let [a, b, c] = parts.map(|at| record(at, 1_000, &[5, 7]));
        let joined = records(vec![a, b, c], Order::Together).unwrap();
        let acked: Vec<_> = joined.intervals.iter().map(|at| at.acked).collect();
        assert_eq!((acked, joined.started_at.as_str()), (vec![10, 14, 5, 7], parts[1]));
        let report = &joined.report;
        assert_eq!((report.records.acked, report.settings.rate), (36, Some(30.0)));
        assert_eq!((report.settings.connections, report.errors[0].count), (24, 6));
        assert!((report.seconds - 4.1).abs() < 1e-9);
        assert!((report.records.acked_per_second - 36.0 / 4.1).abs() < 1e-9);
        assert_eq!((joined.metrics.at.len(), joined.server.len()), (1, 3));
        let read: Vec<_> = joined.taps.intervals.iter().map(|at| (at.at, at.records)).collect();
        assert_eq!(read, [(0, 4), (1, 0), (2, 2)]);
        assert_eq!(joined.taps.intervals[0].latency_us.count(), 4);
        assert!(joined.taps.intervals[2].latency_ms.is_some_and(|times| times.p50 >= 1.0));
    }

    #[test]
    fn percentiles_are_those_of_all_requests() {
        let fast = record("2026-01-01T00:00:00Z", 1_000, &[1; 99]);
        let slow = record("2026-01-01T00:00:00Z", 90_000, &[1; 3]);
        let joined = records(vec![fast, slow], Order::Together).unwrap();
        let times = joined.report.latency_ms;
        assert_eq!((times.count, times.p50.round(), times.p99.round()), (102, 1.0, 90.0));
        assert_eq!(joined.percentiles.last().map(|(_, value)| value.round()), Some(90.0));
    }

    #[test]
    fn steps_in_turn_lie_behind_each_other() {
        let one = record("2026-01-01T00:00:00Z", 1_000, &[5, 7]);
        let two = record("2026-01-01T00:00:03Z", 1_000, &[9]);
        let joined = records(vec![one, two], Order::InTurn).unwrap();
        assert_eq!(joined.intervals.iter().map(|at| at.acked).collect::<Vec<_>>(), [5, 7, 0, 9]);
        assert_eq!((joined.report.settings.connections, joined.report.settings.rate), (8, Some(10.0)));
        assert_eq!((joined.metrics.at, joined.metrics.series["a"].len()), (vec![0.0, 3.0], 2));
        assert_eq!(joined.server[1].at, 3.5);
        assert!(matches!(records(vec![], Order::InTurn), Err(JoinError::Nothing)));
    }

    #[test]
    fn manifests_are_one_if_they_speak_of_different_producers() {
        let of = |name: &str| Manifest {
            producers: vec![Account { producer: name.into(), ..Account::default() }],
            idempotent: true,
            ..Manifest::default()
        };
        assert_eq!(manifests(vec![of("a"), of("b")]).unwrap().producers.len(), 2);
        assert!(matches!(manifests(vec![of("a"), of("b"), of("a")]), Err(JoinError::Producer(_))));
        let other = Manifest { stream: "other".into(), ..of("b") };
        assert!(matches!(manifests(vec![of("a"), other]), Err(JoinError::Streams(..))));
    }
}

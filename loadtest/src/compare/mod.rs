//! `forebay-load compare`: two runs, and which of their differences are more than chance.
//!
//! Each measure has a value for each interval of a run. The first interval, in which caches and connections warm up,
//! and the last, which is shorter, are left out. [`welch`] says whether the means of the two runs differ.

mod welch;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::record::{Interval, Record};
pub use welch::VALUES_MIN;

/// What can be said about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// B is better by more than chance.
    Better,
    /// B is worse by more than chance.
    Worse,
    /// It may be chance.
    Noise,
    /// A run has too few intervals to tell.
    TooShort,
}

/// A measure of two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What is measured, with its unit.
    pub name: &'static str,
    /// Mean of the intervals of the first run.
    pub a: f64,
    /// Of the second.
    pub b: f64,
    /// B ÷ A; missing where A is 0.
    pub ratio: Option<f64>,
    /// With 99 % confidence, the ratio is within so much of `ratio`.
    pub ratio_within: Option<f64>,
    /// What that means.
    pub verdict: Verdict,
}

/// Two runs, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of the first.
    pub a: String,
    /// Name of the second.
    pub b: String,
    /// Settings and machines that are not the same: A's, B's.
    pub settings: BTreeMap<String, (serde_json::Value, serde_json::Value)>,
    /// Measures that both have.
    pub rows: Vec<Row>,
}

/// A measure: its name, whether more is better, and its value of each interval.
type Measure = (&'static str, bool, fn(&Record) -> Vec<f64>);

const MEASURES: [Measure; 10] = [
    ("records/s acked", true, |record| each(record, |at, seconds| Some(at.acked as f64 / seconds))),
    ("MB/s of payload", true, |record| {
        each(record, |at, seconds| Some(at.payload_bytes as f64 / 1e6 / seconds))
    }),
    ("requests/s failed", false, |record| each(record, |at, seconds| Some(at.failed as f64 / seconds))),
    ("latency p50, ms", false, |record| each(record, |at, _| Some(at.latency_ms?.p50))),
    ("latency p90, ms", false, |record| each(record, |at, _| Some(at.latency_ms?.p90))),
    ("latency p99, ms", false, |record| each(record, |at, _| Some(at.latency_ms?.p99))),
    ("latency max, ms", false, |record| each(record, |at, _| Some(at.latency_ms?.max))),
    ("server, cores", false, |record| cpu(record, |used, seconds, _| used / seconds)),
    ("server, CPU-seconds a GB of payload", false, |record| {
        cpu(record, |used, _, at| used / (at.payload_bytes as f64 / 1e9))
    }),
    ("server, resident MB", false, |record| {
        middle(record).iter().filter_map(|at| Some(sample(record, at.at)?.1 as f64 / 1e6)).collect()
    }),
];

/// The intervals between the first and the last.
fn middle(record: &Record) -> &[Interval] {
    let count = record.intervals.len();
    if count > 2 { &record.intervals[1..count - 1] } else { &[] }
}

fn each(record: &Record, value: impl Fn(&Interval, f64) -> Option<f64>) -> Vec<f64> {
    let seconds = record.interval_seconds as f64;
    middle(record).iter().filter_map(|at| value(at, seconds)).collect()
}

/// CPU seconds and memory at a second of the run, between the samples around it.
fn sample(record: &Record, at: u64) -> Option<(f64, u64)> {
    let at = at as f64;
    let next = record.server.iter().position(|sample| sample.at >= at)?;
    let after = record.server[next];
    let before = record.server[next.saturating_sub(1)];
    let length = after.at - before.at;
    let part = if length > 0.0 { (at - before.at) / length } else { 0.0 };
    Some((before.cpu_seconds + (after.cpu_seconds - before.cpu_seconds) * part, after.rss_bytes))
}

fn cpu(record: &Record, value: impl Fn(f64, f64, &Interval) -> f64) -> Vec<f64> {
    let seconds = record.interval_seconds;
    let one = |at: &Interval| {
        let used = sample(record, at.at + seconds)?.0 - sample(record, at.at)?.0;
        // A server that was started anew has used nothing before.
        (used >= 0.0 && at.payload_bytes > 0).then(|| value(used, seconds as f64, at))
    };
    middle(record).iter().filter_map(one).collect()
}

/// Compares two runs.
pub fn compare(a: (&str, &Record), b: (&str, &Record)) -> Comparison {
    let row = |(name, more_is_better, values): Measure| {
        let (first, second) = (values(a.1), values(b.1));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        if first.is_empty() || second.is_empty() {
            return None;
        }
        let difference = welch::difference(&first, &second);
        let verdict = match difference {
            None => Verdict::TooShort,
            Some(difference) if !difference.is_real() => Verdict::Noise,
            Some(difference) if (difference.value > 0.0) == more_is_better => Verdict::Better,
            Some(_) => Verdict::Worse,
        };
        let (of_a, of_b) = (mean(&first), mean(&second));
        let ratio = (of_a != 0.0).then(|| of_b / of_a);
        let ratio_within = difference.filter(|_| of_a != 0.0).map(|difference| difference.within / of_a);
        Some(Row { name, a: of_a, b: of_b, ratio, ratio_within, verdict })
    };
    Comparison {
        a: a.0.to_owned(),
        b: b.0.to_owned(),
        settings: settings(a.1, b.1),
        rows: MEASURES.into_iter().filter_map(row).collect(),
    }
}

fn settings(a: &Record, b: &Record) -> BTreeMap<String, (serde_json::Value, serde_json::Value)> {
    let of = |record: &Record| {
        let parts = [
            serde_json::to_value(&record.report.settings),
            serde_json::to_value(&record.report.machine),
            serde_json::to_value(BTreeMap::from([("durability", &record.report.durability)])),
        ];
        parts.into_iter().flatten().filter_map(|part| part.as_object().cloned()).flatten()
    };
    let other: BTreeMap<_, _> = of(b).collect();
    let pair = |(name, value): (String, serde_json::Value)| {
        let other = other.get(&name).cloned().unwrap_or_default();
        (name != "run_name" && value != other).then_some((name, (value, other)))
    };
    of(a).filter_map(pair).collect()
}

impl Comparison {
    /// Whether a measure is worse by more than chance.
    pub fn is_worse(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Worse)
    }

    /// The table; the first row is its head.
    pub fn table(&self) -> Vec<Vec<String>> {
        let mut table = vec![["", "A", "B", "B / A", "+-", ""].map(str::to_owned).to_vec()];
        for row in &self.rows {
            let told = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
            let verdict = match row.verdict {
                Verdict::Better => "better",
                Verdict::Worse => "WORSE",
                Verdict::Noise => "within the noise",
                Verdict::TooShort => "too short to tell",
            };
            table.push(vec![
                row.name.to_owned(),
                format!("{:.3}", row.a),
                format!("{:.3}", row.b),
                told(row.ratio),
                told(row.ratio_within),
                verdict.to_owned(),
            ]);
        }
        table
    }

    /// What is not the same about the two, a line each.
    pub fn differing(&self) -> Vec<String> {
        self.settings.iter().map(|(name, (a, b))| format!("not the same: {name}: {a} and {b}")).collect()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "A: {}\nB: {}", self.a, self.b)?;
        self.differing().iter().try_for_each(|line| writeln!(f, "{line}"))?;
        for row in self.table() {
            let [name, a, b, ratio, within, verdict] = row.as_slice() else { continue };
            writeln!(f, "{name:<36}{a:>14}{b:>14}{ratio:>8}{within:>8}  {verdict}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{RECORD_VERSION, ServerSample};

    fn record(rate: u64, micros: u64, cores: f64) -> Record {
        let interval = |at: u64| {
            let wobble = at % 3;
            let mut interval = Interval {
                at,
                acked: rate + wobble,
                payload_bytes: 1_000 * rate,
                latency_us: [(micros + 10 * wobble, 50), (4 * micros, 1)].into_iter().collect(),
                ..Interval::default()
            };
            interval.summarise();
            interval
        };
        let sample = |at: u32| ServerSample {
            at: f64::from(at) / 5.0,
            cpu_seconds: 3.0 + cores * f64::from(at) / 5.0,
            rss_bytes: 100_000_000,
        };
        let text = serde_json::json!({
            "format": "forebay-load-record", "version": RECORD_VERSION, "started_at": "", "interval_seconds": 1,
            "intervals": [], "latency_us": [], "service_us": [], "pacing_us": [], "percentiles": [],
            "report": crate::run::report::tests::report(),
        });
        let mut record: Record = serde_json::from_value(text).unwrap();
        record.intervals = (0..20).map(interval).collect();
        record.server = (0..=100).map(sample).collect();
        record
    }

    fn verdict(comparison: &Comparison, name: &str) -> (f64, Verdict) {
        let row = comparison.rows.iter().find(|row| row.name == name).unwrap();
        ((row.ratio.unwrap() * 100.0).round() / 100.0, row.verdict)
    }

    #[test]
    fn what_differs_is_told_with_its_direction() {
        let (a, mut b) = (record(1_000, 2_000, 0.5), record(1_500, 3_000, 0.5));
        b.report.settings.batch += 1;
        let comparison = compare(("a", &a), ("b", &b));
        assert_eq!(verdict(&comparison, "records/s acked"), (1.5, Verdict::Better));
        assert_eq!(verdict(&comparison, "latency p50, ms"), (1.5, Verdict::Worse));
        assert_eq!(verdict(&comparison, "server, cores"), (1.0, Verdict::Noise));
        assert_eq!(verdict(&comparison, "server, CPU-seconds a GB of payload"), (0.67, Verdict::Better));
        assert!(comparison.is_worse() && comparison.to_string().contains("WORSE"));
        assert_eq!(comparison.settings.keys().collect::<Vec<_>>(), ["batch"]);
    }

    #[test]
    fn a_run_beside_itself_is_noise_and_a_short_one_is_not_judged() {
        let mut a = record(1_000, 2_000, 0.5);
        let comparison = compare(("a", &a), ("a", &a));
        assert!(comparison.rows.iter().all(|row| row.verdict == Verdict::Noise));
        assert!(comparison.settings.is_empty() && !comparison.is_worse());
        let b = a.clone();
        a.intervals.truncate(5);
        let comparison = compare(("a", &a), ("b", &b));
        assert!(comparison.rows.iter().all(|row| row.verdict == Verdict::TooShort));
    }
}

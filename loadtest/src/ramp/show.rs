//! A ramp for people: a table, and plots over the rate.

use std::fmt;

use super::{Found, Limit, Step};
use crate::plot::{Plot, SERIES, Series, Stroke, XAxis};

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Throughput => "too few acked",
            Limit::Latency => "too slow",
            Limit::Failures => "requests failed",
            Limit::Generator => "load generator too slow",
            Limit::Ended => "ended early",
        })
    }
}

/// The head of the table.
const HEAD: [&str; 7] = ["rate, records/s", "acked/s", "MB/s", "p50 ms", "p99 ms", "server cores", ""];

impl Step {
    fn cells(&self) -> Vec<String> {
        let report = &self.report;
        let cores = report.server.map(|server| format!("{:.2}", server.cpu_seconds / report.seconds));
        vec![
            format!("{:.0}", self.rate),
            format!("{:.0}", report.records.acked_per_second),
            format!("{:.2}", report.payload_bytes_per_second / 1e6),
            format!("{:.3}", report.latency_ms.p50),
            format!("{:.3}", report.latency_ms.p99),
            cores.unwrap_or_else(|| "-".to_owned()),
            self.limit.map_or("sustained".to_owned(), |limit| limit.to_string()),
        ]
    }
}

impl Found {
    /// The table; the first row is its head. Ascending by rate.
    pub fn table(&self) -> Vec<Vec<String>> {
        let mut steps: Vec<_> = self.steps.iter().collect();
        steps.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let mut table = vec![HEAD.map(str::to_owned).to_vec()];
        table.extend(steps.into_iter().map(Step::cells));
        table
    }

    /// What was found, in a sentence.
    pub fn sentence(&self) -> String {
        let by_generator = self.steps.iter().any(|step| step.limit == Some(Limit::Generator));
        match self.knee {
            None if self.is_ended => "ended before a step was sustained".to_owned(),
            Some(knee) if self.is_ended => format!("knee {knee:.0} records/s or above: ended early"),
            None => "no step was sustained: begin at a lower rate".to_owned(),
            Some(knee) if !self.is_saturated => {
                format!("knee above {knee:.0} records/s: no step was too fast, raise --ramp-max")
            }
            Some(knee) if by_generator => {
                format!(
                    "knee {knee:.0} records/s, of the load generator: give it more --threads, --feeders or processes"
                )
            }
            Some(knee) => format!("knee {knee:.0} records/s"),
        }
    }

    /// Throughput and latency over the rate.
    pub fn plots(&self) -> Vec<Plot> {
        let mut steps: Vec<_> = self.steps.iter().collect();
        steps.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let series = |index: usize, name: &str, value: fn(&Step) -> f64| Series {
            name: name.to_owned(),
            color: SERIES[index],
            stroke: Stroke::Line,
            points: steps.iter().map(|step| (step.rate, Some(value(step)))).collect(),
        };
        let plot = |title: &str, unit, is_log, series| Plot {
            title: title.to_owned(),
            unit,
            x: XAxis::Amount("records/s asked for"),
            is_log,
            series,
            marks: self.knee.map(|knee| (knee, "knee".to_owned())).into_iter().collect(),
        };
        let acked = series(0, "acked", |step| step.report.records.acked_per_second);
        let p50 = series(0, "p50", |step| step.report.latency_ms.p50);
        let p99 = series(1, "p99", |step| step.report.latency_ms.p99);
        vec![
            plot("Throughput over rate", "records/s", false, vec![acked]),
            plot("Latency over rate", "ms", true, vec![p50, p99]),
        ]
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.table() {
            let [rate, acked, payload, p50, p99, cores, end] = row.as_slice() else { continue };
            writeln!(f, "{rate:>15} {acked:>12} {payload:>9} {p50:>10} {p99:>10} {cores:>13}  {end}")?;
        }
        writeln!(f, "{}", self.sentence())
    }
}

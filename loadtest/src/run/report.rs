//! What a run measured, for people and for programs.

use std::fmt;
use std::fs;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::account::{ClassTally, Tally, Times};
use super::plan::{Compression, Mode, Plan};
use super::server_usage::ServerUsage;
use super::workload::Class;
use crate::spread::Spread;

/// What a run measured. Sizes are in bytes, a megabyte is 10⁶ of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was asked for.
    pub settings: Settings,
    /// Where it was measured.
    pub machine: Machine,
    /// From the start to the last reply.
    pub seconds: f64,
    /// Requests.
    pub requests: Requests,
    /// Records.
    pub records: Records,
    /// Bytes of acked records before compression.
    pub payload_bytes: u64,
    /// The same for each second.
    pub payload_bytes_per_second: f64,
    /// Bytes of bodies as sent, further tries included.
    pub body_bytes: u64,
    /// What the server says that an ack means.
    pub durability: Option<String>,
    /// From the start of the last try to its reply; requests without a reply are not in it.
    pub service_ms: Percentiles,
    /// From when each request was due (closed loop: from when its connection was free) to its end, all tries and
    /// failures included. In an open loop this is what a producer that does not wait would see.
    pub latency_ms: Percentiles,
    /// From when a request was due to when it was sent, for those whose connection was idle: what of the latency
    /// comes from the load generator itself. Open loop only.
    pub pacing_ms: Percentiles,
    /// Parts of the load, where there are several.
    #[serde(default)]
    pub classes: Vec<ClassReport>,
    /// What readers of the stream have seen, if there were any.
    #[serde(default)]
    pub taps: Option<TapReport>,
    /// Tries that failed and records that were refused, by status and code.
    pub errors: Vec<ErrorCount>,
    /// What the server used, if its process was named.
    pub server: Option<ServerUsage>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the options of the same names say it")]
pub struct Settings {
    pub stream: String,
    pub source: String,
    pub mode: String,
    pub rate: Option<f64>,
    pub connections: u32,
    pub producers: u32,
    pub batch: u32,
    pub record_size: usize,
    pub keys: u32,
    pub zipf: f64,
    pub compression: String,
    pub seed: u64,
    pub run_name: String,
    pub retry_seconds: Option<f64>,
    pub idempotent: bool,
    /// Protocol, records of a request and bytes of a record of each part of the load.
    #[serde(default)]
    pub parts: Vec<String>,
    /// Readers of the stream.
    #[serde(default)]
    pub taps: u32,
}

impl Settings {
    pub(super) fn of(plan: &Plan) -> Self {
        let (mode, rate) = match plan.mode {
            Mode::Open { rate } => ("open", Some(rate)),
            Mode::Closed => ("closed", None),
        };
        Self {
            stream: plan.stream.clone(),
            source: plan.source.name().to_owned(),
            mode: mode.to_owned(),
            rate,
            connections: plan.connections,
            producers: plan.producers,
            batch: plan.batch,
            record_size: plan.record_bytes,
            keys: plan.keys,
            zipf: plan.zipf,
            compression: Compression::content_encoding(plan.compression).unwrap_or("none").to_owned(),
            seed: plan.seed,
            run_name: plan.run_name.clone(),
            retry_seconds: plan.retry.map(|retry| retry.as_secs_f64()),
            idempotent: plan.idempotent,
            parts: plan.classes().iter().map(class_name).collect(),
            taps: plan.taps,
        }
    }
}

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// CPUs that this process may use.
    pub cpus: usize,
    /// What the first CPU calls itself.
    pub cpu_model: Option<String>,
    /// Release of the kernel.
    pub kernel: Option<String>,
}

impl Machine {
    pub(super) fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            cpu_model: model.map(|(_, name)| name.trim().to_owned()),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
        }
    }
}

/// Requests of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// With a final fate.
    pub total: u64,
    /// For each second.
    pub per_second: f64,
    /// Of them, those that did not end with a success.
    pub failed: u64,
    /// Further tries.
    pub retries: u64,
    /// Requests that had to wait for a body: if there are many, the load generator is the bottleneck.
    pub starved: u64,
}

/// Records of a run. `acked` + `refused` + `unknown` are all that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Records {
    /// The server has them.
    pub acked: u64,
    /// For each second.
    pub acked_per_second: f64,
    /// The server said that it does not have them.
    pub refused: u64,
    /// No reply tells: they are there once or not at all, unless they are uncertain as well.
    pub unknown: u64,
    /// Sent again, without an idempotency key, after a try of which no reply tells: they may be there twice, also
    /// where a further try was acked.
    pub uncertain: u64,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Requests that were measured.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 90 of 100 are at most this.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

impl Percentiles {
    pub(super) fn of(times: &Times) -> Self {
        let histogram: &Histogram<u64> = times.histogram();
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
            mean: histogram.mean() / 1e3,
        }
    }
}

/// What readers of the stream have seen, all together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TapReport {
    /// How they came in.
    pub kind: String,
    /// How many.
    pub readers: u64,
    /// Records of the run that they were sent.
    pub records: u64,
    /// Of them, those that a reader had before.
    pub duplicated: u64,
    /// Of them, those behind a later one of the same producer and shard.
    pub reordered: u64,
    /// Acked records that a reader has not got, added up over readers.
    pub missing: u64,
    /// Records that the server said to have skipped because retention had taken them.
    pub skipped: u64,
    /// Records of others.
    pub foreign: u64,
    /// How often a reader came again.
    pub reconnects: u64,
    /// From when a record was sent to when a reader had it.
    pub latency_ms: Percentiles,
    /// The same as `[microseconds, count]`.
    pub latency_us: Spread,
}

impl TapReport {
    /// Whether every reader got every acked record once and in order.
    pub fn is_right(&self) -> bool {
        self.duplicated == 0 && self.reordered == 0 && self.missing == 0
    }

    /// Adds what other readers have seen.
    pub(crate) fn merge(&mut self, other: &TapReport) {
        self.readers += other.readers;
        self.records += other.records;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.missing += other.missing;
        self.skipped += other.skipped;
        self.foreign += other.foreign;
        self.reconnects += other.reconnects;
        self.latency_us.merge(&other.latency_us);
        self.latency_ms = Percentiles::of(&Times::of(&self.latency_us));
    }
}

impl fmt::Display for TapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p90, p99, p999, max, .. } = self.latency_ms;
        writeln!(f, "taps     {p50:10.3} {p90:10.3} {p99:10.3} {p999:10.3} {max:10.3}")?;
        writeln!(
            f,
            "taps      {} readers ({}), {} records: {} duplicated, {} reordered, {} missing, {} skipped, {} of others, \
             {} reconnects",
            self.readers,
            self.kind,
            self.records,
            self.duplicated,
            self.reordered,
            self.missing,
            self.skipped,
            self.foreign,
            self.reconnects
        )
    }
}

/// A part of the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// What was asked for: protocol, records of a request, bytes of a record.
    pub name: String,
    /// Requests that ended.
    pub requests: u64,
    /// Of them, those without a success.
    pub failed: u64,
    /// Records that the server has.
    pub acked: u64,
    /// As that of the whole.
    pub latency_ms: Percentiles,
    /// The same as `[microseconds, count]`.
    pub latency_us: Spread,
}

impl ClassReport {
    /// Adds what was seen elsewhere.
    pub(crate) fn merge(&mut self, other: &ClassReport) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.acked += other.acked;
        self.latency_us.merge(&other.latency_us);
        self.latency_ms = Percentiles::of(&Times::of(&self.latency_us));
    }
}

/// How often an error was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// Status of the reply; missing if there was none.
    pub status: Option<u16>,
    /// The server's code, or `not_sent`, `connection`, `reply`, `timeout` where there was no reply.
    pub code: String,
    /// How often.
    pub count: u64,
}

impl Report {
    pub(super) fn new(plan: &Plan, tally: &Tally, seconds: f64, server: Option<ServerUsage>) -> Self {
        let counts = &tally.counts;
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let error = |((status, code), count): (&(u16, String), &u64)| ErrorCount {
            status: (*status != 0).then_some(*status),
            code: code.clone(),
            count: *count,
        };
        Self {
            settings: Settings::of(plan),
            machine: Machine::this(),
            seconds,
            requests: Requests {
                total: counts.requests,
                per_second: rate(counts.requests),
                failed: counts.failed,
                retries: counts.retries,
                starved: counts.starved,
            },
            records: Records {
                acked: counts.acked,
                acked_per_second: rate(counts.acked),
                refused: counts.refused,
                unknown: counts.unknown,
                uncertain: counts.uncertain,
            },
            payload_bytes: counts.payload_bytes,
            payload_bytes_per_second: rate(counts.payload_bytes),
            body_bytes: counts.body_bytes,
            durability: tally.durability.clone(),
            service_ms: Percentiles::of(&tally.service),
            latency_ms: Percentiles::of(&tally.latency),
            pacing_ms: Percentiles::of(&tally.pacing),
            classes: classes(plan, tally),
            taps: None,
            errors: tally.errors.iter().map(error).collect(),
            server,
        }
    }
}

fn class_name(class: &Class) -> String {
    format!("{}, batch {}, size {}", class.protocol.name(), class.batch, class.record_bytes)
}

fn classes(plan: &Plan, tally: &Tally) -> Vec<ClassReport> {
    let of = |(class, seen): (&Class, &ClassTally)| ClassReport {
        name: class_name(class),
        requests: seen.requests,
        failed: seen.failed,
        acked: seen.acked,
        latency_ms: Percentiles::of(&seen.latency),
        latency_us: seen.latency.spread(),
    };
    plan.classes().iter().zip(&tally.classes).map(of).collect()
}

impl Report {
    /// Computes what follows from the counts anew, with times as they are now: latency, service, pacing.
    pub(crate) fn recount(&mut self, times: [&Spread; 3]) {
        let seconds = self.seconds;
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        self.requests.per_second = rate(self.requests.total);
        self.records.acked_per_second = rate(self.records.acked);
        self.payload_bytes_per_second = rate(self.payload_bytes);
        let [latency, service, pacing] = times.map(|spread| Percentiles::of(&Times::of(spread)));
        (self.latency_ms, self.service_ms, self.pacing_ms) = (latency, service, pacing);
        let (payload_bytes, acked) = (self.payload_bytes, self.records.acked);
        if let Some(server) = &mut self.server {
            let cpu_seconds = server.cpu_seconds;
            let per = |amount: u64, unit: f64| (amount > 0).then(|| cpu_seconds / (amount as f64 / unit));
            server.cpu_seconds_per_gb = per(payload_bytes, 1e9);
            server.cpu_seconds_per_million_records = per(acked, 1e6);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, records, .. } = self;
        let durability = self.durability.as_deref().unwrap_or("unknown");
        writeln!(
            f,
            "records   {} acked (durability {durability}), {} refused, {} unknown, {} uncertain",
            records.acked, records.refused, records.unknown, records.uncertain
        )?;
        writeln!(
            f,
            "requests  {} in {:.2} s, {} failed, {} retries, {} had to wait for a body",
            requests.total, self.seconds, requests.failed, requests.retries, requests.starved
        )?;
        writeln!(
            f,
            "rate      {:.0} records/s, {:.0} requests/s, {:.2} MB/s of payload",
            records.acked_per_second,
            requests.per_second,
            self.payload_bytes_per_second / 1e6
        )?;
        writeln!(f, "             p50 ms     p90 ms     p99 ms   p99.9 ms     max ms")?;
        for (name, times) in
            [("latency", &self.latency_ms), ("service", &self.service_ms), ("pacing", &self.pacing_ms)]
        {
            if times.count > 0 {
                let Percentiles { p50, p90, p99, p999, max, .. } = times;
                writeln!(f, "{name:9}{p50:10.3} {p90:10.3} {p99:10.3} {p999:10.3} {max:10.3}")?;
            }
        }
        self.taps.iter().try_for_each(|taps| write!(f, "{taps}"))?;
        for class in &self.classes {
            let Percentiles { p50, p99, .. } = class.latency_ms;
            let ClassReport { name, requests, failed, acked, .. } = class;
            writeln!(
                f,
                "part      {name}: {acked} acked, {requests} requests, {failed} failed, p50 {p50:.3} p99 {p99:.3} ms"
            )?;
        }
        for error in &self.errors {
            let status = error.status.map_or("no reply".to_owned(), |status| status.to_string());
            writeln!(f, "error     {status} {}: {}", error.code, error.count)?;
        }
        self.server.map_or(Ok(()), |server| write_server(f, &server))
    }
}

fn write_server(f: &mut fmt::Formatter<'_>, server: &ServerUsage) -> fmt::Result {
    write!(f, "server    {:.2} CPU-seconds", server.cpu_seconds)?;
    if let Some(per_gb) = server.cpu_seconds_per_gb {
        write!(f, ", {per_gb:.2} per GB of payload")?;
    }
    if let Some(per_million) = server.cpu_seconds_per_million_records {
        write!(f, ", {per_million:.2} per million records")?;
    }
    writeln!(f, ", peak memory {:.1} MB", server.peak_rss_bytes as f64 / 1e6)?;
    if !server.alive_at_end {
        writeln!(f, "server    the process was gone before the end")?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use forebay::runtime::clock;

    use super::*;

    /// Of a run that sent nothing.
    pub(crate) fn report() -> Report {
        Report::new(&Plan::default(), &Tally::new(clock::monotonic(), 1), 20.0, None)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report());
        assert!(report().to_string().contains("0 acked (durability unknown)"));
    }
}

//! What a run measured, for people and for programs.

mod parts;
mod settings;
mod show;
mod times;

use serde::{Deserialize, Serialize};

use super::account::{Tally, Times};
use super::plan::Plan;
use super::server_usage::ServerUsage;
use crate::spread::Spread;
use parts::classes;
pub use parts::{ClassReport, TapReport};
pub use settings::{Machine, Settings};
pub use times::Percentiles;

/// What a run measured. Sizes are in bytes, a megabyte is 10⁶ of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was asked for.
    pub settings: Settings,
    /// Where it was measured.
    pub machine: Machine,
    /// From the start to the last reply.
    pub seconds: f64,
    /// How much later than `--start-at` the load began; of several processes, the latest.
    #[serde(default)]
    pub late_seconds: f64,
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
            late_seconds: 0.0,
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
        assert!(!report().to_string().contains("later"));
        let late = Report { late_seconds: 1.234, ..report() };
        assert!(late.to_string().contains("warning   began 1.23 s later"));
    }
}

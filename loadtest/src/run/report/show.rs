//! A report for people.

use std::fmt;

use super::{ClassReport, Percentiles, Report, ServerUsage, TapReport};

/// What is too little to be told.
const LATE_SECONDS_MIN: f64 = 0.01;

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
        if self.late_seconds >= LATE_SECONDS_MIN {
            let late = self.late_seconds;
            writeln!(
                f,
                "warning   began {late:.2} s later than it was to: those that share the load were not together until \
                 then"
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

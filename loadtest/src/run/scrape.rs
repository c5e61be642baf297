//! What the server says about itself on `/metrics`, once a second, from a thread of its own.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forebay::runtime::clock;

use super::plan::Target;
use super::timeline::INTERVALS_MAX;
use crate::record::Metrics;

/// Counters and gauges that a record keeps, summed over their labels.
pub const NAMES: [&str; 14] = [
    "forebay_delivery_sealed_files_total",
    "forebay_delivery_stored_files_total",
    "forebay_delivery_stored_bytes_total",
    "forebay_delivery_upload_errors_total",
    "forebay_delivery_delivered_records_total",
    "forebay_delivery_dead_lettered_records_total",
    "forebay_delivery_pending_records",
    "forebay_delivery_backlog_records",
    "forebay_delivery_paused",
    "forebay_ingest_records_total",
    "forebay_log_commits_total",
    "forebay_log_commit_bytes_total",
    "forebay_log_failures_total",
    "forebay_memory_used_bytes",
];

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// After how long without a reply a look counts as one without an answer.
const TIMEOUT: Duration = Duration::from_millis(900);

/// Bytes of a reply. A server of 10,000 streams tells about 10 MB.
const REPLY_BYTES_MAX: u64 = 32 << 20;

type Look = (Instant, Option<BTreeMap<&'static str, f64>>);

/// Asks until it is told to end, or dropped.
#[derive(Debug)]
pub(super) struct Scraper {
    /// Nothing once it was joined.
    thread: Option<JoinHandle<Vec<Look>>>,
    ended: Arc<AtomicBool>,
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.end();
    }
}

impl Scraper {
    /// `target` with its path is what to ask for.
    pub(super) fn start(target: Target) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let (mut looks, mut interval) = (Vec::new(), INTERVAL);
            loop {
                let is_last = seen.load(Ordering::Acquire);
                let at = clock::monotonic();
                let values = ask(&target).ok().map(|text| read(&text));
                looks.push((at, values));
                if is_last {
                    return looks;
                }
                if looks.len() >= INTERVALS_MAX {
                    let mut is_kept = false;
                    looks.retain(|_| {
                        is_kept = !is_kept;
                        is_kept
                    });
                    interval *= 2;
                }
                thread::park_timeout(interval.saturating_sub(at.elapsed()));
            }
        });
        Self { thread: Some(thread), ended }
    }

    /// Waits for its last look, and gives all of them.
    fn end(&mut self) -> Vec<Look> {
        self.ended.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return Vec::new() };
        thread.thread().unpark();
        thread.join().unwrap_or_default()
    }

    /// Asks a last time. Times are told from `start` on.
    pub(super) fn finish(mut self, start: Instant) -> Metrics {
        let looks = self.end();
        let mut metrics = Metrics::default();
        for (at, values) in &looks {
            let seconds = at.saturating_duration_since(start).as_secs_f64();
            metrics.at.push((seconds * 1e3).round() / 1e3);
            for name in NAMES {
                let value = values.as_ref().and_then(|values| values.get(name).copied());
                metrics.series.entry(name.to_owned()).or_default().push(value);
            }
        }
        metrics.series.retain(|_, values| values.iter().any(Option::is_some));
        metrics
    }
}

fn ask(target: &Target) -> io::Result<String> {
    let address = (target.host.as_str(), target.port).to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::other("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // Without chunks, and the connection ends with the text.
    let request = format!("GET {} HTTP/1.0\r\nHost: {}\r\n\r\n", target.prefix, target.authority);
    stream.write_all(request.as_bytes())?;
    let mut reply = String::new();
    stream.take(REPLY_BYTES_MAX).read_to_string(&mut reply)?;
    let (head, text) = reply.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no reply"))?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other("not 200"));
    }
    Ok(text.to_owned())
}

/// The values of [`NAMES`] in the text format of Prometheus.
fn read(text: &str) -> BTreeMap<&'static str, f64> {
    let mut values = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).unwrap_or(line.len());
        let Some(name) = NAMES.into_iter().find(|name| *name == &line[..end]) else { continue };
        // A label may hold spaces and braces; a value holds neither.
        let value = line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
        *values.entry(name).or_default() += value.unwrap_or(0.0);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_summed_over_their_labels_and_others_are_passed_over() {
        let text = "# HELP forebay_log_commits_total forebay_log_commits_total 9\nforebay_log_commits_total 7\n\
            forebay_delivery_sealed_files_total{stream=\"a } b\",reason=\"size\"} 2\n\
            forebay_delivery_sealed_files_total{stream=\"c\",reason=\"age\"} 3.5\n\
            forebay_log_commits_total_of_others 1\nforebay_log_commit_seconds_count 4\n";
        let expected = [("forebay_delivery_sealed_files_total", 5.5), ("forebay_log_commits_total", 7.0)];
        assert_eq!(read(text), expected.into_iter().collect());
    }

    #[test]
    fn a_server_that_does_not_answer_leaves_no_series() {
        let scraper = Scraper::start(Target::parse("http://127.0.0.1:1/metrics").unwrap());
        let metrics = scraper.finish(clock::monotonic());
        assert!(!metrics.at.is_empty() && metrics.series.is_empty());
    }
}

//! What the benches share: clocks, cores, a running Forebay, and a client that is cheap enough to measure it with.

#![allow(dead_code, reason = "each bench uses its part")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot run has to stop")]

pub mod aws;
pub mod client;
pub mod clocks;
pub mod closed_log;
pub mod cores;
pub mod disk;
pub mod door;
pub mod forebay;
pub mod history;
pub mod put_records;

use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

/// Names the folder in which benches put what they write to a disk; the target folder where it is not set.
const FOLDER: &str = "FOREBAY_BENCH_DIR";

/// How a bench without criterion was called.
pub struct Call {
    /// `cargo bench` hands over `--bench`; without it (`cargo test --benches`), or with `--quick`, one short round shows
    /// that all works.
    pub full: bool,
    /// Sections to run, by name; none means all.
    sections: Vec<String>,
}

impl Call {
    /// Reads the arguments of the process.
    pub fn read() -> Self {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
        let full = has("--bench") && !has("--quick");
        let sections = arguments.into_iter().filter(|argument| !argument.starts_with('-')).collect();
        Self { full, sections }
    }

    /// Whether a section was asked for.
    pub fn wants(&self, section: &str) -> bool {
        self.sections.is_empty() || self.sections.iter().any(|wanted| section.contains(wanted.as_str()))
    }

    /// `full` rounds, or one.
    pub fn rounds(&self, full: usize) -> usize {
        if self.full { full } else { 1 }
    }

    /// The time that one measurement takes.
    pub fn duration(&self, full: Duration) -> Duration {
        if self.full { full } else { Duration::from_millis(200) }
    }

    /// `full` of something, or `quick` of it.
    pub fn amount<T>(&self, full: T, quick: T) -> T {
        if self.full { full } else { quick }
    }
}

/// As many open files as may be: client and server are one process here, and each connection is two descriptors of it.
pub fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Where files go that a disk is measured with.
pub fn disk_folder() -> PathBuf {
    std::env::var_os(FOLDER).map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from)
}

/// A new folder on the disk that is measured; removed when dropped.
pub fn scratch_folder() -> TempDir {
    std::fs::create_dir_all(disk_folder()).unwrap();
    tempfile::Builder::new().prefix("bench-").tempdir_in(disk_folder()).unwrap()
}

/// Of times in nanoseconds, from 100 ns to a minute, with three digits.
pub fn nanoseconds() -> Histogram<u64> {
    Histogram::new_with_bounds(100, 60_000_000_000, 3).unwrap()
}

/// Adds a time.
pub fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

/// A quantile of [`nanoseconds`], in microseconds.
pub fn quantile_us(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

/// The middle value; the mean of the two in the middle where there are two.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

/// Load averages over 1, 5 and 15 minutes: whether something else was running.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// One line about the machine.
pub fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{count} CPUs, {}", model.map_or("unknown model", |(_, model)| model))
}

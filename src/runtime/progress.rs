//! How far a long piece of work is, and a way to ask it to end.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The progress of the recovery: written by whoever reads the log, shown to whoever waits for it. The numbers are for
/// people, so their order among each other does not matter.
#[derive(Debug, Default)]
pub struct Progress {
    total_bytes: AtomicU64,
    done_bytes: AtomicU64,
    stopped: AtomicBool,
}

impl Progress {
    /// There are so many bytes more to read.
    pub fn add_total(&self, bytes: u64) {
        self.total_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes more have been read.
    pub fn add_done(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes to read in all, as far as that is known.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that have been read.
    pub fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed)
    }

    /// Asks the work to end as soon as it can, because nobody waits for its result any more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, total) = (self.done_bytes(), self.total_bytes());
        let (unit, name) = if total >= 1_000_000_000 { (1e9, "GB") } else { (1e6, "MB") };
        let percent = if total == 0 { 100 } else { u128::from(done.min(total)) * 100 / u128::from(total) };
        let (done, total) = (done as f64 / unit, total as f64 / unit);
        write!(f, "{done:.1} of {total:.1} {name} of the log read ({percent} %)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_a_unit_that_fits() {
        let progress = Progress::default();
        assert_eq!(progress.to_string(), "0.0 of 0.0 MB of the log read (100 %)");
        progress.add_total(1_000_000_000);
        progress.add_total(500_000_000);
        progress.add_done(1_000_000_000);
        assert_eq!(progress.to_string(), "1.0 of 1.5 GB of the log read (66 %)");
        progress.add_done(u64::MAX / 2);
        assert!(progress.to_string().ends_with("(100 %)"));
    }

    #[test]
    fn whoever_works_learns_that_nobody_waits() {
        let progress = Progress::default();
        assert!(!progress.is_stopped());
        progress.stop();
        assert!(progress.is_stopped());
    }
}

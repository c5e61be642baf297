//! The open loop: when each request is due, and who wakes its connection then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forebay::runtime::clock;
use tokio::sync::Notify;

/// Shortest sleep of the pacer: it wakes at most 10,000 times a second, and connections that are due in between
/// are woken together.
const TICK_MIN: Duration = Duration::from_micros(100);

/// Longest sleep of the pacer, so that it sees soon that the run has ended.
const TICK_MAX: Duration = Duration::from_millis(20);

/// Requests at a constant rate, dealt to the connections in turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// Nanoseconds from one request to the next, over all connections.
    interval_nanos: f64,
    connections: u64,
}

impl Schedule {
    /// `batch` is the mean of records of a request.
    pub(super) fn new(records_per_second: f64, batch: f64, connections: u32) -> Self {
        let interval_nanos = batch * 1e9 / records_per_second;
        Self { interval_nanos, connections: connections.into() }
    }

    /// When request `turn` of `connection` is due, from the start of the run. It does not depend on what became of
    /// any other request: that is what makes the loop open.
    pub(super) fn due(&self, connection: u32, turn: u64) -> Duration {
        self.due_at(turn * self.connections + u64::from(connection))
    }

    fn due_at(&self, request: u64) -> Duration {
        Duration::from_nanos((request as f64 * self.interval_nanos) as u64)
    }
}

/// Wakes each connection when a request of its is due.
///
/// Timers of the async runtime round up to whole milliseconds, which would be counted as latency of the server; a
/// sleeping thread is woken within tens of microseconds.
#[derive(Debug)]
pub(super) struct Pacer {
    /// Nothing once it was joined.
    thread: Option<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Pacer {
    /// Starts to wake `connections` until it is dropped.
    pub(super) fn start(schedule: Schedule, start: Instant, connections: Vec<Arc<Notify>>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut request = 0_u64;
            while !seen.load(Ordering::Relaxed) {
                let elapsed = clock::monotonic().saturating_duration_since(start);
                while schedule.due_at(request) <= elapsed {
                    connections[(request % connections.len() as u64) as usize].notify_one();
                    request += 1;
                }
                thread::sleep(schedule.due_at(request).saturating_sub(elapsed).clamp(TICK_MIN, TICK_MAX));
            }
        });
        Self { thread: Some(thread), ended }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_evenly_spaced_over_all_connections() {
        // 1,000 records a second in requests of 10: one each 10 ms.
        let schedule = Schedule::new(1_000.0, 10.0, 4);
        let mut due: Vec<_> =
            (0..4).flat_map(|lane| (0..25).map(move |turn| schedule.due(lane, turn))).collect();
        due.sort_unstable();
        let expected: Vec<_> = (0..100).map(|request| Duration::from_millis(request * 10)).collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn an_odd_rate_does_not_drift() {
        let schedule = Schedule::new(3.0, 1.0, 1);
        assert_eq!(schedule.due(0, 3_000_000), Duration::from_secs(1_000_000));
    }
}

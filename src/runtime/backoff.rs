//! Pauses between tries.

use std::time::{Duration, Instant};

use super::clock;

/// First pause.
const MIN: Duration = Duration::from_millis(200);
/// Longest pause: what comes back is noticed within it.
const MAX: Duration = Duration::from_secs(10);

/// Pauses that double, from 200 ms to 10 s, each cut at random by up to a half, so that many who wait for the same do
/// not come back at the same moment.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: MIN }
    }
}

impl Backoff {
    /// Whether a failure is worth a line in the log: the first, and each from the longest pause on.
    pub fn is_news(&self) -> bool {
        self.next == MIN || self.next == MAX
    }

    /// How long to wait now.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(MAX);
        pause
    }

    /// Until when to wait now.
    pub fn until(&mut self) -> Instant {
        clock::monotonic() + self.next_pause()
    }

    /// Waits.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_only_the_first_and_the_longest_are_news() {
        let mut backoff = Backoff::default();
        let mut whole = MIN;
        for step in 0..10 {
            assert_eq!(backoff.is_news(), step == 0 || whole == MAX, "{step}");
            let pause = backoff.next_pause();
            assert!(whole / 2 <= pause && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(MAX);
        }
    }
}

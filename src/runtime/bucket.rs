//! A bucket of tokens, which fills at a steady rate.

use std::time::{Duration, Instant};

/// Parts of a token that are counted, so that a microsecond of the slowest rate fills some.
const PARTS: i128 = 1_000_000;

/// Holds `burst` tokens at most and gets `rate` of them a second. Something that costs more than it can ever hold is
/// taken when the bucket is full, and is owed from then on. In any `t` seconds it gives no more than
/// `rate × t + max(burst, the largest cost)` tokens.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate: u64,
    burst: u64,
    /// In parts of tokens; less than nothing where tokens are owed.
    level: i128,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub fn full(rate: u64, burst: u64, now: Instant) -> Self {
        Self { rate, burst, level: i128::from(burst) * PARTS, at: now }
    }

    fn burst_parts(&self) -> i128 {
        i128::from(self.burst) * PARTS
    }

    /// Whether it gives `tokens` at `now`; they stay in it.
    ///
    /// # Errors
    /// How long it will not, if nobody takes any from it.
    pub fn check(&mut self, tokens: u64, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        self.until((i128::from(tokens) * PARTS).min(self.burst_parts()))
    }

    /// Takes `tokens`, whether they are there or not.
    pub fn spend(&mut self, tokens: u64, now: Instant) {
        self.fill(now);
        self.level -= i128::from(tokens) * PARTS;
    }

    /// Gives back `tokens` that were spent for something that did not come about; it holds no more than its burst then.
    /// If nothing else was spent meanwhile, it is as if they never had been. Otherwise what the bucket filled meanwhile
    /// may be given beyond the bound, so that it has to be done at once.
    pub fn refund(&mut self, tokens: u64) {
        // What was filled since `at` comes later, under the same bound.
        self.level = self.level.saturating_add(i128::from(tokens) * PARTS).min(self.burst_parts());
    }

    /// The same for tokens that were spent `elapsed` ago. As much is kept back as it may have filled since beyond what it
    /// could hold without them, so that the bound stays what it is.
    pub fn refund_after(&mut self, tokens: u64, elapsed: Duration) {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        // A microsecond that has begun may have filled something.
        let filled = i128::from(micros.saturating_add(1)).saturating_mul(i128::from(self.rate));
        let kept = if elapsed.is_zero() { 0 } else { filled };
        let given = (i128::from(tokens) * PARTS - kept).max(0);
        self.level = self.level.saturating_add(given).min(self.burst_parts());
    }

    /// Makes it one that is full in `time`, if nobody takes any from it.
    pub fn set_back(&mut self, time: Duration, now: Instant) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.at = now;
        self.level = self.burst_parts() - i128::from(micros).saturating_mul(i128::from(self.rate));
    }

    /// Whole tokens in it at `now`.
    pub fn left(&mut self, now: Instant) -> u64 {
        self.fill(now);
        u64::try_from((self.level / PARTS).max(0)).unwrap_or(u64::MAX)
    }

    /// How long it takes to be full, if nobody takes any from it.
    pub fn full_in(&mut self, now: Instant) -> Duration {
        self.fill(now);
        self.until(self.burst_parts()).err().unwrap_or_default()
    }

    /// Whether nothing is owed at `now`.
    ///
    /// # Errors
    /// How long something will be.
    pub fn is_paid(&mut self, now: Instant) -> Result<(), Duration> {
        self.check(0, now)
    }

    fn until(&self, wanted: i128) -> Result<(), Duration> {
        let missing = wanted - self.level;
        if missing <= 0 {
            return Ok(());
        }
        // A part is what one token a second fills in a microsecond.
        let rate = i128::from(self.rate.max(1));
        let micros = (missing + rate - 1) / rate;
        Err(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    fn fill(&mut self, now: Instant) {
        let Some(elapsed) = now.checked_duration_since(self.at) else {
            // A clock that was put back fills nothing until it goes on from there.
            self.at = now;
            return;
        };
        // What is left of a microsecond counts the next time.
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.at += Duration::from_micros(micros);
        let filled = i128::from(micros).saturating_mul(i128::from(self.rate));
        self.level = self.level.saturating_add(filled).min(self.burst_parts());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::clock;

    fn after(start: Instant, micros: u64) -> Instant {
        start + Duration::from_micros(micros)
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_its_rate() {
        let start = clock::monotonic();
        let mut bucket = Bucket::full(5, 5, start);
        for _ in 0..5 {
            assert_eq!(bucket.check(1, start), Ok(()));
            bucket.spend(1, start);
        }
        assert_eq!(bucket.check(1, start), Err(Duration::from_millis(200)));
        assert_eq!(bucket.check(1, after(start, 199_999)), Err(Duration::from_micros(1)));
        assert_eq!(bucket.check(1, after(start, 200_000)), Ok(()));
        assert_eq!(bucket.check(2, after(start, 200_000)), Err(Duration::from_millis(200)));
    }

    #[test]
    fn what_is_larger_than_the_bucket_is_taken_when_it_is_full_and_owed_then() {
        let start = clock::monotonic();
        let mut bucket = Bucket::full(1_000, 1_000, start);
        assert_eq!(bucket.check(10_000, start), Ok(()));
        bucket.spend(10_000, start);
        assert_eq!(bucket.is_paid(start), Err(Duration::from_secs(9)));
        assert_eq!(bucket.check(1, start), Err(Duration::from_micros(9_001_000)));
        assert_eq!(bucket.check(10_000, after(start, 9_999_999)), Err(Duration::from_micros(1)));
        assert_eq!(bucket.check(10_000, after(start, 10_000_000)), Ok(()));
    }

    #[test]
    fn a_clock_that_is_put_back_neither_fills_nor_stops_it() {
        let start = after(clock::monotonic(), 10_000_000);
        let mut bucket = Bucket::full(10, 10, start);
        bucket.spend(10, start);
        let back = start - Duration::from_secs(9);
        assert_eq!(bucket.check(1, back), Err(Duration::from_millis(100)));
        assert_eq!(bucket.check(1, after(back, 100_000)), Ok(()));
    }

    #[test]
    fn no_time_and_no_cost_is_too_much_for_it() {
        let start = clock::monotonic();
        let mut bucket = Bucket::full(u64::MAX, u64::MAX, start);
        bucket.spend(u64::MAX, start);
        bucket.spend(u64::MAX, start);
        assert_eq!(bucket.check(u64::MAX, after(start, u64::from(u32::MAX) * 1_000_000)), Ok(()));
        let mut never = Bucket::full(0, 1, start);
        never.spend(u64::MAX, start);
        assert!(never.check(1, start).is_err());
    }

    proptest! {
        #[test]
        fn it_never_gives_more_than_its_rate_and_its_burst(
            rate in 1_u64..2_000,
            burst in 1_u64..2_000,
            steps in prop::collection::vec(
                (0_u64..3_000_000, 1_u64..4_000, -1_i8..8, prop::option::weighted(0.3, 0_u64..3_000_000)),
                1..60,
            ),
        ) {
            let start = after(clock::monotonic(), 1_000_000_000);
            let mut bucket = Bucket::full(rate, burst, start);
            // Whatever was given, with how much time had gone forward by then.
            let (mut now, mut passed, mut given) = (start, 0, Vec::new());
            for (micros, tokens, way, fails_after) in steps {
                if way < 0 {
                    now -= Duration::from_micros(micros);
                } else {
                    now = after(now, micros);
                    passed += micros;
                }
                match (bucket.check(tokens, now), fails_after) {
                    (Ok(()), None) => {
                        bucket.spend(tokens, now);
                        given.push((passed, tokens));
                    }
                    (Ok(()), Some(micros)) => {
                        let mut unspent = bucket.clone();
                        bucket.spend(tokens, now);
                        now = after(now, micros);
                        passed += micros;
                        let _ = bucket.check(tokens, now);
                        bucket.refund(tokens);
                        let _ = unspent.check(tokens, now);
                        prop_assert_eq!(bucket.level, unspent.level, "as if it had not been spent");
                    }
                    (Err(wait), _) => {
                        let mut later = bucket.clone();
                        prop_assert_eq!(later.check(tokens, now + wait), Ok(()), "it keeps its word");
                        let just_before = now + wait - Duration::from_micros(1);
                        prop_assert!(bucket.clone().check(tokens, just_before).is_err(), "and no more");
                    }
                }
            }
            let largest = given.iter().map(|(_, tokens)| *tokens).max().unwrap_or_default();
            for (first, (from, _)) in given.iter().enumerate() {
                let mut sum = 0_u128;
                for (upto, tokens) in &given[first..] {
                    sum += u128::from(*tokens);
                    let filled = u128::from(rate) * u128::from(upto - from);
                    let most = filled.div_ceil(1_000_000) + u128::from(burst.max(largest));
                    prop_assert!(sum <= most, "{sum} of {most} in {} µs", upto - from);
                }
            }
        }

        #[test]
        fn a_late_refund_never_gives_more_than_if_the_tokens_had_stayed(
            rate in 1_u64..2_000,
            burst in 1_u64..2_000,
            tokens in 1_u64..4_000,
            others in prop::collection::vec((0_u64..300_000, 1_u64..2_000), 0..9),
        ) {
            let start = after(clock::monotonic(), 1_000_000_000);
            let mut bucket = Bucket::full(rate, burst, start);
            let mut unspent = bucket.clone();
            bucket.spend(tokens, start);
            let mut now = start;
            for (micros, tokens) in others {
                now = after(now, micros);
                if bucket.check(tokens, now).is_ok() {
                    bucket.spend(tokens, now);
                    unspent.spend(tokens, now);
                }
            }
            let _ = bucket.check(0, now);
            let _ = unspent.check(0, now);
            bucket.refund_after(tokens, now - start);
            prop_assert!(bucket.level <= unspent.level, "{} of {}", bucket.level, unspent.level);
        }

        #[test]
        fn a_full_bucket_gives_whatever_is_asked_for(
            rate in 1_u64..1 << 30,
            burst in 1_u64..1 << 30,
            before: u32,
            tokens: u64,
        ) {
            let start = clock::monotonic();
            let mut bucket = Bucket::full(rate, burst, start);
            bucket.spend(u64::from(before), start);
            let full = match bucket.check(burst, start) {
                Ok(()) => start,
                Err(wait) => start + wait,
            };
            prop_assert_eq!(bucket.check(tokens, full), Ok(()));
        }
    }
}

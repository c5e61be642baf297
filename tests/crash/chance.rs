//! What is left to chance, and how much of it there is.

use std::time::Duration;

/// How many kills a row of random kills has: `FOREBAY_CRASH_KILLS`, or a few.
pub fn kills(short: u64) -> u64 {
    number("FOREBAY_CRASH_KILLS").unwrap_or(short)
}

/// Whether rows may take minutes.
pub fn is_long() -> bool {
    number("FOREBAY_CRASH_KILLS").is_some()
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Chance that a seed brings back: `FOREBAY_CRASH_SEED`, or the same each time.
pub struct Chance {
    random: fastrand::Rng,
    /// Belongs into what a failure prints.
    pub seed: u64,
}

impl Chance {
    /// Of a row: two rows with one seed do not do the same.
    pub fn of(row: &str) -> Self {
        let seed = number("FOREBAY_CRASH_SEED").unwrap_or(1);
        let salt = xxhash_rust::xxh3::xxh3_64(row.as_bytes());
        eprintln!("{row}: FOREBAY_CRASH_SEED={seed}");
        Self { random: fastrand::Rng::with_seed(seed ^ salt), seed }
    }

    /// Between two times; short ones are as likely as ten times longer ones.
    pub fn pause(&mut self, least: Duration, most: Duration) -> Duration {
        let (least, most) = (least.as_secs_f64(), most.as_secs_f64());
        Duration::from_secs_f64(least * (most / least).powf(self.random.f64()))
    }

    /// One of `1..=most`.
    pub fn up_to(&mut self, most: u64) -> u64 {
        self.random.u64(1..=most)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.random.u64(0..times) == 0
    }

    /// `count` of `range`, ascending, without repetition.
    pub fn sample(&mut self, range: std::ops::Range<usize>, count: usize) -> Vec<usize> {
        let mut all: Vec<_> = range.collect();
        self.random.shuffle(&mut all);
        all.truncate(count);
        all.sort_unstable();
        all
    }
}

//! What a case is like.

use std::time::Duration;

use fastrand::Rng;

use crate::stream::wal::JournalClass;

/// What a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The process ends, or the power.
    Crashes,
    /// The disk also fails now and then.
    Faults,
    /// The disk also has no room now and then.
    Full,
    /// Class `os`.
    Unsynced,
    /// Requests that are larger than the buffer of a commit.
    Large,
}

/// The setting of a case.
#[derive(Debug, Clone)]
pub struct Profile {
    pub kind: Kind,
    pub class: JournalClass,
    pub segment_bytes: u64,
    /// Shards of each stream.
    pub streams: Vec<u32>,
    /// Deliveries of each stream.
    pub readers: usize,
    pub retention: Duration,
    pub retention_bytes: Option<u64>,
    /// How long idempotency keys are remembered.
    pub window: Duration,
    pub steps: usize,
}

impl Profile {
    pub fn random(kind: Kind, rng: &mut Rng) -> Self {
        let is_large = kind == Kind::Large;
        let blocks = if is_large { 2_048 } else { [2, 3, 5, 8, 16][rng.usize(..5)] };
        let retention = if rng.bool() { rng.u64(1_000..2_000_000) } else { 3_600_000_000 };
        let window = if rng.u8(..4) == 0 { rng.u64(1_000..1_000_000) } else { 3_600_000_000 };
        let retention_bytes = (rng.u8(..3) == 0).then(|| rng.u64(1_000..100_000));
        Self {
            kind,
            class: if kind == Kind::Unsynced { JournalClass::Os } else { JournalClass::Fsync },
            segment_bytes: blocks * 4_096,
            streams: (0..rng.usize(1..=3)).map(|_| rng.u32(1..=3)).collect(),
            readers: rng.usize(0..=2),
            retention: Duration::from_micros(retention),
            retention_bytes,
            window: Duration::from_micros(window),
            steps: if is_large { 60 } else { rng.usize(50..250) },
        }
    }
}

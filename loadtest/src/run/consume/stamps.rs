//! When records were sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Records of a producer whose times are kept: what may be on its way to a reader.
const RING: usize = 8_192;

/// Bytes of all rings. With more producers than fit, rings are shorter.
const RINGS_BYTES_MAX: usize = 64 << 20;

/// Bits of a stamp that say which record it is of; the others are microseconds, enough for 12 days.
const SEQUENCE_BITS: u32 = 24;

/// A ring of times for each producer.
#[derive(Debug)]
pub(in crate::run) struct Stamps {
    epoch: Instant,
    ring: usize,
    stamps: Vec<AtomicU64>,
}

impl Stamps {
    pub(in crate::run) fn new(epoch: Instant, producers: usize) -> Self {
        let ring = (RINGS_BYTES_MAX / 8 / producers.max(1)).clamp(1, RING);
        Self { epoch, ring, stamps: (0..ring * producers).map(|_| AtomicU64::new(u64::MAX)).collect() }
    }

    fn place(&self, producer: usize, sequence: u64) -> usize {
        producer * self.ring + (sequence % self.ring as u64) as usize
    }

    /// Records that these were sent now.
    pub(in crate::run) fn stamp(&self, producer: usize, first: u64, count: u64, now: Instant) {
        let micros = now.saturating_duration_since(self.epoch).as_micros() as u64;
        // Of a batch that is longer than the ring, only the end can be kept.
        for sequence in first + count.saturating_sub(self.ring as u64)..first + count {
            let stamp = micros << SEQUENCE_BITS | sequence & ((1 << SEQUENCE_BITS) - 1);
            self.stamps[self.place(producer, sequence)].store(stamp, Ordering::Release);
        }
    }

    /// How long ago a record was sent; nothing if that is not known any more.
    pub(super) fn age(&self, producer: usize, sequence: u64, now: Instant) -> Option<Duration> {
        let stamp = self.stamps.get(self.place(producer, sequence))?.load(Ordering::Acquire);
        let mask = (1 << SEQUENCE_BITS) - 1;
        let is_its = stamp & mask == sequence & mask && stamp != u64::MAX;
        let sent = Duration::from_micros(stamp >> SEQUENCE_BITS);
        is_its.then(|| now.saturating_duration_since(self.epoch).saturating_sub(sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_record_is_known_until_the_ring_has_gone_round() {
        let epoch = forebay::runtime::clock::monotonic();
        let at = |millis| epoch + Duration::from_millis(millis);
        let stamps = Stamps::new(epoch, 3);
        stamps.stamp(1, 10, 5, at(100));
        assert_eq!(stamps.age(1, 12, at(130)), Some(Duration::from_millis(30)));
        assert_eq!((stamps.age(1, 15, at(130)), stamps.age(0, 12, at(130))), (None, None));
        stamps.stamp(1, 10 + RING as u64, 1, at(200));
        assert_eq!(stamps.age(1, 10, at(300)), None);
        stamps.stamp(2, 0, 3 * RING as u64, at(250));
        assert_eq!(stamps.age(2, 3 * RING as u64 - 1, at(300)), Some(Duration::from_millis(50)));
        assert_eq!(stamps.age(2, 0, at(300)), None);
    }

    #[test]
    fn many_producers_share_the_memory() {
        let stamps = Stamps::new(forebay::runtime::clock::monotonic(), 1_000_000);
        assert!(stamps.stamps.len() * 8 <= RINGS_BYTES_MAX && stamps.ring == 8);
    }
}

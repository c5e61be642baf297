//! How hot a shard is: records and bytes a second, and the keys that bring most of them.
//!
//! Rates are moving averages, kept up to date by a tick a second or so. The heaviest keys are found with the space-saving
//! algorithm (Metwally, Agrawal and El Abbadi, 2005): of the keys of a stream it keeps [`HEAT_KEYS`] counters, and a key
//! that has none takes over the smallest one. Every key with more than a share of 1 / [`HEAT_KEYS`] is among them, and no
//! count is too low. One record of [`HEAT_SAMPLE`] is looked at, so that appending stays what it was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::hash::{HashKey, HashRange};
use super::routed::ExplicitHashes;
use crate::config::limits::{HEAT_HALF_LIFE_SECONDS, HEAT_KEY_BYTES_MAX, HEAT_KEYS, HEAT_SAMPLE};
use crate::record::Batch;
use crate::runtime::clock;

/// The heat of one shard.
#[derive(Debug)]
pub struct Heat {
    records: AtomicU64,
    bytes: AtomicU64,
    rates: Mutex<Rates>,
    keys: Mutex<HeavyKeys>,
}

#[derive(Debug)]
struct Rates {
    since: Instant,
    records: u64,
    bytes: u64,
    records_per_second: f64,
    bytes_per_second: f64,
}

/// What is told of a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatReport {
    /// Records that came in a second of late.
    pub records_per_second: f64,
    /// Payload bytes that came in a second of late.
    pub bytes_per_second: f64,
    /// The heaviest keys, heaviest first.
    pub keys: Vec<HeavyKey>,
}

/// A key that brings much.
#[derive(Debug, Clone, PartialEq)]
pub struct HeavyKey {
    /// The key, or the beginning of one that is longer than [`HEAT_KEY_BYTES_MAX`]; of those that a client has put at one
    /// place of the hash space, the first that was met.
    pub key: Vec<u8>,
    /// Where it lies in the hash space.
    pub hash: HashKey,
    /// Its part of the bytes that came of late, at most.
    pub share: f64,
}

impl Default for Heat {
    fn default() -> Self {
        let rates = Rates {
            since: clock::monotonic(),
            records: 0,
            bytes: 0,
            records_per_second: 0.0,
            bytes_per_second: 0.0,
        };
        Self {
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rates: Mutex::new(rates),
            keys: Mutex::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counters that a panic has left half-way are still counters.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heat {
    /// Counts what is appended, at the place where each record lies: that of its key, or the one of `hashes`.
    pub fn observe(&self, batch: &Batch, hashes: &ExplicitHashes) {
        let bytes = batch.payload_bytes();
        let before = self.records.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // Every record whose number is a multiple of the sample; one request in so many where each brings one.
        let first = before.next_multiple_of(HEAT_SAMPLE) - before;
        if first >= batch.records.len() as u64 {
            return;
        }
        // Whoever comes while another thread counts is not looked at: it is a sample anyway.
        let Ok(mut keys) = self.keys.try_lock() else { return };
        for index in (first as usize..batch.records.len()).step_by(HEAT_SAMPLE as usize) {
            // What decides over the shard of an aggregate is the key that it was put with.
            let Some(put) = batch.puts(index).next() else { break };
            let key = batch.source.bytes(put.key);
            let hash = hashes.of(put.first).or_else(|| put.key.is_present().then(|| HashKey::of(key)));
            if let Some(hash) = hash {
                keys.add(key, hash, put.payload.len() as u64);
            }
        }
    }

    /// Brings the averages up to date.
    pub fn tick(&self) {
        let (records, bytes) = (self.records.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let mut rates = lock(&self.rates);
        let elapsed = rates.since.elapsed();
        if elapsed < MIN_TICK {
            return;
        }
        let seconds = elapsed.as_secs_f64();
        let weight = 1.0 - 0.5_f64.powf(seconds / HEAT_HALF_LIFE_SECONDS);
        let mix = |average: f64, now: u64, before: u64| {
            average + weight * (now.saturating_sub(before) as f64 / seconds - average)
        };
        rates.records_per_second = mix(rates.records_per_second, records, rates.records);
        rates.bytes_per_second = mix(rates.bytes_per_second, bytes, rates.bytes);
        (rates.records, rates.bytes, rates.since) = (records, bytes, clock::monotonic());
        drop(rates);
        lock(&self.keys).fade(1.0 - weight);
    }

    /// What there is to tell.
    pub fn report(&self) -> HeatReport {
        let (records_per_second, bytes_per_second) = {
            let rates = lock(&self.rates);
            (rates.records_per_second, rates.bytes_per_second)
        };
        HeatReport { records_per_second, bytes_per_second, keys: lock(&self.keys).heaviest() }
    }

    /// Where to split the shard so that its heaviest key comes to lie at the edge of a child, with whatever is below it
    /// in the other; `None` if no key is known.
    pub fn split_point(&self, range: HashRange) -> Option<HashKey> {
        let keys = lock(&self.keys).heaviest();
        let hottest = keys.iter().map(|key| key.hash).find(|hash| range.contains(*hash))?;
        let at = if hottest.0 == range.first { hottest.0.checked_add(1)? } else { hottest.0 };
        Some(HashKey(at)).filter(|at| range.contains(*at))
    }
}

/// Ticks that come sooner after each other tell nothing.
const MIN_TICK: Duration = Duration::from_millis(100);

/// The counters of the space-saving algorithm, with weights that fade.
#[derive(Debug, Default)]
struct HeavyKeys {
    counters: Vec<Counter>,
    total: f64,
}

#[derive(Debug)]
struct Counter {
    hash: HashKey,
    key: Vec<u8>,
    weight: f64,
}

impl HeavyKeys {
    fn add(&mut self, key: &[u8], hash: HashKey, bytes: u64) {
        // A record without payload counts as well.
        let weight = bytes.max(1) as f64;
        self.total += weight;
        if let Some(counter) = self.counters.iter_mut().find(|counter| counter.hash == hash) {
            counter.weight += weight;
            return;
        }
        let key = key.get(..HEAT_KEY_BYTES_MAX).unwrap_or(key);
        if self.counters.len() < HEAT_KEYS {
            self.counters.push(Counter { hash, key: key.to_vec(), weight });
            return;
        }
        let least = self.counters.iter_mut().min_by(|a, b| a.weight.total_cmp(&b.weight));
        if let Some(least) = least {
            least.hash = hash;
            least.key.clear();
            least.key.extend_from_slice(key);
            least.weight += weight;
        }
    }

    fn fade(&mut self, factor: f64) {
        self.total *= factor;
        self.counters.iter_mut().for_each(|counter| counter.weight *= factor);
        // What has faded to less than a byte is gone.
        self.counters.retain(|counter| counter.weight >= 1.0);
    }

    fn heaviest(&self) -> Vec<HeavyKey> {
        let share = |counter: &Counter| HeavyKey {
            key: counter.key.clone(),
            hash: counter.hash,
            share: (counter.weight / self.total.max(1.0)).min(1.0),
        };
        let mut keys: Vec<_> = self.counters.iter().map(share).collect();
        keys.sort_by(|a, b| b.share.total_cmp(&a.share));
        keys
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::record::{Content, RecordSpans, Source, Span};
    use crate::runtime::budget::Budget;
    use crate::runtime::clock::UnixMicros;

    /// One record a key, each of ten bytes.
    fn batch(keys: &[&str]) -> Batch {
        let mut body = vec![b'x'; 10];
        let mut records = Vec::new();
        for key in keys {
            let start = body.len();
            body.extend_from_slice(key.as_bytes());
            let key = Span::new(start, body.len());
            records.push(RecordSpans { payload: Span::new(0, 10), key, refusal: Span::ABSENT });
        }
        let permit = Budget::new(0).take_anyway(0);
        let (body, arrival, content) = (body.into(), UnixMicros(0), Content::Json);
        let source = Source { body, content, side: Bytes::new(), arrival, permit };
        Batch { source: Arc::new(source), records: records.into(), ..Batch::empty(UnixMicros(0)) }
    }

    #[test]
    fn the_heaviest_key_is_found_among_very_many() {
        let heat = Heat::default();
        let others: Vec<String> = (0..20_000).map(|index| format!("key-{index}")).collect();
        for chunk in others.chunks(40) {
            let mut keys: Vec<&str> = chunk.iter().map(String::as_str).collect();
            // A third of all records.
            keys.extend(["hot"; 20]);
            fastrand::shuffle(&mut keys);
            heat.observe(&batch(&keys), &ExplicitHashes::default());
        }
        let report = heat.report();
        assert_eq!(report.keys[0].key, b"hot");
        assert!((0.2..0.6).contains(&report.keys[0].share), "{}", report.keys[0].share);
        assert!(report.keys.len() <= HEAT_KEYS);
        let whole = HashRange { first: 0, last: u128::MAX };
        assert_eq!(heat.split_point(whole), Some(HashKey::of(b"hot")));
        let from_it_on = HashRange { first: HashKey::of(b"hot").0, last: u128::MAX };
        assert_eq!(heat.split_point(from_it_on), Some(HashKey(HashKey::of(b"hot").0 + 1)));
    }

    #[test]
    fn keys_that_come_in_turn_are_all_seen() {
        for count in [2_usize, 4, 16] {
            let names: Vec<String> = (0..count).map(|index| format!("key-{index}")).collect();
            let heat = Heat::default();
            let turns = names.iter().cycle().take(16 * 17 * 4).map(String::as_str);
            heat.observe(&batch(&turns.collect::<Vec<_>>()), &ExplicitHashes::default());
            let found = heat.report().keys;
            assert_eq!(found.len(), count);
            assert!(found.iter().all(|key| (key.share - 1.0 / count as f64).abs() < 1e-9), "{found:?}");
        }
    }

    #[test]
    fn a_single_record_a_request_is_sampled_as_well() {
        let heat = Heat::default();
        for _ in 0..HEAT_SAMPLE * 4 {
            heat.observe(&batch(&["only"]), &ExplicitHashes::default());
        }
        assert_eq!(heat.report().keys.len(), 1);
        assert!((heat.report().keys[0].share - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_key_that_is_long_or_absent_does_no_harm() {
        let heat = Heat::default();
        let long = "k".repeat(200);
        for _ in 0..HEAT_SAMPLE {
            heat.observe(&batch(&[&long]), &ExplicitHashes::default());
        }
        assert_eq!(heat.report().keys[0].key.len(), HEAT_KEY_BYTES_MAX);
        let mut keyless = batch(&["x"]);
        keyless.records[0].key = Span::ABSENT;
        let heat = Heat::default();
        for _ in 0..HEAT_SAMPLE {
            heat.observe(&keyless, &ExplicitHashes::default());
        }
        let report = heat.report();
        assert_eq!((report.keys, heat.split_point(HashRange { first: 0, last: 9 })), (Vec::new(), None));
    }

    #[test]
    fn what_came_long_ago_fades() {
        let mut keys = HeavyKeys::default();
        keys.add(b"old", HashKey::of(b"old"), 1_000);
        for _ in 0..20 {
            keys.fade(0.5);
        }
        assert!(keys.heaviest().is_empty());
        keys.add(b"new", HashKey::of(b"new"), 10);
        assert_eq!(keys.heaviest()[0].key, b"new");
    }
}

//! A bounded table of what is remembered of senders, by key.
//!
//! When there is room no more, one goes for each that comes: of the next few, in the order in which they have come, the
//! one of whom least is lost. Of whom nothing is lost goes at once.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::account::State;

/// Parts of the table, each with a lock of its own, so that threads rarely meet.
const PARTS: usize = 16;

/// Entries that are looked at to find room for a new one.
const LOOKS: usize = 8;

/// What is remembered of somebody.
pub trait Remembered {
    /// How much is lost if they are forgotten: first by the parts of a million of a quota that they have used, then by
    /// the time in which their buckets are full.
    fn loss(&mut self, now: Instant) -> (u64, Duration);
}

impl Remembered for State {
    fn loss(&mut self, now: Instant) -> (u64, Duration) {
        (0, self.full_in(now))
    }
}

/// Nothing is.
const NOTHING: (u64, Duration) = (0, Duration::ZERO);

struct Part<K, V> {
    places: HashMap<K, usize>,
    entries: Vec<(K, V)>,
    /// Where room is looked for next.
    hand: usize,
}

impl<K, V> Default for Part<K, V> {
    fn default() -> Self {
        Self { places: HashMap::new(), entries: Vec::new(), hand: 0 }
    }
}

impl<K: Clone + Eq + Hash, V: Remembered> Part<K, V> {
    fn place(&mut self, key: &K, max: usize, now: Instant, new: impl FnOnce(Option<&mut V>) -> V) -> usize {
        if let Some(&place) = self.places.get(key) {
            return place;
        }
        let place = if self.entries.len() < max {
            self.entries.push((key.clone(), new(None)));
            self.entries.len() - 1
        } else {
            let (loss, place) = self.make_room(now);
            if let Some(entry) = self.entries.get_mut(place) {
                self.places.remove(&entry.0);
                let value = new((loss != NOTHING).then_some(&mut entry.1));
                *entry = (key.clone(), value);
            }
            place
        };
        self.places.insert(key.clone(), place);
        place
    }

    /// The place of the one of whom least is lost, of the next few.
    fn make_room(&mut self, now: Instant) -> ((u64, Duration), usize) {
        let count = self.entries.len();
        let mut best = ((u64::MAX, Duration::MAX), self.hand % count.max(1));
        for _ in 0..LOOKS.min(count) {
            let place = self.hand % count;
            self.hand = (place + 1) % count;
            let loss = self.entries.get_mut(place).map_or((u64::MAX, Duration::MAX), |(_, it)| it.loss(now));
            if loss < best.0 {
                best = (loss, place);
            }
            if loss == NOTHING {
                break;
            }
        }
        best
    }

    fn retain(&mut self, stays: impl Fn(&K, &V) -> bool) {
        self.entries.retain(|(key, value)| stays(key, value));
        self.places = self.entries.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
    }
}

/// What is remembered of one, while nobody else changes anything of its part.
pub struct Locked<'a, K, V> {
    part: MutexGuard<'a, Part<K, V>>,
    place: usize,
}

impl<K, V> Locked<'_, K, V> {
    /// That.
    pub fn get(&mut self) -> Option<&mut V> {
        self.part.entries.get_mut(self.place).map(|(_, value)| value)
    }
}

/// See the module.
pub struct Table<K, V> {
    part_max: usize,
    hasher: std::hash::RandomState,
    parts: [Mutex<Part<K, V>>; PARTS],
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("part_max", &self.part_max).finish_non_exhaustive()
    }
}

impl<K: Clone + Eq + Hash, V: Remembered> Table<K, V> {
    /// With room for `max`.
    pub fn new(max: usize) -> Self {
        let parts = std::array::from_fn(|_| Mutex::default());
        Self { part_max: (max / PARTS).max(1), hasher: std::hash::RandomState::new(), parts }
    }

    /// What is remembered of `key`. Where nothing is, `new` makes it: of what was remembered of the one that goes for it,
    /// if any of that would be lost.
    pub fn lock(&self, key: &K, now: Instant, new: impl FnOnce(Option<&mut V>) -> V) -> Locked<'_, K, V> {
        let part = self.hasher.hash_one(key) as usize % PARTS;
        let mut part = unlocked(&self.parts[part]);
        let place = part.place(key, self.part_max, now, new);
        Locked { part, place }
    }

    /// Everybody, a part after the other.
    pub fn each(&self, mut look: impl FnMut(&K, &mut V)) {
        for part in &self.parts {
            unlocked(part).entries.iter_mut().for_each(|(key, value)| look(key, value));
        }
    }

    /// Forgets those for whom `stays` does not hold.
    pub fn retain(&self, stays: impl Fn(&K, &V) -> bool) {
        self.parts.iter().for_each(|part| unlocked(part).retain(&stays));
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let len = |part: &Mutex<Part<K, V>>| {
            let part = unlocked(part);
            assert_eq!(part.places.len(), part.entries.len());
            assert!(part.places.iter().all(|(key, &place)| part.entries[place].0 == *key));
            part.entries.len()
        };
        self.parts.iter().map(len).sum()
    }
}

fn unlocked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whatever panics under the lock leaves the table whole, or one bucket fuller than it should be.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

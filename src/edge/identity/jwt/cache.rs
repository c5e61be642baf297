//! Tokens that were verified, so that the next request with one of them costs a hash and no signature.
//!
//! A token is known by its SHA-256: the cache has no token in it that could be taken out. Only tokens that are right come
//! into it, so what does not know a key cannot push anything out of it.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::claims::Validity;
use crate::config::limits::{JWT_CACHE_BYTES, JWT_CACHE_ENTRIES, JWT_CACHE_SHARDS};
use crate::edge::identity::credentials::Digest;

/// See the module.
#[derive(Debug)]
pub(super) struct Cache<V> {
    /// By the first bits of the hash, so that threads seldom wait for each other.
    shards: Box<[Mutex<Shard<V>>]>,
}

type Entries<V> = HashMap<Digest, Entry<V>, foldhash::fast::RandomState>;

/// When `young` is half of all that there may be, it takes the place of `old`: what was not asked for since then goes.
#[derive(Debug)]
struct Shard<V> {
    young: Entries<V>,
    old: Entries<V>,
    /// Of those in `young`.
    bytes: usize,
}

/// What is known of a token.
#[derive(Debug)]
pub(super) struct Entry<V> {
    /// Whose it is and what they may do.
    pub value: Arc<V>,
    /// When it is taken.
    pub validity: Validity,
    /// The number of the keys that it was verified with.
    pub keys: u64,
    /// Bytes that it holds besides its own.
    pub bytes: usize,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        let Entry { validity, keys, bytes, .. } = *self;
        Self { value: Arc::clone(&self.value), validity, keys, bytes }
    }
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        let shard = || Mutex::new(Shard { young: Entries::default(), old: Entries::default(), bytes: 0 });
        Self { shards: (0..JWT_CACHE_SHARDS).map(|_| shard()).collect() }
    }
}

impl<V> Cache<V> {
    /// What is known of a token, if anything is. Whether it still holds is for the caller to see.
    pub fn get(&self, token: &Digest) -> Option<Entry<V>> {
        let mut shard = self.shard(token);
        if let Some(entry) = shard.young.get(token) {
            return Some(entry.clone());
        }
        let entry = shard.old.remove(token)?;
        shard.keep(*token, entry.clone());
        Some(entry)
    }

    /// Remembers a token that was verified.
    pub fn keep(&self, token: Digest, entry: Entry<V>) {
        self.shard(&token).keep(token, entry);
    }

    /// Knows a token no more.
    pub fn forget(&self, token: &Digest) {
        let mut shard = self.shard(token);
        if let Some(entry) = shard.young.remove(token) {
            shard.bytes -= entry.weight();
        }
        shard.old.remove(token);
    }

    /// Knows none any more; returns how many there were.
    pub fn clear(&self) -> usize {
        let clear = |shard: &Mutex<Shard<V>>| {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.bytes = 0;
            let (young, old) = (mem::take(&mut shard.young), mem::take(&mut shard.old));
            drop(shard);
            young.len() + old.len()
        };
        self.shards.iter().map(clear).sum()
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let lock = |shard: &Mutex<Shard<V>>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.young.len() + shard.old.len()
        };
        self.shards.iter().map(lock).sum()
    }

    fn shard(&self, token: &Digest) -> MutexGuard<'_, Shard<V>> {
        let place = usize::from(token[0]) % self.shards.len();
        // Nothing panics while it is held.
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Entry<V> {
    /// Bytes of memory: its place in a map that is half full, and what it holds.
    fn weight(&self) -> usize {
        2 * (mem::size_of::<Digest>() + mem::size_of::<Self>()) + self.bytes
    }
}

impl<V> Shard<V> {
    fn keep(&mut self, token: Digest, entry: Entry<V>) {
        const ENTRIES: usize = JWT_CACHE_ENTRIES / JWT_CACHE_SHARDS / 2;
        const BYTES: usize = JWT_CACHE_BYTES / JWT_CACHE_SHARDS / 2;
        if self.young.len() >= ENTRIES || self.bytes + entry.weight() > BYTES {
            self.old = mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += entry.weight();
        if let Some(before) = self.young.insert(token, entry) {
            self.bytes -= before.weight();
        }
    }
}

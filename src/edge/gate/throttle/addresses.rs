//! Buckets by client address: one of IPv4, or a network of 64 bits of IPv6, which is what one customer gets.
//!
//! The table is bounded. A bucket that is full again tells nothing that a new one would not, so those go first when
//! room is needed; then, of a few, the one that is full soonest. Whoever owes much stays.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::Counter;

use super::account::{Short, State};
use super::measure::Level;
use super::refusal::Refusal;
use crate::config::checked::{Allowance, Limit};
use crate::config::limits::CLIENT_ADDRESSES_MAX;
use crate::edge::gate::networks::household;

/// Parts of the table, each with a lock of its own, so that threads rarely meet.
const PARTS: usize = 16;

/// Buckets that are looked at to find room for a new one.
const LOOKS: usize = 8;

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// The whole address.
    V4(u32),
    /// The first half of it.
    V6(u64),
    /// A principal that is not in the configuration: a hash of its name.
    Name(u64),
}

impl From<IpAddr> for ClientKey {
    fn from(address: IpAddr) -> Self {
        match household(address) {
            IpAddr::V4(address) => ClientKey::V4(address.to_bits()),
            IpAddr::V6(address) => {
                // Exact: the lower half is shifted away.
                ClientKey::V6((address.to_bits() >> 64) as u64)
            }
        }
    }
}

/// The buckets of some addresses.
#[derive(Debug, Default)]
pub struct Part {
    places: HashMap<ClientKey, usize>,
    states: Vec<(ClientKey, State)>,
    /// Where room is looked for next.
    hand: usize,
}

impl Part {
    /// The place of the buckets of `key`, which are full if it has none yet.
    fn place(&mut self, key: ClientKey, limit: &Limit, max: usize, now: Instant) -> usize {
        if let Some(&place) = self.places.get(&key) {
            return place;
        }
        let state = (key, State::full(limit, None, now));
        let place = if self.states.len() < max {
            self.states.push(state);
            self.states.len() - 1
        } else {
            let place = self.make_room(now);
            if let Some(old) = self.states.get_mut(place) {
                self.places.remove(&old.0);
                *old = state;
            }
            place
        };
        self.places.insert(key, place);
        place
    }

    /// The place of the one that is full soonest, of the next few.
    fn make_room(&mut self, now: Instant) -> usize {
        let count = self.states.len();
        let mut best = (Duration::MAX, self.hand % count.max(1));
        for _ in 0..LOOKS.min(count) {
            let place = self.hand % count;
            self.hand = (place + 1) % count;
            let full_in = self.states.get_mut(place).map_or(Duration::MAX, |(_, state)| state.full_in(now));
            if full_in < best.0 {
                best = (full_in, place);
            }
            if full_in.is_zero() {
                break;
            }
        }
        best.1
    }
}

/// The buckets of one address, while nobody else changes those of its part.
#[derive(Debug)]
pub struct Locked<'a> {
    part: MutexGuard<'a, Part>,
    place: usize,
}

impl Locked<'_> {
    /// The buckets.
    pub fn state(&mut self) -> Option<&mut State> {
        self.part.states.get_mut(self.place).map(|(_, state)| state)
    }
}

/// See the module.
pub struct Addresses {
    allowance: Allowance,
    part_max: usize,
    hasher: std::hash::RandomState,
    parts: [Mutex<Part>; PARTS],
    refused: Counter,
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").field("allowance", &self.allowance).finish_non_exhaustive()
    }
}

impl Addresses {
    /// Each may come in as `limit` says. `refused` counts requests that may not.
    pub fn new(limit: Limit, refused: Counter) -> Self {
        Self::with_max(limit, refused, CLIENT_ADDRESSES_MAX)
    }

    fn with_max(limit: Limit, refused: Counter, max: usize) -> Self {
        Self {
            allowance: Allowance { limit, ..Allowance::default() },
            part_max: (max / PARTS).max(1),
            hasher: std::hash::RandomState::new(),
            parts: Default::default(),
            refused,
        }
    }

    /// What each may take.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// Why a request is refused because of one. Counts it.
    pub fn refusal(&self, short: Short) -> Refusal {
        self.refused.increment(1);
        Refusal::new(Level::ClientAddress, &self.allowance, short)
    }

    /// The buckets of an address.
    pub fn lock(&self, key: ClientKey, now: Instant) -> Locked<'_> {
        let part = self.hasher.hash_one(key) as usize % PARTS;
        // Whatever panics under the lock leaves the table whole, or one bucket fuller than it should be.
        let mut part = self.parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        let place = part.place(key, &self.allowance.limit, self.part_max, now);
        Locked { part, place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::{Rate, Rates};
    use crate::edge::gate::throttle::account::Moment;
    use crate::edge::gate::throttle::measure::{Cost, Flow};
    use crate::runtime::clock::{self, UnixMicros};

    fn table(max: usize) -> Addresses {
        let records = Some(Rate { a_second: 1, burst: 10 });
        let limit = Limit { ingest: Rates { records, ..Rates::default() }, tap: Rates::default() };
        Addresses::with_max(limit, Counter::noop(), max)
    }

    fn spend(table: &Addresses, key: ClientKey, records: u64, now: Instant) {
        let at = Moment { now, wall: UnixMicros::default() };
        let cost = Cost { records, ..Cost::default() };
        table.lock(key, now).state().unwrap().spend(Flow::Ingest, cost, at);
    }

    fn full_in(table: &Addresses, key: ClientKey, now: Instant) -> u64 {
        table.lock(key, now).state().unwrap().full_in(now).as_secs()
    }

    fn len(table: &Addresses) -> usize {
        table.parts.iter().map(|part| part.lock().unwrap().states.len()).sum()
    }

    #[test]
    fn a_client_is_an_address_of_ipv4_or_a_network_of_ipv6() {
        let key = |text: &str| ClientKey::from(text.parse::<IpAddr>().unwrap());
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }

    #[test]
    fn a_hundred_thousand_addresses_take_no_more_room_than_the_table_has() {
        let (table, now) = (table(1_600), clock::monotonic());
        for address in 0..100_000 {
            spend(&table, ClientKey::V4(address), 1, now);
        }
        assert_eq!(len(&table), 1_600);
        for part in &table.parts {
            let part = part.lock().unwrap();
            assert_eq!(part.places.len(), part.states.len());
            assert!(part.places.iter().all(|(key, &place)| part.states[place].0 == *key));
        }
    }

    #[test]
    fn full_buckets_go_first_and_whoever_owes_stays() {
        // One part has ten places, more than are looked at for one.
        let (table, now) = (table(10 * PARTS), clock::monotonic());
        let debtor = ClientKey::V6(7);
        spend(&table, debtor, 1_000, now);
        for address in 0..10_000 {
            spend(&table, ClientKey::V4(address), 5, now);
        }
        assert_eq!(full_in(&table, debtor, now), 1_000);
        // They are full again, and go; the one that owes does not.
        let later = now + Duration::from_secs(5);
        let half = ClientKey::V6(8);
        spend(&table, half, 5, later);
        for address in 10_000..10_008 {
            table.lock(ClientKey::V4(address), later);
        }
        assert_eq!(full_in(&table, debtor, later), 995);
        assert_eq!(full_in(&table, half, later), 5);
    }
}

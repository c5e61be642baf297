//! Buckets by client address: one of IPv4, or a network of 64 bits of IPv6, which is what one customer gets.
//!
//! The table is [bounded](super::table). A bucket that is full again tells nothing that a new one would not, so those go
//! first when room is needed; then, of a few, the one that is full soonest. Whoever owes much stays.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use metrics::Counter;

use super::account::{Short, State};
use super::measure::Level;
use super::refusal::Refusal;
use super::table::{Locked, Table};
use crate::config::checked::{Allowance, Limit};
use crate::config::limits::CLIENT_ADDRESSES_MAX;
use crate::edge::gate::networks::household;

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

/// See the module.
pub struct Addresses {
    allowance: Allowance,
    table: Table<ClientKey, State>,
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
        Self { allowance: Allowance { limit, ..Allowance::default() }, table: Table::new(max), refused }
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
    pub fn lock(&self, key: ClientKey, now: Instant) -> Locked<'_, ClientKey, State> {
        // One that is new is let in as anybody else, whoever has gone for it: it may be somebody's first request.
        self.table.lock(&key, now, |_| State::full(&self.allowance.limit, None, now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        table.lock(key, now).get().unwrap().spend(Flow::Ingest, cost, at);
    }

    fn full_in(table: &Addresses, key: ClientKey, now: Instant) -> u64 {
        table.lock(key, now).get().unwrap().full_in(now).as_secs()
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
        assert_eq!(table.table.len(), 1_600);
    }

    #[test]
    fn full_buckets_go_first_and_whoever_owes_stays() {
        // One part has ten places, more than are looked at for one.
        let (table, now) = (table(160), clock::monotonic());
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

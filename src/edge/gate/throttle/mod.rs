//! Throttling: how much may come in and go out, of whom, in a second, a day or a month.
//!
//! ```text
//!             ┌ principal        rates, quota of a day or month
//!             ├ stream           rates
//! request ─▶ ┼ client address   rates                           ─▶ all have it: a Charge
//!             ├ route            rates                              one has not: a Refusal
//!             └ global           rates
//! ```
//!
//! A rate is a [bucket](crate::runtime::bucket) of requests, records or bytes. Nothing is asked that the configuration
//! does not limit: without limits, all of this is a look at a few fields that are empty.

pub mod account;
pub mod addresses;
pub mod charge;
pub mod fair;
pub mod measure;
pub mod refusal;
pub mod standing;
pub mod subjects;
pub mod table;
pub mod usage;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use self::account::{Account, Moment};
use self::addresses::Addresses;
use self::charge::{AllHeld, Charge, Held};
use self::fair::Fair;
use self::measure::{Cost, Flow, Level};
use self::refusal::Refusal;
use self::standing::{Standing, Standings};
use self::subjects::Source;
use crate::config::checked::{Allowance, Limit, Limits};
use crate::telemetry::metrics::{Registry, ThrottleMetrics};

/// The levels that all requests have in common. Made of `[limits]`, and replaced as a whole.
#[derive(Debug)]
pub struct Levels {
    limits: Limits,
    global: Option<Arc<Account>>,
    routes: HashMap<&'static str, Arc<Account>, foldhash::fast::RandomState>,
    client_addresses: Option<Arc<Addresses>>,
}

/// What outlives all levels.
#[derive(Debug)]
pub struct Throttle {
    /// The levels of the start.
    pub levels: Arc<Levels>,
    /// The principals of the configuration.
    pub standings: Standings,
    /// Who has had how much of a busy server.
    pub fair: Fair,
    /// Refused requests.
    pub metrics: ThrottleMetrics,
}

/// Who asks for what.
#[derive(Debug, Clone, Copy)]
pub struct Asks<'a> {
    /// The account of who has sent it, if they have one.
    pub principal: Option<&'a Held>,
    /// That of the stream, if it is known and has one.
    pub stream: Option<&'a Arc<Account>>,
    /// The client's address, if it has one.
    pub client: Option<IpAddr>,
    /// The label of the route.
    pub route: &'static str,
    /// In which direction records go.
    pub flow: Flow,
}

impl Throttle {
    /// As `[limits]` says.
    pub fn new(limits: &Limits, registry: &Registry) -> Self {
        let metrics = registry.throttle();
        let levels = Arc::new(Levels::new(limits, None, &metrics));
        Self { levels, standings: Standings::new(registry), fair: Fair::default(), metrics }
    }

    /// As `limits` says from now on. What is limited as it was `before` goes on where it is.
    pub fn relimited(&self, limits: &Limits, before: &Levels) -> Levels {
        Levels::new(limits, Some(before), &self.metrics)
    }

    /// What a principal of the configuration has taken, and may.
    pub fn standing(&self, kind: &'static str, name: &Arc<str>, allowance: Allowance) -> Standing {
        self.standings.of(kind, name, allowance, &self.fair)
    }

    /// What subjects of an issuer, or principals of an authorizer, may take.
    pub fn source(&self, kind: &'static str, name: &str, allowance: Allowance) -> Arc<Source> {
        self.standings.subjects.source(kind, name, allowance)
    }

    /// The account of a stream; none if nothing limits it.
    pub fn stream(&self, name: &Arc<str>, limit: Limit) -> Option<Arc<Account>> {
        (!limit.is_empty()).then(|| account_of(Level::Stream(Arc::clone(name)), limit, &self.metrics))
    }
}

impl Levels {
    fn new(limits: &Limits, before: Option<&Self>, metrics: &ThrottleMetrics) -> Self {
        let route = |&(route, limit): &(&'static str, Limit)| {
            let is_same = |before: &&Self| before.limits.routes.contains(&(route, limit));
            let before = before.filter(is_same).and_then(|before| before.routes.get(route).cloned());
            (route, before.unwrap_or_else(|| account_of(Level::Route(route), limit, metrics)))
        };
        let global = match before.filter(|before| before.limits.global == limits.global) {
            Some(before) => before.global.clone(),
            None => {
                let is_limited = !limits.global.is_empty();
                is_limited.then(|| account_of(Level::Global, limits.global, metrics))
            }
        };
        let client_addresses = match before.filter(|it| it.limits.client_address == limits.client_address) {
            Some(before) => before.client_addresses.clone(),
            None => (!limits.client_address.is_empty()).then(|| {
                let refused = metrics.level(&Level::ClientAddress).clone();
                Arc::new(Addresses::new(limits.client_address, refused))
            }),
        };
        Self {
            limits: limits.clone(),
            global,
            routes: limits.routes.iter().map(route).collect(),
            client_addresses,
        }
    }

    /// Takes what the head of a request tells of its cost from all levels, or nothing.
    ///
    /// # Errors
    /// The level that is short of it for longest.
    pub fn enter(&self, asks: &Asks<'_>, cost: Cost) -> Result<Charge, Refusal> {
        let held = self.held(asks);
        let asks_wall = held.iter().flatten().any(Held::asks_wall);
        Charge::take(held, asks.flow, cost, Moment::of_clock(asks_wall))
    }

    fn held(&self, asks: &Asks<'_>) -> AllHeld {
        let counts = |account: &&Arc<Account>| account.counts(asks.flow);
        let account =
            |account: Option<&Arc<Account>>| account.filter(counts).map(|it| Held::Account(Arc::clone(it)));
        let address = self.client_addresses.as_ref().zip(asks.client);
        let address = address
            .filter(|(addresses, _)| !asks.flow.rates(&addresses.allowance().limit).is_empty())
            .map(|(addresses, client)| Held::Address(Arc::clone(addresses), client.into()));
        let route = if self.routes.is_empty() { None } else { self.routes.get(asks.route) };
        [
            asks.principal.filter(|held| held.counts(asks.flow)).cloned(),
            account(asks.stream),
            address,
            account(route),
            account(self.global.as_ref()),
        ]
    }
}

fn account_of(level: Level, limit: Limit, metrics: &ThrottleMetrics) -> Arc<Account> {
    let refused = (metrics.level(&level).clone(), metrics.quota.clone());
    Account::new(level, Allowance { limit, ..Allowance::default() }, refused, Moment::of_clock(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::{Rate, Rates};

    fn limit(a_second: u64) -> Limit {
        let rates = Rates { records: Some(Rate { a_second, burst: a_second }), ..Rates::default() };
        Limit { ingest: rates, ..Limit::default() }
    }

    #[test]
    fn what_is_limited_as_before_goes_on_where_it_is() {
        let limits = |global, route| Limits {
            global,
            client_address: limit(3),
            routes: vec![("records", route), ("event", limit(9))],
        };
        let throttle = Throttle::new(&limits(limit(1), limit(2)), &Registry::new().unwrap());
        let before = &throttle.levels;
        let after = throttle.relimited(&limits(limit(1), limit(7)), before);
        let same = |one: &Option<Arc<Account>>, other: &Option<Arc<Account>>| {
            one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
        };
        assert!(same(&before.global, &after.global));
        let route = |levels: &Levels, name| levels.routes.get(name).cloned();
        assert!(same(&route(before, "event"), &route(&after, "event")));
        assert!(!same(&route(before, "records"), &route(&after, "records")));
        let addresses = |levels: &Levels| levels.client_addresses.clone().unwrap();
        assert!(Arc::ptr_eq(&addresses(before), &addresses(&after)));
        let none = throttle.relimited(&Limits::default(), &after);
        assert!(none.global.is_none() && none.routes.is_empty() && none.client_addresses.is_none());
    }
}

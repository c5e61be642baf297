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

/// The levels that all requests have in common, and what is known of principals.
#[derive(Debug)]
pub struct Throttle {
    global: Option<Arc<Account>>,
    routes: HashMap<&'static str, Arc<Account>, foldhash::fast::RandomState>,
    client_addresses: Option<Arc<Addresses>>,
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
        let some = |limit: &Limit| (!limit.is_empty()).then_some(*limit);
        let account = |level, limit| account_of(level, limit, &metrics);
        let routes = limits.routes.iter().map(|&(route, limit)| (route, account(Level::Route(route), limit)));
        let routes = routes.collect();
        let refused = metrics.level(&Level::ClientAddress);
        let client_addresses = some(&limits.client_address);
        Self {
            global: some(&limits.global).map(|limit| account(Level::Global, limit)),
            routes,
            client_addresses: client_addresses.map(|limit| Arc::new(Addresses::new(limit, refused.clone()))),
            standings: Standings::new(registry),
            fair: Fair::default(),
            metrics,
        }
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

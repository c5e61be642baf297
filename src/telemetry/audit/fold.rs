//! Refusals of one kind within a minute: the first is told, the others are counted.
//!
//! What a client makes up is no part of a kind: neither the credential nor whom it claims to be, nor the stream. Of its
//! address only what one customer of a network has is (a whole IPv4 address, the first half of an IPv6 one). So 100,000
//! wrong keys from one place are two lines a minute; and where there are more than
//! [`AUDIT_KINDS_MAX`] kinds, those that come last are counted together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use super::{Origin, Refused};
use crate::config::limits::{AUDIT_INTERVAL, AUDIT_KINDS_MAX};
use crate::edge::gate::networks::household;
use crate::runtime::clock::UnixMicros;
use crate::telemetry::text::Time;

/// What refusals have in common that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    status: u16,
    reason: &'static str,
    identity: &'static str,
    action: &'static str,
    client: Option<IpAddr>,
    principal: Option<Arc<str>>,
}

impl Kind {
    /// Of a refusal.
    pub fn of(refused: &Refused<'_>, from: &Origin<'_>) -> Self {
        Self {
            status: refused.status,
            reason: refused.reason,
            identity: refused.identity,
            action: refused.action,
            client: from.client.map(household),
            principal: from.who.map(|who| Arc::clone(&who.name)),
        }
    }
}

/// A line about refusals that had none of their own.
#[derive(Debug, Serialize)]
pub(super) struct Again {
    /// When the last of them came.
    time: String,
    event: &'static str,
    action: Option<&'static str>,
    outcome: &'static str,
    reason: Option<&'static str>,
    status: Option<u16>,
    principal: Option<String>,
    identity: Option<&'static str>,
    /// The address, or the network where it is one of IPv6; none of refusals of many kinds.
    client: Option<String>,
    /// How many.
    times: u64,
    /// When they began to be counted.
    since: String,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    times: u64,
    last: UnixMicros,
}

/// What was refused in an interval.
#[derive(Debug, Default)]
pub(super) struct Fold {
    /// When the interval has begun: with its first refusal.
    since: UnixMicros,
    kinds: HashMap<Kind, Count>,
    others: Option<Count>,
}

impl Fold {
    /// Notes a refusal. Returns whether it is the first of its kind, and is told by a line of its own.
    pub fn note(&mut self, kind: Kind, now: UnixMicros) -> bool {
        if self.kinds.is_empty() {
            self.since = now;
        }
        let is_full = self.kinds.len() >= AUDIT_KINDS_MAX;
        let count = match self.kinds.get_mut(&kind) {
            Some(count) => count,
            None if is_full => self.others.get_or_insert(Count { times: 0, last: now }),
            None => {
                self.kinds.insert(kind, Count { times: 0, last: now });
                return true;
            }
        };
        count.times += 1;
        count.last = now;
        false
    }

    /// Ends the interval if it is over: what was counted in it.
    pub fn turn(&mut self, now: UnixMicros) -> Vec<Again> {
        let interval = AUDIT_INTERVAL.as_micros();
        // A clock that was set back ends it as well.
        let age = now.0.abs_diff(self.since.0);
        if self.kinds.is_empty() || u128::from(age) < interval { Vec::new() } else { self.end() }
    }

    /// Ends the interval: what was counted in it.
    pub fn end(&mut self) -> Vec<Again> {
        let since = self.since;
        let again = |kind: Option<&Kind>, count: Count| Again {
            time: Time(count.last).to_string(),
            event: "refused_again",
            action: kind.map(|kind| kind.action),
            outcome: "refused",
            reason: kind.map(|kind| kind.reason),
            status: kind.map(|kind| kind.status),
            principal: kind.and_then(|kind| kind.principal.as_deref().map(str::to_owned)),
            identity: kind.map(|kind| kind.identity),
            client: kind
                .map(|kind| kind.client.map_or_else(|| "unix".to_owned(), |client| client.to_string())),
            times: count.times,
            since: Time(since).to_string(),
        };
        let kinds = self.kinds.drain().filter(|(_, count)| count.times > 0);
        let mut told: Vec<_> = kinds.map(|(kind, count)| again(Some(&kind), count)).collect();
        told.extend(self.others.take().map(|count| again(None, count)));
        told
    }
}

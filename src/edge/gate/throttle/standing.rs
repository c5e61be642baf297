//! What the principals of the configuration have taken. It outlives a change of the configuration.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::account::{Account, Moment};
use super::charge::Held;
use super::fair::{Competitor, Fair};
use super::measure::Level;
use super::subjects::Subjects;
use super::usage::Used;
use crate::config::checked::Allowance;
use crate::runtime::clock::{self, UnixMicros};
use crate::telemetry::metrics::{QuotaMetrics, Registry, ThrottleMetrics};

/// What a principal has taken, and may.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Its buckets and its quota; none if nothing limits it.
    pub account: Option<Held>,
    /// As whom it competes for a busy server; none if nothing is said of its part.
    pub competes: Option<Competitor>,
}

/// What a quota has counted, as it is kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptUsage {
    /// The kind of principal.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The issuer that names it, or the authorizer; none for one of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When the period has begun, in microseconds since 1970.
    pub begins: UnixMicros,
    /// Records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
}

/// How long nothing is kept for each row that was: a thousand rows of 150 bytes a second, which no disk feels.
const KEPT_ROW_PAUSE: Duration = Duration::from_millis(1);

/// A principal's kind and name.
type Key = (&'static str, Arc<str>);

struct Known {
    allowance: Allowance,
    standing: Standing,
    account: Arc<Account>,
    gauges: Option<QuotaMetrics>,
}

/// See the module.
pub struct Standings {
    /// Those whom the configuration does not name.
    pub subjects: Arc<Subjects>,
    known: Mutex<HashMap<Key, Known>>,
    metrics: ThrottleMetrics,
    registry: Registry,
    /// What was kept last.
    kept: Mutex<Vec<KeptUsage>>,
    kept_at: Mutex<Option<Instant>>,
    /// Whether what an earlier process has kept is known: before that nothing is kept over it.
    is_restored: AtomicBool,
}

impl fmt::Debug for Standings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standings").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Standings {
    /// Nobody is known.
    pub fn new(registry: &Registry) -> Self {
        let metrics = registry.throttle();
        let by_rate = metrics.level(&Level::Principal(Arc::default())).clone();
        Self {
            subjects: Arc::new(Subjects::new((by_rate, metrics.quota.clone()))),
            known: Mutex::default(),
            metrics,
            registry: registry.clone(),
            kept: Mutex::default(),
            kept_at: Mutex::default(),
            is_restored: AtomicBool::new(false),
        }
    }

    /// The standing of a principal of the configuration. It goes on where it was, unless its limits are others now; its
    /// quota goes on all the same.
    pub fn of(&self, kind: &'static str, name: &Arc<str>, allowance: Allowance, fair: &Fair) -> Standing {
        let mut known = lock(&self.known);
        let key = (kind, Arc::clone(name));
        if let Some(known) = known.get(&key).filter(|known| known.allowance == allowance) {
            return known.standing.clone();
        }
        let (level, at) = (Level::Principal(Arc::clone(name)), Moment::of_clock(true));
        let refused = self.metrics.level(&level).clone();
        let account = Account::new(level, allowance, (refused, self.metrics.quota.clone()), at);
        let before = known.get(&key).and_then(|before| before.account.usage(at.wall));
        if let Some(usage) = before {
            account.restore(usage.begins(), usage.used(), at.wall);
        }
        let standing = Standing {
            account: (!account.is_unlimited()).then(|| Held::Account(Arc::clone(&account))),
            competes: Some(Competitor::Principal(fair.principal(allowance.weight))),
        };
        let gauges = allowance.quota.is_some().then(|| self.registry.quota(kind, name));
        known.insert(key, Known { allowance, standing: standing.clone(), account, gauges });
        standing
    }

    /// Knows those no more that are not in the configuration any more: of whose kind and name `stays` says so.
    pub fn forget_others(&self, stays: impl Fn(&str, &str) -> bool) {
        lock(&self.known).retain(|(kind, name), _| stays(kind, name));
    }

    /// Goes on with what an earlier process has kept. Who is not in the configuration any more is forgotten.
    pub fn restore(&self, kept: Vec<KeptUsage>) {
        let wall = clock::wall();
        let (of_subjects, named): (Vec<_>, Vec<_>) = kept.iter().partition(|usage| usage.source.is_some());
        of_subjects.into_iter().for_each(|usage| self.subjects.restore(usage, wall));
        let named: HashMap<_, _> =
            named.into_iter().map(|usage| ((usage.kind.as_str(), usage.name.as_str()), usage)).collect();
        for ((kind, name), known) in &*lock(&self.known) {
            if let Some(usage) = named.get(&(*kind, &**name)) {
                let used = Used { records: usage.records, bytes: usage.bytes };
                known.account.restore(usage.begins, used, wall);
            }
        }
        *lock(&self.kept) = kept;
        self.is_restored.store(true, Ordering::Release);
    }

    /// Whether some principal has a quota.
    pub fn have_quotas(&self) -> bool {
        self.subjects.have_quotas() || lock(&self.known).values().any(|known| known.gauges.is_some())
    }

    /// What is to be kept, if it is not what was kept last. To be given to [`Standings::was_kept`] once it is. Unless it
    /// `is_last`, nothing is to be kept too soon after many rows were.
    pub fn to_keep(&self, is_last: bool) -> Option<Vec<KeptUsage>> {
        if !self.is_restored.load(Ordering::Acquire) {
            return None;
        }
        let pause = KEPT_ROW_PAUSE.saturating_mul(u32::try_from(lock(&self.kept).len()).unwrap_or(u32::MAX));
        let now = clock::monotonic();
        let is_soon = |at: Instant| now.saturating_duration_since(at) < pause;
        if !is_last && lock(&self.kept_at).is_some_and(is_soon) {
            return None;
        }
        let mut usages = self.usages();
        usages.sort_by(|one, other| (&one.kind, &one.name).cmp(&(&other.kind, &other.name)));
        (*lock(&self.kept) != usages).then_some(usages)
    }

    /// It is kept.
    pub fn was_kept(&self, usages: Vec<KeptUsage>) {
        *lock(&self.kept_at) = Some(clock::monotonic());
        *lock(&self.kept) = usages;
    }

    fn usages(&self) -> Vec<KeptUsage> {
        let wall = clock::wall();
        let usage = |(key, known): (&Key, &Known)| {
            let usage = known.account.usage(wall)?;
            let Used { records, bytes } = usage.used();
            let (kind, name) = (key.0.to_owned(), key.1.to_string());
            Some(KeptUsage { kind, name, source: None, begins: usage.begins(), records, bytes })
        };
        let mut usages = self.subjects.usages(wall);
        usages.extend(lock(&self.known).iter().filter_map(usage));
        usages
    }

    /// Brings the gauges up to date.
    pub fn refresh_gauges(&self) {
        let wall = clock::wall();
        for known in lock(&self.known).values() {
            let Some((usage, gauges)) = known.account.usage(wall).zip(known.gauges.as_ref()) else {
                continue;
            };
            let (used, quota) = (usage.used(), usage.quota());
            gauges.used_records.set(used.records as f64);
            gauges.used_bytes.set(used.bytes as f64);
            // Without a bound of its own it is unbounded.
            let limit = |limit: Option<u64>| limit.map_or(f64::INFINITY, |limit| limit as f64);
            gauges.limit_records.set(limit(quota.records));
            gauges.limit_bytes.set(limit(quota.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::{Period, Quota};
    use crate::edge::gate::throttle::measure::{Cost, Flow};

    fn allowance(records: u64, period: Period) -> Allowance {
        let quota = Quota { records: Some(records), bytes: None, period };
        Allowance { quota: Some(quota), ..Allowance::default() }
    }

    fn standings() -> (Registry, Standings) {
        let registry = Registry::new().unwrap();
        let standings = Standings::new(&registry);
        (registry, standings)
    }

    fn account(standing: &Standing) -> &Account {
        let Some(Held::Account(account)) = &standing.account else { panic!("{standing:?}") };
        account
    }

    fn spend(standing: &Standing, records: u64) {
        let cost = Cost { requests: 1, records, bytes: 10 * records };
        account(standing).lock().spend(Flow::Ingest, cost, Moment::of_clock(true));
    }

    fn used(standing: &Standing) -> u64 {
        account(standing).usage(clock::wall()).unwrap().used().records
    }

    #[test]
    fn what_was_used_outlives_the_process_and_a_change_of_the_quota() {
        let (fair, name) = (Fair::default(), Arc::from("mobile"));
        let (_, first) = standings();
        first.restore(Vec::new());
        let mobile = first.of("api_key", &name, allowance(100, Period::Month), &fair);
        assert_eq!(first.to_keep(true).map(|kept| kept.len()), Some(1));
        spend(&mobile, 7);
        let kept = first.to_keep(true).unwrap();
        first.was_kept(kept.clone());
        assert_eq!(first.to_keep(true), None, "nothing has changed");

        let (registry, second) = standings();
        let mobile = second.of("api_key", &name, allowance(100, Period::Month), &fair);
        second.of("access_key", &name, allowance(100, Period::Month), &fair);
        spend(&mobile, 1);
        assert_eq!(second.to_keep(true), None, "nothing is kept over what is not known yet");
        second.restore(kept);
        assert_eq!(used(&mobile), 7);
        let again = second.of("api_key", &name, allowance(100, Period::Month), &fair);
        spend(&again, 1);
        assert_eq!(used(&mobile), 8, "the same principal");
        let changed = second.of("api_key", &name, allowance(9, Period::Month), &fair);
        assert_eq!(used(&changed), 8);
        second.refresh_gauges();
        let text = registry.render();
        assert!(
            text.contains("forebay_quota_used_records{kind=\"api_key\",principal=\"mobile\"} 8"),
            "{text}"
        );
        assert!(
            text.contains("forebay_quota_limit_records{kind=\"api_key\",principal=\"mobile\"} 9"),
            "{text}"
        );
    }

    #[test]
    fn who_is_not_limited_has_no_account_and_competes_all_the_same() {
        let (_, standings) = standings();
        let standing = standings.of("api_key", &Arc::from("a"), Allowance::default(), &Fair::default());
        assert!(standing.account.is_none() && standing.competes.is_some());
        assert!(!standings.have_quotas());
    }
}

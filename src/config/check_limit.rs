//! How much may come in and go out: `limit`, `quota` and `weight` of a principal, `[limits]`, and `limit` of
//! `[ingest]`, raw → checked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::checker::Checker;
use super::limits::{LIMIT_MAX, WEIGHT_MAX};
use super::suggest::{listed, nearest};
use crate::edge::route_names;

/// `limit`: what may come in, and by `tap` what may go out.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitTable {
    /// Records that come in a second. Default: any number.
    #[schemars(range(min = 1, max = LIMIT_MAX), example = 100)]
    pub records_per_second: Option<i64>,
    /// Records that may come in at once, after a time in which fewer came. Default: what `records_per_second` brings in
    /// a second.
    #[schemars(range(min = 1, max = LIMIT_MAX), example = 200)]
    pub burst: Option<i64>,
    /// Bytes of bodies that come in a second, decoded. Default: any number.
    #[schemars(example = &"1MiB")]
    pub bytes_per_second: Option<String>,
    /// Bytes that may come in at once. Default: what `bytes_per_second` brings in a second.
    #[schemars(example = &"4MiB")]
    pub burst_bytes: Option<String>,
    /// Requests that come in a second. Default: any number.
    #[schemars(range(min = 1, max = LIMIT_MAX), example = 50)]
    pub requests_per_second: Option<i64>,
    /// Requests that may come in at once. Default: what `requests_per_second` brings in a second.
    #[schemars(range(min = 1, max = LIMIT_MAX), example = 100)]
    pub burst_requests: Option<i64>,
    /// The same for what is read, and for requests that bring no records. Default: no limit.
    pub tap: Option<TapLimitTable>,
}

/// `tap` of a limit.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TapLimitTable {
    /// Records that go out a second. Default: any number.
    #[schemars(range(min = 1, max = LIMIT_MAX), example = 1_000)]
    pub records_per_second: Option<i64>,
    /// Records that may go out at once. Default: what `records_per_second` brings in a second.
    #[schemars(range(min = 1, max = LIMIT_MAX), example = 10_000)]
    pub burst: Option<i64>,
    /// Bytes that go out a second. Default: any number.
    #[schemars(example = &"1MiB")]
    pub bytes_per_second: Option<String>,
    /// Bytes that may go out at once. Default: what `bytes_per_second` brings in a second.
    #[schemars(example = &"4MiB")]
    pub burst_bytes: Option<String>,
    /// Requests a second. Default: any number.
    #[schemars(range(min = 1, max = LIMIT_MAX), example = 10)]
    pub requests_per_second: Option<i64>,
    /// Requests that may come at once. Default: what `requests_per_second` brings in a second.
    #[schemars(range(min = 1, max = LIMIT_MAX), example = 20)]
    pub burst_requests: Option<i64>,
}

/// `quota`: what is kept of a principal in a day or a month.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaTable {
    /// Records. Default: any number.
    #[schemars(range(min = 1), example = 10_000_000)]
    pub records: Option<i64>,
    /// Bytes of bodies, decoded. Default: any number.
    #[schemars(example = &"100GiB")]
    pub bytes: Option<String>,
    /// In a `day` or a `month` of the calendar, in UTC.
    #[schemars(required, extend("enum" = ["day", "month"]), example = &"month")]
    pub period: Option<String>,
}

/// `[limits]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsTable {
    /// Of all requests together.
    pub global: Option<LimitTable>,
    /// Of each client by its address: one of IPv4, or a network of 64 bits of IPv6.
    pub client_address: Option<LimitTable>,
    /// Of all requests of a route together, by the name that the metrics have for it, such as `records`.
    pub route: Option<BTreeMap<String, LimitTable>>,
}

/// A rate at which a bucket fills, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How much comes a second; not zero.
    pub a_second: u64,
    /// How much may come at once; not zero.
    pub burst: u64,
}

/// The rates of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Requests.
    pub requests: Option<Rate>,
    /// Records.
    pub records: Option<Rate>,
    /// Bytes of bodies or answers.
    pub bytes: Option<Rate>,
}

impl Rates {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// Of requests that bring records.
    pub ingest: Rates,
    /// Of all others.
    pub tap: Rates,
}

impl Limit {
    /// Whether it limits nothing.
    pub fn is_empty(&self) -> bool {
        self.ingest.is_empty() && self.tap.is_empty()
    }
}

/// A part of the calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to that of the next one.
    Month,
}

impl Period {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Month => "month",
        }
    }
}

/// `quota`: at least one of them is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Records that are kept.
    pub records: Option<u64>,
    /// Bytes of their bodies.
    pub bytes: Option<u64>,
    /// In which time.
    pub period: Period,
}

/// What a principal may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// At a time.
    pub limit: Limit,
    /// In a period.
    pub quota: Option<Quota>,
    /// How much of a busy server is its fair part, in proportion to those of others; not zero.
    pub weight: u32,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { limit: Limit::default(), quota: None, weight: 1 }
    }
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Of all requests together.
    pub global: Limit,
    /// Of each address.
    pub client_address: Limit,
    /// Of a route, by its name.
    pub routes: Vec<(&'static str, Limit)>,
}

/// The settings of a principal at `path`; `None` where a problem was added.
pub(super) fn check_allowance(
    (limit, quota, weight): (Option<LimitTable>, Option<QuotaTable>, Option<i64>),
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Allowance> {
    let limit = check_limit(limit, &format!("{path}.limit"), checker);
    let quota = match quota {
        Some(quota) => check_quota(quota, &format!("{path}.quota"), checker).map(Some),
        None => Some(None),
    };
    let weight = checker.count(&format!("{path}.weight"), weight, 1, WEIGHT_MAX as usize);
    Some(Allowance { limit: limit?, quota: quota?, weight: u32::try_from(weight?).ok()? })
}

/// `[limits]`; `None` where a problem was added.
pub(super) fn check_limits(raw: LimitsTable, checker: &mut Checker<'_>) -> Option<Limits> {
    let global = check_limit(raw.global, "limits.global", checker);
    let client_address = check_limit(raw.client_address, "limits.client_address", checker);
    let mut routes = Vec::new();
    let mut all_right = true;
    for (name, table) in raw.route.unwrap_or_default() {
        let path = format!("limits.route.{name}");
        let limit = check_limit(Some(table), &path, checker);
        match (route_names().find(|known| *known == name), limit) {
            (Some(route), Some(limit)) => routes.push((route, limit)),
            (Some(_), None) => all_right = false,
            (None, _) => {
                let help = match nearest(&name, route_names()) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("the routes are {}", listed(route_names())),
                };
                checker.problem_with_help(&path, format!("there is no route {name:?}"), help);
                all_right = false;
            }
        }
    }
    all_right.then_some(Limits { global: global?, client_address: client_address?, routes })
}

/// A limit; none where there is no table.
pub(super) fn check_limit(table: Option<LimitTable>, path: &str, checker: &mut Checker<'_>) -> Option<Limit> {
    let Some(table) = table else { return Some(Limit::default()) };
    let tap = table.tap.map(|tap| {
        let ingest = LimitTable {
            records_per_second: tap.records_per_second,
            burst: tap.burst,
            bytes_per_second: tap.bytes_per_second,
            burst_bytes: tap.burst_bytes,
            requests_per_second: tap.requests_per_second,
            burst_requests: tap.burst_requests,
            tap: None,
        };
        check_rates(&ingest, &format!("{path}.tap"), checker)
    });
    let tap = tap.unwrap_or(Some(Rates::default()));
    let table = LimitTable { tap: None, ..table };
    let ingest = check_rates(&table, path, checker);
    let limit = Limit { ingest: ingest?, tap: tap? };
    if limit.is_empty() {
        let help = "write records_per_second = 100, bytes_per_second = \"1MiB\" or requests_per_second = 50";
        checker.problem_with_help(path, "a limit without a rate limits nothing", help);
        return None;
    }
    Some(limit)
}

fn check_rates(table: &LimitTable, path: &str, checker: &mut Checker<'_>) -> Option<Rates> {
    let number = |key: &str, value: Option<i64>, checker: &mut Checker<'_>| match value {
        None => Some(None),
        value => checker
            .count(&format!("{path}.{key}"), value, 1, usize::try_from(LIMIT_MAX).unwrap_or(usize::MAX))
            .map(|count| Some(count as u64)),
    };
    let bytes = |key: &str, text: Option<&str>, checker: &mut Checker<'_>| match text {
        None => Some(None),
        text => checker.size_within(&format!("{path}.{key}"), text, 1, 1..=LIMIT_MAX).map(Some),
    };
    let requests = number("requests_per_second", table.requests_per_second, checker);
    let requests_burst = number("burst_requests", table.burst_requests, checker);
    let records = number("records_per_second", table.records_per_second, checker);
    let records_burst = number("burst", table.burst, checker);
    let size = bytes("bytes_per_second", table.bytes_per_second.as_deref(), checker);
    let size_burst = bytes("burst_bytes", table.burst_bytes.as_deref(), checker);
    Some(Rates {
        requests: rate(
            (requests?, "requests_per_second"),
            (requests_burst?, "burst_requests"),
            path,
            checker,
        )?,
        records: rate((records?, "records_per_second"), (records_burst?, "burst"), path, checker)?,
        bytes: rate((size?, "bytes_per_second"), (size_burst?, "burst_bytes"), path, checker)?,
    })
}

/// A rate, or none; `None` for a burst without one.
fn rate(
    (a_second, rate_key): (Option<u64>, &str),
    (burst, burst_key): (Option<u64>, &str),
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Option<Rate>> {
    match (a_second, burst) {
        (Some(a_second), burst) => Some(Some(Rate { a_second, burst: burst.unwrap_or(a_second) })),
        (None, None) => Some(None),
        (None, Some(_)) => {
            let message = format!("{burst_key} needs the rate at which it comes back: write {rate_key}");
            checker.problem(&format!("{path}.{burst_key}"), message);
            None
        }
    }
}

fn check_quota(table: QuotaTable, path: &str, checker: &mut Checker<'_>) -> Option<Quota> {
    let records = match table.records {
        None => Some(None),
        records => {
            checker.count(&format!("{path}.records"), records, 1, i64::MAX as usize).map(|n| Some(n as u64))
        }
    };
    let bytes = match table.bytes.as_deref() {
        None => Some(None),
        text => checker.size_within(&format!("{path}.bytes"), text, 1, 1..=i64::MAX as u64).map(Some),
    };
    let period_path = format!("{path}.period");
    let period = checker.required(&period_path, table.period, "write period = \"month\" or \"day\"");
    let words = [Period::Day, Period::Month].map(|period| (period.as_str(), period));
    let period = checker.word(&period_path, Some(period?.as_str()), Period::Month, &words);
    let quota = Quota { records: records?, bytes: bytes?, period: period? };
    if quota.records.is_none() && quota.bytes.is_none() {
        checker.problem_with_help(
            path,
            "a quota of nothing",
            "write records = 10_000_000 or bytes = \"100GiB\"",
        );
        return None;
    }
    Some(quota)
}

//! `[cache]` of `forebay.toml`: raw → checked.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::checker::Checker;
use super::limits::{ANSWER_CACHE_BYTES_DEFAULT, ANSWER_CACHE_BYTES_RANGE, ANSWER_CACHE_TTL_MAX};
use super::print_duration;

/// `[cache]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheTable {
    /// How long an answer is given again, at most `1h`. Default: `1s`.
    #[schemars(example = &"1s")]
    pub ttl: Option<String>,
    /// How long a page of records is given again that has all that was asked for, so that new records change nothing of
    /// it: from `ttl` to `1h`. Default: `1m`, or `ttl` where that is more.
    #[schemars(example = &"1m")]
    pub full_pages_ttl: Option<String>,
    /// Bytes of the answers that are kept, besides `memory_budget`: from `1MiB` to `4GiB`. Default: `16MiB`.
    #[schemars(example = &"16MiB")]
    pub max_bytes: Option<String>,
    /// Which answers: of `GET /v1/streams` (`streams`), `/v1/streams/{stream}` (`stream`), `…/shards` (`shards`) and
    /// `…/records` (`records`). Default: all of them.
    #[schemars(extend("examples" = [["records"]]))]
    pub routes: Option<Vec<String>>,
}

/// A cache of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// How long an answer is given again.
    pub ttl: Duration,
    /// The same of a page that new records cannot change; not less than `ttl`.
    pub full_pages_ttl: Duration,
    /// Bytes of all answers that are kept.
    pub bytes_max: u64,
    /// Which answers; at least one kind.
    pub routes: Vec<CachedRoute>,
}

/// A `GET` route whose answers may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CachedRoute {
    /// `/v1/streams`.
    Streams,
    /// `/v1/streams/{stream}`.
    Stream,
    /// `/v1/streams/{stream}/shards`.
    Shards,
    /// `/v1/streams/{stream}/records`.
    Records,
}

impl CachedRoute {
    const WORDS: [(&'static str, CachedRoute); 4] = [
        ("streams", CachedRoute::Streams),
        ("stream", CachedRoute::Stream),
        ("shards", CachedRoute::Shards),
        ("records", CachedRoute::Records),
    ];
}

/// `[cache]`; `Some(None)` where there is none.
pub(super) fn check_cache(table: Option<CacheTable>, checker: &mut Checker<'_>) -> Option<Option<Cache>> {
    let Some(table) = table else { return Some(None) };
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    let ttl = checker.duration_up_to("cache.ttl", table.ttl.as_deref(), second, ANSWER_CACHE_TTL_MAX);
    let ttl = match ttl {
        Some(ttl) if ttl.is_zero() => {
            checker.problem("cache.ttl", "ttl must be longer than zero: without [cache] nothing is kept");
            None
        }
        ttl => ttl,
    };
    let path = "cache.full_pages_ttl";
    let default = minute.max(ttl.unwrap_or_default());
    let text = table.full_pages_ttl.as_deref();
    let full_pages_ttl = checker.duration_up_to(path, text, default, ANSWER_CACHE_TTL_MAX);
    let full_pages_ttl = match (ttl, full_pages_ttl) {
        (Some(ttl), Some(full)) if full < ttl => {
            let (full, ttl) = (print_duration(full), print_duration(ttl));
            checker.problem(path, format!("full_pages_ttl = {full} is less than ttl = {ttl}"));
            None
        }
        (_, full) => full,
    };
    let bytes_max = checker.size_within(
        "cache.max_bytes",
        table.max_bytes.as_deref(),
        ANSWER_CACHE_BYTES_DEFAULT,
        ANSWER_CACHE_BYTES_RANGE,
    );
    let routes = check_routes(table.routes, checker);
    let (ttl, full_pages_ttl, bytes_max, routes) = (ttl?, full_pages_ttl?, bytes_max?, routes?);
    Some(Some(Cache { ttl, full_pages_ttl, bytes_max, routes }))
}

fn check_routes(texts: Option<Vec<String>>, checker: &mut Checker<'_>) -> Option<Vec<CachedRoute>> {
    let Some(texts) = texts else { return Some(CachedRoute::WORDS.map(|(_, route)| route).to_vec()) };
    if texts.is_empty() {
        checker.problem("cache.routes", "routes names none: leave [cache] away to keep no answer");
        return None;
    }
    let mut routes = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let (path, first) = (format!("cache.routes[{index}]"), CachedRoute::Streams);
        let route = checker.word(&path, Some(text), first, &CachedRoute::WORDS)?;
        if !routes.contains(&route) {
            routes.push(route);
        }
    }
    Some(routes)
}

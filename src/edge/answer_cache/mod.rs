//! Answers of `GET` routes that are given again for a while (`[cache]`).
//!
//! ```text
//! gate ─▶ throttle ─▶ key ─▶ kept, and holds? ─▶ yes ─────────────────────────────▶ 200 or 304, with Age
//!                      │      └─ no ─▶ one makes it, the others of the same wait ─▶ kept ─▶ 200 or 304
//!                      └─ none: wait, cursor, worker ─▶ made, and not kept
//! ```
//! Only answers with status 200 are kept. A page at the end of the log is given again for `ttl`, as all others are: it
//! is a page that was right when it was made, and its `next` goes on behind it, so that a reader may see records later and
//! never misses one. A page with all that was asked for cannot change any more, and is given for `full_pages_ttl`, but
//! not once a record of it has gone.

mod flights;
mod key;
mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use self::flights::{Flights, Place};
use self::key::Key;
pub use self::store::Made;
use self::store::{Kept, Store};
use super::gate::Entry;
use super::gate::throttle::charge::Charge;
use super::identity::policy::Action;
use super::identity::principal::IdentityKind;
use super::problem::Problem;
use super::reply::{self, Body};
use super::{Edge, Intake, streams, tagged};
use crate::config::checked::{Cache, CachedRoute};
use crate::runtime::clock;
use crate::tap;
use crate::telemetry::metrics::{AnswerCacheMetrics, Registry};

/// The header of RFC 9211, by which whoever asks sees what the cache has done.
const CACHE_STATUS: &str = "cache-status";
/// What an answer that a client keeps depends on, beside its URL.
const VARY: HeaderValue = HeaderValue::from_static("authorization, x-api-key, origin");

/// See the module.
#[derive(Debug)]
pub struct AnswerCache {
    settings: Cache,
    store: Store,
    flights: Flights,
    metrics: AnswerCacheMetrics,
}

/// How much [`AnswerCache::forget`] has forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Answers.
    pub answers: usize,
    /// Bytes of them.
    pub bytes: u64,
}

/// A request for something that may be kept.
#[derive(Debug)]
pub struct Asked<'a> {
    cache: &'a AnswerCache,
    route: CachedRoute,
    key: Arc<Key>,
    intake: Option<&'a Arc<Intake>>,
    entry: &'a Entry,
    head: &'a Parts,
}

/// What a request may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// What is kept.
    Kept,
    /// What is made for it; that is kept.
    Fresh,
    /// The same, and nobody else is to have it.
    Alone,
}

/// What the cache has done for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Hit,
    Collapsed,
    Miss,
    Refreshed,
}

impl AnswerCache {
    /// As `[cache]` says, with nothing in it.
    pub fn new(settings: &Cache, registry: &Registry) -> Self {
        let store = Store::new(settings.bytes_max);
        let metrics = registry.answer_cache();
        metrics.capacity.set(settings.bytes_max as f64);
        Self { settings: settings.clone(), store, flights: Flights::default(), metrics }
    }

    /// Forgets all answers: the next request for each has it made again.
    pub fn forget(&self) -> Forgotten {
        let (answers, bytes) = self.store.forget();
        Forgotten { answers, bytes }
    }

    /// Brings gauges up to date.
    pub fn refresh_gauges(&self) {
        let (answers, bytes) = self.store.size();
        self.metrics.answers.set(answers as f64);
        self.metrics.bytes.set(bytes as f64);
    }

    /// A request that was let in, if its answer may be kept. `intake` is the stream that its path names.
    pub fn asked<'a>(
        &'a self,
        route: CachedRoute,
        intake: &'a Result<Arc<Intake>, Problem>,
        (entry, head): (&'a Entry, &'a Parts),
    ) -> Option<Asked<'a>> {
        if !self.settings.routes.contains(&route) {
            return None;
        }
        let (intake, stream) = match (route, intake) {
            (CachedRoute::Streams, _) => (None, ""),
            (_, Ok(intake)) => (Some(intake), &**intake.stream.name()),
            (_, Err(_)) => return None,
        };
        let key = Arc::new(Key::of(route, stream, entry, head)?);
        Some(Asked { cache: self, route, key, intake, entry, head })
    }

    fn count(&self, outcome: Outcome) {
        let metrics = &self.metrics;
        let counter = match outcome {
            Outcome::Hit => &metrics.hits,
            Outcome::Collapsed => &metrics.collapsed,
            Outcome::Miss => &metrics.misses,
            Outcome::Refreshed => &metrics.refreshed,
        };
        counter.increment(1);
    }
}

impl Asked<'_> {
    /// Answers it with what is kept, or with what is made and then kept.
    ///
    /// # Errors
    /// Those of whoever makes it.
    pub async fn answer(self, edge: &Edge, charge: &mut Charge) -> Result<Response<Body>, Problem> {
        let wish = self.wish();
        if wish != Wish::Kept {
            return self.make(edge, wish, charge).await;
        }
        if let Some(kept) = self.kept() {
            return Ok(self.give(&kept, Outcome::Hit, charge));
        }
        let flight = match self.cache.flights.join(&self.key) {
            Place::First(flight) => Some(flight),
            Place::Behind(over) => {
                over.cancelled().await;
                if let Some(kept) = self.kept() {
                    return Ok(self.give(&kept, Outcome::Collapsed, charge));
                }
                // It was not kept, or not for long: nobody waits twice.
                None
            }
        };
        let made = self.make(edge, wish, charge).await;
        drop(flight);
        made
    }

    /// What is kept and holds.
    fn kept(&self) -> Option<Arc<Kept>> {
        let (kept, _) = self.cache.store.find(&self.key);
        let stream = self.intake.map(|intake| &*intake.stream);
        kept.filter(|kept| kept.holds(stream, clock::monotonic()))
    }

    async fn make(&self, edge: &Edge, wish: Wish, charge: &mut Charge) -> Result<Response<Body>, Problem> {
        let (cache, outcome) =
            (self.cache, if wish == Wish::Kept { Outcome::Miss } else { Outcome::Refreshed });
        // Before it is made: what changes meanwhile counts.
        let (_, epoch) = cache.store.find(&self.key);
        let layout = self.intake.map(|intake| intake.stream.layout());
        let made = self.made(edge).await?;
        if wish != Wish::Alone {
            let ttl = if made.is_full { cache.settings.full_pages_ttl } else { cache.settings.ttl };
            let of = (&made, layout.as_ref());
            let (kept, gone) = cache.store.keep((&self.key, epoch), of, (clock::monotonic(), ttl));
            cache.metrics.evicted.increment(gone as u64);
            if let Some(kept) = kept {
                return Ok(self.give(&kept, outcome, charge));
            }
        }
        cache.count(outcome);
        let status = if wish == Wish::Kept { "forebay; fwd=miss" } else { "forebay; fwd=request" };
        let tag = tagged::tag_of(&made.text);
        let mut response = self.whole_or_known(&made.text, tag.as_ref(), made.records, charge);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        response.headers_mut().insert(CACHE_STATUS, HeaderValue::from_static(status));
        Ok(response)
    }

    async fn made(&self, edge: &Edge) -> Result<Made, Problem> {
        match (self.route, self.intake) {
            (CachedRoute::Streams, _) => Ok(Made::of_moment(streams::list_text(edge, self.entry)?)),
            (CachedRoute::Stream, Some(intake)) => Ok(Made::of_moment(streams::describe_text(intake))),
            (CachedRoute::Shards, Some(intake)) => Ok(Made::of_moment(streams::shards_text(intake))),
            (CachedRoute::Records, Some(intake)) => tap::page::made(edge, intake, self.head).await,
            (_, None) => Err(Problem::NotFound),
        }
    }

    fn give(&self, kept: &Kept, outcome: Outcome, charge: &mut Charge) -> Response<Body> {
        self.cache.count(outcome);
        let now = clock::monotonic();
        let mut response = self.whole_or_known(&kept.text, Some(&kept.tag), kept.records, charge);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, self.control(kept.ttl));
        headers.insert(header::VARY, VARY);
        if matches!(outcome, Outcome::Hit | Outcome::Collapsed) {
            headers.insert(header::AGE, HeaderValue::from(kept.age(now).as_secs()));
        }
        headers.insert(CACHE_STATUS, status(kept, outcome, now));
        response
    }

    /// The text, or 304 to whoever has it. What is given counts as what any other request is given.
    fn whole_or_known(
        &self,
        text: &bytes::Bytes,
        tag: Option<&HeaderValue>,
        records: Option<u64>,
        charge: &mut Charge,
    ) -> Response<Body> {
        let mut response = if tag.is_some_and(|tag| tagged::is_known(&self.head.headers, tag)) {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            if let Some(records) = records {
                charge.owe(records, text.len() as u64);
            }
            reply::json(StatusCode::OK, text.clone())
        };
        if let Some(tag) = tag {
            response.headers_mut().insert(header::ETAG, tag.clone());
        }
        response
    }

    /// For how long a client may keep it for itself. One that has shown who it is by something that [`VARY`] does not
    /// name might give it to somebody else who uses the same program.
    fn control(&self, ttl: Duration) -> HeaderValue {
        let kind = self.entry.principal.as_ref().map(|principal| principal.kind);
        match kind {
            None
            | Some(
                IdentityKind::ApiKey | IdentityKind::Basic | IdentityKind::Jwt | IdentityKind::SignatureV4,
            ) => HeaderValue::try_from(format!("private, max-age={}", ttl.as_secs())).ok(),
            Some(IdentityKind::ClientCertificate | IdentityKind::Http | IdentityKind::Hmac) => None,
        }
        .unwrap_or_else(|| HeaderValue::from_static("private, no-cache"))
    }

    /// What the request wishes, of those who may have it: making an answer is work, so it takes the right to change the
    /// stream.
    fn wish(&self) -> Wish {
        let wish = wished(&self.head.headers);
        let stream = self.intake.map(|intake| &**intake.stream.name());
        if wish == Wish::Kept || self.entry.may(Action::Admin, stream) { wish } else { Wish::Kept }
    }
}

/// `Cache-Control` of a request (RFC 9111, section 5.2.1).
fn wished(headers: &HeaderMap) -> Wish {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let directives = values.flat_map(|value| value.split(',')).map(str::trim);
    let mut wish = Wish::Kept;
    for directive in directives {
        if directive.eq_ignore_ascii_case("no-store") {
            return Wish::Alone;
        }
        if ["no-cache", "max-age=0"].iter().any(|known| directive.eq_ignore_ascii_case(known)) {
            wish = Wish::Fresh;
        }
    }
    wish
}

fn status(kept: &Kept, outcome: Outcome, now: Instant) -> HeaderValue {
    let left = || kept.ttl.saturating_sub(kept.age(now)).as_secs();
    match outcome {
        Outcome::Hit => HeaderValue::try_from(format!("forebay; hit; ttl={}", left())).ok(),
        Outcome::Collapsed => Some(HeaderValue::from_static("forebay; fwd=miss; collapsed")),
        Outcome::Miss => Some(HeaderValue::from_static("forebay; fwd=miss; stored")),
        Outcome::Refreshed => Some(HeaderValue::from_static("forebay; fwd=request; stored")),
    }
    // Digits and letters always are a value.
    .unwrap_or_else(|| HeaderValue::from_static("forebay; hit"))
}

#[cfg(test)]
mod tests;

//! The HTTP authorizer: a service that is asked who a request is from, and what they may do.
//!
//! ```text
//! identity of the request ─▶ decided before? ─▶ yes
//!                            └─ no ─▶ one asks, the others of the same wait ─▶ answer ─▶ kept for its time
//! ```
//! Whatever is no clear yes lets nobody in: an answer that is late, broken, too long or contradicts itself is a 503, and
//! asked for again a second later.

mod answer;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::CONTENT_TYPE;
use metrics::Counter;
use reqwest::redirect;
use ring::digest::{Context, SHA256};
use serde_json::{Map, Value, json};
use tokio::sync::{OnceCell, Semaphore};

use super::api_key::ApiKeys;
use super::credentials::Digest;
use super::policy::Action;
use super::principal::{Attempt, IdentityKind, Principal};
use crate::config::checked::{self, IdentitySource};
use crate::config::limits::{AUTHORIZER_ANSWER_BYTES_MAX, AUTHORIZER_CALLS_MAX};
use crate::edge::gate::facts::Facts;
use crate::edge::gate::throttle::Throttle;
use crate::edge::gate::throttle::subjects::Source;
use crate::runtime::clock;
use crate::telemetry::metrics::AuthorizerMetrics;
use answer::{Allowed, Answer, Asked};

/// How long it is not asked again where there was no answer.
const FAILURE_TTL: Duration = Duration::from_secs(1);

/// The service of `[authorizer]`, and what it has decided of late.
#[derive(Debug)]
pub struct Authorizer {
    settings: checked::Authorizer,
    http: reqwest::Client,
    calls: Semaphore,
    decided: Mutex<Decisions>,
    metrics: AuthorizerMetrics,
    /// What those may take whom it names, and have.
    source: Arc<Source>,
    /// Whose limits and quotas it may name.
    api_keys: Arc<ApiKeys>,
}

/// A decision, and until when it holds.
#[derive(Debug)]
struct Decision {
    outcome: Outcome,
    until: Instant,
}

#[derive(Debug, Clone)]
enum Outcome {
    Allowed(Arc<Principal>),
    Denied,
    /// It is nobody's, it says.
    Unknown,
    Unavailable,
}

type Cell = Arc<OnceCell<Decision>>;

/// Decisions that are looked at to find room for a new one.
const LOOKS: usize = 8;

/// By what was asked; no more than `cache_size`. Of the oldest few those go first that let nobody in: secrets that somebody
/// makes up drive out no more than an eighth of those that are known.
#[derive(Debug, Default)]
struct Decisions {
    cells: HashMap<Digest, Cell, foldhash::fast::RandomState>,
    order: VecDeque<Digest>,
}

impl Decisions {
    /// The decision about `key`, or the place for one.
    fn cell(&mut self, key: Digest, size: usize, now: Instant) -> Cell {
        if let Some(cell) = self.cells.get_mut(&key) {
            if cell.get().is_some_and(|decision| decision.until <= now) {
                *cell = Cell::default();
            }
            return Arc::clone(cell);
        }
        if self.cells.len() >= size {
            self.make_room(now);
        }
        self.order.push_back(key);
        Arc::clone(self.cells.entry(key).or_default())
    }

    /// Knows none any more; returns how many there were. A call that is under way answers those who wait for it, and is
    /// kept for nobody else.
    fn forget(&mut self) -> usize {
        self.order.clear();
        let known = std::mem::take(&mut self.cells);
        known.values().filter(|cell| cell.initialized()).count()
    }
}

impl Decisions {
    fn make_room(&mut self, now: Instant) {
        for look in 1..=LOOKS {
            let Some(oldest) = self.order.pop_front() else { return };
            let decision = self.cells.get(&oldest).and_then(|cell| cell.get());
            let lets_in = |it: &Decision| it.until > now && matches!(it.outcome, Outcome::Allowed(_));
            if look < LOOKS && decision.is_some_and(lets_in) {
                self.order.push_back(oldest);
                continue;
            }
            self.cells.remove(&oldest);
            return;
        }
    }
}

impl Authorizer {
    /// As the configuration has it. What those have taken so far whom it names is known to `throttle`, and it may name one
    /// of `api_keys` whose limits and quota are theirs.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub fn new(
        settings: &checked::Authorizer,
        (throttle, api_keys): (&Throttle, Arc<ApiKeys>),
        metrics: AuthorizerMetrics,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().redirect(redirect::Policy::none()).timeout(settings.timeout);
        Ok(Self {
            settings: settings.clone(),
            http: http.build()?,
            calls: Semaphore::new(AUTHORIZER_CALLS_MAX),
            decided: Mutex::default(),
            metrics,
            source: throttle.source(
                IdentityKind::Http.as_str(),
                checked::Authorizer::NAME,
                settings.allowance,
            ),
            api_keys,
        })
    }

    /// Who it says that a request is from. One that does not show all of `identity` is not asked about.
    pub async fn identify(&self, facts: &Facts<'_>, action: Action) -> Attempt {
        let Some(shown) = self.shown(facts) else { return Attempt::Absent };
        let key = key(&shown, facts, action);
        let cell = {
            let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
            decided.cell(key, self.settings.cache_size, clock::monotonic())
        };
        let decision = match cell.get() {
            Some(decision) => {
                self.metrics.cached.increment(1);
                decision
            }
            // Where the one who asks goes away, another of those who wait asks. Most requests do not come so far: what it
            // takes stays out of theirs.
            None => Box::pin(cell.get_or_init(|| self.decide(&shown, facts, action))).await,
        };
        match &decision.outcome {
            Outcome::Allowed(principal) => Attempt::Is(Arc::clone(principal)),
            Outcome::Denied => Attempt::Denied("the authorizer does not allow it"),
            Outcome::Unknown => Attempt::Wrong("the authorizer does not know who has sent this".into()),
            Outcome::Unavailable => Attempt::Unavailable("the authorizer gives no answer"),
        }
    }

    /// Forgets what was decided: the next request of each has it asked again. Returns how many decisions there were.
    pub fn forget(&self) -> usize {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).forget()
    }

    /// Whether it is told a parameter of the query of that name.
    pub fn is_told_parameter(&self, name: &str) -> bool {
        self.settings
            .identity
            .iter()
            .any(|source| matches!(source, IdentitySource::Query(known) if known == name))
    }

    /// What the request shows of its sender, with where each part stands. A header that comes twice shows nothing.
    fn shown(&self, facts: &Facts<'_>) -> Option<Vec<(String, String)>> {
        let value = |source: &IdentitySource| match source {
            IdentitySource::Header(name) => {
                let mut values = facts.head.headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (Some(value), None) => value.to_str().ok().map(str::to_owned),
                    _ => None,
                }
            }
            IdentitySource::Query(name) => {
                let query = facts.head.uri.query().unwrap_or_default().as_bytes();
                let mut found = url::form_urlencoded::parse(query).filter(|(key, _)| key == name);
                match (found.next(), found.next()) {
                    (Some((_, value)), None) => Some(value.into_owned()),
                    _ => None,
                }
            }
        };
        let shown = self.settings.identity.iter().map(|source| Some((source.to_string(), value(source)?)));
        shown.collect()
    }

    async fn decide(&self, shown: &[(String, String)], facts: &Facts<'_>, action: Action) -> Decision {
        let asked = tokio::time::timeout(self.settings.timeout, self.ask(shown, facts, action)).await;
        let (outcome, ttl) = match asked.unwrap_or(Err("it has not answered in time".to_owned())) {
            Ok((outcome, ttl)) => {
                (outcome, ttl.unwrap_or(self.settings.cache_ttl).min(self.settings.cache_ttl))
            }
            Err(why) => {
                tracing::warn!(%why, "the authorizer gives no answer: requests are refused");
                (Outcome::Unavailable, FAILURE_TTL)
            }
        };
        self.count(&outcome).increment(1);
        Decision { outcome, until: clock::monotonic() + ttl }
    }

    fn count(&self, outcome: &Outcome) -> &Counter {
        match outcome {
            Outcome::Allowed(_) => &self.metrics.allowed,
            Outcome::Denied | Outcome::Unknown => &self.metrics.denied,
            Outcome::Unavailable => &self.metrics.unavailable,
        }
    }

    async fn ask(
        &self,
        shown: &[(String, String)],
        facts: &Facts<'_>,
        action: Action,
    ) -> Result<(Outcome, Option<Duration>), String> {
        let _place = self.calls.acquire().await.map_err(|error| error.to_string())?;
        let arn = arn(facts);
        let mut call = self.http.post(self.settings.url.clone()).header(CONTENT_TYPE, "application/json");
        for (name, value) in &self.settings.headers {
            call = call.header(name, value);
        }
        let broken = |error: reqwest::Error| error.without_url().to_string();
        let mut response = call.body(question(shown, facts, action, &arn)).send().await.map_err(broken)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Ok((Outcome::Unknown, None)),
            StatusCode::FORBIDDEN => return Ok((Outcome::Denied, None)),
            status => return Err(format!("it answers {status}")),
        }
        let mut text = Vec::new();
        while let Some(part) = response.chunk().await.map_err(broken)? {
            if text.len() + part.len() > AUTHORIZER_ANSWER_BYTES_MAX {
                return Err(format!("its answer has more than {AUTHORIZER_ANSWER_BYTES_MAX} bytes"));
            }
            text.extend_from_slice(&part);
        }
        let answer = Answer::read(&text, Asked { action, stream: facts.stream, arn: &arn })?;
        let outcome = match answer.allowed {
            None => Outcome::Denied,
            Some(allowed) => Outcome::Allowed(Arc::new(self.principal(allowed)?)),
        };
        Ok((outcome, answer.ttl))
    }

    fn principal(&self, allowed: Allowed) -> Result<Principal, String> {
        let Allowed { name, policy, usage_key, attributes } = allowed;
        let name: Arc<str> = name.as_deref().unwrap_or(checked::Authorizer::NAME).into();
        let standing = match usage_key {
            None => self.source.standing(&name),
            // Without its plan somebody would come in who is not limited as the service wants it.
            Some(key) => match self.api_keys.owner(&key) {
                Some(owner) => owner.standing.clone(),
                None => return Err("the usageIdentifierKey of its answer is no API key".to_owned()),
            },
        };
        Ok(Principal { name, kind: IdentityKind::Http, policy, standing, attributes })
    }
}

/// Method and path as policies of API gateways name them; the query is no part of it.
fn arn(facts: &Facts<'_>) -> String {
    let (method, path) = (facts.head.method.as_str(), facts.head.uri.path());
    format!("arn:aws:execute-api:us-east-1:000000000000:forebay/$default/{method}{path}")
}

fn question(shown: &[(String, String)], facts: &Facts<'_>, action: Action, arn: &str) -> String {
    let shown: Map<String, Value> = shown.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let question = json!({
        "type": "REQUEST",
        "methodArn": arn,
        "method": facts.head.method.as_str(),
        "path": facts.head.uri.path(),
        "route": facts.route,
        "action": action.as_str(),
        "stream": facts.stream,
        "client": facts.client,
        "identity": shown,
    });
    question.to_string()
}

/// What a decision is about: who asks, and for what. Each part stands behind its length, so that no two are the same.
fn key(shown: &[(String, String)], facts: &Facts<'_>, action: Action) -> Digest {
    let mut hash = Context::new(&SHA256);
    let of_request = [action.as_str(), facts.head.method.as_str(), facts.head.uri.path()];
    for part in of_request.into_iter().chain(shown.iter().map(|(_, value)| value.as_str())) {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut key = Digest::default();
    key.copy_from_slice(hash.finish().as_ref());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_decisions_are_kept_than_there_may_be_and_the_oldest_goes() {
        let (mut decisions, now) = (Decisions::default(), clock::monotonic());
        for number in 0..100_000_u32 {
            let mut key = Digest::default();
            key[..4].copy_from_slice(&number.to_le_bytes());
            let cell = decisions.cell(key, 10, now);
            assert!(Arc::ptr_eq(&cell, &decisions.cell(key, 10, now)));
            assert!(decisions.cells.len() <= 10 && decisions.order.len() == decisions.cells.len());
        }
        assert!(!decisions.cells.contains_key(&Digest::default()));
    }

    #[test]
    fn secrets_that_are_made_up_do_not_drive_out_those_that_are_known() {
        let (mut decisions, now) = (Decisions::default(), clock::monotonic());
        let until = now + Duration::from_secs(60);
        let key = |number: u32| {
            let mut key = Digest::default();
            key[..4].copy_from_slice(&number.to_le_bytes());
            key
        };
        let anna = Arc::new(Principal {
            name: "anna".into(),
            kind: IdentityKind::Http,
            policy: Default::default(),
            standing: Default::default(),
            attributes: None,
        });
        for number in 0..100 {
            let outcome = Outcome::Allowed(Arc::clone(&anna));
            decisions.cell(key(number), 100, now).set(Decision { outcome, until }).unwrap();
        }
        for number in 100..100_000 {
            let outcome = Outcome::Unknown;
            decisions.cell(key(number), 100, now).set(Decision { outcome, until }).unwrap();
        }
        let known = (0..100).filter(|number| decisions.cells.contains_key(&key(*number))).count();
        assert!(known >= 80, "{known}");
        assert_eq!((decisions.cells.len(), decisions.order.len()), (100, 100));
    }

    #[test]
    fn a_decision_holds_until_its_time_is_over() {
        let (mut decisions, now) = (Decisions::default(), clock::monotonic());
        let key = Digest::default();
        let until = now + Duration::from_secs(60);
        let cell = decisions.cell(key, 10, now);
        cell.set(Decision { outcome: Outcome::Denied, until }).unwrap();
        assert!(decisions.cell(key, 10, until - Duration::from_nanos(1)).initialized());
        assert!(!decisions.cell(key, 10, until).initialized());
        assert_eq!(decisions.order.len(), 1);
    }

    #[test]
    fn what_is_forgotten_is_asked_again_and_a_call_under_way_is_kept_for_nobody() {
        let (mut decisions, now) = (Decisions::default(), clock::monotonic());
        let [known, asked] = [[1; 32], [2; 32]];
        let until = now + Duration::from_secs(60);
        decisions.cell(known, 10, now).set(Decision { outcome: Outcome::Denied, until }).unwrap();
        let under_way = decisions.cell(asked, 10, now);
        assert_eq!(decisions.forget(), 1);
        under_way.set(Decision { outcome: Outcome::Denied, until }).unwrap();
        for key in [known, asked] {
            assert!(!decisions.cell(key, 10, now).initialized());
        }
        assert_eq!(decisions.order.len(), 2);
    }
}

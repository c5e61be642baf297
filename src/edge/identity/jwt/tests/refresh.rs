//! Keys that are fetched: by a clock that stands still, and an issuer of the test.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::json;
use tokio::time::{advance, sleep};

use super::super::algorithm::Algorithm;
use super::super::fetch::{FetchError, Source};
use super::super::key_set::{KeySet, Skipped};
use super::super::refresh::{FetchedKeys, Keeping};
use super::sign::{ED25519_X, P256_X, P256_Y};
use super::*;
use crate::config::limits::{JWT_KEYS_WAIT_MAX, JWT_UNKNOWN_KEY_PAUSE};
use crate::runtime::tasks::Tasks;

const MINUTE: Duration = Duration::from_secs(60);

/// Answers what it is told to, the last answer again and again.
#[derive(Debug, Clone, Default)]
struct Answers(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    answers: VecDeque<Option<String>>,
    delay: Duration,
    calls: u32,
}

impl Answers {
    fn of(answers: &[Option<&str>]) -> Self {
        let answers = answers.iter().map(|answer| answer.map(str::to_owned)).collect();
        Self(Arc::new(Mutex::new(Told { answers, ..Told::default() })))
    }

    fn next(&self, answer: Option<&str>) {
        let mut told = self.0.lock().unwrap();
        told.answers = [answer.map(str::to_owned)].into();
    }

    fn calls(&self) -> u32 {
        self.0.lock().unwrap().calls
    }
}

impl Source for Answers {
    async fn fetch(&self) -> Result<(KeySet, Option<Skipped>), FetchError> {
        let (answer, delay) = {
            let mut told = self.0.lock().unwrap();
            told.calls += 1;
            let answer = match told.answers.len() {
                0 | 1 => told.answers.front().cloned().flatten(),
                _ => told.answers.pop_front().flatten(),
            };
            (answer, told.delay)
        };
        sleep(delay).await;
        let answer = answer.ok_or_else(|| FetchError::Broken("nobody is there".to_owned()))?;
        Ok(KeySet::read(answer.as_bytes())?)
    }
}

fn set(id: &str) -> String {
    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "kid": id }] }).to_string()
}

/// Keys that are fetched every ten minutes, and believed for an hour longer.
fn keep(answers: &Answers) -> (Arc<FetchedKeys>, Registry) {
    let registry = Registry::new().unwrap();
    let keeping = Keeping { issuer: "i".to_owned(), refresh: 10 * MINUTE, grace: 60 * MINUTE };
    let keys = Arc::new(FetchedKeys::new(keeping, registry.jwt_keys("i")));
    Tasks::new().spawn(Arc::clone(&keys).run(answers.clone()));
    (keys, registry)
}

fn has(keys: &FetchedKeys, id: &str) -> bool {
    keys.current().is_ok_and(|keys| keys.candidates(Some(id), Algorithm::EdDsa).count() == 1)
}

#[tokio::test(start_paused = true)]
async fn the_first_token_waits_for_the_first_keys() {
    let answers = Answers::of(&[Some(&set("a"))]);
    answers.0.lock().unwrap().delay = Duration::from_secs(1);
    let (keys, _) = keep(&answers);
    assert_eq!(keys.current().unwrap_err(), Refusal::NoKeys);
    assert!(keys.news().await);
    assert!(has(&keys, "a"));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_a_few_seconds() {
    let answers = Answers::of(&[Some(&set("a"))]);
    answers.0.lock().unwrap().delay = 2 * JWT_KEYS_WAIT_MAX;
    let (keys, _) = keep(&answers);
    let started = clock::monotonic();
    assert!(!keys.news().await);
    let waited = clock::monotonic().duration_since(started);
    // The runtime's clock counts in milliseconds.
    assert!(waited >= JWT_KEYS_WAIT_MAX && waited.as_secs() == JWT_KEYS_WAIT_MAX.as_secs(), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_again_and_again() {
    let answers = Answers::of(&[Some(&set("a")), Some(&set("a")), Some(&set("b"))]);
    let (keys, registry) = keep(&answers);
    assert!(keys.news().await);
    let first = keys.current().unwrap().number;
    sleep(11 * MINUTE).await;
    assert_eq!(keys.current().unwrap().number, first, "they are the same");
    assert!(keys.is_current(first));
    sleep(10 * MINUTE).await;
    assert!(has(&keys, "b") && !has(&keys, "a"));
    assert!(!keys.is_current(first), "what was verified with the old ones holds no more");
    assert_eq!(answers.calls(), 3);
    keys.refresh_gauges();
    let text = registry.render();
    assert!(text.contains("forebay_jwt_key_refreshes_total{issuer=\"i\",outcome=\"ok\"} 3"), "{text}");
    assert!(text.contains("forebay_jwt_keys{issuer=\"i\"} 1"), "{text}");
    assert!(text.contains("forebay_jwt_keys_age_seconds{issuer=\"i\"} 60"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_knows_has_keys_fetched_at_once() {
    let answers = Answers::of(&[Some(&set("a"))]);
    let (keys, _) = keep(&answers);
    assert!(keys.news().await);
    answers.next(Some(&set("b")));
    assert!(!has(&keys, "b"));
    assert!(keys.news().await);
    assert!(has(&keys, "b"));
    assert_eq!(answers.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn however_many_keys_nobody_knows_an_issuer_is_asked_once_in_a_while() {
    let answers = Answers::of(&[Some(&set("a"))]);
    let (keys, _) = keep(&answers);
    assert!(keys.news().await);
    answers.0.lock().unwrap().delay = Duration::from_secs(1);
    let waiting: Vec<_> = (0..1_000).map(|_| keys.news()).collect();
    let news = futures_util::future::join_all(waiting).await;
    assert!(news.iter().all(|&news| news), "all of them wait for the same answer");
    assert_eq!(answers.calls(), 2);
    for _ in 0..1_000 {
        assert!(!keys.news().await, "there was an answer just now");
    }
    assert_eq!(answers.calls(), 2);
    advance(JWT_UNKNOWN_KEY_PAUSE).await;
    assert!(keys.news().await);
    assert_eq!(answers.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_stay_for_the_grace_while_their_issuer_is_gone_and_no_longer() {
    let answers = Answers::of(&[Some(&set("a"))]);
    let (keys, registry) = keep(&answers);
    assert!(keys.news().await);
    let number = keys.current().unwrap().number;
    answers.next(None);
    sleep(70 * MINUTE - Duration::from_secs(1)).await;
    assert!(has(&keys, "a") && keys.is_current(number));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(keys.current().unwrap_err(), Refusal::NoKeys);
    assert!(!keys.is_current(number), "what is in the cache holds no more");
    assert!(registry.render().contains("outcome=\"unreachable\""));
    answers.next(Some(&set("a")));
    sleep(MINUTE).await;
    assert!(has(&keys, "a") && keys.is_current(number));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_gone_is_asked_a_few_times_a_minute() {
    let answers = Answers::of(&[None]);
    let (keys, _) = keep(&answers);
    sleep(10 * MINUTE).await;
    let calls = answers.calls();
    assert!((60..=130).contains(&calls), "{calls}");
    assert_eq!(keys.current().unwrap_err(), Refusal::NoKeys);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_set_of_keys_changes_nothing() {
    let p256 = json!({ "kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y, "kid": "a" });
    for wrong in ["<html>", "{}", "{\"keys\":7}"] {
        let answers = Answers::of(&[Some(&set("a")), Some(wrong)]);
        let (keys, registry) = keep(&answers);
        assert!(keys.news().await && keys.news().await);
        assert!(has(&keys, "a"), "{wrong}");
        assert!(registry.render().contains("{issuer=\"i\",outcome=\"invalid\"} 1"));
    }
    // One that is a set does: also the empty one, by which an issuer takes back all of its keys.
    for other in [json!({ "keys": [] }), json!({ "keys": [p256] })] {
        let answers = Answers::of(&[Some(&set("a")), Some(&other.to_string())]);
        let (keys, _) = keep(&answers);
        assert!(keys.news().await && keys.news().await);
        assert!(!has(&keys, "a"), "{other}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_forgotten_are_fetched_at_once_and_hold_no_more_until_then() {
    let answers = Answers::of(&[Some(&set("a"))]);
    let (keys, _) = keep(&answers);
    assert!(keys.news().await);
    let number = keys.current().unwrap().number;
    answers.next(Some(&set("b")));
    assert_eq!(keys.forget(), 1);
    assert_eq!(keys.current().unwrap_err(), Refusal::NoKeys);
    assert!(!keys.is_current(number));
    assert!(keys.news().await, "also right behind another wait");
    assert!(has(&keys, "b") && !has(&keys, "a"));
    assert_eq!(answers.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_began_before_keys_were_forgotten_brings_none() {
    let answers = Answers::of(&[Some(&set("old")), Some(&set("new"))]);
    answers.0.lock().unwrap().delay = Duration::from_secs(1);
    let (keys, _) = keep(&answers);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(keys.forget(), 0);
    sleep(Duration::from_millis(700)).await;
    assert_eq!(keys.current().unwrap_err(), Refusal::NoKeys, "the first has ended, the second has not");
    assert_eq!(answers.calls(), 2);
    assert!(keys.news().await);
    assert!(has(&keys, "new") && !has(&keys, "old"));
}

//! Tokens that were verified before.

use serde_json::json;

use super::super::cache::{Cache, Entry};
use super::super::claims::Validity;
use super::*;
use crate::config::limits::{JWT_CACHE_BYTES, JWT_CACHE_ENTRIES, JWT_CACHE_SHARDS};
use crate::edge::identity::credentials::sha256;

#[test]
fn a_token_is_remembered_while_it_is_valid() {
    let jwt = with_secret();
    let token = secret_token(json!({ "nbf": NOW_SECONDS }));
    assert!(!remembered(&jwt, &token, NOW));
    verify(&jwt, &token, NOW).unwrap();
    assert!(remembered(&jwt, &token, NOW));
    assert!(remembered(&jwt, &token, at(659)));
    assert!(!remembered(&jwt, &token, at(660)), "it has expired");
    assert!(!remembered(&jwt, &token, NOW), "it was forgotten");
}

#[test]
fn a_step_of_the_clock_back_before_a_token_begins_forgets_it() {
    let jwt = with_secret();
    let token = secret_token(json!({ "nbf": NOW_SECONDS }));
    verify(&jwt, &token, NOW).unwrap();
    assert!(!remembered(&jwt, &token, at(-61)));
    assert_eq!(verify(&jwt, &token, at(-61)).unwrap_err(), Refusal::NotYetValid);
    assert!(verify(&jwt, &token, NOW).is_ok(), "the clock is right again");
}

#[test]
fn a_token_that_was_refused_is_not_remembered() {
    let jwt = with_secret();
    let token = secret_token(json!({ "aud": "x" }));
    verify(&jwt, &token, NOW).unwrap_err();
    assert!(!remembered(&jwt, &token, NOW));
}

const ALWAYS: Validity = Validity { begins: UnixMicros(i64::MIN), ends: UnixMicros(i64::MAX) };

fn fill(cache: &Cache<()>, count: usize, bytes: usize) {
    for index in 0..count {
        let entry = Entry { value: Arc::new(()), validity: ALWAYS, keys: 0, bytes };
        cache.keep(sha256(&index.to_le_bytes()), entry);
    }
}

#[test]
fn no_more_tokens_are_remembered_than_there_is_room_for() {
    let cache = Cache::default();
    fill(&cache, 2 * JWT_CACHE_ENTRIES, 0);
    assert!(cache.len() <= JWT_CACHE_ENTRIES, "{}", cache.len());
    assert!(cache.len() > JWT_CACHE_ENTRIES / 3, "{}", cache.len());
    let cache = Cache::default();
    let bytes = 8 << 10;
    fill(&cache, 2 * JWT_CACHE_ENTRIES, bytes);
    assert!(cache.len() * bytes <= JWT_CACHE_BYTES, "{}", cache.len());
    assert!(cache.len() >= JWT_CACHE_SHARDS, "{}", cache.len());
}

#[test]
fn a_token_that_is_used_stays() {
    let cache = Cache::default();
    let used = sha256(b"used");
    cache.keep(used, Entry { value: Arc::new(()), validity: ALWAYS, keys: 0, bytes: 0 });
    for index in 0..4 * JWT_CACHE_ENTRIES {
        let entry = Entry { value: Arc::new(()), validity: ALWAYS, keys: 0, bytes: 0 };
        cache.keep(sha256(&index.to_le_bytes()), entry);
        if index % 100 == 0 {
            assert!(cache.get(&used).is_some(), "{index}");
        }
    }
    cache.forget(&used);
    assert!(cache.get(&used).is_none());
}

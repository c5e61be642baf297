use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig};

use super::*;

fn client(store: &FaultyStore) -> AmazonS3 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sink = store.sink("").unwrap();
    let mut builder = AmazonS3Builder::new()
        .with_url(sink.url.as_str())
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    for (key, value) in &sink.options {
        builder = builder.with_config(key.parse().unwrap(), value);
    }
    builder.build().unwrap()
}

#[tokio::test]
async fn what_was_stored_is_listed_and_read_back_whole_and_in_part() {
    let store = FaultyStore::start().unwrap();
    let client = client(&store);
    for key in ["a/1", "a/b/2", "a/c&d/3", "b/4"] {
        client.put(&Path::from(key), "0123456789".into()).await.unwrap();
    }
    let list = client.list_with_delimiter(Some(&Path::from("a"))).await.unwrap();
    let keys = |paths: Vec<Path>| paths.into_iter().map(String::from).collect::<Vec<_>>();
    assert_eq!(keys(list.objects.into_iter().map(|object| object.location).collect()), ["a/1"]);
    assert_eq!(keys(list.common_prefixes), ["a/b", "a/c&d"]);
    let one = Path::from("a/1");
    assert_eq!(client.get(&one).await.unwrap().bytes().await.unwrap(), "0123456789");
    assert_eq!(client.get_range(&one, 2..5).await.unwrap(), "234");
    assert_eq!(client.get_range(&one, 8..20).await.unwrap(), "89");
    assert!(client.head(&Path::from("nothing")).await.is_err());
}

#[tokio::test]
async fn a_condition_is_kept_or_ignored_or_refused() {
    let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    for conditions in [Conditions::Kept, Conditions::Ignored, Conditions::Refused] {
        let store = FaultyStore::start_with(conditions, 0).unwrap();
        store.plant("a", "old", &[]);
        let result = client(&store).put_opts(&Path::from("a"), "new".into(), create()).await;
        let now = store.object("a").unwrap();
        match conditions {
            Conditions::Kept => {
                assert!(matches!(result, Err(object_store::Error::AlreadyExists { .. })), "{result:?}");
            }
            Conditions::Ignored => assert_eq!((now.bytes, now.writes), ("new".into(), 2)),
            Conditions::Refused => {
                assert!(result.is_err());
                assert_eq!(now.bytes, "old");
            }
        }
    }
}

#[tokio::test]
async fn a_rule_strikes_when_it_was_told_to() {
    let store = FaultyStore::start().unwrap();
    let client = client(&store);
    let put = async |key: &str| client.put(&Path::from(key), "x".into()).await.is_ok();
    store.rule(Rule::new(Operation::Put, Fault::SLOW_DOWN).after(1).times(2));
    let results = [put("1").await, put("2").await, put("3").await, put("4").await];
    assert_eq!(results, [true, false, false, true]);
    store.rule(Rule::new(Operation::Put, Fault::Drop).once_done());
    assert!(!put("lost").await && store.object("lost").is_some());
    store.rule(Rule::any(Fault::Drop).always());
    assert!(!put("down").await && !put("down").await && store.object("down").is_none());
    store.heal();
    assert!(put("up").await);
    store.rule(Rule::new(Operation::Put, Fault::Late));
    assert!(!put("late").await && store.object("late").is_none());
    assert_eq!(store.release(), [200]);
    assert!(store.object("late").is_some());
    let statuses: Vec<_> = store.requests().iter().map(|request| request.status).collect();
    let (ok, slow, none) = (Some(200), Some(503), None);
    assert_eq!(statuses, [ok, slow, slow, ok, none, none, none, ok, none]);
}

#[tokio::test]
async fn random_rules_strike_about_as_often_as_told_and_alike_for_a_seed() {
    let strikes = |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rule = Rule::any(Fault::Drop).always().in_thousand(250);
        (0..4_000).map(|_| rule.strikes(Operation::Put, &mut random)).collect::<Vec<_>>()
    };
    let count = strikes(1).into_iter().filter(|&struck| struck).count();
    assert!((800..1_200).contains(&count), "{count}");
    assert_eq!(strikes(2), strikes(2));
}

#[test]
fn a_store_with_a_stalled_request_ends_when_it_is_dropped() {
    let store = FaultyStore::start().unwrap();
    store.rule(Rule::any(Fault::Stall).always());
    let client = client(&store);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let stalled = runtime.spawn(async move { client.put(&Path::from("a"), "x".into()).await.is_err() });
    while store.requests().is_empty() {
        std::thread::yield_now();
    }
    drop(store);
    assert!(runtime.block_on(stalled).unwrap());
}

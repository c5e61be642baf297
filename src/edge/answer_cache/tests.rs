use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::advance;

use super::*;
use crate::config::checked::{Access, SignatureRule};
use crate::edge::gate::facts::Facts;
use crate::edge::listen::socket::Peer;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::tap::page::tests::{append, batch, edge};

const TTL: Duration = Duration::from_secs(10);
const FULL: Duration = Duration::from_secs(600);

fn caching_edge() -> (Edge, Registry) {
    let registry = Registry::new().unwrap();
    let routes = vec![CachedRoute::Streams, CachedRoute::Stream, CachedRoute::Shards, CachedRoute::Records];
    let settings = Cache { ttl: TTL, full_pages_ttl: FULL, bytes_max: 1 << 20, routes };
    (edge(1, 4 << 20).caching(Some(&settings), &registry), registry)
}

/// What is told, and the headers that say so.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    status: u16,
    cache: String,
    age: Option<u64>,
    tag: String,
    control: String,
    body: Value,
}

/// Asks for `path` of the stream; `None` where the cache has nothing to do with it.
async fn ask(edge: &Edge, path: &str, headers: &[(&str, &str)]) -> Option<Told> {
    let mut request = Request::get(format!("/v1/streams/s{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let (peer, action, stream) = (Peer::default(), Some(Action::Tap), Some("s"));
    let facts =
        Facts { head: &head, peer: &peer, client: None, route: "records", action, stream, visit: None };
    let entry = edge.gate().enter(&facts).await.unwrap();
    let intake = edge.intake("s");
    let route = match head.uri.path() {
        "/v1/streams/s/records" => CachedRoute::Records,
        "/v1/streams/s/shards" => CachedRoute::Shards,
        _ => CachedRoute::Stream,
    };
    let asked = edge.answer_cache.as_ref().unwrap().asked(route, &intake, (&entry, &head))?;
    let response = asked.answer(edge, &mut Charge::free()).await.unwrap();
    let text = |name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let (cache, tag, control) = (text("cache-status"), text("etag"), text("cache-control"));
    let (status, age) = (response.status().as_u16(), text("age").parse().ok());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Some(Told { status, cache, age, tag, control, body: serde_json::from_slice(&body).unwrap_or_default() })
}

async fn told(edge: &Edge, path: &str) -> Told {
    ask(edge, path, &[]).await.unwrap()
}

fn put(edge: &Edge, records: usize) {
    let stream = &edge.intake("s").unwrap().stream;
    append(stream, vec![(ShardId(0), batch(&vec![(&b"1"[..], &b""[..], false); records]))]);
}

fn records(told: &Told) -> usize {
    told.body["records"].as_array().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_page_at_the_end_of_the_log_is_given_again_for_its_time_and_nothing_is_missed_behind_it() {
    let (edge, registry) = caching_edge();
    put(&edge, 3);
    let path = "/records?from=earliest";
    let first = told(&edge, path).await;
    assert_eq!((first.cache.as_str(), first.age, records(&first)), ("forebay; fwd=miss; stored", None, 3));
    assert_eq!(first.control, "private, max-age=10");
    put(&edge, 2);
    advance(TTL - Duration::from_secs(1)).await;
    let again = told(&edge, path).await;
    assert_eq!((again.cache.as_str(), again.age), ("forebay; hit; ttl=1", Some(9)));
    assert_eq!((&again.body, &again.tag), (&first.body, &first.tag));
    // Whoever reads on gets what has come since.
    let behind = format!("/records?after={}", again.body["next"].as_str().unwrap());
    assert_eq!(records(&told(&edge, &behind).await), 2);
    advance(Duration::from_secs(1)).await;
    let later = told(&edge, path).await;
    assert_eq!((later.age, records(&later)), (None, 5));
    assert_ne!(later.tag, first.tag);
    edge.answer_cache.as_ref().unwrap().refresh_gauges();
    let text = registry.render();
    assert!(text.contains("forebay_answer_cache_requests_total{outcome=\"hit\"} 1"), "{text}");
    assert!(text.contains("forebay_answer_cache_requests_total{outcome=\"miss\"} 3"), "{text}");
    assert!(text.contains("forebay_answer_cache_answers 2"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_change_is_given_for_longer_until_a_record_of_it_has_gone() {
    let (edge, _) = caching_edge();
    put(&edge, 5);
    let path = "/records?from=earliest&limit=3";
    assert_eq!(told(&edge, path).await.control, "private, max-age=600");
    advance(FULL - Duration::from_secs(1)).await;
    assert_eq!(told(&edge, path).await.age, Some(599));
    let stream = &edge.intake("s").unwrap().stream;
    let shard = stream.shard(ShardId(0)).unwrap();
    shard.release(0, SequenceNumber(shard.bounds().next.0));
    stream.reclaim(UnixMicros(i64::MAX));
    let gone = told(&edge, path).await;
    assert_eq!((gone.age, records(&gone)), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_page_from_the_latest_record_is_none_of_those() {
    let (edge, _) = caching_edge();
    // A time that is not over is the end of the log as well.
    for path in ["/records?limit=1", "/records?from=latest&limit=1", "/records?from=2999-01-01T00:00:00Z"] {
        assert_eq!(told(&edge, path).await.control, "private, max-age=10", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_the_answer_is_told_so_whether_it_was_kept_or_made() {
    let (edge, _) = caching_edge();
    put(&edge, 1);
    for path in ["", "/shards", "/records?from=earliest"] {
        let first = told(&edge, path).await;
        let known = [("if-none-match", first.tag.as_str())];
        let again = ask(&edge, path, &known).await.unwrap();
        assert_eq!((again.status, &again.tag, again.age), (304, &first.tag, Some(0)), "{path}");
        edge.forget_answers();
        let made = ask(&edge, path, &known).await.unwrap();
        assert_eq!((made.status, made.age, made.body), (304, None, Value::Null), "{path}");
        assert_eq!(ask(&edge, path, &[("if-none-match", "\"x\"")]).await.unwrap().status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_or_is_for_a_worker_is_none_of_the_caches() {
    let (edge, _) = caching_edge();
    for query in ["wait=1", "from=earliest&wait=0", "cursor=c&worker=w"] {
        assert_eq!(ask(&edge, &format!("/records?{query}"), &[]).await, None, "{query}");
    }
    assert_eq!(edge.forget_answers(), Forgotten::default());
}

#[tokio::test(start_paused = true)]
async fn who_may_change_the_stream_may_have_it_made_again() {
    let (edge, _) = caching_edge();
    told(&edge, "").await;
    put(&edge, 1);
    for (wish, status) in [
        ("no-store", "forebay; fwd=request"),
        ("No-Cache", "forebay; fwd=request; stored"),
        ("max-stale, max-age=0", "forebay; fwd=request; stored"),
    ] {
        let fresh = ask(&edge, "", &[("cache-control", wish)]).await.unwrap();
        assert_eq!((fresh.cache.as_str(), fresh.age), (status, None), "{wish}");
        assert_eq!(fresh.body["retained_records"], 1);
        let kept = if wish == "no-store" { 0 } else { 1 };
        assert_eq!(told(&edge, "").await.body["retained_records"], kept, "{wish}");
    }
    assert_eq!(ask(&edge, "", &[("cache-control", "max-age=5")]).await.unwrap().age, Some(0));
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_for_the_same_wait_for_one_answer() {
    let (edge, registry) = caching_edge();
    put(&edge, 10);
    // A filter that passes nothing looks more than once, and lets others in between.
    let asked = (0..20).map(|_| told(&edge, "/records?from=earliest&where=/a=1"));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|told| told.body == answers[0].body));
    let text = registry.render();
    assert!(text.contains("forebay_answer_cache_requests_total{outcome=\"miss\"} 1"), "{text}");
    assert!(text.contains("forebay_answer_cache_requests_total{outcome=\"collapsed\"} 19"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_outlives_neither_its_gate_nor_a_change_of_streams() {
    let (edge, _) = caching_edge();
    told(&edge, "").await;
    assert_eq!(told(&edge, "").await.age, Some(0));
    let jwt = Arc::clone(edge.gate().jwt());
    let access = Access { signature: SignatureRule::Off, clock_skew: Duration::ZERO, keys: Vec::new() };
    edge.replace_gate((&Default::default(), &Default::default(), &access), jwt, Arc::default());
    assert_eq!(edge.forget_answers().answers, 0);
    assert_eq!(told(&edge, "").await.age, None);
    edge.remove("other");
    assert_eq!(told(&edge, "").await.age, None);
}

#[test]
fn a_request_says_what_it_wishes() {
    let of = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CACHE_CONTROL, value.parse().unwrap());
        }
        wished(&headers)
    };
    assert_eq!(of(&[]), Wish::Kept);
    assert_eq!(of(&["max-age=60, no-transform"]), Wish::Kept);
    assert_eq!(of(&["max-age=60", "NO-CACHE"]), Wish::Fresh);
    assert_eq!(of(&["no-cache, no-store"]), Wish::Alone);
}

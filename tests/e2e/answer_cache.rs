//! Answers that are given again, in the real binary: to whom, for how long, and until when.

use std::time::Instant;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::server::{PATIENCE, Server, Setup, stream};

/// May read `web`, and another may read everything: each in its own words.
const FIRST: &str = "first-0123456789abcdef";
const SECOND: &str = "second-0123456789abcdef";
const OPERATOR: &str = "operator-0123456789abcdef";

/// A node that keeps answers for an hour.
fn start() -> Server {
    let keys = [(FIRST, "first", "tap:web"), (SECOND, "second", "tap:*"), (OPERATOR, "operator", "*:*")];
    let table = |(key, name, grant): (&str, &str, &str)| {
        format!("[[api_key]]\nname = \"{name}\"\nkey = \"{key}\"\nallow = [\"{grant}\"]\n")
    };
    let words = "[\"api_key\"]";
    let auth = format!(
        "auth = {{ ingest = {words}, tap = {words}, admin = {words}, credentials_in_query = true }}\n"
    );
    Setup::pipeline(stream("web", 1))
        .and_pipeline("orders", stream("orders", 1))
        .node("audit_log = { path = \"audit.log\" }\ncache = { ttl = \"1h\" }")
        .node(&(auth + &keys.map(table).concat()))
        .start()
}

async fn get(server: &Server, key: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = reqwest::Client::new().get(format!("http://{}{path}", server.address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.header("x-api-key", key).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Whether it comes out of the cache.
fn is_hit(response: &Response) -> bool {
    let is_hit = header(response, "cache-status").starts_with("forebay; hit; ttl=");
    assert_eq!(is_hit, response.headers().contains_key("age"));
    is_hit
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

async fn put(server: &Server, records: usize) {
    let request = reqwest::Client::new().post(server.records("web")).header("x-api-key", OPERATOR);
    let request = request.header("content-type", "application/x-ndjson").body("{\"n\":1}\n".repeat(records));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

async fn flush(server: &Server, key: &str, query: &str) -> (u16, Value) {
    let url = format!("http://{}/cache/flush{query}", server.admin);
    let response = reqwest::Client::new().post(url).header("x-api-key", key).send().await.unwrap();
    (response.status().as_u16(), json_of(response).await)
}

fn names(streams: &Value) -> Vec<&str> {
    streams["streams"].as_array().unwrap().iter().map(|stream| stream["name"].as_str().unwrap()).collect()
}

const PAGE: &str = "/v1/streams/web/records?from=earliest";

#[tokio::test]
async fn nobody_is_given_what_was_made_for_another() {
    let server = start();
    put(&server, 3).await;
    for path in ["/v1/streams", "/v1/streams/web", "/v1/streams/web/shards", PAGE] {
        for key in [FIRST, SECOND] {
            assert!(!is_hit(&get(&server, key, path, &[]).await), "{path}: it was made for another");
            let again = get(&server, key, path, &[]).await;
            assert!(is_hit(&again), "{path}: {:?}", again.headers());
            assert_eq!(header(&again, "vary"), "authorization, x-api-key, origin");
        }
    }
    let first = json_of(get(&server, FIRST, "/v1/streams", &[]).await).await;
    let second = json_of(get(&server, SECOND, "/v1/streams", &[]).await).await;
    assert_eq!((names(&first), names(&second)), (vec!["web"], vec!["orders", "web"]));
    // Who may not read it is not given what somebody else may have, nor is who is not known.
    let orders = "/v1/streams/orders";
    get(&server, SECOND, orders, &[]).await;
    assert!(is_hit(&get(&server, SECOND, orders, &[]).await));
    for (key, status) in [(FIRST, 403), ("wrong", 401)] {
        let refused = get(&server, key, orders, &[]).await;
        assert_eq!((refused.status().as_u16(), header(&refused, "cache-status")), (status, ""));
    }
    // The same key in the query is the same who, and no part of what is asked for.
    let client = reqwest::Client::new();
    let in_query = client.get(format!("http://{}{PAGE}&api_key={FIRST}", server.address));
    assert!(is_hit(&in_query.send().await.unwrap()));
    let stopped = server.stop();
    assert!(!std::fs::read_to_string(stopped.path("audit.log")).unwrap().contains(FIRST));
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again_and_what_is_wrong_is_not_kept() {
    let server = start();
    put(&server, 3).await;
    let first = get(&server, FIRST, PAGE, &[]).await;
    assert_eq!(header(&first, "cache-control"), "private, max-age=3600");
    let (tag, page) = (header(&first, "etag").to_owned(), json_of(first).await);
    put(&server, 1).await;
    let known = get(&server, FIRST, PAGE, &[("if-none-match", &tag)]).await;
    assert_eq!(
        (known.status(), is_hit(&known), header(&known, "etag")),
        (StatusCode::NOT_MODIFIED, true, &*tag)
    );
    let again = get(&server, FIRST, PAGE, &[("if-none-match", "\"other\"")]).await;
    assert_eq!((again.status(), is_hit(&again)), (StatusCode::OK, true));
    assert_eq!(json_of(again).await, page);
    // Whoever reads on behind it misses nothing.
    let behind = format!("/v1/streams/web/records?after={}", page["next"].as_str().unwrap());
    let rest = json_of(get(&server, FIRST, &behind, &[]).await).await;
    assert_eq!(rest["records"].as_array().unwrap().len(), 1, "{rest}");
    let wait = get(&server, FIRST, &format!("{PAGE}&wait=1"), &[]).await;
    assert_eq!((wait.status(), header(&wait, "cache-status")), (StatusCode::OK, ""));
    for _ in 0..2 {
        for path in ["/v1/streams/web/records?limit=0", "/v1/streams/web/records?after=x"] {
            let wrong = get(&server, FIRST, path, &[]).await;
            assert_eq!((wrong.status().as_u16(), header(&wrong, "cache-status")), (400, ""), "{path}");
        }
    }
    // To have it made again takes the right to change the stream.
    let fresh = [("cache-control", "no-cache")];
    assert!(is_hit(&get(&server, FIRST, PAGE, &fresh).await));
    get(&server, OPERATOR, PAGE, &[]).await;
    put(&server, 1).await;
    let made = get(&server, OPERATOR, PAGE, &fresh).await;
    assert_eq!(header(&made, "cache-status"), "forebay; fwd=request; stored");
    assert_eq!(json_of(made).await["records"].as_array().unwrap().len(), 5);
    let outcomes = ["hit", "miss", "refreshed"].map(|outcome| format!("outcome=\"{outcome}\""));
    for (outcome, count) in outcomes.iter().zip([3.0, 3.0, 1.0]) {
        let found = server.metric("forebay_answer_cache_requests_total", outcome).await;
        assert_eq!(found, count, "{outcome}");
    }
    assert!(server.metric("forebay_answer_cache_bytes", "").await > 500.0);
    server.stop().assert_drained();
}

#[tokio::test]
async fn an_operator_has_all_forgotten_and_nobody_else() {
    let server = start();
    get(&server, FIRST, PAGE, &[]).await;
    get(&server, SECOND, PAGE, &[]).await;
    let client = reqwest::Client::new();
    let url = format!("http://{}/cache/flush", server.admin);
    let as_operator = |request: reqwest::RequestBuilder| request.header("x-api-key", OPERATOR).send();
    assert_eq!(as_operator(client.get(&url)).await.unwrap().status(), 405);
    let page = client.post(&url).header("origin", "https://evil.example");
    assert_eq!(as_operator(page).await.unwrap().status(), 403);
    assert_eq!(flush(&server, "", "").await.0, 401);
    assert_eq!(flush(&server, FIRST, "").await.0, 403);
    let (status, told) = flush(&server, OPERATOR, "?which=all").await;
    assert_eq!((status, &told["flushed"]), (400, &json!({})), "{told}");
    let (status, told) = flush(&server, OPERATOR, "?which=jwks").await;
    assert_eq!((status, told), (200, json!({ "flushed": { "jwks": { "keys": 0, "tokens": 0 } } })));
    assert!(is_hit(&get(&server, FIRST, PAGE, &[]).await), "nothing of the above has forgotten it");
    let (status, told) = flush(&server, OPERATOR, "").await;
    let bytes = told["flushed"]["answers"]["bytes"].as_u64().unwrap();
    let all = json!({
        "answers": { "answers": 2, "bytes": bytes }, "authorizer": { "decisions": 0 },
        "jwks": { "keys": 0, "tokens": 0 },
    });
    assert_eq!((status, &told["flushed"]), (200, &all));
    assert!(bytes > 1_000, "{bytes}");
    for key in [FIRST, SECOND] {
        assert!(!is_hit(&get(&server, key, PAGE, &[]).await));
        assert!(is_hit(&get(&server, key, PAGE, &[]).await));
    }
    let audit = std::fs::read_to_string(server.stop().path("audit.log")).unwrap();
    let lines = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let acted: Vec<_> = lines.filter(|line| line["action"] == "cache.flush").collect();
    let targets: Vec<_> = acted.iter().map(|line| line["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["jwks", "answers,authorizer,jwks"]);
    assert!(acted.iter().all(|line| line["principal"] == "operator" && line["outcome"] == "done"), "{audit}");
}

#[tokio::test]
async fn a_reload_leaves_no_answer_to_those_who_may_not_have_it_any_more() {
    let server = start();
    let seen = json_of(get(&server, SECOND, "/v1/streams", &[]).await).await;
    assert_eq!(names(&seen), ["orders", "web"]);
    assert!(is_hit(&get(&server, SECOND, "/v1/streams", &[]).await));
    get(&server, FIRST, PAGE, &[]).await;
    let file = server.folder().join("forebay.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"tap:*\"", "\"tap:orders\"")).unwrap();
    let reload = reqwest::Client::new().post(format!("http://{}/reload", server.admin));
    assert_eq!(reload.header("x-api-key", OPERATOR).send().await.unwrap().status(), StatusCode::OK);
    let streams = get(&server, SECOND, "/v1/streams", &[]).await;
    assert!(!is_hit(&streams));
    assert_eq!(names(&json_of(streams).await), ["orders"]);
    assert_eq!(get(&server, SECOND, PAGE, &[]).await.status(), StatusCode::FORBIDDEN);
    assert!(!is_hit(&get(&server, FIRST, PAGE, &[]).await), "all are made again");
    // What the cache itself is takes a restart.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("ttl = \"1h\"", "ttl = \"2s\"")).unwrap();
    let reload = reqwest::Client::new().post(format!("http://{}/reload", server.admin));
    let refused = reload.header("x-api-key", OPERATOR).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert!(json_of(refused).await["error"].as_str().unwrap().contains("[cache] has changed"));
}

#[tokio::test]
async fn a_change_of_shards_or_streams_is_seen_at_once() {
    let server = start();
    let shards = "/v1/streams/web/shards";
    for path in [shards, "/v1/streams/web", "/v1/streams"] {
        get(&server, OPERATOR, path, &[]).await;
        assert!(is_hit(&get(&server, OPERATOR, path, &[]).await), "{path}");
    }
    let split =
        reqwest::Client::new().post(format!("http://{}{shards}", server.address)).body("{\"count\":2}");
    assert_eq!(split.header("x-api-key", OPERATOR).send().await.unwrap().status(), StatusCode::OK);
    let found = json_of(get(&server, OPERATOR, shards, &[]).await).await;
    assert_eq!(found["shards"].as_array().unwrap().len(), 3, "{found}");
    let found = json_of(get(&server, OPERATOR, "/v1/streams/web", &[]).await).await;
    assert_eq!(found["shards"], 2);
    std::fs::write(server.folder().join("pipelines/fresh.toml"), stream("fresh", 1)).unwrap();
    let reload = reqwest::Client::new().post(format!("http://{}/reload", server.admin));
    assert_eq!(reload.header("x-api-key", OPERATOR).send().await.unwrap().status(), StatusCode::OK);
    let found = json_of(get(&server, OPERATOR, "/v1/streams", &[]).await).await;
    assert_eq!(names(&found), ["fresh", "orders", "web"]);
}

#[tokio::test]
async fn what_is_given_again_counts_for_limits_as_what_is_made() {
    let limit = "limit = { tap = { records_per_second = 1, burst = 20 } }";
    let keys = format!("[[api_key]]\nname = \"first\"\nkey = \"{OPERATOR}\"\nallow = [\"*:*\"]\n{limit}\n");
    let auth = "cache = { ttl = \"1h\" }\nauth = { ingest = [\"api_key\"], tap = [\"api_key\"] }\n";
    let server = Setup::pipeline(stream("web", 1)).node(&format!("{auth}{keys}")).start();
    put(&server, 10).await;
    let (started, mut hits) = (Instant::now(), 0);
    loop {
        let response = get(&server, OPERATOR, PAGE, &[]).await;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        assert_eq!(response.status(), StatusCode::OK);
        hits += usize::from(is_hit(&response));
        assert!(started.elapsed() < PATIENCE, "nothing is ever too much");
    }
    // The first answer alone, ten records of twenty, is not too much.
    assert!(hits >= 1);
}

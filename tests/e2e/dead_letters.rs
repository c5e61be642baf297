//! Dead letters over HTTP, beside the real server: each comes out once, as `forebay dlq` shows it, for those who may see
//! it; and a store that is away, stalls or is asked by clients that leave harms nobody.

use std::collections::BTreeMap;
use std::process::Command;

use forebay::testkit::faulty_store::{Fault, FaultyStore, Operation, Rule};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gate::{assert_refused, curl};
use crate::server::{Server, Setup, durable_stream, stream};

const DEAD: &str = "forebay_delivery_dead_lettered_records_total";
const SCHEMA: &str = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#;

/// A stream whose records without a number `n` are dead letters (`schema`) of two deliveries, and those without a field
/// `kind` besides of the first (`partition`).
fn two_deliveries() -> String {
    durable_stream("s", 2, "os")
        + "[ingest]\nschema = \"s.json\"\non_invalid = \"dead_letter\"\npartition_key = \"/k\"\n"
        + "[[delivery]]\nname = \"by-kind\"\nformat = \"json\"\nprefix = \"kind={/kind}/\"\nbuffer = { interval = \"100ms\" }\n"
        + "[[delivery]]\nname = \"all\"\nformat = \"json\"\nprefix = \"\"\nbuffer = { interval = \"100ms\" }\n"
}

/// Records of which each third breaks the schema, and each third has no kind.
fn lines(ids: std::ops::Range<u32>) -> String {
    let line = |id: u32| match id % 3 {
        0 => format!("{{\"n\":\"{id}\",\"k\":\"{}\"}}\n", id % 5),
        1 => format!("{{\"n\":{id},\"k\":\"{}\"}}\n", id % 5),
        _ => format!("{{\"n\":{id},\"kind\":\"a\"}}\n"),
    };
    ids.map(line).collect()
}

/// All letters, page by page.
async fn all_pages(server: &Server, query: &str) -> Vec<Value> {
    let (mut letters, mut after) = (Vec::new(), String::new());
    loop {
        let (status, page) = server.get(&format!("/v1/streams/s/dead_letters?{query}{after}")).await;
        assert_eq!((status, &page["problems"]), (200, &json!([])), "{page}");
        letters.extend(page["letters"].as_array().unwrap().iter().cloned());
        if page["more"] == false {
            return letters;
        }
        after = format!("&after={}", page["next"].as_str().unwrap());
    }
}

/// How often each payload of a delivery is among letters, by reason.
fn payloads<'a>(letters: &'a [Value], delivery: &str) -> BTreeMap<(&'a str, &'a str), u32> {
    let mut found = BTreeMap::new();
    for letter in letters.iter().filter(|letter| letter["delivery"] == delivery) {
        let of = (letter["reason"].as_str().unwrap(), letter["payload"].as_str().unwrap());
        *found.entry(of).or_default() += 1;
    }
    found
}

#[tokio::test]
async fn letters_come_out_once_each_over_pages_and_as_the_command_shows_them() {
    let server = Setup::pipeline(two_deliveries()).file("s.json", SCHEMA).start();
    // Several files of each reason.
    for part in 0..3 {
        server.accept("s", lines(part * 30..part * 30 + 30)).await;
        server.until(DEAD, "", |found| found >= f64::from((part + 1) * 30)).await;
    }
    let sent = lines(0..90);
    let of_reason = |reason: &'static str, third: usize| {
        sent.lines()
            .enumerate()
            .filter(move |(id, _)| id % 3 == third)
            .map(move |(_, line)| ((reason, line), 1))
    };
    let schema: BTreeMap<_, _> = of_reason("schema", 0).collect();
    let both: BTreeMap<_, _> = of_reason("schema", 0).chain(of_reason("partition", 1)).collect();
    for limit in [7, 1_000] {
        let letters = all_pages(&server, &format!("limit={limit}")).await;
        assert_eq!(letters.len(), 90, "limit {limit}");
        assert_eq!(payloads(&letters, "all"), schema, "limit {limit}");
        assert_eq!(payloads(&letters, "by-kind"), both, "limit {limit}");
    }
    let letters = all_pages(&server, "limit=11&delivery=by-kind&reason=partition").await;
    assert_eq!(payloads(&letters, "by-kind"), of_reason("partition", 1).collect());
    assert_eq!(all_pages(&server, "until=1h").await, [] as [Value; 0]);
    assert_eq!(all_pages(&server, "from=1h&reason=schema").await.len(), 60);

    // The same objects as those of the command, but for the order of the deliveries.
    let words = ["dlq", "show", "--json", "--limit", "0", "--delivery", "by-kind"];
    let shown = Command::new(env!("CARGO_BIN_EXE_forebay")).args(words).current_dir(server.folder()).output();
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    let shown: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all_pages(&server, "delivery=by-kind&limit=13").await, shown);
    let without = all_pages(&server, "delivery=by-kind&payload=false").await;
    assert!(without.iter().all(|letter| letter.get("payload").is_none() && letter.get("raw").is_none()));
    assert_eq!(without.len(), shown.len());

    let (status, told) = server.get("/v1/streams/s/dead_letters/summary").await;
    let counts: Vec<_> = told["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            assert!(
                group["stored_bytes"].as_u64().unwrap() > 0 && group["files"].as_u64().unwrap() > 0,
                "{told}"
            );
            (
                group["delivery"].as_str().unwrap(),
                group["reason"].as_str().unwrap(),
                group["records"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [("all", "schema", 30), ("by-kind", "partition", 30), ("by-kind", "schema", 30)];
    assert_eq!((status, &told["complete"], counts), (200, &true.into(), expected.to_vec()), "{told}");

    // Behind the end comes what was stored since, also by another process.
    let (_, page) = server.get("/v1/streams/s/dead_letters?limit=1000&delivery=all").await;
    let next = page["next"].as_str().unwrap().to_owned();
    let folder = server.stop().folder;
    let server = Setup::pipeline(two_deliveries()).file("s.json", SCHEMA).in_folder(folder).start();
    server.accept("s", "{\"n\":\"late\"}").await;
    server.until(DEAD, "delivery=\"all\"", |found| found >= 1.0).await;
    let later = all_pages(&server, &format!("delivery=all&after={next}")).await;
    assert_eq!(payloads(&later, "all"), [(("schema", "{\"n\":\"late\"}"), 1)].into());
}

#[tokio::test]
async fn letters_of_a_stream_in_memory_are_found_in_the_sink() {
    let pipeline = stream("s", 1)
        + "[ingest]\nschema = \"s.json\"\non_invalid = \"dead_letter\"\n"
        + "[[delivery]]\nname = \"all\"\nformat = \"json\"\nprefix = \"\"\nbuffer = { interval = \"100ms\" }\n";
    let server = Setup::pipeline(pipeline).file("s.json", SCHEMA).start();
    for part in 0..2 {
        server.accept("s", lines(part * 30..part * 30 + 30)).await;
        server.until(DEAD, "", |found| found >= f64::from((part + 1) * 10)).await;
    }
    let letters = all_pages(&server, "limit=3").await;
    assert_eq!((letters.len(), payloads(&letters, "all").len()), (20, 20));
    let (_, told) = server.get("/v1/streams/s/dead_letters/summary?reason=schema").await;
    assert_eq!((&told["complete"], &told["groups"][0]["records"]), (&true.into(), &20.into()), "{told}");
}

#[tokio::test]
async fn letters_take_a_grant_and_what_is_not_there_is_told_only_to_who_may() {
    let key = |name: &str, allow: &str| {
        format!("[[api_key]]\nname = \"{name}\"\nkey = \"the-key-of-{name}-0123456789\"\nallow = [{allow}]\n")
    };
    let kinds = "[\"api_key\"]";
    let auth = |more: &str| {
        format!("[auth]\ningest = {kinds}\ntap = {kinds}\nadmin = {kinds}\n{more}")
            + &key("letters", "\"dead_letters:s\", \"dead_letters:none\"")
            + &key("others", "\"ingest:s\", \"tap:s\", \"admin:s\"")
            + &key("root", "\"*:*\"")
    };
    let none = stream("none", 1);
    let log = "[access_log]\npath = \"access.log\"\n";
    let setup = |more: &str| {
        Setup::pipeline(two_deliveries())
            .and_pipeline("none", none.clone())
            .file("s.json", SCHEMA)
            .node(&(auth(more) + log))
    };
    let header = |name: &str| format!("X-Api-Key: the-key-of-{name}-0123456789");
    let path = "/v1/streams/s/dead_letters";
    let get = |server: &Server, path: &str, name: &str| curl(server, path, &["--header", &header(name)]);

    // Nobody, whatever is granted, where [auth] does not name it.
    let server = setup("").start();
    let closed = "nobody may read dead letters of streams here: [auth] dead_letters names no identity";
    assert_refused(get(&server, path, "root"), 403, closed);
    let folder = server.stop().folder;

    let server = setup(&format!("dead_letters = {kinds}\n")).in_folder(folder).start();
    for path in [path, "/v1/streams/s/dead_letters/summary"] {
        assert_eq!(get(&server, path, "letters").0, 200, "{path}");
        assert_eq!(get(&server, path, "root").0, 200, "{path}");
        assert_refused(curl(&server, path, &[]), 401, "this request does not say who has sent it");
        let refused = "'others' may not read dead letters of 's'";
        assert_refused(get(&server, path, "others"), 403, refused);
        assert_eq!(curl(&server, path, &["--request", "OPTIONS"]).0, 204);
    }
    let refused = "'letters' may not read dead letters of 'nothing'";
    assert_refused(get(&server, "/v1/streams/nothing/dead_letters", "letters"), 403, refused);
    assert_refused(get(&server, "/v1/streams/s", "letters"), 403, "'letters' may not read 's'");
    for (path, status, code) in [
        ("/v1/streams/nothing/dead_letters", 404, "unknown_stream"),
        ("/v1/streams/none/dead_letters", 404, "unknown_delivery"),
        ("/v1/streams/none/dead_letters/summary", 404, "unknown_delivery"),
        ("/v1/streams/s/dead_letters?delivery=x", 404, "unknown_delivery"),
        ("/v1/streams/s/dead_letters?limit=0", 400, "bad_parameter"),
        ("/v1/streams/s/dead_letters?after=x", 400, "bad_parameter"),
        ("/v1/streams/s/dead_letters/summary?limit=1", 400, "bad_parameter"),
    ] {
        let (found, problem) = get(&server, path, "root");
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
    }
    let url = format!("http://{}{path}", server.address);
    let posted =
        reqwest::Client::new().request(Method::POST, &url).header("x-api-key", "the-key-of-root-0123456789");
    let posted = posted.send().await.unwrap();
    assert_eq!(
        (posted.status(), posted.headers()["allow"].to_str().unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD, OPTIONS")
    );
    let found = server.metric("forebay_http_requests_total", "route=\"dead_letters\"").await;
    assert!(found >= 17.0, "{found}");
    let stopped = server.stop();
    let lines = std::fs::read_to_string(stopped.path("access.log")).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["route"] == "dead_letters"
        && line["principal"] == "letters"
        && line["status"] == 200));
}

fn in_store(store: &FaultyStore) -> Setup {
    let pipeline = durable_stream("s", 1, "os")
        + "[ingest]\nschema = \"s.json\"\non_invalid = \"dead_letter\"\n"
        + "[[delivery]]\nname = \"all\"\nformat = \"json\"\nprefix = \"\"\nbuffer = { interval = \"100ms\" }\n"
        + &store.sink_line("lake/");
    Setup::pipeline(pipeline).file("s.json", SCHEMA)
}

#[tokio::test]
async fn a_store_that_is_away_is_told_and_the_letters_are_there_when_it_is_back() {
    let store = FaultyStore::start().unwrap();
    let server = in_store(&store).start();
    server.accept("s", lines(0..9)).await;
    server.until(DEAD, "", |found| found >= 3.0).await;
    let path = "/v1/streams/s/dead_letters";
    for fault in [Fault::SLOW_DOWN, Fault::DENIED, Fault::Drop] {
        store.rule(Rule::new(Operation::Get, fault).always());
        let answer = reqwest::get(format!("http://{}{path}", server.address)).await.unwrap();
        assert!(answer.headers().contains_key("retry-after"), "{fault:?}");
        let status = answer.status().as_u16();
        let problem: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let code = problem["code"].as_str();
        assert_eq!((status, code), (503, Some("dead_letters_unavailable")), "{fault:?}: {problem}");
        // What is known without the store.
        let (status, told) = server.get("/v1/streams/s/dead_letters/summary").await;
        assert_eq!((status, &told["groups"][0]["records"]), (200, &3.into()), "{told}");
        store.heal();
        assert_eq!(all_pages(&server, "").await.len(), 3, "{fault:?}");
    }
    // Somebody has taken the files away, which is no fault of the store.
    store.objects().keys().filter(|key| key.contains("errors")).for_each(|key| store.remove(key));
    let (status, page) = server.get(path).await;
    assert_eq!((status, &page["letters"]), (200, &json!([])), "{page}");
    assert!(page["notes"][0].as_str().unwrap().contains("not in the sink any more"), "{page}");
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(!stopped.stderr.contains("panicked"), "{}", stopped.stderr);
}

#[tokio::test]
async fn clients_that_leave_take_no_place_and_none_holds_up_the_end() {
    let store = FaultyStore::start().unwrap();
    let server = in_store(&store).start();
    server.accept("s", lines(0..9)).await;
    server.until(DEAD, "", |found| found >= 3.0).await;
    store.rule(Rule::new(Operation::Get, Fault::Stall).always());
    let url = format!("http://{}/v1/streams/s/dead_letters", server.address);
    let ask = || {
        let url = url.clone();
        tokio::spawn(async move { reqwest::get(url).await.map(|answer| answer.status().as_u16()) })
    };
    let gets = || store.requests().iter().filter(|seen| seen.operation == Operation::Get).count();
    let before = gets();
    let stalled = || gets() - before;
    // More than there are places, and each is given up when its request has come to the store.
    for round in 1..=6 {
        let request = ask();
        while stalled() < round {
            assert!(!request.is_finished(), "there is no place for it");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        request.abort();
        let _ = request.await;
    }
    let waiting = ask();
    while stalled() < 7 {
        assert!(!waiting.is_finished());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let stopped = tokio::task::spawn_blocking(move || server.stop()).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 503);
    stopped.assert_drained();
    assert!(!stopped.stderr.contains("still at work"), "{}", stopped.stderr);
}

//! Taps: pages, cursors, long polls.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Server, Setup, stream};

fn keyed(name: &str, shards: u32) -> String {
    stream(name, shards) + "[ingest]\npartition_key = \"/k\"\n"
}

fn data(page: &Value) -> Vec<Value> {
    page["records"].as_array().unwrap().iter().map(|record| record["data"].clone()).collect()
}

#[tokio::test]
async fn a_page_shows_records_as_they_were_sent() {
    let server = Setup::pipeline(keyed("s", 1)).start();
    server.accept("s", "{\"k\":\"a\\u0062\",\"n\":1.50}\n{\"x\":[]}").await;
    let (status, page) = server.get("/v1/streams/s/records?from=earliest").await;
    assert_eq!(status, 200);
    let record = &page["records"][0];
    assert_eq!((&record["partition_key"], &record["data"]), (&json!("ab"), &json!({"k": "ab", "n": 1.50})));
    assert_eq!(record["shard"], "shardId-000000000000");
    let arrival = chrono::DateTime::parse_from_rfc3339(record["arrival_time"].as_str().unwrap()).unwrap();
    assert!(arrival.timestamp() > 1_700_000_000);
    let number =
        |index: usize| page["records"][index]["sequence_number"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(number(1), number(0) + 1);
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let server = Setup::pipeline(keyed("s", 3)).start();
    for start in (0..300).step_by(60) {
        let lines: String =
            (start..start + 60).map(|n| format!("{{\"k\":\"{}\",\"n\":{n}}}\n", n % 7)).collect();
        server.accept("s", lines).await;
    }
    let mut path = "/v1/streams/s/records?from=earliest&limit=17".to_owned();
    let mut seen = Vec::new();
    loop {
        let (_, page) = server.get(&path).await;
        let records = data(&page);
        if records.is_empty() {
            break;
        }
        assert!(records.len() <= 17);
        seen.extend(
            records
                .iter()
                .map(|record| (record["k"].as_str().unwrap().to_owned(), record["n"].as_u64().unwrap())),
        );
        path = format!("/v1/streams/s/records?after={}&limit=17", page["next"].as_str().unwrap());
    }
    for key in 0..7 {
        let numbers: Vec<_> = seen.iter().filter(|(k, _)| *k == key.to_string()).map(|&(_, n)| n).collect();
        assert_eq!(
            numbers,
            (0..300).filter(|n| n % 7 == key).collect::<Vec<_>>(),
            "key {key} keeps its order"
        );
    }
    assert_eq!(seen.len(), 300);
}

#[tokio::test]
async fn a_long_poll_is_answered_by_the_next_record() {
    let server = Setup::pipeline(keyed("s", 2)).start();
    server.accept("s", "{\"n\":0}").await;
    let poll = server.get("/v1/streams/s/records?from=latest&wait=30");
    let post = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.accept("s", "{\"n\":1}").await;
    };
    let ((status, page), ()) = tokio::join!(poll, post);
    assert_eq!((status, data(&page)), (200, vec![json!({"n": 1})]));
}

#[tokio::test]
async fn a_long_poll_ends_empty_when_its_time_is_over_and_when_the_server_stops() {
    let server = Setup::pipeline(keyed("s", 1)).start();
    let (status, page) = server.get("/v1/streams/s/records?wait=1").await;
    assert_eq!((status, data(&page)), (200, vec![]));
    let url = format!("http://{}/v1/streams/s/records?wait=30", server.address);
    let poll = tokio::spawn(async move { reqwest::get(url).await.unwrap().status().as_u16() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.stop().assert_drained();
    assert_eq!(poll.await.unwrap(), 200);
}

#[tokio::test]
async fn a_reader_can_begin_at_a_time_a_number_or_a_shard() {
    let server = Setup::pipeline(keyed("s", 1)).start();
    server.accept("s", "{\"n\":0}").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let middle = chrono::Utc::now().to_rfc3339().replace('+', "%2B");
    server.accept("s", "{\"n\":1}\n{\"n\":2}").await;
    let (_, page) = server.get(&format!("/v1/streams/s/records?from={middle}")).await;
    assert_eq!(data(&page), [json!({"n": 1}), json!({"n": 2})]);
    let number = page["records"][1]["sequence_number"].as_str().unwrap();
    let (_, page) =
        server.get(&format!("/v1/streams/s/records?from={number}&shard=shardId-000000000000")).await;
    assert_eq!(data(&page), [json!({"n": 2})]);
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let server = Setup::pipeline(keyed("s", 2)).start();
    for (query, status, code) in [
        ("from=yesterday", 400, "bad_parameter"),
        ("from=17", 400, "bad_parameter"),
        ("after=x", 400, "bad_parameter"),
        ("after=0-1", 400, "bad_parameter"),
        ("limit=0", 400, "bad_parameter"),
        ("limit=100000", 400, "bad_parameter"),
        ("wait=31", 400, "bad_parameter"),
        ("form=latest", 400, "bad_parameter"),
        ("shard=shardId-000000000009", 404, "unknown_shard"),
    ] {
        let (found, problem) = server.get(&format!("/v1/streams/s/records?{query}")).await;
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{query}: {problem}");
    }
}

#[tokio::test]
async fn small_pages_reach_every_shard() {
    let server = Setup::pipeline(keyed("s", 3)).start();
    let lines: String = (0..3_000).map(|n| format!("{{\"k\":\"{n}\"}}\n")).collect();
    server.accept("s", lines).await;
    let mut path = "/v1/streams/s/records?from=earliest&limit=1".to_owned();
    let mut shards = std::collections::BTreeSet::new();
    // Each shard has about a thousand records, so the first is not empty when this ends.
    for _ in 0..200 {
        let (_, page) = server.get(&path).await;
        shards.insert(page["records"][0]["shard"].as_str().unwrap().to_owned());
        path = format!("/v1/streams/s/records?after={}&limit=1", page["next"].as_str().unwrap());
    }
    assert_eq!(shards.len(), 3, "{shards:?}");
}

#[tokio::test]
async fn a_wait_tells_the_same_number_of_skipped_records() {
    let config = keyed("s", 1).replace("durability", "retention = \"1s\"\ndurability");
    let server = Setup::pipeline(config).start();
    let (_, page) = server.get("/v1/streams/s/records?from=earliest").await;
    let origin = page["next"].as_str().unwrap().to_owned();
    server.accept("s", "{}\n".repeat(10)).await;
    server.until("forebay_stream_evicted_records_total", "reason=\"time\"", |count| count == 10.0).await;
    for after in ["0-0", &origin] {
        for wait in [0, 1] {
            let (_, page) = server.get(&format!("/v1/streams/s/records?after={after}&wait={wait}")).await;
            assert_eq!(
                (&page["skipped"], &page["records"]),
                (&json!(10), &json!([])),
                "{after}, wait {wait}"
            );
        }
    }
    let path = format!("/v1/streams/s/records?after={origin}&wait=30");
    let post = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.accept("s", "{\"n\":1}").await;
    };
    let ((_, page), ()) = tokio::join!(server.get(&path), post);
    assert_eq!((&page["skipped"], data(&page)), (&json!(10), vec![json!({"n": 1})]));
}

/// Asks for a page and reads no more of the answer than its status.
fn ask_and_do_not_read(server: &Server, target: &str) -> (TcpStream, String) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Little room in the kernel, so that the rest of the page has to stay with the server.
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    write!(socket, "GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut status = [0; 12];
    socket.read_exact(&mut status).unwrap();
    (socket, String::from_utf8_lossy(&status[9..]).into_owned())
}

#[tokio::test]
async fn clients_that_ask_for_pages_and_do_not_read_them_are_held_within_the_budget() {
    // What a delivery has not delivered cannot be let go of to make room for pages.
    let config = stream("s", 1)
        + "[[delivery]]\nname = \"lake\"\nsink = { path = \"lake\" }\nformat = \"json\"\n\
           buffer = { size = \"16MiB\", interval = \"1h\" }\n";
    let server = Setup::pipeline(config).node("memory_budget = \"32MiB\"").start();
    let body = format!("{{\"pad\":\"{}\"}}\n", "x".repeat(100_000)).repeat(10);
    for _ in 0..6 {
        server.accept("s", body.clone()).await;
    }
    let (used, share) = ("forebay_memory_used_bytes", "share=\"ingest\"");
    let before = server.metric(used, share).await;
    let target = "/v1/streams/s/records?from=earliest&limit=10000";
    let clients: Vec<_> = (0..50).map(|_| ask_and_do_not_read(&server, target)).collect();
    let count = |status: &str| clients.iter().filter(|(_, found)| found == status).count();
    let (held, refused) = (count("200"), count("503"));
    assert!(held > 0 && refused > 0 && held + refused == 50, "{held} held, {refused} refused");
    let while_held = server.metric(used, share).await;
    assert!(
        while_held >= before + (held * (4 << 20)) as f64,
        "{before}, then {while_held} with {held} pages"
    );
    assert!(while_held <= f64::from(16 << 20), "{while_held}");
    let (status, problem) = server.get(target).await;
    assert_eq!((status, &problem["code"]), (503, &json!("memory_full")), "{problem}");
    drop(clients);
    server.until(used, share, |used| used == before).await;
    let (status, page) = server.get(target).await;
    assert_eq!((status, data(&page).len()), (200, 42), "4 MiB");
}

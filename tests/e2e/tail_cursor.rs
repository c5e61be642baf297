//! `forebay tail --cursor`: commands that share a stream.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::server::{PATIENCE, Server, Setup, durable_stream};
use crate::tail_command::Tail;

/// One that has the cursor `c`.
fn start(server: &Server, words: &[&str]) -> Tail {
    Tail::start(server, &[&["--cursor", "c"], words].concat())
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("{{\"k\":\"{}\",\"n\":{n}}}\n", n % 31)).collect()
}

fn config() -> String {
    durable_stream("s", 4, "fsync") + "[ingest]\npartition_key = \"/k\"\n"
}

async fn view(server: &Server) -> Value {
    server.get("/v1/streams/s/cursors/c").await.1
}

/// Waits until so many workers have shards, and all that was accepted is said to be done if that is asked for.
async fn until(server: &Server, workers: usize, is_done: bool) {
    let started = Instant::now();
    loop {
        let view = view(server).await;
        let have_some =
            view["workers"].as_array().map_or(0, |all| all.iter().filter(|one| one["shards"] != 0).count());
        if have_some == workers && (!is_done || view["lag"] == 0) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{view}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn two_share_a_stream_and_when_one_is_stopped_nothing_is_printed_twice() {
    let server = Setup::pipeline(config()).start();
    let mut one = start(&server, &[]);
    until(&server, 1, false).await;
    let mut other = start(&server, &["--worker", "w2"]);
    until(&server, 2, false).await;
    server.accept("s", lines(0..400)).await;
    let mut printed: Vec<u64> = one.numbers.iter().take(20).collect();
    server.accept("s", lines(400..500)).await;
    // In the middle of what it prints: the rest of its shards is the other one's.
    assert_eq!(one.signal(Signal::TERM).code(), Some(0));
    server.accept("s", lines(500..800)).await;
    until(&server, 1, true).await;
    assert_eq!(other.signal(Signal::INT).code(), Some(0));
    let by_one = one.numbers.iter().collect::<Vec<_>>();
    let by_other = other.numbers.iter().collect::<Vec<_>>();
    assert!(!by_other.is_empty());
    printed.extend(by_one.into_iter().chain(by_other));
    printed.sort_unstable();
    assert_eq!(printed, (0..800).collect::<Vec<_>>());
    assert_eq!(view(&server).await["workers"], json!([]), "both have left");
}

#[tokio::test]
async fn when_one_is_killed_the_other_takes_its_shards_after_the_lease_and_nothing_is_missed() {
    let server = Setup::pipeline(config()).start();
    let url = format!("http://{}/v1/streams/s/cursors/c", server.address);
    let made = reqwest::Client::new().put(url).body(r#"{"from":"earliest","lease":"1s"}"#).send().await;
    assert!(made.unwrap().status().is_success());
    let mut one = start(&server, &[]);
    until(&server, 1, false).await;
    let mut other = start(&server, &[]);
    until(&server, 2, false).await;
    server.accept("s", lines(0..300)).await;
    let mut seen: BTreeSet<u64> = one.numbers.iter().take(5).collect();
    assert_eq!(one.signal(Signal::KILL).code(), None);
    server.accept("s", lines(300..600)).await;
    seen.extend(&one.rest());
    until(&server, 1, true).await;
    assert_eq!(other.signal(Signal::TERM).code(), Some(0));
    seen.extend(&other.rest());
    assert_eq!(seen, (0..600).collect());
}

#[tokio::test]
async fn it_goes_on_behind_what_was_printed_also_after_a_restart_of_the_node() {
    let config = durable_stream("s", 1, "fsync");
    let server = Setup::pipeline(config.clone()).start();
    server.accept("s", lines(0..10)).await;
    let ends = |server: &Server, wanted: std::ops::Range<u64>| {
        let mut tail = start(server, &["--from", "earliest", "--limit", "4"]);
        assert_eq!(tail.wait().code(), Some(0));
        assert_eq!(tail.rest(), wanted.collect::<Vec<_>>());
    };
    ends(&server, 0..4);
    ends(&server, 4..8);
    let server = Setup::pipeline(config.clone()).in_folder(server.kill()).start();
    let mut tail = start(&server, &[]);
    let take = |tail: &Tail, count| tail.numbers.iter().take(count).collect::<Vec<_>>();
    assert_eq!(take(&tail, 2), [8, 9]);
    until(&server, 1, true).await;
    let address = server.address;
    let folder = server.kill();
    let server = Setup::pipeline(config).server(&format!("listen = \"{address}\"")).in_folder(folder).start();
    server.accept("s", lines(10..13)).await;
    assert_eq!(take(&tail, 3), [10, 11, 12]);
    // What was put back is printed again.
    let url = format!("http://{}/v1/streams/s/cursors/c", server.address);
    let reset = reqwest::Client::new().put(&url).body(r#"{"reset":"earliest","force":true}"#).send().await;
    assert!(reset.unwrap().status().is_success());
    assert_eq!(take(&tail, 13), (0..13).collect::<Vec<_>>());
    // A cursor that is gone is not made again.
    assert!(reqwest::Client::new().delete(&url).send().await.unwrap().status().is_success());
    assert_eq!(tail.wait().code(), Some(1));
    let output =
        Command::new(env!("CARGO_BIN_EXE_forebay")).args(["tail", "s", "--worker", "w"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

//! `forebay shards` against a running node.

use std::process::{Command, Output};

use serde_json::Value;

use crate::server::{Server, Setup, durable_stream, stream};

fn shards_at(url: &str, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(["shards", "s", "--url", url]).args(words).output().unwrap()
}

fn shards(server: &Server, words: &[&str]) -> Output {
    shards_at(&format!("http://{}", server.address), words)
}

fn table(server: &Server, words: &[&str]) -> String {
    let output = shards(server, words);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(server: &Server, words: &[&str]) -> Vec<Value> {
    let text = table(server, &[words, &["--json"]].concat());
    serde_json::from_str::<Value>(&text).unwrap()["shards"].as_array().unwrap().clone()
}

/// Ids and states of the shards in the lines of a table.
fn rows(table: &str) -> Vec<(&str, &str, &str)> {
    let lines = table.lines().skip(1).map(|line| {
        let mut words = line.split_whitespace();
        let mut next = || words.next().unwrap();
        (next(), next(), next())
    });
    lines.collect()
}

#[tokio::test]
async fn it_shows_heat_and_splits_merges_and_counts() {
    let server =
        Setup::pipeline(durable_stream("s", 1, "fsync") + "[ingest]\npartition_key = \"/k\"\n").start();
    // Two of three, and not one of a period that heat is measured in.
    let line = |n: u64| format!("{{\"k\":\"{}\"}}\n", if n.is_multiple_of(3) { "cold" } else { "hot" });
    server.accept("s", (0..4_000).map(line).collect::<String>()).await;
    let text = table(&server, &[]);
    assert!(text.starts_with("shard  ") && text.contains("  \"hot\" 6"), "{text}");
    let first = "shardId-000000000000";
    assert_eq!(rows(&text), [(first, "open", "0-100")]);

    let text = table(&server, &["split", first]);
    let halves = [("shardId-000000000001", "open", "0-50"), ("shardId-000000000002", "open", "50-100")];
    assert_eq!(rows(&text), [&[(first, "closed", "0-100")][..], &halves].concat());
    assert_eq!(rows(&table(&server, &["--open"])), halves);
    let merged = json(&server, &["merge", "1", "2"]);
    assert_eq!(merged[3]["parents"], serde_json::json!(["shardId-000000000001", "shardId-000000000002"]));
    assert_eq!(merged, json(&server, &[]));

    server.accept("s", (0..4_000).map(line).collect::<String>()).await;
    let split = json(&server, &["split", "3", "--at", "hottest"]);
    let heaviest = |shard: &Value| shard["heaviest_keys"][0]["hash_key"].as_str().unwrap().to_owned();
    assert_eq!(split[5]["starting_hash_key"], heaviest(&split[3]), "{split:?}");
    let text = table(&server, &["count", "4", "--open"]);
    let ranges: Vec<_> = rows(&text).iter().map(|row| row.2).collect();
    let mut sorted = ranges.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["0-25", "25-50", "50-75", "75-100"], "{text}");
    server.stop().assert_drained();
}

#[tokio::test]
async fn it_says_what_is_wrong() {
    let server = Setup::pipeline(stream("s", 2)).start();
    let url = format!("http://{}", server.address);
    let admin = format!("http://{}", server.admin);
    let before = json(&server, &[]);
    for (url, words, code, part) in [
        (url.as_str(), &["split", "9"][..], 1, "no shard"),
        (&url, &["split", "0", "--at", "hottest"], 1, "no heavy key is known"),
        (&url, &["merge", "0", "0"], 1, "answers 409"),
        (&url, &["split", "first"], 2, "a shard is written as"),
        (&url, &["count", "0"], 2, "0 is not in 1..=4096"),
        (&admin, &[], 1, "is this the right address?"),
        ("http://127.0.0.1:1", &["count", "2"], 1, "cannot be reached"),
        ("nowhere", &[], 2, "no address of a node"),
    ] {
        let output = shards_at(url, words);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && text.contains(part), "{url} {words:?}: {text}");
    }
    assert_eq!(json(&server, &[]), before);
    let mut other = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let other = other.args(["shards", "none", "--url", &url]).output().unwrap();
    let text = String::from_utf8(other.stderr).unwrap();
    assert!(other.status.code() == Some(1) && text.contains("answers 404"), "{text}");
    server.stop().assert_drained();
}

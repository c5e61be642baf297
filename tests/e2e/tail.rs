//! `forebay tail` against a running node.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::server::{Server, Setup, durable_stream, stream};

fn tail(server: &Server, words: &[&str]) -> Child {
    tail_at(&format!("http://{}", server.address), words)
}

fn tail_at(url: &str, words: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["tail", "s", "--url", url])
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

#[tokio::test]
async fn it_prints_what_was_asked_for_and_ends_at_the_limit() {
    let server = Setup::pipeline(stream("s", 1) + "[ingest]\npartition_key = \"/n\"\n").start();
    server.accept("s", lines(0..20)).await;
    let output = tail(&server, &["--from", "earliest", "--json", "--limit", "5"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["data"]["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    let output =
        tail(&server, &["--from", "earliest", "--where", "/n=7", "--limit", "1"]).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(" shardId-000000000000 ") && text.ends_with(" \"7\" {\"n\":7}\n"), "{text}");
}

#[tokio::test]
async fn it_goes_on_after_a_restart_of_the_node() {
    let config = durable_stream("s", 1, "fsync");
    let server = Setup::pipeline(config.clone()).start();
    let mut child = tail(&server, &["--json", "--from", "earliest"]);
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut number = move || {
        let line = out.next().unwrap().unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["data"]["n"].as_u64().unwrap()
    };
    server.accept("s", lines(0..3)).await;
    for wanted in 0..3 {
        assert_eq!(number(), wanted);
    }
    let address = server.address;
    let folder = server.kill();
    let server = Setup::pipeline(config).server(&format!("listen = \"{address}\"")).in_folder(folder).start();
    server.accept("s", lines(3..6)).await;
    for wanted in 3..6 {
        assert_eq!(number(), wanted);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn it_ends_quietly_when_nobody_reads_and_says_what_is_wrong() {
    let server = Setup::pipeline(stream("s", 1)).start();
    server.accept("s", lines(0..2)).await;
    let mut child = tail(&server, &["--from", "earliest"]);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let url = format!("http://{}", server.address);
    for (url, words, code, part) in [
        (url.as_str(), &["--where", "a=1"][..], 1, "where: "),
        (&url, &["--shard", "shardId-000000000009"], 1, "no shard"),
        ("http://127.0.0.1:1", &[], 1, "cannot be reached"),
        ("nowhere", &[], 2, "no address of a node"),
    ] {
        let output = tail_at(url, words).wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && text.contains(part), "{url} {words:?}: {text}");
    }
}

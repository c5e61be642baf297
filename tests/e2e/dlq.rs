//! `forebay dlq` beside the real server: what could not be delivered is found, shown, and after a correction sent again
//! exactly once, whatever ends the replay in between.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::lake;
use crate::server::{Server, Setup, durable_stream, stream};

/// What a command has come to.
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let command = command.args(arguments).current_dir(folder).envs(env.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn dlq(folder: &Path, arguments: &[&str]) -> Done {
    run(folder, &[&["dlq"], arguments].concat(), &[])
}

/// `ls --json`: the report.
fn listed(folder: &Path, arguments: &[&str], code: i32) -> Value {
    let done = dlq(folder, &[&["ls", "--json"], arguments].concat());
    assert_eq!(done.code, Some(code), "{}\n{}", done.out, done.err);
    serde_json::from_str(&done.out).unwrap()
}

/// `replay` to a server.
fn replay(server: &Server, arguments: &[&str], env: &[(&str, &str)]) -> Done {
    let url = format!("http://{}", server.address);
    run(server.folder(), &[&["dlq", "replay", "--url", &url], arguments].concat(), env)
}

/// A delivery of JSON lines into a folder a kind, and records without a kind into the dead letters.
fn by_kind(prefix: &str) -> String {
    durable_stream("s", 2, "os")
        + "[ingest]\npartition_key = \"/k\"\n"
        + &format!("[[delivery]]\nname = \"lake\"\nformat = \"json\"\nprefix = \"{prefix}\"\n")
        + "buffer = { interval = \"200ms\" }\n"
}

/// Records of which every third has no kind, each with one of five partition keys.
fn lines(count: u32) -> String {
    let line = |id: u32| match id % 3 {
        0 => format!("{{\"id\":{id},\"k\":\"key {}\"}}\n", id % 5),
        _ => format!("{{\"id\":{id},\"k\":\"key {}\",\"kind\":\"a\"}}\n", id % 5),
    };
    (0..count).map(line).collect()
}

/// A server that has accepted `count` records, and stored those without a kind as dead letters.
async fn with_dead_letters(count: u32, dead: u32) -> Server {
    let server = Setup::pipeline(by_kind("kind={/kind}/")).start();
    server.accept("s", lines(count)).await;
    let name = "forebay_delivery_dead_lettered_records_total";
    server.until(name, "reason=\"partition\"", |found| found == f64::from(dead)).await;
    server
}

/// How often each id is in files of records.
fn delivered(folder: &Path) -> BTreeMap<u64, u32> {
    let mut found = BTreeMap::new();
    for path in lake::files(&folder.join("data/lake/s/lake"), ".json.gz") {
        if path.to_string_lossy().contains("/errors/") {
            continue;
        }
        for line in lake::gunzip_lines(&path) {
            let record: Value = serde_json::from_str(&line).unwrap();
            *found.entry(record["id"].as_u64().unwrap()).or_default() += 1;
        }
    }
    found
}

fn all_once(count: u32) -> BTreeMap<u64, u32> {
    (0..u64::from(count)).map(|id| (id, 1)).collect()
}

/// Starts again with a prefix that needs no kind.
fn corrected(server: Server) -> Server {
    let stopped = server.stop();
    stopped.assert_drained();
    Setup::pipeline(by_kind("all/")).in_folder(stopped.folder).start()
}

fn verify_is_well(folder: &Path) -> Value {
    let done = run(folder, &["verify", "--json"], &[]);
    assert_eq!(done.code, Some(0), "{}\n{}", done.out, done.err);
    serde_json::from_str(&done.out).unwrap()
}

#[tokio::test]
async fn dead_letters_are_found_shown_and_after_a_correction_delivered_once() {
    let server = with_dead_letters(30, 10).await;
    let folder = server.folder().to_owned();
    // The node is running.
    let report = listed(&folder, &[], 0);
    let group = &report["groups"][0];
    assert_eq!((&report["ok"], report["groups"].as_array().unwrap().len()), (&true.into(), 1), "{report}");
    assert_eq!((&group["reason"], &group["records"]), (&"partition".into(), &10.into()), "{report}");
    assert!(group["oldest"].as_str().unwrap() <= group["newest"].as_str().unwrap(), "{report}");
    let table = dlq(&folder, &["ls"]);
    assert!(
        table.out.starts_with("stream  delivery  reason") && table.out.contains("partition"),
        "{}",
        table.out
    );
    for (arguments, groups) in [
        (&["--reason", "columns"][..], 0),
        (&["--reason", "columns", "--reason", "partition"], 1),
        (&["--since", "1h"], 1),
        (&["--until", "1h"], 0),
        (&["--delivery", "lake", "--stream", "s"], 1),
        (&["--list"], 1),
    ] {
        let report = listed(&folder, arguments, 0);
        assert_eq!(report["groups"].as_array().unwrap().len(), groups, "{arguments:?}: {report}");
    }

    let shown = dlq(&folder, &["show", "--limit", "2"]);
    assert_eq!(shown.out.matches("{\"id\":").count(), 2, "{}", shown.out);
    assert!(shown.out.contains("/kind: missing or null") && shown.out.contains("key key "), "{}", shown.out);
    let shown = dlq(&folder, &["show", "--json", "--grep", "\"id\":9,"]);
    let letter: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(letter["payload"], "{\"id\":9,\"k\":\"key 4\"}");
    assert_eq!(letter["partition_key"], "key 4");

    let server = corrected(server);
    let dry = replay(&server, &["--dry-run"], &[]);
    assert_eq!(dry.code, Some(0), "{}", dry.err);
    assert!(dry.out.starts_with("would send 10 records in 5 requests"), "{}", dry.out);
    assert!(!folder.join("data/dlq-replay.journal").exists());
    let some = replay(&server, &["--limit", "4"], &[]);
    assert_eq!(some.code, Some(0), "{}\n{}", some.out, some.err);
    assert!(
        some.out.starts_with("sent 4 records") && some.out.contains("there is more to send"),
        "{}",
        some.out
    );
    let sent = replay(&server, &["--limit", "6"], &[]);
    assert_eq!(sent.code, Some(0), "{}\n{}", sent.out, sent.err);
    assert!(sent.out.starts_with("sent 6 records") && sent.out.contains("4 sent before"), "{}", sent.out);
    assert!(!sent.out.contains("there is more"), "{}", sent.out);
    let again = replay(&server, &[], &[]);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(again.out.contains("sent 0 records") && again.out.contains("10 sent before"), "{}", again.out);

    let folder = server.stop().folder;
    assert_eq!(delivered(folder.path()), all_once(30));
    let report = verify_is_well(folder.path());
    let delivery = &report["deliveries"][0];
    assert_eq!((&delivery["accepted"], &delivery["dead_lettered"]), (&40.into(), &10.into()), "{report}");
}

#[tokio::test]
async fn a_replay_that_is_killed_goes_on_and_sends_nothing_twice() {
    let server = corrected(with_dead_letters(60, 20).await);
    // Before a request is sent, and when it is acknowledged and nobody has noted that.
    for strike in ["replay.send.after:2", "replay.send.before:2", "replay.send.after:1"] {
        let killed = replay(&server, &[], &[("FOREBAY_CRASH_AT", strike)]);
        assert_eq!(killed.code, None, "{strike}: {}\n{}", killed.out, killed.err);
    }
    // One of another selection must not bring the unfinished request in another form.
    let part = replay(&server, &["--grep", "\"id\":0,"], &[]);
    assert_eq!(part.code, Some(0), "{}\n{}", part.out, part.err);
    let sent = replay(&server, &[], &[]);
    assert_eq!(sent.code, Some(0), "{}\n{}", sent.out, sent.err);
    let folder = server.stop().folder;
    assert_eq!(delivered(folder.path()), all_once(60));
    verify_is_well(folder.path());
}

#[tokio::test]
async fn what_may_have_been_sent_is_not_sent_again_when_the_node_would_not_know_it() {
    let no_window =
        |prefix: &str| by_kind(prefix).replace("[ingest]", "idempotency_window = \"0s\"\n[ingest]");
    let server = Setup::pipeline(no_window("kind={/kind}/")).start();
    server.accept("s", lines(30)).await;
    let name = "forebay_delivery_dead_lettered_records_total";
    server.until(name, "reason=\"partition\"", |found| found == 10.0).await;
    let stopped = server.stop();
    let server = Setup::pipeline(no_window("all/")).in_folder(stopped.folder).start();
    let killed = replay(&server, &[], &[("FOREBAY_CRASH_AT", "replay.send.after:1")]);
    assert_eq!(killed.code, None, "{}", killed.out);
    let sent = replay(&server, &[], &[]);
    assert_eq!(sent.code, Some(1), "{}\n{}", sent.out, sent.err);
    assert!(sent.out.contains("send them with --again if they are not"), "{}", sent.out);
    assert!(sent.out.contains("2 in doubt") && sent.out.contains("sent 8 records"), "{}", sent.out);
    let folder = server.stop().folder;
    assert_eq!(delivered(folder.path()), all_once(30));
}

#[tokio::test]
async fn a_lost_journal_doubles_nothing_within_the_window() {
    let server = corrected(with_dead_letters(30, 10).await);
    for _ in 0..2 {
        let sent = replay(&server, &[], &[]);
        assert_eq!(sent.code, Some(0), "{}\n{}", sent.out, sent.err);
        std::fs::remove_file(server.folder().join("data/dlq-replay.journal")).unwrap();
    }
    let folder = server.stop().folder;
    assert_eq!(delivered(folder.path()), all_once(30));
}

#[tokio::test]
async fn a_record_that_comes_back_is_sent_again_only_so_often() {
    let server = with_dead_letters(3, 1).await;
    let name = "forebay_delivery_dead_lettered_records_total";
    for attempt in 1..=2 {
        let sent = replay(&server, &["--max-attempts", "2"], &[]);
        assert_eq!(sent.code, Some(0), "{}\n{}", sent.out, sent.err);
        assert!(sent.out.starts_with("sent 1 records"), "{}", sent.out);
        server.until(name, "reason=\"partition\"", |found| found == f64::from(1 + attempt)).await;
    }
    let left = replay(&server, &["--max-attempts", "2"], &[]);
    assert_eq!(left.code, Some(1), "{}\n{}", left.out, left.err);
    assert!(left.out.contains("was sent 2 times and came back as 'partition'"), "{}", left.out);
    assert!(left.out.contains("2 sent before, 1 came back too often"), "{}", left.out);
    let once_more = replay(&server, &["--max-attempts", "3"], &[]);
    assert!(once_more.out.contains("sent 1 records"), "{}", once_more.out);
}

#[tokio::test]
async fn a_stream_without_a_ledger_and_firehoses_envelope_are_no_obstacle() {
    let pipeline = |invalid: &str| {
        stream("m", 1)
            + &format!("[ingest]\non_invalid = \"{invalid}\"\n")
            + "[[delivery]]\nname = \"lake\"\nformat = \"json\"\nprefix = \"p={/p}/\"\nbuffer = { interval = \"1h\" }\n"
            + "dead_letters = { prefix = \"bad/{reason}/\", envelope = \"firehose\", buffer = { interval = \"100ms\" } }\n"
    };
    let server = Setup::pipeline(pipeline("dead_letter")).start();
    server.accept("m", "{\"n\":1}\nno json\n{\"n\":2,\"p\":1}\n{\"n\":3}\n").await;
    let name = "forebay_delivery_dead_lettered_records_total";
    server.until(name, "", |found| found == 3.0).await;
    let delivered = server.metric("forebay_delivery_delivered_records_total", "").await;
    assert_eq!(delivered as u64, 0, "the letters have a buffer of their own");
    let folder = server.folder().to_owned();
    let letters = lake::dead_letters(&folder.join("data/lake/m/lake/bad"));
    assert!(letters.iter().all(|letter| letter["rawData"].is_string()), "{letters:?}");
    let reasons = |report: &Value| -> Vec<(String, u64)> {
        let groups = report["groups"].as_array().unwrap().iter();
        groups
            .map(|group| (group["reason"].as_str().unwrap().into(), group["records"].as_u64().unwrap()))
            .collect()
    };
    let expected = [("json".to_owned(), 1), ("partition".to_owned(), 2)];
    assert_eq!(reasons(&listed(&folder, &[], 0)), expected);

    // Now the edge refuses what is no JSON, and the prefix asks for nothing.
    let stopped = server.stop();
    let corrected = pipeline("reject").replace("p={/p}/", "all/");
    let server = Setup::pipeline(corrected).in_folder(stopped.folder).start();
    let sent = replay(&server, &[], &[]);
    assert_eq!(sent.code, Some(1), "{}\n{}", sent.out, sent.err);
    assert!(sent.out.contains("sent 2 records") && sent.out.contains("refused 1: json 1"), "{}", sent.out);
    let stopped = server.stop();
    stopped.assert_drained();
    let ids = lake::gunzip_all(&stopped.path("data/lake/m/lake/all"));
    assert_eq!(ids, ["{\"n\":1}", "{\"n\":3}"]);
}

#[tokio::test]
async fn what_cannot_be_read_or_reached_is_named_and_the_rest_is_served() {
    let server = with_dead_letters(30, 10).await;
    server.accept("s", "{\"id\":100}\n").await;
    let name = "forebay_delivery_dead_lettered_records_total";
    server.until(name, "reason=\"partition\"", |found| found == 11.0).await;
    let folder = server.folder().to_owned();
    let files = lake::files(&folder.join("data/lake/s/lake/errors"), ".json.gz");
    assert!(files.len() >= 2, "{files:?}");
    let content = std::fs::read(&files[0]).unwrap();
    std::fs::write(&files[0], &content[..content.len() / 2]).unwrap();
    let report = listed(&folder, &[], 1);
    assert!(report["problems"][0].as_str().unwrap().contains("cannot be read on"), "{report}");
    assert!(report["groups"][0]["records"].as_u64().unwrap() >= 1, "{report}");
    std::fs::remove_file(&files[0]).unwrap();
    let report = listed(&folder, &[], 0);
    assert!(report["notes"][0].as_str().unwrap().contains("not in the sink any more"), "{report}");
    std::fs::write(&files[0], content).unwrap();

    for (arguments, said) in [
        (&["ls", "--stream", "nobody"][..], "no pipeline file has a stream 'nobody'"),
        (&["ls", "--delivery", "nobody"], "no pipeline file has a delivery 'nobody'"),
        (&["ls", "--since", "yesterday"], "--since yesterday: write a time such as"),
        (&["show", "--grep", "("], "--grep: regex parse error"),
        (&["replay"], "name its address with --url"),
        (&["replay", "--url", "localhost"], "--url:"),
    ] {
        let done = dlq(&folder, arguments);
        assert_eq!(done.code, Some(2), "{arguments:?}: {}\n{}", done.out, done.err);
        assert!(done.err.contains(said), "{arguments:?}: {}", done.err);
    }
    // Nobody listens there; nothing is taken for sent.
    let away = dlq(&folder, &["replay", "--url", "http://127.0.0.1:9"]);
    assert_eq!(away.code, Some(1), "{}\n{}", away.out, away.err);
    assert!(away.err.contains("cannot be reached"), "{}", away.err);
    let elsewhere = replay(&server, &["--to", "nobody"], &[]);
    assert!(elsewhere.err.contains("the node has no such stream"), "{}", elsewhere.err);
    let admin = format!("http://{}", server.admin);
    let wrong = dlq(&folder, &["replay", "--url", &admin]);
    assert!(wrong.err.contains("is this the right address?"), "{}", wrong.err);
    let sent = replay(&server, &[], &[]);
    assert!(sent.out.starts_with("sent 11 records"), "{}\n{}", sent.out, sent.err);

    let journal = folder.join("data/dlq-replay.journal");
    let mut content = std::fs::read(&journal).unwrap();
    content[30] ^= 1;
    std::fs::write(&journal, content).unwrap();
    let damaged = replay(&server, &[], &[]);
    assert_eq!(damaged.code, Some(1), "{}", damaged.out);
    assert!(damaged.err.contains("is damaged at line 1"), "{}", damaged.err);
}

#[tokio::test]
async fn letters_of_two_deliveries_are_not_sent_together() {
    let second =
        "[[delivery]]\nname = \"other\"\nprefix = \"x={/kind}/\"\nbuffer = { interval = \"200ms\" }\n";
    let server = Setup::pipeline(by_kind("kind={/kind}/") + second).start();
    server.accept("s", lines(3)).await;
    server.until("forebay_delivery_dead_lettered_records_total", "", |found| found == 2.0).await;
    let done = replay(&server, &[], &[]);
    assert_eq!(done.code, Some(2), "{}", done.out);
    assert!(done.err.contains("are from the deliveries lake, other: choose one"), "{}", done.err);
    assert_eq!(replay(&server, &["--delivery", "other", "--dry-run"], &[]).code, Some(0));
}

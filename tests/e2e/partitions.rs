//! Partitions: every row's values are those of its path, whatever they are, and nobody suffers from a client that makes
//! too many of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::lake;
use crate::server::{Setup, durable_stream, stream};

/// Values that would leave their folder if they could, and some that only look odd.
const HOSTILE: [&str; 22] = [
    "../../../../tmp/x",
    "..",
    ".",
    "...",
    "",
    "/",
    "//",
    "/etc/passwd",
    "a/../b",
    "%2e%2e%2f",
    "..%2F",
    "\\..\\",
    "C:\\x",
    "\u{0}",
    "a\nb",
    "=",
    "x=1/y=2",
    "{/t}",
    "ÄÖÜ ß",
    "\u{202e}txt.exe",
    "日本語のテナント",
    "__HIVE_DEFAULT_PARTITION__",
];

/// `name=value` of each folder above a file, decoded.
fn values_of_path(root: &Path, file: &Path) -> BTreeMap<String, String> {
    let folder = file.parent().unwrap().strip_prefix(root).unwrap();
    let values = folder.iter().map(|segment| {
        let (name, value) = segment.to_str().unwrap().split_once('=').unwrap();
        let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned();
        (name.to_owned(), value)
    });
    values.collect()
}

/// Hive has one name for what is empty and for what is missing.
fn in_hive(text: String) -> String {
    if text.is_empty() { "__HIVE_DEFAULT_PARTITION__".to_owned() } else { text }
}

fn lines_of(path: &Path) -> Vec<Value> {
    lake::gunzip_lines(path).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_rows_values_equal_its_path_and_no_value_leaves_the_prefix() {
    let config = stream("s", 3)
        + r#"[[delivery]]
        name = "lake"
        sink = { path = "out/lake" }
        time_zone = "America/St_Johns"
        event_time = "/at"
        allowed_lateness = "365d"
        late_prefix = "late=yes/t={/t|default}/"
        max_future = "1d"
        partition_keys = { short = "/t|truncate(2)|default(none)" }
        prefix = "t={/t|default}/upper={/t|upper|default(none)}/short=!{partitionKeyFromQuery:short}/dt={event_time:%Y-%m-%dT%H}/y=!{timestamp:yyyy}/"
        error_prefix = "errors/!{firehose:error-output-type}/"
        "#;
    let server = Setup::pipeline(config).start();
    let now = chrono::Utc::now();
    let mut sent = BTreeMap::new();
    let mut records = Vec::new();
    for (index, value) in
        HOSTILE.iter().map(|text| json!(text)).chain([Value::Null, json!(1.50), json!(true)]).enumerate()
    {
        for (hours, kind) in [(-30_i64, "row"), (-9_000, "late"), (48, "dead")] {
            let id = format!("{index}{kind}");
            let at = now + chrono::Duration::hours(hours);
            let record = json!({"id": id, "t": value, "at": at.to_rfc3339()});
            records.push(record.to_string());
            sent.insert(id, record);
        }
    }
    records.push(json!({"id": "list", "t": [1], "at": now.to_rfc3339()}).to_string());
    server.accept("s", records.join("\n")).await;
    let stopped = server.stop();
    stopped.assert_drained();
    let (root, out) = (stopped.path("out/lake"), stopped.path("out"));
    let mut found = BTreeSet::new();
    for path in lake::files(&out, ".json.gz") {
        assert!(path.starts_with(&root), "{} has left the prefix", path.display());
        if path.starts_with(root.join("errors")) {
            assert!(path.starts_with(root.join("errors/processing-failed")), "{}", path.display());
            continue;
        }
        let values = values_of_path(&root, &path);
        for row in lines_of(&path) {
            let text = match &row["t"] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            assert_eq!(values["t"], in_hive(text.clone().unwrap_or_default()), "{row}");
            let id = row["id"].as_str().unwrap().to_owned();
            assert_eq!(values.contains_key("late"), id.ends_with("late"), "{row}");
            assert_eq!(sent[&id], row);
            assert!(found.insert(id), "{row} is there twice");
            if values.contains_key("late") {
                continue;
            }
            let upper = text.as_deref().map(str::to_uppercase).unwrap_or("none".to_owned());
            assert_eq!(values["upper"], in_hive(upper), "{row}");
            let short = text.map_or("none".to_owned(), |text| text.chars().take(2).collect());
            assert_eq!(values["short"], in_hive(short), "{row}");
            let at: jiff::Timestamp = row["at"].as_str().unwrap().parse().unwrap();
            let local = at.in_tz("America/St_Johns").unwrap();
            assert_eq!(values["dt"], local.strftime("%Y-%m-%dT%H").to_string(), "{row}");
        }
    }
    assert_eq!(found.len(), 2 * (HOSTILE.len() + 3));
    let dead = lake::dead_letters(&root.join("errors"));
    let reasons = |reason: &str| dead.iter().filter(|letter| letter["reason"] == reason).count();
    assert_eq!((reasons("event_time"), reasons("partition")), (HOSTILE.len() + 3, 1));
    let ahead = dead.iter().find(|letter| letter["reason"] == "event_time").unwrap();
    assert!(
        ahead["message"].as_str().unwrap().ends_with("s ahead of the arrival, where max_future is 1d"),
        "{ahead}"
    );
}

/// Distinct values of the hostile client.
const VALUES: u64 = 10_000;
/// Open files that its delivery may have.
const OPEN_MAX: f64 = 200.0;

#[tokio::test]
async fn ten_thousand_partitions_of_one_client_are_all_stored_and_nobody_else_waits_for_them() {
    let delivery = |name: &str, lines: &str| {
        format!("[[delivery]]\nname = \"{name}\"\nsink = {{ path = \"{name}\" }}\n{lines}\n")
    };
    let quick = "prefix = \"\"\nbuffer = { size = \"1MiB\", interval = \"300ms\" }";
    let shared = stream("shared", 2)
        + &delivery("split", &format!("prefix = \"p={{/p}}/\"\nmax_open_partitions = {OPEN_MAX}"))
        + &delivery("whole", quick);
    let other = durable_stream("other", 1, "os") + &delivery("neighbour", quick);
    let server =
        Setup::pipeline(shared).and_pipeline("other", other).node("memory_budget = \"32MiB\"").start();
    let mut sent = 0_u64;
    for from in (0..VALUES).step_by(1_000) {
        let hostile: String =
            (from..from + 1_000).map(|n| format!("{{\"n\":{n},\"p\":\"{n}\"}}\n")).collect();
        sent += server.accept("shared", hostile).await;
        sent += server.accept("shared", format!("{{\"n\":{},\"p\":\"good\"}}", VALUES + from)).await;
        assert_eq!(server.accept("other", format!("{{\"n\":{from}}}")).await, 1);
    }
    let delivered = "forebay_delivery_delivered_records_total";
    // While the flood is stored, or waits for that, the others go on.
    let mut open_most = 0.0_f64;
    server.until(delivered, "neighbour", |count| count == 10.0).await;
    server.until(delivered, "whole", |count| count == sent as f64).await;
    loop {
        let open = server.metric("forebay_delivery_open_partitions", "split").await;
        open_most = open_most.max(open);
        let used = server.metric("forebay_memory_used_bytes", "").await;
        assert!(used <= f64::from(32 << 20), "{used}");
        let sealed = server
            .metric("forebay_delivery_sealed_files_total", "delivery=\"split\",reason=\"partitions\"")
            .await;
        if sealed >= VALUES as f64 - OPEN_MAX {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(open_most <= OPEN_MAX, "{open_most}");
    let stopped = server.stop();
    stopped.assert_drained();
    let root = stopped.path("split");
    let mut seen = BTreeSet::new();
    let mut folders = BTreeSet::new();
    for path in lake::files(&root, ".json.gz") {
        let values = values_of_path(&root, &path);
        for row in lines_of(&path) {
            assert_eq!(row["p"], values["p"], "{}", path.display());
            assert!(seen.insert(row["n"].as_u64().unwrap()), "{row} is there twice");
        }
        folders.insert(values["p"].clone());
    }
    assert_eq!((seen.len() as u64, folders.len() as u64), (sent, VALUES + 1));
}

use std::fs;

use clap::Parser;
use serde_json::Value;

use super::super::{Cli, run};
use super::*;

/// Runs `forebay` with arguments; its exit and its output.
fn forebay(arguments: &[&str]) -> (Exit, String) {
    let cli = Cli::try_parse_from(["forebay"].iter().chain(arguments)).expect("arguments that make sense");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let env = |name: &str| (name == "SECRET").then(|| "hunter2".to_owned());
    let mut session = Session { env: &env, out: &mut out, err: &mut err };
    let exit = run(cli, &mut session).expect("a vector takes everything");
    assert!(err.is_empty(), "what is found is output, not an error");
    (exit, String::from_utf8(out).expect("text"))
}

const GOOD: &str = r#"
[stream]
name = "s"
durability = "memory"
[schema]
columns = [{ name = "id", type = "int64" }]
[[delivery]]
name = "a"
format = "parquet"
sink = { url = "s3://lake/x", endpoint = "http://h:1", access_key_id = "${SECRET}", secret_access_key = "${SECRET}" }
[[delivery]]
name = "b"
sink = { path = "/srv/lake" }
buffer = { size = "1MiB", interval = "90s" }
prefix = ""
"#;

#[test]
fn a_good_configuration_is_summed_up_without_its_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("s.toml");
    let file = file.to_str().expect("text");
    fs::write(file, GOOD).expect("a file");
    let (exit, said) = forebay(&["check", file]);
    assert_eq!(
        said,
        format!(
            "stream s ({file}): 1 shard, durability memory, retention 1d, no JSON Schema
  delivery a: parquet (snappy), columns declared, a file every 64MiB or 1m
    to s3://lake/x/dt={{arrival_time:%Y-%m-%d}}/hour={{arrival_time:%H}}/
    row groups of 16MiB
    dead letters to errors/{{reason}}/
  delivery b: json (gzip level 1), a file every 1MiB or 90s
    to file:///srv/lake/
    dead letters to errors/{{reason}}/
node: HTTP on 127.0.0.1:8080, admin on 127.0.0.1:9090, data in ./data, memory budget 256MiB, log segments of 64MiB
ok: 1 stream, 2 deliveries
"
        )
    );
    assert_eq!(exit, Exit::Well);
    let (exit, said) = forebay(&["check", file, "--json"]);
    assert_eq!(exit, Exit::Well);
    assert!(!said.contains("hunter2"), "{said}");
    let report: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(report["ok"], true);
    assert_eq!(report["problems"], Value::Array(Vec::new()));
    let stream = &report["streams"][0];
    assert_eq!((&stream["name"], &stream["retention_ms"]), (&"s".into(), &86_400_000.into()));
    let delivery = &stream["deliveries"][1];
    assert_eq!((&delivery["compression"], &delivery["compression_level"]), (&"gzip".into(), &1.into()));
    assert_eq!(
        (&delivery["buffer_bytes"], &delivery["buffer_interval_ms"]),
        (&1_048_576.into(), &90_000.into())
    );
}

const RICH: &str = r#"
[stream]
name = "s"
[schema]
columns = [{ name = "id", type = "int64" }, { name = "at", type = "timestamp_micros" }]
[[delivery]]
name = "rows"
format = "parquet"
row_group = "4MiB"
sort_by = ["id", "-at"]
bloom_filters = ["id"]
sink = { path = "/srv/lake" }
prefix = "dt={event_time:%Y-%m-%d}/"
event_time = "/at"
time_zone = "Europe/Berlin"
allowed_lateness = "2h"
late_prefix = "late/"
max_future = "10m"
dead_letters = { envelope = "firehose", buffer = { interval = "5m" } }
backup = { records = "failed" }
[[delivery]]
name = "stripes"
format = "orc"
sink = { path = "/srv/orc" }
bloom_filters = ["id"]
prefix = ""
[[delivery]]
name = "lines"
format = "json"
envelope = true
sink = { path = "/srv/lines" }
prefix = ""
"#;

#[test]
fn what_files_are_like_and_where_records_go_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("s.toml");
    let file = file.to_str().expect("text");
    fs::write(file, RICH).expect("a file");
    let (exit, said) = forebay(&["check", file]);
    let deliveries = "
  delivery rows: parquet (snappy), columns declared, a file every 64MiB or 1m
    to file:///srv/lake/dt={event_time:%Y-%m-%d}/, times in Europe/Berlin
    row groups of 4MiB, sorted by id -at, bloom filters for id
    more than 2h late: to late/
    more than 10m ahead: to the dead letters
    dead letters in firehose's envelope to errors/{reason}/, a file every 64MiB or 5m
  delivery rows-backup: json (gzip level 1), a backup of failed records, a file every 64MiB or 1m
    to file:///srv/lake/backup/dt={arrival_time:%Y-%m-%d}/hour={arrival_time:%H}/, times in Europe/Berlin
  delivery stripes: orc (snappy), columns declared, a file every 64MiB or 1m
    to file:///srv/orc/
    stripes of 16MiB, statistics every 10000 rows, bloom filters for id
    dead letters to errors/{reason}/
  delivery lines: json (gzip level 1), a file every 64MiB or 1m
    to file:///srv/lines/
    each line in an envelope
    dead letters to errors/{reason}/
node: ";
    assert!(said.contains(deliveries), "{said}");
    assert_eq!(exit, Exit::Well);
    let (_, said) = forebay(&["check", file, "--json"]);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let delivery = |index: usize| report["streams"][0]["deliveries"][index].clone();
    let (rows, backup, stripes, lines) = (delivery(0), delivery(1), delivery(2), delivery(3));
    assert_eq!(rows["sort_by"], serde_json::json!(["id", "-at"]));
    assert_eq!((&rows["row_group_bytes"], &rows["max_future_ms"]), (&(4 << 20).into(), &600_000.into()));
    assert_eq!((&rows["time_zone"], &rows["event_time"]), (&"Europe/Berlin".into(), &"/at".into()));
    assert_eq!((&rows["late_prefix"], &rows["allowed_lateness_ms"]), (&"late/".into(), &7_200_000.into()));
    assert_eq!(rows["dead_letters"]["envelope"], "firehose");
    assert_eq!(rows["dead_letters"]["buffer_interval_ms"], 300_000);
    assert_eq!((&backup["backup"], &backup["dead_letters"]), (&"failed".into(), &Value::Null));
    assert_eq!(
        (&stripes["stripe_bytes"], &stripes["row_index_stride"]),
        (&(16 << 20).into(), &10_000.into())
    );
    assert_eq!((&stripes["bloom_filters"], &lines["envelope"]), (&serde_json::json!(["id"]), &true.into()));
}

#[test]
fn what_a_durable_stream_keeps_and_where_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (file, node) = (path("s.toml"), path("forebay.toml"));
    fs::write(&file, "[stream]\nname = \"s\"\nretention_bytes = \"2GiB\"").expect("a file");
    fs::write(&node, "node = \"a\"\n[log]\nsegment = \"128MiB\"\nwriter = \"thread\"").expect("a file");
    let (exit, said) = forebay(&["check", &file, "--config", &node]);
    assert_eq!(exit, Exit::Well);
    assert!(said.contains("durability fsync, retention 1d or 2GiB, "), "{said}");
    assert!(said.contains("\nnode a: ") && said.contains(", log segments of 128MiB\n"), "{said}");
    let (_, said) = forebay(&["check", &file, "--config", &node, "--json"]);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let (node, stream) = (&report["node"], &report["streams"][0]);
    assert_eq!((&node["name"], &node["log_writer"]), (&"a".into(), &"thread".into()));
    assert_eq!(node["log_segment_bytes"], 128 << 20);
    assert_eq!((&stream["durability"], &stream["retention_bytes"]), (&"fsync".into(), &(2_u64 << 30).into()));
    assert_eq!(stream["idempotency_window_ms"], 600_000);
}

#[test]
fn problems_are_printed_and_end_with_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("s.toml");
    let file = file.to_str().expect("text");
    fs::write(file, "[stream]\nname = \"s\"\ndurability = \"memory\"\nsahrds = 1\n").expect("a file");
    let (exit, said) = forebay(&["check", file]);
    let message = "unknown key \"sahrds\" in [stream]: did you mean \"shards\"?";
    assert_eq!((exit, said), (Exit::NotWell, format!("{file}:4:1: {message}\n1 problem\n")));
    let (exit, said) = forebay(&["check", "--json", file]);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let problem = serde_json::json!({
        "file": file, "line": 4, "column": 1, "path": "stream.sahrds", "message": message, "help": null,
    });
    assert_eq!(exit, Exit::NotWell);
    assert_eq!((&report["ok"], &report["problems"]), (&false.into(), &Value::Array(vec![problem])));
}

#[test]
fn the_schemas_of_the_files_are_printed_for_editors() {
    for (kind, schema) in [("pipeline", pipeline_schema()), ("forebay", node_schema())] {
        let (exit, said) = forebay(&["check", "--print-schema", kind]);
        assert_eq!(exit, Exit::Well);
        assert_eq!(serde_json::from_str::<Value>(&said).expect("JSON"), schema);
    }
}

#[test]
fn a_schema_is_printed_or_files_are_checked() {
    assert!(Cli::try_parse_from(["forebay", "check", "--print-schema", "pipeline", "x.toml"]).is_err());
}

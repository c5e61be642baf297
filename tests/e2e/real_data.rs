//! Real events through the real binary, judged by pyarrow and DuckDB. The data is not part of the project: these tests
//! are skipped, and say so, where it is not there.

use std::io::Read;
use std::path::{Path, PathBuf};

use forebay::testkit::skip::skipped;

use crate::conformance::formats::{self, FORMATS};
use crate::lake;
use crate::server::{Setup, Stopped, stream};

/// Lines of a file of real events.
pub fn events(name: &str) -> Option<(PathBuf, Vec<String>)> {
    let folder = std::env::var_os("FOREBAY_TEST_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = folder.join(name);
    let Ok(file) = std::fs::File::open(&path) else {
        skipped(&format!("there is no {} (FOREBAY_TEST_DATA names its folder)", path.display()));
        return None;
    };
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    Some((path, text.lines().map(ToOwned::to_owned).collect()))
}

/// Deliveries in every format and codec, with `lines` in all of them.
fn deliveries(lines: &str) -> String {
    formats::deliveries(FORMATS.iter().filter(|written| written.is_for_all_columns()), lines)
}

/// The JSON files hold exactly the lines that were sent, byte for byte.
fn assert_json_is(stopped: &Stopped, mut sent: Vec<String>) {
    let mut found = lake::gunzip_all(&stopped.path("lake/json_gzip"));
    found.sort_unstable();
    sent.sort_unstable();
    assert!(found == sent, "JSON lines are what was sent: {} of {}", found.len(), sent.len());
}

/// Reads all of them back. `script` prints how much was equal.
fn assert_equal(stopped: &Stopped, source: &Path, script: &str, equal: &str) {
    let Some(python) = lake::python() else { return };
    let folder = stopped.path("lake");
    let report = lake::run_reader(&python, script, &[&source.to_string_lossy(), &folder.to_string_lossy()]);
    let deliveries = FORMATS.iter().filter(|written| written.is_for_all_columns()).count();
    assert!(report.contains(&format!("{equal} equal in {deliveries} deliveries")), "{report}");
}

const WEB_SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
  "required": ["client_ip", "timestamp", "status"],
  "properties": {
    "client_ip": {"type": "string", "minLength": 3}, "timestamp": {"type": "string", "format": "date-time"},
    "method": {"enum": ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE"]}, "path": {"type": "string"},
    "protocol": {"type": "string", "pattern": "^HTTP/"}, "status": {"type": "integer", "minimum": 100, "maximum": 599},
    "bytes": {"type": ["integer", "null"], "minimum": 0}, "referrer": {"type": ["string", "null"]},
    "user_agent": {"type": ["string", "null"]}
  }
}"#;

#[tokio::test]
async fn web_events_arrive_in_every_format_and_codec() {
    let Some((source, lines)) = events("web_access.ndjson.gz") else { return };
    let config = stream("web", 4)
        + r#"
[ingest]
partition_key = "/client_ip"
schema = "web.schema.json"
"# + &deliveries(
        "event_time = \"/timestamp\"\nprefix = \"dt={event_time:%Y-%m-%d}/hour={event_time:%H}/\"",
    );
    let server = Setup::pipeline(config).file("web.schema.json", WEB_SCHEMA).start();
    for chunk in lines.chunks(100) {
        assert_eq!(server.accept("web", chunk.join("\n")).await, chunk.len() as u64);
    }
    let stopped = server.stop();
    stopped.assert_drained();
    assert_json_is(&stopped, lines);
    assert_equal(&stopped, &source, "check_web_access.py", "9999 events");
}

#[tokio::test]
async fn deeply_nested_telemetry_arrives_in_parquet_and_json_with_every_value_right() {
    let Some((source, lines)) = events("nginx_status.ndjson.gz") else { return };
    let config = stream("nginx", 2)
        + r#"
[ingest]
partition_key = "/address"

[schema]
columns = [
  { name = "version", type = "int32", nullable = false },
  { name = "nginx_version", type = "string" },
  { name = "timestamp", type = "timestamp_millis", nullable = false },
  { name = "load_timestamp", type = "int64" },
  { name = "pid", type = "uint32" },
  { name = "connections", type = "struct<accepted: int64, dropped: int64, active: int32, idle: int32>" },
  { name = "server_zones", type = "map<string, struct<processing: int64, requests: int64, responses: map<string, int64>, discarded: int64, received: int64, sent: int64>>" },
  { name = "upstreams", type = "map<string, struct<peers: list<struct<id: int32, server: string, backup: bool, weight: int32, state: string, active: int64, requests: int64, responses: map<string, int64>, health_checks: struct<checks: int64, fails: int64, unhealthy: int64, last_passed: bool>, downtime: int64, selected: timestamp_millis>>, keepalive: int64>>" },
  { name = "caches", type = "json" },
]
"# + &deliveries("event_time = \"/timestamp\"\nprefix = \"dt={event_time:%Y-%m-%d}/\"");
    let server = Setup::pipeline(config).start();
    for chunk in lines.chunks(50) {
        let array = format!("[{}]", chunk.join(","));
        let (status, reply) = server.post("nginx", "application/json", array).await;
        assert_eq!((status, reply["accepted"].as_u64()), (200, Some(chunk.len() as u64)), "{reply}");
    }
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(
        stopped.stdout.contains("nginx/parquet_none: accepted 500 = delivered 500"),
        "{}",
        stopped.stdout
    );
    assert_json_is(&stopped, lines);
    assert_equal(&stopped, &source, "check_nginx_status.py", "500 documents");
}

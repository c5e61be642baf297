//! Chaos between the real binary and a real S3 server, and the real lake judged at the end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a failed test")]

#[allow(dead_code, reason = "other tests need the rest of it")]
mod node;

use std::path::Path;

use forebay::testkit::port::Port;
use forebay::testkit::skip::skipped;
use forebay_load::record::Record;

/// Where the S3 server is that `make test` starts, and its bucket.
fn store() -> Option<(String, String)> {
    let var = |name: &str| std::env::var(name).ok();
    let found = var("FOREBAY_S3_ENDPOINT").zip(var("FOREBAY_S3_BUCKET"));
    if found.is_none() {
        skipped("FOREBAY_S3_ENDPOINT is not set (`make test` starts an S3 server and sets it)");
    }
    found
}

/// A load of 4 s with `chaos`, into a lake of its own in the store, which is reached through the proxy. Says what the
/// load generator has told, and gives its record.
fn disturbed(name: &str, chaos: &str, more: &[&str]) -> Option<(String, Record)> {
    let (endpoint, bucket) = store()?;
    let binary = node::binary()?;
    let folder = tempfile::tempdir().unwrap();
    let (port, admin, proxy) = (Port::take().unwrap(), Port::take().unwrap(), Port::take().unwrap());
    // Keys come from the environment. Uploads that get no answer are tried again soon.
    let addresses = [port.address().to_string(), admin.address().to_string()];
    node::prepare(folder.path(), [&addresses[0], &addresses[1]], "");
    let lake = format!("s3://{bucket}/chaos-{name}-{}/", std::process::id());
    let pipeline = format!(
        "[stream]\nname = \"clickstream\"\nshards = 4\ndurability = \"fsync\"\n\
         [ingest]\npartition_key = \"/session_id\"\n\
         [[delivery]]\nname = \"json\"\nformat = \"json\"\ncompression = \"gzip\"\n\
         buffer = {{ size = \"64KiB\", interval = \"1s\" }}\n\
         sink = {{ url = \"{lake}\", endpoint = \"http://{}\", allow_http = true }}\n",
        proxy.address()
    );
    std::fs::write(folder.path().join("pipelines/clickstream.toml"), pipeline).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let upstream = endpoint.strip_prefix("http://").unwrap();
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_forebay-load"))
        .args(["run", "--url", &format!("http://{}", port.address()), "--retry"])
        .args(["--rate", "2000", "--batch", "20", "--duration", "4s", "--chaos", chaos])
        .args(["--stall-proxy", &format!("{}={upstream}", proxy.address())])
        .args(["--server-command", &format!("env -C {} {} serve pipelines", path(""), binary.display())])
        .args(["--server-log", &path("server.log"), "--record", &path("run.record")])
        .args(["--metrics", &format!("http://{}", admin.address())])
        .args(["--verify", &lake, "--endpoint", &endpoint])
        .args(more)
        .output()
        .unwrap();
    let told = String::from_utf8(done.stdout).unwrap();
    let log = std::fs::read_to_string(path("server.log")).unwrap_or_default();
    let last: Vec<_> = log.lines().rev().take(40).collect();
    assert!(done.status.success(), "{told} {} {last:#?}", String::from_utf8_lossy(&done.stderr));
    Some((told, Record::read(Path::new(&path("run.record"))).unwrap()))
}

fn marks(record: &Record) -> Vec<&str> {
    record.marks.iter().map(|mark| mark.text.as_str()).collect()
}

#[test]
fn a_store_that_stalls_and_is_cut_off_gets_every_record_once() {
    let chaos = "stall@500ms,heal@1500ms,cut@2s,heal@3s";
    let Some((told, record)) = disturbed("stall", chaos, &[]) else { return };
    assert!(told.contains("expected 8000: missing 0, duplicated 0, reordered 0"), "{told}");
    assert_eq!(marks(&record), ["stall", "heal", "cut", "heal"]);
    // The store was away for those who upload, …
    let errors = &record.metrics.series["forebay_delivery_upload_errors_total"];
    assert!(errors.iter().flatten().any(|count| *count > 0.0), "{errors:?}");
    // … but the log takes what the store cannot: nobody who sends sees any of it.
    assert_eq!((record.report.records.acked, record.report.requests.failed), (8_000, 0));
}

#[test]
fn a_server_that_is_killed_while_its_store_is_away_loses_nothing_and_doubles_nothing() {
    let chaos = "cut@500ms,kill@1s,restart@1500ms,heal@2500ms,stall@3s,heal@3500ms";
    let Some((told, record)) = disturbed("kill", chaos, &["--processes", "2"]) else { return };
    assert!(told.contains("expected 8000: missing 0, duplicated 0, reordered 0"), "{told}");
    assert_eq!(marks(&record), ["cut", "kill", "restart", "heal", "stall", "heal"]);
    assert!(record.report.requests.retries > 0);
    assert!(record.report.server.is_some_and(|server| server.alive_at_end));
}

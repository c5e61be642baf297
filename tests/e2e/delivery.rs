//! Deliveries into files: what is in them, when they are closed, what is dead, and what holds under pressure.

use std::time::Duration;

use base64::Engine;
use forebay::testkit::skip::skipped;
use serde_json::{Value, json};

use crate::lake;
use crate::server::{Setup, stream};

fn delivery(name: &str, lines: &str) -> String {
    format!("[[delivery]]\nname = \"{name}\"\nsink = {{ path = \"{name}\" }}\n{lines}\n")
}

#[tokio::test]
async fn json_files_hold_the_payloads_byte_for_byte_in_the_order_of_their_shard() {
    let server =
        Setup::pipeline(stream("s", 1) + &delivery("lake", "format = \"json\"\nprefix = \"\"")).start();
    let records: Vec<_> = (0..1000).map(|n| format!("{{\"n\" : {n}.00, \"é\":\"\\u00e9\"}}")).collect();
    for chunk in records.chunks(100) {
        server.accept("s", chunk.join("\n")).await;
    }
    let (status, _) = server.post("s", "application/json", "{\n  \"pretty\": [\n 1 ]\n}").await;
    assert_eq!(status, 200);
    let stopped = server.stop();
    stopped.assert_drained();
    let lines = lake::gunzip_all(&stopped.path("lake"));
    assert_eq!(lines[..1000], records);
    assert_eq!(serde_json::from_str::<Value>(&lines[1000]).unwrap(), json!({"pretty": [1]}));
    assert_eq!(lines.len(), 1001);
}

#[tokio::test]
async fn files_are_closed_by_size_by_age_and_for_another_partition_and_the_reason_is_counted() {
    let config = stream("s", 1)
        + &delivery(
            "size",
            "format = \"json\"\ncompression = \"none\"\nbuffer = { size = \"64KiB\", interval = \"1h\" }",
        )
        + &delivery("age", "format = \"json\"\nbuffer = { size = \"64MiB\", interval = \"1s\" }")
        + &delivery(
            "lru",
            "format = \"json\"\nprefix = \"p={/p}/\"\nmax_open_partitions = 3\nbuffer = { size = \"64MiB\", interval = \"1h\" }",
        );
    let server = Setup::pipeline(config).start();
    for round in 0..5 {
        let lines: String = (0..100)
            .map(|n| format!("{{\"p\":{},\"pad\":\"{}\"}}\n", (round * 100 + n) % 10, "x".repeat(400)))
            .collect();
        server.accept("s", lines).await;
    }
    let sealed = "forebay_delivery_sealed_files_total";
    let count = server.until(sealed, "delivery=\"size\",reason=\"size\"", |count| count >= 3.0).await;
    assert!(count <= 4.0, "200 KB in files of 64 KiB: {count}");
    server.until(sealed, "delivery=\"age\",reason=\"age\"", |count| count >= 1.0).await;
    server.until(sealed, "delivery=\"lru\",reason=\"partitions\"", |count| count >= 7.0).await;
    assert!(server.metric("forebay_delivery_open_partitions", "lru").await <= 3.0);
    let stopped = server.stop();
    stopped.assert_drained();
    for name in ["size", "age", "lru"] {
        let plain: usize = lake::files(&stopped.path(name), ".json")
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap().lines().count())
            .sum();
        let lines = lake::gunzip_all(&stopped.path(name));
        assert_eq!(plain + lines.len(), 500, "{name}");
    }
    for path in lake::files(&stopped.path("lru"), ".json.gz") {
        let folder = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        for line in lake::gunzip_lines(&path) {
            let record: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(format!("p={}", record["p"]), folder, "a record lies in its own partition");
        }
    }
}

#[tokio::test]
async fn prefixes_follow_the_event_time_the_arrival_and_fields_of_the_record() {
    let lines = "format = \"json\"\nevent_time = \"/at\"\nprefix = \"{stream}/tenant={/tenant/id}/dt={event_time:%Y-%m-%d}/h={event_time:%H}/y={arrival_time:%Y}/{shard}/\"";
    let server = Setup::pipeline(stream("s", 1) + &delivery("lake", lines)).start();
    let records = [
        r#"{"tenant":{"id":"a"},"at":"2026-01-31T23:59:59.999Z"}"#,
        r#"{"tenant":{"id":"a"},"at":"2026-02-01T01:00:00+01:00"}"#,
        r#"{"tenant":{"id":"x/../y"},"at":1769903999}"#,
        r#"{"tenant":{"id":7},"at":1769904000123}"#,
        r#"{"tenant":{},"at":"2026-01-31T00:00:00Z"}"#,
        r#"{"tenant":{"id":"a"},"at":"soon"}"#,
        r#"{"tenant":{"id":"a"}}"#,
    ];
    server.accept("s", records.join("\n")).await;
    let stopped = server.stop();
    stopped.assert_drained();
    let root = stopped.path("lake");
    let year = chrono::Utc::now().format("%Y").to_string();
    let folders: Vec<_> = lake::files(&root.join("s"), ".json.gz")
        .iter()
        .map(|path| path.parent().unwrap().strip_prefix(&root).unwrap().to_string_lossy().into_owned())
        .collect();
    let expected = |tenant: &str, day: &str, hour: &str| {
        format!("s/tenant={tenant}/dt={day}/h={hour}/y={year}/shardId-000000000000")
    };
    assert_eq!(
        folders,
        [
            expected("7", "2026-02-01", "00"),
            expected("a", "2026-01-31", "23"),
            expected("a", "2026-02-01", "00"),
            expected("x%2F..%2Fy", "2026-01-31", "23"),
        ]
    );
    let mut reasons: Vec<_> = lake::dead_letters(&root.join("errors"))
        .iter()
        .map(|dead| dead["reason"].as_str().unwrap().to_owned())
        .collect();
    reasons.sort();
    assert_eq!(reasons, ["event_time", "event_time", "partition"]);
}

#[tokio::test]
async fn a_record_that_does_not_fit_its_columns_is_dead_and_its_neighbours_are_stored() {
    let config = stream("s", 2)
        + "[ingest]\npartition_key = \"/id\"\n"
        + &delivery("lake", "format = \"parquet\"\nprefix = \"\"")
        + "[schema]\ncolumns = [ { name = \"id\", type = \"int64\", nullable = false }, { name = \"name\", type = \"string\" } ]\n";
    let server = Setup::pipeline(config).start();
    let bad = r#"{"id":"seven","name":"x"}"#;
    server.accept("s", format!("{{\"id\":1,\"name\":\"a\"}}\n{bad}\n{{\"name\":\"b\"}}\n{{\"id\":2}}")).await;
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(
        stopped.stdout.contains("accepted 4 = delivered 2 + dead-lettered 2 + pending 0"),
        "{}",
        stopped.stdout
    );
    let dead = lake::dead_letters(&stopped.path("lake/errors/columns"));
    assert_eq!(dead.len(), 2);
    let letter = dead.iter().find(|dead| dead["partition_key"] == "seven").unwrap();
    assert_eq!(
        (&letter["reason"], &letter["attempts"], &letter["stream"], &letter["delivery"]),
        (&json!("columns"), &json!(1), &json!("s"), &json!("lake"))
    );
    assert!(letter["message"].as_str().unwrap().starts_with("/id: expected int64, got"), "{letter}");
    assert!(
        letter["shard"].as_str().unwrap().starts_with("shardId-") && letter["sequence_number"].is_string()
    );
    for time in ["arrival_time", "first_failed_at", "failed_at"] {
        chrono::DateTime::parse_from_rfc3339(letter[time].as_str().unwrap()).unwrap();
    }
    let raw = base64::engine::general_purpose::STANDARD.decode(letter["raw"].as_str().unwrap()).unwrap();
    assert_eq!(raw, bad.as_bytes());
}

#[tokio::test]
async fn a_partition_that_no_record_fits_leaves_no_empty_file() {
    let config = stream("s", 1)
        + &delivery("lake", "format = \"parquet\"\nprefix = \"p={/p}/\"")
        + "[schema]\ncolumns = [ { name = \"n\", type = \"int64\", nullable = false } ]\n";
    let server = Setup::pipeline(config).start();
    server.accept("s", "{\"p\":1,\"n\":\"x\"}\n{\"p\":2,\"n\":5}").await;
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(stopped.stdout.contains("delivered 1 + dead-lettered 1"), "{}", stopped.stdout);
    let files = lake::files(&stopped.path("lake"), ".parquet");
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].to_string_lossy().contains("p=2"), "{files:?}");
}

#[tokio::test]
async fn invalid_records_become_dead_letters_of_every_delivery_where_the_pipeline_says_so() {
    let config = stream("s", 1)
        + "[ingest]\nschema = \"s.json\"\non_invalid = \"dead_letter\"\n"
        + &delivery("one", "format = \"json\"")
        + &delivery("two", "format = \"json\"\nerror_prefix = \"bad/{reason}/\"");
    let server = Setup::pipeline(config).file("s.json", r#"{"required":["a"]}"#).start();
    let (status, reply) = server.post("s", "application/x-ndjson", "{\"a\":1}\n{\"b\":1}\nnot json\n").await;
    assert_eq!((status, &reply["accepted"], &reply["rejected"]), (200, &json!(3), &json!(0)), "{reply}");
    let (_, page) = server.get("/v1/streams/s/records?from=earliest").await;
    assert_eq!(page["records"].as_array().unwrap().len(), 1, "taps show valid records alone");
    let stopped = server.stop();
    stopped.assert_drained();
    for folder in ["one/errors", "two/bad"] {
        assert_eq!(lake::dead_letters(&stopped.path(folder).join("schema")).len(), 1, "{folder}");
        let dead = lake::dead_letters(&stopped.path(folder).join("json"));
        assert_eq!(
            base64::engine::general_purpose::STANDARD.decode(dead[0]["raw"].as_str().unwrap()).unwrap(),
            b"not json"
        );
    }
}

#[tokio::test]
async fn the_balance_is_in_the_metrics() {
    let server = Setup::pipeline(
        stream("s", 2)
            + &delivery("lake", "format = \"json\"\nbuffer = { size = \"1MiB\", interval = \"1s\" }"),
    )
    .start();
    server.accept("s", "{}\n".repeat(100)).await;
    assert_eq!(server.metric("forebay_ingest_records_total", "verdict=\"accepted\"").await, 100.0);
    let labels = "stream=\"s\",delivery=\"lake\"";
    server.until("forebay_delivery_delivered_records_total", labels, |count| count == 100.0).await;
    server.until("forebay_delivery_pending_records", labels, |count| count == 0.0).await;
    assert_eq!(server.metric("forebay_delivery_oldest_pending_age_seconds", labels).await, 0.0);
    assert_eq!(server.metric("forebay_delivery_read_records_total", labels).await, 100.0);
    assert_eq!(server.metric("forebay_stream_retained_records", "stream=\"s\"").await, 100.0);
    let (_, text) = server.admin_get("/metrics").await;
    if let Some(promtool) = std::env::var_os("FOREBAY_PROMTOOL") {
        check_with_promtool(&promtool, &text);
    } else {
        skipped("FOREBAY_PROMTOOL is not set, so promtool does not check the metrics");
    }
    server.stop().assert_drained();
}

fn check_with_promtool(promtool: &std::ffi::OsStr, text: &str) {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn what_deliveries_do_not_need_is_forgotten_when_its_time_is_over() {
    let config = stream("s", 1).replace("durability", "retention = \"1s\"\ndurability")
        + &delivery("lake", "format = \"json\"");
    let server = Setup::pipeline(config).start();
    server.accept("s", "{}\n".repeat(10)).await;
    server.until("forebay_stream_evicted_records_total", "reason=\"time\"", |count| count == 10.0).await;
    let (_, page) = server.get("/v1/streams/s/records?from=earliest").await;
    assert_eq!(page["records"], json!([]));
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(lake::gunzip_all(&stopped.path("lake")).len(), 10);
}

#[tokio::test]
async fn memory_that_taps_alone_hold_is_given_up_for_new_records() {
    // 16 MiB of ingest share, and four times as much sent.
    let server = Setup::pipeline(stream("s", 1)).node("memory_budget = \"32MiB\"").start();
    let body = format!("{{\"pad\":\"{}\"}}\n", "x".repeat(100_000)).repeat(10);
    for _ in 0..64 {
        assert_eq!(server.accept("s", body.clone()).await, 10);
    }
    assert!(server.metric("forebay_stream_evicted_records_total", "reason=\"pressure\"").await > 300.0);
    assert!(server.metric("forebay_memory_used_bytes", "share=\"ingest\"").await <= f64::from(16 << 20));
    tokio::time::sleep(Duration::from_millis(10)).await;
}

#[tokio::test]
async fn dead_letters_take_no_place_of_a_partition_and_follow_their_own_prefix() {
    let lines = "format = \"json\"\nprefix = \"p={/p}/\"\nmax_open_partitions = 2\nerror_prefix = \"bad/{reason}/{shard}/\"";
    let config = stream("s", 4) + "[ingest]\npartition_key = \"/k\"\n" + &delivery("lake", lines);
    let server = Setup::pipeline(config).start();
    let lines: String = (0..600)
        .map(|n| {
            if n % 3 == 2 {
                format!("{{\"k\":\"{n}\"}}\n")
            } else {
                format!("{{\"k\":\"{n}\",\"p\":{}}}\n", n % 3)
            }
        })
        .collect();
    server.accept("s", lines).await;
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(stopped.stdout.contains("delivered 400 + dead-lettered 200"), "{}", stopped.stdout);
    assert_eq!(
        lake::files(&stopped.path("lake"), ".json.gz").len(),
        2 + 4,
        "one file a partition, one a shard of dead letters"
    );
    for path in lake::files(&stopped.path("lake/bad/partition"), ".json.gz") {
        let folder = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        for line in lake::gunzip_lines(&path) {
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["shard"], folder.as_str());
        }
    }
}

#[tokio::test]
async fn one_request_of_very_many_partitions_stays_within_the_budget() {
    let lines = "format = \"parquet\"\nprefix = \"k={/k}/\"";
    let schema = "[schema]\ncolumns = [ { name = \"k\", type = \"int64\" } ]\n";
    let server = Setup::pipeline(stream("s", 1) + &delivery("lake", lines) + schema)
        .node("memory_budget = \"32MiB\"")
        .start();
    let lines: String = (0..5_000).map(|n| format!("{{\"k\":{n}}}\n")).collect();
    server.accept("s", lines).await;
    let labels = "stream=\"s\",delivery=\"lake\"";
    let mut most = 0_f64;
    while server.metric("forebay_delivery_read_records_total", labels).await < 5_000.0 {
        most = most.max(server.metric("forebay_memory_used_bytes", "share=\"delivery\"").await);
    }
    assert!(most < f64::from(18 << 20), "{most} bytes of a share of 16 MiB");
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(lake::files(&stopped.path("lake"), ".parquet").len(), 5_000);
}

#[tokio::test]
async fn a_delivery_whose_sink_is_away_does_not_hold_up_its_neighbours() {
    let away = "sink = { url = \"s3://nowhere/\", endpoint = \"http://127.0.0.1:9\", region = \"us-east-1\", access_key_id = \"a\", secret_access_key = \"b\" }";
    let bad = format!(
        "[[delivery]]\nname = \"away\"\n{away}\nformat = \"json\"\ncompression = \"none\"\nbuffer = {{ size = \"1MiB\", interval = \"1s\" }}\n"
    );
    let good = delivery(
        "lake",
        "format = \"json\"\ncompression = \"none\"\nbuffer = { size = \"1MiB\", interval = \"1s\" }",
    );
    let server = Setup::pipeline(stream("bad", 1) + &bad)
        .and_pipeline("good", stream("good", 1) + &good)
        .node("memory_budget = \"32MiB\"")
        .server("drain_timeout = \"2s\"")
        .start();
    let body = format!("{{\"pad\":\"{}\"}}\n", "x".repeat(50_000)).repeat(10);
    let mut refused = 0;
    for _ in 0..100 {
        refused += u64::from(server.post("bad", "application/x-ndjson", body.clone()).await.0 == 503);
    }
    assert!(refused > 0, "50 MB do not fit where nothing leaves");
    for _ in 0..50 {
        assert_eq!(server.accept("good", body.clone()).await, 10, "the neighbour has room of its own");
        // As fast as it is delivered.
        server.until("forebay_delivery_pending_records", "stream=\"good\"", |pending| pending < 40.0).await;
    }
    server.until("forebay_delivery_delivered_records_total", "stream=\"good\"", |count| count == 500.0).await;
    let files = server.metric("forebay_delivery_stored_files_total", "stream=\"good\"").await;
    assert!(files <= 60.0, "25 MB in files of up to 1 MiB, not in scraps: {files}");
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(3), "the other one is not delivered");
    assert!(stopped.stdout.contains("good/lake: accepted 500 = delivered 500"), "{}", stopped.stdout);
}

#[tokio::test]
async fn the_largest_files_are_closed_early_when_memory_is_short() {
    let lines = "format = \"json\"\ncompression = \"none\"\nprefix = \"p={/p}/\"\nbuffer = { size = \"16MiB\", interval = \"1h\" }";
    let server =
        Setup::pipeline(stream("s", 1) + &delivery("lake", lines)).node("memory_budget = \"32MiB\"").start();
    // 30 MB in ten files, where 16 MiB may be open.
    for round in 0..30 {
        let lines: String = (0..10)
            .map(|p| format!("{{\"p\":{p},\"round\":{round},\"pad\":\"{}\"}}\n", "x".repeat(100_000)))
            .collect();
        assert_eq!(server.accept("s", lines).await, 10);
    }
    server.until("forebay_delivery_sealed_files_total", "reason=\"pressure\"", |count| count >= 3.0).await;
    let stopped = server.stop();
    stopped.assert_drained();
    let files = lake::files(&stopped.path("lake"), ".json");
    let sizes: u64 = files.iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    assert!((30_000_000..31_000_000).contains(&sizes), "{sizes} bytes");
    assert!(files.len() < 60, "not in scraps: {}", files.len());
}

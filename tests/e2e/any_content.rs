//! Streams that take any bytes: what taps and files make of them, before and after a kill.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::lake;
use crate::server::{Server, Setup, durable_stream};

const ANY: &str = "[ingest]\ncontent = \"any\"\n";

/// One record of bytes.
async fn put(server: &Server, record: &[u8]) {
    let (status, body) = server.post("s", "application/octet-stream", record.to_vec()).await;
    assert_eq!(status, 200, "{body:?}");
}

/// The reports of `forebay verify`, where all is well.
fn verified(folder: &Path) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let output = command.args(["verify", "--json"]).current_dir(folder).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&out).unwrap();
    report["deliveries"].as_array().unwrap().clone()
}

const RECORDS: [&[u8]; 6] =
    [b"{\"id\":1}\n", b"no json", b"\xff\x00\n\xfe", b" 3", b"{\"id\":2} {\"id\":3}", b"{\"id\":4}"];

#[tokio::test]
async fn what_is_json_is_delivered_and_the_rest_are_dead_letters_through_a_kill() {
    let text = durable_stream("s", 1, "os")
        + ANY
        + "[schema]\ncolumns = [{ name = \"id\", type = \"int64\" }]\n"
        + "[[delivery]]\nname = \"json\"\nprefix = \"records/\"\nbuffer = { interval = \"1h\" }\n"
        + "[[delivery]]\nname = \"parquet\"\nformat = \"parquet\"\nprefix = \"\"\nbuffer = { interval = \"1h\" }\n";
    let server = Setup::pipeline(text.clone()).start();
    for record in &RECORDS[..4] {
        put(&server, record).await;
    }
    let folder = server.kill();
    let server = Setup::pipeline(text).in_folder(folder).start();
    for record in &RECORDS[4..] {
        put(&server, record).await;
    }
    let page = server.get("/v1/streams/s/records?from=earliest").await.1;
    let found: Vec<_> = page["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| match (&record["data"], &record["data_base64"]) {
            (Value::Null, base64) => STANDARD.decode(base64.as_str().unwrap()).unwrap(),
            (json, _) => json.to_string().into_bytes(),
        })
        .collect();
    let expected: Vec<Vec<u8>> = RECORDS
        .iter()
        .map(|record| match serde_json::from_slice::<Value>(record) {
            Ok(json) => json.to_string().into_bytes(),
            Err(_) => record.to_vec(),
        })
        .collect();
    assert_eq!(found, expected);
    let stopped = server.stop();
    stopped.assert_drained();
    let lake = stopped.path("data/lake/s");
    assert_eq!(lake::gunzip_all(&lake.join("json/records")), ["{\"id\":1} ", " 3", "{\"id\":4}"]);
    let dead = |delivery: &str| {
        let letters = lake::dead_letters(&lake.join(delivery).join("errors"));
        let mut letters: Vec<_> = letters
            .iter()
            .map(|dead| {
                let raw = STANDARD.decode(dead["raw"].as_str().unwrap()).unwrap();
                (raw, dead["reason"].as_str().unwrap().to_owned())
            })
            .collect();
        letters.sort();
        letters
    };
    let mut no_json: Vec<_> = [1, 2, 4].map(|at| (RECORDS[at].to_vec(), "json".to_owned())).to_vec();
    no_json.sort();
    assert_eq!(dead("json"), no_json);
    no_json.push((b" 3".to_vec(), "columns".to_owned()));
    no_json.sort();
    assert_eq!(dead("parquet"), no_json);
    for report in verified(stopped.folder.path()) {
        assert_eq!(report["accepted"], json!(6), "{report}");
    }
}

#[tokio::test]
async fn a_stream_of_json_takes_no_body_of_bytes() {
    let server = Setup::pipeline(durable_stream("s", 1, "os")).start();
    let (status, body) = server.post("s", "application/octet-stream", "{\"a\":1}").await;
    assert_eq!((status, &body["code"]), (415, &json!("unsupported_media_type")));
}

#[tokio::test]
async fn letters_of_any_bytes_are_sent_again_byte_for_byte() {
    let text = durable_stream("s", 1, "os")
        + ANY
        + "[[delivery]]\nname = \"json\"\nbuffer = { interval = \"200ms\" }\n";
    let kept = durable_stream("kept", 1, "os")
        + ANY
        + "[[delivery]]\nname = \"raw\"\nformat = \"raw\"\ndelimiter = \"none\"\ncompression = \"none\"\nprefix = \"\"\n";
    let server = Setup::pipeline(text).and_pipeline("kept", kept).start();
    let records: [&[u8]; 4] = [b"no json", b"\xff\x00\n\xfe\r\n", b" x ", b"{\"id\":2} {\"id\":3}\n"];
    for record in records {
        put(&server, record).await;
    }
    let name = "forebay_delivery_dead_lettered_records_total";
    server.until(name, "reason=\"json\"", |count| count == 4.0).await;
    let url = format!("http://{}", server.address);
    let mut replay = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let replay = replay.args(["dlq", "replay", "--to", "kept", "--url", &url]).current_dir(server.folder());
    let output = replay.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let stopped = server.stop();
    stopped.assert_drained();
    let files = lake::files(&stopped.path("data/lake/kept/raw"), ".raw");
    let found: Vec<u8> = files.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    assert_eq!(found, records.concat());
}

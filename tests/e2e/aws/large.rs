//! Records of 10 MiB, the most that the service takes, with the default `max_body`.

use std::path::Path;
use std::time::Instant;

use minicbor::Encoder;
use serde_json::{Value, json};

use super::UNSIGNED;
use crate::server::{PATIENCE, Server, Setup, durable_stream, stream};

const MOST: usize = 10 << 20;
const CBOR: &str = "application/x-amz-cbor-1.1";
const JSON: &str = "application/x-amz-json-1.1";
const SHARD: &str = "shardId-000000000000";

/// Status and body.
async fn call(server: &Server, operation: &str, media_type: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
    let request = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("content-type", media_type)
        .body(body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
}

fn base64(data: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, data)
}

/// A body of PutRecord, or with several records of PutRecords.
fn body(media_type: &str, stream: &str, records: &[(&[u8], &str)]) -> Vec<u8> {
    if media_type == JSON {
        let record = |&(data, key): &(&[u8], &str)| json!({"Data": base64(data), "PartitionKey": key});
        let mut members = match records {
            [only] => record(only),
            several => json!({"Records": several.iter().map(record).collect::<Vec<_>>()}),
        };
        members["StreamName"] = stream.into();
        return members.to_string().into_bytes();
    }
    let mut encoder = Encoder::new(Vec::new());
    let record = |encoder: &mut Encoder<Vec<u8>>, (data, key): (&[u8], &str)| {
        encoder.str("Data").unwrap().bytes(data).unwrap().str("PartitionKey").unwrap().str(key).unwrap();
    };
    encoder.begin_map().unwrap().str("StreamName").unwrap().str(stream).unwrap();
    match records {
        [only] => record(&mut encoder, *only),
        several => {
            encoder.str("Records").unwrap().begin_array().unwrap();
            for one in several {
                encoder.begin_map().unwrap();
                record(&mut encoder, *one);
                encoder.end().unwrap();
            }
            encoder.end().unwrap();
        }
    }
    encoder.end().unwrap();
    encoder.into_writer()
}

/// The data of the first `count` records of the stream's shard.
async fn read(server: &Server, stream: &str, count: usize) -> Vec<String> {
    let members = json!({"StreamName": stream, "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"});
    let (_, reply) = call(server, "GetShardIterator", JSON, members.to_string().into_bytes()).await;
    let (mut reply, started): (Value, _) = (serde_json::from_slice(&reply).unwrap(), Instant::now());
    let (mut iterator, mut found) = (reply["ShardIterator"].take(), Vec::new());
    while found.len() < count {
        let members = json!({ "ShardIterator": iterator }).to_string().into_bytes();
        let (status, reply) = call(server, "GetRecords", JSON, members).await;
        let mut page: Value = serde_json::from_slice(&reply).unwrap();
        if page["__type"] == "ProvisionedThroughputExceededException" && started.elapsed() < PATIENCE {
            // The page before is not off the socket yet.
            continue;
        }
        assert_eq!(status, 200, "{page}");
        let records = page["Records"].as_array().unwrap();
        found.extend(records.iter().map(|record| record["Data"].as_str().unwrap().to_owned()));
        iterator = page["NextShardIterator"].take();
    }
    found
}

#[tokio::test]
async fn a_record_of_ten_mebibytes_comes_back_from_a_stream_of_a_client() {
    let server = Setup::pipeline(stream("other", 1)).node(UNSIGNED).start();
    let create = json!({"StreamName": "made", "ShardCount": 1}).to_string().into_bytes();
    assert_eq!(call(&server, "CreateStream", JSON, create).await.0, 200);
    let data: Vec<u8> = (0..MOST).map(|n| (n * 31 % 251) as u8).collect();
    let mut expected = Vec::new();
    for media_type in [JSON, CBOR] {
        // With its key each has exactly as many bytes as may be; the lengths need different padding.
        for key in ["k", "kk", "kkk"] {
            let data = &data[..MOST - key.len()];
            let (status, reply) =
                call(&server, "PutRecord", media_type, body(media_type, "made", &[(data, key)])).await;
            assert_eq!(status, 200, "{media_type} {key} {}", String::from_utf8_lossy(&reply));
            expected.push(base64(data));
        }
        let (half, rest) = (&data[..MOST / 2], &data[MOST / 2..MOST - 2]);
        let both = body(media_type, "made", &[(half, "a"), (rest, "b")]);
        let (status, reply) = call(&server, "PutRecords", media_type, both).await;
        assert_eq!(status, 200, "{media_type} {}", String::from_utf8_lossy(&reply));
        expected.extend([base64(half), base64(rest)]);
        for (operation, records) in [
            ("PutRecord", vec![(&data[..], "k")]),
            ("PutRecords", vec![(half, "a"), (&data[MOST / 2..MOST - 1], "b")]),
        ] {
            let (status, reply) =
                call(&server, operation, media_type, body(media_type, "made", &records)).await;
            let reply = String::from_utf8_lossy(&reply);
            assert!(
                status == 400 && reply.contains("InvalidArgumentException"),
                "{media_type} {status} {reply}"
            );
        }
    }
    let found = read(&server, "made", expected.len()).await;
    assert!(found == expected, "{} records, and some are others", found.len());
    server.stop();
}

/// What is in the files below a folder.
fn contents(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() { contents(&path) } else { std::fs::read(&path).unwrap() });
    }
    all
}

#[tokio::test]
async fn records_of_ten_mebibytes_are_delivered() {
    let pipeline = format!(
        "{}[ingest]\nmax_record = \"10MiB\"\n[[delivery]]\nname = \"lake\"\ncompression = \"none\"\n",
        durable_stream("s", 1, "os")
    );
    let server = Setup::pipeline(pipeline).node(UNSIGNED).start();
    let record = |letter: &str, bytes: usize| format!("{{\"pad\":\"{}\"}}", letter.repeat(bytes - 10));
    let (native, kinesis) = (record("n", MOST), record("k", MOST - 1));
    let (status, reply) = server.post("s", "application/json", native.clone()).await;
    assert_eq!((status, &reply["accepted"]), (200, &json!(1)), "{reply}");
    let (status, _) = call(&server, "PutRecord", JSON, body(JSON, "s", &[(kinesis.as_bytes(), "k")])).await;
    assert_eq!(status, 200);
    assert!(read(&server, "s", 2).await == [base64(native.as_bytes()), base64(kinesis.as_bytes())]);
    let stopped = server.stop();
    stopped.assert_drained();
    let lake = contents(&stopped.path("data/lake/s/lake"));
    let mut lines: Vec<_> = lake.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    assert!(lines == [kinesis.as_bytes(), native.as_bytes()], "{} lines", lines.len());
}

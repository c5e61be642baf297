//! Records of a stream whose log is a topic, compressed.

use std::time::Instant;

use forebay::testkit::broker::Broker;
use serde_json::Value;

use crate::server::{PATIENCE, Server, Setup};
use crate::topic_reader::{HeldBatch, TopicReader};

const RECORDS: usize = 500;

/// Records that no printer of JSON would write so, with text that all of them have.
fn lines() -> Vec<String> {
    let text = "again and again ".repeat(8);
    (0..RECORDS).map(|n| format!("{{ \"n\" :{n},  \"text\":\"{text}\"}}")).collect()
}

/// The pages of a tap from the beginning on, as they come over the wire, until they have all records.
async fn pages(server: &Server) -> String {
    let (mut seen, mut count, mut from, began) =
        (String::new(), 0, "from=earliest".to_owned(), Instant::now());
    while count < RECORDS {
        assert!(began.elapsed() < PATIENCE, "{count} of {RECORDS}");
        let page = reqwest::get(format!("{}?{from}&limit=1000&wait=5s", server.records("s"))).await.unwrap();
        let text = page.text().await.unwrap();
        let page: Value = serde_json::from_str(&text).unwrap();
        count += page["records"].as_array().unwrap().len();
        from = format!("after={}", page["next"].as_str().unwrap());
        seen.push_str(&text);
    }
    seen
}

/// What a broker holds of a topic with one partition that was appended to with `compression`, once all that was put into it
/// has been read again byte for byte: by a tap, and by a client that is not ours.
async fn held(broker: &Broker, reader: &TopicReader, compression: &str) -> Vec<HeldBatch> {
    let topic = broker.topic("compression", 1, &[]).unwrap();
    let log = format!("{{ kafka = \"{}\", topic = \"{topic}\"{compression} }}", broker.servers());
    let server = Setup::pipeline(format!("[stream]\nname = \"s\"\nlog = {log}\n")).start();
    let lines = lines();
    assert_eq!(server.accept("s", lines.join("\n")).await, RECORDS as u64);
    let pages = pages(&server).await;
    let mut rest = pages.as_str();
    for line in &lines {
        let (_, behind) = rest.split_once(line.as_str()).unwrap_or_else(|| panic!("{compression}: {line}"));
        rest = behind;
    }
    assert_eq!(reader.texts(broker.servers(), &topic), lines, "{compression}");
    server.stop().assert_drained();
    reader.batches(broker.servers(), &topic, 0)
}

#[tokio::test]
async fn records_are_held_compressed_and_come_back_byte_for_byte() {
    let (Some(broker), Some(reader)) = (Broker::shared(), TopicReader::of_environment()) else { return };
    let bytes = |batches: &[HeldBatch]| batches.iter().map(|batch| batch.bytes).sum::<u64>();
    let plain = held(&broker, &reader, "").await;
    assert!(plain.iter().all(|batch| batch.codec == "none"), "{plain:?}");
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let level = if codec == "zstd" { ", compression_level = 12" } else { "" };
        let batches = held(&broker, &reader, &format!(", compression = \"{codec}\"{level}")).await;
        assert_eq!(batches.iter().map(|batch| batch.records).sum::<usize>(), RECORDS, "{batches:?}");
        assert!(batches.iter().all(|batch| batch.codec == codec), "{batches:?}");
        assert!(bytes(&batches) < bytes(&plain) / 2, "{codec}: {batches:?}, and without {plain:?}");
    }
}

//! What the Kinesis aggregation library for Python puts.

use std::process::Command;

use forebay::testkit::skip::skipped;
use serde_json::Value;

use super::{ACCESS_KEY, run};
use crate::lake;
use crate::server::{Setup, durable_stream};

const RECORDS: u64 = 2_000;

fn has_library() -> bool {
    let Some(python) = lake::python() else { return false };
    let found = Command::new(python).args(["-c", "import aws_kinesis_agg"]).output().unwrap();
    if !found.status.success() {
        skipped("FOREBAY_PYTHON has no aws_kinesis_agg (tests/requirements.txt names aws-kinesis-agg)");
    }
    found.status.success()
}

#[tokio::test]
async fn aggregated_records_come_back_as_they_were_and_are_shown_and_delivered_one_by_one() {
    if !has_library() {
        return;
    }
    let delivery = "[ingest]\ncontent = \"any\"\n[[delivery]]\nname = \"lake\"\nsink = { path = \"lake\" }\n\
                    format = \"json\"\nprefix = \"\"\n";
    let setup = Setup::pipeline(durable_stream("clicks", 2, "fsync") + delivery);
    let server = setup.node(ACCESS_KEY).start();
    let Some(_) = run(&server, "aggregated.py", &[&RECORDS.to_string()]) else { return };
    let (_, page) = server.get("/v1/streams/clicks/records?from=earliest&limit=10000&key=k3").await;
    let shown = page["records"].as_array().unwrap();
    assert_eq!(shown.len() as u64, RECORDS.div_ceil(7));
    assert!(shown.iter().all(|record| record["data"]["n"].as_u64().unwrap() % 7 == 3), "{page}");
    let stopped = server.stop();
    stopped.assert_drained();
    let lines = lake::gunzip_all(&stopped.path("lake"));
    let mut numbers: Vec<u64> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>());
}

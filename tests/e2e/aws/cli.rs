//! The AWS command line interface.

use std::path::PathBuf;
use std::process::{Command, Output};

use forebay::testkit::skip::skipped;
use serde_json::Value;

use super::ACCESS_KEY;
use crate::lake;
use crate::server::{Server, Setup, durable_stream};

/// Where the program is.
fn program() -> Option<PathBuf> {
    let program = lake::python()?.with_file_name("aws");
    if !program.exists() {
        skipped("FOREBAY_PYTHON has no aws beside it (tests/requirements.txt names awscli)");
        return None;
    }
    Some(program)
}

/// A command, without the configuration of whoever runs the tests.
fn aws(program: &PathBuf, server: &Server, arguments: &[&str]) -> Output {
    Command::new(program)
        .arg("--endpoint-url")
        .arg(format!("http://{}", server.address))
        .args(["--output", "json", "--region", "eu-west-1"])
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_CONFIG_FILE", server.folder().join("no-config"))
        .env("AWS_SHARED_CREDENTIALS_FILE", server.folder().join("no-credentials"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap()
}

#[test]
fn the_aws_cli_makes_fills_reads_splits_and_deletes_a_stream() {
    let Some(program) = program() else { return };
    let server = Setup::pipeline(durable_stream("clicks", 1, "fsync")).node(ACCESS_KEY).start();
    let done = |arguments: &str| {
        let words: Vec<&str> = arguments.split(' ').collect();
        let output = aws(&program, &server, &words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments}: {text}{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str::<Value>(&text).unwrap_or_default()
    };
    done("kinesis create-stream --stream-name s --shard-count 1");
    assert_eq!(done("kinesis list-streams")["StreamNames"], serde_json::json!(["clicks", "s"]));
    // The data is Base64, as the second version of the program wants it; the first one encodes it once more.
    let put = done("kinesis put-record --stream-name s --partition-key k --data eyJuIjoxfQ==");
    assert_eq!(put["ShardId"], "shardId-000000000000");
    let from = "--shard-id shardId-000000000000 --shard-iterator-type TRIM_HORIZON";
    let iterator = done(&format!("kinesis get-shard-iterator --stream-name s {from}"));
    let iterator = iterator["ShardIterator"].as_str().unwrap();
    let page = done(&format!("kinesis get-records --shard-iterator {iterator}"));
    assert_eq!(page["Records"][0]["SequenceNumber"], put["SequenceNumber"], "{page}");
    assert_eq!(page["Records"][0]["PartitionKey"], "k");
    done("kinesis update-shard-count --stream-name s --target-shard-count 2 --scaling-type UNIFORM_SCALING");
    let summary = done("kinesis describe-stream-summary --stream-name s");
    assert_eq!(summary["StreamDescriptionSummary"]["OpenShardCount"], 2, "{summary}");
    done("kinesis delete-stream --stream-name s");
    let gone = aws(&program, &server, &["kinesis", "describe-stream-summary", "--stream-name", "s"]);
    let said = String::from_utf8_lossy(&gone.stderr);
    assert!(!gone.status.success() && said.contains("ResourceNotFoundException"), "{said}");
    assert_eq!(done("firehose list-delivery-streams")["DeliveryStreamNames"], serde_json::json!(["clicks"]));
    server.stop().assert_drained();
}

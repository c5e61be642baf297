//! The AWS command line interface.

use std::path::PathBuf;
use std::process::{Command, Output};

use forebay::edge::aws::kinesis::Operation;
use forebay::testkit::skip::skipped;
use serde_json::Value;

use super::{ACCESS_KEY, expired, operations, run};
use crate::lake;
use crate::server::{Server, Setup, durable_stream, stream};

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
fn the_aws_cli_makes_fills_and_reads_a_stream_and_says_what_is_wrong() {
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
    // The data is Base64, as the second version of the program wants it; the first one encodes it once more.
    let put = done("kinesis put-record --stream-name s --partition-key k --data eyJuIjoxfQ==");
    assert_eq!(put["ShardId"], "shardId-000000000000");
    let from = "--shard-id shardId-000000000000 --shard-iterator-type TRIM_HORIZON";
    let iterator = done(&format!("kinesis get-shard-iterator --stream-name s {from}"));
    let iterator = iterator["ShardIterator"].as_str().unwrap();
    let page = done(&format!("kinesis get-records --shard-iterator {iterator}"));
    assert_eq!(page["Records"][0]["SequenceNumber"], put["SequenceNumber"], "{page}");
    assert_eq!(page["Records"][0]["PartitionKey"], "k");
    let none = aws(&program, &server, &["kinesis", "describe-stream-summary", "--stream-name", "none"]);
    let said = String::from_utf8_lossy(&none.stderr);
    assert!(!none.status.success() && said.contains("ResourceNotFoundException"), "{said}");
    server.stop().assert_drained();
}

fn setup() -> Setup {
    Setup::pipeline(durable_stream("orders", 2, "os")).and_pipeline("other", stream("other", 1))
}

#[tokio::test]
async fn the_aws_cli_calls_every_operation_of_kinesis_that_it_has() {
    let (server, iterator) = expired::start(setup, "orders").await;
    let Some(output) = run(&server, "cli_kinesis.py", iterator.as_deref().as_slice()) else { return };
    operations::check_kinesis(&[&output], &[Operation::SubscribeToShard]);
    server.stop().assert_drained();
}

//! Clients of AWS services, unmodified but for the endpoint: scripts against the real binary.

mod aggregated;
mod cli;
mod deletion;
pub mod expired;
mod firehose;
mod function_traces;
mod functions;
mod identity;
mod javascript;
mod kinesis;
mod large;
mod live;
mod live_source;
mod operations;
mod parquet;
mod quotas;
mod raw;
mod readers;
mod shapes;

use std::path::Path;
use std::process::Command;

use forebay::testkit::skip::skipped;

use crate::lake;
use crate::server::Server;

/// The access key that scripts sign with, which may do everything.
const ACCESS_KEY: &str =
    r#"access_key = [{ id = "AKIDEXAMPLE", secret = "secret", allow = ["kinesis:*", "firehose:*"] }]"#;

/// For requests that a test puts together itself.
pub const UNSIGNED: &str = "aws.signature = \"off\"";

/// Runs a script of this folder against `server`; returns what it printed, or `None` if it could not run.
fn run(server: &Server, script: &str, arguments: &[&str]) -> Option<String> {
    run_in(server, script, arguments, "json")
}

/// The same in an encoding, `json` or `cbor`.
fn run_in(server: &Server, script: &str, arguments: &[&str], encoding: &str) -> Option<String> {
    let python = lake::python()?;
    let has_clients =
        Command::new(&python).args(["-c", "import boto3, awscli"]).output().unwrap().status.success();
    if !has_clients {
        skipped("FOREBAY_PYTHON has no boto3 and awscli (tests/requirements.txt names them)");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/aws").join(script);
    let output = Command::new(&python)
        .arg(script)
        .arg(format!("http://{}", server.address))
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", server.folder().join("no-config"))
        .env("AWS_SHARED_CREDENTIALS_FILE", server.folder().join("no-credentials"))
        .env("FOREBAY_TEST_ENCODING", encoding)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

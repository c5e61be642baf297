//! The JavaScript SDK, version 3.

use std::path::{Path, PathBuf};
use std::process::Command;

use forebay::testkit::skip::skipped;

use super::{ACCESS_KEY, expired, operations};
use crate::server::{Server, Setup, durable_stream, stream};

/// The folder that has `node_modules`.
fn modules() -> Option<PathBuf> {
    let folder = std::env::var_os("FOREBAY_NODE").map(PathBuf::from);
    if folder.is_none() {
        skipped("FOREBAY_NODE is not set (`make test` sets it to a folder with the JavaScript SDK)");
    }
    folder
}

/// Runs a script of `javascript/` against `server`; returns what it printed, or `None` if it could not run.
pub fn run(server: &Server, script: &str, arguments: &[&str]) -> Option<String> {
    let modules = modules()?;
    // Modules are looked for beside the script.
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/aws/javascript");
    for name in ["called.mjs", script] {
        std::fs::copy(source.join(name), folder.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink(modules.join("node_modules"), folder.path().join("node_modules")).unwrap();
    let output = Command::new("node")
        .arg(folder.path().join(script))
        .arg(format!("http://{}", server.address))
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "eu-west-1")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    Some(out.into_owned())
}

fn setup() -> Setup {
    Setup::pipeline(durable_stream("clicks", 1, "fsync"))
        .and_pipeline("strict", stream("strict", 1) + "[ingest]\nschema = \"number.schema.json\"\n")
        .file("number.schema.json", r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#)
}

#[tokio::test]
async fn the_javascript_sdk_calls_every_operation_of_kinesis() {
    let (server, iterator) = expired::start(setup, "clicks").await;
    let Some(output) = run(&server, "kinesis.mjs", iterator.as_deref().as_slice()) else { return };
    operations::check_kinesis(&[&output], &[]);
    server.stop().assert_drained();
}

#[test]
fn the_javascript_sdk_reads_each_key_in_order_while_shards_are_split_and_merged() {
    let server = setup().node(ACCESS_KEY).start();
    if let Some(output) = run(&server, "reshard.mjs", &[]) {
        assert!(output.contains("read "), "{output}");
        server.stop().assert_drained();
    }
}

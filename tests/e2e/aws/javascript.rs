//! The JavaScript SDK, version 3.

use std::path::{Path, PathBuf};
use std::process::Command;

use forebay::testkit::skip::skipped;

use super::ACCESS_KEY;
use crate::server::{Setup, durable_stream};

/// The folder that has `node_modules`.
fn modules() -> Option<PathBuf> {
    let folder = std::env::var_os("FOREBAY_NODE").map(PathBuf::from);
    if folder.is_none() {
        skipped("FOREBAY_NODE is not set (`make test` sets it to a folder with the JavaScript SDK)");
    }
    folder
}

#[test]
fn the_javascript_sdk_puts_reads_subscribes_and_reshards() {
    let Some(modules) = modules() else { return };
    let server = Setup::pipeline(durable_stream("clicks", 1, "fsync")).node(ACCESS_KEY).start();
    // Modules are looked for beside the script.
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("kinesis.mjs");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/aws/javascript/kinesis.mjs");
    std::fs::copy(source, &script).unwrap();
    std::os::unix::fs::symlink(modules.join("node_modules"), folder.path().join("node_modules")).unwrap();
    let output = Command::new("node")
        .arg(script)
        .arg(format!("http://{}", server.address))
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "eu-west-1")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.ends_with("ok\n"), "{out}\n{err}");
    server.stop().assert_drained();
}

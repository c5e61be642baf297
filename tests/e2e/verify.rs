//! `forebay verify` beside the real server: it calls well what is well after a kill, a restart and a change of
//! configuration, names what somebody has taken away, and touches nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::lake;
use crate::server::{Setup, durable_stream, stream};

/// Runs `forebay verify`; its exit code and what it has printed and said.
fn verify(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let output = command.arg("verify").args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The deliveries of a report that must be well.
pub fn well(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    report(folder, arguments)["deliveries"].as_array().unwrap().clone()
}

/// A report that must be well.
pub fn report(folder: &Path, arguments: &[&str]) -> Value {
    let before = everything(folder);
    let arguments = [arguments, &["--json"]].concat();
    let (code, out, err) = verify(folder, &arguments);
    assert_eq!(code, Some(0), "{out}\n{err}");
    assert_eq!(everything(folder), before, "something was touched");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["ok"], &report["notes"]), (&true.into(), &Value::Array(Vec::new())));
    report
}

/// What is said of deliveries that are not well.
pub fn findings(folder: &Path) -> String {
    let (code, out, err) = verify(folder, &[]);
    assert_eq!(code, Some(1), "{out}\n{err}");
    out
}

fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    lake::files(folder, "").into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn number(delivery: &Value, name: &str) -> u64 {
    delivery[name].as_u64().unwrap_or_else(|| panic!("{name} in {delivery}"))
}

/// Deliveries of JSON, Parquet and ORC, whose files are stored every `interval`.
fn pipeline(prefix: &str, interval: &str) -> String {
    let buffer =
        format!("buffer = {{ size = \"1MiB\", interval = \"{interval}\" }}\nprefix = \"{prefix}\"\n");
    durable_stream("s", 2, "fsync")
        + "[schema]\ncolumns = [{ name = \"id\", type = \"int64\", nullable = false }, { name = \"kind\", type = \"string\" }]\n"
        + &format!("[[delivery]]\nname = \"json\"\nformat = \"json\"\n{buffer}")
        + &format!("[[delivery]]\nname = \"parquet\"\nformat = \"parquet\"\n{buffer}")
        + &format!("[[delivery]]\nname = \"orc\"\nformat = \"orc\"\n{buffer}")
}

/// Records, of which every tenth does not fit the columns, and every hundredth has no partition.
fn lines(from: u32, count: u32) -> String {
    (from..from + count).fold(String::new(), |mut lines, id| {
        let _ = match id {
            id if id % 100 == 7 => writeln!(lines, "{{\"id\":{id}}}"),
            id if id % 10 == 3 => writeln!(lines, "{{\"id\":\"{id}\",\"kind\":\"a\"}}"),
            id => writeln!(lines, "{{\"id\":{id},\"kind\":\"{}\"}}", ["a", "b", "c"][id as usize % 3]),
        };
        lines
    })
}

/// A server that was killed in the middle of its work, after `accepted` records.
async fn killed(accepted: u32) -> TempDir {
    let server = Setup::pipeline(pipeline("kind={/kind}/", "1s")).start();
    for from in (0..accepted).step_by(100) {
        server.accept("s", lines(from, 100)).await;
    }
    server.until("forebay_delivery_delivered_records_total", "", |delivered| delivered > 0.0).await;
    let (code, out, err) = verify(server.folder(), &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("is in use by another process"), "{err}");
    server.accept("s", lines(accepted, 50)).await;
    server.kill()
}

#[tokio::test]
async fn everything_is_accounted_for_after_a_kill_a_restart_and_another_prefix() {
    let folder = killed(2000).await;
    for arguments in [&["--quick"][..], &[]] {
        for delivery in well(folder.path(), arguments) {
            let sum =
                ["delivered", "dead_lettered", "pending"].map(|name| number(&delivery, name)).iter().sum();
            assert_eq!((number(&delivery, "accepted"), sum), (2050, 2050_u64), "{delivery}");
        }
    }
    let stopped = Setup::pipeline(pipeline("kind={/kind}/", "1s")).in_folder(folder).start().stop();
    let server = Setup::pipeline(pipeline("k={/kind}/", "60s")).in_folder(stopped.folder).start();
    server.accept("s", lines(3000, 100)).await;
    let folder = server.stop().folder;
    let deliveries = well(folder.path(), &[]);
    let [json, parquet, orc] = deliveries.as_slice() else { panic!("{deliveries:?}") };
    // Every hundredth, and with columns every tenth.
    for (delivery, dead) in [(json, 22), (parquet, 22 + 215), (orc, 22 + 215)] {
        assert_eq!((number(delivery, "accepted"), number(delivery, "pending")), (2150, 0), "{delivery}");
        assert_eq!(number(delivery, "dead_lettered"), dead, "{delivery}");
        assert!(number(delivery, "objects_compared") > 0, "{delivery}");
    }
}

#[tokio::test]
async fn what_is_taken_away_is_named() {
    let folder = killed(1000).await;
    let stopped = Setup::pipeline(pipeline("kind={/kind}/", "1s")).in_folder(folder).start().stop();
    let lake = stopped.path("data/lake/s");
    let names = |path: &Path, whole: &Path| path.strip_prefix(whole).unwrap().to_str().unwrap().to_owned();

    let gone = lake::files(&lake.join("json/errors"), ".json.gz").remove(0);
    let kept = fs::read(&gone).unwrap();
    fs::remove_file(&gone).unwrap();
    let (code, out, _) = verify(stopped.folder.path(), &["--quick"]);
    assert_eq!(code, Some(1));
    let said = format!("s/json: {}: the object is not there", names(&gone, &lake.join("json")));
    assert!(out.contains(&said) && out.contains("not well"), "{out}");
    fs::write(&gone, kept).unwrap();

    // The same size, another content.
    for (format, name) in [("parquet", "Parquet"), ("orc", "ORC")] {
        let changed = lake::files(&lake.join(format), &format!(".{format}")).remove(0);
        let kept = fs::read(&changed).unwrap();
        let mut content = kept.clone();
        let tail = content.len() - 20;
        content[tail..].fill(0);
        fs::write(&changed, content).unwrap();
        assert_eq!(verify(stopped.folder.path(), &["--quick"]).0, Some(0));
        let (code, out, _) = verify(stopped.folder.path(), &[]);
        assert_eq!(code, Some(1));
        let key = names(&changed, &lake.join(format));
        let said = format!("s/{format}: {key}: the object cannot be read: it is not {name}");
        assert!(out.contains(&said), "{out}");
        fs::write(&changed, kept).unwrap();
    }
}

#[tokio::test]
async fn a_log_that_is_gone_is_not_called_well() {
    let folder = killed(500).await;
    fs::remove_dir_all(folder.path().join("data/log")).unwrap();
    let (code, out, _) = verify(folder.path(), &[]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("not well"), "{out}");
}

#[tokio::test]
async fn where_no_stream_is_durable_there_is_nothing_to_verify() {
    let stopped = Setup::pipeline(stream("s", 1)).start().stop();
    let (code, out, err) = verify(stopped.folder.path(), &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("nothing to verify"), "{out}");
    let (code, _, err) = verify(stopped.folder.path(), &["no-such-file.toml"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("no-such-file.toml"), "{err}");
}

//! Backups beside a delivery: all records as they came, or those that fail, through kills and changes, and `forebay
//! verify` can account for every record of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::lake;
use crate::server::{Setup, durable_stream, stream};

/// A delivery of Parquet with a backup; the columns take ids of `type_text`.
fn pipeline(records: &str, type_text: &str) -> String {
    durable_stream("s", 2, "os")
        + "[ingest]\non_invalid = \"dead_letter\"\n"
        + &format!("[schema]\ncolumns = [{{ name = \"id\", type = \"{type_text}\", nullable = false }}]\n")
        + "[[delivery]]\nname = \"lake\"\nformat = \"parquet\"\nprefix = \"kind={/kind}/\"\n"
        + "buffer = { interval = \"300ms\" }\n"
        + &format!("backup = {{ records = \"{records}\", buffer = {{ interval = \"200ms\" }} }}\n")
}

/// Lines of which some are no JSON, some have no kind, and some do not fit the columns.
fn lines(from: u32, count: u32) -> Vec<String> {
    let line = |id: u32| match id % 10 {
        3 => format!("{{\"id\":\"{id}\",\"kind\":\"a\"}}"),
        5 => format!("{{\"id\":{id}}}"),
        7 => format!("no json {id} \u{1F600}"),
        8 => format!("{{\"forebay.raw\":\"eA==\",\"id\":{id},\"kind\":\"b\"}}"),
        _ => format!("{{\"id\":{id},\"kind\":\"a\"}}"),
    };
    (from..from + count).map(line).collect()
}

fn fails(line: &str) -> bool {
    !line.contains("\"kind\"") || line.contains("\"id\":\"")
}

/// The records of a backup, as its documentation says that they are to be read, each with how often it is there.
fn read(folder: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for line in lake::gunzip_all(folder) {
        let _: Value = serde_json::from_str(&line).unwrap();
        let record = match line.strip_prefix("{\"forebay.raw\":\"").and_then(|rest| rest.strip_suffix("\"}"))
        {
            Some(base64) => String::from_utf8(STANDARD.decode(base64).unwrap()).unwrap(),
            None => line,
        };
        *found.entry(record).or_default() += 1;
    }
    found
}

fn once<'a>(lines: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, u32> {
    lines.into_iter().map(|line| (line.clone(), 1)).collect()
}

/// What `forebay verify` says of the backup, where all is well.
fn verified(folder: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let output = command.args(["verify", "--json"]).current_dir(folder).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&out).unwrap();
    let [main, backup] = report["deliveries"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!((&main["delivery"], &backup["delivery"]), (&"lake".into(), &"lake-backup".into()));
    backup.clone()
}

/// Records before and after a kill and a change of the configuration; returns them and the folder.
async fn lived_through(records: &str) -> (Vec<String>, tempfile::TempDir) {
    let all = lines(0, 400);
    let body = |lines: &[String]| lines.join("\n") + "\n";
    let server = Setup::pipeline(pipeline(records, "int64")).start();
    server.accept("s", body(&all[..150])).await;
    let name = "forebay_delivery_dead_lettered_records_total";
    server.until(name, "delivery=\"lake\"", |found| found > 0.0).await;
    server.accept("s", body(&all[150..200])).await;
    let folder = server.kill();
    let server = Setup::pipeline(pipeline(records, "int64")).in_folder(folder).start();
    server.accept("s", body(&all[200..250])).await;
    let stopped = server.stop();
    stopped.assert_drained();
    // The same records fail with these columns.
    let server = Setup::pipeline(pipeline(records, "int32")).in_folder(stopped.folder).start();
    server.accept("s", body(&all[250..])).await;
    let stopped = server.stop();
    stopped.assert_drained();
    (all, stopped.folder)
}

#[tokio::test]
async fn a_backup_of_all_has_every_record_once_as_it_came() {
    let (all, folder) = lived_through("all").await;
    assert_eq!(read(&folder.path().join("data/lake/s/lake/backup")), once(&all));
    let backup = verified(folder.path());
    assert_eq!((&backup["accepted"], &backup["delivered"]), (&400.into(), &400.into()), "{backup}");
    assert!(
        backup["objects_compared"].as_u64().unwrap() > 0 && backup.get("passed_over").is_none(),
        "{backup}"
    );
}

#[tokio::test]
async fn a_backup_of_what_fails_has_each_dead_letter_once_and_accounts_for_the_others() {
    let (all, folder) = lived_through("failed").await;
    let failed: Vec<&String> = all.iter().filter(|line| fails(line)).collect();
    assert_eq!(failed.len(), 120);
    assert_eq!(read(&folder.path().join("data/lake/s/lake/backup")), once(failed));
    let backup = verified(folder.path());
    let number = |name: &str| backup[name].as_u64().unwrap();
    assert_eq!([number("accepted"), number("delivered"), number("passed_over")], [400, 120, 280], "{backup}");
    // What is taken away is missed.
    let file = lake::files(&folder.path().join("data/lake/s/lake/backup"), ".json.gz").remove(0);
    std::fs::remove_file(file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let output = command.arg("verify").current_dir(folder.path()).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("s/lake-backup: backup/") && out.contains("passed over"), "{out}");
}

#[tokio::test]
async fn a_stream_in_memory_has_backups_as_well_and_its_balance_holds() {
    let text = pipeline("failed", "int64").replace(&durable_stream("s", 2, "os"), &stream("s", 2));
    let server = Setup::pipeline(text).start();
    let all = lines(0, 50);
    server.accept("s", all.join("\n")).await;
    let name = "forebay_delivery_passed_over_records_total";
    server.until(name, "delivery=\"lake-backup\"", |passed| passed == 35.0).await;
    let stopped = server.stop();
    stopped.assert_drained();
    let line = "s/lake-backup: accepted 50 = delivered 15 + dead-lettered 0 + passed over 35 + pending 0";
    assert!(stopped.stdout.contains(line), "{}", stopped.stdout);
    let failed = all.iter().filter(|line| fails(line));
    assert_eq!(read(&stopped.path("data/lake/s/lake/backup")), once(failed));
}

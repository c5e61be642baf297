//! The node's folder: one that this process must not use is named, and left as it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use forebay::config::checked::{self, Durability};
use forebay::node::{Catalog, NodeFolder};
use forebay::runtime::clock;
use forebay::runtime::disk::RealDisk;
use forebay::testkit::skip::skipped;
use tempfile::TempDir;

use crate::lake;
use crate::server::{Setup, stream};

/// A durable stream of one shard.
const DURABLE: &str = "[stream]\nname = \"s\"\n";

/// The folder of a node, as the last process has left it.
fn begun(name: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), name);
    folder
}

fn open(path: &Path, name: Option<&str>) -> NodeFolder {
    NodeFolder::open(Arc::new(RealDisk), path, name).unwrap()
}

/// Every name in a folder, and what its file has.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(&path).unwrap_or_default())).collect()
}

/// The node's id in a folder.
fn id(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("node.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    document["node"].as_str().unwrap().to_owned()
}

fn with_data(pipeline: &str, data: &Path) -> Setup {
    Setup::pipeline(pipeline).node(&format!("data_dir = {:?}", data.to_str().unwrap()))
}

/// What a server says that must not use a folder.
fn refused(setup: Setup, data: &Path) -> String {
    let before = everything(data);
    let said = setup.start_that_fails();
    assert_eq!(everything(data), before, "{said}");
    assert!(said.contains("forebay serve: ") && !said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_folder_of_another_version_is_refused() {
    let folder = begun(None);
    fs::write(folder.path().join("node.json"), "{\"format\": 99}\n").unwrap();
    let said = refused(with_data(DURABLE, folder.path()), folder.path());
    assert!(said.contains("node.json has format 99, and this version of forebay reads format 1"), "{said}");
}

#[test]
fn the_folder_of_another_node_is_refused() {
    let folder = begun(Some("b"));
    let said = refused(with_data(DURABLE, folder.path()).node("node = \"a\""), folder.path());
    assert!(said.contains("belongs to node \"b\", and this node is \"a\""), "{said}");
}

#[tokio::test]
async fn a_folder_that_a_running_server_uses_is_refused_until_that_has_ended() {
    let folder = begun(None);
    let setup = || with_data(DURABLE, folder.path());
    let first = setup().start();
    let said = refused(setup(), folder.path());
    let pid = fs::read_to_string(folder.path().join("lock")).unwrap();
    assert_ne!(pid.trim_end(), std::process::id().to_string(), "the server has signed it");
    let expected = format!("is in use by another process (its lock file names process {})", pid.trim_end());
    assert!(said.contains(&expected), "{said}");
    assert_eq!(first.accept("s", "{\"n\":1}").await, 1);
    first.stop().assert_drained();
    setup().start().stop().assert_drained();
}

#[test]
fn a_read_only_folder_is_refused() {
    let folder = begun(None);
    let allow = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    allow(0o555);
    let setup = with_data(DURABLE, folder.path());
    let setup = match fs::write(folder.path().join("probe"), "") {
        Err(_) => setup,
        Ok(()) => {
            fs::remove_file(folder.path().join("probe")).unwrap();
            if !is_bound_by_permissions() {
                allow(0o755);
                return skipped("permissions do not bind this user, and there is no setpriv");
            }
            setup.under(WITHOUT_CAPABILITIES)
        }
    };
    let said = refused(setup, folder.path());
    assert!(said.contains("cannot be used (") && said.contains("read and write there"), "{said}");
    allow(0o755);
}

/// The superuser writes everywhere by a capability, which can be taken from it.
const WITHOUT_CAPABILITIES: &[&str] = &["setpriv", "--bounding-set=-all", "--inh-caps=-all"];

/// Whether that works here.
fn is_bound_by_permissions() -> bool {
    let [program, arguments @ ..] = WITHOUT_CAPABILITIES else { return false };
    Command::new(program).args(arguments).arg("true").status().is_ok_and(|status| status.success())
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "mine").unwrap();
    let said = refused(with_data(DURABLE, &file), folder.path());
    assert!(said.contains("data is not a folder: set data_dir to a folder"), "{said}");
}

#[test]
fn a_log_of_nobody_and_a_damaged_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("log")).unwrap();
    let said = refused(with_data(DURABLE, folder.path()), folder.path());
    assert!(said.contains("has log, and no node.json that tells whose it is"), "{said}");

    let folder = begun(None);
    fs::write(folder.path().join("catalog.json"), "{\"format\": 1").unwrap();
    let said = refused(with_data(DURABLE, folder.path()), folder.path());
    assert!(said.contains("catalog.json is damaged or was changed by hand"), "{said}");
}

#[test]
fn a_durable_stream_that_its_pipeline_file_would_hide_is_refused() {
    let folder = begun(None);
    let known = checked::Stream {
        name: "s".into(),
        shards: 4,
        durability: Durability::Fsync,
        retention: std::time::Duration::from_secs(60),
        retention_bytes: None,
        idempotency_window: std::time::Duration::ZERO,
        log: Default::default(),
        quotas: Default::default(),
    };
    let mut catalog = Catalog::default();
    catalog.reconcile([&known], clock::wall()).unwrap();
    catalog.save(&open(folder.path(), None)).unwrap();
    let said = with_data(&stream("s", 4), folder.path()).start_that_fails();
    let expected = "stream 's' has records of durability \"fsync\" in the node's folder";
    assert!(said.contains(expected), "{said}");
    assert_eq!(Catalog::open(&open(folder.path(), None)).unwrap(), catalog);
}

#[tokio::test]
async fn a_durable_stream_makes_the_folder_and_finds_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let setup = || with_data(&format!("{DURABLE}shards = 3\n"), &data).node("node = \"n\"");
    let server = setup().start();
    assert_eq!(server.accept("s", "{\"n\":1}\n{\"n\":2}").await, 2);
    assert_eq!(server.metric("forebay_log_commits_total", "fsync").await, 1.0);
    assert!(server.metric("forebay_log_segments", "fsync").await >= 1.0);
    assert!(server.metric("forebay_log_disk_bytes", "fsync").await >= f64::from(64 << 20));
    server.stop().assert_drained();
    let (first, catalog) = (id(&data), fs::read(data.join("catalog.json")).unwrap());

    let server = setup().start();
    let (_, streams) = server.get("/v1/streams/s").await;
    assert_eq!((&streams["shards"], &streams["retained_records"]), (&3.into(), &2.into()), "{streams}");
    server.stop().assert_drained();
    assert_eq!((id(&data), fs::read(data.join("catalog.json")).unwrap()), (first, catalog));
}

#[tokio::test]
async fn a_start_that_fails_does_not_bind_anybody_to_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let good = "[[delivery]]\nname = \"good\"\nsink = { path = \"lake\" }\nformat = \"json\"\n";
    let bad = "[[delivery]]\nname = \"bad\"\nsink = { url = \"file:///proc/nowhere/\" }\nformat = \"json\"\n";
    let said = with_data(&format!("{DURABLE}shards = 4\n{good}{bad}"), folder.path()).start_that_fails();
    assert!(said.contains("delivery 'bad' of stream 's': "), "{said}");
    let server = with_data(&format!("{DURABLE}shards = 2\n{good}"), folder.path()).start();
    server.accept("s", "{\"n\":1}\n{\"n\":2}").await;
    let stopped = server.stop();
    stopped.assert_drained();
    let mut lines = lake::gunzip_all(&stopped.path("lake"));
    lines.sort();
    assert_eq!(lines, ["{\"n\":1}", "{\"n\":2}"]);
}

#[test]
fn a_server_with_streams_in_memory_makes_no_folder() {
    let stopped = Setup::pipeline(stream("s", 1)).start().stop();
    stopped.assert_drained();
    assert!(!stopped.path("data").exists());
}

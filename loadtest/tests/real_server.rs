//! The load generator against the real binary, and the real lake judged.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a failed test")]

#[allow(dead_code, reason = "it has a pipeline of its own")]
mod node;

use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use forebay::cli::node_key;
use forebay::testkit::generators::Profile;
use forebay_load::run::{Compression, Mode, Plan, Source, Target, run};
use forebay_load::verify::{self, KeyRule};

/// What lets the load in.
const KEY: &str = "a-key-of-the-load-0001";

struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(binary: &Path, folder: &Path) -> Server {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::write(
        folder.join("forebay.toml"),
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[auth]\ningest = [\"api_key\"]\n\
             [[api_key]]\nname = \"load\"\nkey = \"{KEY}\"\nallow = [\"ingest:*\"]\n"
        ),
    )
    .unwrap();
    let (child, url) = node::launch(binary, folder, &repository.join("pipelines"));
    Server { child, url }
}

#[test]
fn every_acked_record_is_in_every_lake_once_and_whole() {
    let Some(binary) = node::binary() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(&binary, folder.path());
    let mut manifests = Vec::new();
    let profiles = [
        (Profile::Clickstream, Compression::None, 50),
        (Profile::Iot, Compression::Gzip, 1),
        (Profile::Telemetry, Compression::Zstd, 20),
    ];
    for (profile, compression, batch) in profiles {
        let plan = Plan {
            target: Target::parse(&server.url).unwrap(),
            authorization: node_key::authorization(&|_| Some(KEY.into())).unwrap(),
            stream: profile.name().into(),
            source: Source::Profile(profile),
            mode: Mode::Closed,
            connections: 4,
            threads: 2,
            feeders: 2,
            producers: 6,
            duration: None,
            records: Some(1_500),
            batch,
            record_bytes: 0,
            keys: 50,
            zipf: 1.0,
            compression,
            seed: 5,
            run_name: "test".into(),
            retry: Some(Duration::from_secs(60)),
            idempotent: true,
            timeout: Duration::from_secs(20),
            server_pid: Some(server.child.id()),
            settle: Duration::ZERO,
            ..Plan::default()
        };
        let outcome = run(&plan, Arc::new(AtomicBool::new(false)), &mut |_| {}).unwrap();
        assert!(outcome.is_success());
        assert_eq!(outcome.report.records.acked, 1_500, "{}", profile.name());
        manifests.push((profile.name(), outcome.manifest));
    }
    let pid = rustix::process::Pid::from_child(&server.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    for (name, manifest) in manifests {
        let lake = |format: &str| folder.path().join("data/lake").join(name).join(format);
        let plan = verify::Plan {
            lakes: ["parquet", "json"].map(|format| lake(format).to_str().unwrap().to_owned()).into(),
            options: vec![],
            manifests: vec![manifest],
            key: KeyRule::Profile,
            errors_folder: "errors".into(),
            jobs: 2,
        };
        for verdict in verify::verify(&plan, &mut |_| {}).unwrap() {
            assert!(verdict.ok, "{name}: {verdict}");
            assert_eq!((verdict.records, verdict.expected), (1_500, 1_500), "{name}");
        }
    }
}

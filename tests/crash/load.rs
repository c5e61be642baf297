//! The load generator, in a thread of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use forebay::testkit::generators::Profile;
use forebay_load::manifest::Manifest;
use forebay_load::run::{Compression, Mode, Outcome, Plan, RunError, Source, Target, run};
use forebay_load::verify::{self, KeyRule, Verdict};

use crate::node::PATIENCE;

/// What to send.
#[derive(Clone)]
pub struct Load {
    /// The stream, and a part of the records' names.
    pub stream: &'static str,
    /// What the records are about.
    pub profile: Profile,
    /// Records a second.
    pub rate: f64,
    /// Records in a request.
    pub batch: u32,
    /// Bytes of a record, about; 0 for the natural size.
    pub record_bytes: usize,
}

/// Load under way.
pub struct Running {
    /// The stream that it goes to.
    pub stream: &'static str,
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    thread: JoinHandle<Result<Outcome, RunError>>,
}

impl Load {
    /// Begins to send, until it is told to end.
    pub fn start(&self, url: &str) -> Running {
        let plan = Plan {
            authorization: None,
            target: Target::parse(url).unwrap(),
            stream: self.stream.into(),
            source: Source::Profile(self.profile),
            mode: Mode::Open { rate: self.rate },
            connections: 4,
            threads: 1,
            feeders: 1,
            producers: 8,
            duration: Some(Duration::from_secs(24 * 3_600)),
            records: None,
            batch: self.batch,
            record_bytes: self.record_bytes,
            keys: 40,
            zipf: 0.8,
            compression: Compression::None,
            seed: 7,
            run_name: self.stream.into(),
            retry: Some(PATIENCE),
            idempotent: true,
            timeout: Duration::from_secs(20),
            server_pid: None,
            settle: Duration::ZERO,
            ..Plan::default()
        };
        let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, seen) = (Arc::clone(&stop), Arc::clone(&acked));
        let thread = std::thread::spawn(move || {
            run(&plan, told, &mut |progress| seen.store(progress.records, Ordering::Relaxed))
        });
        Running { stream: self.stream, stop, acked, thread }
    }
}

impl Running {
    /// Records that were acked so far, as of a moment ago.
    pub fn acked(&self) -> u64 {
        assert!(!self.thread.is_finished(), "the load has ended by itself");
        self.acked.load(Ordering::Relaxed)
    }

    /// Ends it once what is in flight has an answer. The server must be up.
    pub fn finish(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap()
    }
}

/// What can be said about lakes by what was sent.
pub fn judge(lakes: &[String], options: &[(String, String)], manifest: &Manifest) -> Vec<Verdict> {
    let plan = verify::Plan {
        lakes: lakes.to_vec(),
        options: options.to_vec(),
        manifests: vec![manifest.clone()],
        key: KeyRule::Profile,
        errors_folder: "errors".into(),
        jobs: 2,
    };
    verify::verify(&plan, &mut |_| {}).unwrap()
}

/// A lake in a folder that may not have been made, because nothing was delivered.
pub fn folder_lake(folder: &Path) -> String {
    std::fs::create_dir_all(folder).unwrap();
    folder.to_str().unwrap().to_owned()
}

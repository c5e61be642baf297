//! The load generator, in a thread of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use forebay::testkit::generators::Profile;
use forebay_load::manifest::{Account, Manifest};
use forebay_load::run::{Compression, Mode, Outcome, Plan, RunError, Source, Target, run};
use forebay_load::verify::{self, KeyRule, Verdict};

use crate::node::PATIENCE;

/// What to send.
#[derive(Clone)]
pub struct Load {
    /// The stream.
    pub stream: &'static str,
    /// A part of the records' names: two runs into a stream have two.
    pub run: String,
    /// Whether what has no answer is sent again, with the same key. Streams in Kafka know no keys: there each record is
    /// sent once, and is there once or not at all if no answer says what became of it.
    pub is_repeated: bool,
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
            run_name: self.run.clone(),
            retry: self.is_repeated.then_some(PATIENCE),
            idempotent: self.is_repeated,
            // What a topic does not confirm is told of after 30 s.
            timeout: Duration::from_secs(if self.is_repeated { 20 } else { 45 }),
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
pub fn judge(lakes: &[String], options: &[(String, String)], manifests: &[&Manifest]) -> Vec<Verdict> {
    let plan = verify::Plan {
        lakes: lakes.to_vec(),
        options: options.to_vec(),
        manifests: manifests.iter().copied().cloned().collect(),
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

/// How many of the acked records of a run are not there, as a look for a producer's name and a sequence says.
pub fn missing(manifest: &Manifest, is_there: impl Fn(&str, u64) -> bool) -> u64 {
    let of_account = |account: &Account| {
        let acked = account.acked.iter().flat_map(|(first, last)| first..=last);
        acked.filter(|&sequence| !is_there(&account.producer, sequence)).count() as u64
    };
    manifest.producers.iter().map(of_account).sum()
}

/// How many records of a run were acked.
pub fn acked(manifest: &Manifest) -> u64 {
    manifest.producers.iter().map(|account| account.acked.count()).sum()
}

//! `forebay-load verify`: reads a lake back and judges it.
//!
//! Objects are listed → read by several threads, each object by one of them, from its start to its end → what was
//! seen goes through a bounded channel to one judge. Memory depends on the number of records only by one bit each.

pub(crate) mod bitmap;
mod columns;
mod judge;
mod key;
mod lake;
mod object;
mod orc;
mod read_json;
mod read_parquet;
mod rows;
mod sighting;
mod unpacked;
mod verdict;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use futures_util::StreamExt;
use thiserror::Error;
use tokio::runtime::{Builder, Handle, Runtime};

use judge::Judge;
pub use judge::{BITMAP_BYTES_MAX, LimitError, ORDER_KEYS_MAX, PRODUCERS_MAX};
pub use key::{BadKey, KeyRule};
use lake::{Format, Lake, Object};
pub use lake::{Ignored, LakeError, OBJECTS_MAX};
use object::ObjectFile;
use sighting::{Message, Reporter};
pub use verdict::{EXAMPLES_MAX, Finding, FindingKind, Verdict};

use crate::manifest::{self, Manifest};

/// Messages that wait for the judge, for each reader: 4 × 4,096 sightings × 40 bytes = 640 KiB.
const MESSAGES_PER_JOB: usize = 4;

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// What to verify.
#[derive(Debug, Clone)]
pub struct Plan {
    /// URLs or folders. Each is a complete copy and judged alone.
    pub lakes: Vec<String>,
    /// The store's own settings by the names that `object_store` knows them, such as `aws_endpoint`. May hold
    /// secrets: never printed.
    pub options: Vec<(String, String)>,
    /// What has to be there, from all runs into the stream. No two of them may know the same producer.
    pub manifests: Vec<Manifest>,
    /// Where partition keys are.
    pub key: KeyRule,
    /// Name of the folders that hold dead letters.
    pub errors_folder: String,
    /// Objects that are read at a time.
    pub jobs: usize,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Which lake, from 0.
    pub lake: usize,
    /// Objects of the lake that were read.
    pub objects: u64,
    /// All of its objects.
    pub objects_total: u64,
    /// Bytes of the objects that were read.
    pub bytes: u64,
    /// Bytes of all of its objects.
    pub bytes_total: u64,
}

/// Why nothing can be said about a lake.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// It is larger than memory is planned for.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Two manifests speak of the same producer, so that neither says what has to be there.
    #[error(
        "two manifests know producer {0:?}: name each manifest once, and give each run into a stream a --run-name of \
         its own"
    )]
    Producer(String),
    /// The threads could not be started, or one of them ended early.
    #[error("verifier: {0}")]
    Io(#[from] io::Error),
}

/// Judges each lake of `plan`. `observer` is called several times a second.
pub fn verify(plan: &Plan, observer: &mut dyn FnMut(Progress)) -> Result<Vec<Verdict>, VerifyError> {
    let accounts = plan.manifests.iter().flat_map(|manifest| &manifest.producers);
    if let Some(name) = manifest::known_twice(accounts) {
        return Err(VerifyError::Producer(name.to_owned()));
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(plan.jobs.max(1) * 2 + 8)
        .enable_all()
        .build()?;
    let one = |(index, place): (usize, &String)| {
        let lake = Lake::open(place, &plan.options)?;
        verify_lake(plan, &lake, &runtime, &mut |progress| observer(Progress { lake: index, ..progress }))
    };
    plan.lakes.iter().enumerate().map(one).collect()
}

fn verify_lake(
    plan: &Plan,
    lake: &Lake,
    runtime: &Runtime,
    observer: &mut dyn FnMut(Progress),
) -> Result<Verdict, VerifyError> {
    let listing = runtime.block_on(lake.list(&plan.errors_folder))?;
    let objects: Arc<[Object]> = listing.objects.into();
    let jobs = plan.jobs.max(1);
    let (to_judge, heard) = sync_channel(jobs * MESSAGES_PER_JOB);
    let reading =
        runtime.spawn(read_all(lake.clone(), Arc::clone(&objects), plan.key.clone(), jobs, to_judge));
    let mut judge = Judge::new(&lake.url, &objects, &plan.manifests);
    let judged = listen(&mut judge, lake, &objects, &heard, observer);
    // Readers that are still busy find nobody to talk to and stop.
    drop(heard);
    let finished = runtime.block_on(reading).map_err(io::Error::other)?;
    judged?;
    finished?;
    let mut verdict = judge.finish()?;
    verdict.ignored = listing.ignored;
    Ok(verdict)
}

/// Reads all objects, `jobs` at a time.
async fn read_all(
    lake: Lake,
    objects: Arc<[Object]>,
    key: KeyRule,
    jobs: usize,
    judge: SyncSender<Message>,
) -> io::Result<()> {
    let key = Arc::new(key);
    let one = |index: usize| {
        let (store, objects, key) = (Arc::clone(&lake.store), Arc::clone(&objects), Arc::clone(&key));
        let reporter = Reporter::new(index, judge.clone());
        tokio::task::spawn_blocking(move || {
            let file = ObjectFile::new(store, &objects[index], Handle::current());
            read_object(&file, &objects[index], &key, reporter);
        })
    };
    let mut reads = futures_util::stream::iter(0..objects.len()).map(one).buffer_unordered(jobs);
    while let Some(read) = reads.next().await {
        read.map_err(io::Error::other)?;
    }
    Ok(())
}

/// If nobody listens any more, that is because the judge has given up and says why itself.
fn read_object(file: &ObjectFile, object: &Object, key: &KeyRule, mut reporter: Reporter) {
    let read = match object.format {
        Format::Parquet => read_parquet::read(file, key, &mut reporter),
        Format::Orc => orc::read(file, key, &mut reporter),
        Format::Json(packing) => read_json::read(file, (object, packing), key, &mut reporter),
    };
    let _ = read.and_then(|()| reporter.finish(object.bytes, file.take_failure()));
}

/// Until all readers are through.
fn listen(
    judge: &mut Judge<'_>,
    lake: &Lake,
    objects: &[Object],
    heard: &Receiver<Message>,
    observer: &mut dyn FnMut(Progress),
) -> Result<(), VerifyError> {
    let mut progress = Progress {
        objects_total: objects.len() as u64,
        bytes_total: objects.iter().map(|object| object.bytes).sum(),
        ..Progress::default()
    };
    observer(progress);
    loop {
        match heard.recv_timeout(PROGRESS_INTERVAL) {
            Ok(Message::Seen(batch)) => judge.hear(batch)?,
            Ok(Message::Done { object, bytes }) => {
                judge.done(object);
                progress.objects += 1;
                progress.bytes += bytes;
                observer(progress);
            }
            Ok(Message::Failed { object, source }) => {
                let url = format!("{} in {}", objects[object].path, lake.url);
                return Err(LakeError::Store { url, source }.into());
            }
            Err(RecvTimeoutError::Timeout) => observer(progress),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

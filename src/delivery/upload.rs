//! Sealed file → confirmed object, at once or step by step, however often that takes.

use std::sync::Arc;
use std::time::Instant;

use super::ledger::{Entry, Ledger, LedgerError, Multipart};
use super::outflow::{Done, Job, Loss, PartJob, Target};
use super::pause::Pause;
use super::seal::Sealed;
use super::sink::{
    Beginning, BoxFuture, GrowError, Object, ObjectSink, SinkError, SinkErrorClass, Stored, UploadNotes,
};
use super::status::Status;
use crate::runtime::backoff::Backoff;
use crate::runtime::clock::{self, UnixMicros};
use crate::telemetry::trace::{Span, SpanKind};

/// Patience with a sink: counts, tells and waits, and pauses the delivery where somebody has to act.
struct Patience<'a> {
    key: &'a str,
    status: &'a Arc<Status>,
    backoff: Backoff,
    pause: Pause,
}

impl<'a> Patience<'a> {
    fn new(key: &'a str, status: &'a Arc<Status>) -> Self {
        Self { key, status, backoff: Backoff::default(), pause: Pause::none(status) }
    }

    fn passed(&mut self) {
        if self.pause.end() {
            let (stream, delivery) = (&**self.status.stream_name(), self.status.name());
            tracing::info!(stream, delivery, "sink takes files again");
        }
    }

    /// Returns when it is time for another try.
    async fn failed(&mut self, error: &SinkError) {
        let (stream, delivery) = (&**self.status.stream_name(), self.status.name());
        let key = self.key;
        self.status.upload_failed(error.class);
        if error.class.needs_a_person() {
            if self.pause.begin(&error.to_string()) {
                tracing::error!(
                    stream, delivery, key, %error,
                    "the sink refuses: delivery is paused, nothing is dropped; correct the sink or its permissions"
                );
            }
        } else if self.backoff.is_news() {
            tracing::warn!(stream, delivery, key, %error, "upload failed, trying again");
        }
        self.backoff.wait().await;
    }
}

/// Tries until the sink has confirmed the file. Never gives up and never drops: whoever wants to stop waiting drops
/// the future, and the file stays undelivered.
pub async fn store(sealed: &Sealed, notes: &dyn UploadNotes, status: &Arc<Status>) -> Stored {
    let key = &sealed.seal.key;
    if let Some(noted) = &sealed.leftovers {
        abort_leftovers(&sealed.sink, key, noted, status).await;
    }
    let object = Object { key, chunks: &sealed.chunks, identity: &sealed.identity };
    let mut patience = Patience::new(key, status);
    loop {
        let started = clock::monotonic();
        crate::crash_point!("upload.before");
        match sealed.sink.store(&object, notes).await {
            Ok(stored) => {
                crate::crash_point!("upload.after");
                patience.passed();
                confirmed(key, started, sealed.seal.oldest, status);
                return stored;
            }
            Err(error) => patience.failed(&error).await,
        }
    }
}

fn confirmed(key: &str, started: Instant, oldest: UnixMicros, status: &Status) {
    status.metrics.upload_seconds.record(started.elapsed().as_secs_f64());
    let age = clock::wall().0.saturating_sub(oldest.0).max(0);
    status.metrics.freshness_seconds.record(age as f64 / 1e6);
    tracing::debug!(key, "stored");
    if let Some(tracer) = status.metrics.tracer.as_ref().filter(|tracer| tracer.is_chosen()) {
        let end = clock::wall();
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let start = UnixMicros(end.0.saturating_sub_unsigned(micros));
        let span = Span::first("upload", SpanKind::Internal)
            .between(start, end)
            .with("forebay.stream", status.stream_name().to_string())
            .with("forebay.delivery", status.name().to_owned())
            .with("forebay.key", key.to_owned());
        tracer.record(span);
    }
}

/// Does one step of a file that is sent while it is filled, however often it must be tried. Only what the sink has lost
/// ends it without success.
pub async fn step(job: Job, notes: &dyn UploadNotes, status: &Arc<Status>) -> Done {
    match job {
        Job::Begin(target) => begin(&target, notes, status).await,
        Job::Part(job) => send_part(&job, status).await,
        Job::Complete { target, growing, parts, bytes, oldest } => {
            let mut patience = Patience::new(&target.key, status);
            loop {
                let started = clock::monotonic();
                crate::crash_point!("stream.complete");
                match growing.complete(parts.clone(), bytes).await {
                    Ok(stored) => {
                        crate::crash_point!("upload.after");
                        patience.passed();
                        confirmed(&target.key, started, oldest, status);
                        return Done::Stored(stored);
                    }
                    Err(GrowError::Gone(error)) => {
                        // The store may have lost one part and still keep the others.
                        patiently_aborted(&target.key, None, status, || growing.abort()).await;
                        return gone(&error, status);
                    }
                    Err(GrowError::Failed(error)) => patience.failed(&error).await,
                }
            }
        }
        Job::Abort { target, growing } => {
            patiently_aborted(&target.key, None, status, || growing.abort()).await;
            Done::Aborted
        }
    }
}

async fn begin(target: &Target, notes: &dyn UploadNotes, status: &Arc<Status>) -> Done {
    let Target { key, identity, sink, leftovers, .. } = target;
    if let Some(noted) = leftovers {
        abort_leftovers(sink, key, noted, status).await;
    }
    let beginning = Beginning { key, identity, is_again: leftovers.is_some(), notes };
    let mut patience = Patience::new(key, status);
    loop {
        match sink.begin(&beginning).await {
            Ok(begun) => {
                patience.passed();
                return Done::Begun(begun);
            }
            Err(error) => patience.failed(&error).await,
        }
    }
}

async fn send_part(job: &PartJob, status: &Arc<Status>) -> Done {
    let PartJob { target, growing, place, offset, chunks } = job;
    let mut patience = Patience::new(&target.key, status);
    loop {
        match growing.put_part(*place, *offset, chunks).await {
            Ok(part) => {
                crate::crash_point!("stream.part");
                patience.passed();
                let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
                return Done::Part { place: *place, bytes, part };
            }
            Err(GrowError::Gone(error)) => return gone(&error, status),
            Err(GrowError::Failed(error)) => patience.failed(&error).await,
        }
    }
}

fn gone(error: &SinkError, status: &Status) -> Done {
    status.upload_failed(error.class);
    Done::Gone(Loss::Sink(error.to_string()))
}

/// How often the abort of one upload is tried. Parts that stay cost money and nothing else, and a key that may write
/// but not abort must not keep the file from being stored.
const ABORTS_MAX: u32 = 3;

/// Takes back what an earlier try has begun under a key: the uploads that it has noted, and at last those that it had
/// no time to note. Nothing of the key may be under way.
pub async fn abort_leftovers(sink: &ObjectSink, key: &str, noted: &[String], status: &Status) {
    for upload in noted {
        patiently_aborted(key, Some(upload), status, || sink.abort_multipart(key, upload)).await;
    }
    patiently_aborted(key, None, status, || sink.abort_unfinished(key)).await;
}

async fn patiently_aborted<F: Future<Output = Result<(), SinkError>>>(
    key: &str,
    upload: Option<&String>,
    status: &Status,
    mut abort: impl FnMut() -> F,
) {
    let mut backoff = Backoff::default();
    for tried in 1..=ABORTS_MAX {
        let Err(error) = abort().await else { return };
        if error.class.needs_a_person() || tried == ABORTS_MAX {
            tracing::warn!(
                stream = %status.stream_name(), delivery = status.name(), key, upload, %error,
                "cannot take back what was sent of a file: a lifecycle rule of the bucket can"
            );
            return;
        }
        backoff.wait().await;
    }
}

/// Notes the uploads in parts of a file in its delivery's ledger.
pub struct LedgerNotes {
    /// The ledger.
    pub ledger: Ledger,
    /// Number of the file's seal.
    pub number: u64,
}

impl UploadNotes for LedgerNotes {
    fn multipart_begun<'a>(&'a self, upload: &'a str) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async move {
            let entry = Entry::Multipart(Multipart { number: self.number, upload: upload.to_owned() });
            // A ledger that cannot be written needs somebody to look at the disk. One that was taken over needs nobody:
            // the delivery ends.
            let failed = |error: LedgerError| {
                let class = match &error {
                    LedgerError::Deposed { .. } => SinkErrorClass::Transient,
                    LedgerError::Store { source, .. } => source.class,
                    _ => SinkErrorClass::Other,
                };
                SinkError::new(class, error)
            };
            self.ledger.append(vec![entry]).await.map_err(failed)?;
            crate::crash_point!("upload.multipart.begun");
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use url::Url;

    use super::*;
    use crate::config::checked;
    use crate::delivery::ledger::Seal;
    use crate::delivery::sink::{NoNotes, ObjectSink};
    use crate::runtime::budget::Budget;
    use crate::runtime::clock::UnixMicros;
    use crate::stream::{Backing, Captures, Stream};
    use crate::telemetry::metrics::Registry;
    use crate::testkit::faulty_store::{Fault, FaultyStore, Operation, Rule};

    fn status() -> Arc<Status> {
        let config = checked::Stream {
            name: "s".into(),
            shards: 1,
            durability: checked::Durability::Memory,
            retention: Duration::from_secs(60),
            retention_bytes: None,
            idempotency_window: Duration::ZERO,
            log: Default::default(),
            quotas: Default::default(),
        };
        let registry = Registry::new().unwrap();
        let stream = Stream::new(
            &config,
            Backing::Memory,
            1,
            Captures::default().plan().unwrap(),
            registry.stream("s"),
        );
        Arc::new(Status::new(Arc::new(stream), "d", &registry))
    }

    fn sealed(folder: &std::path::Path, key: &str) -> Sealed {
        let permit = Budget::new(1).take_anyway(0);
        let chunks = vec![Bytes::from_static(b"abc")];
        let seal = Seal {
            number: 0,
            epoch: 0,
            partition: Vec::new(),
            folder: String::new(),
            ranges: Vec::new(),
            records: 1,
            key: key.into(),
            guard: None,
            dead: None,
            passed: false,
            reason: "size".into(),
            oldest: UnixMicros(0),
        };
        let identity = "n/s/d/0/0/0".into();
        Sealed { seal, identity, chunks, sink: sink(folder), leftovers: None, permit }
    }

    async fn store(sealed: &Sealed, status: &Arc<Status>) {
        super::store(sealed, &NoNotes, status).await;
    }

    fn sink(folder: &std::path::Path) -> ObjectSink {
        let url = Url::from_directory_path(folder).unwrap();
        let config = checked::ObjectSink { url, options: Default::default(), multipart_bytes: 1 };
        ObjectSink::open(&config).unwrap()
    }

    #[tokio::test]
    async fn what_an_earlier_process_has_begun_and_not_noted_is_taken_back_before_a_file_is_stored_again() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = FaultyStore::start().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut sealed = sealed(folder.path(), "a");
        sealed.sink = ObjectSink::open(&server.sink("lake/").unwrap()).unwrap();
        server.plant_upload("lake/a");
        let noted = server.plant_upload("lake/a");
        let of_other = server.plant_upload("lake/ab");
        store(&sealed, &status()).await;
        assert_eq!(
            server.uploads().len(),
            3,
            "nobody else has closed a file that is stored for the first time"
        );
        sealed.leftovers = Some(vec![noted]);
        store(&sealed, &status()).await;
        assert_eq!(server.uploads(), [(of_other, "lake/ab".to_owned())]);
        // Taking back must not keep the file from being stored.
        server.remove("lake/a");
        server.rule(Rule::new(Operation::ListMultipart, Fault::INTERNAL).always());
        store(&sealed, &status()).await;
        assert!(server.object("lake/a").is_some());
    }

    /// Starts an upload below `blocked`, and returns once a file in the place of that folder has it refused.
    async fn refused_upload(folder: &std::path::Path, status: &Arc<Status>) -> tokio::task::JoinHandle<()> {
        std::fs::write(folder.join("blocked"), "").unwrap();
        let (sealed, of_upload) = (sealed(folder, "blocked/a"), Arc::clone(status));
        let upload = tokio::spawn(async move { store(&sealed, &of_upload).await });
        while status.report().paused.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        upload
    }

    #[tokio::test]
    async fn a_file_that_is_stored_beside_a_refused_one_does_not_resume_the_delivery() {
        let (folder, status) = (tempfile::tempdir().unwrap(), status());
        let upload = refused_upload(folder.path(), &status).await;
        store(&sealed(folder.path(), "free/a"), &status).await;
        assert!(status.report().paused.is_some());
        std::fs::remove_file(folder.path().join("blocked")).unwrap();
        upload.await.unwrap();
        assert_eq!(status.report().paused, None);
    }

    #[tokio::test]
    async fn a_refused_upload_that_is_aborted_leaves_no_pause_behind() {
        let (folder, status) = (tempfile::tempdir().unwrap(), status());
        let upload = refused_upload(folder.path(), &status).await;
        upload.abort();
        assert!(upload.await.unwrap_err().is_cancelled());
        assert_eq!(status.report().paused, None);
    }
}

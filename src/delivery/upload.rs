//! Sealed file → confirmed object, however often that takes.

use std::time::Duration;

use super::seal::Sealed;
use super::sink::{NoNotes, Object, ObjectSink, SinkError};
use super::status::{Refusal, Status};
use crate::runtime::clock;

/// First pause between tries.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Longest pause between tries: a store that comes back is noticed within it.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Tries until the sink has confirmed the file. Never gives up and never drops: whoever wants to stop waiting drops
/// the future, and the file stays undelivered.
pub async fn store(sink: &ObjectSink, sealed: Sealed, status: &Status) {
    let mut backoff = BACKOFF_MIN;
    let mut refusal = Refusal::none(status);
    // The name of a file of a stream without a ledger has all that tells it from others: stream, delivery, run, number
    // and what is inside.
    let identity = sealed.key.rsplit('/').next().unwrap_or_default();
    let object = Object { key: &sealed.key, chunks: &sealed.chunks, identity };
    loop {
        let started = clock::monotonic();
        match sink.store(&object, &NoNotes).await {
            Ok(stored) => {
                status.metrics.upload_seconds.record(started.elapsed().as_secs_f64());
                let age = clock::wall().0.saturating_sub(sealed.oldest.0).max(0);
                status.metrics.freshness_seconds.record(age as f64 / 1e6);
                if refusal.resume() {
                    tracing::info!(stream = %status.stream_name(), delivery = status.name(), "sink takes files again");
                }
                status.stored(sealed.records, stored.bytes, sealed.dead.as_deref());
                tracing::debug!(key = sealed.key, bytes = stored.bytes, records = sealed.records, "stored");
                return;
            }
            Err(error) => {
                status.upload_failed(error.class);
                if error.class.needs_a_person() {
                    refused(&error, &sealed, status, &mut refusal);
                } else if backoff == BACKOFF_MIN || backoff == BACKOFF_MAX {
                    let (stream, delivery) = (&**status.stream_name(), status.name());
                    tracing::warn!(stream, delivery, key = sealed.key, %error, "upload failed, trying again");
                }
            }
        }
        tokio::time::sleep(jittered(backoff)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

fn refused(error: &SinkError, sealed: &Sealed, status: &Status, refusal: &mut Refusal<'_>) {
    if refusal.pause(&error.to_string()) {
        let (stream, delivery) = (&**status.stream_name(), status.name());
        tracing::error!(
            stream, delivery, key = sealed.key, %error,
            "the sink refuses: delivery is paused, nothing is dropped; correct the sink or its permissions"
        );
    }
}

/// Between half and all of it, so that many uploads do not come back at the same moment.
fn jittered(backoff: Duration) -> Duration {
    backoff.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use url::Url;

    use super::*;
    use crate::config::checked;
    use crate::runtime::budget::Budget;
    use crate::runtime::clock::UnixMicros;
    use crate::stream::{Captures, Stream};
    use crate::telemetry::metrics::Registry;

    fn status() -> Arc<Status> {
        let config = checked::Stream {
            name: "s".into(),
            shards: 1,
            durability: checked::Durability::Memory,
            retention: Duration::from_secs(60),
            retention_bytes: None,
        };
        let registry = Registry::new().unwrap();
        let stream = Stream::new(&config, 1, Captures::default().plan().unwrap(), registry.stream("s"));
        Arc::new(Status::new(Arc::new(stream), "d", &registry))
    }

    fn sealed(key: &str) -> Sealed {
        let permit = Budget::new(1).take_anyway(0);
        let chunks = vec![Bytes::from_static(b"abc")];
        Sealed { key: key.into(), chunks, records: 1, oldest: UnixMicros(0), dead: None, permit }
    }

    fn sink(folder: &std::path::Path) -> ObjectSink {
        let url = Url::from_directory_path(folder).unwrap();
        let config = checked::ObjectSink { url, options: Default::default(), multipart_bytes: 1 };
        ObjectSink::open(&config).unwrap()
    }

    /// Starts an upload below `blocked`, and returns once a file in the place of that folder has it refused.
    async fn refused_upload(folder: &std::path::Path, status: &Arc<Status>) -> tokio::task::JoinHandle<()> {
        std::fs::write(folder.join("blocked"), "").unwrap();
        let (sink, of_upload) = (sink(folder), Arc::clone(status));
        let upload = tokio::spawn(async move { store(&sink, sealed("blocked/a"), &of_upload).await });
        while status.report().paused.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        upload
    }

    #[tokio::test]
    async fn a_file_that_is_stored_beside_a_refused_one_does_not_resume_the_delivery() {
        let (folder, status) = (tempfile::tempdir().unwrap(), status());
        let upload = refused_upload(folder.path(), &status).await;
        store(&sink(folder.path()), sealed("free/a"), &status).await;
        assert!(status.report().paused.is_some());
        std::fs::remove_file(folder.path().join("blocked")).unwrap();
        upload.await.unwrap();
        assert_eq!((status.report().paused, status.report().delivered), (None, 2));
    }

    #[tokio::test]
    async fn a_refused_upload_that_is_aborted_leaves_no_pause_behind() {
        let (folder, status) = (tempfile::tempdir().unwrap(), status());
        let upload = refused_upload(folder.path(), &status).await;
        upload.abort();
        assert!(upload.await.unwrap_err().is_cancelled());
        assert_eq!((status.report().paused, status.report().delivered), (None, 0));
    }
}

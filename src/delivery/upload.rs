//! Sealed file → confirmed object, however often that takes.

use std::time::Duration;

use super::seal::Sealed;
use super::sink::{ObjectSink, SinkError};
use super::status::Status;
use crate::runtime::clock;

/// First pause between tries.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Longest pause between tries: a store that comes back is noticed within it.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Tries until the sink has confirmed the file. Never gives up and never drops: whoever wants to stop waiting drops
/// the future, and the file stays undelivered.
pub async fn store(sink: &ObjectSink, sealed: Sealed, status: &Status) {
    let mut backoff = BACKOFF_MIN;
    loop {
        let started = clock::monotonic();
        match sink.put(&sealed.key, &sealed.chunks).await {
            Ok(stored) => {
                status.metrics.upload_seconds.record(started.elapsed().as_secs_f64());
                let age = clock::wall().0.saturating_sub(sealed.oldest.0).max(0);
                status.metrics.freshness_seconds.record(age as f64 / 1e6);
                if status.resume() {
                    tracing::info!(stream = %status.stream_name(), delivery = status.name(), "sink takes files again");
                }
                status.stored(sealed.records, stored.bytes, sealed.dead.as_deref());
                tracing::debug!(key = sealed.key, bytes = stored.bytes, records = sealed.records, "stored");
                return;
            }
            Err(error) => failed(&error, &sealed, status, backoff),
        }
        tokio::time::sleep(jittered(backoff)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

fn failed(error: &SinkError, sealed: &Sealed, status: &Status, backoff: Duration) {
    status.upload_failed(error.class);
    let first_try = backoff == BACKOFF_MIN;
    let (stream, delivery) = (&**status.stream_name(), status.name());
    if error.class.needs_a_person() {
        if status.pause(&error.to_string()) {
            tracing::error!(
                stream, delivery, key = sealed.key, %error,
                "the sink refuses: delivery is paused, nothing is dropped; correct the sink or its permissions"
            );
        }
    } else if first_try || backoff == BACKOFF_MAX {
        tracing::warn!(stream, delivery, key = sealed.key, %error, "upload failed, trying again");
    }
}

/// Between half and all of it, so that many uploads do not come back at the same moment.
fn jittered(backoff: Duration) -> Duration {
    backoff.mul_f64(0.5 + fastrand::f64() / 2.0)
}

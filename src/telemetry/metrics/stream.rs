//! The metrics of a stream: what has come in, what it holds, the version of its learned columns.

use metrics::{Counter, Gauge, Unit};

use super::{Metric, Registry};

metric!(
    INGEST_RECORDS,
    "forebay_ingest_records_total",
    None,
    "Records by verdict: accepted, rejected, or accepted as dead_letter."
);
metric!(
    STAGE_RECORDS,
    "forebay_stage_records_total",
    None,
    "Records by the stage that they came by and what became of them, of streams that have stages."
);
metric!(INGEST_BYTES, "forebay_ingest_bytes_total", Some(Unit::Bytes), "Payload bytes of accepted records.");
metric!(
    STREAM_RETAINED_BYTES,
    "forebay_stream_retained_bytes",
    Some(Unit::Bytes),
    "Payload bytes that the stream holds."
);
metric!(STREAM_RETAINED_RECORDS, "forebay_stream_retained_records", None, "Records that the stream holds.");
metric!(
    STREAM_EVICTED,
    "forebay_stream_evicted_records_total",
    None,
    "Records that left the stream, by reason: time, bytes or pressure."
);
metric!(
    IDEMPOTENCY_EVICTED,
    "forebay_idempotency_evicted_total",
    None,
    "Replies that were forgotten before their idempotency window was over, because they needed too much memory."
);
metric!(
    QUOTA_RECORDS,
    "forebay_quota_throttled_records_total",
    None,
    "Records that were refused because a quota of their shard was used up."
);
metric!(
    QUOTA_REQUESTS,
    "forebay_quota_throttled_requests_total",
    None,
    "Requests that were refused, in part or as a whole, because a quota of a shard was used up, by operation: write or \
     read."
);
metric!(
    SCHEMA_VERSION,
    "forebay_schema_version",
    None,
    "Number of the newest version of the stream's learned columns; 0 before the first record. Only where columns are \
     learned."
);

metric!(
    TOPIC_UP,
    "forebay_stream_topic_up",
    None,
    "Whether the topic that the stream is in answers: 1 or 0. Only of streams in Kafka."
);
metric!(
    TOPIC_PARTITIONS,
    "forebay_stream_topic_partitions",
    None,
    "Partitions of the topic that the stream is in: another number than the stream has shards means that some are not used."
);
metric!(
    TOPIC_QUEUED_BYTES,
    "forebay_stream_topic_queued_bytes",
    Some(Unit::Bytes),
    "Records on their way to the topic that the stream is in, with their overhead."
);

pub(super) const COUNTERS: &[Metric] = &[
    INGEST_RECORDS,
    STAGE_RECORDS,
    INGEST_BYTES,
    STREAM_EVICTED,
    IDEMPOTENCY_EVICTED,
    QUOTA_RECORDS,
    QUOTA_REQUESTS,
];
pub(super) const GAUGES: &[Metric] = &[
    STREAM_RETAINED_BYTES,
    STREAM_RETAINED_RECORDS,
    SCHEMA_VERSION,
    TOPIC_UP,
    TOPIC_PARTITIONS,
    TOPIC_QUEUED_BYTES,
];

impl Registry {
    /// `forebay_stage_records_total` of one way in to a stream and one verdict.
    pub fn stage_records(&self, stream: &str, stage: &str, verdict: &'static str) -> Counter {
        self.counter(STAGE_RECORDS, &[("stream", stream), ("stage", stage), ("verdict", verdict)])
    }

    /// The metrics of one stream.
    pub fn stream(&self, stream: &str) -> StreamMetrics {
        let verdict = |verdict| self.counter(INGEST_RECORDS, &[("stream", stream), ("verdict", verdict)]);
        let evicted = |reason| self.counter(STREAM_EVICTED, &[("stream", stream), ("reason", reason)]);
        let throttled =
            |operation| self.counter(QUOTA_REQUESTS, &[("stream", stream), ("operation", operation)]);
        StreamMetrics {
            accepted: verdict("accepted"),
            rejected: verdict("rejected"),
            dead_letter: verdict("dead_letter"),
            bytes: self.counter(INGEST_BYTES, &[("stream", stream)]),
            retained_bytes: self.gauge(STREAM_RETAINED_BYTES, &[("stream", stream)]),
            retained_records: self.gauge(STREAM_RETAINED_RECORDS, &[("stream", stream)]),
            evicted_time: evicted("time"),
            evicted_bytes: evicted("bytes"),
            evicted_pressure: evicted("pressure"),
            idempotency_evicted: self.counter(IDEMPOTENCY_EVICTED, &[("stream", stream)]),
            throttled_records: self.counter(QUOTA_RECORDS, &[("stream", stream)]),
            throttled_writes: throttled("write"),
            throttled_reads: throttled("read"),
        }
    }

    /// The metrics of a stream that is in a topic.
    pub fn topic(&self, stream: &str) -> TopicMetrics {
        let labels = [("stream", stream)];
        TopicMetrics {
            up: self.gauge(TOPIC_UP, &labels),
            partitions: self.gauge(TOPIC_PARTITIONS, &labels),
            queued_bytes: self.gauge(TOPIC_QUEUED_BYTES, &labels),
        }
    }

    /// `forebay_schema_version` of one stream.
    pub fn schema_version(&self, stream: &str) -> Gauge {
        self.gauge(SCHEMA_VERSION, &[("stream", stream)])
    }
}

/// Handles of one stream that is in a topic.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct TopicMetrics {
    pub up: Gauge,
    pub partitions: Gauge,
    pub queued_bytes: Gauge,
}

/// Handles of one stream.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct StreamMetrics {
    pub accepted: Counter,
    pub rejected: Counter,
    pub dead_letter: Counter,
    pub bytes: Counter,
    pub retained_bytes: Gauge,
    pub retained_records: Gauge,
    pub evicted_time: Counter,
    pub evicted_bytes: Counter,
    pub evicted_pressure: Counter,
    pub idempotency_evicted: Counter,
    pub throttled_records: Counter,
    pub throttled_writes: Counter,
    pub throttled_reads: Counter,
}

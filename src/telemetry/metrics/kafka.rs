//! The metrics of deliveries into Kafka, beside those of any delivery.

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

use super::{Metric, PartGauges, Registry};

metric!(
    KAFKA_RECORDS,
    "forebay_kafka_records_total",
    None,
    "Records in committed messages, dead letters not counted."
);
metric!(
    KAFKA_BYTES,
    "forebay_kafka_bytes_total",
    Some(Unit::Bytes),
    "Bytes of payloads and keys in committed messages, before compression."
);
metric!(
    KAFKA_TRANSACTIONS,
    "forebay_kafka_transactions_total",
    None,
    "Transactions that have ended, by outcome: committed or aborted. What is aborted is sent again."
);
metric!(
    KAFKA_LETTERS,
    "forebay_kafka_dead_lettered_records_total",
    None,
    "Records in committed dead letters in Kafka."
);
metric!(KAFKA_IN_FLIGHT, "forebay_kafka_in_flight_messages", None, "Messages that are not committed yet.");
metric!(KAFKA_TOPICS, "forebay_kafka_topics", None, "Topics that the delivery sends to at the moment.");
metric!(
    KAFKA_LATENCY,
    "forebay_kafka_latency_seconds",
    Some(Unit::Seconds),
    "Time from the arrival of a transaction's oldest record to the commit."
);

/// See [`Registry::new`].
pub(super) const COUNTERS: &[Metric] = &[KAFKA_RECORDS, KAFKA_BYTES, KAFKA_TRANSACTIONS, KAFKA_LETTERS];
/// See [`Registry::new`].
pub(super) const GAUGES: &[Metric] = &[KAFKA_IN_FLIGHT, KAFKA_TOPICS];
/// See [`Registry::new`].
pub(super) const HISTOGRAMS: &[Metric] = &[KAFKA_LATENCY];

/// Upper bounds of latencies: from a transaction of a few milliseconds to an outage.
const LATENCY_SECONDS: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Gives the histogram its buckets.
pub(super) fn with_buckets(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    builder.set_buckets_for_metric(Matcher::Full(KAFKA_LATENCY.name.to_owned()), LATENCY_SECONDS)
}

/// Handles of one delivery into Kafka.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct KafkaMetrics {
    pub records: Counter,
    pub bytes: Counter,
    pub committed: Counter,
    pub aborted: Counter,
    pub letters: Counter,
    pub in_flight: Gauge,
    pub topics: Gauge,
    pub latency_seconds: Histogram,
}

impl Registry {
    /// The metrics of a delivery into Kafka.
    pub fn kafka(&self, stream: &str, delivery: &str) -> KafkaMetrics {
        let labels = [("stream", stream), ("delivery", delivery)];
        let transactions =
            |outcome| self.counter(KAFKA_TRANSACTIONS, &[labels[0], labels[1], ("outcome", outcome)]);
        KafkaMetrics {
            records: self.counter(KAFKA_RECORDS, &labels),
            bytes: self.counter(KAFKA_BYTES, &labels),
            committed: transactions("committed"),
            aborted: transactions("aborted"),
            letters: self.counter(KAFKA_LETTERS, &labels),
            in_flight: self.gauge(KAFKA_IN_FLIGHT, &labels),
            topics: self.gauge(KAFKA_TOPICS, &labels),
            latency_seconds: self.histogram(KAFKA_LATENCY, &labels),
        }
    }

    /// The same of a shard of one, whose gauges are among those of the part.
    pub fn kafka_part(&self, (stream, delivery): (&str, &str), gauges: &PartGauges) -> KafkaMetrics {
        let (in_flight, topics) = gauges.of_kafka();
        KafkaMetrics { in_flight, topics, ..self.kafka(stream, delivery) }
    }
}

//! The metrics of a delivery whose shards are shared by many nodes.
//!
//! Each shard that a node works on has counts of its own. Counters of all of them are the same ones. Gauges cannot be:
//! those of a shard are kept apart, and shown as one for the delivery, so that nothing stale is left of a shard that has
//! moved to another node, and the number of time series does not grow with the shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge};

use super::super::{KafkaMetrics, Metric, Registry};
use super::DeliveryMetrics;

pub(super) const OWNED: Metric = Metric {
    name: "forebay_delivery_owned_shards",
    unit: None,
    help: "Shards of a stream in Kafka that this node delivers.",
};
pub(super) const TAKEN: Metric = Metric {
    name: "forebay_delivery_shards_taken_total",
    unit: None,
    help: "Shards that this node has taken over: from another node, or from a process before.",
};
pub(super) const LOST: Metric = Metric {
    name: "forebay_delivery_shards_lost_total",
    unit: None,
    help: "Shards that this node has let go of because the consumer group had not heard of it for too long.",
};
pub(super) const DEPOSED: Metric = Metric {
    name: "forebay_delivery_deposed_total",
    unit: None,
    help: "Times that another node had taken over a shard while this one was at work.",
};
pub(super) const FAILED: Metric = Metric {
    name: "forebay_delivery_shard_failures_total",
    unit: None,
    help: "Times that the work on a shard could not begin or has broken off, and was tried again.",
};

/// Handles of one delivery that is shared.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct SharingMetrics {
    pub owned: Gauge,
    pub taken: Counter,
    pub lost: Counter,
    pub deposed: Counter,
    pub failed: Counter,
    pending: Gauge,
    backlog: Gauge,
    oldest_pending_seconds: Gauge,
    open_partitions: Gauge,
    paused: Gauge,
    /// Of a delivery into Kafka.
    into_kafka: Option<(Gauge, Gauge)>,
}

/// Gauges of a part of a delivery, which are not shown by themselves.
#[derive(Debug, Default)]
pub struct PartGauges {
    pending: Arc<AtomicU64>,
    backlog: Arc<AtomicU64>,
    oldest_pending_seconds: Arc<AtomicU64>,
    open_partitions: Arc<AtomicU64>,
    paused: Arc<AtomicU64>,
    in_flight: Arc<AtomicU64>,
    topics: Arc<AtomicU64>,
}

impl Registry {
    /// The metrics of a delivery whose shards are shared by many nodes.
    pub fn sharing(&self, stream: &str, delivery: &str) -> SharingMetrics {
        let labels = [("stream", stream), ("delivery", delivery)];
        let of_all = self.delivery(stream, delivery);
        SharingMetrics {
            owned: self.gauge(OWNED, &labels),
            taken: self.counter(TAKEN, &labels),
            lost: self.counter(LOST, &labels),
            deposed: self.counter(DEPOSED, &labels),
            failed: self.counter(FAILED, &labels),
            pending: of_all.pending,
            backlog: of_all.backlog,
            oldest_pending_seconds: of_all.oldest_pending_seconds,
            open_partitions: of_all.open_partitions,
            paused: of_all.paused,
            into_kafka: None,
        }
    }

    /// The same of a delivery into Kafka.
    pub fn sharing_into_kafka(&self, (stream, delivery): (&str, &str)) -> SharingMetrics {
        let KafkaMetrics { in_flight, topics, .. } = self.kafka(stream, delivery);
        SharingMetrics { into_kafka: Some((in_flight, topics)), ..self.sharing(stream, delivery) }
    }

    /// The metrics of one of its shards.
    pub fn delivery_part(&self, stream: &str, delivery: &str) -> (DeliveryMetrics, PartGauges) {
        let parts = PartGauges::default();
        let metrics = DeliveryMetrics {
            pending: gauge(&parts.pending),
            backlog: gauge(&parts.backlog),
            oldest_pending_seconds: gauge(&parts.oldest_pending_seconds),
            open_partitions: gauge(&parts.open_partitions),
            paused: gauge(&parts.paused),
            ..self.delivery(stream, delivery)
        };
        (metrics, parts)
    }
}

fn gauge(value: &Arc<AtomicU64>) -> Gauge {
    Gauge::from_arc(Arc::clone(value))
}

impl PartGauges {
    /// Messages that are not committed, and topics.
    pub(in crate::telemetry::metrics) fn of_kafka(&self) -> (Gauge, Gauge) {
        (gauge(&self.in_flight), gauge(&self.topics))
    }
}

impl SharingMetrics {
    /// Shows the gauges of all parts as those of the delivery, which is paused if one of them is, or `is_waiting` to begin.
    pub fn show<'a>(&self, parts: impl Iterator<Item = &'a PartGauges>, is_waiting: bool) {
        // `metrics` keeps a gauge as the bits of a number.
        let value = |gauge: &AtomicU64| f64::from_bits(gauge.load(Ordering::Relaxed));
        let (mut pending, mut backlog, mut open) = (0.0, 0.0, 0.0);
        let (mut oldest, mut paused) = (0.0_f64, f64::from(is_waiting));
        let (mut in_flight, mut topics) = (0.0, 0.0_f64);
        for part in parts {
            pending += value(&part.pending);
            backlog += value(&part.backlog);
            open += value(&part.open_partitions);
            oldest = oldest.max(value(&part.oldest_pending_seconds));
            paused = paused.max(value(&part.paused));
            in_flight += value(&part.in_flight);
            // All of them send to the same ones, by and by.
            topics = topics.max(value(&part.topics));
        }
        self.pending.set(pending);
        self.backlog.set(backlog);
        self.open_partitions.set(open);
        self.oldest_pending_seconds.set(oldest);
        self.paused.set(paused);
        if let Some(gauges) = &self.into_kafka {
            gauges.0.set(in_flight);
            gauges.1.set(topics);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_of_shards_are_shown_as_one_of_the_delivery_and_counters_are_the_same() {
        let registry = Registry::new().unwrap();
        let sharing = registry.sharing("s", "d");
        let parts: Vec<_> = (0..2).map(|_| registry.delivery_part("s", "d")).collect();
        for (number, (metrics, _)) in parts.iter().enumerate() {
            metrics.pending.set(5.0);
            metrics.oldest_pending_seconds.set(number as f64);
            metrics.open_partitions.set(2.0);
            metrics.read.increment(3);
        }
        parts[0].0.paused.set(1.0);
        sharing.show(parts.iter().map(|(_, gauges)| gauges), false);
        let text = registry.render();
        for (name, value) in [
            ("pending_records", 10),
            ("oldest_pending_age_seconds", 1),
            ("open_partitions", 4),
            ("paused", 1),
            ("read_records_total", 6),
        ] {
            let line = format!("forebay_delivery_{name}{{stream=\"s\",delivery=\"d\"}} {value}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        for (is_waiting, value) in [(false, 0), (true, 1)] {
            sharing.show([].into_iter(), is_waiting);
            let line = format!("forebay_delivery_paused{{stream=\"s\",delivery=\"d\"}} {value}\n");
            assert!(registry.render().contains(&line), "{line}");
        }
    }
}

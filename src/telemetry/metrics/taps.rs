//! The metrics of live readers.

use metrics::{Counter, Gauge, Unit};

use super::{Metric, Registry};

metric!(TAP_OPEN, "forebay_tap_open", None, "Live readers, by kind: events, websocket or subscription.");
metric!(
    TAP_SENT_BYTES,
    "forebay_tap_sent_bytes_total",
    Some(Unit::Bytes),
    "Bytes that live readers have taken, framing of the transport aside."
);
metric!(TAP_SENT_RECORDS, "forebay_tap_sent_records_total", None, "Records that live readers have taken.");
metric!(
    TAP_SLOW,
    "forebay_tap_slow_readers_total",
    None,
    "Live readers that were closed because they took nothing for [server] idle_timeout."
);

/// See [`Registry::new`].
pub(super) const COUNTERS: &[Metric] = &[TAP_SENT_BYTES, TAP_SENT_RECORDS, TAP_SLOW];
/// See [`Registry::new`].
pub(super) const GAUGES: &[Metric] = &[TAP_OPEN];

/// Handles of one kind of live readers.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct TapMetrics {
    pub open: Gauge,
    pub bytes: Counter,
    pub records: Counter,
    pub slow: Counter,
}

impl Registry {
    /// The metrics of live readers of a kind.
    pub fn taps(&self, kind: &str) -> TapMetrics {
        let labels = [("kind", kind)];
        TapMetrics {
            open: self.gauge(TAP_OPEN, &labels),
            bytes: self.counter(TAP_SENT_BYTES, &labels),
            records: self.counter(TAP_SENT_RECORDS, &labels),
            slow: self.counter(TAP_SLOW, &labels),
        }
    }
}

//! The metrics of logs, traces and exports: what is on record, and what was lost of it.

use metrics::Counter;

use super::{Metric, Registry};

metric!(
    LINES,
    "forebay_lines_written_total",
    None,
    "Lines that were written to the access log or the audit log."
);
metric!(
    LINES_DROPPED,
    "forebay_lines_dropped_total",
    None,
    "Lines of these logs that are lost, by reason: the queue was full, or writing has failed."
);

metric!(OTLP_SENT, "forebay_otlp_sent_total", None, "Spans and metric points that a collector has taken.");
metric!(
    OTLP_DROPPED,
    "forebay_otlp_dropped_total",
    None,
    "Spans and metric points that no collector has, by reason: too many waited, sending has failed, or it has refused them."
);

/// See [`Registry::new`].
pub(super) const COUNTERS: &[Metric] = &[LINES, LINES_DROPPED, OTLP_SENT, OTLP_DROPPED];

/// Handles of a log.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct LineMetrics {
    pub written: Counter,
    pub dropped_full: Counter,
    pub dropped_failed: Counter,
}

/// Handles of what is told to a collector.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct ExportMetrics {
    pub sent: Counter,
    pub dropped_full: Counter,
    pub dropped_failed: Counter,
    pub dropped_refused: Counter,
}

impl ExportMetrics {
    /// Counts nothing.
    pub fn noop() -> Self {
        let [sent, dropped_full, dropped_failed, dropped_refused] = std::array::from_fn(|_| Counter::noop());
        Self { sent, dropped_full, dropped_failed, dropped_refused }
    }
}

impl Registry {
    /// The metrics of the spans that are told to a collector.
    pub fn spans(&self) -> ExportMetrics {
        self.otlp("spans")
    }

    /// The same of metric points.
    pub fn points(&self) -> ExportMetrics {
        self.otlp("points")
    }

    fn otlp(&self, signal: &'static str) -> ExportMetrics {
        let dropped = |why| self.counter(OTLP_DROPPED, &[("signal", signal), ("why", why)]);
        ExportMetrics {
            sent: self.counter(OTLP_SENT, &[("signal", signal)]),
            dropped_full: dropped("full"),
            dropped_failed: dropped("failed"),
            dropped_refused: dropped("refused"),
        }
    }

    /// The metrics of a log: `access` or `audit`.
    pub fn lines(&self, log: &'static str) -> LineMetrics {
        let dropped = |why| self.counter(LINES_DROPPED, &[("log", log), ("why", why)]);
        LineMetrics {
            written: self.counter(LINES, &[("log", log)]),
            dropped_full: dropped("full"),
            dropped_failed: dropped("failed"),
        }
    }
}

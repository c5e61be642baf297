//! What is told of what runs: balances, why there should be no traffic, metrics.

use std::sync::Arc;

use super::Pipelines;
use crate::delivery::StatusReport;
use crate::delivery::sharing::SharingReport;
use crate::edge::Intake;
use crate::runtime::phases::Phase;

impl Pipelines {
    /// The balance of each delivery; of none before they are built.
    pub fn reports(&self) -> Vec<StatusReport> {
        let own = self.site.statuses();
        let shared = self.site.shared().clone();
        own.iter().map(|status| status.report()).chain(shared.iter().map(|shared| shared.report())).collect()
    }

    /// Deliveries that other nodes have shards of as well, and what this node has of each.
    pub fn shared_reports(&self) -> Vec<SharingReport> {
        self.site.shared_reports()
    }

    /// Why the process should get no traffic at the moment; empty if it should.
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.phases.current() != Phase::Serving {
            reasons.push(format!("phase: {}", self.phases.describe()));
        }
        let paused = self.reports().into_iter().filter_map(|report| {
            let why = report.paused?;
            Some(format!("delivery '{}' of stream '{}' is paused: {why}", report.delivery, report.stream))
        });
        reasons.extend(paused);
        let troubled = |intake: &Arc<Intake>| {
            let why = intake.stream.topic()?.trouble()?;
            Some(format!("stream '{}': {why}", intake.stream.name()))
        };
        reasons.extend(self.site.edge.intakes().iter().filter_map(troubled));
        reasons
    }

    /// Brings gauges up to date and renders all metrics.
    pub fn render_metrics(&self) -> String {
        for status in self.site.statuses() {
            status.refresh_gauges();
        }
        let shared = self.site.shared().clone();
        shared.iter().for_each(|sharing| sharing.refresh_gauges());
        self.site.refresh_function_gauges();
        self.site.edge.refresh_gauges();
        for intake in self.site.edge.intakes() {
            if let Some(topic) = intake.stream.topic() {
                let metrics = self.registry.topic(intake.stream.name());
                metrics.up.set(if topic.trouble().is_none() { 1.0 } else { 0.0 });
                metrics.partitions.set(f64::from(topic.partitions_told()));
                metrics.queued_bytes.set(topic.queued_bytes() as f64);
            }
            let (records, bytes) = intake.stream.retained();
            intake.stream.metrics.retained_records.set(records as f64);
            intake.stream.metrics.retained_bytes.set(bytes as f64);
        }
        if let Some(logs) = self.site.logs().as_ref() {
            logs.refresh_gauges(&self.registry);
        }
        let gauges = &self.memory_metrics;
        let (ingest, delivery) = (&self.site.edge.budget, &self.site.memory.share);
        gauges.ingest_used.set(ingest.used() as f64);
        gauges.ingest_capacity.set(ingest.capacity() as f64);
        gauges.delivery_used.set(delivery.used() as f64);
        gauges.delivery_capacity.set(delivery.capacity() as f64);
        let mut text = self.registry.render();
        let intakes = self.site.edge.intakes();
        let cursors: Vec<_> = intakes.iter().flat_map(|intake| intake.cursors.gauges()).collect();
        crate::telemetry::metrics::render_cursors(&mut text, &cursors);
        crate::telemetry::process::render(&mut text);
        text
    }
}

//! Fan-outs against librdkafka's mock cluster, which fails on demand.

use std::sync::Arc;
use std::time::Duration;

use crate::config::checked;
use crate::stream::{Backing, Captures, Stream};
use crate::telemetry::metrics::Registry;

/// A stream in memory with `shards` shards.
pub fn memory_stream(shards: u32, registry: &Registry) -> Arc<Stream> {
    let config = checked::Stream {
        name: "clicks".into(),
        shards,
        durability: checked::Durability::Memory,
        retention: Duration::from_secs(3600),
        retention_bytes: None,
        idempotency_window: Duration::ZERO,
        quotas: Default::default(),
    };
    let plan = Captures::default().plan().unwrap();
    Arc::new(Stream::new(&config, Backing::Memory, 1, plan, registry.stream("clicks")))
}

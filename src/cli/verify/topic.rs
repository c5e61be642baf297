//! The records of a stream in Kafka, as its topic has them: for `forebay verify`, which asks its brokers.
//!
//! Others may append meanwhile. What is seen ends where the topic ended when it was asked. Numbers between records belong
//! to markers of transactions, or to what compaction has taken out: nobody misses them.

use std::sync::Arc;
use std::time::Duration;

use crate::config::checked::{Config, Pipeline};
use crate::config::limits::{KAFKA_START_WAIT, VERIFY_READ_BYTES, VERIFY_TOPIC_BYTES};
use crate::delivery::verify::{Held, RecordSource};
use crate::pipeline::topic_source;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::stream::kafka::growth::Agreement;
use crate::stream::{
    Backing, CapturePlan, Captures, Found, Payer, Read, ReadError, ReadLimit, ShardLog, Stream,
};
use crate::telemetry::metrics::Registry;

/// See the module.
pub(super) struct Topic {
    stream: Arc<Stream>,
    shards: Vec<(Held, Arc<dyn ShardLog>)>,
    payer: Payer,
}

impl Topic {
    /// Asks the brokers what the topic of `pipeline` has now, and waits for that some seconds. Blocks the thread.
    ///
    /// # Errors
    /// Why that is not known, in words.
    pub fn ask(config: &Config, pipeline: &Pipeline, agreement: Agreement) -> Result<Self, String> {
        let log = pipeline.stream.log.kafka().ok_or("it is in no topic")?;
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let budget = Budget::new(VERIFY_TOPIC_BYTES);
        let bytes_max = config.node.server.body_bytes_max;
        let mut source = topic_source((log, agreement), &pipeline.ingest, (budget, bytes_max))
            .map_err(|error| told(&error))?;
        // Nothing is appended, so that there is to be no producer.
        source.log.is_source = true;
        let plan = Captures::default().plan().map_err(|error| told(&error))?;
        let metrics = Registry::new().map_err(|error| told(&error))?.stream(&pipeline.stream.name);
        let stream = Stream::new(&pipeline.stream, Backing::Kafka(Box::new(source)), 0, plan, metrics);
        let mut topic = Self {
            stream: Arc::new(stream),
            shards: Vec::new(),
            // One read at a time, which is bounded by itself.
            payer: Payer { budget: Budget::new(VERIFY_READ_BYTES), overdraws: true },
        };
        topic.stream.begin_log(KAFKA_START_WAIT);
        let is_known = topic.stream.topic().is_some_and(|known| !known.partitions().is_empty());
        if !is_known {
            let why = topic.stream.topic().and_then(|topic| topic.trouble());
            return Err(why.unwrap_or_else(|| "its brokers do not answer".to_owned()));
        }
        // The thread that has heard of the partitions is about to make shards of them.
        while topic.stream.layout().shards().is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let held = |id: ShardId| {
            let log = topic.stream.shard(id)?;
            let bounds = log.bounds();
            Some((Held { shard: id, first: bounds.first, next: bounds.next }, log))
        };
        topic.shards = topic.stream.shard_ids().filter_map(held).collect();
        Ok(topic)
    }

    /// What it has of each shard.
    pub fn held(&self) -> impl Iterator<Item = Held> {
        self.shards.iter().map(|(held, _)| *held)
    }

    /// The same topic, if it had this shard only.
    pub fn only(mut self, shard: ShardId) -> Self {
        self.shards.retain(|(held, _)| held.shard == shard);
        self
    }
}

impl RecordSource for Topic {
    fn shards(&self) -> Vec<Held> {
        self.held().collect()
    }

    fn read(&self, shard: ShardId, from: SequenceNumber, captures: &CapturePlan) -> Result<Read, ReadError> {
        let Some((_, log)) = self.shards.iter().find(|(held, _)| held.shard == shard) else {
            return Ok(Read::nothing(from));
        };
        match log.read(from, ReadLimit::bytes(VERIFY_READ_BYTES)) {
            Found::Stored(stored) => stored.load(&self.payer, captures),
            Found::Here(mut read) => {
                for slice in &mut read.slices {
                    slice.batch = Arc::new(captures.recapture(&slice.batch));
                }
                Ok(read)
            }
        }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        self.stream.end_log();
    }
}

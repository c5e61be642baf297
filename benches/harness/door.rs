//! The edge without its sockets: what happens to a body between its last byte and the reply.

use std::sync::Arc;

use forebay::config::limits::REQUEST_OVERHEAD_BYTES;
use forebay::edge::body::Paid;
use forebay::edge::decode::{Decoded, Framing, RequestKey, decode};
use forebay::edge::partition::{Shared, partition};
use forebay::edge::{Edge, Intake};
use forebay::record::{Batch, ShardId};
use forebay::runtime::budget::Share;
use forebay::runtime::clock;
use forebay::runtime::phases::Phases;
use forebay::stream::{Backing, Captures, Receipt, Stream};
use forebay::telemetry::metrics::Registry;

use super::forebay::{Judging, StreamSpec, configure};

const STREAM: &str = "bench";

/// An edge with one stream.
pub struct Door {
    edge: Edge,
}

impl Door {
    /// With the default budget, which a log without deliveries soon fills: from then on each request has to make room
    /// first, as in a process that has run for a while.
    pub fn new(shards: u32, judging: Judging) -> Self {
        let (config, _folder) = configure(&[StreamSpec::new(STREAM, shards, judging)]);
        let pipeline = config.pipelines.into_iter().next().unwrap();
        let registry = Registry::new().unwrap();
        let stream = Arc::new(Stream::new(
            &pipeline.stream,
            Backing::Memory,
            0,
            Captures::default().plan().unwrap(),
            registry.stream(STREAM),
        ));
        let share = Share::new(config.node.memory_budget_bytes / 2, 2);
        let intake = Intake::new(stream, pipeline.ingest, &Captures::default(), share.account(0)).unwrap();
        Self { edge: Edge::new(config.node.server, vec![intake], share, Phases::new(), &registry) }
    }

    /// The stream and what its records must look like.
    pub fn intake(&self) -> &Intake {
        &self.edge.intakes[STREAM]
    }

    /// Finds and judges the records.
    pub fn decode(&self, framing: Framing, body: &[u8]) -> Decoded {
        decode(self.intake(), framing, body, RequestKey::FromRecord).unwrap()
    }

    /// Pays for a body, copies it as the edge does from its frames, and cuts it into a batch a shard.
    pub fn batches(&self, framing: Framing, body: &[u8]) -> Vec<(ShardId, Batch)> {
        let permit = self.edge.admit(self.intake(), REQUEST_OVERHEAD_BYTES + body.len() as u64).unwrap();
        let paid = Paid { bytes: body.to_vec(), permit };
        let decoded = self.decode(framing, &paid.bytes);
        let (body, permit) = paid.into_shared();
        partition(self.intake(), decoded, Shared { body, permit, arrival: clock::wall() })
    }

    /// The whole way of a body into the log.
    pub fn append(&self, framing: Framing, body: &[u8]) -> Receipt {
        self.intake().stream.append(self.batches(framing, body), None).unwrap()
    }
}

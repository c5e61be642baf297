//! The edge without its sockets: what happens to a body between its last byte and the reply.

use std::sync::Arc;

use forebay::config::checked::{Durability, LogWriter};
use forebay::config::limits::REQUEST_OVERHEAD_BYTES;
use forebay::edge::body::Paid;
use forebay::edge::decode::{Decoded, Framing, Given, RequestKey, decode};
use forebay::edge::gate::throttle::fair::Competitor;
use forebay::edge::mapping::{Sender, spliced};
use forebay::edge::partition::{Shared, partition};
use forebay::edge::{Edge, Intake};
use forebay::pipeline::StartError;
use forebay::pipeline::logs::{Logs, Recovery};
use forebay::record::{Batch, ShardId};
use forebay::runtime::budget::{Permit, Share};
use forebay::runtime::clock;
use forebay::runtime::phases::Phases;
use forebay::stream::{Backing, Captures, Receipt, Stream};
use forebay::telemetry::metrics::Registry;
use http::request::Parts;
use tempfile::TempDir;

use super::closed_log::ClosedLog;
use super::forebay::{Judging, StreamSpec, configure};

const STREAM: &str = "bench";

/// How the log of a [`Door`] is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSpec {
    pub durability: Durability,
    pub writer: LogWriter,
    /// Bytes of a segment.
    pub segment_bytes: u64,
}

impl LogSpec {
    /// In memory; nothing else counts then.
    pub const MEMORY: Self =
        Self { durability: Durability::Memory, writer: LogWriter::Auto, segment_bytes: 64 << 20 };
}

/// An edge with one stream.
pub struct Door {
    edge: Edge,
    intake: Arc<Intake>,
    durability: Durability,
    /// And where the data folder is; `None` if nothing of it is on the disk.
    logs: Option<(Logs, TempDir)>,
}

impl Door {
    /// With a log in memory.
    pub fn new(shards: u32, judging: Judging) -> Self {
        Self::open(shards, judging, LogSpec::MEMORY).unwrap()
    }

    /// With the default budget, which a log without deliveries soon fills: from then on each request has to make room
    /// first, as in a process that has run for a while. An error where the log cannot be written as `log` says.
    pub fn open(shards: u32, judging: Judging, log: LogSpec) -> Result<Self, StartError> {
        let durability = log.durability;
        let stream = StreamSpec { durability, ..StreamSpec::new(STREAM, shards, judging) };
        let (mut config, folder) = configure(&[stream]);
        (config.node.log.writer, config.node.log.segment_bytes) = (log.writer, log.segment_bytes);
        let (phases, registry) = (Phases::new(), Registry::new().unwrap());
        let recovery = Recovery { accept_damage: false, phases: &phases, registry: &registry };
        let mut logs = Logs::open(&config, &recovery)?;
        let pipeline = config.pipelines.into_iter().next().unwrap();
        let backing = logs.as_mut().map_or(Backing::Memory, |logs| logs.backing(&pipeline.stream, 0));
        let plan = Captures::default().plan().unwrap();
        let stream = Arc::new(Stream::new(&pipeline.stream, backing, 0, plan, registry.stream(STREAM)));
        let share = Share::new(config.node.memory_budget_bytes / 2, 3);
        let intake =
            Intake::new(stream, pipeline.ingest, (Captures::default(), None), share.account(0)).unwrap();
        let rules = (&config.node.auth, &config.node.limits, &config.node.aws);
        let edge = Edge::new(config.node.server, rules, share, phases, &registry);
        edge.open(vec![intake]);
        let intake = edge.intake(STREAM).unwrap();
        Ok(Self { edge, intake, durability, logs: logs.map(|logs| (logs, folder)) })
    }

    /// Ends the journals in order, and leaves what they have written.
    ///
    /// # Panics
    /// If nothing of it is on the disk.
    pub fn close(self) -> ClosedLog {
        let Self { edge, intake, durability, logs } = self;
        let (logs, folder) = logs.unwrap();
        logs.journals().stop();
        let (data, node) = (logs.folder.path().to_owned(), logs.folder.id().as_u64().to_be_bytes());
        // The folder is locked until these are gone.
        drop((edge, intake, logs));
        ClosedLog::new(folder, &data, durability, node)
    }

    /// Where the segments of a durable log are.
    pub fn log_folder(&self) -> Option<std::path::PathBuf> {
        self.logs.as_ref().map(|(logs, _)| logs.folder.log().join(self.durability.as_str()))
    }

    /// Takes `bytes` from the budget, as for a body.
    pub fn admit(&self, bytes: u64) -> Permit {
        self.edge.admit(&self.intake().budget, REQUEST_OVERHEAD_BYTES + bytes, &Competitor::Nobody).unwrap()
    }

    /// The stream and what its records must look like.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Finds and judges the records.
    pub fn decode(&self, framing: Framing, body: &[u8]) -> Decoded {
        decode(self.intake(), framing, body, RequestKey::FromRecord).unwrap()
    }

    /// Finds and judges the records, and copies them with the facts of a browser's request.
    pub fn splice(&self, framing: Framing, head: &Parts, body: &[u8]) -> Paid {
        let paid = Paid { bytes: body.to_vec(), permit: self.admit(body.len() as u64) };
        let mapping = self.intake().mapping.as_ref().unwrap();
        let sender = Sender {
            head,
            client: Some([203, 0, 113, 7].into()),
            principal: None,
            attributes: None,
            request_id: None,
            trace: None,
        };
        let added = mapping.render(&sender, clock::wall());
        let given = Given { key: RequestKey::FromRecord, added: Some(&added) };
        let mut decoded = decode(self.intake(), framing, &paid.bytes, given).unwrap();
        spliced((&self.edge, &Competitor::Nobody), (mapping, &added), &mut decoded, paid).unwrap()
    }

    /// Pays for a body, copies it as the edge does from its frames, and cuts it into a batch a shard.
    pub fn batches(&self, framing: Framing, body: &[u8]) -> Vec<(ShardId, Batch)> {
        self.batches_of(framing, body, RequestKey::FromRecord)
    }

    /// The same of a request whose records may all have one key, and then go to one shard.
    pub fn batches_of(&self, framing: Framing, body: &[u8], key: RequestKey<'_>) -> Vec<(ShardId, Batch)> {
        let permit = self.admit(body.len() as u64);
        let paid = Paid { bytes: body.to_vec(), permit };
        let decoded = decode(self.intake(), framing, &paid.bytes, key).unwrap();
        let (body, permit) = paid.into_shared();
        let intake = self.intake();
        let shared = Shared { body, permit, arrival: clock::wall() };
        partition(intake.slots, decoded, shared, &intake.stream.layout()).batches
    }

    /// The whole way of a body into the log.
    pub fn append(&self, framing: Framing, body: &[u8]) -> Receipt {
        self.intake().stream.append(self.batches(framing, body), None).unwrap()
    }
}

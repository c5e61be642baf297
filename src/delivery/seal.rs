//! A closed file: its bytes, what is in it, and the key that follows from that.

use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::ledger::{Seal, SealedRange};
use super::sink::ObjectSink;
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;

/// Why a file was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealReason {
    /// It has the size that was asked for.
    Size,
    /// Its first record has waited long enough.
    Age,
    /// Memory was short.
    Pressure,
    /// Another partition needed its place.
    Partitions,
    /// The sink has lost what it was sent of it, so that it must be made again.
    Sink,
    /// The process stops.
    Shutdown,
    /// The delivery's configuration has changed, and what comes next belongs to the new one.
    Epoch,
}

impl SealReason {
    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            SealReason::Size => "size",
            SealReason::Age => "age",
            SealReason::Pressure => "pressure",
            SealReason::Partitions => "partitions",
            SealReason::Sink => "sink",
            SealReason::Shutdown => "shutdown",
            SealReason::Epoch => "epoch",
        }
    }
}

/// Where the files of a delivery come from: what their names and their identities begin with.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Name of the stream.
    pub stream: Arc<str>,
    /// Name of the delivery.
    pub delivery: Arc<str>,
    /// Id of the node, 16 hexadecimal digits.
    pub node: Arc<str>,
    /// What tells this series of numbers from others.
    pub series: Series,
}

/// Which series the numbers of a delivery's files are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    /// Without a ledger numbers begin anew with each run of the process; its start, in microseconds.
    Run(u64),
    /// With a ledger they go on for ever; the epoch, for readers.
    Epoch(u32),
}

impl Series {
    /// That of the next configuration.
    pub fn next(self) -> Self {
        match self {
            Series::Run(run) => Series::Run(run),
            Series::Epoch(epoch) => Series::Epoch(epoch.saturating_add(1)),
        }
    }

    /// The epoch of a ledger; 0 where there is none.
    pub fn epoch(self) -> u32 {
        match self {
            Series::Run(_) => 0,
            Series::Epoch(epoch) => epoch,
        }
    }
}

/// Digits of the node's id in object keys: with a thousand nodes that write into one folder, two share them with a
/// probability of one in ten thousand, and the identity in the object's metadata has them all.
const NODE_DIGITS: usize = 8;

impl Origin {
    /// `{folder}{stream}-{delivery}-{series}-{number}-{guard}{extension}`, where the series is the start of the run, or
    /// the first digits of the node's id and the epoch. All of it is decided when the file is closed, or when the first
    /// part of it is sent, and nothing when it is uploaded, so that a second try finds or overwrites the object of the
    /// first.
    pub fn key(&self, number: u64, guard: u64, folder: &str, extension: &str) -> String {
        let Origin { stream, delivery, node, series } = self;
        let series = match series {
            Series::Run(run) => format!("{run:x}"),
            Series::Epoch(epoch) => format!("{}{epoch:x}", node.get(..NODE_DIGITS).unwrap_or(node)),
        };
        format!("{folder}{stream}-{delivery}-{series}-{number:08}-{:08x}{extension}", guard as u32)
    }

    /// `{node}/{stream}/{delivery}/{series}/{number}/{guard}`: what the object's metadata tell, so that an object that
    /// is already there is known for ours or for somebody else's.
    pub fn identity(&self, number: u64, guard: u64) -> String {
        let Origin { stream, delivery, node, series } = self;
        let series = match series {
            Series::Run(run) => format!("{run:x}"),
            Series::Epoch(epoch) => epoch.to_string(),
        };
        format!("{node}/{stream}/{delivery}/{series}/{number}/{guard:016x}")
    }
}

/// What tells a file from others of the same number, which a node has when somebody has taken its ledger away: a hash
/// of what is in it.
pub fn guard(ranges: &[SealedRange]) -> u64 {
    hash(ranges).digest()
}

/// The same for a file that is not closed yet, which can go on in more than one way: of what is in it so far, and of
/// the time. It cannot be found again from what is in the file, so its seal has it ([`Seal::guard`]).
pub fn guard_so_far(ranges: &[SealedRange], now: UnixMicros) -> u64 {
    let mut hash = hash(ranges);
    hash.update(&now.0.to_be_bytes());
    hash.digest()
}

fn hash(ranges: &[SealedRange]) -> Xxh3 {
    let mut hash = Xxh3::new();
    for range in ranges {
        hash.update(&range.shard.0.to_be_bytes());
        hash.update(&range.first.0.to_be_bytes());
        hash.update(&range.last.0.to_be_bytes());
    }
    hash
}

/// A closed file on its way to the sink.
#[derive(Debug)]
pub struct Sealed {
    /// What the ledger knows of it.
    pub seal: Seal,
    /// See [`Origin::identity`].
    pub identity: String,
    /// The file.
    pub chunks: Vec<Bytes>,
    /// Where it goes.
    pub sink: ObjectSink,
    /// Uploads in parts that an earlier process has noted for it; `None` if no earlier process has closed it.
    pub leftovers: Option<Vec<String>>,
    /// Pays for the chunks, for as long as they are here.
    pub permit: Permit,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{SequenceNumber, ShardId};

    fn origin(series: Series) -> Origin {
        let node = "0123456789abcdef".into();
        Origin { stream: "s".into(), delivery: "d".into(), node, series }
    }

    fn range(last: u64) -> [SealedRange; 1] {
        [SealedRange { shard: ShardId(1), first: SequenceNumber(5), last: SequenceNumber(last), records: 2 }]
    }

    #[test]
    fn a_key_depends_on_what_is_inside_alone() {
        let key = |last| origin(Series::Run(255)).key(7, guard(&range(last)), "dt=1/", ".json.gz");
        assert!(key(9).starts_with("dt=1/s-d-ff-00000007-") && key(9).ends_with(".json.gz"), "{}", key(9));
        assert_eq!(key(9), key(9));
        assert_ne!(key(9), key(10));
    }

    #[test]
    fn with_a_ledger_a_key_tells_the_node_and_the_epoch() {
        let origin = origin(Series::Epoch(31));
        let key = origin.key(7, guard(&range(9)), "", ".parquet");
        assert!(key.starts_with("s-d-012345671f-00000007-") && key.ends_with(".parquet"), "{key}");
        let identity = origin.identity(7, guard(&range(9)));
        assert!(identity.starts_with("0123456789abcdef/s/d/31/7/"), "{identity}");
        assert_ne!(identity, origin.identity(7, guard(&range(10))));
        let begun = guard_so_far(&range(9), UnixMicros(1));
        assert_ne!(identity, origin.identity(7, begun));
        assert_ne!(begun, guard_so_far(&range(9), UnixMicros(2)));
    }
}

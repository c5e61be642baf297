//! What no ledger can say.

use thiserror::Error;

use crate::record::{SequenceNumber, ShardId};

/// Why an entry cannot follow those before it. Each is a mistake of who appends it, or damage.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A seal's number was used already.
    #[error("seal {number} comes after seal {latest}: numbers must increase")]
    SealNumber {
        /// The seal's.
        number: u64,
        /// The highest so far.
        latest: u64,
    },
    /// An epoch's number was used already.
    #[error("epoch {number} comes after epoch {latest}: numbers must increase")]
    EpochNumber {
        /// The epoch's.
        number: u32,
        /// The highest so far.
        latest: u32,
    },
    /// An epoch begins where records are sealed already.
    #[error(
        "epoch {number} begins at {shard} {from}, but everything below {needed} belongs to what was before"
    )]
    EpochStart {
        /// The epoch's number.
        number: u32,
        /// The shard.
        shard: ShardId,
        /// Where it begins.
        from: SequenceNumber,
        /// The least position where it may.
        needed: SequenceNumber,
    },
    /// A seal, or a position, of an epoch that is not there.
    #[error("seal {number} is of epoch {epoch}, which is unknown or was left behind")]
    UnknownEpoch {
        /// The seal's number.
        number: u64,
        /// Its epoch.
        epoch: u32,
    },
    /// A commit or an upload of a seal that is not open, or of a file that is not begun.
    #[error("seal {number} is not open: it is unknown or committed already")]
    UnknownSeal {
        /// The number.
        number: u64,
    },
    /// A seal of a file that was begun under another key or epoch.
    #[error("seal {number} has another key or epoch than its file was begun with")]
    OtherThanBegun {
        /// The number.
        number: u64,
    },
    /// A range that makes no sense in itself.
    #[error("seal {number} has {records} records of {shard} from {first} to {last}: that cannot be")]
    Range {
        /// The seal's number.
        number: u64,
        /// The shard.
        shard: ShardId,
        /// First record.
        first: SequenceNumber,
        /// Last record.
        last: SequenceNumber,
        /// How many it says it has.
        records: u64,
    },
    /// The ranges have another number of records than the seal, or there is none.
    #[error("seal {number} has {records} records, but {counted} in its ranges")]
    Records {
        /// The seal's number.
        number: u64,
        /// Of the seal.
        records: u64,
        /// Of its ranges.
        counted: u64,
    },
    /// A shard is named twice.
    #[error("{shard} is named twice in one entry")]
    ShardTwice {
        /// The shard.
        shard: ShardId,
    },
    /// A shard is named as news and is not.
    #[error("{shard} is named as a new shard, but is known, or there is no epoch that could take it")]
    ShardKnown {
        /// The shard.
        shard: ShardId,
    },
    /// A shard is said to have gone and was never there.
    #[error("{shard} is said to have gone, but is unknown")]
    ShardUnknown {
        /// The shard.
        shard: ShardId,
    },
    /// A shard is said to have gone while a file is to be stored that has its records.
    #[error("{shard} is said to have gone, but seal {number} has its records and is not committed")]
    ShardOpen {
        /// The shard.
        shard: ShardId,
        /// The seal.
        number: u64,
    },
    /// A range has records that are in another file, or below the cursor.
    #[error("seal {number} begins at {shard} {first}, but its partition is settled below {settled}")]
    Overlap {
        /// The seal's number.
        number: u64,
        /// The shard.
        shard: ShardId,
        /// The range's first record.
        first: SequenceNumber,
        /// The first record that may be in it.
        settled: SequenceNumber,
    },
    /// A range has records of another epoch.
    #[error("seal {number} has {shard} {position}, which is not of epoch {epoch}")]
    OtherEpoch {
        /// The seal's number.
        number: u64,
        /// The shard.
        shard: ShardId,
        /// The end of the range that is outside.
        position: SequenceNumber,
        /// The seal's epoch.
        epoch: u32,
    },
    /// A file has lost what it does not have.
    #[error("seal {number} cannot have lost {lost} records of {shard}")]
    Lost {
        /// The seal's number.
        number: u64,
        /// The shard.
        shard: ShardId,
        /// How many it says are lost.
        lost: u64,
    },
    /// A cursor goes back.
    #[error("the cursor of {shard} goes back from {from} to {to}")]
    CursorBack {
        /// The shard.
        shard: ShardId,
        /// Where it is.
        from: SequenceNumber,
        /// Where it would go.
        to: SequenceNumber,
    },
    /// A cursor passes records that are not committed.
    #[error(
        "the cursor of {shard} goes to {to}, but seal {number} has its records from {first} on and is not committed"
    )]
    CursorOverOpen {
        /// The shard.
        shard: ShardId,
        /// Where it would go.
        to: SequenceNumber,
        /// The open seal.
        number: u64,
        /// Its first record of the shard.
        first: SequenceNumber,
    },
    /// A gap that makes no sense in itself.
    #[error("a gap of {shard} from {first} to {last} with {lost} lost records cannot be")]
    Gap {
        /// The shard.
        shard: ShardId,
        /// First number.
        first: SequenceNumber,
        /// Last number.
        last: SequenceNumber,
        /// Records in it.
        lost: u64,
    },
    /// A generation that is not the next one.
    #[error("generation {number} comes after generation {latest}")]
    Generation {
        /// The entry's.
        number: u64,
        /// The latest so far.
        latest: u64,
    },
    /// A snapshot that is not the first line of a file.
    #[error("a snapshot may only begin a file")]
    Snapshot,
}

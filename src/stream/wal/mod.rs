//! The write-ahead log: what makes records durable before they are acknowledged.
//!
//! This is its lowest layer: bytes in files. It knows no threads, queues or acknowledgements; a journal puts those on
//! top.
//!
//! # Files
//!
//! A *journal* is an endless sequence of commits, cut into segments. There is one journal a durability class, shared by
//! all shards of the node, in `log/fsync` or `log/os` of the data folder:
//!
//! | name | holds |
//! | --- | --- |
//! | `{number:016x}.segment` | a segment: its header, then commits |
//! | `{number:016x}.index` | the index of a segment that is closed (see [`index`]) |
//! | `{any}.new` | a file that has not got its name yet: may be removed at any start |
//!
//! All numbers in all files are little-endian. Checksums are XXH3-64 with seed 0.
//!
//! # Segment
//!
//! A segment has a fixed size, a multiple of 4,096 bytes. It is made ahead of time under a temporary name, filled with
//! zeros by real writes and synced: a later sync then has no metadata to write, which halves its time. Where a segment is
//! not needed any more, its file is used again instead: commits are told from what it held by their salt. When it is put
//! into use its header is written and synced, the file gets its name, and the folder is synced.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | magic `FOREBAYS` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | class: 1 `fsync`, 2 `os` |
//! | 16 | 8 | number of the segment; increases by 1 within the journal |
//! | 24 | 8 | salt: random, never 0; every commit of the segment repeats it |
//! | 32 | 8 | number of the first commit |
//! | 40 | 8 | where the valid part of the previous segment ends, in bytes from its start; all ones if unknown or none |
//! | 48 | 8 | node id |
//! | 56 | 8 | bytes of the segment, this header included |
//! | 64 | 4 | 1 if the file held an older segment, 0 if it was filled with zeros |
//! | 68 | 4,020 | zeros |
//! | 4,088 | 8 | checksum of the 4,088 bytes before |
//!
//! # Commit
//!
//! What one group commit wrote. The first one begins at offset 4,096, every other one directly behind the one before;
//! none crosses into the next segment. Behind the last one there are zeros up to the end of its block of 4,096 bytes, and
//! from there on zeros or what an older segment has left.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 4 | magic `FBCM` |
//! | 4 | 4 | bytes of the whole commit |
//! | 8 | 8 | salt of the segment |
//! | 16 | 8 | number of the commit; increases by 1 over all segments of the journal |
//! | 24 | 4 | frames in it |
//! | 28 | 4 | zeros |
//! | 32 | 8 | checksum of: the checksums of its frames in their order, then the 32 bytes before this field |
//! | 40 | | the frames, back to back |
//!
//! A commit is written only once the one before is on stable storage. This gives the rule by which a damaged disk is
//! told from an interrupted write: a commit that is not whole is a *torn tail* if no whole commit of the segment's salt
//! stands behind it, and was never acknowledged; if one does, it once was whole, and this is *damage*. Whether whole
//! commits are missing at the end of a segment can be told from the next segment's header.
//!
//! In a journal of class `os` this holds for the end of the process, which loses no write. A loss of power there may leave
//! later commits without earlier ones: it is damage by the rule, and the loss that the class allows.
//!
//! The block in which a commit ends is written again, with the same bytes up to that end, by the commit that follows.
//!
//! # Frame
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | checksum of the rest of the frame |
//! | 8 | 4 | bytes of the whole frame: 48 + 12 × count + payload bytes + side bytes |
//! | 12 | 1 | kind: 1 batch, 2 reply |
//! | 13 | 1 | batch: what its payloads are: 0 JSON values, unless refused; 1 any bytes; reply: 0 |
//! | 14 | 2 | zeros |
//! | 16 | 4 | batch: number of the shard in the node's catalog; reply: number of the stream |
//! | 20 | 4 | batch: records; reply: 0 |
//! | 24 | 8 | batch: sequence number of the first record; reply: fingerprint of the request |
//! | 32 | 8 | arrival, microseconds since 1970-01-01 UTC, signed |
//! | 40 | 4 | payload bytes |
//! | 44 | 4 | side bytes |
//!
//! A **batch** goes on with its record table, 12 bytes a record, then all payloads, then the side region:
//!
//! | offset | bytes | field of the record table |
//! | --- | --- | --- |
//! | 0 | 4 | bytes of the payload |
//! | 4 | 4 | bytes of the refusal |
//! | 8 | 2 | bytes of the key; `0xffff` if there is no key |
//! | 10 | 2 | flags: 1 = the key is that of the row before and is not repeated; 2 = there is a refusal; 4 = the head of an aggregate; 8 = a member of it |
//!
//! The side region has, record by record, the refusal and then the key, back to back.
//!
//! An [aggregate](crate::record::aggregate) is a row with flag 4, whose payload and key are those that it was put with,
//! and a row with flag 8 for each of its records but the first, without payload and key. What its records are is found
//! in it again. Flags 4 and 8 and the field at offset 13 came when no version was released yet: it is still version 1.
//!
//! A **reply** (what a request with an idempotency key was answered) goes on with the reply as its payload, and the key
//! as its side region.

pub mod frame;
pub mod index;
pub mod journal;
pub mod journals;
pub mod recovery;
pub mod segment;
pub mod shard;
pub mod stored;
pub mod writer;

#[cfg(test)]
mod model;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::io;

/// Whether an error says that the disk has no room.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What an acknowledgement of a journal's commit means. Each class has a journal of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JournalClass {
    /// It is on stable storage: it survives a loss of power.
    Fsync,
    /// The operating system has it: it survives the end of the process, not that of the machine.
    Os,
}

impl JournalClass {
    /// The word for it in configuration, folder names and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            JournalClass::Fsync => "fsync",
            JournalClass::Os => "os",
        }
    }
}

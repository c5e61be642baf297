//! The ledgers of deliveries.

use std::time::Duration;

/// A ledger file is zeroed this far ahead of what is written. An entry takes about 300 bytes and 100 more a shard, so
/// that one file in a hundred pays for the second sync.
pub const LEDGER_STEP_BYTES: u64 = 64 << 10;

/// A ledger begins a new file when this much was appended since the last one began, or as much as its first line has,
/// if that is more: the first line repeats the state, and must not become most of what is written.
pub const LEDGER_FILE_BYTES: u64 = 1 << 20;

/// Old ledger files that a delivery keeps for `forebay verify`: at 500 bytes for a file's seal and commit, 130,000
/// files, or three months of one a minute.
pub const LEDGER_HISTORY_BYTES: u64 = 64 << 20;

/// A ledger in a store writes its state again after so many objects: whoever takes it over reads as many, sixteen at a time,
/// which takes a store with 50 ms an answer 0.2 s. At one append a second, the state is 2 KiB more each minute.
pub const LEDGER_SNAPSHOT_OBJECTS: u64 = 64;

/// A large state makes that rarer: one more object for so many bytes of it, so that it adds so much to each append at most.
pub const LEDGER_SNAPSHOT_SHARE_BYTES: u64 = 16 << 10;

/// Old objects that a ledger in a store keeps for `forebay verify`, if they are not more than [`LEDGER_HISTORY_BYTES`]: ten
/// pages of a list, which a node reads that takes over, and a week of one append a minute.
pub const LEDGER_HISTORY_OBJECTS: usize = 10_000;

/// Bytes of an object by which a node takes a ledger over: names have 128 at most, the node's 128
/// characters, the rest is numbers.
pub const LEDGER_TAKEOVER_BYTES_MAX: u64 = 1_024;

/// Objects of a ledger that are read, or removed, at a time.
pub const LEDGER_READS_MAX: usize = 16;

/// How often a ledger in a store is read anew because others write it meanwhile.
pub const LEDGER_TRIES_MAX: usize = 16;

/// How long one request for an object of a ledger may take, and the same for all tries. A delivery that is told to stop waits
/// for two appends at most, one under way and one for all that wait: 16 s, of [`DELIVERY_STOP_WAIT`](super::DELIVERY_STOP_WAIT).
pub const LEDGER_STORE_TRY: Duration = Duration::from_secs(4);

/// See [`LEDGER_STORE_TRY`].
pub const LEDGER_STORE_PATIENCE: Duration = Duration::from_secs(8);

/// A large object has a second more for so many bytes.
pub const LEDGER_STORE_BYTES_PER_SECOND: u64 = 1 << 20;

/// Old objects of a ledger that are removed behind one append, and how long that may take.
pub const LEDGER_TIDY_OBJECTS: usize = 128;

/// See [`LEDGER_TIDY_OBJECTS`].
pub const LEDGER_TIDY_PATIENCE: Duration = Duration::from_secs(2);

/// Multipart uploads that a ledger remembers for one file, so that they can be aborted. One comes with each try that
/// a crash has ended; forgotten ones are left to the bucket's own rules.
pub const LEDGER_MULTIPARTS_MAX: usize = 100;

/// Pairs of partition and shard that are in open files, or sealed beyond the delivery's cursor. At about 150 bytes each
/// that is 15 MB of memory and of the first line of each ledger file. Above half of it a delivery closes the files that
/// hold the cursor back, and at all of it reads no more; those that it finds in the ledger at its start do not keep it
/// from reading, because reading gets rid of them.
pub const LEDGER_SETTLED_MAX: usize = 100_000;

//! The log: shards, segments, commits, recovery.

use std::time::Duration;

/// Shards of a stream. Each costs about 300 bytes when idle.
pub const SHARDS_MAX: u32 = 4_096;

/// Bytes of a segment of the log, where `[log] segment` is not given: at 500 MB/s eight are begun a second, and a node
/// of little traffic has 128 MiB of the disk taken by the one that is written and the one that is prepared.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;

/// The least and the most bytes of a segment. Below 4 MiB the cost of beginning one shows; positions in a segment have
/// 32 bits, and 1 GiB stays far from that.
pub const SEGMENT_BYTES_RANGE: std::ops::RangeInclusive<u64> = (4 << 20)..=(1 << 30);

/// A segment's bytes are a multiple of this: what disks and the kernel's direct I/O count in.
pub const SEGMENT_BYTES_STEP: u64 = 4 << 10;

/// Requests of the largest size that a segment holds at least: one fits behind another that has just been begun, so
/// that no request is ever split, and at most half of a segment is left empty for it.
pub const SEGMENT_REQUESTS_MIN: u64 = 2;

/// Durable shards of a node: in its catalog each has about 110 bytes with the white space, so that all of them are
/// below [`NODE_FILE_BYTES_MAX`]. At 4,096 shards a stream that is 256 streams of the largest kind.
pub const NODE_SHARDS_MAX: usize = 1 << 20;

/// Bytes of `node.json` or `catalog.json`: with a stream a shard, 1,048,576 × (110 bytes, a name of 128, and 120 around
/// it) = 375 MB.
pub const NODE_FILE_BYTES_MAX: u64 = 512 << 20;

/// When the ingest share is spent, this part of it is freed at a time: with 128 MiB a sixteenth is 8 MiB, thousands of
/// requests, so that the search for it does not show in the cost of one.
pub const RECLAIM_DIVISOR: u64 = 16;

/// Frames that are read back from a segment at a time: at 40 bytes each, 160 KiB of index.
pub const STORED_READ_ENTRIES_MAX: usize = 4_096;

/// Bytes of other shards that are read along when records of one are read back, because one call for both frames
/// costs less than two: a call costs about as much as copying 16 KiB.
pub const STORED_READ_GAP_BYTES: u64 = 16 << 10;

/// Bytes that are read back with one call, gaps included: all of them stay in memory for as long as one of the batches
/// does. A frame that is larger is read alone. A call costs about a hundredth of reading that much.
pub const STORED_RUN_BYTES_MAX: u64 = 1 << 20;

/// Where the frames that are read back are at least this part of the bytes that they stand among, all of these are fetched
/// from the disk: they are of other shards, whose readers are often as far, and one large piece costs less than many
/// small ones.
pub const STORED_FETCH_PART: u64 = 16;

/// Bytes of a segment of the write-ahead log where nothing else is said. Making one took 160 ms on a busy disk, and at
/// 100 MB/s of records it is full after 640 ms, so that one made ahead of time is always there.
pub const LOG_SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;

/// The most bytes of a segment: offsets in it are 32 bits wide. A commit is smaller than that.
pub const LOG_SEGMENT_BYTES_MAX: u64 = (4 << 30) - 4096;

/// Age at which a segment is closed although it has room, if it keeps records beyond their retention: at most
/// 144 a day, each of which costs the zeros of a new one.
pub const LOG_SEGMENT_TURN: Duration = Duration::from_secs(600);

/// Zeros that are written at a time while a segment is made ahead: at 2 GB/s a commit waits 0.1 ms behind them at most.
pub const LOG_SEGMENT_FILL_BYTES: usize = 256 << 10;

/// Bytes of the next segment that are filled for each byte that is written to the current one: it is ready when half of
/// that is used, and the disk is not busy with zeros alone at any time.
pub const LOG_SEGMENT_FILL_AHEAD: u64 = 2;

/// Files of segments that are not needed any more and that are kept to be used again: what retention takes away in the
/// second between two looks at it, at 256 MB/s and with segments of the default size.
pub const LOG_SEGMENTS_RETIRED_MAX: usize = 4;

/// How long filling waits for the current segment to be used before it goes on by a step all the same: with nothing to
/// write, a segment of the default size is ready after 5 s.
pub const LOG_SEGMENT_FILL_WAIT: Duration = Duration::from_millis(20);

/// Bytes of one of the two buffers of a journal's writer. What gathers in the 100 us of a sync at 1 GB/s is 100 KB; a
/// request with the default body bound goes beyond it and is written from memory of its own.
pub const COMMIT_BUFFER_BYTES: usize = 4 << 20;

/// Bytes of a segment that recovery has in memory at a time, beside another window of the same size while it looks for
/// commits behind damage. It fits into the cache of a core.
pub const SCAN_WINDOW_BYTES: usize = 1 << 20;

/// Frames of a segment, whose places are in memory until its index file is written: at 40 bytes each, 10 MiB a journal.
/// A segment of 64 MiB reaches it with frames of 256 bytes.
pub const INDEX_ENTRIES_MAX: usize = 262_144;

/// Indexes of closed segments that are kept open for readers of old records. Each has a file descriptor and 56 bytes a
/// shard that the segment has records of: 3.6 MB with 4,000 shards.
pub const INDEX_READERS_MAX: usize = 16;

/// Those of them that are in memory as a whole, because the file was gone or damaged: 40 bytes a frame, at most
/// [`INDEX_ENTRIES_MAX`] frames each, 42 MB together.
pub const INDEX_REBUILT_MAX: usize = 4;

/// What edge threads put together before they sleep is committed at once; sooner if it comes to so many bytes, 2.5 ms
/// of one busy thread at 100 MB/s,
pub const COMMIT_GATHER_BYTES: u64 = 256 << 10;

/// or to so many requests.
pub const COMMIT_GATHER_REQUESTS: usize = 64;

/// A commit of so many bytes takes the disk so long (0.1 ms at 2 GB/s) that the next one is put together meanwhile.
/// Behind a smaller one it is put together afterwards, so that it takes along what has come in until then.
pub const COMMIT_OVERLAP_BYTES: u64 = 256 << 10;

/// Steps of a change of the number of shards. Each cuts every shard at the middle of the boundaries that are wanted in it,
/// or mends every second boundary that is not: 4,096 shards into one, or one into 4,096, take 12 steps, and any other
/// change at most 12 of each.
pub const RESHARD_STEPS_MAX: usize = 26;

/// Keys that are counted to find the heaviest ones of a shard: with a key of up to [`HEAT_KEY_BYTES_MAX`] bytes and 56
/// bytes besides, less than 4 KiB a shard.
pub const HEAT_KEYS: usize = 32;

/// Bytes that are remembered of each of them.
pub const HEAT_KEY_BYTES_MAX: usize = 64;

/// One record of so many is looked at for its key. A prime number: a producer that takes 2, 4, 8 or 16 keys in turn would
/// show only one of them to a sample of 16.
pub const HEAT_SAMPLE: u64 = 17;

/// Seconds after which what a shard has taken counts half in its rates and its keys.
pub const HEAT_HALF_LIFE_SECONDS: f64 = 10.0;

/// Bytes of the body of a request to change shards, which names two of them at most.
pub const RESHARD_BODY_BYTES_MAX: usize = 4 << 10;

/// Closed shards of a stream, which are there until the retention of their records is over: at about 1 KiB each, 16 MiB;
/// a stream of [`SHARDS_MAX`] shards can be halved and doubled again in their time.
pub const CLOSED_SHARDS_MAX: usize = 16_384;

//! Deliveries: files, uploads, verification.

use std::time::Duration;

/// Open partitions of a delivery, where `max_open_partitions` is not given. Firehose allows 500 by default; a JSON
/// partition holds up to 256 KiB that is not compressed yet, a Parquet one its page buffers, and the least recently
/// used is sealed when memory is short before the count is reached.
pub const OPEN_PARTITIONS_DEFAULT: usize = 500;

/// The least and the most bytes of a row group or a stripe. Below 1 MiB its metadata shows; an open file holds one, so
/// 256 MiB is a whole budget of the default size.
pub const ROW_GROUP_BYTES_RANGE: std::ops::RangeInclusive<u64> = (1 << 20)..=(256 << 20);

/// The most rows of an entry of ORC's row index: more than a stripe ever has.
pub const ROW_INDEX_STRIDE_MAX: usize = 100_000_000;

/// `buffer.size` where it is not given: bytes as stored.
pub const BUFFER_BYTES_DEFAULT: u64 = 64 << 20;

/// `buffer.interval` in seconds where it is not given.
pub const BUFFER_SECONDS_DEFAULT: u64 = 60;

/// Payload bytes that a delivery reads from a shard before it looks at the next shard, at its files and at the rest
/// of the world: about 2 ms of encoding.
pub const DELIVERY_READ_BYTES: u64 = 512 << 10;

/// Payload bytes that a delivery encodes before it offers its core to a thread that waits for it, such as one of the edge:
/// 60 to 120 µs of encoding, and a quarter of a microsecond to offer.
pub const DELIVERY_TURN_BYTES: u64 = 32 << 10;

/// How long a delivery that was idle lets records gather before it reads: a wake-up then serves many requests.
pub const DELIVERY_LINGER_MS: u64 = 20;

/// Files of one delivery, or parts of files that are still being filled, that are uploaded at a time. While all are
/// busy the delivery does not read on: so of all files that are being filled at most 4 × 8 MiB wait or are under way,
/// beside less than a part and what the encoder holds of each.
pub const DELIVERY_UPLOADS_MAX: usize = 4;

/// Fields that a stream captures of each record, up to which deliveries that are made while it runs add theirs. Each is
/// 8 bytes a record. What they need beyond is looked for again by each of them, until the next start.
pub const CAPTURES_MAX: usize = 64;

/// How long a delivery that is told to stop while the process goes on waits for uploads that are under way. What is not
/// stored by then is stored again by the one that follows it. A part of 8 MiB passes in this time at 1.7 MB/s.
pub const DELIVERY_STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How long whoever has told it that waits for it: beside the above, for writes that the disk has been given.
pub const DELIVERY_STOP_WAIT: Duration = Duration::from_secs(20);

/// Files that a delivery makes again at a time after a restart, in one pass over the log: an empty one costs little,
/// and when their content runs short of memory some are put off. A drain that was killed leaves one an open partition,
/// so that 500 of them take two passes.
pub const DELIVERY_REDO_FILES_MAX: usize = 256;

/// Part of a delivery's account (in per cent) above which the largest open files are closed early.
pub const DELIVERY_PRESSURE_PERCENT: u64 = 75;

/// A part of a multipart upload, and parts under way at a time. S3 wants 5 MiB at least. A file that is sent while it
/// is filled has parts of `multipart`, if that is less.
pub const MULTIPART_PART_BYTES: usize = 8 << 20;

/// Parts of an object, as S3 allows them: with 8 MiB each, a file may have 78 GiB.
pub const MULTIPART_PARTS_MAX: u64 = 10_000;

/// See [`MULTIPART_PART_BYTES`].
pub const MULTIPART_PARTS_UNDER_WAY: usize = 4;

/// Bytes of one page of a store's list of unfinished multipart uploads, of which one is in memory for each file that is
/// stored in parts. S3 lists 1,000 at most on a page, each with a key of up to 1 KiB, an id and two owners: 4 KiB.
pub const UPLOADS_PAGE_BYTES: usize = 4 << 20;

/// Pages of that list that are read at a time, for one key: 10,000 uploads, where one is left by each process that was
/// killed at the wrong moment. If there are more, the next look finds the rest.
pub const UPLOADS_PAGES_MAX: usize = 10;

/// Failed looks in a row after which a sink stores in parts without having looked: cleaning up must not keep files from
/// being stored. A store that is away fails other requests first, so that these say that it cannot list.
pub const UPLOADS_LOOKS_MAX: u32 = 5;

/// Bytes of a stored object that are read at a time when it is read back: a request each, and all of it that is in
/// memory.
pub const OBJECT_PIECE_BYTES: u64 = 4 << 20;

/// Folders of which a folder sink remembers that their names are durable, so that it need not sync all those above
/// them again. At about 200 bytes each 200 KB; when there are more, it begins anew, which costs a sync a level.
pub const DURABLE_FOLDERS_MAX: usize = 1_024;

/// Open partitions that a delivery may ask for: at the 256 KiB that one may hold, 10,000 need 2.5 GiB.
pub const OPEN_PARTITIONS_MAX: usize = 10_000;

/// `multipart` of a sink where it is not given.
pub const MULTIPART_BYTES_DEFAULT: u64 = 16 << 20;

/// The least and the most bytes of one part of an S3 multipart upload.
pub const MULTIPART_BYTES_RANGE: std::ops::RangeInclusive<u64> = (5 << 20)..=(5 << 30);

/// Bytes of a stream's and a delivery's name together. The rest of a file's name has up to 55: two hyphens, the run in
/// hexadecimal (13), the number (8 or more), the hash (8), two more hyphens, and the extension, which has 22.
pub const FILE_NAME_BYTES_MAX: usize = 200;

/// Bytes of an extension that are among the 55 of [`FILE_NAME_BYTES_MAX`]; more of them are taken from the names.
pub const EXTENSION_BYTES_SPARE: usize = 22;

/// Bytes of an extension, as in Amazon Data Firehose.
pub const EXTENSION_BYTES_MAX: usize = 128;

/// Bytes of a prefix that is rendered: an S3 key has at most 1,024, and a file's name needs up to 256 of them.
pub const PREFIX_BYTES_MAX: usize = 768;

/// Bytes of one segment of a path: what file systems allow for a name.
pub const SEGMENT_BYTES_MAX: usize = 255;

/// What `forebay verify` lists of a delivery, 300 bytes each; the rest is counted.
pub const VERIFY_FINDINGS_MAX: usize = 1_000;

/// Records that `forebay verify` compares with lines of objects in one pass over the log: 8 bytes each, 128 MiB; those of
/// raw files have 16.
pub const VERIFY_PASS_RECORDS: u64 = 16 << 20;

/// Objects that `forebay verify` reads at a time, each with a piece of [`OBJECT_PIECE_BYTES`].
pub const VERIFY_OBJECTS_UNDER_WAY: usize = 8;

/// Bytes of a footer of Parquet or ORC that `forebay verify` reads, and of what it becomes decompressed: a million
/// column chunks of 128 bytes, as 4,096 columns have in 250 row groups. A damaged length would have it read the whole
/// object.
pub const VERIFY_FOOTER_BYTES_MAX: u64 = 128 << 20;

/// Bytes of a topic that `forebay verify` keeps in memory beside the read under way: what is fetched ahead.
pub const VERIFY_TOPIC_BYTES: u64 = 64 << 20;

/// Payload bytes that `forebay verify` reads from a shard at a time.
pub const VERIFY_READ_BYTES: u64 = 4 << 20;

/// Delivery streams of a node that clients make: each costs a stream with a shard, a delivery and its ledger, about
/// 100 KB with nothing in them. The service has 50 of an account unless one asks for more.
pub const DELIVERY_STREAMS_MAX: usize = 1_000;

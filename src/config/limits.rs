//! Every bound of the program, with its arithmetic. A number that can be argued with can be tuned.

/// Nesting of arrays and objects in a record. `serde_json` has the same bound; at 128 levels the recursive scan
/// needs about 128 × 200 bytes = 25 KiB of stack, far below the 2 MiB of a thread.
pub const JSON_DEPTH_MAX: usize = 128;

/// Records in one request. Each costs 24 bytes beside its payload, so the worst request (a body of `{}` lines)
/// needs 100,000 × 24 = 2.4 MB of bookkeeping, charged to the byte budget like its body.
pub const REQUEST_RECORDS_MAX: usize = 100_000;

/// Decoded bytes of one request body, where `[server] max_body` is not given.
pub const BODY_BYTES_DEFAULT: u64 = 10 << 20;

/// Decoded bytes of one request body that the configuration may ask for: spans in a body are 32 bits wide.
pub const BODY_BYTES_MAX: u64 = 1 << 30;

/// Bytes of one record, where `[ingest] max_record` is not given: what Kinesis takes by default.
pub const RECORD_BYTES_DEFAULT: u64 = 1 << 20;

/// Bytes of a partition key, as in Kinesis (256 characters there; bytes here, so never more).
pub const PARTITION_KEY_BYTES_MAX: usize = 256;

/// Bytes of request line and headers of a request; API Gateway allows 10,240.
pub const HEADER_BYTES_DEFAULT: usize = 16 << 10;

/// Headers of a request.
pub const HEADERS_MAX: usize = 100;

/// Open connections. An idle one costs about 3 KiB of ours and the kernel's own, so 20,000 are 60 MiB.
pub const CONNECTIONS_DEFAULT: usize = 20_000;

/// The byte budget of the process, where `memory_budget` is not given.
pub const MEMORY_BUDGET_DEFAULT: u64 = 256 << 20;

/// The least byte budget that works: one body of the default size, its decoded form and an encoder for it.
pub const MEMORY_BUDGET_MIN: u64 = 32 << 20;

/// Shards of a stream. Each costs about 300 bytes when idle.
pub const SHARDS_MAX: u32 = 4_096;

/// Open partitions of a delivery, where `max_open_partitions` is not given. Firehose allows 500 by default; a JSON
/// partition holds up to 256 KiB that is not compressed yet, a Parquet one its page buffers, and the least recently
/// used is sealed when memory is short before the count is reached.
pub const OPEN_PARTITIONS_DEFAULT: usize = 500;

/// `buffer.size` where it is not given: bytes as stored.
pub const BUFFER_BYTES_DEFAULT: u64 = 64 << 20;

/// `buffer.interval` in seconds where it is not given.
pub const BUFFER_SECONDS_DEFAULT: u64 = 60;

/// Open partitions that a delivery may ask for: at the 256 KiB that one may hold, 10,000 need 2.5 GiB.
pub const OPEN_PARTITIONS_MAX: usize = 10_000;

/// `multipart` of a sink where it is not given.
pub const MULTIPART_BYTES_DEFAULT: u64 = 16 << 20;

/// The least and the most bytes of one part of an S3 multipart upload.
pub const MULTIPART_BYTES_RANGE: std::ops::RangeInclusive<u64> = (5 << 20)..=(5 << 30);

/// Edge threads: one a core, on the largest machines there are.
pub const THREADS_MAX: usize = 1_024;

/// Open connections that the configuration may ask for: at 3 KiB each, a million need 3 GiB of ours alone.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// Bytes of request line and headers that the configuration may ask for: a buffer of this size per connection.
pub const HEADER_BYTES_MAX: u64 = 1 << 20;

/// Bytes of one configuration file. The largest sensible one, with hundreds of columns, has 100 KiB.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of one JSON Schema file.
pub const SCHEMA_FILE_BYTES_MAX: u64 = 4 << 20;

/// The longest duration that the configuration may ask for: a year, which is what Kinesis keeps records for, and far
/// from where adding to a point in time overflows.
pub const DURATION_MAX: std::time::Duration = std::time::Duration::from_secs(365 * 86_400);

/// Bytes of a stream's or delivery's name, as in Kinesis.
pub const NAME_BYTES_MAX: usize = 128;

/// Bytes of a prefix that is rendered: an S3 key has at most 1,024, and a file's name needs up to 256 of them.
pub const PREFIX_BYTES_MAX: usize = 768;

/// Bytes of one segment of a path: what file systems allow for a name.
pub const SEGMENT_BYTES_MAX: usize = 255;

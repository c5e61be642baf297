//! The node as a whole.

/// The byte budget of the process, where `memory_budget` is not given.
pub const MEMORY_BUDGET_DEFAULT: u64 = 256 << 20;

/// The least byte budget that works: one body of the default size, its decoded form and an encoder for it.
pub const MEMORY_BUDGET_MIN: u64 = 32 << 20;

/// Edge threads: one a core, on the largest machines there are.
pub const THREADS_MAX: usize = 1_024;

/// Bytes of one configuration file: [`API_KEYS_MAX`](super::API_KEYS_MAX) keys by their digests, 200 bytes each, and as much again. The largest
/// sensible one of a pipeline, with hundreds of columns, has 100 KiB.
pub const CONFIG_FILE_BYTES_MAX: u64 = 8 << 20;

/// The longest duration that the configuration may ask for: a year, which is what Kinesis keeps records for, and far
/// from where adding to a point in time overflows.
pub const DURATION_MAX: std::time::Duration = std::time::Duration::from_secs(365 * 86_400);

/// Bytes of a stream's or delivery's name, as in Kinesis.
pub const NAME_BYTES_MAX: usize = 128;

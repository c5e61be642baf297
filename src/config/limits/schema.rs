//! Schemas and columns.

use std::time::Duration;

/// Nesting of arrays and objects in a record. `serde_json` has the same bound; at 128 levels the recursive scan
/// needs about 128 × 200 bytes = 25 KiB of stack, far below the 2 MiB of a thread.
pub const JSON_DEPTH_MAX: usize = 128;

/// Scalar columns that `schema = "infer"` learns where `max_columns` is not given: at about 10 KiB of writer state
/// each, an open file costs 10 MiB before its first record.
pub const INFERRED_COLUMNS_DEFAULT: usize = 1_000;

/// Versions of learned columns that a stream remembers. A version of 4,096 columns with keys of 256 bytes has 1.6 MB of
/// text, usual ones 10 KB.
pub const SCHEMA_VERSIONS_MAX: usize = 64;

/// Changes that a version tells one by one; the rest is counted.
pub const SCHEMA_CHANGES_MAX: usize = 1_000;

/// Bytes of records that a delivery looks at before it makes a version of learned columns, at first; twice as many with
/// each version that follows soon, so that a producer that keeps inventing fields does not make a file each.
pub const LOOK_AHEAD_BYTES: u64 = 1 << 20;

/// The most of it: at 100 MB/s, half a second.
pub const LOOK_AHEAD_BYTES_MAX: u64 = 64 << 20;

/// Records that `forebay schema plan` looks at where nothing else is said: a second or two.
pub const PLAN_RECORDS_DEFAULT: u64 = 10_000;

/// Different findings that it tells apart, 500 bytes each; the rest is counted.
pub const PLAN_FINDINGS_MAX: usize = 1_000;

/// Bytes of an answer of a node that it asks: a page of a tap with the largest record that there can be behind it.
pub const PLAN_PAGE_BYTES_MAX: u64 = 256 << 20;

/// How long a delivery lets records gather before it makes a version of learned columns; twice as long with each
/// version that follows soon, up to the interval of its buffer. So at worst half of all files are closed by new
/// versions.
pub const VERSION_WAIT: Duration = Duration::from_millis(100);

/// The same before the first version of all.
pub const FIRST_VERSION_WAIT: Duration = Duration::from_secs(1);

/// Bytes of one JSON Schema file.
pub const SCHEMA_FILE_BYTES_MAX: u64 = 4 << 20;

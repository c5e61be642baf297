//! Logs, traces, metrics.

use std::time::Duration;

/// Bytes of a request id that is taken from a client: what gateways send (UUIDs have 36, those of load balancers 80)
/// and some more. It stands in each answer, and in a line of the access log.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Bytes of `tracestate` that are handed on: what the specification demands that everybody does.
pub const TRACE_STATE_BYTES_MAX: usize = 512;

/// Members of `tracestate`, as the specification has them.
pub const TRACE_STATE_MEMBERS_MAX: usize = 32;

/// Bytes of a path in the access log and the audit log; what is longer is cut. Stream and cursor names have 128 each.
pub const LOG_LINE_PATH_BYTES: usize = 512;

/// Bytes of a user agent, or of a name that a client gives itself, in these logs: those of browsers have 110 to 250.
pub const LOG_LINE_TEXT_BYTES: usize = 256;

/// Lines of a log that a thread of the edge gathers before it hands them over, unless it has nothing else to do: 60 to
/// 100 lines of 300 to 500 bytes, so that handing them over costs each of them next to nothing.
pub const LOG_LINES_STAGED_BYTES: usize = 32 << 10;

/// Lines of a log that wait to be written: 4 MiB are 10,000 lines of 400 bytes, what 50,000 requests a second make in
/// a fifth of a second. What comes beyond is dropped and counted. There are two logs.
pub const LOG_LINES_QUEUE_BYTES: usize = 4 << 20;

/// How long lines wait for more before they are written: one write and one wake-up of the writer for all of them.
pub const LOG_LINES_LINGER: Duration = Duration::from_millis(50);

/// How long a shutdown waits until lines are written. A pipe that nobody reads takes none.
pub const LOG_LINES_FLUSH_WAIT: Duration = Duration::from_secs(2);

/// Size at which a file of a log is closed, where it is not given: 160,000 lines of 400 bytes.
pub const LOG_FILE_BYTES_DEFAULT: u64 = 64 << 20;

/// The same as it may be given. Each file is a name in one folder, which is listed when the next one is begun.
pub const LOG_FILE_BYTES_RANGE: std::ops::RangeInclusive<u64> = (64 << 10)..=(16 << 30);

/// Closed files of a log that are kept, where it is not given: a week of days.
pub const LOG_FILES_KEPT_DEFAULT: usize = 7;

/// The same as it may be given.
pub const LOG_FILES_KEPT_MAX: usize = 10_000;

/// Kinds of refusals that the audit log counts in an interval; those of any more are counted together. With two lines
/// of 600 bytes each, and an interval of a minute, nobody can make it write more than 5 KiB a second.
pub const AUDIT_KINDS_MAX: usize = 256;

/// How long refusals of one kind are counted before a line tells how many they were.
pub const AUDIT_INTERVAL: Duration = Duration::from_secs(60);

/// Steps of traces that wait to be told to a collector: each has 400 to 800 bytes, so 3 MiB. What comes beyond is
/// dropped and counted.
pub const TRACE_SPANS_MAX: usize = 4_096;

/// Steps that are told in one request, unless a pause comes first: a body of about 400 KiB.
pub const TRACE_SPANS_BATCH: usize = 512;

/// How long steps wait for others before they are told.
pub const TRACE_SPANS_PAUSE: Duration = Duration::from_secs(5);

/// Steps of other traces that one step names. A call of a function may be about 10,000 records, each of another.
pub const TRACE_LINKS_MAX: usize = 32;

/// Traces of records of a stream that are remembered until its function is called: 200 bytes each. Of more that come
/// within the time that a stage gathers records the oldest are forgotten: their steps then are traces of their own.
pub const TRACED_APPENDS_MAX: usize = 1_024;

/// How long a request to a collector may take, all tries together.
pub const OTLP_PATIENCE: Duration = Duration::from_secs(60);

/// How long a shutdown waits until a collector has what there is.
pub const OTLP_FLUSH_WAIT: Duration = Duration::from_secs(3);

/// Bytes of what a collector answers that are read: it has a few numbers and a message to tell.
pub const OTLP_ANSWER_BYTES_MAX: usize = 64 << 10;

/// Headers of requests to a collector.
pub const OTLP_HEADERS_MAX: usize = 16;

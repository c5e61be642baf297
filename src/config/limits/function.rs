//! Functions between two streams.

use std::time::Duration;

/// Functions of a node: each is an address.
pub const FUNCTIONS_MAX: usize = 100;

/// Bytes of the name of a function, as Lambda has it.
pub const FUNCTION_NAME_BYTES_MAX: usize = 64;

/// Headers of the calls of a function.
pub const FUNCTION_HEADERS_MAX: usize = 32;

/// How long a call of a function may take where that is not said.
pub const FUNCTION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// The most of it: what Firehose waits for a function.
pub const FUNCTION_TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// Records of one call of a function. With 3 MiB of them, the most that Firehose gathers, a request has 4 MiB in base64
/// and at most 1.2 MiB around it; and what an answer is taken apart into stays below 1 MiB.
pub const FUNCTION_RECORDS_MAX: usize = 10_000;

/// Bytes of the answer of a function: the 6 MB that Lambda allows, and a third more for those that are less strict.
pub const FUNCTION_ANSWER_BYTES_MAX: usize = 8 << 20;

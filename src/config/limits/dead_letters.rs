//! Dead letters, and putting them back.

use std::time::Duration;

use super::OBJECT_PIECE_BYTES;

/// Open files of dead letters of a delivery: reasons (fewer than ten) times folders of `error_prefix`, which is made of
/// the reason, the shard and the arrival time alone.
pub const DEAD_FILES_MAX: usize = 64;

/// Bytes of a line of dead letters that is read back: a record of 64 MiB, the largest body that is sensible, in base64,
/// and 4 MiB for why it was not delivered.
pub const DEAD_LETTER_LINE_BYTES_MAX: u64 = (64 << 20) / 3 * 4 + (4 << 20);

/// What a line of dead letters takes while it is a letter, in bytes of the line: the line in a vector that has grown to
/// twice of it at most, and the payload, which is three quarters.
pub const DEAD_LETTER_LINE_COPIES: u64 = 3;

/// Letters of a page, and where `limit` is not given.
pub const DEAD_LETTERS_MAX: u64 = 1_000;

/// See [`DEAD_LETTERS_MAX`].
pub const DEAD_LETTERS_DEFAULT: u64 = 100;

/// Bytes of a page of dead letters; it has at most this and one letter more.
pub const DEAD_LETTER_PAGE_BYTES_MAX: usize = 4 << 20;

/// Files of a delivery that a page is made of, 700 bytes each; those of the next page are looked up again.
pub const DEAD_LETTER_FILES_MAX: usize = 1_000;

/// Objects below an error prefix that are listed for a page or a summary, where there is no ledger: 300 bytes each, 3 MB.
/// `forebay dlq` lists [`LISTED_OBJECTS_MAX`].
pub const DEAD_LETTER_LISTED_MAX: usize = 10_000;

/// Bytes that whoever reads dead letters takes from the taps' account besides letters and page: a piece of an object
/// ([`OBJECT_PIECE_BYTES`]), and 3.5 MiB for one file of the ledger with what it says, or a list of objects, and the files
/// of a page.
pub const DEAD_LETTER_READER_BYTES: u64 = OBJECT_PIECE_BYTES + (7 << 19);

/// Requests that read dead letters at a time: each has a thread that waits for a store, and 8 MiB.
pub const DEAD_LETTER_READERS_MAX: usize = 4;

/// How long others wait for one of them to be done.
pub const DEAD_LETTER_READER_WAIT: Duration = Duration::from_secs(5);

/// How long a page or summary of dead letters is read for: then it has what was found until then. A store answers in
/// half a second, and a page of 4 MiB is read in one.
pub const DEAD_LETTER_PATIENCE: Duration = Duration::from_secs(20);

/// Deliveries and reasons that a summary of letters without a ledger tells apart, 200 bytes each.
pub const DEAD_LETTER_GROUPS_MAX: usize = 1_000;

/// Objects that cannot be read and are named in a page, 300 bytes each; the others are counted.
pub const DEAD_LETTER_PROBLEMS_SHOWN: usize = 20;

/// Reasons that a request for dead letters names.
pub const DEAD_LETTER_REASONS_MAX: usize = 16;

/// Objects below a prefix that are listed: at about 300 bytes each, 75 MB. A delivery of a stream in memory that closes
/// a file of dead letters a minute needs five months for them.
pub const LISTED_OBJECTS_MAX: usize = 250_000;

/// Bytes of the journal of `forebay dlq replay`: at 400 bytes a request of up to [`REPLAY_REQUEST_RECORDS`] letters,
/// 300 million letters, or 600,000 that each have a partition key of their own.
pub const REPLAY_JOURNAL_BYTES_MAX: u64 = 256 << 20;

/// Letters that are sent again with one request, and that are in memory at a time. A reply names every refused one of
/// them ([`REPLY_ERRORS_MAX`](super::REPLY_ERRORS_MAX)).
pub const REPLAY_REQUEST_RECORDS: usize = 500;

/// Payload bytes that are sent again with one request, unless one letter has more: a tenth of the default body.
pub const REPLAY_REQUEST_BYTES: usize = 1 << 20;

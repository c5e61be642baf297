//! Readers: taps, cursors, WebSockets.

use std::time::Duration;

/// Records of a tap's page, and where `limit` is not given.
pub const TAP_RECORDS_MAX: usize = 10_000;

/// See [`TAP_RECORDS_MAX`].
pub const TAP_RECORDS_DEFAULT: usize = 1_000;

/// Bytes of a tap's page, framing included; a page has at most this and one record more.
pub const TAP_BYTES_MAX: u64 = 4 << 20;

/// Looks at [`TAP_BYTES_MAX`] of the log for one page with a filter that passes nothing: 64 MiB, about 0.1 s; then the
/// page comes without records, and the client goes on behind what was looked at.
pub const TAP_LOOKS_MAX: usize = 16;

/// Conditions (`where`) of a filter, and bytes of one: each is a field that is captured from every record.
pub const TAP_WHERE_MAX: usize = 16;

/// See [`TAP_WHERE_MAX`].
pub const TAP_WHERE_BYTES_MAX: usize = 1 << 10;

/// Bytes of records that a live reader that is behind looks at in one go, and holds beside what its connection holds: a
/// thousand readers that do not read are 256 MiB, of which the taps' account of the budget allows what it has.
pub const TAP_LIVE_BYTES_MAX: u64 = 256 << 10;

/// Bytes of records of one chunk of a feed, which all live readers of a stream share: about 200 records of 300 bytes, so
/// that a reader gets many records with one system call and holds little if it is slow.
pub const FEED_CHUNK_BYTES: u64 = 64 << 10;

/// Bytes of records in the chunks of a feed. Readers that are further behind read the log; at 10 MB/s that is 0.1 s. They
/// stay in memory no longer than a second after the last record.
pub const FEED_BYTES_MAX: u64 = 1 << 20;

/// Messages of a WebSocket's client that may wait for their ack; then no more are read. With single events of 300 bytes,
/// as many as a commit of the log takes along at 100,000 a second.
pub const WEBSOCKET_MESSAGES_MAX: usize = 64;

/// Bytes of a WebSocket's read buffer, which it has from its beginning: larger messages take more while they come in.
pub const WEBSOCKET_BUFFER_BYTES: usize = 8 << 10;

/// Named cursors of a stream: a position of 40 bytes a shard each, 170 KB with the most shards that there can be.
pub const CURSORS_MAX: usize = 256;

/// Workers that share a named cursor: a quarter of the shards that a stream can have.
pub const CURSOR_WORKERS_MAX: usize = 1_024;

/// Bytes of a worker's name: that of a host and a process.
pub const WORKER_NAME_BYTES_MAX: usize = 128;

/// How long a worker may keep its shards without a sign of life; where it is not told, [`CURSOR_LEASE_DEFAULT`].
pub const CURSOR_LEASE_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3_600);

/// See [`CURSOR_LEASE_RANGE`]. As long as the longest long poll.
pub const CURSOR_LEASE_DEFAULT: Duration = Duration::from_secs(30);

/// Cursors of a stream in Kafka that there may be or have been: a deleted one keeps a small object.
pub const CURSOR_NAMES_MAX: usize = 4 * CURSORS_MAX;

/// Workers whose leaving other nodes are told of, so that connections there end: the last ones. One of which more have
/// left within [`CURSOR_LOOK_MAX`] may have a connection go on.
pub const CURSOR_DEPARTURES_MAX: usize = 64;

/// How long one request to the store with cursors of streams in Kafka may take.
pub const CURSOR_STORE_TRY: Duration = Duration::from_secs(4);

/// How often a change of such a cursor begins anew because another node was faster.
pub const CURSOR_TRIES_MAX: usize = 64;

/// Objects of such a cursor that stay behind the newest, for readers that have just listed them: of a few KB each.
pub const CURSOR_SHEETS_KEPT: u64 = 16;

/// How often a node with workers that wait looks what other nodes have done: a quarter of a lease, within these bounds.
pub const CURSOR_LOOK_MIN: Duration = Duration::from_millis(250);

/// See [`CURSOR_LOOK_MIN`]. One request every two seconds, of each node and cursor.
pub const CURSOR_LOOK_MAX: Duration = Duration::from_secs(2);

/// Bytes of the body of a request about a named cursor: a position in each of 20,480 shards, which have 32 at most.
pub const CURSOR_BODY_BYTES_MAX: usize = 1 << 20;

/// Bytes of a stream of an HTTP/2 connection that wait for the socket, while its client gives it a window. As a
/// connection sends frames of 16 KiB in turn, four of them keep it busy.
pub const HTTP2_SEND_BUFFER_BYTES: usize = 64 << 10;

/// Bytes that a WebSocket writes in one go, header included: a frame of HTTP/2. Each is a copy outside of the byte
/// budget there, of which hyper has 3 (two in a channel, one that waits for a window: 48 KiB) and of what the client has
/// given a window for [`HTTP2_SEND_BUFFER_BYTES`] and one more: 128 KiB a stream.
pub const WEBSOCKET_WRITE_BYTES: usize = 16 << 10;

/// Bytes of a fragment of a WebSocket's message, so that with its header (10 at most) it is one write: the whole text
/// is paid for until its last fragment is written, and nobody else has a copy of more than a fragment.
pub const WEBSOCKET_FRAGMENT_BYTES: usize = WEBSOCKET_WRITE_BYTES - 10;

/// Seconds that a long poll may wait.
pub const TAP_WAIT_SECONDS_MAX: u64 = 30;

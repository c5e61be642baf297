//! What comes in: connections, requests, rules, AWS clients, throttling.

use std::time::Duration;

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

/// Open connections. Measured: 4 KiB for one that has sent nothing, 13 KiB once it has sent a request (hyper's
/// buffers; 21 KiB over TLS, 24 KiB over HTTP/2), and up to [`READ_BUFFER_BYTES_MAX`] more after a large body. 20,000
/// producers that keep theirs open between single events are 260 MiB beside the byte budget.
pub const CONNECTIONS_DEFAULT: usize = 20_000;

/// Requests after which a connection may be closed: more is the same as no bound.
pub const CONNECTION_REQUESTS_MAX: usize = 1 << 30;

/// Streams of an HTTP/2 connection that its client has opened and reset before anybody looked at them. A browser that
/// leaves a page resets a few; at more than this the connection is ended, so that resets cost no more than requests.
pub const HTTP2_RESET_STREAMS_MAX: usize = 20;

/// Streams of an HTTP/2 connection that were reset because of what its client has sent: what clients of right behaviour
/// never reach.
pub const HTTP2_BROKEN_STREAMS_MAX: usize = 256;

/// `[[listener]]` of a node: each costs a socket and a task in every edge thread.
pub const LISTENERS_MAX: usize = 16;

/// Addresses and networks of proxies that are believed: each is compared with once or a few times a request.
pub const TRUSTED_PROXIES_MAX: usize = 64;

/// Networks of one list of addresses, and of one file of them. Each takes up to 32 bytes, and a look into all of them is
/// 18 steps.
pub const NETWORKS_MAX: usize = 200_000;

/// Bytes of a file of networks: 80 a line, which leaves room for comments.
pub const NETWORKS_FILE_BYTES_MAX: u64 = 80 * NETWORKS_MAX as u64;

/// `[[rule]]` of a node. Each is a few comparisons a request, and has a counter.
pub const RULES_MAX: usize = 200;

/// Characters of a pattern of a rule.
pub const RULE_PATTERN_BYTES_MAX: usize = 4 << 10;

/// Patterns of headers in one rule, and methods.
pub const RULE_WORDS_MAX: usize = 16;

/// Bytes of the automaton of all patterns about one thing: 200 patterns of the usual size need a tenth of it.
pub const RULE_AUTOMATON_BYTES_MAX: usize = 10 << 20;

/// Bytes of the states that such an automaton keeps while it runs, in each thread. When they are full it begins anew.
pub const RULE_CACHE_BYTES_MAX: usize = 2 << 20;

/// Entries of `X-Forwarded-For` that are looked at. Chains of proxies have a few.
pub const FORWARDED_HOPS_MAX: usize = 16;

/// Bytes of a PROXY header: addresses of Unix sockets need 232, and what load balancers tell besides stays below this.
pub const PROXY_HEADER_BYTES_MAX: usize = 2 << 10;

/// Bytes of the path of a Unix socket: `sun_path` has 108, the last of them 0.
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// How far a connection's read buffer may grow. It stays that large while the connection is open, so it is kept small;
/// a body of 33 kB takes two system calls with it.
pub const READ_BUFFER_BYTES_MAX: usize = 32 << 10;

/// `idempotency_window` in seconds where it is not given: longer than any client tries again in one go.
pub const IDEMPOTENCY_SECONDS_DEFAULT: u64 = 10 * 60;

/// The longest `idempotency_window` in seconds: a day.
pub const IDEMPOTENCY_SECONDS_MAX: u64 = 24 * 60 * 60;

/// Other ways in to one stream. Each has its own compiled schema, and two series in the metrics.
pub const STAGES_MAX: usize = 8;

/// Facts of a request that are added to its records. With [`FACT_BYTES_MAX`] each they are at most 128 KiB of text, which
/// no request of that many header bytes reaches.
pub const FACTS_MAX: usize = 64;

/// Bytes of one fact; what is longer is cut. Longer than a browser's `User-Agent` or a referring page by far, and a fact
/// is repeated in each record.
pub const FACT_BYTES_MAX: usize = 2 << 10;

/// Bytes of the name of a member that is added, or of a query's parameter in it.
pub const FACT_NAME_BYTES_MAX: usize = 128;

/// Parameters of a query or a form that becomes a record: several times what tag managers send. Each is compared with
/// those before it, 32,640 comparisons at most, which take some 100 microseconds.
pub const EVENT_PARAMETERS_MAX: usize = 256;

/// Bytes of a form that becomes a record: what browsers let `sendBeacon` have under way.
pub const EVENT_FORM_BYTES_MAX: u64 = 64 << 10;

/// What a request costs beside its body: the shared source, a batch a shard, and the log's entries (about 400 bytes
/// with one shard), rounded up. It keeps the budget true for single small events.
pub const REQUEST_OVERHEAD_BYTES: u64 = 512;

/// Bytes that a body's buffer starts with where its length is not known, and the step in which the budget is asked.
pub const BODY_STEP_BYTES: usize = 64 << 10;

/// Refused records that a reply names; the others are only counted. 1,000 × about 120 bytes = 120 KB of reply.
pub const REPLY_ERRORS_MAX: usize = 1_000;

/// How long an answer may be given again at most: so long readers may not see what is new.
pub const ANSWER_CACHE_TTL_MAX: Duration = Duration::from_secs(60 * 60);

/// Bytes of answers that may be kept: at least 64 pages of 16 KiB.
pub const ANSWER_CACHE_BYTES_RANGE: std::ops::RangeInclusive<u64> = (1 << 20)..=(4 << 30);

/// Where it is not given: 1,000 pages of 16 KiB, or four of the largest, [`TAP_BYTES_MAX`](super::TAP_BYTES_MAX).
pub const ANSWER_CACHE_BYTES_DEFAULT: u64 = 16 << 20;

/// The part of them that one answer may have, as a divisor: of the default, a page of the largest size.
pub const ANSWER_CACHE_DIVISOR: u64 = 4;

/// Bytes of an answer that is kept beside its text, its target and whom it is for: its place in a map that is half full,
/// its tag and other fields, about 350, and a count for each of its shards.
pub const ANSWER_CACHE_ENTRY_BYTES: u64 = 512;

/// Bytes of a region's name; the longest of AWS has 16. A derived key keeps it.
pub const AWS_REGION_BYTES_MAX: usize = 64;

/// Bytes of the body of an AWS request that is about no records: a thousand names or tags.
pub const AWS_REQUEST_BYTES_MAX: u64 = 256 << 10;

/// Bytes of a body that brings records: 10 MiB of them in Base64 are 14 MB; 500 keys of 256 characters, each six bytes
/// at most in JSON, and what stands around them are 0.8 MB. 16 MiB hold both.
pub const AWS_BODY_BYTES_MAX: u64 = 16 << 20;

/// Bytes of the records of one PutRecords and of one record, keys included, and of an answer to GetRecords: as in the
/// service. `[server] max_body` and `[ingest] max_record` may make them less.
pub const KINESIS_BYTES_MAX: u64 = 10 << 20;

/// What a shard takes in a second where a stream has the quotas of Kinesis: bytes of data and keys, and records.
pub const QUOTA_WRITE_BYTES: u64 = 1 << 20;

/// See [`QUOTA_WRITE_BYTES`].
pub const QUOTA_WRITE_RECORDS: u64 = 1_000;

/// Bytes that a shard gives in a second there: to all GetRecords together, and to each SubscribeToShard.
pub const QUOTA_READ_BYTES: u64 = 2 << 20;

/// GetRecords of a shard in a second there.
pub const QUOTA_READ_CALLS: u64 = 5;

/// Records of one PutRecords.
pub const KINESIS_PUT_RECORDS_MAX: usize = 500;

/// Tags of a stream.
pub const KINESIS_TAGS_MAX: usize = 200;

/// Consumers of a stream that read by SubscribeToShard. Each has up to 1,100 bytes in the catalog and a connection a
/// shard, with two events of 1.4 MB at most.
pub const KINESIS_CONSUMERS_MAX: usize = 50;

/// Records of an answer to GetRecords, and entries of a page of the other lists.
pub const KINESIS_PAGE_MAX: usize = 10_000;

/// Streams of an HTTP/2 connection at a time, each a request, a subscription or a WebSocket: with the read buffers of
/// WebSockets 1.6 MB a connection, and with all that [`WEBSOCKET_WRITE_BYTES`](super::WEBSOCKET_WRITE_BYTES) adds up to 26 MB where none of them is
/// read. What hyper has by default.
pub const HTTP2_STREAMS_MAX: u32 = 200;

/// Open connections that the configuration may ask for: at 4 KiB each, a million silent ones need 4 GiB.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// Bytes of request line and headers that the configuration may ask for: a buffer of this size per connection.
pub const HEADER_BYTES_MAX: u64 = 1 << 20;

/// Replies that a stream remembers for clients that ask again with the same idempotency key: about 50,000 of one shard
/// each. Allocated as they come.
pub const REPLY_WINDOW_BYTES: u64 = 16 << 20;

/// What a remembered reply costs beside its key and its bytes: two handles of the key and one of the reply (32 bytes
/// each), their headers, and the room of a map and a queue that are half full.
pub const REPLY_ENTRY_BYTES: u64 = 200;

/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// The most that a limit may let in a second or at once, of requests, records or bytes: 1 TiB of bytes, far beyond any
/// machine, and far below what its bucket can count.
pub const LIMIT_MAX: u64 = 1 << 40;

/// The largest `weight` of a principal: one with 1,000 has what a thousand others have together.
pub const WEIGHT_MAX: u32 = 1_000;

/// Claims of a token, or members of an authorizer's context, that are kept for facts of records: usual tokens have ten
/// to twenty.
pub const ATTRIBUTES_MAX: usize = 64;

/// Bytes of all of them, names and values: a token of [`JWT_BYTES_MAX`](super::JWT_BYTES_MAX) has 6 KiB of claims, its times, lists and signature
/// among them. Beside the longest fact, [`FACT_BYTES_MAX`], there is room for as much of others.
pub const ATTRIBUTES_BYTES_MAX: usize = 4 << 10;

/// Client addresses whose buckets are kept, where they are limited: 65,536 × about 300 bytes (two maps' entries, and
/// 176 bytes of buckets a direction) = 20 MB at most, when that many clients have come within the time in which their
/// buckets fill.
pub const CLIENT_ADDRESSES_MAX: usize = 1 << 16;

/// Subjects of issuers and principals of an authorizer whose buckets and quotas are kept, where they are limited: 65,536
/// × about 600 bytes (a name of 60 in a map and a list, 192 bytes of buckets a direction, 100 of a quota) = 40 MB at most.
/// In `usage.json` they are rows of about 150 bytes, 10 MB together.
pub const SUBJECTS_MAX: usize = 1 << 16;

/// Client addresses whose part of a busy server is known: 4,096 × about 200 bytes = 0.8 MB.
pub const FAIR_ADDRESSES_MAX: usize = 1 << 12;

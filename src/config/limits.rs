//! Every bound of the program, with its arithmetic. A number that can be argued with can be tuned.

use std::time::Duration;

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

/// Open connections. Measured: 4 KiB for one that has sent nothing, 25 KiB once it has sent a request (hyper's
/// buffers), and up to [`READ_BUFFER_BYTES_MAX`] more after a large body. 20,000 producers that keep theirs open
/// between single events are 500 MiB beside the byte budget.
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

/// The least and the most bytes of a row group or a stripe. Below 1 MiB its metadata shows; an open file holds one, so
/// 256 MiB is a whole budget of the default size.
pub const ROW_GROUP_BYTES_RANGE: std::ops::RangeInclusive<u64> = (1 << 20)..=(256 << 20);

/// The most rows of an entry of ORC's row index: more than a stripe ever has.
pub const ROW_INDEX_STRIDE_MAX: usize = 100_000_000;

/// `buffer.size` where it is not given: bytes as stored.
pub const BUFFER_BYTES_DEFAULT: u64 = 64 << 20;

/// `buffer.interval` in seconds where it is not given.
pub const BUFFER_SECONDS_DEFAULT: u64 = 60;

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

/// `idempotency_window` in seconds where it is not given: longer than any client tries again in one go.
pub const IDEMPOTENCY_SECONDS_DEFAULT: u64 = 10 * 60;

/// The longest `idempotency_window` in seconds: a day.
pub const IDEMPOTENCY_SECONDS_MAX: u64 = 24 * 60 * 60;

/// When the ingest share is spent, this part of it is freed at a time: with 128 MiB a sixteenth is 8 MiB, thousands of
/// requests, so that the search for it does not show in the cost of one.
pub const RECLAIM_DIVISOR: u64 = 16;

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

/// `[[access_key]]` of a node. A check of the id is one look into a map; each has up to [`SIGNING_KEYS_MAX`] derived keys
/// of about 700 bytes, 11 MB together.
pub const ACCESS_KEYS_MAX: usize = 1_000;

/// `[[api_key]]` of a node: each is looked for by its digest, and takes about 500 bytes, 10 MB together.
pub const API_KEYS_MAX: usize = 20_000;

/// Characters of an API key. Keys are kept as plain SHA-256, which is safe for what nobody can guess: 16 random
/// characters of 64 have 96 bits.
pub const API_KEY_BYTES_MIN: usize = 16;
/// See [`API_KEY_BYTES_MIN`].
pub const API_KEY_BYTES_MAX: usize = 256;

/// `[[client_certificate]]` of a node: names are looked for in a map, and take about 500 bytes each, 10 MB together.
pub const CLIENT_CERTIFICATES_MAX: usize = 20_000;

/// Those of them with `*` in their name: each costs a comparison with every request whose certificate is nobody's by its
/// whole name, about 20 ns, 2 µs together.
pub const CERTIFICATE_PATTERNS_MAX: usize = 100;

/// Characters of a name of a certificate: a URI in one has seldom more than 100, a DNS name at most 253.
pub const CERTIFICATE_NAME_BYTES_MAX: usize = 1_024;

/// `[[basic_user]]` of a node: looked for in a map, and about 700 bytes each, 14 MB together.
pub const BASIC_USERS_MAX: usize = 20_000;

/// Bytes of a password: more than people type, and its name and Base64 fit into a header of the default size.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// Passwords that are checked at a time: each takes a core for 0.1 s and more, so that who guesses takes two at most and
/// has about 15 guesses a second.
pub const PASSWORD_CHECKS_MAX: usize = 2;

/// Requests that wait until their password is checked: the last one for 64 / 2 × 0.2 s = 6.4 s.
pub const PASSWORD_CHECKS_WAITING_MAX: usize = 64;

/// `[[webhook]]` of a node: a request costs a look for the header of each, about 20 ns, 2 µs together.
pub const WEBHOOKS_MAX: usize = 100;

/// Secrets of a webhook: the body is hashed once for each.
pub const WEBHOOK_SECRETS_MAX: usize = 4;

/// Bytes of a secret of a webhook: senders make up to 100, and people choose some of theirs.
pub const WEBHOOK_SECRET_BYTES_RANGE: std::ops::RangeInclusive<usize> = 8..=1_024;

/// How far the time of a signature may be from ours at most.
pub const WEBHOOK_TOLERANCE_MAX: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// Signatures in one header: Stripe sends one for each secret that is not over, two at most.
pub const WEBHOOK_SIGNATURES_MAX: usize = 8;

/// How long an HTTP authorizer may take at most: the client waits for it.
pub const AUTHORIZER_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// How long a decision of it may hold at most: so long somebody comes in who may not any more.
pub const AUTHORIZER_TTL_MAX: Duration = Duration::from_secs(60 * 60);

/// Decisions that may be kept: about 400 bytes with a grant, 40 MB together.
pub const AUTHORIZER_CACHE_MAX: usize = 100_000;

/// Headers of a call of the authorizer.
pub const AUTHORIZER_HEADERS_MAX: usize = 32;

/// What a request may have to show to be asked about.
pub const AUTHORIZER_SOURCES_MAX: usize = 8;

/// Calls at a time: with one of 10 ms, 6,400 a second.
pub const AUTHORIZER_CALLS_MAX: usize = 64;

/// Bytes of an answer: a hundred grants of 128 characters, or a policy of as many statements.
pub const AUTHORIZER_ANSWER_BYTES_MAX: usize = 64 << 10;

/// Bytes of the name of a principal.
pub const AUTHORIZER_NAME_BYTES_MAX: usize = 256;

/// How long an answer may be given again at most: so long readers may not see what is new.
pub const ANSWER_CACHE_TTL_MAX: Duration = Duration::from_secs(60 * 60);

/// Bytes of answers that may be kept: at least 64 pages of 16 KiB.
pub const ANSWER_CACHE_BYTES_RANGE: std::ops::RangeInclusive<u64> = (1 << 20)..=(4 << 30);
/// Where it is not given: 1,000 pages of 16 KiB, or four of the largest, [`TAP_BYTES_MAX`].
pub const ANSWER_CACHE_BYTES_DEFAULT: u64 = 16 << 20;
/// The part of them that one answer may have, as a divisor: of the default, a page of the largest size.
pub const ANSWER_CACHE_DIVISOR: u64 = 4;
/// Bytes of an answer that is kept beside its text, its target and whom it is for: its place in a map that is half full,
/// its tag and other fields, about 350, and a count for each of its shards.
pub const ANSWER_CACHE_ENTRY_BYTES: u64 = 512;

/// Actions, and streams, that an access key names: each costs a comparison of a name with every request of the key.
pub const ACCESS_KEY_PATTERNS_MAX: usize = 100;

/// Bytes of an access key's id, as in AWS.
pub const ACCESS_KEY_ID_BYTES_MAX: usize = 128;

/// Bytes of an access key's secret; those of AWS have 40.
pub const SECRET_BYTES_MAX: usize = 256;

/// Bytes of a session token. It travels in a header or in the path, which together have 16 KiB by default.
pub const SESSION_TOKEN_BYTES_MAX: usize = 4 << 10;

/// Bytes of a region's name; the longest of AWS has 16. A derived key keeps it.
pub const AWS_REGION_BYTES_MAX: usize = 64;

/// Derived keys that an access key keeps, the oldest of which goes first: two services, two days around midnight, and
/// four regions. Only requests with a right signature add one.
pub const SIGNING_KEYS_MAX: usize = 16;

/// `clock_skew` in seconds where it is not given.
pub const CLOCK_SKEW_SECONDS_DEFAULT: u64 = 15 * 60;

/// The most of it: a request that somebody has caught can be sent again for that long.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The least of it: the unit in which requests tell their time.
pub const CLOCK_SKEW_MIN: Duration = Duration::from_secs(1);

/// The longest life of a presigned URL in seconds, as in AWS: a week.
pub const PRESIGNED_SECONDS_MAX: i64 = 7 * 24 * 60 * 60;

/// `[[jwt_issuer]]` of a node: each has a task, and up to [`JWT_KEYS_MAX`] keys of 1 KiB.
pub const JWT_ISSUERS_MAX: usize = 32;

/// Bytes of a token. Those of large issuers have 1 to 4 KiB; half of the headers of a request, where these have their
/// default. What is larger is refused before a byte of it is decoded.
pub const JWT_BYTES_MAX: usize = 8 << 10;

/// Bytes of the name of a key. Usual ones are a hash: 43.
pub const JWT_KEY_ID_BYTES_MAX: usize = 256;

/// Bytes of `iss`; most are an address.
pub const JWT_ISSUER_BYTES_MAX: usize = 512;

/// Bytes of `sub`, which is written to logs.
pub const JWT_SUBJECT_BYTES_MAX: usize = 256;

/// Scopes of a token, each of which is looked up; and entries of `[jwt_issuer.scopes]` and of the other lists.
pub const JWT_SCOPES_MAX: usize = 128;

/// What a token may do, all scopes together: each costs a comparison with every request.
pub const JWT_GRANTS_MAX: usize = 256;

/// Keys of an issuer. Two or three are usual while they change; multi-tenant ones publish a few dozen.
pub const JWT_KEYS_MAX: usize = 100;

/// Keys that a token is tried with. One that names its key has one candidate; without a name, an issuer that is
/// changing its keys has two or three, at up to 0.1 ms each.
pub const JWT_KEYS_TRIED_MAX: usize = 4;

/// Bytes of an answer with keys: 100 of them with an RSA key of 4,096 bits and some certificates, 2.5 KiB each.
pub const JWT_KEY_SET_BYTES_MAX: usize = 256 << 10;

/// Bytes of a file with public keys: 100 of 4,096 bits are 80 KB of PEM.
pub const JWT_PUBLIC_KEY_FILE_BYTES_MAX: u64 = 256 << 10;

/// How long a fetch of keys may take, and the connection of it.
pub const JWT_FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// See [`JWT_FETCH_TIMEOUT`].
pub const JWT_FETCH_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request waits for keys that are being fetched because its own is not known. As it has no body yet, it holds
/// what a silent connection does.
pub const JWT_KEYS_WAIT_MAX: Duration = Duration::from_secs(3);

/// Time between two fetches for keys that nobody knows: tokens that name keys at random have an issuer asked six times a
/// minute, however many they are, and a key that is new is known after this time at the latest.
pub const JWT_UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);

/// `refresh` where it is not given, and what it may be.
pub const JWT_REFRESH_DEFAULT: Duration = Duration::from_secs(15 * 60);
/// See [`JWT_REFRESH_DEFAULT`]. The least is what an issuer notices.
pub const JWT_REFRESH_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// `outage_grace` where it is not given: a day, in which somebody notices. And the most: a week.
pub const JWT_OUTAGE_GRACE_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);
/// See [`JWT_OUTAGE_GRACE_DEFAULT`].
pub const JWT_OUTAGE_GRACE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// `clock_skew` of an issuer where it is not given, and the most: tokens live for minutes.
pub const JWT_CLOCK_SKEW_DEFAULT: Duration = Duration::from_secs(60);
/// See [`JWT_CLOCK_SKEW_DEFAULT`].
pub const JWT_CLOCK_SKEW_MAX: Duration = Duration::from_secs(10 * 60);

/// Tokens that are remembered as verified, the bytes of all of them, and the parts that this is divided into so that
/// threads do not wait for each other. A usual one takes 500 bytes: 65,536 × 500 = 32 MiB.
pub const JWT_CACHE_ENTRIES: usize = 65_536;
/// See [`JWT_CACHE_ENTRIES`].
pub const JWT_CACHE_BYTES: usize = 32 << 20;
/// See [`JWT_CACHE_ENTRIES`].
pub const JWT_CACHE_SHARDS: usize = 64;

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

/// Streams of an HTTP/2 connection at a time, each a request, a subscription or a WebSocket: with the read buffers of
/// WebSockets 1.6 MB a connection, and with all that [`WEBSOCKET_WRITE_BYTES`] adds up to 26 MB where none of them is
/// read. What hyper has by default.
pub const HTTP2_STREAMS_MAX: u32 = 200;

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

/// Payload bytes that a delivery reads from a shard before it looks at the next shard, at its files and at the rest
/// of the world: about 2 ms of encoding.
pub const DELIVERY_READ_BYTES: u64 = 512 << 10;

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

/// Open files of dead letters of a delivery: reasons (fewer than ten) times folders of `error_prefix`, which is made of
/// the reason, the shard and the arrival time alone.
pub const DEAD_FILES_MAX: usize = 64;

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

/// Edge threads: one a core, on the largest machines there are.
pub const THREADS_MAX: usize = 1_024;

/// Open connections that the configuration may ask for: at 4 KiB each, a million silent ones need 4 GiB.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// Bytes of request line and headers that the configuration may ask for: a buffer of this size per connection.
pub const HEADER_BYTES_MAX: u64 = 1 << 20;

/// Bytes of one configuration file: [`API_KEYS_MAX`] keys by their digests, 200 bytes each, and as much again. The largest
/// sensible one of a pipeline, with hundreds of columns, has 100 KiB.
pub const CONFIG_FILE_BYTES_MAX: u64 = 8 << 20;

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

/// The longest duration that the configuration may ask for: a year, which is what Kinesis keeps records for, and far
/// from where adding to a point in time overflows.
pub const DURATION_MAX: std::time::Duration = std::time::Duration::from_secs(365 * 86_400);

/// Bytes of a stream's or delivery's name, as in Kinesis.
pub const NAME_BYTES_MAX: usize = 128;

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

/// Frames that are read back from a segment at a time: at 40 bytes each, 160 KiB of index.
pub const STORED_READ_ENTRIES_MAX: usize = 4_096;

/// Bytes of other shards that are read along when records of one are read back, because one call for both frames
/// costs less than two: a call costs about as much as copying 16 KiB.
pub const STORED_READ_GAP_BYTES: u64 = 16 << 10;

/// Bytes that are read back with one call, gaps included: all of them stay in memory for as long as one of the batches
/// does. A frame that is larger is read alone. A call costs about a hundredth of reading that much.
pub const STORED_RUN_BYTES_MAX: u64 = 1 << 20;

/// Replies that a stream remembers for clients that ask again with the same idempotency key: about 50,000 of one shard
/// each. Allocated as they come.
pub const REPLY_WINDOW_BYTES: u64 = 16 << 20;

/// What a remembered reply costs beside its key and its bytes: two handles of the key and one of the reply (32 bytes
/// each), their headers, and the room of a map and a queue that are half full.
pub const REPLY_ENTRY_BYTES: u64 = 200;

/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

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
/// A ledger file is zeroed this far ahead of what is written. An entry takes about 300 bytes and 100 more a shard, so
/// that one file in a hundred pays for the second sync.
pub const LEDGER_STEP_BYTES: u64 = 64 << 10;

/// A ledger begins a new file when this much was appended since the last one began, or as much as its first line has,
/// if that is more: the first line repeats the state, and must not become most of what is written.
pub const LEDGER_FILE_BYTES: u64 = 1 << 20;

/// Old ledger files that a delivery keeps for `forebay verify`: at 500 bytes for a file's seal and commit, 130,000
/// files, or three months of one a minute.
pub const LEDGER_HISTORY_BYTES: u64 = 64 << 20;

/// A ledger in a store writes its state again after so many objects: whoever takes it over reads as many, sixteen at a time,
/// which takes a store with 50 ms an answer 0.2 s. At one append a second, the state is 2 KiB more each minute.
pub const LEDGER_SNAPSHOT_OBJECTS: u64 = 64;
/// A large state makes that rarer: one more object for so many bytes of it, so that it adds so much to each append at most.
pub const LEDGER_SNAPSHOT_SHARE_BYTES: u64 = 16 << 10;
/// Old objects that a ledger in a store keeps for `forebay verify`, if they are not more than [`LEDGER_HISTORY_BYTES`]: ten
/// pages of a list, which a node reads that takes over, and a week of one append a minute.
pub const LEDGER_HISTORY_OBJECTS: usize = 10_000;
/// Bytes of an object by which a node takes a ledger over: names have 128 at most, the node's 128
/// characters, the rest is numbers.
pub const LEDGER_TAKEOVER_BYTES_MAX: u64 = 1_024;
/// Objects of a ledger that are read, or removed, at a time.
pub const LEDGER_READS_MAX: usize = 16;
/// How often a ledger in a store is read anew because others write it meanwhile.
pub const LEDGER_TRIES_MAX: usize = 16;
/// How long one request for an object of a ledger may take, and the same for all tries. A delivery that is told to stop waits
/// for two appends at most, one under way and one for all that wait: 16 s, of [`DELIVERY_STOP_WAIT`].
pub const LEDGER_STORE_TRY: Duration = Duration::from_secs(4);
/// See [`LEDGER_STORE_TRY`].
pub const LEDGER_STORE_PATIENCE: Duration = Duration::from_secs(8);
/// A large object has a second more for so many bytes.
pub const LEDGER_STORE_BYTES_PER_SECOND: u64 = 1 << 20;
/// Old objects of a ledger that are removed behind one append, and how long that may take.
pub const LEDGER_TIDY_OBJECTS: usize = 128;
/// See [`LEDGER_TIDY_OBJECTS`].
pub const LEDGER_TIDY_PATIENCE: Duration = Duration::from_secs(2);

/// Multipart uploads that a ledger remembers for one file, so that they can be aborted. One comes with each try that
/// a crash has ended; forgotten ones are left to the bucket's own rules.
pub const LEDGER_MULTIPARTS_MAX: usize = 100;

/// Pairs of partition and shard that are in open files, or sealed beyond the delivery's cursor. At about 150 bytes each
/// that is 15 MB of memory and of the first line of each ledger file. Above half of it a delivery closes the files that
/// hold the cursor back, and at all of it reads no more; those that it finds in the ledger at its start do not keep it
/// from reading, because reading gets rid of them.
pub const LEDGER_SETTLED_MAX: usize = 100_000;

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
/// them ([`REPLY_ERRORS_MAX`]).
pub const REPLAY_REQUEST_RECORDS: usize = 500;

/// Payload bytes that are sent again with one request, unless one letter has more: a tenth of the default body.
pub const REPLAY_REQUEST_BYTES: usize = 1 << 20;

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
/// Delivery streams of a node that clients make: each costs a stream with a shard, a delivery and its ledger, about
/// 100 KB with nothing in them. The service has 50 of an account unless one asks for more.
pub const DELIVERY_STREAMS_MAX: usize = 1_000;

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

/// The most that a limit may let in a second or at once, of requests, records or bytes: 1 TiB of bytes, far beyond any
/// machine, and far below what its bucket can count.
pub const LIMIT_MAX: u64 = 1 << 40;

/// The largest `weight` of a principal: one with 1,000 has what a thousand others have together.
pub const WEIGHT_MAX: u32 = 1_000;

/// Claims of a token, or members of an authorizer's context, that are kept for facts of records: usual tokens have ten
/// to twenty.
pub const ATTRIBUTES_MAX: usize = 64;
/// Bytes of all of them, names and values: a token of [`JWT_BYTES_MAX`] has 6 KiB of claims, its times, lists and signature
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

/// Most `[[kafka]]` of a node: each is a name and what lets us in, and takes nothing before a pipeline uses it.
pub const KAFKA_CLUSTERS_MAX: usize = 100;
/// Most brokers that a connection begins with; the others of a cluster are told by these.
pub const KAFKA_BROKERS_MAX: usize = 100;

/// How long the group waits for a word of a member before its shards go to others: five heartbeats, so that four may be
/// lost, and short enough that a node which is gone is replaced within 20 s. Brokers allow 6 s and more by default.
pub const OWNERSHIP_SESSION_TIMEOUT: Duration = Duration::from_secs(15);
/// A fifth of [`OWNERSHIP_SESSION_TIMEOUT`]; also how soon members learn of a rebalance.
pub const OWNERSHIP_HEARTBEAT: Duration = Duration::from_secs(3);
/// How long a member may take to give shards back: as long as a delivery that is told to stop is waited for.
pub const OWNERSHIP_LET_GO_WAIT: Duration = DELIVERY_STOP_WAIT;
/// How long a rebalance waits for a member: [`OWNERSHIP_LET_GO_WAIT`] twice, for a second rebalance may begin during the
/// first, and [`OWNERSHIP_SESSION_TIMEOUT`], below which it must not be.
pub const OWNERSHIP_POLL_INTERVAL_MAX: Duration = Duration::from_secs(55);
/// How long a node leaves a shard alone that another one has taken over, although the group has not said that it has moved:
/// time for that to be told, by the next heartbeat ([`OWNERSHIP_HEARTBEAT`]) and what comes of it. Otherwise one that was
/// asleep would take it back first.
pub const OWNERSHIP_DEPOSED_WAIT: Duration = Duration::from_secs(5);
/// How soon partitions that are added to a topic are shared as well: a question to one broker of 100 bytes a topic.
pub const OWNERSHIP_METADATA_AGE_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether the shards are delivered that are to be before another one, while one waits: each look at one
/// of another node lists its ledger and reads it from the last snapshot on.
pub const OWNERSHIP_TURN_EVERY: Duration = Duration::from_secs(1);
/// How often the group is told where deliveries stand: 30 bytes a shard.
pub const OWNERSHIP_COMMIT_EVERY: Duration = Duration::from_secs(10);

/// How long a record may be on its way to a topic that is a log: what no broker has confirmed by then is told to its
/// client as unknown. Half of the minute that clients and gateways commonly wait.
pub const KAFKA_PRODUCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the client waits for more records to send with one, in milliseconds: what a lone record's ack takes longer.
pub const KAFKA_LINGER_MS: u64 = 2;
/// Messages that are on their way to a topic: 500,000 of 128 bytes of bookkeeping are 64 MB at most.
pub const KAFKA_QUEUE_MESSAGES_MAX: u64 = 500_000;
/// What the client and the broker's protocol need of memory for a message, beside its key and value.
pub const KAFKA_RECORD_OVERHEAD_BYTES: u64 = 128;
/// The part of a stream's account that records on their way to a topic may take.
pub const KAFKA_QUEUE_PERCENT: u64 = 25;
/// The part of a stream's account that the newest records of a topic may take, which taps and deliveries read.
pub const KAFKA_TAIL_PERCENT: u64 = 25;
/// What the client fetches ahead of the tail.
pub const KAFKA_TAIL_FETCH_BYTES: u64 = 8 << 20;
/// The end of a partition is read into memory for so long after somebody has read it last. What comes to one that is not
/// read so is seen within a second, and fetched when it is asked for.
pub const KAFKA_TAIL_IDLE: Duration = Duration::from_secs(120);
/// Consumers of a topic that read what is not in memory: with [`KAFKA_CATCH_UP_BYTES`] each, 16 MiB.
pub const KAFKA_CATCH_UP_READERS_MAX: usize = 4;
/// What each of them fetches ahead.
pub const KAFKA_CATCH_UP_BYTES: u64 = 4 << 20;
/// How long a shutdown waits for the last acks of a topic: the edge has waited for its clients before.
pub const KAFKA_FLUSH_WAIT: Duration = Duration::from_secs(5);
/// How long the start waits for a topic until it goes on without.
pub const KAFKA_START_WAIT: Duration = Duration::from_secs(10);
/// Topics that a fan-out uses at a time, where `max_topics` is not given. Each is a partition queue of a megabyte at
/// most in the client, which the size of a transaction bounds for all of them together, and some kilobytes of facts.
pub const FAN_OUT_TOPICS_DEFAULT: usize = 1_000;
/// Topics that a fan-out may ask for. A cluster of three brokers is said to hold some ten thousand partitions well.
pub const FAN_OUT_TOPICS_MAX: usize = 10_000;
/// Age at which a transaction of a fan-out is committed. A commit is three requests to the coordinator, a few
/// milliseconds: at ten a second they take some per cent of the time.
pub const FAN_OUT_INTERVAL_DEFAULT: Duration = Duration::from_millis(100);
/// The most: below half of the 60 s after which a broker gives a transaction up.
pub const FAN_OUT_INTERVAL_MAX: Duration = Duration::from_secs(20);
/// Payload bytes at which it is committed: at 100 MB/s six commits a second.
pub const FAN_OUT_TRANSACTION_BYTES_DEFAULT: u64 = 16 << 20;
/// The least that may be asked for.
pub const FAN_OUT_TRANSACTION_BYTES_MIN: u64 = 64 << 10;
/// The most: librdkafka counts what waits in kilobytes of 31 bits, and a broker must take it within 60 s.
pub const FAN_OUT_TRANSACTION_BYTES_MAX: u64 = 1 << 30;
/// Bytes that the client of a fan-out takes before it sends anything, out of the delivery's account: measured are 480 kB and
/// four threads with one broker; each further one is a thread and its buffers. A delivery of a stream on this machine has
/// one client. Where nodes share one, there is a client for each shard that the node has: of `P` partitions and `N`
/// nodes `⌈P / N⌉`, and all `P` when the others are gone. Records on their way are not in it: they are charged to the same
/// account, which all shards of a delivery have together, so that they do not grow with the clients.
pub const FAN_OUT_CLIENT_BYTES: u64 = 1 << 20;
/// Bytes that a message takes besides its payload and key until it is confirmed: what librdkafka keeps of it (some 200
/// bytes), and its headers.
pub const FAN_OUT_MESSAGE_BYTES: u64 = 320;
/// Bytes of a message's batch beside its payload, key and headers: 61 of the batch, and lengths and flags of the record.
pub const FAN_OUT_BATCH_OVERHEAD: u64 = 256;
/// Bytes of a batch at which it is sent, as librdkafka has it: below the megabyte that a broker takes by default.
pub const FAN_OUT_BATCH_BYTES: u64 = 1_000_000;
/// Payload bytes of one message of dead letters: half of what a broker takes by default, so that its headers find room.
pub const FAN_OUT_LETTER_BYTES: usize = 512 << 10;
/// Bytes of the reason that a dead letter tells.
pub const FAN_OUT_REASON_BYTES: usize = 2 << 10;
/// How long one question to a cluster may take.
pub const FAN_OUT_PATIENCE: Duration = Duration::from_secs(5);
/// How long a cluster may be in trouble before a fan-out is said to be paused: leaders move within seconds.
pub const FAN_OUT_TROUBLE_QUIET: Duration = Duration::from_secs(5);
/// After this the facts of a topic are asked for again, so that new partitions are used.
pub const FAN_OUT_FACTS_AGE: Duration = Duration::from_secs(300);
/// How long a fan-out that was idle lets records gather before it reads. librdkafka lets them gather for as long again.
pub const FAN_OUT_LINGER: Duration = Duration::from_millis(5);
/// The smallest batch that is tried where a topic refuses larger ones without saying what it takes.
pub const FAN_OUT_BATCH_BYTES_MIN: u64 = 16 << 10;
/// The same of a part of a dead letter.
pub const FAN_OUT_LETTER_BYTES_MIN: usize = 4 << 10;

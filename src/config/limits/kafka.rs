//! Kafka: clients, logs in topics, shards that nodes share, deliveries into topics.

use std::time::Duration;

use super::DELIVERY_STOP_WAIT;

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

/// How long a broker has to go on showing an end before one that was known to lie behind it, until that is taken for a hole
/// that no message marks. A replica that lags behind its leader learns of a later end with its next fetch: 500 ms
/// (`replica.fetch.wait.max.ms`).
pub const KAFKA_END_SHOWN_FOR: Duration = Duration::from_secs(3);

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

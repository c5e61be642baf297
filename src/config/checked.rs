//! The checked configuration: what the rest of the program is built from.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

pub use super::check_access_key::{Access, AccessKey, SignatureRule};
pub use super::check_api_key::ApiKey;
pub use super::check_auth::{Auth, Demand};
pub use super::check_authorizer::{Authorizer, IdentitySource};
pub use super::check_aws::Aws;
pub use super::check_basic_user::{BasicUser, Password};
pub use super::check_cache::{Cache, CachedRoute};
pub use super::check_client_certificate::{CertificateHolder, CertificateName};
pub use super::check_cluster::Cluster;
pub use super::check_cors::Cors;
pub use super::check_firehose::{BucketStore, Table};
pub use super::check_function::Function;
pub use super::check_jwt::{ClaimName, JwtIssuer};
pub use super::check_jwt_keys::{FetchedJwtKeys, JwtKeys, KeysPlace};
pub use super::check_kafka::{KafkaCluster, KafkaSasl, KafkaTls, OAuth};
pub use super::check_limit::{Allowance, Limit, Limits, Period, Quota, Rate, Rates};
pub use super::check_listener::{ClientCertificates, ListenAt, Listener, Tls};
pub use super::check_logs::{AccessLog, LogFile, LogTo};
pub use super::check_mapping::{Add, Fact, OnForged};
pub use super::check_stage::Stage;
pub use super::check_stream_log::{KafkaLog, LogPlace};
pub use super::check_telemetry::Otlp;
pub use super::check_webhook::{HmacAlgorithm, SignatureEncoding, SignedTime, TimestampAt, Webhook};
pub use super::fan_out::{
    FanOut, Guarantee, KafkaCompression, KafkaSink, MessageHeader, MessageKey, Partitioner,
};
pub use super::format::{
    Delimiter, Format, JsonCompression, JsonFormat, OrcCompression, OrcFormat, ParquetCompression,
    ParquetFormat, RawFormat, SortColumn,
};
pub use super::selection::Selection;
use crate::delivery::encode::dead_letter::Envelope;
use crate::delivery::prefix::{PrefixTemplate, Terms};
use crate::edge::gate::addresses::Addresses;
use crate::edge::gate::rules;
use crate::json::Pointer;
pub use crate::record::Content;
use crate::schema::inference::Rules;

/// The node and every pipeline that it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `forebay.toml`, or its defaults.
    pub node: Node,
    /// One a pipeline file. Stream names are unique.
    pub pipelines: Vec<Pipeline>,
}

/// `forebay.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What its folder must be called, if that is to be checked. Same alphabet as a stream's name.
    pub name: Option<String>,
    /// Where the node keeps its state.
    pub data_dir: PathBuf,
    /// The byte budget of the process.
    pub memory_budget_bytes: u64,
    /// `[log]`.
    pub log: Log,
    /// `[server]`.
    pub server: Server,
    /// `[access]`.
    pub access: Addresses,
    /// `[[rule]]` and `[screening]`.
    pub rules: rules::Settings,
    /// `[auth]` and `[[api_key]]`.
    pub auth: Auth,
    /// `[limits]`.
    pub limits: Limits,
    /// `[cache]`, if there is one.
    pub cache: Option<Cache>,
    /// `[cluster]`, if there is one.
    pub cluster: Option<Cluster>,
    /// `[access_log]`, if there is one.
    pub access_log: Option<AccessLog>,
    /// `[audit_log]`.
    pub audit_log: LogTo,
    /// `[telemetry] otlp`, if there is one.
    pub otlp: Option<Otlp>,
    /// `[aws]` and `[[access_key]]`.
    pub aws: Aws,
    /// `[[function]]`. Names are unique.
    pub functions: Vec<Function>,
    /// `[[kafka]]`.
    pub kafka: Vec<KafkaCluster>,
}

impl Node {
    /// Whether what some principal sends is counted for a quota, which has to be kept over a restart.
    pub fn have_quotas(&self) -> bool {
        let api_keys = self.auth.api_keys.iter().map(|key| &key.allowance);
        let access_keys = self.aws.access.keys.iter().map(|key| &key.allowance);
        api_keys.chain(access_keys).any(|allowance| allowance.quota.is_some())
    }
}

/// `[log]`: how the log of durable streams is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// Bytes of a segment file; a multiple of 4,096, and enough for two requests of [`Server::body_bytes_max`] where
    /// that is possible at all.
    pub segment_bytes: u64,
    /// What writes it.
    pub writer: LogWriter,
}

/// What writes the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogWriter {
    /// io_uring where the kernel has it, a plain thread elsewhere.
    Auto,
    /// io_uring; it is an error if the kernel does not have it.
    IoUring,
    /// A plain thread.
    Thread,
}

impl LogWriter {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            LogWriter::Auto => "auto",
            LogWriter::IoUring => "io_uring",
            LogWriter::Thread => "thread",
        }
    }
}

/// `[server]`: the listeners and their bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Public address of the edge.
    pub listen: SocketAddr,
    /// Everywhere that connections to the edge come in, `listen` first.
    pub listeners: Vec<Listener>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Everywhere that the admin port is, `[server] admin` first.
    pub admin: Vec<Listener>,
    /// Edge threads; one a core where it is not given.
    pub threads: Option<NonZeroUsize>,
    /// Open connections over all threads.
    pub connections_max: usize,
    /// Open connections of one client address, or /64 of IPv6.
    pub address_connections_max: Option<usize>,
    /// Requests after which a connection is closed.
    pub connection_requests_max: Option<u64>,
    /// Bytes of request line and headers.
    pub header_bytes_max: usize,
    /// Bytes of a body, compressed or not: the bound holds for the decoded form.
    pub body_bytes_max: u64,
    /// Time from the first byte of a request to the end of its headers.
    pub header_timeout: Duration,
    /// Time for the whole body to come in.
    pub body_timeout: Duration,
    /// Time that a connection may be kept open with nothing on it.
    pub idle_timeout: Duration,
    /// Time that a shutdown may take until what is not delivered is given up (and reported).
    pub drain_timeout: Duration,
    /// Cross-origin rules; none means that browsers of other origins are refused.
    pub cors: Option<Cors>,
    /// Whose `X-Request-Id` is taken.
    pub request_ids: RequestIds,
}

/// Whose `X-Request-Id` becomes the id of a request. Otherwise it gets one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestIds {
    /// That of proxies that are trusted.
    Proxies,
    /// That of every client.
    Everybody,
    /// Nobody's.
    Nobody,
}

impl Server {
    /// Where programs on the same machine reach the edge; `None` where the system chooses its port.
    pub fn url(&self) -> Option<String> {
        let mut listen = self.listen;
        if listen.ip().is_unspecified() {
            listen.set_ip(match listen.is_ipv4() {
                true => Ipv4Addr::LOCALHOST.into(),
                false => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let is_encrypted = self.listeners.first().is_some_and(|main| main.tls.is_some());
        let scheme = if is_encrypted { "https" } else { "http" };
        (listen.port() != 0).then(|| format!("{scheme}://{listen}"))
    }

    /// A listener that is reached from other machines, if there is one.
    pub fn exposed(&self) -> Option<&ListenAt> {
        self.listeners.iter().map(|listener| &listener.at).find(|at| !at.is_local())
    }
}

/// One pipeline file.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The file, as it was found.
    pub file: PathBuf,
    /// `[stream]`.
    pub stream: Stream,
    /// `[ingest]`.
    pub ingest: Ingest,
    /// `[[delivery]]` of files, in the order of the file. Names are unique within the stream, those of `fan_outs` included.
    pub deliveries: Vec<Delivery>,
    /// `[[delivery]]` into Kafka, in the order of the file.
    pub fan_outs: Vec<FanOut>,
    /// Where the columns of Parquet files come from, if there are any.
    pub columns_source: Option<ColumnsSource>,
    /// `[access]`.
    pub access: Addresses,
}

/// Where the columns of a pipeline come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnsSource {
    /// `[schema] columns`.
    Declared,
    /// Derived from the JSON Schema of `[ingest]`.
    JsonSchema,
    /// Learned from the records.
    Inferred(Rules),
}

/// `[stream]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// 1 to 128 of `a-z A-Z 0-9 _ . -`, as in Kinesis.
    pub name: String,
    /// Number of shards at the start.
    pub shards: u32,
    /// What an ack means.
    pub durability: Durability,
    /// How long a record stays readable.
    pub retention: Duration,
    /// How many bytes of the stream stay readable, besides what a delivery still needs: payload bytes in memory, or
    /// bytes on the disk where the stream is durable.
    pub retention_bytes: Option<u64>,
    /// How long an `Idempotency-Key` is remembered; zero for not at all.
    pub idempotency_window: Duration,
    /// Where its records are, if not here.
    pub log: LogPlace,
    /// What each of its shards may take and give.
    pub quotas: ShardQuotas,
}

/// What a shard may take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShardQuotas {
    /// As much as the machine can.
    #[default]
    None,
    /// As much as one of Kinesis Data Streams.
    Kinesis,
}

impl ShardQuotas {
    /// The word in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            ShardQuotas::None => "none",
            ShardQuotas::Kinesis => "kinesis",
        }
    }
}

/// What an ack means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The record is on stable storage: it survives the machine.
    Fsync,
    /// The record is with the operating system: it survives the process, not the machine.
    Os,
    /// The record is in this process's memory: lost with the process.
    Memory,
    /// Every replica that is in sync of a partition of a topic has the record.
    Kafka,
}

impl Durability {
    /// The word in configuration and replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Durability::Fsync => "fsync",
            Durability::Os => "os",
            Durability::Memory => "memory",
            Durability::Kafka => "kafka",
        }
    }

    /// Whether the stream needs a log on the disk.
    pub fn is_durable(self) -> bool {
        match self {
            Durability::Fsync | Durability::Os => true,
            Durability::Memory | Durability::Kafka => false,
        }
    }
}

/// `[ingest]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingest {
    /// Where the partition key comes from, unless the request has an `X-Partition-Key`.
    pub partition_key: PartitionKeySource,
    /// The JSON Schema document; its draft is told by `$schema` (2020-12 where that is missing).
    pub schema: Option<Arc<serde_json::Value>>,
    /// What becomes of a record that is no JSON object or breaks the schema.
    pub on_invalid: OnInvalid,
    /// What records may be.
    pub content: Content,
    /// Bytes of one record, with what is added to it.
    pub record_bytes_max: u64,
    /// Whether parameters of a query may be a record.
    pub takes_clicks: bool,
    /// What is added to each record.
    pub add: Option<Add>,
    /// Other ways in to the stream. Names are unique; those of a stage itself has none.
    pub stages: Vec<Stage>,
    /// How much may come in and go out.
    pub limit: Limit,
}

/// Where a record's partition key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionKeySource {
    /// A field of the record: `/client_ip`.
    Pointer(Pointer),
    /// A request header: `header:x-device`.
    Header(http::HeaderName),
    /// A query parameter: `query:device`.
    Query(String),
    /// `random`: records are spread evenly.
    Random,
}

/// What becomes of an invalid record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInvalid {
    /// It is refused, with its reason in the reply.
    Reject,
    /// It is accepted and goes to the dead letters of each delivery.
    DeadLetter,
}

/// `[[delivery]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Same alphabet as a stream's name.
    pub name: String,
    /// Where the files go.
    pub sink: ObjectSink,
    /// What the files are.
    pub format: Format,
    /// Ending of a file's name, instead of that of the format: a point and more. Dead letters keep theirs.
    pub extension: Option<Arc<str>>,
    /// When a file is closed.
    pub buffer: BufferHints,
    /// Path of a file below the sink's URL, up to its name.
    pub prefix: PrefixTemplate,
    /// The same for dead letters; `{reason}` stands for the reason code.
    pub error_prefix: PrefixTemplate,
    /// How dead letters are written, and when their files are closed.
    pub dead_letters: DeadLetters,
    /// The field that `{event_time}` reads.
    pub event_time: Option<Pointer>,
    /// What else decides over a record's folder.
    pub placement: Placement,
    /// Which records it takes.
    pub selection: Selection,
    /// Open files at a time, dead letters not counted; the least recently used is sealed for a new one.
    pub open_partitions_max: usize,
}

/// What decides over a record's folder besides the templates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placement {
    /// What the templates have in common.
    pub terms: Terms,
    /// Where late records go; without it none is late.
    pub late: Option<Late>,
    /// How far the event time may lie ahead of the arrival.
    pub future_max: Option<Duration>,
}

/// Where late records go.
#[derive(Debug, Clone, PartialEq)]
pub struct Late {
    /// How far the event time of a record that is not late may lie behind its arrival.
    pub allowed: Duration,
    /// Path of their files.
    pub prefix: PrefixTemplate,
}

/// `dead_letters` of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetters {
    /// When a file of them is closed.
    pub buffer: BufferHints,
    /// The names of their fields.
    pub envelope: Envelope,
}

/// When a file is closed: whatever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferHints {
    /// Bytes as stored.
    pub size_bytes: u64,
    /// Age since the first record.
    pub interval: Duration,
}

/// A folder in an object store or in the file system.
#[derive(Clone, PartialEq)]
pub struct ObjectSink {
    /// `file:///…`, `s3://bucket/prefix/`, `gs://…`, `az://…`.
    pub url: Url,
    /// The store's own settings by the names that `object_store` knows them (`aws_endpoint`, `aws_region`,
    /// `aws_access_key_id`, …). May hold secrets: never printed.
    pub options: BTreeMap<String, String>,
    /// Objects larger than this are stored in parts.
    pub multipart_bytes: u64,
}

impl fmt::Debug for ObjectSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.options.keys().collect();
        f.debug_struct("ObjectSink")
            .field("url", &self.url.as_str())
            .field("options", &options)
            .finish_non_exhaustive()
    }
}

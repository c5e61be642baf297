//! The files as they are written. Everything is optional here: what is missing or wrong is reported by the checks,
//! all at once, and not by the first failure of a deserialiser. The comments are the descriptions that editors show
//! (see [`super::json_schema`]).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_access::AccessTable;
use super::check_access_key::AccessKeyTable;
use super::check_api_key::ApiKeyTable;
use super::check_auth::AuthTable;
use super::check_authorizer::AuthorizerTable;
use super::check_aws::AwsTable;
use super::check_backup::BackupTable;
use super::check_basic_user::BasicUserTable;
use super::check_cache::CacheTable;
use super::check_client_certificate::ClientCertificateTable;
use super::check_cluster::ClusterTable;
use super::check_cors::CorsTable;
use super::check_dead_letters::DeadLettersTable;
use super::check_fan_out::TransactionTable;
use super::check_function::FunctionTable;
use super::check_jwt::JwtIssuerTable;
use super::check_kafka::KafkaTable;
use super::check_limit::{LimitTable, LimitsTable};
use super::check_listener::{ListenerTable, TlsTable};
use super::check_logs::{AccessLogTable, AuditLogTable};
use super::check_mapping::AddTable;
use super::check_rule::{RuleTable, ScreeningTable};
use super::check_stage::StageTable;
use super::check_stream_log::TopicTable;
use super::check_telemetry::TelemetryTable;
use super::check_webhook::WebhookTable;
use super::limits;
use super::secret::Secret;
use crate::schema::columns::COLUMN_LEAVES_MAX;

/// A pipeline: one stream, how records come in, and where they are delivered.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Forebay pipeline")]
pub struct PipelineFile {
    /// The stream that records are appended to.
    #[schemars(required)]
    pub stream: Option<StreamTable>,
    /// How records come in.
    pub ingest: Option<IngestTable>,
    /// Where records are delivered. Each delivery has its own files, its own pace and its own dead letters.
    pub delivery: Option<Vec<DeliveryTable>>,
    /// Other ways in to the same stream, each with settings of its own.
    pub stage: Option<Vec<StageTable>>,
    /// The columns of Parquet files. Without it they are derived from the JSON Schema of `[ingest]`.
    pub schema: Option<SchemaTable>,
    /// Which addresses clients of the stream may come from, besides what the node says.
    pub access: Option<AccessTable>,
}

/// `[stream]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StreamTable {
    /// Name in URLs and paths: 1 to 128 of `a-z A-Z 0-9 _ . -`, not beginning with a point. Unique over all files.
    #[schemars(required, example = &"clickstream")]
    pub name: Option<String>,
    /// Number of shards. Order is kept within each. Default: 1.
    #[schemars(range(min = 1, max = limits::SHARDS_MAX), example = 4)]
    pub shards: Option<i64>,
    /// A topic of Kafka that is the log of the stream: each of its partitions is a shard, and many nodes may append to it
    /// and read it. `shards`, if it is given, must be the number of its partitions; `durability`, `retention` and
    /// `idempotency_window` are not to be given. Default: the log is on this machine.
    pub log: Option<TopicTable>,
    /// A topic of Kafka that others fill, in the place of `log`: nothing can be put into the stream.
    pub source: Option<TopicTable>,
    /// What an ack means. `fsync`: the record is on stable storage. `os`: it is with the operating system and
    /// survives the end of the process, but not that of the machine. `memory`: it is in this process's memory and is
    /// lost with the process. Default: `fsync`.
    #[schemars(extend("enum" = ["fsync", "os", "memory"]), example = &"fsync")]
    pub durability: Option<String>,
    /// How long a record stays readable. Default: `24h`.
    #[schemars(example = &"24h")]
    pub retention: Option<String>,
    /// How many payload bytes of the stream stay readable, besides what a delivery still needs; each shard has an even
    /// part of them. Default: as many as `retention`, and with durability `memory` the memory budget, allows.
    #[schemars(example = &"64MiB")]
    pub retention_bytes: Option<String>,
    /// How long an `Idempotency-Key` is remembered: a request that comes again within it gets the first answer again
    /// and no second copy. `0s` remembers none, `24h` is the most. Default: `10m`.
    #[schemars(example = &"10m")]
    pub idempotency_window: Option<String>,
    /// Quotas of a shard: `none`, or `kinesis`, which are those of Kinesis Data Streams, to rehearse for it: 1 MiB and
    /// 1,000 records in and 2 MiB out a second, and five reads. Default: `none`.
    #[schemars(extend("enum" = ["none", "kinesis"]), example = &"kinesis")]
    pub quotas: Option<String>,
}

/// `[ingest]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IngestTable {
    /// Where the partition key comes from, which decides a record's shard: a JSON pointer into the record such as
    /// `/client_ip`, `header:NAME`, `query:NAME`, or `random`. Default: `random`.
    #[schemars(example = &"/client_ip")]
    pub partition_key: Option<String>,
    /// JSON Schema file that records must fit, relative to this file; or `infer`: the columns of Parquet and ORC files are
    /// learned from the records (a file of that name is written `./infer`).
    #[schemars(example = &"clickstream.schema.json")]
    pub schema: Option<String>,
    /// What becomes of a record that breaks the schema: `reject` refuses it with its reason, `dead_letter` accepts it
    /// into the dead letters of each delivery. Default: `reject`.
    #[schemars(extend("enum" = ["reject", "dead_letter"]), example = &"reject")]
    pub on_invalid: Option<String>,
    /// What records may be: `json` values, each of which is checked, or `any` bytes, which nobody looks at before the
    /// deliveries do. Default: `json`.
    #[schemars(extend("enum" = ["json", "any"]), example = &"json")]
    pub content: Option<String>,
    /// Largest record. Default: `1MiB`, or `max_body` of the node where that is less.
    #[schemars(example = &"1MiB")]
    pub max_record: Option<String>,
    /// Whether `GET …/pixel.gif?…` and `GET` or `POST …/event?…` make a record of the parameters. Default: false.
    #[schemars(example = true)]
    pub pixel: Option<bool>,
    /// Facts of the request that are added to each of its records. Default: none.
    pub add: Option<AddTable>,
    /// How much may come in and, by `tap`, go out. Default: any amount.
    pub limit: Option<LimitTable>,
}

/// `[[delivery]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryTable {
    /// Unique within the pipeline; same alphabet as a stream's name.
    #[schemars(required, example = &"lake")]
    pub name: Option<String>,
    /// Where the files go. Default: the folder `lake/STREAM/DELIVERY/` in the node's `data_dir`.
    pub sink: Option<SinkTable>,
    /// What the files are: `json` lines, the bytes of the records as they came (`raw`), `parquet` or `orc`. Default:
    /// `json`.
    #[schemars(extend("enum" = ["json", "raw", "parquet", "orc"]), example = &"parquet")]
    pub format: Option<String>,
    /// JSON and raw: `gzip` (default), `zstd`, `snappy` (its own framing), `hadoop_snappy` or `none`. Parquet: `snappy`
    /// (default), `zstd`, `gzip`, `lz4` or `none`. ORC: `snappy` (default), `zlib`, `zstd`, `lz4` or `none`.
    #[schemars(
        extend("enum" = ["gzip", "zstd", "snappy", "hadoop_snappy", "zlib", "lz4", "none"]),
        example = &"snappy"
    )]
    pub compression: Option<String>,
    /// Level of the codec: gzip 1 to 12 in JSON lines and raw files (default 1) and 1 to 9 in Parquet (default 6), zlib 1 to 12
    /// (default 1), zstd 1 to 22 (default 1).
    #[schemars(range(min = 1, max = 22), example = 6)]
    pub compression_level: Option<i64>,
    /// JSON only: whether a line holds the record's arrival time, partition key, shard and sequence number beside the
    /// record. Default: false, the record alone.
    #[schemars(example = true)]
    pub envelope: Option<bool>,
    /// Raw only: what stands behind each record, a line feed (`newline`) or nothing (`none`). Default: `newline`.
    #[schemars(extend("enum" = ["newline", "none"]), example = &"newline")]
    pub delimiter: Option<String>,
    /// Ending of a file's name: a point, and then any of `0-9 a-z ! - _ . * ' ( )`. Dead letters keep theirs. Default:
    /// that of the format and the codec, such as `.json.gz`.
    #[schemars(example = &".jsonl")]
    pub extension: Option<String>,
    /// Parquet only: encoded size of a row group, from `1MiB` to `256MiB`. Default: `16MiB`.
    #[schemars(example = &"16MiB")]
    pub row_group: Option<String>,
    /// Parquet only: columns that the rows of a row group are sorted by, `-` before those whose largest value comes first.
    #[schemars(extend("examples" = [["client_ip", "-at"]]))]
    pub sort_by: Option<Vec<String>>,
    /// ORC only: encoded size of a stripe, from `1MiB` to `256MiB`. Default: `16MiB`.
    #[schemars(example = &"16MiB")]
    pub stripe: Option<String>,
    /// ORC only: rows of an entry of the row index. Default: 10000.
    #[schemars(range(min = 1, max = limits::ROW_INDEX_STRIDE_MAX), example = 10_000)]
    pub row_index_stride: Option<i64>,
    /// Parquet and ORC: columns that get a bloom filter, for readers that look for single values.
    #[schemars(extend("examples" = [["client_ip", "pos.zone"]]))]
    pub bloom_filters: Option<Vec<String>>,
    /// When a file is closed: by size or by age, whatever comes first.
    pub buffer: Option<BufferTable>,
    /// Folder of a file below the sink. Fields: `{arrival_time:%Y-%m-%d}` and `{event_time:%H}` with any strftime
    /// format, a JSON pointer such as `{/tenant/id}`, with functions as in `{/tenant/id|lower|default(none)}` (`lower`,
    /// `upper`, `truncate(N)`, `hash(N)`, `default(TEXT)`), `{stream}`, `{shard}`, `{delivery}`; `{{` and `}}` for
    /// braces; and Amazon Data Firehose's `!{timestamp:yyyy/MM/dd}`, `!{partitionKeyFromQuery:NAME}` and
    /// `!{firehose:random-string}`. Default: `dt={arrival_time:%Y-%m-%d}/hour={arrival_time:%H}/`.
    #[schemars(example = &"dt={event_time:%Y-%m-%d}/hour={event_time:%H}/")]
    pub prefix: Option<String>,
    /// The same for dead letters, with `{reason}` for the reason's code (`!{firehose:error-output-type}` for
    /// Firehose's), and without fields of the record. Default: `errors/{reason}/`.
    #[schemars(example = &"errors/{reason}/dt={arrival_time:%Y-%m-%d}/")]
    pub error_prefix: Option<String>,
    /// Time zone of all times in prefixes: a name of the IANA database. Default: `UTC`.
    #[schemars(example = &"Europe/Berlin")]
    pub time_zone: Option<String>,
    /// What `!{partitionKeyFromQuery:NAME}` and `!{partitionKeyFromLambda:NAME}` stand for, by name: a JSON pointer, with
    /// functions perhaps.
    #[schemars(extend("examples" = [{ "customer_id": "/customer/id" }]))]
    pub partition_keys: Option<BTreeMap<String, String>>,
    /// More about dead letters: their own buffer, and how they are written.
    pub dead_letters: Option<DeadLettersTable>,
    /// A second delivery of the records as they came, in files of its own. Its name is that of the delivery with
    /// `-backup` behind it.
    pub backup: Option<BackupTable>,
    /// JSON pointer to the field that `{event_time}` reads: an RFC 3339 string, or seconds, milliseconds or
    /// microseconds since 1970 as an integer.
    #[schemars(example = &"/timestamp")]
    pub event_time: Option<String>,
    /// How far a record's event time may lie behind its arrival; one that is later goes to `late_prefix`, which must be
    /// given, too. Default: records are never late.
    #[schemars(example = &"1h")]
    pub allowed_lateness: Option<String>,
    /// Folder of late records, with the fields of `prefix`.
    #[schemars(example = &"late/dt={event_time:%Y-%m-%d}/")]
    pub late_prefix: Option<String>,
    /// How far a record's event time may lie ahead of its arrival; one that is further ahead is a dead letter. Default:
    /// any time is taken.
    #[schemars(example = &"10m")]
    pub max_future: Option<String>,
    /// Files that are open at a time, dead letters not counted; for one more, the least recently used is closed.
    /// Default: 500.
    #[schemars(range(min = 1, max = limits::OPEN_PARTITIONS_MAX), example = 500)]
    pub max_open_partitions: Option<i64>,
}

/// `sink` of a delivery: `url`, `path` or `kafka`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SinkTable {
    /// `s3://BUCKET/PREFIX/`, `gs://BUCKET/PREFIX/`, `az://CONTAINER/PREFIX/` or `file:///FOLDER/`.
    #[schemars(example = &"s3://lake/clickstream/")]
    pub url: Option<String>,
    /// A folder in the file system; a relative one counts from the working folder.
    #[schemars(example = &"data/lake/clickstream")]
    pub path: Option<String>,
    /// Endpoint of an S3-compatible store. Default: `AWS_ENDPOINT_URL` of the environment, or AWS itself.
    #[schemars(example = &"http://127.0.0.1:9000")]
    pub endpoint: Option<String>,
    /// Region of the bucket. Default: `AWS_REGION` or `AWS_DEFAULT_REGION` of the environment.
    #[schemars(example = &"eu-central-1")]
    pub region: Option<String>,
    /// Access key. Default: `AWS_ACCESS_KEY_ID` of the environment, or the machine's own role.
    #[schemars(example = &"${LAKE_KEY_ID}")]
    pub access_key_id: Option<Secret>,
    /// Its secret. Default: `AWS_SECRET_ACCESS_KEY` of the environment.
    #[schemars(example = &"${LAKE_SECRET}")]
    pub secret_access_key: Option<Secret>,
    /// Whether the bucket stands in the path (true) or in the host name. Default: true where an endpoint is given.
    #[schemars(example = true)]
    pub path_style: Option<bool>,
    /// Whether plain HTTP is allowed. Default: true where the endpoint begins with `http://`.
    #[schemars(example = true)]
    pub allow_http: Option<bool>,
    /// Objects larger than this are uploaded in parts. Default: `16MiB`.
    #[schemars(example = &"16MiB")]
    pub multipart: Option<String>,
    /// A Kafka cluster that records go into, one message each: the name of a `[[kafka]]` of `forebay.toml`, or its brokers
    /// in clear text. All further keys are for it.
    #[schemars(example = &"main")]
    pub kafka: Option<String>,
    /// The topic, with the fields of a prefix but `{event_time}`: `{/tenant}` for a field of the record, `{stream}`,
    /// `{shard}`, `{delivery}`, `{arrival_time:%Y}`. What a topic's name may not have becomes `_`.
    #[schemars(example = &"clicks-{/tenant}")]
    pub topic: Option<String>,
    /// Topics that are in use at a time; a record that would need one more is a dead letter. Default: 1000.
    #[schemars(range(min = 1, max = limits::FAN_OUT_TOPICS_MAX), example = 1_000)]
    pub max_topics: Option<i64>,
    /// The key of a message: `partition_key`, a JSON pointer into the record, or `none`. Default: `partition_key`.
    #[schemars(example = &"partition_key")]
    pub key: Option<String>,
    /// Which partition a message goes to: `murmur2` by its key, as the default producer of Java does it; `stream` by the
    /// partition key, as streams choose a shard; `shard`, the shard's number; or a JSON pointer to a number, of which the
    /// remainder is taken. Default: `murmur2`.
    #[schemars(example = &"murmur2")]
    pub partitioner: Option<String>,
    /// What headers tell: `stream`, `shard`, `sequence_number`, `arrival_time`, and `principal`, which `[ingest] add` must
    /// put into the records. Default: the first four.
    #[schemars(extend("examples" = [["shard", "sequence_number"]]))]
    pub headers: Option<Vec<String>>,
    /// How messages are compressed: `none`, `gzip`, `snappy`, `lz4` or `zstd`. Default: `none`.
    #[schemars(extend("enum" = ["none", "gzip", "snappy", "lz4", "zstd"]), example = &"zstd")]
    pub compression: Option<String>,
    /// Level of the codec: gzip 1 to 9, lz4 and zstd 1 to 12. Default: the codec's own.
    #[schemars(range(min = 1, max = 12), example = 3)]
    pub compression_level: Option<i64>,
    /// `exactly_once` by transactions, for readers of committed messages; or `at_least_once` without. Default:
    /// `exactly_once`.
    #[schemars(extend("enum" = ["exactly_once", "at_least_once"]), example = &"exactly_once")]
    pub guarantee: Option<String>,
    /// The compacted topic that has the positions of deliveries; it is made where it is missing. Default:
    /// `forebay.progress`.
    #[schemars(example = &"forebay.progress")]
    pub progress_topic: Option<String>,
    /// When a transaction is committed.
    pub transaction: Option<TransactionTable>,
}

/// `buffer` of a delivery.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BufferTable {
    /// Size of a file as stored. Default: `64MiB`, or a quarter of the node's `memory_budget` where that is less.
    #[schemars(example = &"64MiB")]
    pub size: Option<String>,
    /// Age of a file since its first record. Default: `60s`.
    #[schemars(example = &"60s")]
    pub interval: Option<String>,
}

/// `[schema]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SchemaTable {
    /// The columns, in the order of the file. Needed unless `[ingest] schema` is `infer`.
    pub columns: Option<Vec<ColumnTable>>,
    /// With `schema = "infer"`, what becomes of a value that its column cannot be widened for. `widen`: the column becomes
    /// `json` (one of times `string`). `suffix`: a second column takes it. `string`: the column becomes `string` and
    /// takes the text of any value. `dead_letter`: its record is a dead letter. `reject`: its record is refused at the
    /// edge. Default: `widen`.
    #[schemars(extend("enum" = ["reject", "dead_letter", "widen", "suffix", "string"]), example = &"widen")]
    pub on_conflict: Option<String>,
    /// With `schema = "infer"`, scalar columns that are learned at most; a record that would need more is a dead letter.
    /// Default: 1000.
    #[schemars(range(min = 1, max = COLUMN_LEAVES_MAX), example = 1_000)]
    pub max_columns: Option<i64>,
}

/// One of `columns`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnTable {
    /// The name of the column, and of the record's field unless `key` names that.
    #[schemars(required, example = &"price")]
    pub name: Option<String>,
    /// `bool`, `int8` to `int64`, `uint8` to `uint64`, `float32`, `float64`, `decimal(p, s)`, `string`, `binary`,
    /// `date`, `timestamp_seconds`, `_millis`, `_micros` or `_nanos`, `list<T>`, `map<string, T>`,
    /// `struct<name: T, …>`, or `json` for the value's text.
    #[serde(rename = "type")]
    #[schemars(required, example = &"decimal(12, 2)")]
    pub type_text: Option<String>,
    /// Whether the field may be null or missing. Default: true.
    #[schemars(example = false)]
    pub nullable: Option<bool>,
    /// The record's field, where the column is called otherwise. Default: `name`.
    #[schemars(example = &"user-id")]
    pub key: Option<String>,
    /// Which values are taken: `strict` takes those of the type's own kind, `lenient` also those of another kind that
    /// say the same, such as a number in a string. Default: `strict`.
    #[schemars(extend("enum" = ["strict", "lenient"]), example = &"lenient")]
    pub coerce: Option<String>,
    /// The unit of numbers that stand for timestamps. Default: the unit of the type.
    #[schemars(extend("enum" = ["seconds", "millis", "micros", "nanos"]), example = &"millis")]
    pub epoch: Option<String>,
}

/// The node: `forebay.toml`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Forebay node")]
pub struct NodeFile {
    /// Name of the node, in the alphabet of a stream's name. A folder that belongs to a node of another name is then
    /// refused. Default: the folder is taken whatever its node is called.
    #[schemars(example = &"node-1")]
    pub node: Option<String>,
    /// Folder of the node's state; a relative one counts from the working folder. Default: `./data`.
    #[schemars(example = &"./data")]
    pub data_dir: Option<String>,
    /// Bytes of records that the process holds at most. Default: `256MiB`.
    #[schemars(example = &"256MiB")]
    pub memory_budget: Option<String>,
    /// How the log of durable streams is written.
    pub log: Option<LogTable>,
    /// The listeners and their bounds.
    pub server: Option<ServerTable>,
    /// Answers that are kept for a while, and given again to those who ask for the same. Default: none are.
    pub cache: Option<CacheTable>,
    /// One line of JSON a request. Default: none is written.
    pub access_log: Option<AccessLogTable>,
    /// One line of JSON for each identity that is refused, and for each change that somebody asks for.
    pub audit_log: Option<AuditLogTable>,
    /// What is told to collectors of traces and metrics.
    pub telemetry: Option<TelemetryTable>,
    /// Where producers and consumers come in besides `[server] listen`.
    pub listener: Option<Vec<ListenerTable>>,
    /// Which addresses clients may come from.
    pub access: Option<AccessTable>,
    /// Rules about requests, asked in their order before anybody asks who has sent one: the first that allows or blocks
    /// it is the last.
    pub rule: Option<Vec<RuleTable>>,
    /// Rules that are there already.
    pub screening: Option<ScreeningTable>,
    /// Which proofs of identity count for what.
    pub auth: Option<AuthTable>,
    /// How much may come in and go out, of everybody together and of each client.
    pub limits: Option<LimitsTable>,
    /// Clients that send a secret along.
    pub api_key: Option<Vec<ApiKeyTable>>,
    /// Clients that show a name and a password.
    pub basic_user: Option<Vec<BasicUserTable>>,
    /// Clients that sign bodies.
    pub webhook: Option<Vec<WebhookTable>>,
    /// A service that says who requests are from.
    pub authorizer: Option<AuthorizerTable>,
    /// Clients that show a certificate.
    pub client_certificate: Option<Vec<ClientCertificateTable>>,
    /// Issuers of JSON Web Tokens that are taken.
    pub jwt_issuer: Option<Vec<JwtIssuerTable>>,
    /// The Kinesis and Firehose APIs.
    pub aws: Option<AwsTable>,
    /// Who may use them.
    pub access_key: Option<Vec<AccessKeyTable>>,
    /// Many nodes over streams that are in Kafka. Default: the node is alone.
    pub cluster: Option<ClusterTable>,
    /// What records of delivery streams may go through: what a Lambda processor of the Firehose API names.
    pub function: Option<Vec<FunctionTable>>,
    /// Kafka clusters, by the names that pipelines call them.
    pub kafka: Option<Vec<KafkaTable>>,
}

/// `[log]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogTable {
    /// Size of a file of the log, from `4MiB` to `1GiB`, a multiple of 4 KiB and at least twice `max_body`. Its space
    /// is taken when it is begun. Default: `64MiB`, or twice `max_body` where that is more.
    #[schemars(example = &"64MiB")]
    pub segment: Option<String>,
    /// What writes the log: `io_uring`, a plain `thread`, or `auto` for io_uring where the kernel has it. Default:
    /// `auto`.
    #[schemars(extend("enum" = ["auto", "io_uring", "thread"]), example = &"auto")]
    pub writer: Option<String>,
}

/// `[server]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTable {
    /// Address for producers and consumers. Default: `127.0.0.1:8080`.
    #[schemars(example = &"127.0.0.1:8080")]
    pub listen: Option<String>,
    /// Certificates of `listen`. Default: nothing is encrypted.
    pub tls: Option<TlsTable>,
    /// Whether each connection to `listen` begins with a PROXY header, version 2. Default: false.
    #[schemars(example = true)]
    pub proxy_protocol: Option<bool>,
    /// Proxies whose `X-Forwarded-For` is believed: addresses and networks. Default: none.
    #[schemars(extend("examples" = [["10.0.0.0/8"]]))]
    pub trusted_proxies: Option<Vec<String>>,
    /// Address of metrics and health. Default: `127.0.0.1:9090`.
    #[schemars(example = &"127.0.0.1:9090")]
    pub admin: Option<String>,
    /// Threads of the edge. Default: one a core.
    #[schemars(range(min = 1, max = limits::THREADS_MAX), example = 2)]
    pub threads: Option<i64>,
    /// Open connections. Default: 20000.
    #[schemars(range(min = 1, max = limits::CONNECTIONS_MAX), example = 20_000)]
    pub max_connections: Option<i64>,
    /// Open connections of one client address; of IPv6 a /64 counts as one. Proxies that are trusted may have any number.
    /// Default: no bound.
    #[schemars(range(min = 1, max = limits::CONNECTIONS_MAX), example = 100)]
    pub max_connections_per_address: Option<i64>,
    /// Requests after which a connection is closed. Default: no bound.
    #[schemars(range(min = 1, max = limits::CONNECTION_REQUESTS_MAX), example = 10_000)]
    pub max_requests_per_connection: Option<i64>,
    /// Bytes of a request's line and headers. Default: `16KiB`.
    #[schemars(example = &"16KiB")]
    pub max_header: Option<String>,
    /// Bytes of a request's body, decompressed. Default: `10MiB`, or a quarter of `memory_budget` where that is less.
    #[schemars(example = &"10MiB")]
    pub max_body: Option<String>,
    /// Time from a request's first byte to the end of its headers. Default: `10s`.
    #[schemars(example = &"10s")]
    pub header_timeout: Option<String>,
    /// Time for the whole body to come in. Default: `30s`.
    #[schemars(example = &"30s")]
    pub body_timeout: Option<String>,
    /// Time that a connection is kept open with nothing on it. Default: `75s`.
    #[schemars(example = &"75s")]
    pub idle_timeout: Option<String>,
    /// Time that a shutdown may take to deliver what is pending. Default: `25s`.
    #[schemars(example = &"25s")]
    pub drain_timeout: Option<String>,
    /// Whose `X-Request-Id` becomes the id of a request: `proxies` that are trusted, `everybody`, or `nobody`. Default:
    /// `proxies`.
    #[schemars(extend("enum" = ["proxies", "everybody", "nobody"]), example = &"proxies")]
    pub request_ids: Option<String>,
    /// Cross-origin rules for browsers. Default: browsers of other origins are refused.
    pub cors: Option<CorsTable>,
}

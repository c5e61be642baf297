//! `sink` of a delivery, as it is written: a store of objects, a folder, or topics of Kafka.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::check_fan_out::TransactionTable;
use crate::config::limits;
use crate::config::secret::Secret;

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

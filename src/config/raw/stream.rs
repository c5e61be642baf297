//! `[stream]` and `[ingest]` of a pipeline, as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::check_limit::LimitTable;
use crate::config::check_mapping::AddTable;
use crate::config::check_stream_log::TopicTable;
use crate::config::limits;

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

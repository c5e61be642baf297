//! `[[delivery]]` of a pipeline, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::sink::SinkTable;
use crate::config::check_backup::BackupTable;
use crate::config::check_dead_letters::DeadLettersTable;
use crate::config::limits;

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

//! Where the records of a stream are, if that is not this machine: `log` and `source` of `[stream]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_kafka::{KafkaCluster, check_kafka};
use super::check_kafka_compression::check_compression;
use super::checked::KafkaCompression;
use super::checker::Checker;
use super::raw::{PipelineFile, StreamTable};

/// Characters of a topic's name, by the rules of Kafka.
const TOPIC_CHARS_MAX: usize = 249;

/// `log` or `source` of a stream: a topic.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TopicTable {
    /// The name of a `[[kafka]]` of the node's file, or brokers: `HOST:PORT,HOST:PORT`.
    #[schemars(required, example = &"main")]
    pub kafka: Option<String>,
    /// The topic. It must be there: each of its partitions is a shard.
    #[schemars(required, example = &"events")]
    pub topic: Option<String>,
    /// Of `log`: how messages are compressed: `none`, `gzip`, `snappy`, `lz4` or `zstd`. Default: `none`.
    #[schemars(extend("enum" = ["none", "gzip", "snappy", "lz4", "zstd"]), example = &"zstd")]
    pub compression: Option<String>,
    /// Level of the codec: gzip 1 to 9, lz4 and zstd 1 to 12. Default: the codec's own.
    #[schemars(range(min = 1, max = 12), example = 3)]
    pub compression_level: Option<i64>,
}

/// Where the records of a stream are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogPlace {
    /// In this process, or on its disk: what `durability` says.
    #[default]
    Local,
    /// In a topic.
    Kafka(Box<KafkaLog>),
}

/// A topic that is the log of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaLog {
    /// Its cluster.
    pub cluster: KafkaCluster,
    /// Its name.
    pub topic: String,
    /// Whether others put the records there, and nothing is appended.
    pub is_source: bool,
    /// How many partitions it must have, if the pipeline says so.
    pub partitions: Option<u32>,
    /// How messages that are appended are compressed.
    pub compression: KafkaCompression,
    /// The level of that, if it is given.
    pub compression_level: Option<i32>,
}

impl LogPlace {
    /// The topic, if it is one.
    pub fn kafka(&self) -> Option<&KafkaLog> {
        match self {
            LogPlace::Local => None,
            LogPlace::Kafka(log) => Some(log),
        }
    }
}

/// `log` and `source`; `None` where a problem was added. `clusters` are missing where the node's file has problems of its
/// own. What has no meaning beside them is a problem.
pub(super) fn check_log_place(
    raw: &StreamTable,
    clusters: Option<&[KafkaCluster]>,
    checker: &mut Checker<'_>,
) -> Option<LogPlace> {
    let (key, table, is_source) = match (&raw.log, &raw.source) {
        (None, None) => return Some(LogPlace::Local),
        (Some(log), None) => ("log", log, false),
        (None, Some(source)) => ("source", source, true),
        (Some(_), Some(_)) => {
            let message = "a stream has a log or a source, and not both";
            checker.problem_with_help(
                "stream.source",
                message,
                "write log for a topic that this stream is appended to, or source for one that others fill",
            );
            return None;
        }
    };
    let before = checker.problems.len();
    refuse_local_settings(raw, key, checker);
    let path = format!("stream.{key}");
    let compression = match is_source {
        true => refuse_compression(table, &path, checker).then_some((KafkaCompression::None, None)),
        false => check_compression((table.compression.as_deref(), table.compression_level), &path, checker),
    };
    let help = format!("write {key} = {{ kafka = \"main\", topic = \"events\" }}");
    let cluster = checker.required(&format!("{path}.kafka"), table.kafka.clone(), &help);
    let topic = checker.required(&format!("{path}.topic"), table.topic.clone(), &help);
    let topic = topic.filter(|topic| is_topic(topic, &format!("{path}.topic"), checker));
    let cluster = cluster.and_then(|text| check_kafka(&text, &format!("{path}.kafka"), clusters?, checker));
    let partitions = raw.shards.and_then(|shards| u32::try_from(shards).ok());
    let (cluster, topic) = (cluster?, topic?);
    let (compression, compression_level) = compression?;
    let log = KafkaLog { cluster, topic, is_source, partitions, compression, compression_level };
    (checker.problems.len() == before).then(|| LogPlace::Kafka(Box::new(log)))
}

/// What is only about messages that are appended, of a topic that others fill. Returns whether there is none of it.
fn refuse_compression(table: &TopicTable, path: &str, checker: &mut Checker<'_>) -> bool {
    let keys = [
        ("compression", table.compression.is_some()),
        ("compression_level", table.compression_level.is_some()),
    ];
    let mut is_refused = false;
    for (key, _) in keys.into_iter().filter(|(_, is_given)| *is_given) {
        checker.problem_with_help(
            &format!("{path}.{key}"),
            format!("{key} has no meaning with source = {{ kafka = … }}: nothing is put into the stream"),
            "leave it out: whatever compression others have chosen is read",
        );
        is_refused = true;
    }
    !is_refused
}

/// Whether a topic may be called so.
fn is_topic(topic: &str, path: &str, checker: &mut Checker<'_>) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_right = (1..=TOPIC_CHARS_MAX).contains(&topic.len())
        && !matches!(topic, "." | "..")
        && topic.bytes().all(allowed);
    if !is_right {
        let quoted = checker.quote(path, topic);
        let message = format!("topic = {quoted} is no name of a topic");
        checker.problem_with_help(path, message, "write 1 to 249 of a-z A-Z 0-9 _ . -");
    }
    is_right
}

/// What only a log of this machine can do.
fn refuse_local_settings(raw: &StreamTable, key: &str, checker: &mut Checker<'_>) {
    let settings = [
        (
            "durability",
            raw.durability.is_some(),
            "leave it out: an ack means that every replica in sync has the record, and min.insync.replicas of the topic \
             says how many these are at least",
        ),
        ("retention", raw.retention.is_some(), "leave it out, and set retention.ms of the topic"),
        (
            "retention_bytes",
            raw.retention_bytes.is_some(),
            "leave it out, and set retention.bytes of the topic",
        ),
        (
            "idempotency_window",
            raw.idempotency_window.is_some(),
            "leave it out: no edge knows what another one has answered, so requests with an Idempotency-Key are refused",
        ),
        (
            "quotas",
            raw.quotas.as_deref().is_some_and(|quotas| quotas != "none"),
            "leave it out: a shard is written to by others as well, whom nobody here can count",
        ),
    ];
    for (name, _, help) in settings.into_iter().filter(|(_, is_given, _)| *is_given) {
        checker.problem_with_help(
            &format!("stream.{name}"),
            format!("{name} has no meaning with {key} = {{ kafka = … }}"),
            help,
        );
    }
}

/// What is only about records that are put here, of a stream that nothing is put into.
pub(super) fn refuse_intake_settings(raw: &PipelineFile, checker: &mut Checker<'_>) {
    if raw.stream.as_ref().is_none_or(|stream| stream.source.is_none()) {
        return;
    }
    let ingest = raw.ingest.clone().unwrap_or_default();
    let settings = [
        ("ingest.partition_key", ingest.partition_key.is_some()),
        ("ingest.on_invalid", ingest.on_invalid.is_some()),
        ("ingest.pixel", ingest.pixel.is_some()),
        ("ingest.add", ingest.add.is_some()),
        ("stage[0]", raw.stage.as_ref().is_some_and(|stages| !stages.is_empty())),
    ];
    for (path, _) in settings.into_iter().filter(|(_, is_given)| *is_given) {
        let name = path.rsplit('.').next().unwrap_or(path);
        checker.problem_with_help(
            path,
            format!("{name} has no meaning with source = {{ kafka = … }}: nothing is put into the stream"),
            "leave it out: records that are no JSON or break the schema go to the dead letters of each delivery",
        );
    }
}

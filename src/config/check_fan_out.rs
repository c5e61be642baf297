//! `[[delivery]]` whose `sink` names a Kafka cluster: raw → checked.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_delivery::Surroundings;
use super::check_kafka::check_kafka;
use super::check_kafka_compression::check_compression;
use super::checked::{
    Add, Fact, FanOut, Guarantee, Ingest, KafkaSink, MessageHeader, MessageKey, Partitioner,
};
use super::checker::Checker;
use super::limits;
use super::raw::{DeliveryTable, SinkTable};
use crate::delivery::fan_out::topic::{TopicTemplate, check_topic_name};
use crate::json::Pointer;

/// `transaction` of a Kafka sink.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransactionTable {
    /// Age at which a transaction is committed: what readers of committed records wait for at most, besides the commit
    /// itself. Default: `100ms`.
    #[schemars(example = &"100ms")]
    pub interval: Option<String>,
    /// Payload bytes at which it is committed. Default: `16MiB`, or an eighth of the node's `memory_budget` where that
    /// is less.
    #[schemars(example = &"16MiB")]
    pub size: Option<String>,
}

const TOPIC_HELP: &str = "write topic = \"events\", or one with fields of the record: \"clicks-{/tenant}\"";
const PROGRESS_TOPIC_DEFAULT: &str = "forebay.progress";

/// Keys of a delivery that are about files.
const FILE_KEYS: [&str; 21] = [
    "format",
    "compression",
    "compression_level",
    "envelope",
    "delimiter",
    "extension",
    "row_group",
    "sort_by",
    "stripe",
    "row_index_stride",
    "bloom_filters",
    "buffer",
    "prefix",
    "error_prefix",
    "time_zone",
    "partition_keys",
    "backup",
    "event_time",
    "allowed_lateness",
    "late_prefix",
    "max_future",
];
/// The same, with those in tables of their own.
const MORE_FILE_KEYS: [&str; 12] = [
    "max_open_partitions",
    "dead_letters.prefix",
    "dead_letters.buffer",
    "dead_letters.envelope",
    "sink.url",
    "sink.path",
    "sink.endpoint",
    "sink.region",
    "sink.access_key_id",
    "sink.secret_access_key",
    "sink.path_style",
    "sink.allow_http",
];
/// Keys of a sink that are about Kafka.
const KAFKA_KEYS: [&str; 11] = [
    "topic",
    "max_topics",
    "key",
    "partitioner",
    "headers",
    "compression",
    "compression_level",
    "guarantee",
    "progress_topic",
    "transaction",
    "kafka",
];

/// Whether the delivery at `path` goes into Kafka.
pub(super) fn is_fan_out(path: &str, checker: &Checker<'_>) -> bool {
    checker.document.has(&format!("{path}.sink.kafka"))
}

/// Refuses what is for Kafka in a delivery of files. Returns whether there is any.
pub(super) fn refuse_kafka_keys(path: &str, checker: &mut Checker<'_>) -> bool {
    let sink = KAFKA_KEYS.iter().map(|key| format!("sink.{key}"));
    let keys: Vec<_> = sink.chain(["dead_letters.topic".to_owned()]).collect();
    refuse(keys.iter().map(String::as_str), path, "is for a sink with kafka only", checker)
}

fn refuse<'a>(keys: impl Iterator<Item = &'a str>, path: &str, why: &str, checker: &mut Checker<'_>) -> bool {
    let mut is_refused = false;
    for key in keys {
        let place = format!("{path}.{key}");
        if checker.document.has(&place) {
            checker.problem(&place, format!("{key} {why}"));
            is_refused = true;
        }
    }
    is_refused
}

/// The delivery into Kafka at `path`; `None` where a problem was added.
pub(super) fn check_fan_out(
    raw: DeliveryTable,
    path: &str,
    (around, ingest): (&Surroundings<'_>, Option<&Ingest>),
    checker: &mut Checker<'_>,
) -> Option<FanOut> {
    let name = checker.name(&format!("{path}.name"), raw.name, "write name = \"bus\" or another name");
    let keys = FILE_KEYS.iter().chain(&MORE_FILE_KEYS).chain(&["sink.multipart"]).copied();
    let is_refused = refuse(keys, path, "is for files, and this delivery goes into Kafka", checker);
    let sink_path = format!("{path}.sink");
    let sink = raw.sink.unwrap_or_default();
    let sink = check_sink(sink, &sink_path, (around, ingest), checker);
    let given = raw.dead_letters.and_then(|table| table.topic);
    let dead_path = format!("{path}.dead_letters.topic");
    let dead_topic = match given {
        Some(topic) => check_topic(topic, &dead_path, checker),
        None => dead_topic_of(sink.as_ref(), (around.stream, name.as_deref()), &dead_path, checker),
    };
    let (name, sink, dead_topic) = (name?, sink?, dead_topic?);
    let fixed = sink.topic.fixed();
    let same = [
        (fixed == Some(&*dead_topic), "dead_letters.topic", "topic"),
        (fixed == Some(&*sink.progress_topic), "sink.progress_topic", "topic"),
        (dead_topic == sink.progress_topic, "sink.progress_topic", "dead_letters.topic"),
    ];
    let mut is_same = false;
    for (_, key, other) in same.into_iter().filter(|(is_same, ..)| *is_same) {
        let message = format!("{key} is the same topic as {other}: records would lie among others");
        checker.problem_with_help(&format!("{path}.{key}"), message, "write another topic");
        is_same = true;
    }
    (!is_refused && !is_same).then_some(FanOut { name, sink, dead_topic })
}

/// Beside the topic of the records, where that is always the same one.
fn dead_topic_of(
    sink: Option<&KafkaSink>,
    (stream, name): (Option<&str>, Option<&str>),
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<String> {
    let topic = match sink?.topic.fixed() {
        Some(topic) => format!("{topic}.dead"),
        None => format!("{}.{}.dead", stream?, name?),
    };
    check_topic(topic, path, checker)
}

fn check_topic(topic: String, path: &str, checker: &mut Checker<'_>) -> Option<String> {
    match check_topic_name(&topic) {
        Ok(()) => Some(topic),
        Err(error) => {
            checker.refused(path, &error);
            None
        }
    }
}

fn check_sink(
    raw: SinkTable,
    path: &str,
    (around, ingest): (&Surroundings<'_>, Option<&Ingest>),
    checker: &mut Checker<'_>,
) -> Option<KafkaSink> {
    let kafka = raw.kafka.as_deref();
    let cluster =
        kafka.and_then(|text| check_kafka(text, &format!("{path}.kafka"), around.clusters, checker));
    let topic_path = format!("{path}.topic");
    let topic = checker.required(&topic_path, raw.topic, TOPIC_HELP);
    let topic = topic.and_then(|text| match TopicTemplate::parse(&text) {
        Ok(topic) => Some(topic),
        Err(error) => {
            checker.refused(&topic_path, &error);
            None
        }
    });
    let topics_max = checker.count(
        &format!("{path}.max_topics"),
        raw.max_topics,
        limits::FAN_OUT_TOPICS_DEFAULT,
        limits::FAN_OUT_TOPICS_MAX,
    );
    let key = check_key(raw.key.as_deref(), &format!("{path}.key"), checker);
    let partitioner = check_partitioner(raw.partitioner.as_deref(), &format!("{path}.partitioner"), checker);
    let headers = check_headers(raw.headers, &format!("{path}.headers"), ingest, checker);
    let compression = check_compression((raw.compression.as_deref(), raw.compression_level), path, checker);
    let words = [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce].map(|word| (word.as_str(), word));
    let guarantee_path = format!("{path}.guarantee");
    let guarantee = checker.word(&guarantee_path, raw.guarantee.as_deref(), Guarantee::ExactlyOnce, &words);
    let progress_topic = raw.progress_topic.unwrap_or_else(|| PROGRESS_TOPIC_DEFAULT.to_owned());
    let progress_topic = check_topic(progress_topic, &format!("{path}.progress_topic"), checker);
    let (interval, bytes) = check_transaction(
        raw.transaction.unwrap_or_default(),
        &format!("{path}.transaction"),
        around.memory_budget,
        checker,
    );
    let (compression, compression_level) = compression?;
    Some(KafkaSink {
        cluster: cluster?,
        topic: topic?,
        topics_max: topics_max?,
        key: key?,
        partitioner: partitioner?,
        headers: headers?,
        compression,
        compression_level,
        guarantee: guarantee?,
        progress_topic: progress_topic?,
        transaction_interval: interval?,
        transaction_bytes: bytes?,
    })
}

fn check_transaction(
    raw: TransactionTable,
    path: &str,
    budget: Option<u64>,
    checker: &mut Checker<'_>,
) -> (Option<Duration>, Option<u64>) {
    let interval = checker.duration_up_to(
        &format!("{path}.interval"),
        raw.interval.as_deref(),
        limits::FAN_OUT_INTERVAL_DEFAULT,
        limits::FAN_OUT_INTERVAL_MAX,
    );
    let eighth = budget.unwrap_or(u64::MAX) / 8;
    let default = limits::FAN_OUT_TRANSACTION_BYTES_DEFAULT.min(eighth);
    let low = limits::FAN_OUT_TRANSACTION_BYTES_MIN.min(eighth);
    let high = (budget.unwrap_or(u64::MAX) / 4).min(limits::FAN_OUT_TRANSACTION_BYTES_MAX);
    let bytes = checker.size_within(&format!("{path}.size"), raw.size.as_deref(), default, low..=high);
    (interval, bytes)
}

/// A word, or else a JSON pointer.
fn word_or_pointer<T: Clone>(
    text: &str,
    path: &str,
    (words, pointer): (&[(&str, T)], impl Fn(Pointer) -> T),
    checker: &mut Checker<'_>,
) -> Option<T> {
    if !text.starts_with('/') {
        let indices: Vec<_> = words.iter().enumerate().map(|(index, (word, _))| (*word, index)).collect();
        let index = checker.word(path, Some(text), 0, &indices)?;
        return words.get(index).map(|(_, word)| word.clone());
    }
    match Pointer::parse(text) {
        Ok(found) => Some(pointer(found)),
        Err(error) => {
            checker.refused(path, &error);
            None
        }
    }
}

fn check_key(text: Option<&str>, path: &str, checker: &mut Checker<'_>) -> Option<MessageKey> {
    let words = [("partition_key", MessageKey::PartitionKey), ("none", MessageKey::None)];
    let Some(text) = text else { return Some(MessageKey::PartitionKey) };
    word_or_pointer(text, path, (&words, MessageKey::Field), checker)
}

fn check_partitioner(text: Option<&str>, path: &str, checker: &mut Checker<'_>) -> Option<Partitioner> {
    let words = [Partitioner::Murmur2, Partitioner::Stream, Partitioner::Shard];
    let words = words.map(|word| (word.as_str().to_owned(), word));
    let words: Vec<_> = words.iter().map(|(text, word)| (text.as_str(), word.clone())).collect();
    let Some(text) = text else { return Some(Partitioner::Murmur2) };
    word_or_pointer(text, path, (&words, Partitioner::Field), checker)
}

fn check_headers(
    words: Option<Vec<String>>,
    path: &str,
    ingest: Option<&Ingest>,
    checker: &mut Checker<'_>,
) -> Option<Vec<MessageHeader>> {
    use MessageHeader as Header;
    let Some(words) = words else {
        return Some(vec![Header::Stream, Header::Shard, Header::SequenceNumber, Header::ArrivalTime]);
    };
    let known = [
        ("stream", Some(Header::Stream)),
        ("shard", Some(Header::Shard)),
        ("sequence_number", Some(Header::SequenceNumber)),
        ("arrival_time", Some(Header::ArrivalTime)),
        ("principal", None),
    ];
    let mut headers: Vec<Header> = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let indices = [0, 1, 2, 3, 4].map(|index| (known[index].0, index));
        let found = checker.word(&path, Some(word), 0, &indices)?;
        let header = match known[found].1.clone() {
            Some(header) => header,
            None => principal_header(&path, ingest, checker)?,
        };
        if headers.contains(&header) {
            checker.problem(&path, format!("header {word:?} is given twice"));
            return None;
        }
        headers.push(header);
    }
    Some(headers)
}

/// The log does not keep who has sent a record; the record itself does, where that is asked for.
fn principal_header(path: &str, ingest: Option<&Ingest>, checker: &mut Checker<'_>) -> Option<MessageHeader> {
    // Where it is wrong, that has been said.
    let ingest = ingest?;
    let has_principal = |add: &&Add| add.facts.contains(&Fact::Principal);
    match ingest.add.as_ref().filter(has_principal) {
        Some(add) => {
            let pointer = Pointer::parse(&format!("{}/principal", add.field.as_str())).ok()?;
            Some(MessageHeader::Principal(pointer))
        }
        None => {
            checker.problem_with_help(
                path,
                "who has sent a record is not kept with it",
                "write [ingest] add = { field = \"/request\", facts = [\"principal\"] }, or leave the header out",
            );
            None
        }
    }
}

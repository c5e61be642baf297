//! `[stream]` and `[ingest]`: raw → checked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use serde_json::Value;

use super::check_inference::INFER;
use super::check_kafka::KafkaCluster;
use super::check_limit::check_limit;
use super::check_mapping::check_add;
use super::check_stream_log::check_log_place;
use super::checked::{Content, Durability, Ingest, OnInvalid, PartitionKeySource, ShardQuotas, Stream};
use super::checker::Checker;
use super::duration::print_duration;
use super::limits;
use super::problem::Problem;
use super::raw::{IngestTable, StreamTable};
use super::size::Size;
use super::suggest::nearest;
use crate::json::Pointer;

/// Problems of one schema file that are reported.
const SCHEMA_PROBLEMS_MAX: usize = 10;

/// `[stream]`; `None` where a problem was added. `body_bytes_max` is the node's, as `clusters` are.
pub(super) fn check_stream(
    raw: StreamTable,
    (body_bytes_max, clusters): (Option<u64>, Option<&[KafkaCluster]>),
    checker: &mut Checker<'_>,
) -> Option<Stream> {
    let log = check_log_place(&raw, clusters, checker);
    let is_elsewhere = raw.log.is_some() || raw.source.is_some();
    let name = checker.name("stream.name", raw.name, "write name = \"clickstream\" or another name");
    let shards = checker.count("stream.shards", raw.shards, 1, limits::SHARDS_MAX as usize);
    let durability = match is_elsewhere {
        true => Some(Durability::Kafka),
        false => check_durability(raw.durability.as_deref(), body_bytes_max, checker),
    };
    let day = Duration::from_secs(86_400);
    let retention = checker.duration("stream.retention", raw.retention.as_deref(), day);
    let retention_bytes = match raw.retention_bytes.as_deref() {
        None => Some(None),
        text => checker.size_within("stream.retention_bytes", text, 0, 1..=u64::MAX).map(Some),
    };
    let is_durable = durability.is_some_and(Durability::is_durable);
    let replies_kept = retention.filter(|_| is_durable);
    let idempotency_window = match is_elsewhere {
        true => Some(Duration::ZERO),
        false => check_idempotency_window(raw.idempotency_window.as_deref(), replies_kept, checker),
    };
    let words = [ShardQuotas::None, ShardQuotas::Kinesis].map(|word| (word.as_str(), word));
    let quotas = checker.word("stream.quotas", raw.quotas.as_deref(), ShardQuotas::None, &words);
    Some(Stream {
        name: name?,
        shards: u32::try_from(shards?).ok()?,
        durability: durability?,
        retention: retention?,
        retention_bytes: retention_bytes?,
        idempotency_window: idempotency_window?,
        log: log?,
        quotas: quotas?,
    })
}

/// How long replies are remembered: in a log on the disk, where they are kept for `retention`, no longer than that.
fn check_idempotency_window(
    text: Option<&str>,
    retention: Option<Duration>,
    checker: &mut Checker<'_>,
) -> Option<Duration> {
    const PATH: &str = "stream.idempotency_window";
    let retention = retention.unwrap_or(Duration::MAX);
    let default = Duration::from_secs(limits::IDEMPOTENCY_SECONDS_DEFAULT).min(retention);
    let max = Duration::from_secs(limits::IDEMPOTENCY_SECONDS_MAX);
    let window = checker.duration_up_to(PATH, text, default, max)?;
    if window > retention {
        let retention = print_duration(retention);
        checker.problem_with_help(
            PATH,
            format!("idempotency_window is longer than the retention of {retention}, for which the log keeps replies"),
            format!("write idempotency_window = \"{retention}\" or less, or a longer retention"),
        );
        return None;
    }
    Some(window)
}

/// What an ack means; and whether the log takes what the node takes, since no segment may be larger than the largest.
fn check_durability(
    text: Option<&str>,
    body_bytes_max: Option<u64>,
    checker: &mut Checker<'_>,
) -> Option<Durability> {
    const PATH: &str = "stream.durability";
    let words = [Durability::Fsync, Durability::Os, Durability::Memory].map(|word| (word.as_str(), word));
    let durability = checker.word(PATH, text, Durability::Fsync, &words)?;
    let most = limits::SEGMENT_BYTES_RANGE.end() / limits::SEGMENT_REQUESTS_MIN;
    let body = body_bytes_max.filter(|&body| durability.is_durable() && body > most);
    let Some(body) = body else { return Some(durability) };
    let (word, body, most) = (durability.as_str(), Size(body), Size(most));
    checker.problem_with_help(
        PATH,
        format!("durability = {word:?} takes requests of at most {most}, and the node's max_body is {body}"),
        format!(
            "write max_body = \"{most}\" or less in [server] of the node's file, or durability = \"memory\""
        ),
    );
    None
}

/// `[ingest]`; `None` where a problem was added. `body_bytes_max` is the node's.
///
/// `at` is where it stands: `ingest`, or below a stage.
pub(super) fn check_ingest(
    raw: IngestTable,
    at: &str,
    (deliveries, body_bytes_max): (usize, Option<u64>),
    checker: &mut Checker<'_>,
) -> Option<Ingest> {
    let partition_key = check_partition_key(raw.partition_key.as_deref(), at, checker);
    let has_schema = raw.schema.as_deref().is_some_and(|schema| schema != INFER);
    let schema = match raw.schema {
        None => Some(None),
        Some(word) if word == INFER => Some(None),
        Some(file) => check_schema(&file, at, checker).map(|schema| Some(Arc::new(schema))),
    };
    let on_invalid = checker.word(
        &format!("{at}.on_invalid"),
        raw.on_invalid.as_deref(),
        OnInvalid::Reject,
        &[("reject", OnInvalid::Reject), ("dead_letter", OnInvalid::DeadLetter)],
    );
    if on_invalid == Some(OnInvalid::DeadLetter) && deliveries == 0 {
        checker.problem_with_help(
            &format!("{at}.on_invalid"),
            "on_invalid = \"dead_letter\" needs a delivery, whose sink keeps the dead letters",
            "write on_invalid = \"reject\", or add a [[delivery]]",
        );
    }
    let content = check_content(raw.content.as_deref(), has_schema, checker);
    let add = match raw.add {
        None => Some(None),
        Some(table) => check_add(table, content, at, checker).map(Some),
    };
    let body_bytes_max = body_bytes_max.unwrap_or(u64::MAX);
    let default = limits::RECORD_BYTES_DEFAULT.min(body_bytes_max);
    let record =
        checker.size_within(&format!("{at}.max_record"), raw.max_record.as_deref(), default, 1..=u64::MAX);
    if let Some(record) = record.filter(|&record| record > body_bytes_max) {
        let (record, body) = (Size(record), Size(body_bytes_max));
        checker.problem(
            &format!("{at}.max_record"),
            format!("max_record = {record} is more than the node's max_body = {body}: write at most {body}, or a larger max_body"),
        );
    }
    let limit = check_limit(raw.limit, "ingest.limit", checker);
    Some(Ingest {
        partition_key: partition_key?,
        schema: schema?,
        on_invalid: on_invalid?,
        content: content?,
        record_bytes_max: record?,
        takes_clicks: raw.pixel.unwrap_or_default(),
        add: add?,
        stages: Vec::new(),
        limit: limit?,
    })
}

/// What records may be. A schema says what JSON may be, so it needs JSON.
fn check_content(text: Option<&str>, has_schema: bool, checker: &mut Checker<'_>) -> Option<Content> {
    const PATH: &str = "ingest.content";
    let words = [Content::Json, Content::Any].map(|word| (word.as_str(), word));
    let content = checker.word(PATH, text, Content::Json, &words)?;
    if content == Content::Any && has_schema {
        checker.problem_with_help(
            PATH,
            "content = \"any\" takes records that nobody looks at, and a schema says what they must be",
            "write content = \"json\", or leave schema out",
        );
        return None;
    }
    Some(content)
}

fn check_partition_key(
    text: Option<&str>,
    at: &str,
    checker: &mut Checker<'_>,
) -> Option<PartitionKeySource> {
    let path = &format!("{at}.partition_key");
    let text = match text {
        None | Some("random") => return Some(PartitionKeySource::Random),
        Some(text) => text,
    };
    if let Some(name) = text.strip_prefix("header:") {
        let header = HeaderName::from_bytes(name.as_bytes()).ok();
        if header.is_none() {
            let quoted = checker.quote(path, name);
            checker.problem(path, format!("{quoted} is no name of a header: write header:x-device"));
        }
        return header.map(PartitionKeySource::Header);
    }
    if let Some(name) = text.strip_prefix("query:") {
        if name.is_empty() {
            checker.problem(path, "the name of the query parameter is missing: write query:device");
            return None;
        }
        return Some(PartitionKeySource::Query(name.to_owned()));
    }
    if text.starts_with('/') {
        let pointer = Pointer::parse(text).map_err(|error| checker.refused(path, &error)).ok();
        return pointer.map(PartitionKeySource::Pointer);
    }
    let quoted = checker.quote(path, text);
    let message = format!(
        "partition_key = {quoted} is not known: write a JSON pointer such as \"/client_ip\", \"header:NAME\", \"query:NAME\" or \"random\""
    );
    checker.problem(path, message);
    None
}

/// Reads the JSON Schema, which lies beside the pipeline file.
fn check_schema(file: &str, at: &str, checker: &mut Checker<'_>) -> Option<Value> {
    let place = &format!("{at}.schema");
    let folder = checker.document.file().parent().unwrap_or(Path::new(""));
    let path = folder.join(file);
    let bytes = match super::load::read_bounded(&path, limits::SCHEMA_FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("JSON Schema {}: {error}", checker.quote(place, file));
            match nearest(file, [INFER]) {
                Some(word) => checker.problem_with_help(
                    place,
                    message,
                    format!(
                        "did you mean schema = {word:?}, which has the columns learned from the records?"
                    ),
                ),
                None => checker.problem(place, message),
            }
            return None;
        }
    };
    let schema: Value = match serde_json::from_slice(&bytes) {
        Ok(schema) => schema,
        Err(error) => {
            // The position is told by the problem itself.
            let text = error.to_string();
            let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
            let mut problem = Problem::of_file(path, format!("not valid JSON: {message}"));
            (problem.line, problem.column) = (error.line(), error.column().max(1));
            problem.path = place.clone();
            checker.problems.push(problem);
            return None;
        }
    };
    let found = schema_problems(&schema);
    for message in &found {
        let mut problem = Problem::of_file(path.clone(), message);
        problem.path = place.clone();
        checker.problems.push(problem);
    }
    found.is_empty().then_some(schema)
}

/// What keeps a document from being a JSON Schema, first by its meta-schema, then by building it.
fn schema_problems(schema: &Value) -> Vec<String> {
    let meta = match jsonschema::meta::validator_for(schema) {
        Ok(meta) => meta,
        Err(error) => return vec![format!("not a JSON Schema that is known: {error}")],
    };
    let broken: Vec<String> = meta
        .iter_errors(schema)
        .take(SCHEMA_PROBLEMS_MAX)
        .map(|error| match error.instance_path().as_str() {
            "" => format!("not a valid JSON Schema: {error}"),
            place => format!("not a valid JSON Schema: at {place}: {error}"),
        })
        .collect();
    if !broken.is_empty() {
        return broken;
    }
    match jsonschema::validator_for(schema) {
        Ok(_) => Vec::new(),
        Err(error) => vec![format!("this JSON Schema cannot be used: {error}")],
    }
}

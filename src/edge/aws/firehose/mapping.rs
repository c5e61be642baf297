//! Delivery stream → pipeline, as it would be written in a file.
//!
//! | of the destination | of the pipeline |
//! | --- | --- |
//! | `BucketARN` | `sink`: the bucket, in the store of `[aws] s3_sink` |
//! | `Prefix`, `ErrorOutputPrefix` | `prefix`, `error_prefix`, see [`super::folders`] |
//! | `BufferingHints` | `buffer`; an interval of 0 is a second |
//! | `CompressionFormat` | `compression` |
//! | no conversion | `format = "raw"`, of records of any bytes |
//! | `FileExtension` | `extension` |
//! | `DataFormatConversionConfiguration` | `format` and `[schema]`, see [`super::columns`] |
//! | `ProcessingConfiguration` | `partition_keys`, `delimiter`, and how records are taken apart |
//! | the processor `Lambda` | a stream before it, whose records go through the function |
//! | `S3BackupConfiguration` | `backup` of all records, raw; of those that have not gone through a function yet |
//! | `CustomTimeZone` | `time_zone` |
//!
//! The pipeline goes through the same check as one in a file. What that says is told with the member's name.

use std::collections::BTreeMap;

use super::delivery_stream::DeliveryStream;
use super::destination::{BufferingHints, Destination};
use super::processing::{DeAggregation, FunctionStep, Steps};
use super::validation::bucket_of;
use super::{columns, folders};
use super::{unsupported, unsupported_beside};
use crate::config::checked::{BucketStore, Node, Pipeline};
use crate::config::raw::{BufferTable, DeliveryTable, IngestTable, PipelineFile, SchemaTable, StreamTable};
use crate::config::{BackupTable, DeadLettersTable, MADE_NAME_PREFIX, Problem, check_made_pipeline};
use crate::edge::aws::protocol::failure::Failure;
use crate::function::Spec;
use crate::function::contract::Origin;

/// Name of the delivery of a stream that is a delivery stream's own.
const DELIVERY: &str = "s3";

/// `SizeInMBs` where it is not given, and where files have columns or folders by fields.
const SIZE_DEFAULT: i64 = 5;
const SIZE_LARGE_DEFAULT: i64 = 128;
/// The least `SizeInMBs` of the latter.
const SIZE_LARGE_MIN: i64 = 64;
/// `IntervalInSeconds` where it is not given.
const INTERVAL_DEFAULT: i64 = 300;

/// A delivery stream as it runs.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// Its own stream and delivery; or, where it has a source, that stream's name and the delivery to add to it.
    pub pipeline: Pipeline,
    /// How a record of a client is taken for several.
    pub de_aggregation: Option<DeAggregation>,
    /// What is before the pipeline, if records go through a function.
    pub before: Option<Before>,
}

/// The stream that takes the records of clients, and what they go through.
#[derive(Debug, Clone)]
pub struct Before {
    /// That stream, with the backup.
    pub pipeline: Pipeline,
    /// How records go on.
    pub spec: Spec,
}

/// What the name of the stream before a function has behind that of the one behind it.
const BEFORE: &str = ".source";

/// The stream that a delivery stream delivers.
pub fn stream_name(delivery_stream: &DeliveryStream) -> String {
    match delivery_stream.source_stream() {
        Some(source) => source.to_owned(),
        None => format!("{MADE_NAME_PREFIX}{}", delivery_stream.name),
    }
}

/// The delivery of a delivery stream within that stream.
pub fn delivery_name(delivery_stream: &DeliveryStream) -> String {
    match delivery_stream.source_stream() {
        Some(_) => format!("{MADE_NAME_PREFIX}{}", delivery_stream.name),
        None => DELIVERY.to_owned(),
    }
}

/// The size and interval that apply, in mebibytes and seconds.
pub fn buffering(destination: &Destination) -> (i64, i64) {
    let large = destination.conversion().is_some() || destination.is_partitioned();
    let default = if large { SIZE_LARGE_DEFAULT } else { SIZE_DEFAULT };
    let hints = destination.buffering_hints.as_ref();
    let size = hints.and_then(|hints| hints.size_in_mbs).unwrap_or(default);
    (size, hints.and_then(|hints| hints.interval_in_seconds).unwrap_or(INTERVAL_DEFAULT))
}

/// The pipeline of a delivery stream.
///
/// # Errors
/// [`Failure`] that names the member that is not supported, or does not go with another.
pub fn map(delivery_stream: &DeliveryStream, node: &Node) -> Result<Mapped, Failure> {
    let destination = &delivery_stream.destination;
    let store = node.aws.bucket_store.as_ref().ok_or_else(|| {
        Failure::invalid(
            "BucketARN: this node does not know where buckets are: write s3_sink = { … } in [aws] of its file",
        )
    })?;
    let processing = destination.processing_configuration.as_ref();
    let steps = processing.map(|processing| processing.steps()).transpose()?.unwrap_or_default();
    refuse_what_is_missing(delivery_stream, &steps)?;
    let columns = columns::of(destination, &node.aws.tables)?;
    let delivery = delivery(delivery_stream, store, &steps)?;
    let Steps { de_aggregation, function, .. } = steps;
    let raw = PipelineFile {
        access: None,
        stream: Some(stream_table(stream_name(delivery_stream))),
        ingest: Some(IngestTable {
            // What has columns is looked at when it comes in, as they may be learned; nothing else is.
            content: Some(if columns.is_some() { "json" } else { "any" }.to_owned()),
            schema: columns.as_ref().filter(|columns| columns.declared.is_none()).map(|_| "infer".to_owned()),
            on_invalid: Some("dead_letter".to_owned()),
            ..IngestTable::default()
        }),
        stage: None,
        schema: columns
            .as_ref()
            .and_then(|columns| columns.declared.clone())
            .map(|columns| SchemaTable { columns: Some(columns), ..SchemaTable::default() }),
        delivery: Some(vec![match columns {
            Some(columns) => columns.format_of(delivery),
            None => delivery,
        }]),
    };
    let file = format!("{}/{}.json", crate::node::DELIVERY_STREAMS, delivery_stream.name);
    let env = |name: &str| store.variable(name);
    let check = |raw| {
        check_made_pipeline(raw, file.as_ref(), node, &env).map_err(|problems| told(problems.as_slice()))
    };
    let mut pipeline = check(raw)?;
    let before = match function {
        None => None,
        Some(step) => {
            let spec = spec(delivery_stream, step, node)?;
            let mut before = check(raw_before(delivery_stream))?;
            // The backup has what clients have put.
            before.deliveries = pipeline.deliveries.split_off(1.min(pipeline.deliveries.len()));
            Some(Before { pipeline: before, spec })
        }
    };
    Ok(Mapped { pipeline, de_aggregation, before })
}

fn stream_table(name: String) -> StreamTable {
    StreamTable {
        name: Some(name),
        durability: Some("fsync".to_owned()),
        idempotency_window: Some("0s".to_owned()),
        ..StreamTable::default()
    }
}

/// The stream before a function: nobody looks at its records.
fn raw_before(delivery_stream: &DeliveryStream) -> PipelineFile {
    PipelineFile {
        stream: Some(stream_table(format!("{}{BEFORE}", stream_name(delivery_stream)))),
        ingest: Some(IngestTable { content: Some("any".to_owned()), ..IngestTable::default() }),
        ..PipelineFile::default()
    }
}

fn spec(delivery_stream: &DeliveryStream, step: FunctionStep, node: &Node) -> Result<Spec, Failure> {
    let FunctionStep { name, buffer_bytes, buffer_interval, retries } = step;
    let function = node.functions.iter().find(|function| function.name == name);
    let function = function.cloned().ok_or_else(|| {
        Failure::invalid(format!(
            "LambdaArn: there is no function {name:?} in the configuration of this node"
        ))
    })?;
    let (region, account) = (node.aws.region.clone(), &node.aws.account);
    let arn = format!("arn:aws:firehose:{region}:{account}:deliverystream/{}", delivery_stream.name);
    Ok(Spec { function, buffer_bytes, buffer_interval, retries, origin: Origin { arn, region } })
}

/// The function that records of a delivery stream go through, and what there is of a backup: neither can be changed
/// where there is one.
///
/// # Errors
/// [`Failure`] that names the processor that is not supported.
pub fn refuse_change(before: &DeliveryStream, after: &DeliveryStream) -> Result<(), Failure> {
    let function = |delivery_stream: &DeliveryStream| -> Result<Option<FunctionStep>, Failure> {
        let processing = delivery_stream.destination.processing_configuration.as_ref();
        Ok(processing.map(|processing| processing.steps()).transpose()?.and_then(|steps| steps.function))
    };
    let (known, wanted) = (function(before)?, function(after)?);
    if known != wanted {
        return Err(unsupported("an update that adds, changes or takes away the processor Lambda"));
    }
    let (before, after) = (&before.destination, &after.destination);
    let has_changed = before.s3_backup != after.s3_backup || before.s3_backup_mode != after.s3_backup_mode;
    if known.is_some() && has_changed {
        return Err(unsupported("an update of S3BackupConfiguration beside the processor Lambda"));
    }
    Ok(())
}

/// What is refused of a delivery stream that is made or changed now. One that is kept from before has been taken with it.
///
/// # Errors
/// [`Failure`] that names the member.
pub fn refuse_anew(delivery_stream: &DeliveryStream) -> Result<(), Failure> {
    let destination = &delivery_stream.destination;
    let processing = destination.processing_configuration.as_ref();
    let steps = processing.map(|processing| processing.steps()).transpose()?.unwrap_or_default();
    let delimiter = steps.delimiter.filter(|_| destination.conversion().is_none());
    match delimiter.as_deref() {
        None | Some("\n") => Ok(()),
        Some(other) => Err(unsupported(&format!("the Delimiter {other:?} of AppendDelimiterToRecord"))),
    }
}

/// What clients may ask for and this server has not, or what contradicts itself.
fn refuse_what_is_missing(delivery_stream: &DeliveryStream, steps: &Steps) -> Result<(), Failure> {
    let destination = &delivery_stream.destination;
    for (member, destination) in
        [("", Some(destination)), ("S3BackupConfiguration.", destination.s3_backup.as_deref())]
    {
        let Some(destination) = destination else { continue };
        let encryption = destination.encryption_configuration.as_ref();
        if encryption.is_some_and(|encryption| encryption.kms_encryption_config.is_some()) {
            let member = format!("{member}EncryptionConfiguration.KMSEncryptionConfig");
            return Err(unsupported_beside(
                &member,
                "NoEncryptionConfig, and what a bucket encrypts by itself",
            ));
        }
        if destination.compression_format.as_deref() == Some("ZIP") {
            let there = "UNCOMPRESSED, GZIP, Snappy and HADOOP_SNAPPY";
            return Err(unsupported_beside(&format!("{member}CompressionFormat ZIP"), there));
        }
    }
    if steps.function.is_some() {
        if delivery_stream.source.is_some() {
            return Err(unsupported("the processor Lambda for a Kinesis stream as source"));
        }
        if steps.de_aggregation.is_some() {
            return Err(unsupported("the processor RecordDeAggregation beside Lambda"));
        }
    }
    let (size, _) = buffering(destination);
    let needs_large = [
        (destination.is_partitioned(), "Dynamic Partitioning"),
        (destination.conversion().is_some(), "data format conversion"),
    ];
    let is_too_small = |(is_used, _): &(bool, &str)| *is_used && size < SIZE_LARGE_MIN;
    if let Some((_, what)) = needs_large.into_iter().find(is_too_small) {
        let message =
            format!("BufferingHints.SizeInMBs must be at least {SIZE_LARGE_MIN} when {what} is enabled.");
        return Err(Failure::invalid(message));
    }
    if !steps.keys.is_empty() && !destination.is_partitioned() {
        let message = "MetadataExtraction processor is present but Dynamic Partitioning is not enabled.";
        return Err(Failure::invalid(message));
    }
    if destination.is_partitioned() && steps.keys.is_empty() {
        let message = "Dynamic Partitioning is enabled, and no MetadataExtraction processor says what the partition keys are.";
        return Err(Failure::invalid(message));
    }
    if delivery_stream.source.is_some() && steps.de_aggregation.is_some() {
        let message = "the processor RecordDeAggregation for a Kinesis stream as source";
        return Err(unsupported(message));
    }
    let compressed = destination.compression_format.as_deref().filter(|format| *format != "UNCOMPRESSED");
    if destination.conversion().is_some() && compressed.is_some() {
        return Err(Failure::invalid(
            "CompressionFormat must be UNCOMPRESSED when data format conversion is enabled: the files compress themselves",
        ));
    }
    Ok(())
}

/// The delivery, of records as they came.
fn delivery(
    delivery_stream: &DeliveryStream,
    store: &BucketStore,
    steps: &Steps,
) -> Result<DeliveryTable, Failure> {
    let destination = &delivery_stream.destination;
    let folders = folders::of(destination, &steps.keys)?;
    let (size, interval) = buffering(destination);
    let (compression, backup) = (compression(destination), backup(destination, store)?);
    Ok(DeliveryTable {
        name: Some(delivery_name(delivery_stream)),
        sink: Some(store.sink(bucket(destination)?)),
        format: Some("raw".to_owned()),
        delimiter: Some(if steps.delimiter.is_some() { "newline" } else { "none" }.to_owned()),
        compression: Some(compression.to_owned()),
        extension: destination.file_extension.clone().filter(|extension| !extension.is_empty()),
        buffer: Some(buffer(size, interval)),
        prefix: Some(folders.prefix),
        error_prefix: Some(folders.error_prefix),
        time_zone: destination.custom_time_zone.clone().filter(|zone| !zone.is_empty()),
        partition_keys: (!folders.partition_keys.is_empty()).then_some(folders.partition_keys),
        event_time: folders.event_time,
        dead_letters: Some(DeadLettersTable {
            envelope: Some("firehose".to_owned()),
            ..DeadLettersTable::default()
        }),
        backup,
        ..DeliveryTable::default()
    })
}

fn backup(destination: &Destination, store: &BucketStore) -> Result<Option<BackupTable>, Failure> {
    if destination.s3_backup_mode.as_deref() != Some("Enabled") {
        return Ok(None);
    }
    let Some(backup) = destination.s3_backup.as_deref() else {
        let message = "S3BackupConfiguration must be provided when S3BackupMode is Enabled";
        return Err(Failure::invalid(message));
    };
    let hints = backup.buffering_hints.clone().unwrap_or_default();
    let BufferingHints { size_in_mbs: size, interval_in_seconds: interval } = hints;
    Ok(Some(BackupTable {
        records: Some("all".to_owned()),
        sink: Some(store.sink(bucket(backup)?)),
        prefix: Some(folders::of(backup, &BTreeMap::new())?.prefix),
        buffer: Some(buffer(size.unwrap_or(SIZE_DEFAULT), interval.unwrap_or(INTERVAL_DEFAULT))),
        format: Some("raw".to_owned()),
        delimiter: Some("none".to_owned()),
        compression: Some(compression(backup).to_owned()),
        ..BackupTable::default()
    }))
}

fn bucket(destination: &Destination) -> Result<&str, Failure> {
    let bucket = destination.bucket_arn.as_deref().and_then(bucket_of);
    bucket.ok_or_else(|| Failure::invalid("BucketARN must be the ARN of a bucket"))
}

fn buffer(size: i64, interval: i64) -> BufferTable {
    BufferTable { size: Some(format!("{size}MiB")), interval: Some(format!("{}s", interval.max(1))) }
}

fn compression(destination: &Destination) -> &'static str {
    match destination.compression_format.as_deref() {
        Some("GZIP") => "gzip",
        Some("Snappy") => "snappy",
        Some("HADOOP_SNAPPY") => "hadoop_snappy",
        _ => "none",
    }
}

/// The members that settings come from, the longest path first where one begins with another.
const MEMBERS: [(&str, &str); 16] = [
    ("delivery[0].backup.prefix", "S3BackupConfiguration.Prefix"),
    ("delivery[0].backup.buffer", "S3BackupConfiguration.BufferingHints"),
    ("delivery[0].backup.sink", "S3BackupConfiguration.BucketARN"),
    ("delivery[0].backup", "S3BackupConfiguration"),
    ("delivery[0].prefix", "Prefix"),
    ("delivery[0].error_prefix", "ErrorOutputPrefix"),
    ("delivery[0].buffer.size", "BufferingHints.SizeInMBs"),
    ("delivery[0].buffer", "BufferingHints"),
    ("delivery[0].sink", "BucketARN"),
    ("delivery[0].time_zone", "CustomTimeZone"),
    ("delivery[0].extension", "FileExtension"),
    ("delivery[0].partition_keys", "MetadataExtractionQuery"),
    ("delivery[0].bloom_filters", "OrcSerDe.BloomFilterColumns"),
    ("delivery[0].stripe", "OrcSerDe.StripeSizeBytes"),
    ("schema", "SchemaConfiguration"),
    ("stream.name", "DeliveryStreamName"),
];

/// What the check has found, in the members' names.
fn told(problems: &[Problem]) -> Failure {
    let told: Vec<_> = problems
        .iter()
        .map(|problem| {
            let member = MEMBERS.iter().find(|(path, _)| problem.path.starts_with(path));
            let member = member.map_or(problem.path.as_str(), |(_, member)| member);
            format!("{member}: {}", problem.message)
        })
        .collect();
    Failure::invalid(told.join("; "))
}

#[cfg(test)]
mod tests;

//! A delivery stream as it is described: what was given, and the defaults of what was not.

use serde_json::{Map, Value, json};

use super::delivery_stream::{DESTINATION_ID, DeliveryStream};
use super::destination::Destination;
use super::mapping::buffering;
use super::registry::Entry;
use crate::edge::aws::Caller;

/// `DeliveryStreamDescription`.
pub fn description(entry: &Entry, caller: &Caller<'_>) -> Value {
    let DeliveryStream { name, version, created_ms, updated_ms, .. } = &entry.delivery_stream;
    let destination = &entry.delivery_stream.destination;
    let mut description = json!({
        "DeliveryStreamName": name,
        "DeliveryStreamARN": caller.delivery_stream_arn(name),
        "DeliveryStreamStatus": status(entry),
        "DeliveryStreamEncryptionConfiguration": encryption(&entry.delivery_stream),
        "DeliveryStreamType": entry.delivery_stream.kind(),
        "VersionId": version.to_string(),
        "CreateTimestamp": seconds(*created_ms),
        "Destinations": [{
            "DestinationId": DESTINATION_ID,
            "S3DestinationDescription": plain(destination),
            "ExtendedS3DestinationDescription": extended(destination),
        }],
        "HasMoreDestinations": false,
    });
    if let Some(updated) = updated_ms {
        description["LastUpdateTimestamp"] = json!(seconds(*updated));
    }
    if let Some(source) = &entry.delivery_stream.source {
        let mut source = given(source);
        source.insert("DeliveryStartTimestamp".to_owned(), json!(seconds(*created_ms)));
        description["Source"] = json!({ "KinesisStreamSourceDescription": source });
    } else if let Some(hint) = entry.delivery_stream.throughput_hint_in_mbs {
        description["Source"] = json!({ "DirectPutSourceDescription": { "ThroughputHintInMBs": hint } });
    }
    description
}

/// The description of a stream of a pipeline file, which clients of Firehose can put records to.
pub fn pipeline_description(name: &str, created_seconds: u64, caller: &Caller<'_>) -> Value {
    json!({
        "DeliveryStreamName": name,
        "DeliveryStreamARN": caller.delivery_stream_arn(name),
        "DeliveryStreamStatus": "ACTIVE",
        "DeliveryStreamEncryptionConfiguration": { "Status": "DISABLED" },
        "DeliveryStreamType": "DirectPut",
        "VersionId": "1",
        "CreateTimestamp": created_seconds,
        "Destinations": [],
        "HasMoreDestinations": false,
    })
}

fn status(entry: &Entry) -> &'static str {
    match (entry.delivery_stream.is_deleting, entry.is_running) {
        (true, _) => "DELETING",
        (false, true) => "ACTIVE",
        (false, false) => "CREATING",
    }
}

fn encryption(delivery_stream: &DeliveryStream) -> Value {
    match &delivery_stream.encryption {
        None => json!({ "Status": "DISABLED" }),
        Some(key) => {
            let mut description = given(key);
            description.insert("Status".to_owned(), json!("ENABLED"));
            Value::Object(description)
        }
    }
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

/// The members that were given.
fn given(shape: &impl serde::Serialize) -> Map<String, Value> {
    let mut value = serde_json::to_value(shape).unwrap_or_default();
    drop_nulls(&mut value);
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The members that both forms have.
fn plain(destination: &Destination) -> Map<String, Value> {
    let (size, interval) = buffering(destination);
    let mut members = given(&Destination {
        processing_configuration: None,
        s3_backup_mode: None,
        s3_backup: None,
        data_format_conversion_configuration: None,
        dynamic_partitioning_configuration: None,
        file_extension: None,
        custom_time_zone: None,
        ..destination.clone()
    });
    members.insert("BufferingHints".to_owned(), json!({ "SizeInMBs": size, "IntervalInSeconds": interval }));
    for (member, default) in [
        ("CompressionFormat", json!("UNCOMPRESSED")),
        ("EncryptionConfiguration", json!({ "NoEncryptionConfig": "NoEncryption" })),
        ("CloudWatchLoggingOptions", json!({ "Enabled": false })),
    ] {
        members.entry(member).or_insert(default);
    }
    members
}

fn extended(destination: &Destination) -> Map<String, Value> {
    let mut members = plain(destination);
    let own = given(destination);
    members.extend(own.into_iter().filter(|(member, _)| member != "BufferingHints"));
    members.remove("S3BackupConfiguration");
    if let Some(backup) = &destination.s3_backup {
        members.insert("S3BackupDescription".to_owned(), Value::Object(plain(backup)));
    }
    for (member, default) in [
        ("ProcessingConfiguration", json!({ "Enabled": false, "Processors": [] })),
        ("S3BackupMode", json!("Disabled")),
        ("DataFormatConversionConfiguration", json!({ "Enabled": false })),
    ] {
        members.entry(member).or_insert(default);
    }
    if let Some(conversion) =
        members.get_mut("DataFormatConversionConfiguration").and_then(Value::as_object_mut)
    {
        conversion.entry("Enabled").or_insert(json!(true));
    }
    members
}

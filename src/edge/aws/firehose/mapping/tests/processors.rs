//! What stands between the stream of clients and the delivery: records taken apart, and functions.

use super::*;

#[test]
fn processors_take_records_apart() {
    let one = |kind: &str, parameters: Value| json!({ "ProcessingConfiguration": processors(json!([{ "Type": kind, "Parameters": parameters }])) });
    let parameter = |name: &str, value: &str| json!({ "ParameterName": name, "ParameterValue": value });
    let json = with(one("RecordDeAggregation", json!([parameter("SubRecordType", "JSON")]))).unwrap();
    assert_eq!(json.de_aggregation, Some(DeAggregation::Json));
    let delimited = json!([parameter("SubRecordType", "DELIMITED"), parameter("Delimiter", "I0AjfA==")]);
    let delimited = with(one("RecordDeAggregation", delimited)).unwrap();
    assert_eq!(delimited.de_aggregation, Some(DeAggregation::Delimited(b"#@#|".to_vec())));
    for (kind, parameters, said) in [
        ("RecordDeAggregation", json!([]), "RecordDeAggregation needs the parameter SubRecordType"),
        ("RecordDeAggregation", json!([parameter("SubRecordType", "CSV")]), "must be JSON or DELIMITED"),
        (
            "RecordDeAggregation",
            json!([parameter("LambdaArn", "x")]),
            "RecordDeAggregation has no parameter LambdaArn",
        ),
        (
            "Lambda",
            json!([parameter("LambdaArn", "arn:aws:lambda:us-east-1:123456789012:function:clean:$LATEST")]),
            "there is no function \"clean\"",
        ),
        (
            "Decompression",
            json!([parameter("CompressionFormat", "GZIP")]),
            "the processor Decompression is not supported",
        ),
        (
            "CloudWatchLogProcessing",
            json!([parameter("DataMessageExtraction", "true")]),
            "the processor CloudWatchLogProcessing is not supported",
        ),
        (
            "MetadataExtraction",
            json!([parameter("MetadataExtractionQuery", "{a:.x"), parameter("JsonParsingEngine", "JQ-1.6")]),
            "MetadataExtractionQuery: expected ',' or '}'",
        ),
        (
            "MetadataExtraction",
            json!([parameter("MetadataExtractionQuery", "{a:.x}"), parameter("JsonParsingEngine", "JQ-1.7")]),
            "it must be JQ-1.6",
        ),
        (
            "MetadataExtraction",
            json!([parameter("MetadataExtractionQuery", "{a:.x}"), parameter("JsonParsingEngine", "JQ-1.6")]),
            "MetadataExtraction processor is present but Dynamic Partitioning is not enabled.",
        ),
    ] {
        let message = refused(one(kind, parameters));
        assert!(message.contains(said), "{message}");
    }
    let mut off = one("Lambda", json!([]));
    off["ProcessingConfiguration"]["Enabled"] = json!(false);
    assert!(with(off).is_ok(), "what is not used is not looked at");
}

fn lambda(parameters: &[(&str, &str)]) -> Value {
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:enrich";
    let parameters: Vec<_> = [("LambdaArn", arn)]
        .iter()
        .chain(parameters)
        .map(|(name, value)| json!({ "ParameterName": name, "ParameterValue": value }))
        .collect();
    json!({ "Type": "Lambda", "Parameters": parameters })
}

#[test]
fn a_function_stands_between_the_stream_of_clients_and_that_of_the_delivery() {
    let with_function = |parameters: &[(&str, &str)], more: Value| {
        let mut members = json!({ "ProcessingConfiguration": processors(json!([lambda(parameters)])) });
        members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with(members)
    };
    let backup = json!({ "S3BackupMode": "Enabled", "S3BackupConfiguration": destination(&json!({})) });
    let Mapped { pipeline, before, .. } = with_function(&[], backup).unwrap();
    assert_eq!(pipeline.stream.name, "firehose.clicks");
    assert_eq!(pipeline.deliveries.iter().map(|delivery| delivery.name.as_str()).collect::<Vec<_>>(), ["s3"]);
    let Before { pipeline: source, spec } = before.unwrap();
    assert_eq!(
        (source.stream.name.as_str(), source.ingest.content),
        ("firehose.clicks.source", Content::Any)
    );
    assert_eq!(source.stream.durability.as_str(), "fsync");
    assert_eq!(
        source.deliveries.iter().map(|backup| backup.name.as_str()).collect::<Vec<_>>(),
        ["s3-backup"]
    );
    assert_eq!((spec.function.name.as_str(), spec.retries), ("enrich", 3));
    assert_eq!((spec.buffer_bytes, spec.buffer_interval.as_secs()), (1 << 20, 60));
    assert_eq!(spec.origin.arn, "arn:aws:firehose:us-east-1:000000000000:deliverystream/clicks");
    let given = [("BufferSizeInMBs", "0.5"), ("BufferIntervalInSeconds", "900"), ("NumberOfRetries", "0")];
    let spec = with_function(&given, json!({})).unwrap().before.unwrap().spec;
    assert_eq!((spec.buffer_bytes, spec.buffer_interval.as_secs(), spec.retries), (1 << 19, 900, 0));
    for (parameter, said) in [
        (("BufferSizeInMBs", "0.1"), "BufferSizeInMBs of Lambda must be a number from 0.2 to 3"),
        (("BufferSizeInMBs", "NaN"), "BufferSizeInMBs of Lambda must be a number from 0.2 to 3"),
        (("BufferSizeInMBs", "4"), "BufferSizeInMBs of Lambda must be a number from 0.2 to 3"),
        (
            ("BufferIntervalInSeconds", "901"),
            "BufferIntervalInSeconds of Lambda must be a whole number from 0 to 900",
        ),
        (("NumberOfRetries", "-1"), "NumberOfRetries of Lambda must be a whole number from 0 to 300"),
    ] {
        assert_eq!(with_function(&[parameter], json!({})).unwrap_err().message, said);
    }
    let apart = json!({ "Type": "RecordDeAggregation",
        "Parameters": [{ "ParameterName": "SubRecordType", "ParameterValue": "JSON" }] });
    let both = json!({ "ProcessingConfiguration": processors(json!([apart, lambda(&[])])) });
    assert_eq!(
        refused(both),
        "the processor RecordDeAggregation beside Lambda is not supported by this server"
    );
}

#[test]
fn an_update_changes_neither_a_function_nor_the_backup_beside_it() {
    let kept = |more: Value| {
        let input: CreateInput = serde_json::from_value(json!({
            "DeliveryStreamName": "a", "ExtendedS3DestinationConfiguration": destination(&more),
        }))
        .unwrap();
        input.delivery_stream(0).unwrap()
    };
    let function = |parameters| json!({ "ProcessingConfiguration": processors(json!([lambda(parameters)])) });
    let (none, three, four) =
        (kept(json!({})), kept(function(&[])), kept(function(&[("NumberOfRetries", "4")])));
    let mut elsewhere = function(&[("NumberOfRetries", "3")]);
    elsewhere["Prefix"] = json!("other/");
    assert!(refuse_change(&three, &kept(elsewhere.clone())).is_ok());
    for (before, after) in [(&none, &three), (&three, &none), (&three, &four)] {
        let message = refuse_change(before, after).unwrap_err().message;
        assert!(
            message.ends_with("takes away the processor Lambda is not supported by this server"),
            "{message}"
        );
    }
    elsewhere["S3BackupMode"] = json!("Enabled");
    let message = refuse_change(&three, &kept(elsewhere)).unwrap_err().message;
    assert!(message.contains("S3BackupConfiguration beside the processor Lambda"), "{message}");
    assert!(refuse_change(&none, &kept(json!({ "S3BackupMode": "Enabled" }))).is_ok());
}

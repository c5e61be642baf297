use serde_json::{Value, json};

use super::*;
use crate::config::checked::{
    ColumnsSource, Content, Delimiter, Format, JsonCompression, OrcCompression, ParquetCompression,
    RawFormat, Selection,
};
use crate::config::node_for_tests;
use crate::edge::aws::firehose::delivery_stream::CreateInput;
use crate::edge::aws::protocol::failure::FailureKind;

mod processors;

const NODE: &str = r#"
[aws]
s3_sink = { endpoint = "http://127.0.0.1:9000", region = "us-east-1", access_key_id = "k", secret_access_key = "s" }
[[aws.table]]
database = "lake"
name = "clicks"
columns = [{ name = "id", type = "int64" }, { name = "at", type = "timestamp_micros" }, { name = "tags", type = "list<string>" }]
[[aws.table]]
database = "lake"
name = "learned"
schema = "infer"
[[function]]
name = "enrich"
url = "http://127.0.0.1:9001/"
"#;

const ROLE: &str = "arn:aws:iam::123456789012:role/firehose";

/// An extended destination with these members more.
fn destination(more: &Value) -> Value {
    let mut destination = json!({ "RoleARN": ROLE, "BucketARN": "arn:aws:s3:::lake" });
    destination.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    destination
}

fn mapped(input: Value) -> Result<Mapped, Failure> {
    let input: CreateInput = serde_json::from_value(input).unwrap();
    map(&input.delivery_stream(0)?, &node_for_tests(NODE))
}

fn with(more: Value) -> Result<Mapped, Failure> {
    mapped(
        json!({ "DeliveryStreamName": "clicks", "ExtendedS3DestinationConfiguration": destination(&more) }),
    )
}

/// What is answered to a destination with these members more.
fn refused(more: Value) -> String {
    let error = with(more).expect_err("it is refused");
    assert_eq!(error.kind, FailureKind::InvalidArgument, "{error:?}");
    error.message
}

fn processors(processors: Value) -> Value {
    json!({ "Enabled": true, "Processors": processors })
}

fn partitioned(query: &str, prefix: &str) -> Value {
    json!({
        "Prefix": prefix,
        "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
        "DynamicPartitioningConfiguration": { "Enabled": true, "RetryOptions": { "DurationInSeconds": 300 } },
        "ProcessingConfiguration": processors(json!([{
            "Type": "MetadataExtraction",
            "Parameters": [
                { "ParameterName": "MetadataExtractionQuery", "ParameterValue": query },
                { "ParameterName": "JsonParsingEngine", "ParameterValue": "JQ-1.6" },
            ],
        }])),
    })
}

#[test]
fn the_least_configuration_has_the_defaults_of_the_service() {
    let Mapped { pipeline, de_aggregation, .. } = with(json!({})).unwrap();
    assert_eq!(de_aggregation, None);
    assert_eq!(pipeline.stream.name, "firehose.clicks");
    assert_eq!(pipeline.stream.durability.as_str(), "fsync");
    let [delivery] = pipeline.deliveries.as_slice() else { panic!("one delivery") };
    assert_eq!(delivery.name, "s3");
    assert_eq!(delivery.sink.url.as_str(), "s3://lake/");
    assert_eq!(delivery.sink.options["aws_endpoint"], "http://127.0.0.1:9000");
    assert_eq!(delivery.sink.options["aws_secret_access_key"], "s");
    assert_eq!((delivery.buffer.size_bytes, delivery.buffer.interval.as_secs()), (5 << 20, 300));
    assert_eq!(delivery.prefix.as_str(), "!{timestamp:yyyy/MM/dd/HH}/");
    assert_eq!(delivery.error_prefix.as_str(), "!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd/HH}/");
    let raw = RawFormat { compression: JsonCompression::None, delimiter: Delimiter::None };
    assert!(matches!(delivery.format, Format::Raw(format) if format == raw), "{:?}", delivery.format);
    assert_eq!((pipeline.ingest.content, &delivery.extension), (Content::Any, &None));
}

#[test]
fn each_member_has_its_place() {
    let Mapped { pipeline, .. } = with(json!({
        "Prefix": "data/{x}/",
        "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/!{timestamp:yyyy}/",
        "BufferingHints": { "SizeInMBs": 64, "IntervalInSeconds": 0 },
        "CompressionFormat": "GZIP",
        "EncryptionConfiguration": { "NoEncryptionConfig": "NoEncryption" },
        "CloudWatchLoggingOptions": { "Enabled": true, "LogGroupName": "g", "LogStreamName": "s" },
        "CustomTimeZone": "Europe/Berlin",
        "FileExtension": ".log.gz",
        "S3BackupMode": "Enabled",
        "S3BackupConfiguration": {
            "RoleARN": ROLE, "BucketARN": "arn:aws:s3:::raw", "Prefix": "all/", "CompressionFormat": "Snappy",
            "BufferingHints": { "SizeInMBs": 1, "IntervalInSeconds": 900 },
        },
    }))
    .unwrap();
    let [delivery, backup] = pipeline.deliveries.as_slice() else { panic!("a delivery and its backup") };
    assert_eq!(delivery.prefix.as_str(), "data/{{x}}/!{timestamp:yyyy/MM/dd/HH}/");
    assert_eq!(delivery.error_prefix.as_str(), "errors/!{firehose:error-output-type}/!{timestamp:yyyy}/");
    assert_eq!((delivery.buffer.size_bytes, delivery.buffer.interval.as_secs()), (64 << 20, 1));
    assert!(
        matches!(delivery.format, Format::Raw(format) if matches!(format.compression, JsonCompression::Gzip { .. }))
    );
    assert_eq!(delivery.extension.as_deref(), Some(".log.gz"));
    assert!(!delivery.placement.terms.time_zone.is_utc());
    assert_eq!(backup.name, "s3-backup");
    assert_eq!(backup.sink.url.as_str(), "s3://raw/");
    assert_eq!(backup.prefix.as_str(), "all/!{timestamp:yyyy/MM/dd/HH}/");
    assert_eq!((backup.buffer.size_bytes, backup.buffer.interval.as_secs()), (1 << 20, 900));
    assert!(matches!(backup.selection, Selection::All));
    let raw = RawFormat { compression: JsonCompression::Snappy, delimiter: Delimiter::None };
    assert!(matches!(backup.format, Format::Raw(format) if format == raw), "{:?}", backup.format);
    assert_eq!(backup.extension, None);
}

#[test]
fn the_older_form_is_the_same_with_fewer_members() {
    let old = |more: Value| {
        mapped(json!({ "DeliveryStreamName": "a", "S3DestinationConfiguration": destination(&more) }))
    };
    let Mapped { pipeline, .. } = old(json!({ "CompressionFormat": "HADOOP_SNAPPY" })).unwrap();
    assert_eq!(pipeline.deliveries[0].format.compression(), ("hadoop_snappy", None));
    let error = old(json!({ "CustomTimeZone": "UTC" })).unwrap_err();
    assert_eq!(error.message, "CustomTimeZone is for ExtendedS3DestinationConfiguration");
}

#[test]
fn queries_become_folders() {
    let query = "{customer: .customer.id, device:(.device // \"none\"), year: .at|strftime(\"%Y\")}";
    let prefix = "c=!{partitionKeyFromQuery:customer}/d=!{partitionKeyFromQuery:device}/y=!{partitionKeyFromQuery:year}/";
    let Mapped { pipeline, .. } = with(partitioned(query, prefix)).unwrap();
    let delivery = &pipeline.deliveries[0];
    let expected = "c=!{partitionKeyFromQuery:customer}/d=!{partitionKeyFromQuery:device}/y={event_time:%Y}/";
    assert_eq!(delivery.prefix.as_str(), expected);
    let pointers: Vec<_> = delivery.prefix.pointers().iter().map(|pointer| pointer.as_str()).collect();
    assert_eq!(pointers, ["/customer/id", "/device"]);
    assert_eq!(delivery.event_time.as_ref().unwrap().as_str(), "/at");
    assert_eq!(delivery.buffer.size_bytes, 128 << 20);
}

#[test]
fn files_of_columns_take_them_from_the_nodes_tables() {
    let conversion = |serializer: Value, deserializer: Value, table: &str| {
        json!({ "DataFormatConversionConfiguration": {
            "SchemaConfiguration": { "RoleARN": ROLE, "DatabaseName": "lake", "TableName": table, "Region": "us-east-1", "VersionId": "LATEST" },
            "InputFormatConfiguration": { "Deserializer": deserializer },
            "OutputFormatConfiguration": { "Serializer": serializer },
            "Enabled": true,
        }})
    };
    let parquet = json!({ "ParquetSerDe": { "Compression": "GZIP", "BlockSizeBytes": 268_435_456, "WriterVersion": "V1" } });
    let open_x =
        json!({ "OpenXJsonSerDe": { "CaseInsensitive": true, "ColumnToJsonKeyMappings": { "id": "ID" } } });
    let Mapped { pipeline, .. } = with(conversion(parquet.clone(), open_x.clone(), "clicks")).unwrap();
    assert_eq!(pipeline.columns_source, Some(ColumnsSource::Declared));
    assert_eq!(pipeline.ingest.content, Content::Json);
    let Format::Parquet(format) = &pipeline.deliveries[0].format else { panic!("Parquet") };
    assert!(matches!(format.compression, ParquetCompression::Gzip { .. }));
    let columns: Vec<_> =
        format.columns.as_slice().iter().map(|column| (column.name.as_str(), column.key())).collect();
    assert_eq!(columns, [("id", "ID"), ("at", "at"), ("tags", "tags")]);

    let orc = json!({ "OrcSerDe": {
        "StripeSizeBytes": 8_388_608, "RowIndexStride": 1000, "Compression": "ZLIB", "BloomFilterColumns": ["id"],
        "BloomFilterFalsePositiveProbability": 0.05, "DictionaryKeyThreshold": 0.8, "FormatVersion": "V0_12",
    }});
    let hive = json!({ "HiveJsonSerDe": { "TimestampFormats": ["millis"] } });
    let Mapped { pipeline, .. } = with(conversion(orc.clone(), hive.clone(), "clicks")).unwrap();
    let Format::Orc(format) = &pipeline.deliveries[0].format else { panic!("ORC") };
    assert!(matches!(format.compression, OrcCompression::Zlib { .. }));
    assert_eq!((format.stripe_bytes, format.row_index_stride), (8 << 20, 1000));
    assert_eq!(format.bloom_filters, ["id"]);

    let Mapped { pipeline, .. } = with(conversion(orc, hive, "learned")).unwrap();
    assert!(matches!(pipeline.columns_source, Some(ColumnsSource::Inferred(_))));

    for (serializer, deserializer, table, said) in [
        (
            &parquet,
            &open_x,
            "none",
            "SchemaConfiguration: this node has no table \"none\" in a database \"lake\"",
        ),
        (
            &parquet,
            &open_x,
            "learned",
            "OpenXJsonSerDe.ColumnToJsonKeyMappings of columns that are learned is not supported",
        ),
        (&parquet, &json!({}), "clicks", "Deserializer must have either OpenXJsonSerDe or HiveJsonSerDe"),
        (&json!({}), &open_x, "clicks", "Serializer must have either ParquetSerDe or OrcSerDe"),
        (
            &json!({ "ParquetSerDe": { "WriterVersion": "V2" } }),
            &open_x,
            "clicks",
            "ParquetSerDe.WriterVersion V2 is not supported",
        ),
        (
            &json!({ "OrcSerDe": { "FormatVersion": "V0_11" } }),
            &open_x,
            "clicks",
            "OrcSerDe.FormatVersion V0_11 is not supported",
        ),
        (
            &json!({ "OrcSerDe": { "BloomFilterColumns": ["nope"] } }),
            &open_x,
            "clicks",
            "OrcSerDe.BloomFilterColumns: bloom_filters:",
        ),
        (
            &json!({ "OrcSerDe": { "StripeSizeBytes": 1_073_741_824 } }),
            &open_x,
            "clicks",
            "OrcSerDe.StripeSizeBytes: stripe must be",
        ),
        (
            &parquet,
            &json!({ "OpenXJsonSerDe": { "ConvertDotsInJsonKeysToUnderscores": true } }),
            "clicks",
            "ConvertDotsInJsonKeysToUnderscores is not supported",
        ),
        (
            &parquet,
            &json!({ "OpenXJsonSerDe": { "ColumnToJsonKeyMappings": { "x": "y" } } }),
            "clicks",
            "the table has no column \"x\"",
        ),
        (
            &parquet,
            &json!({ "HiveJsonSerDe": { "TimestampFormats": ["yyyy"] } }),
            "clicks",
            "HiveJsonSerDe.TimestampFormats \"yyyy\" is not supported",
        ),
    ] {
        let message = refused(conversion(serializer.clone(), deserializer.clone(), table));
        assert!(message.contains(said), "{message}");
    }
    let mut compressed = conversion(parquet, open_x, "clicks");
    compressed["CompressionFormat"] = json!("GZIP");
    assert!(
        refused(compressed).starts_with("CompressionFormat must be UNCOMPRESSED when data format conversion")
    );
}

#[test]
fn a_line_feed_stands_behind_records_where_it_is_asked_for_and_nothing_else_can() {
    let appended = |parameters: Value| {
        with(json!({ "ProcessingConfiguration": processors(json!([
            { "Type": "AppendDelimiterToRecord", "Parameters": parameters },
        ]))}))
    };
    let delimiter = |value: &str| json!([{ "ParameterName": "Delimiter", "ParameterValue": value }]);
    for parameters in [json!([]), delimiter("\\n"), delimiter("\n")] {
        let Mapped { pipeline, .. } = appended(parameters).unwrap();
        let Format::Raw(format) = &pipeline.deliveries[0].format else { panic!("raw") };
        assert_eq!(format.delimiter, Delimiter::Newline);
    }
    let input: CreateInput = serde_json::from_value(json!({
        "DeliveryStreamName": "a",
        "ExtendedS3DestinationConfiguration": destination(&json!({ "ProcessingConfiguration": processors(json!([
            { "Type": "AppendDelimiterToRecord", "Parameters": delimiter(";") },
        ]))})),
    }))
    .unwrap();
    let kept = input.delivery_stream(0).unwrap();
    let error = refuse_anew(&kept).unwrap_err();
    assert_eq!(
        error.message,
        "the Delimiter \";\" of AppendDelimiterToRecord is not supported by this server"
    );
    // One that was taken before is served as it was then.
    let Mapped { pipeline, .. } = map(&kept, &node_for_tests(NODE)).unwrap();
    assert!(
        matches!(&pipeline.deliveries[0].format, Format::Raw(format) if format.delimiter == Delimiter::Newline)
    );
}

#[test]
fn what_does_not_go_together_or_is_not_here_is_refused_by_name() {
    for (more, said) in [
        (json!({ "CompressionFormat": "ZIP" }), "CompressionFormat ZIP is not supported by this server"),
        (json!({ "CustomTimeZone": "Europe/Nowhere" }), "CustomTimeZone: time_zone: "),
        (
            json!({ "EncryptionConfiguration": { "KMSEncryptionConfig": { "AWSKMSKeyARN": "x" } } }),
            "EncryptionConfiguration.KMSEncryptionConfig is not supported",
        ),
        (
            json!({ "S3BackupMode": "Enabled" }),
            "S3BackupConfiguration must be provided when S3BackupMode is Enabled",
        ),
        (json!({ "Prefix": "/x/" }), "; Prefix: prefix: a prefix must not begin with '/'"),
        (
            json!({ "Prefix": "!{firehose:error-output-type}/" }),
            "Prefix must not contain !{firehose:error-output-type}",
        ),
        (
            json!({ "Prefix": "!{timestamp:yyyy}/" }),
            "ErrorOutputPrefix must be provided when Prefix contains expressions",
        ),
        (json!({ "Prefix": "!{timestamp:yyyy" }), "Prefix has an expression !{ without a } behind it"),
        (
            json!({ "Prefix": "!{timestamp:wwww}/", "ErrorOutputPrefix": "e/!{firehose:error-output-type}/" }),
            "Prefix: prefix: !{timestamp:…} takes",
        ),
        (
            json!({ "ErrorOutputPrefix": "e/!{timestamp:yyyy}/" }),
            "ErrorOutputPrefix must contain !{firehose:error-output-type}",
        ),
        (
            json!({ "Prefix": "!{partitionKeyFromQuery:x}/", "ErrorOutputPrefix": "e/" }),
            "Dynamic Partitioning Namespaces can not be part of Prefix expression when Dynamic Partitioning is not enabled.",
        ),
        (
            partitioned("{a:.x}", "data/"),
            "Prefix must contain a !{partitionKeyFromQuery:…} when Dynamic Partitioning is enabled.",
        ),
        (partitioned("{a:.x}", "!{partitionKeyFromQuery:b}/"), "Prefix: prefix: no partition key \"b\""),
        (
            partitioned("{a:.x|strftime(\"%Y\"),b:.y|strftime(\"%m\")}", "!{partitionKeyFromQuery:a}/"),
            "strftime of one field only, not of /x and /y",
        ),
    ] {
        let message = refused(more);
        assert!(message.contains(said), "{message}");
    }
    let mut small = partitioned("{a:.x}", "!{partitionKeyFromQuery:a}/");
    small["BufferingHints"] = json!({ "SizeInMBs": 5, "IntervalInSeconds": 60 });
    assert_eq!(
        refused(small),
        "BufferingHints.SizeInMBs must be at least 64 when Dynamic Partitioning is enabled."
    );
    let nowhere: CreateInput = serde_json::from_value(
        json!({ "DeliveryStreamName": "a", "ExtendedS3DestinationConfiguration": destination(&json!({})) }),
    )
    .unwrap();
    let error = map(&nowhere.delivery_stream(0).unwrap(), &node_for_tests("")).unwrap_err();
    assert!(error.message.contains("write s3_sink = { … } in [aws]"), "{error:?}");
}

#[test]
fn a_stream_as_source_gets_one_more_delivery() {
    let source = |more: Value| {
        mapped(json!({
            "DeliveryStreamName": "clicks-s3",
            "DeliveryStreamType": "KinesisStreamAsSource",
            "KinesisStreamSourceConfiguration": {
                "KinesisStreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/clicks", "RoleARN": ROLE,
            },
            "ExtendedS3DestinationConfiguration": destination(&more),
        }))
    };
    let Mapped { pipeline, .. } = source(json!({})).unwrap();
    assert_eq!(pipeline.stream.name, "clicks");
    assert_eq!(pipeline.deliveries[0].name, "firehose.clicks-s3");
    let apart = json!({ "ProcessingConfiguration": processors(json!([{
        "Type": "RecordDeAggregation",
        "Parameters": [{ "ParameterName": "SubRecordType", "ParameterValue": "JSON" }],
    }])) });
    assert!(
        source(apart)
            .unwrap_err()
            .message
            .contains("the processor RecordDeAggregation for a Kinesis stream as source")
    );
}

#[test]
fn constraints_of_the_model_are_told_all_at_once_in_the_words_of_the_service() {
    let error = mapped(json!({
        "DeliveryStreamName": "a b",
        "DeliveryStreamType": "Direct",
        "ExtendedS3DestinationConfiguration": {
            "BucketARN": "lake",
            "RoleARN": ROLE,
            "BufferingHints": { "SizeInMBs": 129, "IntervalInSeconds": -1 },
            "ProcessingConfiguration": { "Processors": [{ "Type": "Other" }] },
        },
    }))
    .unwrap_err();
    assert_eq!(error.kind, FailureKind::Validation);
    let told: Vec<_> = error.message.split("; ").collect();
    assert_eq!(
        told,
        [
            "6 validation errors detected: Value 'a b' at 'deliveryStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
            "Value 'Direct' at 'deliveryStreamType' failed to satisfy constraint: Member must satisfy enum value set: [DirectPut, KinesisStreamAsSource, MSKAsSource, DatabaseAsSource]",
            "Value 'lake' at 'extendedS3DestinationConfiguration.bucketARN' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:.*:s3:::[\\w\\.\\-]{1,255}",
            "Value '129' at 'extendedS3DestinationConfiguration.bufferingHints.sizeInMBs' failed to satisfy constraint: Member must have value less than or equal to 128",
            "Value '-1' at 'extendedS3DestinationConfiguration.bufferingHints.intervalInSeconds' failed to satisfy constraint: Member must have value greater than or equal to 0",
            "Value 'Other' at 'extendedS3DestinationConfiguration.processingConfiguration.processors.1.member.type' failed to satisfy constraint: Member must satisfy enum value set: [RecordDeAggregation, Decompression, CloudWatchLogProcessing, Lambda, MetadataExtraction, AppendDelimiterToRecord]",
        ]
    );
    let error = mapped(json!({ "ExtendedS3DestinationConfiguration": {} })).unwrap_err();
    assert!(error.message.starts_with("3 validation errors detected: Value null at 'deliveryStreamName' failed to satisfy constraint: Member must not be null; "), "{error:?}");
}

#[test]
fn other_destinations_and_sources_are_refused_by_name() {
    for member in
        ["RedshiftDestinationConfiguration", "HttpEndpointDestinationConfiguration", "MSKSourceConfiguration"]
    {
        let error = mapped(json!({ "DeliveryStreamName": "a", member: {} })).unwrap_err();
        assert_eq!(error.message, format!("{member} is not supported by this server"));
    }
    let error = mapped(json!({ "DeliveryStreamName": "a" })).unwrap_err();
    assert!(error.message.starts_with("Exactly one destination configuration must be provided"), "{error:?}");
}

#[test]
fn a_member_that_nobody_knows_is_named() {
    let input =
        json!({ "DeliveryStreamName": "a", "ExtendedS3DestinationConfiguration": { "BucketArn": "x" } });
    let error = serde_json::from_value::<CreateInput>(input).unwrap_err();
    assert!(error.to_string().starts_with("unknown field `BucketArn`"), "{error:?}");
}

//! The constraints of the API's model, all broken ones at once, in the words of the service:
//! `2 validation errors detected: Value '' at 'deliveryStreamName' failed to satisfy constraint: Member must …; Value …`.
//!
//! Source: the shapes of the API model `firehose-2015-08-04`.

use std::fmt::Display;

use super::conversion::{Conversion, Orc, Parquet, SchemaPlace};
use super::destination::{BufferingHints, Destination, Encryption};
use super::processing::Processing;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};

/// Characters of a value that are quoted; the rest of an endless one is noise.
const QUOTED_MAX: usize = 256;

/// Characters of the name of a delivery stream.
pub const NAME_MAX: usize = 64;
/// Tags of a delivery stream.
pub const TAGS_MAX: usize = 50;

/// Collects what is broken.
#[derive(Debug, Default)]
pub struct Constraints {
    broken: Vec<String>,
}

impl Constraints {
    /// Nothing is broken yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// # Errors
    /// [`FailureKind::Validation`] if anything is broken.
    pub fn checked(self) -> Result<(), Failure> {
        let Self { broken } = self;
        if broken.is_empty() {
            return Ok(());
        }
        let (count, errors) = (broken.len(), if broken.len() == 1 { "error" } else { "errors" });
        let message = format!("{count} validation {errors} detected: {}", broken.join("; "));
        Err(Failure::new(FailureKind::Validation, message))
    }

    /// A constraint that is broken.
    pub fn add(&mut self, path: &str, value: impl Display, constraint: impl Display) {
        let value: String = value.to_string().chars().take(QUOTED_MAX).collect();
        self.broken.push(format!("Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"));
    }

    /// A member that must be there.
    pub fn required<T>(&mut self, path: &str, value: Option<&T>) {
        if value.is_none() {
            let text =
                format!("Value null at '{path}' failed to satisfy constraint: Member must not be null");
            self.broken.push(text);
        }
    }

    /// Characters of a text.
    pub fn length(&mut self, path: &str, value: Option<&str>, min: usize, max: usize) {
        let Some(value) = value else { return };
        let length = value.chars().count();
        if length < min {
            self.add(path, value, format!("Member must have length greater than or equal to {min}"));
        } else if length > max {
            self.add(path, value, format!("Member must have length less than or equal to {max}"));
        }
    }

    /// Entries of a list.
    pub fn count(&mut self, path: &str, count: Option<usize>, min: usize, max: usize) {
        let Some(count) = count else { return };
        let shown = format!("[{count} members]");
        if count < min {
            self.add(path, shown, format!("Member must have length greater than or equal to {min}"));
        } else if count > max {
            self.add(path, shown, format!("Member must have length less than or equal to {max}"));
        }
    }

    /// A text of a certain form. `pattern` is what the service calls it.
    pub fn pattern(&mut self, path: &str, value: Option<&str>, is_right: fn(&str) -> bool, pattern: &str) {
        if let Some(value) = value.filter(|value| !is_right(value)) {
            self.add(path, value, format!("Member must satisfy regular expression pattern: {pattern}"));
        }
    }

    /// A number.
    pub fn range(&mut self, path: &str, value: Option<i64>, min: i64, max: i64) {
        match value {
            Some(value) if value < min => {
                self.add(path, value, format!("Member must have value greater than or equal to {min}"));
            }
            Some(value) if value > max => {
                self.add(path, value, format!("Member must have value less than or equal to {max}"));
            }
            _ => {}
        }
    }

    /// A share of one.
    pub fn proportion(&mut self, path: &str, value: Option<f64>) {
        match value {
            Some(value) if value < 0.0 => {
                self.add(path, value, "Member must have value greater than or equal to 0");
            }
            Some(value) if value > 1.0 => {
                self.add(path, value, "Member must have value less than or equal to 1");
            }
            _ => {}
        }
    }

    /// One of a few words.
    pub fn word(&mut self, path: &str, value: Option<&str>, words: &[&str]) {
        if let Some(value) = value.filter(|value| !words.contains(value)) {
            self.add(path, value, format!("Member must satisfy enum value set: [{}]", words.join(", ")));
        }
    }

    /// `DeliveryStreamName`, which must be there.
    pub fn name(&mut self, path: &str, value: Option<&String>) {
        self.required(path, value);
        let value = value.map(String::as_str);
        self.length(path, value, 1, NAME_MAX);
        // An empty one is too short already.
        self.pattern(path, value.filter(|value| !value.is_empty()), is_name, "[a-zA-Z0-9_.-]+");
    }

    /// The destination at `path`; an update may leave everything out.
    pub fn destination(&mut self, path: &str, destination: &Destination, is_update: bool) {
        let at = |member: &str| format!("{path}.{member}");
        let Destination { role_arn, bucket_arn, prefix, error_output_prefix, .. } = destination;
        if !is_update {
            self.required(&at("roleARN"), role_arn.as_ref());
            self.required(&at("bucketARN"), bucket_arn.as_ref());
        }
        self.role(&at("roleARN"), role_arn.as_deref());
        self.length(&at("bucketARN"), bucket_arn.as_deref(), 1, 2048);
        let pattern = "arn:.*:s3:::[\\w\\.\\-]{1,255}";
        self.pattern(&at("bucketARN"), bucket_arn.as_deref(), |arn| bucket_of(arn).is_some(), pattern);
        self.length(&at("prefix"), prefix.as_deref(), 0, 1024);
        self.length(&at("errorOutputPrefix"), error_output_prefix.as_deref(), 0, 1024);
        let formats = ["UNCOMPRESSED", "GZIP", "ZIP", "Snappy", "HADOOP_SNAPPY"];
        self.word(&at("compressionFormat"), destination.compression_format.as_deref(), &formats);
        self.buffering(&at("bufferingHints"), destination.buffering_hints.as_ref());
        if let Some(Encryption { no_encryption_config, .. }) = &destination.encryption_configuration {
            let path = at("encryptionConfiguration.noEncryptionConfig");
            self.word(&path, no_encryption_config.as_deref(), &["NoEncryption"]);
        }
        if let Some(logging) = &destination.cloud_watch_logging_options {
            let path = at("cloudWatchLoggingOptions");
            self.length(&format!("{path}.logGroupName"), logging.log_group_name.as_deref(), 0, 512);
            self.length(&format!("{path}.logStreamName"), logging.log_stream_name.as_deref(), 0, 512);
        }
        self.word(&at("s3BackupMode"), destination.s3_backup_mode.as_deref(), &["Disabled", "Enabled"]);
        self.length(&at("fileExtension"), destination.file_extension.as_deref(), 0, 128);
        let pattern = "^$|\\.[0-9a-z!\\-_.*'()]+";
        self.pattern(&at("fileExtension"), destination.file_extension.as_deref(), is_extension, pattern);
        self.length(&at("customTimeZone"), destination.custom_time_zone.as_deref(), 0, 50);
        self.pattern(
            &at("customTimeZone"),
            destination.custom_time_zone.as_deref(),
            is_time_zone,
            "^$|[a-zA-Z/_]+",
        );
        self.processing(&at("processingConfiguration"), destination.processing_configuration.as_ref());
        if let Some(conversion) = &destination.data_format_conversion_configuration {
            self.conversion(&at("dataFormatConversionConfiguration"), conversion);
        }
        let partitioning = destination.dynamic_partitioning_configuration.as_ref();
        let retry = partitioning.and_then(|partitioning| partitioning.retry_options.as_ref());
        let path = at("dynamicPartitioningConfiguration.retryOptions.durationInSeconds");
        self.range(&path, retry.and_then(|retry| retry.duration_in_seconds), 0, 7200);
        if let Some(backup) = &destination.s3_backup {
            let member = if is_update { "s3BackupUpdate" } else { "s3BackupConfiguration" };
            self.destination(&at(member), backup, is_update);
        }
    }

    /// The ARN of a role.
    pub fn role(&mut self, path: &str, value: Option<&str>) {
        self.length(path, value, 1, 512);
        let pattern = "arn:.*:iam::\\d{12}:role/[a-zA-Z_0-9+=,.@\\-_/]+";
        self.pattern(path, value.filter(|value| !value.is_empty()), is_role, pattern);
    }

    fn buffering(&mut self, path: &str, hints: Option<&BufferingHints>) {
        let Some(BufferingHints { size_in_mbs, interval_in_seconds }) = hints else { return };
        self.range(&format!("{path}.sizeInMBs"), *size_in_mbs, 1, 128);
        self.range(&format!("{path}.intervalInSeconds"), *interval_in_seconds, 0, 900);
    }

    fn processing(&mut self, path: &str, processing: Option<&Processing>) {
        const KINDS: [&str; 6] = [
            "RecordDeAggregation",
            "Decompression",
            "CloudWatchLogProcessing",
            "Lambda",
            "MetadataExtraction",
            "AppendDelimiterToRecord",
        ];
        const NAMES: [&str; 11] = [
            "LambdaArn",
            "NumberOfRetries",
            "MetadataExtractionQuery",
            "JsonParsingEngine",
            "RoleArn",
            "BufferSizeInMBs",
            "BufferIntervalInSeconds",
            "SubRecordType",
            "Delimiter",
            "CompressionFormat",
            "DataMessageExtraction",
        ];
        let processors = processing.and_then(|processing| processing.processors.as_ref());
        for (index, processor) in processors.into_iter().flatten().enumerate() {
            let path = format!("{path}.processors.{}.member", index + 1);
            self.required(&format!("{path}.type"), processor.kind.as_ref());
            self.word(&format!("{path}.type"), processor.kind.as_deref(), &KINDS);
            for (index, parameter) in processor.parameters.iter().flatten().enumerate() {
                let path = format!("{path}.parameters.{}.member", index + 1);
                let (name, value) = (&parameter.parameter_name, &parameter.parameter_value);
                self.required(&format!("{path}.parameterName"), name.as_ref());
                self.word(&format!("{path}.parameterName"), name.as_deref(), &NAMES);
                self.required(&format!("{path}.parameterValue"), value.as_ref());
                self.length(&format!("{path}.parameterValue"), value.as_deref(), 1, 5120);
            }
        }
    }

    fn conversion(&mut self, path: &str, conversion: &Conversion) {
        if let Some(place) = &conversion.schema_configuration {
            let SchemaPlace { role_arn, catalog_id, database_name, table_name, region, version_id } = place;
            for (member, value) in [
                ("roleARN", role_arn),
                ("catalogId", catalog_id),
                ("databaseName", database_name),
                ("tableName", table_name),
                ("region", region),
                ("versionId", version_id),
            ] {
                let path = format!("{path}.schemaConfiguration.{member}");
                self.length(&path, value.as_deref(), 1, 1024);
                let has_no_space = |text: &str| !text.chars().any(char::is_whitespace);
                self.pattern(&path, value.as_deref(), has_no_space, "^\\S+$");
            }
        }
        let output = conversion.output_format_configuration.as_ref();
        let Some(serializer) = output.and_then(|output| output.serializer.as_ref()) else { return };
        let path = format!("{path}.outputFormatConfiguration.serializer");
        if let Some(parquet) = &serializer.parquet_ser_de {
            let at = |member: &str| format!("{path}.parquetSerDe.{member}");
            let Parquet { block_size_bytes, page_size_bytes, compression, .. } = parquet;
            self.range(&at("blockSizeBytes"), *block_size_bytes, 64 << 20, i64::MAX);
            self.range(&at("pageSizeBytes"), *page_size_bytes, 64 << 10, i64::MAX);
            self.word(&at("compression"), compression.as_deref(), &["UNCOMPRESSED", "GZIP", "SNAPPY"]);
            self.range(&at("maxPaddingBytes"), parquet.max_padding_bytes, 0, i64::MAX);
            self.word(&at("writerVersion"), parquet.writer_version.as_deref(), &["V1", "V2"]);
        }
        if let Some(orc) = &serializer.orc_ser_de {
            self.orc(&format!("{path}.orcSerDe"), orc);
        }
    }

    fn orc(&mut self, path: &str, orc: &Orc) {
        let at = |member: &str| format!("{path}.{member}");
        self.range(&at("stripeSizeBytes"), orc.stripe_size_bytes, 8 << 20, i64::MAX);
        self.range(&at("blockSizeBytes"), orc.block_size_bytes, 64 << 20, i64::MAX);
        self.range(&at("rowIndexStride"), orc.row_index_stride, 1000, i64::MAX);
        self.proportion(&at("paddingTolerance"), orc.padding_tolerance);
        self.word(&at("compression"), orc.compression.as_deref(), &["NONE", "ZLIB", "SNAPPY"]);
        let probability = orc.bloom_filter_false_positive_probability;
        self.proportion(&at("bloomFilterFalsePositiveProbability"), probability);
        self.proportion(&at("dictionaryKeyThreshold"), orc.dictionary_key_threshold);
        self.word(&at("formatVersion"), orc.format_version.as_deref(), &["V0_11", "V0_12"]);
    }
}

/// `[a-zA-Z0-9_.-]+`.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// The bucket of `arn:aws:s3:::BUCKET`.
pub fn bucket_of(arn: &str) -> Option<&str> {
    let (_, bucket) = arn.strip_prefix("arn:")?.split_once(":s3:::")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    Some(bucket).filter(|bucket| (1..=255).contains(&bucket.len()) && bucket.bytes().all(allowed))
}

/// The stream of `arn:aws:kinesis:REGION:ACCOUNT:stream/NAME`.
pub fn stream_of(arn: &str) -> Option<&str> {
    let (_, behind) = arn.strip_prefix("arn:")?.split_once(":kinesis:")?;
    let mut parts = behind.splitn(3, ':');
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let is_region = region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let name = resource.strip_prefix("stream/")?;
    Some(name).filter(|name| {
        !region.is_empty() && is_region && is_account(account) && !name.is_empty() && is_name(name)
    })
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_role(arn: &str) -> bool {
    let account_and_role = arn.strip_prefix("arn:").and_then(|rest| rest.split_once(":iam::"));
    let parts = account_and_role.and_then(|(_, behind)| behind.split_once(":role/"));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&byte);
    parts.is_some_and(|(account, role)| is_account(account) && !role.is_empty() && role.bytes().all(allowed))
}

fn is_extension(text: &str) -> bool {
    text.is_empty() || crate::config::is_extension(text)
}

fn is_time_zone(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic() || b"/_".contains(&byte))
}

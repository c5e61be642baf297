//! The shapes of an S3 destination, as clients write them: `ExtendedS3DestinationConfiguration`,
//! `S3DestinationConfiguration`, and the `…Update` forms of both, which have the same members.
//!
//! Every member is optional here: what is missing or out of its bounds is found by [`super::validation`], all at once.
//! A member that is not known is an error that names it. What was given is kept as it is, and described as it is.
//! Source: the API model `firehose-2015-08-04`.

use serde::{Deserialize, Serialize};

use super::conversion::Conversion;
use super::processing::Processing;

/// `ExtendedS3DestinationConfiguration`, or the plain form, which has fewer members.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Destination {
    /// Accepted and described; the node's own credentials are used.
    #[serde(rename = "RoleARN")]
    pub role_arn: Option<String>,
    /// `arn:aws:s3:::BUCKET`.
    #[serde(rename = "BucketARN")]
    pub bucket_arn: Option<String>,
    /// Path of an object up to its name, with expressions.
    pub prefix: Option<String>,
    /// The same for records that cannot be delivered.
    pub error_output_prefix: Option<String>,
    /// When an object is closed.
    pub buffering_hints: Option<BufferingHints>,
    /// `UNCOMPRESSED`, `GZIP`, `ZIP`, `Snappy` or `HADOOP_SNAPPY`.
    pub compression_format: Option<String>,
    /// Encryption by the store.
    pub encryption_configuration: Option<Encryption>,
    /// Accepted and described; there is no CloudWatch here.
    pub cloud_watch_logging_options: Option<CloudWatchLogging>,
    /// What is done to records before they are delivered.
    pub processing_configuration: Option<Processing>,
    /// `Disabled` or `Enabled`.
    #[serde(rename = "S3BackupMode")]
    pub s3_backup_mode: Option<String>,
    /// Where the records go as they came. Updates call it `S3BackupUpdate`.
    #[serde(rename = "S3BackupConfiguration", alias = "S3BackupUpdate")]
    pub s3_backup: Option<Box<Destination>>,
    /// JSON to Parquet or ORC.
    pub data_format_conversion_configuration: Option<Conversion>,
    /// Folders by the fields of records.
    pub dynamic_partitioning_configuration: Option<DynamicPartitioning>,
    /// End of an object's name.
    pub file_extension: Option<String>,
    /// Zone of the times in prefixes.
    pub custom_time_zone: Option<String>,
}

/// `BufferingHints`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct BufferingHints {
    /// Mebibytes, whatever the name says.
    #[serde(rename = "SizeInMBs")]
    pub size_in_mbs: Option<i64>,
    /// Seconds.
    pub interval_in_seconds: Option<i64>,
}

/// `EncryptionConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Encryption {
    /// `NoEncryption`.
    pub no_encryption_config: Option<String>,
    /// Refused.
    #[serde(rename = "KMSEncryptionConfig")]
    pub kms_encryption_config: Option<serde_json::Value>,
}

/// `CloudWatchLoggingOptions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CloudWatchLogging {
    /// Whether errors are to be logged there.
    pub enabled: Option<bool>,
    /// Name of the group.
    pub log_group_name: Option<String>,
    /// Name of the stream.
    pub log_stream_name: Option<String>,
}

/// `DynamicPartitioningConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct DynamicPartitioning {
    /// How long failed uploads are tried again; here without end.
    pub retry_options: Option<RetryOptions>,
    /// Whether it is used.
    pub enabled: Option<bool>,
}

/// `RetryOptions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RetryOptions {
    /// Seconds.
    pub duration_in_seconds: Option<i64>,
}

impl Destination {
    /// Whether records are put into folders by their fields.
    pub fn is_partitioned(&self) -> bool {
        let partitioning = self.dynamic_partitioning_configuration.as_ref();
        partitioning.and_then(|partitioning| partitioning.enabled).unwrap_or(false)
    }

    /// The conversion, where it is used: it is unless it says otherwise.
    pub fn conversion(&self) -> Option<&Conversion> {
        self.data_format_conversion_configuration
            .as_ref()
            .filter(|conversion| conversion.enabled.unwrap_or(true))
    }

    /// What `update` says, and what it does not say as it was: member by member, not within them.
    #[must_use]
    pub fn updated(self, update: Destination) -> Self {
        Destination {
            role_arn: update.role_arn.or(self.role_arn),
            bucket_arn: update.bucket_arn.or(self.bucket_arn),
            prefix: update.prefix.or(self.prefix),
            error_output_prefix: update.error_output_prefix.or(self.error_output_prefix),
            buffering_hints: update.buffering_hints.or(self.buffering_hints),
            compression_format: update.compression_format.or(self.compression_format),
            encryption_configuration: update.encryption_configuration.or(self.encryption_configuration),
            cloud_watch_logging_options: update
                .cloud_watch_logging_options
                .or(self.cloud_watch_logging_options),
            processing_configuration: update.processing_configuration.or(self.processing_configuration),
            s3_backup_mode: update.s3_backup_mode.or(self.s3_backup_mode),
            s3_backup: match (self.s3_backup, update.s3_backup) {
                (Some(known), Some(update)) => Some(Box::new(known.updated(*update))),
                (known, update) => update.or(known),
            },
            data_format_conversion_configuration: update
                .data_format_conversion_configuration
                .or(self.data_format_conversion_configuration),
            dynamic_partitioning_configuration: update
                .dynamic_partitioning_configuration
                .or(self.dynamic_partitioning_configuration),
            file_extension: update.file_extension.or(self.file_extension),
            custom_time_zone: update.custom_time_zone.or(self.custom_time_zone),
        }
    }
}

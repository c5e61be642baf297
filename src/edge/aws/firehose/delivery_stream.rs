//! A delivery stream: what clients have said it is, as the node keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::destination::Destination;
use super::unsupported;
use super::validation::{Constraints, TAGS_MAX, stream_of};
use crate::edge::aws::protocol::failure::Failure;
use crate::runtime::clock::UnixMicros;

/// What the one destination of every delivery stream is called.
pub const DESTINATION_ID: &str = "destinationId-000000000001";

/// `CreateDeliveryStream`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateInput {
    /// Its name.
    pub delivery_stream_name: Option<String>,
    /// `DirectPut` or `KinesisStreamAsSource`.
    pub delivery_stream_type: Option<String>,
    /// Accepted and described.
    pub direct_put_source_configuration: Option<DirectPut>,
    /// The stream that records come from.
    pub kinesis_stream_source_configuration: Option<KinesisSource>,
    /// A label.
    pub delivery_stream_encryption_configuration_input: Option<EncryptionKey>,
    /// The older form of the destination.
    #[serde(rename = "S3DestinationConfiguration")]
    pub s3_destination_configuration: Option<Destination>,
    /// The destination.
    #[serde(rename = "ExtendedS3DestinationConfiguration")]
    pub extended_s3_destination_configuration: Option<Destination>,
    /// Tags.
    pub tags: Option<Vec<Tag>>,
    /// Members that are refused by their names: the other sources and destinations.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// `DirectPutSourceConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct DirectPut {
    /// Mebibytes a second.
    #[serde(rename = "ThroughputHintInMBs")]
    pub throughput_hint_in_mbs: Option<i64>,
}

/// `KinesisStreamSourceConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct KinesisSource {
    /// Its last part is the stream's name.
    #[serde(rename = "KinesisStreamARN")]
    pub kinesis_stream_arn: Option<String>,
    /// Accepted and described.
    #[serde(rename = "RoleARN")]
    pub role_arn: Option<String>,
}

/// `DeliveryStreamEncryptionConfigurationInput`: a label, nothing is encrypted by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct EncryptionKey {
    /// The key, where it is a customer's.
    #[serde(rename = "KeyARN")]
    pub key_arn: Option<String>,
    /// `AWS_OWNED_CMK` or `CUSTOMER_MANAGED_CMK`.
    pub key_type: Option<String>,
}

/// `Tag`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Tag {
    /// Unique.
    pub key: Option<String>,
    /// May be missing.
    pub value: Option<String>,
}

/// A delivery stream. Its members are those of the file that the node keeps of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryStream {
    /// 1 to 64 of `a-z A-Z 0-9 _ . -`. Unique.
    pub name: String,
    /// Grows by one with each update; the first is 1.
    pub version: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When its destination was changed last, in milliseconds since 1970.
    pub updated_ms: Option<i64>,
    /// When an update has given it its backup, in milliseconds since 1970; none where it was made with one or has none.
    #[serde(default)]
    pub backup_since_ms: Option<i64>,
    /// The stream that records come from; none where clients put them.
    pub source: Option<KinesisSource>,
    /// Mebibytes a second that clients have said they will put.
    pub throughput_hint_in_mbs: Option<i64>,
    /// Where records go.
    pub destination: Destination,
    /// A label.
    pub encryption: Option<EncryptionKey>,
    /// By key. A value may be missing.
    pub tags: BTreeMap<String, Option<String>>,
    /// Whether it goes once its last records are delivered; it takes no more of them.
    #[serde(default)]
    pub is_deleting: bool,
}

impl CreateInput {
    /// The delivery stream that is to be made.
    ///
    /// # Errors
    /// Constraints of the model that are broken; or a member that is not supported, by name.
    pub fn delivery_stream(self, now_ms: i64) -> Result<DeliveryStream, Failure> {
        self.validate()?;
        if let Some((member, _)) = self.other.iter().find(|(_, value)| !value.is_null()) {
            return Err(unsupported(member));
        }
        let kind = self.delivery_stream_type.as_deref().unwrap_or("DirectPut");
        let source = match (kind, self.kinesis_stream_source_configuration) {
            ("DirectPut", None) => None,
            ("KinesisStreamAsSource", Some(source)) => Some(source),
            ("KinesisStreamAsSource", None) => {
                return Err(Failure::invalid(
                    "KinesisStreamSourceConfiguration must be provided for DeliveryStreamType KinesisStreamAsSource",
                ));
            }
            ("DirectPut", Some(_)) => {
                return Err(Failure::invalid(
                    "KinesisStreamSourceConfiguration must not be provided for DeliveryStreamType DirectPut",
                ));
            }
            (other, _) => return Err(unsupported(&format!("DeliveryStreamType {other}"))),
        };
        let direct = self.direct_put_source_configuration;
        if direct.is_some() && source.is_some() {
            let message = "DirectPutSourceConfiguration is for DeliveryStreamType DirectPut";
            return Err(Failure::invalid(message));
        }
        if source.is_some() && self.delivery_stream_encryption_configuration_input.is_some() {
            let message = "DeliveryStreamEncryptionConfigurationInput is for DeliveryStreamType DirectPut";
            return Err(Failure::invalid(message));
        }
        let destination =
            one_destination(self.s3_destination_configuration, self.extended_s3_destination_configuration)?;
        let tags = self.tags.into_iter().flatten();
        Ok(DeliveryStream {
            name: self.delivery_stream_name.unwrap_or_default(),
            version: 1,
            created_ms: now_ms,
            updated_ms: None,
            backup_since_ms: None,
            source,
            throughput_hint_in_mbs: direct.and_then(|direct| direct.throughput_hint_in_mbs),
            destination,
            encryption: self.delivery_stream_encryption_configuration_input,
            tags: tags.map(|tag| (tag.key.unwrap_or_default(), tag.value)).collect(),
            is_deleting: false,
        })
    }

    fn validate(&self) -> Result<(), Failure> {
        let mut constraints = Constraints::new();
        constraints.name("deliveryStreamName", self.delivery_stream_name.as_ref());
        let kinds = ["DirectPut", "KinesisStreamAsSource", "MSKAsSource", "DatabaseAsSource"];
        constraints.word("deliveryStreamType", self.delivery_stream_type.as_deref(), &kinds);
        if let Some(direct) = &self.direct_put_source_configuration {
            let path = "directPutSourceConfiguration.throughputHintInMBs";
            constraints.required(path, direct.throughput_hint_in_mbs.as_ref());
            constraints.range(path, direct.throughput_hint_in_mbs, 1, 100);
        }
        if let Some(KinesisSource { kinesis_stream_arn, role_arn }) =
            &self.kinesis_stream_source_configuration
        {
            let path = "kinesisStreamSourceConfiguration.kinesisStreamARN";
            constraints.required(path, kinesis_stream_arn.as_ref());
            constraints.length(path, kinesis_stream_arn.as_deref(), 1, 512);
            let pattern = "arn:.*:kinesis:[a-zA-Z0-9\\-]+:\\d{12}:stream/[a-zA-Z0-9_.-]+";
            let is_stream = |arn: &str| stream_of(arn).is_some();
            constraints.pattern(path, kinesis_stream_arn.as_deref(), is_stream, pattern);
            let path = "kinesisStreamSourceConfiguration.roleARN";
            constraints.required(path, role_arn.as_ref());
            constraints.role(path, role_arn.as_deref());
        }
        if let Some(key) = &self.delivery_stream_encryption_configuration_input {
            key.validate("deliveryStreamEncryptionConfigurationInput", &mut constraints);
        }
        if let Some(plain) = &self.s3_destination_configuration {
            constraints.destination("s3DestinationConfiguration", plain, false);
        }
        if let Some(extended) = &self.extended_s3_destination_configuration {
            constraints.destination("extendedS3DestinationConfiguration", extended, false);
        }
        if let Some(tags) = &self.tags {
            validate_tags(tags, &mut constraints);
        }
        constraints.checked()
    }
}

impl EncryptionKey {
    /// Its constraints.
    pub fn validate(&self, path: &str, constraints: &mut Constraints) {
        let Self { key_arn, key_type } = self;
        constraints.length(&format!("{path}.keyARN"), key_arn.as_deref(), 1, 512);
        let path = format!("{path}.keyType");
        constraints.required(&path, key_type.as_ref());
        constraints.word(&path, key_type.as_deref(), &["AWS_OWNED_CMK", "CUSTOMER_MANAGED_CMK"]);
    }
}

/// The constraints of tags.
pub fn validate_tags(tags: &[Tag], constraints: &mut Constraints) {
    constraints.count("tags", Some(tags.len()), 1, TAGS_MAX);
    for (index, Tag { key, value }) in tags.iter().take(TAGS_MAX).enumerate() {
        let path = format!("tags.{}.member", index + 1);
        constraints.required(&format!("{path}.key"), key.as_ref());
        constraints.length(&format!("{path}.key"), key.as_deref(), 1, 128);
        let is_own = |key: &str| !key.starts_with("aws:");
        let pattern = "^(?!aws:)[\\p{L}\\p{Z}\\p{N}_.:\\/=+\\-@%]*$";
        constraints.pattern(&format!("{path}.key"), key.as_deref(), is_own, pattern);
        constraints.length(&format!("{path}.value"), value.as_deref(), 0, 256);
    }
}

/// The older form, or the newer one.
///
/// # Errors
/// Unless it is one of them; or if the older form has members of the newer one.
pub fn one_destination(
    plain: Option<Destination>,
    extended: Option<Destination>,
) -> Result<Destination, Failure> {
    match (plain, extended) {
        (Some(plain), None) => match plain.extended_member() {
            None => Ok(plain),
            Some(member) => {
                Err(Failure::invalid(format!("{member} is for ExtendedS3DestinationConfiguration")))
            }
        },
        (None, Some(extended)) => Ok(extended),
        (None, None) => Err(Failure::invalid(
            "Exactly one destination configuration must be provided: ExtendedS3DestinationConfiguration is what this server has",
        )),
        (Some(_), Some(_)) => Err(Failure::invalid(
            "Exactly one destination configuration must be provided, not both S3DestinationConfiguration and ExtendedS3DestinationConfiguration",
        )),
    }
}

impl Destination {
    /// A member that only the extended form has.
    fn extended_member(&self) -> Option<&'static str> {
        [
            ("ProcessingConfiguration", self.processing_configuration.is_some()),
            ("S3BackupMode", self.s3_backup_mode.is_some()),
            ("S3BackupConfiguration", self.s3_backup.is_some()),
            ("DataFormatConversionConfiguration", self.data_format_conversion_configuration.is_some()),
            ("DynamicPartitioningConfiguration", self.dynamic_partitioning_configuration.is_some()),
            ("FileExtension", self.file_extension.is_some()),
            ("CustomTimeZone", self.custom_time_zone.is_some()),
        ]
        .into_iter()
        .find_map(|(member, is_there)| is_there.then_some(member))
    }
}

impl DeliveryStream {
    /// `DirectPut` or `KinesisStreamAsSource`.
    pub fn kind(&self) -> &'static str {
        match self.source {
            None => "DirectPut",
            Some(_) => "KinesisStreamAsSource",
        }
    }

    /// When it was made: it delivers what has arrived in its source then or later.
    pub fn made_at(&self) -> UnixMicros {
        UnixMicros(self.created_ms.saturating_mul(1_000))
    }

    /// Notes that the update that is being made gives it a backup.
    pub fn begin_backup(&mut self) {
        self.backup_since_ms = self.updated_ms;
    }

    /// When an update has given it its backup, if one has: that has what has arrived then or later.
    pub fn backup_since(&self) -> Option<UnixMicros> {
        self.backup_since_ms.map(|since| UnixMicros(since.saturating_mul(1_000)))
    }

    /// The stream that records come from, if that is another one.
    pub fn source_stream(&self) -> Option<&str> {
        stream_of(self.source.as_ref()?.kinesis_stream_arn.as_deref()?)
    }
}

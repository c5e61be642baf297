//! The shapes of `DataFormatConversionConfiguration`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `DataFormatConversionConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Conversion {
    /// Which columns.
    pub schema_configuration: Option<SchemaPlace>,
    /// How JSON is read.
    pub input_format_configuration: Option<InputFormat>,
    /// How files are written.
    pub output_format_configuration: Option<OutputFormat>,
    /// Whether it is used. Default: it is.
    pub enabled: Option<bool>,
}

/// `SchemaConfiguration`: a table of the Glue catalog there; a `[[aws.table]]` of the node's file here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SchemaPlace {
    /// Accepted and described.
    #[serde(rename = "RoleARN")]
    pub role_arn: Option<String>,
    /// Accepted and described.
    pub catalog_id: Option<String>,
    /// `database` of the table.
    pub database_name: Option<String>,
    /// `name` of the table.
    pub table_name: Option<String>,
    /// Accepted and described.
    pub region: Option<String>,
    /// `LATEST`; others are refused.
    pub version_id: Option<String>,
}

/// `InputFormatConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct InputFormat {
    /// One of two.
    pub deserializer: Option<Deserializer>,
}

/// `Deserializer`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Deserializer {
    /// OpenX's.
    #[serde(rename = "OpenXJsonSerDe")]
    pub open_x_json_ser_de: Option<OpenXJson>,
    /// Hive's.
    pub hive_json_ser_de: Option<HiveJson>,
}

/// `OpenXJsonSerDe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct OpenXJson {
    /// Only false is taken.
    pub convert_dots_in_json_keys_to_underscores: Option<bool>,
    /// Accepted and described: fields are found by the table's `key`, letter by letter.
    pub case_insensitive: Option<bool>,
    /// The record's field of a column, where it is called otherwise.
    pub column_to_json_key_mappings: Option<BTreeMap<String, String>>,
}

/// `HiveJsonSerDe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct HiveJson {
    /// `millis` is taken.
    pub timestamp_formats: Option<Vec<String>>,
}

/// `OutputFormatConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct OutputFormat {
    /// One of two.
    pub serializer: Option<Serializer>,
}

/// `Serializer`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Serializer {
    /// Parquet.
    pub parquet_ser_de: Option<Parquet>,
    /// ORC.
    pub orc_ser_de: Option<Orc>,
}

/// `ParquetSerDe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Parquet {
    /// A block of HDFS, which is for padding only: accepted and described.
    pub block_size_bytes: Option<i64>,
    /// Accepted and described.
    pub page_size_bytes: Option<i64>,
    /// `UNCOMPRESSED`, `GZIP` or `SNAPPY`.
    pub compression: Option<String>,
    /// Accepted and described: columns with few distinct values have a dictionary.
    pub enable_dictionary_compression: Option<bool>,
    /// Accepted and described: nothing is padded.
    pub max_padding_bytes: Option<i64>,
    /// `V1`; the other one is refused.
    pub writer_version: Option<String>,
}

/// `OrcSerDe`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Orc {
    /// Encoded size of a stripe.
    pub stripe_size_bytes: Option<i64>,
    /// A block of HDFS, which is for padding only: accepted and described.
    pub block_size_bytes: Option<i64>,
    /// Rows of an entry of the row index.
    pub row_index_stride: Option<i64>,
    /// Accepted and described: nothing is padded.
    pub enable_padding: Option<bool>,
    /// Accepted and described.
    pub padding_tolerance: Option<f64>,
    /// `NONE`, `ZLIB` or `SNAPPY`.
    pub compression: Option<String>,
    /// Columns with a bloom filter.
    pub bloom_filter_columns: Option<Vec<String>>,
    /// Accepted and described: it is 0.01.
    pub bloom_filter_false_positive_probability: Option<f64>,
    /// Accepted and described: a dictionary is used where it is smaller.
    pub dictionary_key_threshold: Option<f64>,
    /// `V0_12`; the other one is refused.
    pub format_version: Option<String>,
}

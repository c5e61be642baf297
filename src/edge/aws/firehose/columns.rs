//! `DataFormatConversionConfiguration` → format and columns.
//!
//! The columns are those of the `[[aws.table]]` that has the configuration's database and table. What only says how a
//! file is laid out within (HDFS blocks, padding, pages, dictionaries, thresholds) is kept and described, and has no
//! effect here.

use super::conversion::{Conversion, Deserializer, Orc, Parquet, SchemaPlace};
use super::destination::Destination;
use super::unsupported;
use crate::config::checked::Table;
use crate::config::raw::{ColumnTable, DeliveryTable};
use crate::edge::aws::protocol::failure::Failure;

const MEMBER: &str = "DataFormatConversionConfiguration";

/// Files of columns.
pub(super) struct ColumnarFiles<'a> {
    /// Their columns; none where they are learned.
    pub declared: Option<Vec<ColumnTable>>,
    format: Format<'a>,
}

enum Format<'a> {
    Parquet(&'a Parquet),
    Orc(&'a Orc),
}

/// The conversion of a destination, if there is any.
pub(super) fn of<'a>(
    destination: &'a Destination,
    tables: &[Table],
) -> Result<Option<ColumnarFiles<'a>>, Failure> {
    let Some(conversion) = destination.conversion() else { return Ok(None) };
    let table = table_of(conversion, tables)?;
    let deserializer =
        conversion.input_format_configuration.as_ref().and_then(|input| input.deserializer.as_ref());
    let deserializer = needed(deserializer, "InputFormatConfiguration.Deserializer")?;
    let output = conversion.output_format_configuration.as_ref();
    let serializer =
        needed(output.and_then(|output| output.serializer.as_ref()), "OutputFormatConfiguration.Serializer")?;
    let format = match (&serializer.parquet_ser_de, &serializer.orc_ser_de) {
        (Some(parquet), None) => Format::Parquet(parquet),
        (None, Some(orc)) => Format::Orc(orc),
        _ => {
            let message = format!("{MEMBER}: Serializer must have either ParquetSerDe or OrcSerDe");
            return Err(Failure::invalid(message));
        }
    };
    format.refuse_what_is_missing()?;
    let declared = read_with(deserializer, table.columns.clone())?;
    Ok(Some(ColumnarFiles { declared, format }))
}

fn needed<'a, T>(value: Option<&'a T>, member: &str) -> Result<&'a T, Failure> {
    let missing = || Failure::invalid(format!("{MEMBER}.{member} must be provided when Enabled is true"));
    value.ok_or_else(missing)
}

fn table_of<'t>(conversion: &Conversion, tables: &'t [Table]) -> Result<&'t Table, Failure> {
    let place = needed(conversion.schema_configuration.as_ref(), "SchemaConfiguration")?;
    let SchemaPlace { database_name, table_name, version_id, .. } = place;
    let database = needed(database_name.as_ref(), "SchemaConfiguration.DatabaseName")?;
    let name = needed(table_name.as_ref(), "SchemaConfiguration.TableName")?;
    if version_id.as_deref().is_some_and(|version| version != "LATEST") {
        return Err(unsupported("SchemaConfiguration.VersionId other than LATEST"));
    }
    let found = tables.iter().find(|table| table.database == *database && table.name == *name);
    found.ok_or_else(|| {
        Failure::invalid(format!(
            "SchemaConfiguration: this node has no table {name:?} in a database {database:?}: write it as [[aws.table]] in the node's file"
        ))
    })
}

/// The columns as the deserialiser is to read them.
fn read_with(
    deserializer: &Deserializer,
    columns: Option<Vec<ColumnTable>>,
) -> Result<Option<Vec<ColumnTable>>, Failure> {
    match (&deserializer.open_x_json_ser_de, &deserializer.hive_json_ser_de) {
        (Some(open_x), None) => {
            if open_x.convert_dots_in_json_keys_to_underscores == Some(true) {
                let member = "OpenXJsonSerDe.ConvertDotsInJsonKeysToUnderscores";
                return Err(unsupported(member));
            }
            let mappings = open_x.column_to_json_key_mappings.as_ref();
            let Some(mappings) = mappings.filter(|mappings| !mappings.is_empty()) else { return Ok(columns) };
            let Some(mut columns) = columns else {
                let what = "OpenXJsonSerDe.ColumnToJsonKeyMappings of columns that are learned";
                return Err(unsupported(what));
            };
            for (name, key) in mappings {
                let column = columns.iter_mut().find(|column| column.name.as_ref() == Some(name));
                let column = column.ok_or_else(|| {
                    Failure::invalid(format!("ColumnToJsonKeyMappings: the table has no column {name:?}"))
                })?;
                column.key = Some(key.clone());
            }
            Ok(Some(columns))
        }
        (None, Some(hive)) => {
            let formats = hive.timestamp_formats.iter().flatten();
            if let Some(other) = formats.clone().find(|format| *format != "millis") {
                let what = format!("HiveJsonSerDe.TimestampFormats {other:?}");
                return Err(unsupported(&what));
            }
            let in_millis = formats.count() > 0;
            Ok(columns.map(|mut columns| {
                for column in columns.iter_mut().filter(|column| in_millis && is_timestamp(column)) {
                    column.epoch.get_or_insert_with(|| "millis".to_owned());
                }
                columns
            }))
        }
        _ => {
            let message = format!("{MEMBER}: Deserializer must have either OpenXJsonSerDe or HiveJsonSerDe");
            Err(Failure::invalid(message))
        }
    }
}

fn is_timestamp(column: &ColumnTable) -> bool {
    column.type_text.as_deref().is_some_and(|text| text.trim_start().starts_with("timestamp"))
}

impl Format<'_> {
    fn refuse_what_is_missing(&self) -> Result<(), Failure> {
        match self {
            Format::Parquet(Parquet { writer_version: Some(version), .. }) if version != "V1" => {
                Err(unsupported(&format!("ParquetSerDe.WriterVersion {version}")))
            }
            Format::Orc(Orc { format_version: Some(version), .. }) if version != "V0_12" => {
                Err(unsupported(&format!("OrcSerDe.FormatVersion {version}")))
            }
            _ => Ok(()),
        }
    }
}

impl ColumnarFiles<'_> {
    /// The delivery with this format.
    pub(super) fn format_of(&self, delivery: DeliveryTable) -> DeliveryTable {
        match self.format {
            Format::Parquet(parquet) => DeliveryTable {
                format: Some("parquet".to_owned()),
                delimiter: None,
                compression: Some(
                    match parquet.compression.as_deref() {
                        Some("UNCOMPRESSED") => "none",
                        Some("GZIP") => "gzip",
                        _ => "snappy",
                    }
                    .to_owned(),
                ),
                ..delivery
            },
            Format::Orc(orc) => DeliveryTable {
                format: Some("orc".to_owned()),
                delimiter: None,
                compression: Some(
                    match orc.compression.as_deref() {
                        Some("NONE") => "none",
                        Some("ZLIB") => "zlib",
                        _ => "snappy",
                    }
                    .to_owned(),
                ),
                stripe: orc.stripe_size_bytes.map(|bytes| format!("{bytes}B")),
                row_index_stride: orc.row_index_stride,
                bloom_filters: orc.bloom_filter_columns.clone().filter(|columns| !columns.is_empty()),
                ..delivery
            },
        }
    }
}

//! A format in the ledger: what a file must be like for its records to be found in it again. How its rows are grouped,
//! sorted and indexed is no part of it, and as configured today.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::EpochError;
use crate::config::checked::{
    Delimiter, Format, JsonCompression, JsonFormat, OrcCompression, OrcFormat, ParquetCompression,
    ParquetFormat, RawFormat,
};
use crate::schema::columns::{Coercion, Column, ColumnDeclaration, ColumnError, Columns, Reading, TimeUnit};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum FormatText {
    Json {
        /// Level of gzip; without it and without `compression` the file is plain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gzip_level: Option<u8>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compression: Option<JsonCodec>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<u8>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        envelope: bool,
    },
    Raw {
        /// Left out for a plain file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compression: Option<JsonCodec>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<u8>,
        delimiter: DelimiterText,
    },
    Parquet {
        compression: PageCodec,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<u8>,
        columns: Vec<ColumnText>,
        /// Version of the columns, if they were learned from records.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema_version: Option<u32>,
    },
    Orc {
        compression: StreamCodec,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<u8>,
        columns: Vec<ColumnText>,
        /// Version of the columns, if they were learned from records.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema_version: Option<u32>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum JsonCodec {
    /// In JSON lines it is told by `gzip_level`.
    Gzip,
    Zstd,
    Snappy,
    HadoopSnappy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PageCodec {
    None,
    Snappy,
    Gzip,
    Zstd,
    Lz4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StreamCodec {
    None,
    Snappy,
    Zlib,
    Zstd,
    Lz4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DelimiterText {
    Newline,
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnText {
    name: String,
    #[serde(rename = "type")]
    type_text: String,
    nullable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Coercion::is_strict")]
    coerce: Coercion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<TimeUnit>,
}

/// Level of a codec whose text has lost it: the fastest.
const LEVEL_MISSING: u8 = 1;

impl FormatText {
    pub(super) fn of(format: &Format) -> Self {
        let (_, level) = format.compression();
        match format {
            Format::Json(JsonFormat { compression, envelope }) => Self::of_json(*compression, *envelope),
            Format::Raw(RawFormat { compression, delimiter }) => {
                let (compression, level) = JsonCodec::of(*compression);
                let delimiter = match delimiter {
                    Delimiter::Newline => DelimiterText::Newline,
                    Delimiter::None => DelimiterText::None,
                };
                FormatText::Raw { compression, level, delimiter }
            }
            Format::Parquet(ParquetFormat { compression, columns, .. }) => FormatText::Parquet {
                compression: match compression {
                    ParquetCompression::None => PageCodec::None,
                    ParquetCompression::Snappy => PageCodec::Snappy,
                    ParquetCompression::Gzip { .. } => PageCodec::Gzip,
                    ParquetCompression::Zstd { .. } => PageCodec::Zstd,
                    ParquetCompression::Lz4 => PageCodec::Lz4,
                },
                level,
                columns: columns.as_slice().iter().map(ColumnText::of).collect(),
                schema_version: columns.version(),
            },
            Format::Orc(OrcFormat { compression, columns, .. }) => FormatText::Orc {
                compression: match compression {
                    OrcCompression::None => StreamCodec::None,
                    OrcCompression::Snappy => StreamCodec::Snappy,
                    OrcCompression::Zlib { .. } => StreamCodec::Zlib,
                    OrcCompression::Zstd { .. } => StreamCodec::Zstd,
                    OrcCompression::Lz4 => StreamCodec::Lz4,
                },
                level,
                columns: columns.as_slice().iter().map(ColumnText::of).collect(),
                schema_version: columns.version(),
            },
        }
    }

    fn of_json(compression: JsonCompression, envelope: bool) -> Self {
        match JsonCodec::of(compression) {
            (Some(JsonCodec::Gzip), gzip_level) => {
                FormatText::Json { gzip_level, compression: None, level: None, envelope }
            }
            (compression, level) => FormatText::Json { gzip_level: None, compression, level, envelope },
        }
    }

    /// The format as it was; what the ledger does not tell is as in `current` if that is of the same name.
    pub(super) fn restore(&self, current: &Format) -> Result<Format, EpochError> {
        Ok(match self {
            FormatText::Json { gzip_level, compression, level, envelope } => {
                let compression = match (compression, gzip_level) {
                    (None, Some(level)) => JsonCompression::Gzip { level: *level },
                    (codec, _) => JsonCodec::restore(*codec, *level),
                };
                Format::Json(JsonFormat { compression, envelope: *envelope })
            }
            FormatText::Raw { compression, level, delimiter } => Format::Raw(RawFormat {
                compression: JsonCodec::restore(*compression, *level),
                delimiter: match delimiter {
                    DelimiterText::Newline => Delimiter::Newline,
                    DelimiterText::None => Delimiter::None,
                },
            }),
            FormatText::Parquet { compression, level, columns, schema_version } => {
                let level = level.unwrap_or(LEVEL_MISSING);
                let compression = match compression {
                    PageCodec::None => ParquetCompression::None,
                    PageCodec::Snappy => ParquetCompression::Snappy,
                    PageCodec::Gzip => ParquetCompression::Gzip { level },
                    PageCodec::Zstd => ParquetCompression::Zstd { level },
                    PageCodec::Lz4 => ParquetCompression::Lz4,
                };
                let columns = restore_columns(columns, *schema_version)?;
                Format::Parquet(match current {
                    Format::Parquet(current) => ParquetFormat { compression, columns, ..current.clone() },
                    _ => ParquetFormat::new(compression, columns),
                })
            }
            FormatText::Orc { compression, level, columns, schema_version } => {
                let level = level.unwrap_or(LEVEL_MISSING);
                let compression = match compression {
                    StreamCodec::None => OrcCompression::None,
                    StreamCodec::Snappy => OrcCompression::Snappy,
                    StreamCodec::Zlib => OrcCompression::Zlib { level },
                    StreamCodec::Zstd => OrcCompression::Zstd { level },
                    StreamCodec::Lz4 => OrcCompression::Lz4,
                };
                let columns = restore_columns(columns, *schema_version)?;
                Format::Orc(match current {
                    Format::Orc(current) => OrcFormat { compression, columns, ..current.clone() },
                    _ => OrcFormat::new(compression, columns),
                })
            }
        })
    }
}

impl JsonCodec {
    /// The codec, none for plain files, and its level.
    fn of(compression: JsonCompression) -> (Option<Self>, Option<u8>) {
        match compression {
            JsonCompression::None => (None, None),
            JsonCompression::Gzip { level } => (Some(JsonCodec::Gzip), Some(level)),
            JsonCompression::Zstd { level } => (Some(JsonCodec::Zstd), Some(level)),
            JsonCompression::Snappy => (Some(JsonCodec::Snappy), None),
            JsonCompression::HadoopSnappy => (Some(JsonCodec::HadoopSnappy), None),
        }
    }

    fn restore(codec: Option<Self>, level: Option<u8>) -> JsonCompression {
        let level = level.unwrap_or(LEVEL_MISSING);
        match codec {
            None => JsonCompression::None,
            Some(JsonCodec::Gzip) => JsonCompression::Gzip { level },
            Some(JsonCodec::Zstd) => JsonCompression::Zstd { level },
            Some(JsonCodec::Snappy) => JsonCompression::Snappy,
            Some(JsonCodec::HadoopSnappy) => JsonCompression::HadoopSnappy,
        }
    }
}

fn restore_columns(columns: &[ColumnText], version: Option<u32>) -> Result<Arc<Columns>, EpochError> {
    if version.is_some() && columns.is_empty() {
        return Ok(Arc::new(Columns::unlearned()));
    }
    let declared: Vec<_> = columns.iter().map(ColumnText::declaration).collect();
    let first = |errors: Vec<(usize, ColumnError)>| {
        let first = errors.into_iter().next();
        EpochError::Columns(first.map_or(ColumnError::Empty, |(_, error)| error))
    };
    let columns = Columns::declared(&declared).map_err(first)?;
    Ok(Arc::new(match version {
        Some(version) => {
            Columns::learned(version, columns.as_slice().to_vec()).map_err(EpochError::Columns)?
        }
        None => columns,
    }))
}

impl ColumnText {
    fn of(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            type_text: column.column_type.to_string(),
            nullable: column.nullable,
            key: column.other_key.clone(),
            coerce: column.reading.coercion,
            epoch: column.reading.epoch,
        }
    }

    fn declaration(&self) -> ColumnDeclaration {
        ColumnDeclaration {
            key: self.key.clone(),
            reading: Reading { coercion: self.coerce, epoch: self.epoch },
            ..ColumnDeclaration::new(&self.name, &self.type_text, self.nullable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(columns: &Columns) -> String {
        let texts: Vec<_> = columns.as_slice().iter().map(ColumnText::of).collect();
        serde_json::to_string(&texts).unwrap()
    }

    fn restored(text: &str, version: Option<u32>) -> Columns {
        let texts: Vec<ColumnText> = serde_json::from_str(text).unwrap();
        restore_columns(&texts, version).unwrap().as_ref().clone()
    }

    #[test]
    fn columns_say_only_what_differs_from_the_default() {
        let mut renamed = ColumnDeclaration::new("at", "struct<t_s = \"t s\": timestamp_millis>", true);
        renamed.key = Some("a t".to_owned());
        renamed.reading = Reading { coercion: Coercion::Lenient, epoch: Some(TimeUnit::Seconds) };
        let declared = [ColumnDeclaration::new("id", "int64", false), renamed];
        let columns = Columns::declared(&declared).unwrap();
        let text = texts(&columns);
        assert_eq!(
            text,
            r#"[{"name":"id","type":"int64","nullable":false},{"name":"at","type":"struct<t_s = \"t s\": timestamp_millis>","nullable":true,"key":"a t","coerce":"lenient","epoch":"seconds"}]"#
        );
        assert_eq!(restored(&text, None), columns);
    }

    #[test]
    fn learned_columns_come_back_with_their_version_and_second_columns() {
        use crate::schema::inference::{Learner, OnConflict, Rules};
        let mut learner = Learner::new(&[], Rules { on_conflict: OnConflict::Suffix, columns_max: 100 });
        for record in [r#"{"a b":1,"s":{"x y":[1]}}"#, r#"{"a b":"t","s":{"x y":true}}"#] {
            learner.take(record).unwrap();
        }
        let columns = Columns::learned(7, learner.columns()).unwrap();
        assert_eq!(columns.as_slice().len(), 3);
        assert_eq!(restored(&texts(&columns), Some(7)), columns);
        assert_eq!(restored("[]", Some(0)), Columns::unlearned());
    }
}

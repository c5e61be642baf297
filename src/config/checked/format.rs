//! What the files of a delivery are.

use std::fmt;
use std::sync::Arc;

use crate::schema::columns::Columns;

/// What a delivery's files are.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// JSON lines; the payload as it came.
    Json(JsonFormat),
    /// The bytes of the payloads, whatever they are.
    Raw(RawFormat),
    /// Parquet.
    Parquet(ParquetFormat),
    /// ORC.
    Orc(OrcFormat),
}

/// JSON lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonFormat {
    /// Codec of the file.
    pub compression: JsonCompression,
    /// Whether each line is `{"arrival_time":…,"partition_key":…,"shard":…,"sequence_number":…,"record":…}` instead of
    /// the record alone.
    pub envelope: bool,
}

/// The bytes of the payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFormat {
    /// Codec of the file.
    pub compression: JsonCompression,
    /// What stands behind each record.
    pub delimiter: Delimiter,
}

/// What stands behind each record of a raw file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// A line feed.
    Newline,
    /// Nothing.
    None,
}

/// Codec of JSON lines and of raw files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonCompression {
    /// Plain text.
    None,
    /// Gzip at a level of libdeflate's (1 to 12).
    Gzip {
        /// The level.
        level: u8,
    },
    /// Zstandard (1 to 22).
    Zstd {
        /// The level.
        level: u8,
    },
    /// Snappy's own framing.
    Snappy,
    /// Snappy in the blocks that Hadoop's codecs read.
    HadoopSnappy,
}

/// Parquet files.
#[derive(Debug, Clone, PartialEq)]
pub struct ParquetFormat {
    /// Codec of the pages.
    pub compression: ParquetCompression,
    /// The columns, declared or derived from the JSON Schema.
    pub columns: Arc<Columns>,
    /// Encoded size of a row group, in bytes.
    pub row_group_bytes: u64,
    /// Columns with a bloom filter, as paths such as `pos.lat`.
    pub bloom_filters: Vec<String>,
    /// What the rows of a row group are sorted by; empty for the order of the stream.
    pub sort_by: Vec<SortColumn>,
}

/// A column that rows are sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortColumn {
    /// Its name.
    pub column: String,
    /// Whether the largest value comes first.
    pub descending: bool,
}

impl SortColumn {
    /// `-at` sorts by `at`, the largest first.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix('-') {
            Some(column) => Self { column: column.to_owned(), descending: true },
            None => Self { column: text.to_owned(), descending: false },
        }
    }
}

impl fmt::Display for SortColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, descending } = self;
        write!(f, "{}{column}", if *descending { "-" } else { "" })
    }
}

/// Codec of Parquet pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParquetCompression {
    /// Not compressed.
    None,
    /// Snappy.
    Snappy,
    /// Gzip (1 to 9).
    Gzip {
        /// The level.
        level: u8,
    },
    /// Zstandard (1 to 22).
    Zstd {
        /// The level.
        level: u8,
    },
    /// LZ4 blocks, which Parquet calls `LZ4_RAW`.
    Lz4,
}

/// ORC files.
#[derive(Debug, Clone, PartialEq)]
pub struct OrcFormat {
    /// Codec of the streams.
    pub compression: OrcCompression,
    /// The columns, declared or derived from the JSON Schema.
    pub columns: Arc<Columns>,
    /// Encoded size of a stripe, in bytes.
    pub stripe_bytes: u64,
    /// Rows of an entry of the row index.
    pub row_index_stride: u32,
    /// Columns with a bloom filter, as paths such as `pos.lat`.
    pub bloom_filters: Vec<String>,
}

/// Codec of ORC streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrcCompression {
    /// Not compressed.
    None,
    /// Zlib, which is raw deflate (1 to 12, of libdeflate's).
    Zlib {
        /// The level.
        level: u8,
    },
    /// Snappy.
    Snappy,
    /// LZ4 blocks.
    Lz4,
    /// Zstandard (1 to 22).
    Zstd {
        /// The level.
        level: u8,
    },
}

impl Format {
    /// The word in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Format::Json(_) => "json",
            Format::Raw(_) => "raw",
            Format::Parquet(_) => "parquet",
            Format::Orc(_) => "orc",
        }
    }

    /// The codec's word in the configuration, and its level where it has any.
    pub fn compression(&self) -> (&'static str, Option<u8>) {
        match self {
            Format::Json(format) => format.compression.word(),
            Format::Raw(format) => format.compression.word(),
            Format::Parquet(format) => format.compression.word(),
            Format::Orc(format) => format.compression.word(),
        }
    }

    /// The columns, where the format has any.
    pub fn columns(&self) -> Option<&Arc<Columns>> {
        match self {
            Format::Json(_) | Format::Raw(_) => None,
            Format::Parquet(format) => Some(&format.columns),
            Format::Orc(format) => Some(&format.columns),
        }
    }

    /// The same with other columns, where the format has any.
    #[must_use]
    pub fn with_columns(&self, columns: Arc<Columns>) -> Self {
        match self {
            Format::Json(format) => Format::Json(*format),
            Format::Raw(format) => Format::Raw(*format),
            Format::Parquet(format) => Format::Parquet(ParquetFormat { columns, ..format.clone() }),
            Format::Orc(format) => Format::Orc(OrcFormat { columns, ..format.clone() }),
        }
    }

    /// Ending of a file's name, where the delivery has none of its own.
    pub fn extension(&self) -> &'static str {
        match self {
            Format::Json(format) => match format.compression {
                JsonCompression::None => ".json",
                JsonCompression::Gzip { .. } => ".json.gz",
                JsonCompression::Zstd { .. } => ".json.zst",
                JsonCompression::Snappy => ".json.sz",
                JsonCompression::HadoopSnappy => ".json.snappy",
            },
            Format::Raw(format) => match format.compression {
                JsonCompression::None => ".raw",
                JsonCompression::Gzip { .. } => ".raw.gz",
                JsonCompression::Zstd { .. } => ".raw.zst",
                JsonCompression::Snappy => ".raw.sz",
                JsonCompression::HadoopSnappy => ".raw.snappy",
            },
            Format::Parquet(_) => ".parquet",
            Format::Orc(_) => ".orc",
        }
    }
}

impl From<JsonCompression> for JsonFormat {
    fn from(compression: JsonCompression) -> Self {
        JsonFormat { compression, envelope: false }
    }
}

impl From<JsonCompression> for Format {
    fn from(compression: JsonCompression) -> Self {
        Format::Json(compression.into())
    }
}

impl Delimiter {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Delimiter::Newline => "newline",
            Delimiter::None => "none",
        }
    }
}

impl ParquetFormat {
    /// `row_group` where it is not given: the larger part of what an open file costs. A file of the default 64 MiB has
    /// four.
    pub const ROW_GROUP_BYTES_DEFAULT: u64 = 16 << 20;

    /// Without anything that is not asked for.
    pub fn new(compression: ParquetCompression, columns: Arc<Columns>) -> Self {
        Self {
            compression,
            columns,
            row_group_bytes: Self::ROW_GROUP_BYTES_DEFAULT,
            bloom_filters: Vec::new(),
            sort_by: Vec::new(),
        }
    }
}

impl OrcFormat {
    /// `stripe` where it is not given: as Parquet's row group.
    pub const STRIPE_BYTES_DEFAULT: u64 = 16 << 20;
    /// `row_index_stride` where it is not given: the customary one.
    pub const ROW_INDEX_STRIDE_DEFAULT: u32 = 10_000;

    /// Without anything that is not asked for.
    pub fn new(compression: OrcCompression, columns: Arc<Columns>) -> Self {
        Self {
            compression,
            columns,
            stripe_bytes: Self::STRIPE_BYTES_DEFAULT,
            row_index_stride: Self::ROW_INDEX_STRIDE_DEFAULT,
            bloom_filters: Vec::new(),
        }
    }
}

impl JsonCompression {
    fn word(self) -> (&'static str, Option<u8>) {
        match self {
            JsonCompression::None => ("none", None),
            JsonCompression::Gzip { level } => ("gzip", Some(level)),
            JsonCompression::Zstd { level } => ("zstd", Some(level)),
            JsonCompression::Snappy => ("snappy", None),
            JsonCompression::HadoopSnappy => ("hadoop_snappy", None),
        }
    }
}

impl ParquetCompression {
    fn word(self) -> (&'static str, Option<u8>) {
        match self {
            ParquetCompression::None => ("none", None),
            ParquetCompression::Snappy => ("snappy", None),
            ParquetCompression::Gzip { level } => ("gzip", Some(level)),
            ParquetCompression::Zstd { level } => ("zstd", Some(level)),
            ParquetCompression::Lz4 => ("lz4", None),
        }
    }
}

impl OrcCompression {
    fn word(self) -> (&'static str, Option<u8>) {
        match self {
            OrcCompression::None => ("none", None),
            OrcCompression::Zlib { level } => ("zlib", Some(level)),
            OrcCompression::Snappy => ("snappy", None),
            OrcCompression::Lz4 => ("lz4", None),
            OrcCompression::Zstd { level } => ("zstd", Some(level)),
        }
    }
}

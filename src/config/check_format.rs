//! `format`, `compression` and what belongs to them, of `[[delivery]]`: raw → checked.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::check_delivery::PipelineColumns;
use super::check_named_columns::check_named_columns;
use super::checked::{
    Delimiter, Format, JsonCompression, JsonFormat, OrcCompression, OrcFormat, ParquetCompression,
    ParquetFormat, RawFormat, SortColumn,
};
use super::checker::Checker;
use super::limits;
use super::listed;
use super::raw::DeliveryTable;
use crate::schema::columns::Columns;

/// A codec that has levels: which, and the one that is taken where none is given.
struct Levels {
    range: RangeInclusive<u8>,
    default: u8,
}

/// Libdeflate's. Level 1 is as small as zlib's 2 at its speed of 1.
const DEFLATE: Levels = Levels { range: 1..=12, default: 1 };
/// Those of the gzip that Parquet's writer has.
const PAGE_GZIP: Levels = Levels { range: 1..=9, default: 6 };
/// Zstandard's.
const ZSTD: Levels = Levels { range: 1..=22, default: 1 };

/// How a word of `compression` becomes a codec.
enum Codec<T> {
    Plain(T),
    Leveled(Levels, fn(u8) -> T),
}

/// The format of the delivery at `path`; `None` where a problem was added.
pub(super) fn check_format(
    raw: &DeliveryTable,
    path: &str,
    columns: &PipelineColumns,
    checker: &mut Checker<'_>,
) -> Option<Format> {
    let format_path = format!("{path}.format");
    let words = ["json", "raw", "parquet", "orc"].map(|word| (word, word));
    let name = checker.word(&format_path, raw.format.as_deref(), "json", &words)?;
    refuse_foreign_keys(raw, path, name, checker);
    check_named_columns(raw, path, columns, checker);
    match name {
        "parquet" => {
            let compression = check_parquet_compression(raw, path, checker);
            let columns = needed_columns(columns, name, &format_path, checker);
            let row_group = checker.size_within(
                &format!("{path}.row_group"),
                raw.row_group.as_deref(),
                ParquetFormat::ROW_GROUP_BYTES_DEFAULT,
                limits::ROW_GROUP_BYTES_RANGE,
            );
            Some(Format::Parquet(ParquetFormat {
                row_group_bytes: row_group?,
                bloom_filters: raw.bloom_filters.clone().unwrap_or_default(),
                sort_by: raw.sort_by.iter().flatten().map(|text| SortColumn::parse(text)).collect(),
                ..ParquetFormat::new(compression?, columns?)
            }))
        }
        "orc" => {
            let compression = check_orc_compression(raw, path, checker);
            let columns = needed_columns(columns, name, &format_path, checker);
            let stripe = checker.size_within(
                &format!("{path}.stripe"),
                raw.stripe.as_deref(),
                OrcFormat::STRIPE_BYTES_DEFAULT,
                limits::ROW_GROUP_BYTES_RANGE,
            );
            let stride = checker.count(
                &format!("{path}.row_index_stride"),
                raw.row_index_stride,
                OrcFormat::ROW_INDEX_STRIDE_DEFAULT as usize,
                limits::ROW_INDEX_STRIDE_MAX,
            );
            Some(Format::Orc(OrcFormat {
                stripe_bytes: stripe?,
                row_index_stride: u32::try_from(stride?).ok()?,
                bloom_filters: raw.bloom_filters.clone().unwrap_or_default(),
                ..OrcFormat::new(compression?, columns?)
            }))
        }
        "raw" => check_raw(raw, path, checker),
        _ => {
            let compression = check_json_compression(raw, path, name, checker)?;
            let envelope = raw.envelope.unwrap_or(false);
            Some(Format::Json(JsonFormat { compression, envelope }))
        }
    }
}

pub(super) fn check_raw(raw: &DeliveryTable, path: &str, checker: &mut Checker<'_>) -> Option<Format> {
    let compression = check_json_compression(raw, path, "raw", checker);
    let words = [Delimiter::Newline, Delimiter::None].map(|delimiter| (delimiter.as_str(), delimiter));
    let delimiter =
        checker.word(&format!("{path}.delimiter"), raw.delimiter.as_deref(), Delimiter::Newline, &words);
    Some(Format::Raw(RawFormat { compression: compression?, delimiter: delimiter? }))
}

/// `extension`: nothing where it is not given, `None` where a problem was added.
pub(super) fn check_extension(
    text: Option<&str>,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Option<Arc<str>>> {
    let Some(text) = text else { return Some(None) };
    if is_extension(text) && text.len() <= limits::EXTENSION_BYTES_MAX {
        return Some(Some(text.into()));
    }
    let path = format!("{path}.extension");
    let quoted = checker.quote(&path, text);
    let message = format!("extension = {quoted} cannot end the name of a file");
    let help = format!(
        "write a point and 1 to {} of 0-9 a-z ! - _ . * ' ( ), such as \".jsonl\"",
        limits::EXTENSION_BYTES_MAX - 1
    );
    checker.problem_with_help(&path, message, help);
    None
}

/// As Amazon Data Firehose has them: `\.[0-9a-z!\-_.*'()]+`.
pub(crate) fn is_extension(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() || b"!-_.*'()".contains(&byte);
    text.len() > 1 && text.starts_with('.') && text.bytes().all(allowed)
}

/// Settings of one format in a delivery of another.
fn refuse_foreign_keys(raw: &DeliveryTable, path: &str, format: &str, checker: &mut Checker<'_>) {
    let keys: [(&str, bool, &[&str]); 7] = [
        ("delimiter", raw.delimiter.is_some(), &["raw"]),
        ("envelope", raw.envelope.is_some(), &["json"]),
        ("row_group", raw.row_group.is_some(), &["parquet"]),
        ("sort_by", raw.sort_by.is_some(), &["parquet"]),
        ("stripe", raw.stripe.is_some(), &["orc"]),
        ("row_index_stride", raw.row_index_stride.is_some(), &["orc"]),
        ("bloom_filters", raw.bloom_filters.is_some(), &["parquet", "orc"]),
    ];
    for (key, is_given, formats) in keys {
        if is_given && !formats.contains(&format) {
            let formats: Vec<_> = formats.iter().map(|format| format!("{format:?}")).collect();
            let message = format!("{key} is for format = {} only", formats.join(" or "));
            let path = format!("{path}.{key}");
            match (key, format) {
                ("envelope", "raw") => {
                    let help = "leave envelope out, or write format = \"json\" to have each record in one";
                    checker.problem_with_help(&path, message, help);
                }
                _ => checker.problem(&path, message),
            }
        }
    }
}

fn needed_columns(
    columns: &PipelineColumns,
    format: &str,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Arc<Columns>> {
    match columns {
        PipelineColumns::Known(columns) => Some(Arc::clone(columns)),
        PipelineColumns::Wrong => None,
        PipelineColumns::None => {
            let message = format!(
                "format = {format:?} needs columns, and there are neither columns nor a JSON Schema to derive them from"
            );
            let help = "write [schema] columns = [{ name = \"id\", type = \"int64\" }], or in [ingest] schema = \"FILE\", or \"infer\" to have them learned";
            checker.problem_with_help(path, message, help);
            None
        }
    }
}

/// The codec of `format`, JSON lines or raw.
pub(super) fn check_json_compression(
    raw: &DeliveryTable,
    path: &str,
    format: &str,
    checker: &mut Checker<'_>,
) -> Option<JsonCompression> {
    let codecs = [
        ("gzip", Codec::Leveled(DEFLATE, |level| JsonCompression::Gzip { level })),
        ("zstd", Codec::Leveled(ZSTD, |level| JsonCompression::Zstd { level })),
        ("snappy", Codec::Plain(JsonCompression::Snappy)),
        ("hadoop_snappy", Codec::Plain(JsonCompression::HadoopSnappy)),
        ("none", Codec::Plain(JsonCompression::None)),
    ];
    check_codec(raw, path, format, &codecs, checker)
}

fn check_parquet_compression(
    raw: &DeliveryTable,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<ParquetCompression> {
    let codecs = [
        ("snappy", Codec::Plain(ParquetCompression::Snappy)),
        ("zstd", Codec::Leveled(ZSTD, |level| ParquetCompression::Zstd { level })),
        ("gzip", Codec::Leveled(PAGE_GZIP, |level| ParquetCompression::Gzip { level })),
        ("lz4", Codec::Plain(ParquetCompression::Lz4)),
        ("none", Codec::Plain(ParquetCompression::None)),
    ];
    check_codec(raw, path, "parquet", &codecs, checker)
}

fn check_orc_compression(
    raw: &DeliveryTable,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<OrcCompression> {
    let codecs = [
        ("snappy", Codec::Plain(OrcCompression::Snappy)),
        ("zlib", Codec::Leveled(DEFLATE, |level| OrcCompression::Zlib { level })),
        ("zstd", Codec::Leveled(ZSTD, |level| OrcCompression::Zstd { level })),
        ("lz4", Codec::Plain(OrcCompression::Lz4)),
        ("none", Codec::Plain(OrcCompression::None)),
    ];
    check_codec(raw, path, "orc", &codecs, checker)
}

/// The codec that `compression` and `compression_level` name: the first of `codecs` where nothing is written.
fn check_codec<T: Copy>(
    raw: &DeliveryTable,
    path: &str,
    format: &str,
    codecs: &[(&str, Codec<T>)],
    checker: &mut Checker<'_>,
) -> Option<T> {
    let codec_path = format!("{path}.compression");
    let word = raw.compression.as_deref();
    let Some((word, codec)) = codecs.iter().find(|(name, _)| word.is_none_or(|word| word == *name)) else {
        let quoted = checker.quote(&codec_path, word.unwrap_or_default());
        let allowed = listed(codecs.iter().map(|(name, _)| *name));
        checker.problem(
            &codec_path,
            format!("compression = {quoted} is not for {format} files: write {allowed}"),
        );
        return None;
    };
    let level_path = format!("{path}.compression_level");
    match codec {
        Codec::Plain(_) if raw.compression_level.is_some() => {
            checker.problem(
                &level_path,
                format!("compression = {word:?} has no levels: leave compression_level out"),
            );
            None
        }
        Codec::Plain(codec) => Some(*codec),
        Codec::Leveled(levels, codec) => {
            let (default, max) = (usize::from(levels.default), usize::from(*levels.range.end()));
            let level = checker.count(&level_path, raw.compression_level, default, max)?;
            u8::try_from(level).ok().map(codec)
        }
    }
}

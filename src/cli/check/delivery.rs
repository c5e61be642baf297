//! What `forebay check` says about a delivery.

use std::io::{self, Write};

use serde::Serialize;

use super::printed;
use crate::config::Size;
use crate::config::checked::{ColumnsSource, Delivery, Format, Selection, SortColumn};
use crate::delivery::encode::dead_letter::Envelope;

/// A delivery as `check` prints it. What a delivery does not have is left out.
#[derive(Debug, Serialize)]
pub(super) struct DeliveryReport<'a> {
    name: &'a str,
    sink: String,
    prefix: &'a str,
    format: &'static str,
    compression: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression_level: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<&'static str>,
    #[serde(flatten)]
    layout: Layout<'a>,
    buffer_bytes: u64,
    buffer_interval_ms: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_time: Option<&'a str>,
    time_zone: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_lateness_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    late_prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_future_ms: Option<u128>,
    max_open_partitions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letters: Option<DeadLettersReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<&'static str>,
}

/// What a file is like inside.
#[derive(Debug, Default, Serialize)]
struct Layout<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delimiter: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row_group_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripe_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row_index_stride: Option<u32>,
    /// As it is written: `-at` for the largest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sort_by: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    bloom_filters: &'a [String],
}

#[derive(Debug, Serialize)]
struct DeadLettersReport<'a> {
    prefix: &'a str,
    envelope: &'static str,
    buffer_bytes: u64,
    buffer_interval_ms: u128,
}

impl<'a> DeliveryReport<'a> {
    pub(super) fn of(delivery: &'a Delivery, source: Option<ColumnsSource>) -> Self {
        let (compression, compression_level) = delivery.format.compression();
        let columns = delivery.format.columns().and(source).map(|source| match source {
            ColumnsSource::Declared => "declared",
            ColumnsSource::JsonSchema => "json_schema",
            ColumnsSource::Inferred(_) => "inferred",
        });
        let (placement, dead) = (&delivery.placement, &delivery.dead_letters);
        let backup = match &delivery.selection {
            Selection::Fitting => None,
            Selection::All => Some("all"),
            Selection::FailedIn(_) => Some("failed"),
        };
        Self {
            name: &delivery.name,
            sink: delivery.sink.url.to_string(),
            prefix: delivery.prefix.as_str(),
            format: delivery.format.name(),
            compression,
            compression_level,
            extension: delivery.extension.as_deref(),
            columns,
            layout: Layout::of(&delivery.format),
            buffer_bytes: delivery.buffer.size_bytes,
            buffer_interval_ms: delivery.buffer.interval.as_millis(),
            event_time: delivery.event_time.as_ref().map(|pointer| pointer.as_str()),
            time_zone: placement.terms.time_zone.name(),
            allowed_lateness_ms: placement.late.as_ref().map(|late| late.allowed.as_millis()),
            late_prefix: placement.late.as_ref().map(|late| late.prefix.as_str()),
            max_future_ms: placement.future_max.map(|max| max.as_millis()),
            max_open_partitions: delivery.open_partitions_max,
            dead_letters: backup.is_none().then(|| DeadLettersReport {
                prefix: delivery.error_prefix.as_str(),
                envelope: dead.envelope.as_str(),
                buffer_bytes: dead.buffer.size_bytes,
                buffer_interval_ms: dead.buffer.interval.as_millis(),
            }),
            backup,
        }
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { name, sink, prefix, format, compression, .. } = self;
        let level = self.compression_level.map(|level| format!(" level {level}")).unwrap_or_default();
        let columns = match self.columns {
            Some("declared") => ", columns declared",
            Some("inferred") => ", columns learned",
            Some(_) => ", columns from the JSON Schema",
            None => "",
        };
        let backup = match self.backup {
            Some("failed") => ", a backup of failed records",
            Some(_) => ", a backup of all records",
            None => "",
        };
        let (size, interval) = (Size(self.buffer_bytes), printed(self.buffer_interval_ms));
        writeln!(
            out,
            "  delivery {name}: {format} ({compression}{level}){columns}{backup}, a file every {size} or {interval}"
        )?;
        writeln!(out, "    to {sink}{prefix}{}", self.zone())?;
        let mut layout = self.layout.words();
        layout.extend(self.extension.map(|extension| format!("files end with {extension}")));
        if !layout.is_empty() {
            writeln!(out, "    {}", layout.join(", "))?;
        }
        if let (Some(prefix), Some(allowed)) = (self.late_prefix, self.allowed_lateness_ms) {
            writeln!(out, "    more than {} late: to {prefix}", printed(allowed))?;
        }
        if let Some(max) = self.max_future_ms {
            writeln!(out, "    more than {} ahead: to the dead letters", printed(max))?;
        }
        if let Some(letters) = &self.dead_letters {
            letters.print((self.buffer_bytes, self.buffer_interval_ms), out)?;
        }
        Ok(())
    }

    /// The zone of the times, where it is not what everybody expects.
    fn zone(&self) -> String {
        match self.time_zone {
            "UTC" => String::new(),
            zone => format!(", times in {zone}"),
        }
    }
}

impl<'a> Layout<'a> {
    fn of(format: &'a Format) -> Self {
        match format {
            Format::Raw(format) => Self { delimiter: Some(format.delimiter.as_str()), ..Self::default() },
            Format::Json(format) => Self { envelope: Some(format.envelope), ..Self::default() },
            Format::Parquet(format) => Self {
                row_group_bytes: Some(format.row_group_bytes),
                sort_by: format.sort_by.iter().map(SortColumn::to_string).collect(),
                bloom_filters: &format.bloom_filters,
                ..Self::default()
            },
            Format::Orc(format) => Self {
                stripe_bytes: Some(format.stripe_bytes),
                row_index_stride: Some(format.row_index_stride),
                bloom_filters: &format.bloom_filters,
                ..Self::default()
            },
        }
    }

    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.envelope == Some(true) {
            words.push("each line in an envelope".to_owned());
        }
        words.extend(self.delimiter.map(|delimiter| match delimiter {
            "none" => "nothing between the records".to_owned(),
            _ => "a line feed behind each record".to_owned(),
        }));
        words.extend(self.row_group_bytes.map(|bytes| format!("row groups of {}", Size(bytes))));
        words.extend(self.stripe_bytes.map(|bytes| format!("stripes of {}", Size(bytes))));
        words.extend(self.row_index_stride.map(|rows| format!("statistics every {rows} rows")));
        if !self.sort_by.is_empty() {
            words.push(format!("sorted by {}", self.sort_by.join(" ")));
        }
        if !self.bloom_filters.is_empty() {
            words.push(format!("bloom filters for {}", self.bloom_filters.join(" ")));
        }
        words
    }
}

impl DeadLettersReport<'_> {
    /// `files` are the size and the interval of the delivery's other files.
    fn print(&self, files: (u64, u128), out: &mut dyn Write) -> io::Result<()> {
        let envelope = match self.envelope {
            ours if ours == Envelope::default().as_str() => String::new(),
            other => format!(" in {other}'s envelope"),
        };
        let buffer = match (self.buffer_bytes, self.buffer_interval_ms) {
            same if same == files => String::new(),
            (bytes, interval) => format!(", a file every {} or {}", Size(bytes), printed(interval)),
        };
        writeln!(out, "    dead letters{envelope} to {}{buffer}", self.prefix)
    }
}

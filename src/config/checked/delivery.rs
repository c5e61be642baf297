//! `[[delivery]]` into files, as it is checked: which records it takes, where they go, and when a file is closed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::format::Format;
use super::selection::Selection;
use crate::delivery::encode::dead_letter::Envelope;
use crate::delivery::prefix::{PrefixTemplate, Terms};
use crate::json::Pointer;

/// `[[delivery]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Same alphabet as a stream's name.
    pub name: String,
    /// Where the files go.
    pub sink: ObjectSink,
    /// What the files are.
    pub format: Format,
    /// Ending of a file's name, instead of that of the format: a point and more. Dead letters keep theirs.
    pub extension: Option<Arc<str>>,
    /// When a file is closed.
    pub buffer: BufferHints,
    /// Path of a file below the sink's URL, up to its name.
    pub prefix: PrefixTemplate,
    /// The same for dead letters; `{reason}` stands for the reason code.
    pub error_prefix: PrefixTemplate,
    /// How dead letters are written, and when their files are closed.
    pub dead_letters: DeadLetters,
    /// The field that `{event_time}` reads.
    pub event_time: Option<Pointer>,
    /// What else decides over a record's folder.
    pub placement: Placement,
    /// Which records it takes.
    pub selection: Selection,
    /// Open files at a time, dead letters not counted; the least recently used is sealed for a new one.
    pub open_partitions_max: usize,
}

/// What decides over a record's folder besides the templates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placement {
    /// What the templates have in common.
    pub terms: Terms,
    /// Where late records go; without it none is late.
    pub late: Option<Late>,
    /// How far the event time may lie ahead of the arrival.
    pub future_max: Option<Duration>,
}

/// Where late records go.
#[derive(Debug, Clone, PartialEq)]
pub struct Late {
    /// How far the event time of a record that is not late may lie behind its arrival.
    pub allowed: Duration,
    /// Path of their files.
    pub prefix: PrefixTemplate,
}

/// `dead_letters` of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetters {
    /// When a file of them is closed.
    pub buffer: BufferHints,
    /// The names of their fields.
    pub envelope: Envelope,
}

/// When a file is closed: whatever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferHints {
    /// Bytes as stored.
    pub size_bytes: u64,
    /// Age since the first record.
    pub interval: Duration,
}

/// A folder in an object store or in the file system.
#[derive(Clone, PartialEq)]
pub struct ObjectSink {
    /// `file:///…`, `s3://bucket/prefix/`, `gs://…`, `az://…`.
    pub url: Url,
    /// The store's own settings by the names that `object_store` knows them (`aws_endpoint`, `aws_region`,
    /// `aws_access_key_id`, …). May hold secrets: never printed.
    pub options: BTreeMap<String, String>,
    /// Objects larger than this are stored in parts.
    pub multipart_bytes: u64,
}

impl fmt::Debug for ObjectSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.options.keys().collect();
        f.debug_struct("ObjectSink")
            .field("url", &self.url.as_str())
            .field("options", &options)
            .finish_non_exhaustive()
    }
}

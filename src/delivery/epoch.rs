//! Epoch: one configuration of a delivery, as its ledger keeps it.
//!
//! Which file a record belongs to follows from the record and the epoch that its position lies in, now and after any
//! number of restarts. So everything that the answer depends on is in the ledger as text, and what a restart finds
//! undone is done again as it was decided, even if the pipeline file says something else by then.
//!
//! ```json
//! {"prefix":"dt={event_time:%Y-%m-%d}/","error_prefix":"errors/{reason}/","event_time":"/at",
//!  "format":{"name":"parquet","compression":"snappy","columns":[{"name":"id","type":"int64","nullable":false}]},
//!  "sink":{"url":"s3://lake/clicks/","settings":{"aws_endpoint":"http://127.0.0.1:9000"}}}
//! ```
//!
//! Settings at their defaults are left out, so that a ledger of an earlier version goes on.
//!
//! `buffer`, `max_open_partitions` and `multipart` say when files are closed and how they travel, and credentials who
//! may store them: none of these makes an epoch.

mod format_text;
mod placement;
mod records_text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use self::format_text::FormatText;
use self::placement::{PlacementError, PlacementText};
use self::records_text::{EnvelopeText, SelectionText};
use super::prefix::{PrefixTemplate, TemplateError};
use crate::config::checked::{DeadLetters, Delivery, ObjectSink};
use crate::json::{Pointer, PointerError};
use crate::schema::columns::ColumnError;

/// Settings of a store that say where it is, and are no secrets.
const PLACE_SETTINGS: [&str; 5] = [
    "aws_endpoint",
    "aws_region",
    "aws_virtual_hosted_style_request",
    "aws_allow_http",
    "azure_storage_account_name",
];

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochConfig {
    prefix: String,
    error_prefix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_time: Option<String>,
    #[serde(default, skip_serializing_if = "PlacementText::is_default")]
    placement: PlacementText,
    /// The names of a dead letter's fields; left out where they are our own.
    #[serde(default, skip_serializing_if = "EnvelopeText::is_own")]
    dead_letters: EnvelopeText,
    /// Left out where it is a delivery of what fits.
    #[serde(default, skip_serializing_if = "SelectionText::is_fitting")]
    records: SelectionText,
    format: FormatText,
    /// Left out where it is that of the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extension: Option<String>,
    sink: SinkText,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SinkText {
    url: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, String>,
}

/// Why the text of an epoch cannot be used.
#[derive(Debug, Error)]
pub enum EpochError {
    /// It is no configuration that this version knows.
    #[error(
        "the ledger has a configuration that this version cannot read ({0}): start the version that wrote it"
    )]
    Text(#[from] serde_json::Error),
    /// A template that does not parse.
    #[error("the ledger has a prefix that this version cannot read ({0}): start the version that wrote it")]
    Template(#[from] TemplateError),
    /// A time zone or something else that decides over folders.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// A pointer that does not parse.
    #[error(
        "the ledger has an event_time that this version cannot read ({0}): start the version that wrote it"
    )]
    Pointer(#[from] PointerError),
    /// Columns that make no file.
    #[error("the ledger has columns that this version cannot read ({0}): start the version that wrote it")]
    Columns(ColumnError),
    /// A sink that is no URL.
    #[error("the ledger has a sink that is no URL ({0}): start the version that wrote it")]
    Sink(#[from] url::ParseError),
}

impl EpochConfig {
    /// What `delivery` puts into its ledger.
    pub fn of(delivery: &Delivery) -> Self {
        let format = FormatText::of(&delivery.format);
        Self {
            prefix: delivery.prefix.as_str().to_owned(),
            error_prefix: delivery.error_prefix.as_str().to_owned(),
            event_time: delivery.event_time.as_ref().map(|pointer| pointer.as_str().to_owned()),
            placement: PlacementText::of(&delivery.placement),
            dead_letters: EnvelopeText::of(delivery.dead_letters.envelope),
            records: SelectionText::of(&delivery.selection),
            format,
            extension: delivery.extension.as_deref().map(str::to_owned),
            sink: SinkText::of(&delivery.sink),
        }
    }

    /// Reads the text of a ledger.
    ///
    /// # Errors
    /// If another version has written it.
    pub fn parse(text: &serde_json::Value) -> Result<Self, EpochError> {
        Ok(Self::deserialize(text)?)
    }

    /// The text for a ledger.
    pub fn text(&self) -> serde_json::Value {
        // Strings, numbers and lists of them: nothing that JSON does not have.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The delivery as it was configured then. What is no part of an epoch is as in `current`.
    ///
    /// # Errors
    /// If another version has written it.
    pub fn delivery(&self, current: &Delivery) -> Result<Delivery, EpochError> {
        let placement = self.placement.restore()?;
        Ok(Delivery {
            name: current.name.clone(),
            sink: self.sink.restore(&current.sink)?,
            format: self.format.restore(&current.format)?,
            extension: self.extension.as_deref().map(Into::into),
            buffer: current.buffer,
            prefix: PrefixTemplate::parse(&self.prefix, &placement.terms)?,
            error_prefix: PrefixTemplate::parse(&self.error_prefix, &placement.terms)?,
            dead_letters: DeadLetters {
                envelope: self.dead_letters.restore(),
                buffer: current.dead_letters.buffer,
            },
            event_time: self.event_time.as_deref().map(Pointer::parse).transpose()?,
            placement,
            selection: self.records.restore(current)?,
            open_partitions_max: current.open_partitions_max,
        })
    }

    /// Whether files of this epoch go where those of `current` go, so that one sink does for both.
    pub fn has_sink_of(&self, current: &Delivery) -> bool {
        self.sink.is_place_of(&current.sink)
    }
}

impl SinkText {
    fn of(sink: &ObjectSink) -> Self {
        let setting = |&name: &&str| Some((name.to_owned(), sink.options.get(name)?.clone()));
        Self {
            url: sink.url.as_str().to_owned(),
            settings: PLACE_SETTINGS.iter().filter_map(setting).collect(),
        }
    }

    /// A bucket that is reached another way than before (its server has moved, a region was corrected) is the same
    /// place: otherwise what was decided before the change could never be stored.
    fn is_place_of(&self, sink: &ObjectSink) -> bool {
        const ACCOUNT: &str = "azure_storage_account_name";
        self.url == sink.url.as_str() && self.settings.get(ACCOUNT) == sink.options.get(ACCOUNT)
    }

    fn restore(&self, current: &ObjectSink) -> Result<ObjectSink, EpochError> {
        if self.is_place_of(current) {
            return Ok(current.clone());
        }
        let url = Url::parse(&self.url)?;
        let is_secret = |(name, _): &(&String, &String)| !PLACE_SETTINGS.contains(&name.as_str());
        let secrets =
            current.options.iter().filter(is_secret).map(|(name, value)| (name.clone(), value.clone()));
        // Credentials of another kind of store mean nothing to this one, and its client would refuse their names.
        let secrets = secrets.filter(|_| url.scheme() == current.url.scheme());
        let options = self.settings.clone().into_iter().chain(secrets).collect();
        Ok(ObjectSink { url, options, multipart_bytes: current.multipart_bytes })
    }
}

#[cfg(test)]
mod tests;

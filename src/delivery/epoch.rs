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
mod tests {
    use std::time::Duration;

    use std::sync::Arc;

    use super::*;
    use crate::config::checked::{
        BufferHints, Format, JsonCompression, JsonFormat, OrcCompression, OrcFormat, ParquetCompression,
        ParquetFormat, Placement, Selection,
    };
    use crate::delivery::encode::dead_letter::Envelope;
    use crate::delivery::prefix::Terms;
    use crate::schema::columns::{ColumnDeclaration, Columns};

    fn template(text: &str) -> PrefixTemplate {
        PrefixTemplate::parse(text, &Terms::default()).unwrap()
    }

    fn delivery(format: Format) -> Delivery {
        let options = [
            ("aws_endpoint", "http://127.0.0.1:9000"),
            ("aws_access_key_id", "id"),
            ("aws_secret_access_key", "secret"),
        ];
        Delivery {
            name: "lake".to_owned(),
            sink: ObjectSink {
                url: Url::parse("s3://lake/clicks/").unwrap(),
                options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
                multipart_bytes: 16 << 20,
            },
            format,
            buffer: BufferHints { size_bytes: 1, interval: Duration::from_secs(1) },
            prefix: template("dt={event_time:%Y}/{/tenant}/"),
            error_prefix: template("errors/{reason}/"),
            dead_letters: DeadLetters {
                buffer: BufferHints { size_bytes: 1, interval: Duration::from_secs(1) },
                envelope: Envelope::Forebay,
            },
            event_time: Some(Pointer::parse("/at").unwrap()),
            placement: Placement::default(),
            selection: Selection::Fitting,
            open_partitions_max: 9,
        }
    }

    fn parquet() -> Format {
        let column = ColumnDeclaration::new;
        let columns = [
            column("id", "int64", false),
            column("pos", "struct<lat: float64, tags: list<decimal(12, 2)>>", true),
        ];
        let columns = Arc::new(Columns::declared(&columns).unwrap());
        Format::Parquet(ParquetFormat::new(ParquetCompression::Snappy, columns))
    }

    fn formats() -> Vec<Format> {
        let Format::Parquet(parquet) = parquet() else { panic!("it is Parquet") };
        let json = [
            JsonCompression::None,
            JsonCompression::Gzip { level: 3 },
            JsonCompression::Zstd { level: 19 },
            JsonCompression::Snappy,
            JsonCompression::HadoopSnappy,
        ];
        let enveloped = |compression| Format::Json(JsonFormat { compression, envelope: true });
        let with_pages = [
            ParquetCompression::None,
            ParquetCompression::Snappy,
            ParquetCompression::Gzip { level: 9 },
            ParquetCompression::Zstd { level: 3 },
            ParquetCompression::Lz4,
        ];
        let with_streams = [
            OrcCompression::None,
            OrcCompression::Snappy,
            OrcCompression::Zlib { level: 6 },
            OrcCompression::Zstd { level: 3 },
            OrcCompression::Lz4,
        ];
        let of_pages = |compression| Format::Parquet(ParquetFormat { compression, ..parquet.clone() });
        let of_streams = |compression| Format::Orc(OrcFormat::new(compression, Arc::clone(&parquet.columns)));
        let mut formats: Vec<Format> = json.map(Format::from).into();
        formats.extend(json.map(enveloped));
        formats.extend(with_pages.map(of_pages));
        formats.extend(with_streams.map(of_streams));
        formats
    }

    #[test]
    fn a_delivery_comes_back_from_its_text_as_it_was() {
        for format in formats() {
            let before = delivery(format);
            let text = EpochConfig::of(&before).text();
            let read = EpochConfig::parse(&serde_json::from_str(&text.to_string()).unwrap()).unwrap();
            let after = read.delivery(&before).unwrap();
            assert_eq!(read, EpochConfig::of(&after));
            assert_eq!(format!("{after:?}"), format!("{before:?}"));
        }
    }

    #[test]
    fn the_text_of_an_earlier_version_is_that_of_the_same_settings_today() {
        let json = JsonCompression::None.into();
        let text = r#"{"prefix":"dt={event_time:%Y}/{/tenant}/","error_prefix":"errors/{reason}/","event_time":"/at","format":{"name":"json"},"sink":{"url":"s3://lake/clicks/","settings":{"aws_endpoint":"http://127.0.0.1:9000"}}}"#;
        let earlier = EpochConfig::parse(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(earlier, EpochConfig::of(&delivery(json)));
        assert_eq!(earlier.text().to_string(), text);
    }

    #[test]
    fn a_backup_of_what_fails_keeps_what_its_delivery_was() {
        let main = delivery(parquet());
        let backup = Delivery {
            name: "lake-backup".to_owned(),
            selection: Selection::FailedIn(Arc::new(main.clone())),
            ..delivery(Format::from(JsonCompression::None))
        };
        let text = EpochConfig::of(&backup).text();
        let read = EpochConfig::parse(&serde_json::from_str(&text.to_string()).unwrap()).unwrap();
        // The delivery has another prefix by now.
        let mut later = backup.clone();
        let other = template("other/");
        later.selection = Selection::FailedIn(Arc::new(Delivery { prefix: other, ..main }));
        assert_ne!(read, EpochConfig::of(&later));
        assert_eq!(format!("{:?}", read.delivery(&later).unwrap()), format!("{backup:?}"));
    }

    #[test]
    fn what_was_there_before_dead_letters_and_backups_had_settings_is_no_other_epoch() {
        let text = EpochConfig::of(&delivery(parquet())).text().to_string();
        assert!(!text.contains("dead_letters") && !text.contains("records"), "{text}");
    }

    #[test]
    fn no_secret_is_in_the_text() {
        let text = EpochConfig::of(&delivery(parquet())).text().to_string();
        assert!(text.contains("http://127.0.0.1:9000") && text.contains("s3://lake/clicks/"), "{text}");
        assert!(!text.contains("secret") && !text.contains("access_key"), "{text}");
    }

    #[test]
    fn buffer_open_partitions_and_credentials_make_no_epoch_and_all_else_does() {
        let before = delivery(parquet());
        let mut same = before.clone();
        same.buffer.size_bytes += 1;
        same.dead_letters.buffer.size_bytes += 1;
        same.open_partitions_max += 1;
        same.sink.multipart_bytes += 1;
        same.sink.options.insert("aws_secret_access_key".to_owned(), "another".to_owned());
        assert_eq!(EpochConfig::of(&before), EpochConfig::of(&same));
        let changes: [fn(&mut Delivery); 9] = [
            |delivery| delivery.selection = Selection::All,
            |delivery| delivery.selection = Selection::FailedIn(Arc::new(delivery.clone())),
            |delivery| delivery.dead_letters.envelope = Envelope::Firehose,
            |delivery| delivery.prefix = template("a/"),
            |delivery| delivery.error_prefix = template("b/"),
            |delivery| delivery.event_time = None,
            |delivery| delivery.placement.future_max = Some(Duration::ZERO),
            |delivery| delivery.format = JsonCompression::None.into(),
            |delivery| delivery.sink.url = Url::parse("s3://other/").unwrap(),
        ];
        for change in changes {
            let mut other = before.clone();
            change(&mut other);
            assert_ne!(EpochConfig::of(&before), EpochConfig::of(&other));
        }
    }

    #[test]
    fn an_earlier_sink_keeps_its_place_and_takes_the_credentials_of_today() {
        let epoch = EpochConfig::of(&delivery(parquet()));
        let mut current = delivery(parquet());
        current.sink.url = Url::parse("s3://other/").unwrap();
        current.sink.options.insert("aws_endpoint".to_owned(), "http://elsewhere".to_owned());
        current.sink.options.insert("aws_secret_access_key".to_owned(), "rotated".to_owned());
        let sink = epoch.delivery(&current).unwrap().sink;
        assert_eq!(sink.url.as_str(), "s3://lake/clicks/");
        assert_eq!(sink.options["aws_endpoint"], "http://127.0.0.1:9000");
        assert_eq!(sink.options["aws_secret_access_key"], "rotated");

        current.sink.url = Url::parse("file:///lake/").unwrap();
        let sink = epoch.delivery(&current).unwrap().sink;
        assert!(!sink.options.contains_key("aws_secret_access_key"), "not for a store of another kind");
    }

    #[test]
    fn a_bucket_whose_server_has_moved_is_reached_where_it_is_now() {
        let epoch = EpochConfig::of(&delivery(parquet()));
        let mut current = delivery(parquet());
        current.sink.options.insert("aws_endpoint".to_owned(), "http://elsewhere".to_owned());
        assert_ne!(epoch, EpochConfig::of(&current), "the ledger tells the new place");
        assert!(epoch.has_sink_of(&current));
        let sink = epoch.delivery(&current).unwrap().sink;
        assert_eq!(sink.options["aws_endpoint"], "http://elsewhere");
    }

    #[test]
    fn a_text_of_a_later_version_is_refused_with_advice() {
        let mut text = EpochConfig::of(&delivery(parquet())).text();
        text["transform"] = "sql".into();
        let message = EpochConfig::parse(&text).unwrap_err().to_string();
        assert!(
            message.contains("transform") && message.ends_with("start the version that wrote it"),
            "{message}"
        );
    }
}

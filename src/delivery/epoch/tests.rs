use std::time::Duration;

use std::sync::Arc;

use super::*;
use crate::config::checked::{
    BufferHints, Delimiter, Format, JsonCompression, JsonFormat, OrcCompression, OrcFormat,
    ParquetCompression, ParquetFormat, Placement, RawFormat, Selection,
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
        extension: None,
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
    for delimiter in [Delimiter::Newline, Delimiter::None] {
        formats.extend(json.map(|compression| Format::Raw(RawFormat { compression, delimiter })));
    }
    formats.extend(with_pages.map(of_pages));
    formats.extend(with_streams.map(of_streams));
    formats
}

fn raw(delimiter: Delimiter) -> Format {
    Format::Raw(RawFormat { compression: JsonCompression::None, delimiter })
}

#[test]
fn what_stands_behind_raw_records_makes_an_epoch() {
    let of = |delimiter| EpochConfig::of(&delivery(raw(delimiter)));
    assert_ne!(of(Delimiter::Newline), of(Delimiter::None));
}

#[test]
fn a_delivery_comes_back_from_its_text_as_it_was() {
    for format in formats() {
        let before = Delivery { extension: Some(".x".into()), ..delivery(format) };
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
    let changes: [fn(&mut Delivery); 11] = [
        |delivery| delivery.selection = Selection::All,
        |delivery| delivery.selection = Selection::FailedIn(Arc::new(delivery.clone())),
        |delivery| delivery.dead_letters.envelope = Envelope::Firehose,
        |delivery| delivery.prefix = template("a/"),
        |delivery| delivery.error_prefix = template("b/"),
        |delivery| delivery.event_time = None,
        |delivery| delivery.placement.future_max = Some(Duration::ZERO),
        |delivery| delivery.format = JsonCompression::None.into(),
        |delivery| delivery.extension = Some(".x".into()),
        |delivery| delivery.format = raw(Delimiter::Newline),
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

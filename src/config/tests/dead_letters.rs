//! `dead_letters` and `backup` of a delivery.

use std::time::Duration;

use super::*;
use crate::config::checked::{
    BufferHints, Delimiter, Format, JsonCompression, JsonFormat, RawFormat, Selection,
};
use crate::delivery::encode::dead_letter::Envelope;

fn delivery(lines: &str) -> String {
    format!("[stream]\nname = \"s\"\n[[delivery]]\nname = \"lake\"\n{lines}\n")
}

#[test]
fn dead_letters_are_closed_as_the_files_of_the_delivery_unless_they_have_a_buffer() {
    let buffer = "buffer = { size = \"2MiB\", interval = \"5s\" }\n";
    let letters = |lines: &str| pipeline(&delivery(&format!("{buffer}{lines}"))).deliveries[0].dead_letters;
    let plain = letters("");
    let of_delivery = BufferHints { size_bytes: 2 << 20, interval: Duration::from_secs(5) };
    assert_eq!((plain.buffer, plain.envelope), (of_delivery, Envelope::Forebay));
    let own = letters("dead_letters = { buffer = { interval = \"1h\" }, envelope = \"firehose\" }");
    let expected = BufferHints { interval: Duration::from_secs(3_600), ..of_delivery };
    assert_eq!((own.buffer, own.envelope), (expected, Envelope::Firehose));
}

#[test]
fn the_prefix_of_dead_letters_has_two_places_and_one_value() {
    let prefix = |lines: &str| pipeline(&delivery(lines)).deliveries[0].error_prefix.as_str().to_owned();
    assert_eq!(prefix("dead_letters = { prefix = \"bad/{reason}/\" }"), "bad/{reason}/");
    assert_eq!(prefix("error_prefix = \"bad/\"\ndead_letters = { envelope = \"forebay\" }"), "bad/");
    assert_eq!(
        complaints(&delivery("error_prefix = \"a/\"\ndead_letters = { prefix = \"a/\" }")),
        "p.toml:6:27: dead_letters.prefix and error_prefix are the same: write one of them"
    );
    assert_eq!(
        complaints(&delivery("dead_letters = { prefix = \"{/a}/\", envelope = \"firehos\" }")),
        "p.toml:5:27: prefix uses {/a}, which a dead letter may not have\n  \
         help: use {arrival_time:…}, {reason}, {stream}, {shard} or {delivery}\n\
         p.toml:5:47: envelope = \"firehos\" is not known: did you mean \"firehose\"?"
    );
}

#[test]
fn a_backup_is_a_delivery_of_its_own_behind_its_delivery() {
    let text = delivery("sink.path = \"/lake\"\nbuffer.interval = \"5s\"\nbackup = { records = \"failed\" }");
    let pipeline = pipeline(&text);
    let [main, backup] = pipeline.deliveries.as_slice() else { panic!("{:?}", pipeline.deliveries) };
    assert_eq!((main.name.as_str(), backup.name.as_str()), ("lake", "lake-backup"));
    assert_eq!((&backup.sink.url, backup.buffer), (&main.sink.url, main.buffer));
    assert_eq!(backup.prefix.as_str(), "backup/dt={arrival_time:%Y-%m-%d}/hour={arrival_time:%H}/");
    let Selection::FailedIn(of) = &backup.selection else { panic!("{:?}", backup.selection) };
    assert_eq!(of.name, "lake");
    assert!(matches!(main.selection, Selection::Fitting));
}

#[test]
fn a_backup_takes_its_own_sink_prefix_buffer_and_compression() {
    let backup = r#"backup = { records = "all", sink = { path = "/cold" }, prefix = "{shard}/", buffer = { size = "1MiB" },
        compression = "none" }"#
        .replace('\n', "");
    let pipeline = pipeline(&delivery(&backup));
    let backup = &pipeline.deliveries[1];
    assert_eq!((backup.sink.url.path(), backup.prefix.as_str()), ("/cold/", "{shard}/"));
    assert_eq!(backup.buffer, BufferHints { size_bytes: 1 << 20, interval: Duration::from_secs(60) });
    let plain = JsonFormat { compression: JsonCompression::None, envelope: false };
    assert!(matches!(&backup.format, Format::Json(format) if *format == plain), "{:?}", backup.format);
    assert!(matches!(backup.selection, Selection::All));
}

#[test]
fn a_backup_can_be_raw() {
    let backup = |lines: &str| {
        pipeline(&delivery(&format!("backup = {{ records = \"all\", {lines} }}"))).deliveries.remove(1)
    };
    let raw = backup("format = \"raw\", delimiter = \"none\", compression = \"snappy\"").format;
    let expected = RawFormat { compression: JsonCompression::Snappy, delimiter: Delimiter::None };
    assert!(matches!(raw, Format::Raw(format) if format == expected), "{raw:?}");
    assert_eq!(
        complaints(&delivery("backup = { records = \"all\", delimiter = \"none\" }")),
        "p.toml:5:41: delimiter is for format = \"raw\" only"
    );
}

#[test]
fn a_backup_that_cannot_be_says_why() {
    for (lines, complaint) in [
        (
            "backup = { compression = \"gzip\" }",
            "p.toml:5:10: missing \"records\"\n  help: write records = \"all\", or \"failed\" for those that become dead letters",
        ),
        (
            "backup = { records = \"al\" }",
            "p.toml:5:22: records = \"al\" is not known: did you mean \"all\"?",
        ),
        (
            "backup = { records = \"all\", prefix = \"{/tenant}/\" }",
            "p.toml:5:38: the prefix of a backup uses a field that a record as it came may not have\n  help: use {arrival_time:…}, {stream}, {shard} or {delivery}",
        ),
        (
            "backup = { records = \"all\" }\n[[delivery]]\nname = \"lake-backup\"",
            "p.toml:7:8: delivery name \"lake-backup\" is used twice: it is also in line 4\n  help: write another name",
        ),
    ] {
        assert_eq!(complaints(&delivery(lines)), complaint, "{lines}");
    }
}

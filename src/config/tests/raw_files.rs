//! `format = "raw"`, and the endings of files' names.

use super::*;
use crate::config::checked::{Delimiter, Format, JsonCompression, RawFormat};

#[test]
fn raw_files_have_a_line_feed_behind_each_record_or_nothing() {
    let raw = |lines: &str| {
        let text = format!("[stream]\nname = \"s\"\n[[delivery]]\nname = \"d\"\nformat = \"raw\"\n{lines}\n");
        let delivery = pipeline(&text).deliveries.remove(0);
        let Format::Raw(format) = delivery.format else { panic!("{:?}", delivery.format) };
        (format, delivery.extension)
    };
    let gzip = JsonCompression::Gzip { level: 1 };
    assert_eq!(raw(""), (RawFormat { compression: gzip, delimiter: Delimiter::Newline }, None));
    let (format, extension) =
        raw("compression = \"zstd\"\ncompression_level = 3\ndelimiter = \"none\"\nextension = \".bin.zst\"");
    let zstd = JsonCompression::Zstd { level: 3 };
    assert_eq!(format, RawFormat { compression: zstd, delimiter: Delimiter::None });
    assert_eq!(extension.as_deref(), Some(".bin.zst"));
    let complaint = |lines: &str| {
        complaints_below_stream(&format!("[[delivery]]\nname = \"d\"\nformat = \"raw\"\n{lines}"))
    };
    assert_eq!(
        complaint("envelope = true"),
        "p.toml:6:12: envelope is for format = \"json\" only\n  help: leave envelope out, or write format = \"json\" to have each record in one"
    );
    assert_eq!(
        complaint("compression = \"lz4\""),
        "p.toml:6:15: compression = \"lz4\" is not for raw files: write \"gzip\", \"zstd\", \"snappy\", \"hadoop_snappy\" or \"none\""
    );
    assert_eq!(
        complaint("delimiter = \"comma\""),
        "p.toml:6:13: delimiter = \"comma\" is not known: write \"newline\" or \"none\""
    );
}

#[test]
fn a_long_extension_leaves_less_room_for_names() {
    // With a name of one character more it would be 1 too long.
    let (stream, extension) = ("s".repeat(100), format!(".{}", "x".repeat(120)));
    let text = |delivery: usize| {
        format!(
            "[stream]\nname = \"{stream}\"\n[[delivery]]\nname = \"{}\"\nextension = \"{extension}\"",
            "d".repeat(delivery)
        )
    };
    assert_eq!(pipeline(&text(1)).deliveries.len(), 1);
    assert_eq!(
        complaints(&text(2)),
        "p.toml:5:13: extension is too long for the name of a file with the names of stream and delivery, which have 102 characters together: at most 120 are left for it\n  help: write a shorter one"
    );
}

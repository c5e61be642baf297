use super::*;

#[test]
fn every_wrong_setting_of_a_delivery_is_refused() {
    for (setting, message) in [
        ("format = \"parqet\"", "format = \"parqet\" is not known: did you mean \"parquet\"?"),
        (
            "format = \"csv\"",
            "format = \"csv\" is not known: write \"json\", \"raw\", \"parquet\" or \"orc\"",
        ),
        ("delimiter = \"none\"", "delimiter is for format = \"raw\" only"),
        (
            "extension = \"jsonl\"",
            "extension = \"jsonl\" cannot end the name of a file\n  help: write a point and 1 to 127 of 0-9 a-z ! - _ . * ' ( ), such as \".jsonl\"",
        ),
        (
            "format = \"parquet\"",
            "format = \"parquet\" needs columns, and there are neither columns nor a JSON Schema to derive them from\n  help: write [schema] columns = [{ name = \"id\", type = \"int64\" }], or in [ingest] schema = \"FILE\", or \"infer\" to have them learned",
        ),
        (
            "compression = \"lz4\"",
            "compression = \"lz4\" is not for json files: write \"gzip\", \"zstd\", \"snappy\", \"hadoop_snappy\" or \"none\"",
        ),
        ("compression_level = 13", "compression_level must be from 1 to 12, found 13"),
        (
            "buffer.size = \"79GiB\"",
            "buffer.size = 79GiB is more than an object can have parts: write at most 80000MiB",
        ),
        ("buffer.size = \"0B\"", "size must be from 1B to 18446744073709551615B, found 0B"),
        ("buffer.interval = \"0s\"", "interval must be longer than zero"),
        ("prefix = \"/a\"", "prefix: a prefix must not begin with '/': it is below the sink"),
        ("prefix = \"{/a\"", "prefix: '{' without a '}' behind it: write '{{' for a literal brace"),
        ("prefix = \"{reason}\"", "{reason} is for error_prefix only"),
        (
            "prefix = \"{event_time:%Y}\"",
            "prefix uses {event_time}, but event_time is missing\n  help: write event_time = \"/timestamp\" or the pointer of another field, or use {arrival_time:…}",
        ),
        (
            "error_prefix = \"{/a}\"",
            "error_prefix uses {/a}, which a dead letter may not have\n  help: use {arrival_time:…}, {reason}, {stream}, {shard} or {delivery}",
        ),
        (
            "error_prefix = \"{event_time:%Y}\"",
            "error_prefix uses {event_time}, which a dead letter may not have\n  help: use {arrival_time:…}, {reason}, {stream}, {shard} or {delivery}",
        ),
        ("event_time = \"timestamp\"", "event_time: a JSON pointer begins with '/': write '/timestamp'"),
        ("max_open_partitions = 0", "max_open_partitions must be from 1 to 10000, found 0"),
    ] {
        let column = setting.find('=').expect("a setting") + 3;
        assert_eq!(
            complaints_below_stream(&format!("[[delivery]]\nname = \"d\"\n{setting}")),
            format!("p.toml:5:{column}: {message}")
        );
    }
}

#[test]
fn a_compression_that_does_not_go_with_its_format_is_refused() {
    let columns = "schema.columns = [{ name = \"id\", type = \"int64\" }]\n[[delivery]]\nname = \"d\"\n";
    for (settings, message) in [
        (
            "format = \"parquet\"\ncompression = \"zlib\"",
            "7:15: compression = \"zlib\" is not for parquet files: write \"snappy\", \"zstd\", \"gzip\", \"lz4\" or \"none\"",
        ),
        (
            "format = \"parquet\"\ncompression_level = 1",
            "7:21: compression = \"snappy\" has no levels: leave compression_level out",
        ),
        (
            "format = \"parquet\"\nenvelope = true\nstripe = \"1MiB\"",
            "7:12: envelope is for format = \"json\" only\np.toml:8:10: stripe is for format = \"orc\" only",
        ),
        (
            "compression = \"none\"\ncompression_level = 1",
            "7:21: compression = \"none\" has no levels: leave compression_level out",
        ),
    ] {
        assert_eq!(complaints_below_stream(&format!("{columns}{settings}")), format!("p.toml:{message}"));
    }
}

#[test]
fn a_delivery_name_is_used_once() {
    assert_eq!(
        complaints_below_stream(
            "[[delivery]]\nname = \"d\"\n[[delivery]]\nname = \"d\"\nsink = { path = \"x\" }"
        ),
        "p.toml:6:8: delivery name \"d\" is used twice: it is also in line 4\n  help: write another name"
    );
}

use std::time::Duration;

use super::*;
use crate::config::checked::{
    BufferHints, ColumnsSource, Content, Durability, Format, JsonCompression, JsonFormat, OnInvalid,
    ParquetCompression, ParquetFormat, PartitionKeySource,
};

#[test]
fn a_pipeline_of_two_names_has_every_default() {
    let pipeline = pipeline("[stream]\nname = \"s\"\n[[delivery]]\nname = \"d\"");
    let stream = &pipeline.stream;
    assert_eq!((stream.shards, stream.durability), (1, Durability::Fsync));
    assert_eq!((stream.retention, stream.retention_bytes), (Duration::from_secs(86_400), None));
    assert_eq!(stream.idempotency_window, Duration::from_secs(600));
    let ingest = &pipeline.ingest;
    assert_eq!((&ingest.partition_key, ingest.on_invalid), (&PartitionKeySource::Random, OnInvalid::Reject));
    assert_eq!((ingest.record_bytes_max, ingest.schema.is_none()), (1 << 20, true));
    assert_eq!(ingest.content, Content::Json);
    let delivery = &pipeline.deliveries[0];
    assert!(matches!(
        delivery.format,
        Format::Json(JsonFormat { compression: JsonCompression::Gzip { level: 1 }, envelope: false })
    ));
    assert_eq!(delivery.buffer, BufferHints { size_bytes: 64 << 20, interval: Duration::from_secs(60) });
    assert_eq!(delivery.prefix.as_str(), "dt={arrival_time:%Y-%m-%d}/hour={arrival_time:%H}/");
    assert_eq!(delivery.error_prefix.as_str(), "errors/{reason}/");
    assert_eq!((delivery.event_time.is_none(), delivery.open_partitions_max), (true, 500));
    assert_eq!((delivery.sink.multipart_bytes, delivery.sink.options.len()), (16 << 20, 0));
    assert_eq!(delivery.sink.url.scheme(), "file");
    assert!(delivery.sink.url.path().ends_with("/data/lake/s/d/"), "{}", delivery.sink.url);
}

#[test]
fn every_setting_is_taken_over() {
    let pipeline = pipeline(
        r#"
        [stream]
        name = "${STREAM}"
        shards = "${SHARDS:-4}"
        durability = "os"
        retention = "90m"
        retention_bytes = "2GiB"
        idempotency_window = "1h"
        [ingest]
        partition_key = "query:device"
        on_invalid = "dead_letter"
        content = "any"
        max_record = "64KiB"
        [schema]
        columns = [{ name = "id", type = "int64", nullable = false }, { name = "at", type = "timestamp_micros" }]
        [[delivery]]
        name = "a"
        format = "parquet"
        compression = "none"
        buffer = { size = "1MiB", interval = "500ms" }
        prefix = "{/tenant}/{event_time:%F}"
        error_prefix = "bad/{reason}/"
        event_time = "/at"
        max_open_partitions = 7
        sink = { path = "out", multipart = "8MiB" }
        [[delivery]]
        name = "b"
        compression = "gzip"
        compression_level = 12
        "#,
    );
    assert_eq!((pipeline.stream.name.as_str(), pipeline.stream.shards), ("from-env", 8));
    assert_eq!(pipeline.stream.durability, Durability::Os);
    assert_eq!(pipeline.stream.retention, Duration::from_secs(5_400));
    assert_eq!(pipeline.stream.idempotency_window, Duration::from_secs(3_600));
    assert_eq!(pipeline.stream.retention_bytes, Some(2 << 30));
    assert_eq!(pipeline.ingest.partition_key, PartitionKeySource::Query("device".to_owned()));
    assert_eq!(pipeline.ingest.on_invalid, OnInvalid::DeadLetter);
    assert_eq!((pipeline.ingest.record_bytes_max, pipeline.ingest.content), (64 << 10, Content::Any));
    assert_eq!(pipeline.columns_source, Some(ColumnsSource::Declared));
    let [a, b] = pipeline.deliveries.as_slice() else { panic!("two deliveries") };
    assert!(matches!(
        &a.format,
        Format::Parquet(ParquetFormat { compression: ParquetCompression::None, .. })
    ));
    assert_eq!(a.buffer, BufferHints { size_bytes: 1 << 20, interval: Duration::from_millis(500) });
    assert_eq!(a.prefix.as_str(), "{/tenant}/{event_time:%F}");
    assert_eq!(a.event_time.as_ref().map(ToString::to_string).as_deref(), Some("/at"));
    assert_eq!((a.open_partitions_max, a.sink.multipart_bytes), (7, 8 << 20));
    assert!(matches!(
        b.format,
        Format::Json(JsonFormat { compression: JsonCompression::Gzip { level: 12 }, .. })
    ));
}

#[test]
fn the_partition_key_has_four_forms() {
    for (text, expected) in [
        ("random", "Random"),
        ("/a/b", "Pointer(Pointer { text: \"/a/b\", tokens: [\"a\", \"b\"] })"),
        ("header:X-Device", "Header(\"x-device\")"),
        ("query:device", "Query(\"device\")"),
    ] {
        let pipeline = pipeline(&format!("{STREAM}[ingest]\npartition_key = {text:?}"));
        assert_eq!(format!("{:?}", pipeline.ingest.partition_key), expected);
    }
}

#[test]
fn every_problem_of_a_file_is_reported_at_once_and_in_its_order() {
    let text = r#"
[stream]
sahrds = 4
shards = "four"
durability = "disk"
name = "${NOT_SET}"

[ingest]
on_invalid = "rejct"
shards = 4

[[delivery]]
format = "orc"
buffer = { size = 64, interval = "60" }
colour = "red"
"#;
    assert_eq!(
        complaints(text),
        r#"p.toml:3:1: unknown key "sahrds" in [stream]: did you mean "shards"?
p.toml:4:10: "shards" must be an integer such as 4, found a string
p.toml:5:14: durability = "disk" is not known: write "fsync", "os" or "memory"
p.toml:6:8: environment variable NOT_SET is not set: set it, or write a default as ${NOT_SET:-default}, or $${ for a literal ${
p.toml:9:14: on_invalid = "rejct" is not known: did you mean "reject"?
p.toml:10:1: unknown key "shards" in [ingest]: it belongs in [stream]
p.toml:12:1: missing "name"
  help: write name = "lake" or another name
p.toml:13:10: format = "orc" needs columns, and there are neither columns nor a JSON Schema to derive them from
  help: write [schema] columns = [{ name = "id", type = "int64" }], or in [ingest] schema = "FILE", or "infer" to have them learned
p.toml:14:19: "size" must be a string such as "64MiB", found an integer
p.toml:14:34: interval: "60" has no unit: write 60s if seconds are meant; the units are ms, s, m, h, d
p.toml:15:1: unknown key "colour" in [[delivery]]
  help: the keys here are "name", "sink", "format", "compression", "compression_level", "envelope", "delimiter", "extension", "row_group", "sort_by", "stripe", "row_index_stride", "bloom_filters", "buffer", "prefix", "error_prefix", "time_zone", "partition_keys", "dead_letters", "backup", "event_time", "allowed_lateness", "late_prefix", "max_future" or "max_open_partitions""#
    );
}

#[test]
fn problems_carry_the_path_of_their_setting() {
    let (_, problems) = checked_from(
        &format!(
            "{STREAM}[[delivery]]\nname = \"a\"\n[[delivery]]\nname = \"b\"\nbuffer = {{ size = 1 }}\nx = 1"
        ),
        &env,
    );
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["delivery[1].buffer.size", "delivery[1].x"]);
}

#[test]
fn a_syntax_error_has_its_place() {
    assert_eq!(
        complaints("[stream]\nname = \"s\nshards = 1\n"),
        "p.toml:2:10: not valid TOML: invalid basic string, expected `\"`"
    );
    assert_eq!(complaints("a = 1\na = 2\n"), "p.toml:2:1: not valid TOML: duplicate key");
}

#[test]
fn wrong_types_say_what_was_expected_and_what_was_found() {
    for (text, message) in [
        ("delivery = 1", "3:12: \"delivery\" must be an array of tables, found an integer"),
        (
            "[delivery]\nname = \"d\"",
            "3:1: \"delivery\" must be an array of tables, found a table\n  help: write [[delivery]] instead of [delivery]",
        ),
        ("ingest = []", "3:10: \"ingest\" must be a table, found an array"),
        (
            "[ingest]\nschema = 1.5",
            "4:10: \"schema\" must be a string such as \"clickstream.schema.json\", found a float",
        ),
        (
            "[ingest]\nschema = 2026-01-01",
            "4:10: \"schema\" must be a string such as \"clickstream.schema.json\", found a date or time",
        ),
        (
            "[ingest]\nschema = true",
            "4:10: \"schema\" must be a string such as \"clickstream.schema.json\", found a boolean",
        ),
        (
            "[[delivery]]\nname = \"d\"\nmax_open_partitions = 99999999999999999999",
            "5:23: \"max_open_partitions\" is too large for an integer",
        ),
        (
            "[[delivery]]\nname = \"d\"\nmax_open_partitions = \"${STREAM}\"",
            "5:23: \"max_open_partitions\" must be an integer such as 500, found a string",
        ),
    ] {
        assert_eq!(complaints_below_stream(text), format!("p.toml:{message}"), "{text}");
    }
}

#[test]
fn every_wrong_setting_of_the_stream_is_refused() {
    for (text, message) in [
        ("", "1:1: missing \"stream\"\n  help: write [stream] with a name".to_owned()),
        (
            "[stream]\nname = \"s\"\ndurability = \"memry\"",
            "3:14: durability = \"memry\" is not known: did you mean \"memory\"?".to_owned(),
        ),
        (
            "[stream]\ndurability = \"memory\"",
            "1:1: missing \"name\"\n  help: write name = \"clickstream\" or another name".to_owned(),
        ),
    ] {
        assert_eq!(complaints(text), format!("p.toml:{message}"), "{text}");
    }
    for (setting, message) in [
        ("shards = 0", "shards must be from 1 to 4096, found 0"),
        ("shards = -1", "shards must be from 1 to 4096, found -1"),
        ("shards = 4097", "shards must be from 1 to 4096, found 4097"),
        ("retention = \"0s\"", "retention must be longer than zero"),
        ("retention = \"366d\"", "retention must be at most 365d"),
        (
            "retention = \"long\"",
            "retention: \"long\" is no duration: write a whole number and a unit, such as \"60s\"",
        ),
        ("idempotency_window = \"25h\"", "idempotency_window must be at most 1d"),
        ("retention_bytes = \"0B\"", "retention_bytes must be from 1B to 18446744073709551615B, found 0B"),
    ] {
        let column = setting.find('=').expect("a setting") + 3;
        let text = format!("[stream]\nname = \"s\"\ndurability = \"memory\"\n{setting}");
        assert_eq!(complaints(&text), format!("p.toml:4:{column}: {message}"));
    }
}

#[test]
fn each_durability_has_its_word_and_only_memory_is_not_durable() {
    for (word, durability) in
        [("fsync", Durability::Fsync), ("os", Durability::Os), ("memory", Durability::Memory)]
    {
        let pipeline = pipeline(&format!("stream = {{ name = \"s\", durability = {word:?} }}"));
        assert_eq!((pipeline.stream.durability, durability.as_str()), (durability, word));
        assert_eq!(durability.is_durable(), word != "memory");
    }
}

#[test]
fn shards_have_quotas_only_where_they_are_asked_for() {
    use crate::config::checked::ShardQuotas;
    assert_eq!(pipeline("stream = { name = \"s\" }").stream.quotas, ShardQuotas::None);
    assert_eq!(pipeline("stream = { name = \"s\", quotas = \"none\" }").stream.quotas, ShardQuotas::None);
    assert_eq!(
        pipeline("stream = { name = \"s\", quotas = \"kinesis\" }").stream.quotas,
        ShardQuotas::Kinesis
    );
    assert!(complaints("stream = { name = \"s\", quotas = \"kinesys\" }").contains("kinesys"));
}

#[test]
fn no_idempotency_key_is_remembered_where_the_window_is_zero() {
    let pipeline = pipeline("stream = { name = \"s\", idempotency_window = \"0s\" }");
    assert!(pipeline.stream.idempotency_window.is_zero());
}

#[test]
fn a_durable_stream_remembers_replies_no_longer_than_its_log_keeps_them() {
    let short = "stream = { name = \"s\", retention = \"1m\" }";
    assert_eq!(pipeline(short).stream.idempotency_window, Duration::from_secs(60));
    let long = "[stream]\nname = \"s\"\nretention = \"1m\"\nidempotency_window = \"2m\"";
    let problem = "p.toml:4:22: idempotency_window is longer than the retention of 1m, for which the log keeps replies\n  \
                   help: write idempotency_window = \"1m\" or less, or a longer retention";
    assert_eq!(complaints(long), problem);
    let memory = pipeline(&format!("{long}\ndurability = \"memory\""));
    assert_eq!(memory.stream.idempotency_window, Duration::from_secs(120));
}

#[test]
fn a_durable_stream_does_not_take_requests_that_no_segment_holds() {
    let (node, problems) = node_from("memory_budget = \"4GiB\"\n[server]\nmax_body = \"1GiB\"");
    assert_eq!((node.as_ref().map(|node| node.log.segment_bytes), problems.len()), (Some(1 << 30), 0));
    let complaints = |durability: &str| {
        let text = format!("stream = {{ name = \"s\", durability = {durability:?} }}");
        let mut document = Document::new(PathBuf::from("p.toml"), text);
        let mut problems = Vec::new();
        check_text(&mut document, &pipeline_schema(), node.as_ref(), &env, &mut problems);
        printed(&problems)
    };
    assert_eq!(complaints("memory"), "");
    assert_eq!(
        complaints("os"),
        "p.toml:1:37: durability = \"os\" takes requests of at most 512MiB, and the node's max_body is 1GiB\n  \
         help: write max_body = \"512MiB\" or less in [server] of the node's file, or durability = \"memory\""
    );
}

#[test]
fn names_that_would_harm_a_path_are_refused() {
    for (name, message) in [
        ("", "name = \"\": a name must not be empty"),
        ("..", "name = \"..\": a name must not begin with a point"),
        ("a/b", "name = \"a/b\": a name consists of a-z, A-Z, 0-9, '_', '.' and '-'"),
        ("ü", "name = \"ü\": a name consists of a-z, A-Z, 0-9, '_', '.' and '-'"),
    ] {
        assert_eq!(
            complaints(&format!("[stream]\ndurability = \"memory\"\nname = {name:?}")),
            format!("p.toml:3:8: {message}")
        );
    }
    let long = complaints(&format!("[stream]\ndurability = \"memory\"\nname = {:?}", "x".repeat(129)));
    assert!(long.ends_with(": a name has at most 128 characters"), "{long}");
}

#[test]
fn every_wrong_setting_of_ingest_is_refused() {
    for (setting, message) in [
        (
            "partition_key = \"client_ip\"",
            "partition_key = \"client_ip\" is not known: write a JSON pointer such as \"/client_ip\", \"header:NAME\", \"query:NAME\" or \"random\"",
        ),
        ("partition_key = \"header:a b\"", "\"a b\" is no name of a header: write header:x-device"),
        ("partition_key = \"query:\"", "the name of the query parameter is missing: write query:device"),
        (
            "partition_key = \"/a~b\"",
            "partition_key: in a JSON pointer '~' is written '~0' and '/' inside a name '~1': '/a~b'",
        ),
        ("on_invalid = \"drop\"", "on_invalid = \"drop\" is not known: write \"reject\" or \"dead_letter\""),
        (
            "on_invalid = \"dead_letter\"",
            "on_invalid = \"dead_letter\" needs a delivery, whose sink keeps the dead letters\n  help: write on_invalid = \"reject\", or add a [[delivery]]",
        ),
        ("content = \"bytes\"", "content = \"bytes\" is not known: write \"json\" or \"any\""),
        (
            "max_record = \"11MiB\"",
            "max_record = 11MiB is more than the node's max_body = 10MiB: write at most 10MiB, or a larger max_body",
        ),
        ("max_record = \"0B\"", "max_record must be from 1B to 18446744073709551615B, found 0B"),
    ] {
        let column = setting.find('=').expect("a setting") + 3;
        assert_eq!(
            complaints_below_stream(&format!("[ingest]\n{setting}")),
            format!("p.toml:4:{column}: {message}")
        );
    }
}

#[test]
fn every_wrong_column_is_refused() {
    let help = "\n  help: write columns = [{ name = \"id\", type = \"int64\" }]";
    assert_eq!(
        complaints_below_stream(
            "[schema]\ncolumns = [\n  { name = \"a\" },\n  { type = \"int64\", nulable = true },\n]"
        ),
        format!(
            "p.toml:5:3: missing \"type\"{help}\np.toml:6:3: missing \"name\"{help}\np.toml:6:21: unknown key \"nulable\" in schema.columns: did you mean \"nullable\"?"
        )
    );
    assert_eq!(complaints_below_stream("[schema]"), format!("p.toml:3:1: missing \"columns\"{help}"));
    assert_eq!(
        complaints_below_stream("[schema]\ncolumns = []"),
        format!("p.toml:4:11: columns must not be empty{help}")
    );
    let unknown = complaints_below_stream("[schema]\ncolumns = [{ name = \"a\", type = \"varchar\" }]");
    assert!(unknown.starts_with("p.toml:4:12: column: "), "{unknown}");
}

#[test]
fn what_the_environment_filled_in_is_never_quoted() {
    for setting in ["format", "compression", "prefix", "event_time", "name"] {
        let name = if setting == "name" { "" } else { "name = \"d\"\n" };
        let text = format!("[[delivery]]\n{name}{setting} = \"}} ${{SECRET}} /\"");
        let said = complaints_below_stream(&text);
        assert!(said.contains("${SECRET}") && !said.contains("hunter2"), "{said}");
    }
}

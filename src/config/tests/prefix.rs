//! What decides over folders: `prefix` and its kin.

use std::time::Duration;

use super::*;

fn below_delivery(settings: &str) -> String {
    format!("{STREAM}[[delivery]]\nname = \"d\"\n{settings}")
}

#[test]
fn every_setting_of_a_folder_is_taken_over() {
    let pipeline = pipeline(&below_delivery(
        r#"
        prefix = "!{partitionKeyFromQuery:customer_id}/!{timestamp:yyyy/MM/dd}/{/region|lower|default(none)}/"
        error_prefix = "failed/!{firehose:error-output-type}/!{timestamp:yyyy}/!{firehose:random-string}"
        time_zone = "europe/berlin"
        partition_keys = { customer_id = "/customer/id|hash(16)", "with.point" = "/x" }
        event_time = "/at"
        allowed_lateness = "1h"
        late_prefix = "late/dt={event_time:%F}/!{partitionKeyFromLambda:with.point}/"
        max_future = "10m"
        "#,
    ));
    let delivery = &pipeline.deliveries[0];
    let placement = &delivery.placement;
    assert_eq!(placement.terms.time_zone.name(), "Europe/Berlin");
    assert_eq!(placement.terms.partition_keys["customer_id"], "/customer/id|hash(16)");
    assert_eq!(placement.future_max, Some(Duration::from_secs(600)));
    let late = placement.late.as_ref().expect("late records have a folder");
    assert_eq!(late.allowed, Duration::from_secs(3_600));
    assert_eq!(late.prefix.pointers().len(), 1);
    assert_eq!(delivery.prefix.pointers().len(), 2);
}

#[test]
fn without_them_times_are_in_utc_and_no_record_is_late_or_early() {
    let pipeline = pipeline(&below_delivery("event_time = \"/at\""));
    let placement = &pipeline.deliveries[0].placement;
    assert!(placement.terms.time_zone.is_utc() && placement.terms.partition_keys.is_empty());
    assert!(placement.late.is_none() && placement.future_max.is_none());
}

#[test]
fn every_wrong_setting_of_a_folder_is_refused() {
    let header = "event_time = \"/at\"\n";
    for (settings, message) in [
        (
            "time_zone = \"Europe/Berln\"",
            "p.toml:6:13: time_zone: \"Europe/Berln\" is no time zone of the IANA database: did you mean \"Europe/Berlin\"?",
        ),
        (
            "allowed_lateness = \"1h\"",
            "p.toml:6:20: allowed_lateness is without effect: there is no late_prefix\n  help: write late_prefix = \"late/dt={event_time:%Y-%m-%d}/\", or take allowed_lateness out: every record then goes to the folder of its event time",
        ),
        (
            "late_prefix = \"late/\"",
            "p.toml:6:15: late_prefix is without effect: there is no allowed_lateness\n  help: write allowed_lateness = \"1h\"",
        ),
        (
            "late_prefix = \"{reason}\"\nallowed_lateness = \"1 hour\"",
            "p.toml:6:15: {reason} is for error_prefix only\n\
             p.toml:7:20: allowed_lateness: \"hour\" is no unit of a duration: the units are ms, s, m, h, d",
        ),
        (
            "late_prefix = \"{evnt_time:%F}/{shrd}//{/a|md5}/\"\nallowed_lateness = \"1h\"",
            "p.toml:6:15: late_prefix: a prefix must not have '//' in it\n\
             p.toml:6:15: late_prefix: unknown field {evnt_time:%F}: did you mean {event_time}?\n\
             p.toml:6:15: late_prefix: unknown field {shrd}: did you mean {shard}?\n\
             p.toml:6:15: late_prefix: unknown function \"md5\": write default(TEXT), lower, upper, truncate(N) or hash(N), or quote a pointer that has '|' in it: {\"/a|b\"}",
        ),
        ("max_future = \"400d\"", "p.toml:6:14: max_future must be at most 365d"),
        (
            "partition_keys = { a = \"x\", \"\" = \"/b\", c = \"/c|md5\" }",
            "p.toml:6:24: a: a JSON pointer begins with '/': write '/x'\n\
             p.toml:6:34: the name of a partition key must not be empty, nor have braces, colons or spaces around it\n\
             p.toml:6:44: c: unknown function \"md5\": write default(TEXT), lower, upper, truncate(N) or hash(N), or quote a pointer that has '|' in it: {\"/a|b\"}",
        ),
        ("partition_keys = { a = 1 }", "p.toml:6:24: \"a\" must be a string, found an integer"),
        ("partition_keys = 1", "p.toml:6:18: \"partition_keys\" must be a table, found an integer"),
        (
            "prefix = \"!{partitionKeyFromQuery:b}/\"\npartition_keys = { a = \"/a\" }",
            "p.toml:6:10: prefix: no partition key \"b\" in partition_keys, which has \"a\"",
        ),
        ("prefix = \"!{firehose:error-output-type}/\"", "p.toml:6:10: {reason} is for error_prefix only"),
        (
            "error_prefix = \"!{partitionKeyFromQuery:a}/\"\npartition_keys = { a = \"/a\" }",
            "p.toml:6:16: error_prefix uses {/a}, which a dead letter may not have\n  help: use {arrival_time:…}, {reason}, {stream}, {shard} or {delivery}",
        ),
    ] {
        assert_eq!(complaints(&below_delivery(&format!("{header}{settings}"))), message, "{settings}");
    }
}

#[test]
fn what_compares_event_times_needs_them() {
    let settings = "max_future = \"1h\"\nallowed_lateness = \"1h\"\nlate_prefix = \"late/\"";
    let help = "\n  help: write event_time = \"/timestamp\" or the pointer of another field";
    assert_eq!(
        complaints(&below_delivery(settings)),
        format!(
            "p.toml:5:14: max_future needs event_time, which is missing{help}\n\
             p.toml:6:20: allowed_lateness needs event_time, which is missing{help}"
        )
    );
}

#[test]
fn late_records_and_dead_letters_have_folders_of_their_own() {
    let delivery = "[[delivery]]\nname = \"d\"\nprefix = \"x/\"\n";
    let late = "event_time = \"/at\"\nallowed_lateness = \"1h\"\nlate_prefix = \"x/\"\n";
    assert_eq!(
        complaints_below_stream(&format!("{delivery}error_prefix = \"x/\"\n{late}")),
        "p.toml:6:16: dead letters would lie among the files of records: their prefix is the same\n  \
         help: write error_prefix = \"errors/{reason}/\", or leave it out\n\
         p.toml:9:15: late_prefix is without effect: it is the same as prefix\n  \
         help: write another one, or take late_prefix and allowed_lateness out"
    );
    assert_eq!(
        complaints_below_stream(&format!("{delivery}dead_letters = {{ prefix = \"x/\" }}")),
        "p.toml:6:27: dead letters would lie among the files of records: their prefix is the same\n  \
         help: write error_prefix = \"errors/{reason}/\", or leave it out"
    );
}

//! Prefixes as they stand in streams of Amazon Data Firehose.

use super::*;

fn terms() -> Terms {
    let keys = [("customer_id", "/customer"), ("region", "/region|default(none)")];
    let partition_keys = keys.map(|(name, field)| (name.to_owned(), field.to_owned())).into();
    Terms { partition_keys, ..Terms::default() }
}

fn carried(text: &str) -> PrefixTemplate {
    PrefixTemplate::parse(text, &terms()).expect(text)
}

#[test]
fn prefixes_of_firehose_mean_what_they_mean_there() {
    let facts = Facts { values: vec![Some("\"Acme/1\"".to_owned()), None], ..Facts::default() };
    for (text, path) in [
        ("logs/!{timestamp:yyyy/MM/dd/HH}/", "logs/2026/03/05/07/"),
        (
            "myPrefix/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}",
            "myPrefix/year=2026/month=03/day=05/",
        ),
        ("dt=!{timestamp:yyyy'-'MM'-'dd}/h=!{timestamp:HH}/", "dt=2026-03-05/h=07/"),
        ("customer_id=!{partitionKeyFromQuery:customer_id}/!{timestamp:yyyy}/", "customer_id=Acme%2F1/2026/"),
        ("!{partitionKeyFromQuery:customer_id}/!{partitionKeyFromLambda:region}/", "Acme%2F1/none/"),
        // What is not of Firehose keeps its meaning.
        ("wow!{stream}/{/customer}!/", "wow!clicks/Acme%2F1!/"),
    ] {
        assert_eq!(facts.render(&carried(text)).as_deref(), Ok(path), "{text}");
    }
    let template = carried("!{timestamp:yyyy}/!{partitionKeyFromQuery:customer_id}/");
    assert!(!template.uses_event_time() && !template.uses_reason());
    assert_eq!(template.pointers().iter().map(Pointer::as_str).collect::<Vec<_>>(), ["/customer"]);
}

#[test]
fn reasons_have_firehoses_words() {
    let template = carried("failed/!{firehose:error-output-type}/!{timestamp:yyyy}/");
    assert!(template.uses_reason());
    for (reason, path) in [
        ("columns", "failed/format-conversion-failed/2026/"),
        ("json", "failed/processing-failed/2026/"),
        ("event_time", "failed/processing-failed/2026/"),
    ] {
        let facts = Facts { reason: reason.to_owned(), ..Facts::default() };
        assert_eq!(facts.render(&template).as_deref(), Ok(path));
    }
}

#[test]
fn a_random_string_is_that_of_the_first_record_and_splits_no_partition() {
    let template = carried("!{firehose:random-string}/{shard}/");
    let path = |shard: u32, number: u64| {
        let facts = Facts { shard, ..Facts::default() };
        let path =
            facts.with(|facts| template.render(&RecordFacts { number: SequenceNumber(number), ..*facts }));
        path.expect("a path")
    };
    let random = |shard, number| path(shard, number).split('/').next().unwrap_or_default().to_owned();
    assert_eq!(random(1, 7), random(1, 7));
    let all: std::collections::BTreeSet<_> = (0..1_000).map(|number| random(1, number)).collect();
    assert_eq!(all.len(), 1_000);
    assert!(all.iter().all(|text| text.len() == 11 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    assert_ne!(random(1, 7), random(2, 7));
    let key = |number: u64| {
        let mut key = Vec::new();
        let keyed = Facts::default().with(|facts| {
            template.partition_key(&RecordFacts { number: SequenceNumber(number), ..*facts }, &mut key)
        });
        keyed.map(|()| key)
    };
    assert_eq!(key(1), key(2));
}

#[test]
fn a_wrong_expression_says_what_to_write() {
    for (text, message) in [
        (
            "!{firehose:uuid}/",
            "unknown expression !{firehose:uuid}: write !{timestamp:yyyy/MM/dd/HH}, !{partitionKeyFromQuery:NAME}, \
             !{partitionKeyFromLambda:NAME}, !{firehose:error-output-type} or !{firehose:random-string}",
        ),
        (
            "!{timestamp:YYYY}/",
            "!{timestamp:…} has \"YYYY\", the year that a week belongs to: write yyyy for the year",
        ),
        ("!{timestamp:}/", "\"\" shows nothing of the time: write %Y, %m, %d, %H, %M, …"),
        ("!{timestamp:yyyy//MM}/", "a prefix must not have '//' in it"),
        (
            "!{partitionKeyFromQuery:tenant}/",
            "no partition key \"tenant\" in partition_keys, which has \"customer_id\" or \"region\"",
        ),
    ] {
        assert_eq!(PrefixTemplate::parse(text, &terms()).expect_err(text).to_string(), message);
    }
    let message =
        PrefixTemplate::parse("!{partitionKeyFromQuery:t}", &Terms::default()).expect_err("none").to_string();
    assert_eq!(
        message,
        "no partition key \"t\" in partition_keys: write partition_keys = { t = \"/pointer/to/field\" }"
    );
}

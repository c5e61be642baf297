use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::checked::{
    Content, Durability, Ingest, OnInvalid, PartitionKeySource, Stream as StreamConfig,
};
use crate::config::limits::{PARTITION_KEY_BYTES_MAX, REQUEST_RECORDS_MAX};
use crate::json::Pointer;
use crate::stream::{Backing, Captures, Stream};
use crate::telemetry::metrics::Registry;

fn intake(on_invalid: OnInvalid) -> Intake {
    let config = StreamConfig {
        name: "s".into(),
        shards: 1,
        durability: Durability::Memory,
        retention: Duration::from_secs(60),
        retention_bytes: None,
        idempotency_window: Duration::ZERO,
        log: Default::default(),
        quotas: Default::default(),
    };
    let stream = Arc::new(Stream::new(
        &config,
        Backing::Memory,
        0,
        Captures::default().plan().unwrap(),
        Registry::new().unwrap().stream("s"),
    ));
    let ingest = Ingest {
        partition_key: PartitionKeySource::Pointer(Pointer::parse("/k").unwrap()),
        schema: Some(Arc::new(json!({"type": "object", "properties": {"n": {"type": "integer"}}}))),
        on_invalid,
        content: Content::Json,
        record_bytes_max: 200,
        takes_clicks: false,
        add: None,
        stages: Vec::new(),
        limit: crate::config::checked::Limit::default(),
    };
    let mut captures = Captures::default();
    captures.slot(&Pointer::parse("/t").unwrap());
    Intake::new(stream, ingest, (captures, None), crate::runtime::budget::Budget::new(u64::MAX)).unwrap()
}

/// Payloads of accepted records, and index and code of refused ones.
type Outcome = Result<(Vec<String>, Vec<(usize, &'static str)>), &'static str>;

fn run(framing: Framing, body: &[u8]) -> Outcome {
    let decoded = decode(&intake(OnInvalid::Reject), framing, body, RequestKey::FromRecord)
        .map_err(|problem| problem.code())?;
    let payloads = decoded
        .records
        .iter()
        .map(|record| {
            String::from_utf8(body[record.payload.start()..][..record.payload.len()].to_vec()).unwrap()
        })
        .collect();
    Ok((payloads, decoded.refused.iter().map(|refused| (refused.index, refused.code)).collect()))
}

fn accepted(records: &[&str]) -> Outcome {
    Ok((records.iter().map(ToString::to_string).collect(), vec![]))
}

#[test]
fn one_object_is_one_record_without_the_white_space_around_it() {
    for framing in [Framing::Json, Framing::Lines, Framing::Detect] {
        assert_eq!(run(framing, b" {\"a\": 1} \r\n"), accepted(&["{\"a\": 1}"]), "{framing:?}");
    }
}

#[test]
fn an_array_is_one_record_an_element() {
    for framing in [Framing::Json, Framing::Detect] {
        assert_eq!(run(framing, b"[{\"a\":1} , {\"b\":[]}\n]"), accepted(&["{\"a\":1}", "{\"b\":[]}"]));
        assert_eq!(run(framing, b"[]"), Err("empty"));
        assert_eq!(run(framing, b"[{\"a\":1},{\"b\"]"), Err("json"));
        assert_eq!(run(framing, b"[{\"a\":1}] x"), Err("json"));
        assert_eq!(run(framing, b"[{\"a\":1},]"), Err("json"));
    }
}

#[test]
fn a_bad_line_fails_alone() {
    let body = b"{\"a\":1}\n\n{\"n\":\"x\"}\nnot json\n{\"a\":2}\r\n{\"a\":3\n7\n{\"a\":1}{\"b\":2}\n";
    let (payloads, refused) = run(Framing::Lines, body).unwrap();
    assert_eq!(payloads, ["{\"a\":1}", "{\"a\":2}"]);
    assert_eq!(refused, [(1, "schema"), (2, "json"), (4, "json"), (5, "schema"), (6, "json")]);
}

#[test]
fn a_value_may_not_go_on_over_the_end_of_its_line() {
    let (payloads, refused) = run(Framing::Lines, b"{\"a\":\n1}\n{\"b\":1}").unwrap();
    assert_eq!(payloads, ["{\"b\":1}"]);
    assert_eq!(refused, [(0, "json"), (1, "json")]);
}

#[test]
fn text_of_unknown_form_is_one_value_on_many_lines_or_a_value_a_line() {
    assert_eq!(run(Framing::Detect, b"{\n  \"a\": 1\n}\n"), accepted(&["{\n  \"a\": 1\n}"]));
    assert_eq!(run(Framing::Detect, b"{\"a\":1}\n{\"a\":2}"), accepted(&["{\"a\":1}", "{\"a\":2}"]));
    assert_eq!(run(Framing::Detect, b"hello"), Err("json"));
}

#[test]
fn nothing_is_no_record() {
    for framing in [Framing::Json, Framing::Lines, Framing::Detect] {
        for body in [&b""[..], b" \r\n\t", b"\n\n\n"] {
            assert_eq!(run(framing, body), Err("empty"), "{framing:?}");
        }
    }
}

#[test]
fn damaged_utf8_fails_its_line_alone_and_positions_hold_behind_it() {
    let body = b"{\"a\":1}\n{\"b\":\"\xff\"}\n{\"k\":\"x\",\"t\":5}\n";
    let (payloads, refused) = run(Framing::Lines, body).unwrap();
    assert_eq!(payloads, ["{\"a\":1}", "{\"k\":\"x\",\"t\":5}"]);
    assert_eq!(refused, [(1, "json")]);
    assert_eq!(run(Framing::Json, b"{\"b\":\"\xff\"}"), Err("json"));
}

#[test]
fn a_record_that_is_too_large_fails_alone() {
    let large = format!("{{\"a\":\"{}\"}}\n{{\"a\":1}}", "x".repeat(300));
    let (payloads, refused) = run(Framing::Lines, large.as_bytes()).unwrap();
    assert_eq!((payloads.len(), refused), (1, vec![(0, "record_too_large")]));
}

#[test]
fn too_many_records_are_refused_together() {
    let body = b"{}\n".repeat(REQUEST_RECORDS_MAX + 1);
    assert_eq!(run(Framing::Lines, &body), Err("too_many_records"));
}

#[test]
fn keys_and_captured_fields_are_found() {
    let intake = intake(OnInvalid::Reject);
    let body = br#"[{"k":"ab","t":17},{"k":7},{"k":"a\u0062"},{"k":null},{"x":1}]"#;
    let decoded = decode(&intake, Framing::Json, body, RequestKey::FromRecord).unwrap();
    let text = [&body[..], &decoded.side].concat();
    let at = |span: Span| span.is_present().then(|| &text[span.start()..span.start() + span.len()]);
    let keys: Vec<_> = decoded.records.iter().map(|record| at(record.key)).collect();
    assert_eq!(keys, [Some(&b"ab"[..]), Some(b"7"), Some(b"ab"), None, None]);
    assert_eq!(decoded.captures.len(), 5);
    assert_eq!(at(decoded.captures[0]), Some(&b"17"[..]));
    assert_eq!(at(decoded.captures[1]), None);
}

#[test]
fn a_key_of_the_request_overrules_the_field_and_a_long_one_fails_its_record() {
    let intake = intake(OnInvalid::Reject);
    let body =
        format!("{{\"k\":\"{}\"}}\n{{\"k\":\"b\"}}", "x".repeat(PARTITION_KEY_BYTES_MAX + 1).split_off(100));
    let decoded = decode(&intake, Framing::Lines, body.as_bytes(), RequestKey::Given(b"mine")).unwrap();
    assert_eq!(decoded.side, b"mine");
    assert!(decoded.records.iter().all(|record| record.key.len() == 4));
    let intake = Intake { ingest: Ingest { record_bytes_max: 10_000, ..intake.ingest.clone() }, ..intake };
    let body = format!("{{\"k\":\"{}\"}}\n{{\"k\":\"b\"}}", "x".repeat(PARTITION_KEY_BYTES_MAX + 1));
    let decoded = decode(&intake, Framing::Lines, body.as_bytes(), RequestKey::FromRecord).unwrap();
    assert_eq!((decoded.records.len(), decoded.refused[0].code), (1, "partition_key_too_long"));
}

#[test]
fn invalid_records_are_kept_for_the_dead_letters_where_that_is_wanted() {
    let intake = intake(OnInvalid::DeadLetter);
    let body = b"{\"n\":\"x\"}\noops\n{\"n\":1}";
    let decoded = decode(&intake, Framing::Lines, body, RequestKey::FromRecord).unwrap();
    assert_eq!((decoded.records.len(), decoded.dead, decoded.rejected), (3, 2, 0));
    assert_eq!(decoded.captures.len(), 3);
    let text = [&body[..], &decoded.side].concat();
    let refusal = |index: usize| {
        let span = decoded.records[index].refusal;
        String::from_utf8(text[span.start()..span.start() + span.len()].to_vec()).unwrap()
    };
    assert!(refusal(0).starts_with("schema /n: expected integer"), "{}", refusal(0));
    assert!(refusal(1).starts_with("json unexpected character 'o'"), "{}", refusal(1));
    assert!(!decoded.records[2].refusal.is_present());
}

proptest! {
    /// Whatever comes in, every accepted record is JSON, lies in the body, and is counted.
    #[test]
    fn no_body_breaks_the_decoder(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[\\[\\]{}\",:0-9a-z\\\\ \n\r\u{e9}]{0,200}".prop_map(String::into_bytes),
        ],
        framing in prop_oneof![Just(Framing::Json), Just(Framing::Lines), Just(Framing::Detect)],
        dead_letters in any::<bool>(),
    ) {
        let on_invalid = if dead_letters { OnInvalid::DeadLetter } else { OnInvalid::Reject };
        let Ok(decoded) = decode(&intake(on_invalid), framing, &body, RequestKey::FromRecord) else { return Ok(()) };
        for record in &decoded.records {
            let payload = &body[record.payload.start()..record.payload.start() + record.payload.len()];
            if !record.refusal.is_present() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(payload).unwrap().is_object());
            }
        }
        prop_assert!(decoded.records.len() + decoded.rejected > 0);
        prop_assert_eq!(decoded.captures.len(), decoded.records.len());
    }

    /// A body of good records in any framing gives back exactly these.
    #[test]
    fn good_records_come_out_as_they_went_in(numbers in prop::collection::vec(any::<i64>(), 1..20)) {
        let records: Vec<_> = numbers.iter().map(|n| json!({"n": n, "k": n.to_string()}).to_string()).collect();
        let lines = records.join("\n");
        let array = format!("[{}]", records.join(","));
        for (framing, body) in [(Framing::Lines, &lines), (Framing::Detect, &lines), (Framing::Json, &array)] {
            let (payloads, refused) = run(framing, body.as_bytes()).unwrap();
            prop_assert_eq!(&payloads, &records);
            prop_assert!(refused.is_empty());
        }
    }
}

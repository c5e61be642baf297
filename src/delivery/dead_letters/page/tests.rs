use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::*;
use crate::config::checked::{BufferHints, DeadLetters, Delivery, ObjectSink, Placement, Selection};
use crate::config::limits::DEAD_LETTER_LINE_COPIES;
use crate::delivery::dead_letters::summary::summary;
use crate::delivery::encode::dead_letter::{DeadLetter, Envelope};
use crate::delivery::intake::DEAD_LETTER_FORMAT;
use crate::delivery::prefix::{PrefixTemplate, Terms};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::{self, UnixMicros};

const PLENTY: u64 = 1 << 30;

fn line(delivery: &str, reason: &str, number: u64, raw: &[u8]) -> String {
    let mut line = String::new();
    let time = UnixMicros(1_700_000_000_000_000 + number as i64);
    let letter = DeadLetter {
        reason,
        message: "m",
        attempts: 1,
        first_failed_at: time,
        failed_at: time,
        arrival_time: time,
        stream: "s",
        delivery,
        shard: ShardId(0),
        sequence_number: SequenceNumber(number),
        partition_key: "",
        raw,
    };
    letter.write_to(Envelope::Forebay, &mut line);
    line + "\n"
}

fn letter_box(delivery: &str, folder: &Path) -> LetterBox {
    let buffer = BufferHints { size_bytes: 1, interval: Duration::from_secs(1) };
    let template = |text| PrefixTemplate::parse(text, &Terms::default()).unwrap();
    let config = Delivery {
        name: delivery.to_owned(),
        sink: ObjectSink {
            url: Url::from_directory_path(folder).unwrap(),
            options: Default::default(),
            multipart_bytes: 1,
        },
        format: DEAD_LETTER_FORMAT,
        extension: None,
        buffer,
        prefix: template(""),
        error_prefix: template("errors/{reason}/"),
        dead_letters: DeadLetters { buffer, envelope: Envelope::Forebay },
        event_time: None,
        placement: Placement::default(),
        selection: Selection::Fitting,
        open_partitions_max: 9,
    };
    LetterBox::without_ledger("s", config)
}

/// Files of dead letters of two deliveries: `a` has 5 of `json` in two files and 2 of `schema`, `b` has 3 of `schema`.
fn boxes(folder: &Path) -> Vec<LetterBox> {
    let mut number = 0;
    for (delivery, reason, file, count) in
        [("a", "json", 1, 3), ("a", "json", 2, 2), ("a", "schema", 3, 2), ("b", "schema", 4, 3)]
    {
        let text: String = (0..count)
            .map(|_| {
                number += 1;
                line(delivery, reason, number, format!("{{\"n\":{number}}}").as_bytes())
            })
            .collect();
        let below = folder.join(delivery).join("errors").join(reason);
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(below.join(format!("s-{delivery}-{file}.json.gz")), gzipped(&text)).unwrap();
    }
    ["a", "b"].map(|delivery| letter_box(delivery, &folder.join(delivery))).into()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn ask(letters_max: u64) -> Ask {
    Ask { filter: Filter::default(), after: None, letters_max, has_payloads: true }
}

fn value(page: Page) -> Value {
    serde_json::from_slice(&page.text.into_bytes()).unwrap()
}

/// Numbers of the letters of all pages behind `ask`, page by page.
fn pages(boxes: &[LetterBox], mut ask: Ask, budget: &Arc<Budget>) -> Vec<Vec<u64>> {
    let runtime = runtime();
    let patience = Patience::without_end(runtime.handle());
    let mut found = Vec::new();
    loop {
        let page = value(page(boxes, &ask, &patience, budget).unwrap());
        assert_eq!((&page["problems"], budget.used()), (&serde_json::json!([]), 0), "{page}");
        let number = |letter: &Value| letter["sequence_number"].as_str().unwrap().parse::<u64>().unwrap();
        found.push(page["letters"].as_array().unwrap().iter().map(number).collect());
        if page["more"] == false {
            return found;
        }
        ask.after = Place::parse(page["next"].as_str().unwrap());
        assert!(ask.after.is_some(), "{page}");
    }
}

#[test]
fn every_letter_is_on_one_page_whatever_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let boxes = boxes(folder.path());
    for letters_max in 1..=12 {
        let found = pages(&boxes, ask(letters_max), &Budget::new(PLENTY));
        assert!(found.iter().all(|page| page.len() as u64 <= letters_max), "{found:?}");
        assert_eq!(found.concat(), (1..=10).collect::<Vec<_>>(), "{letters_max}");
    }
}

#[test]
fn a_page_has_what_its_filter_means_and_no_payload_where_none_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let boxes = boxes(folder.path());
    let budget = Budget::new(PLENTY);
    let found = |filter: Filter| pages(&boxes, Ask { filter, ..ask(2) }, &budget).concat();
    let reasons = vec!["schema".to_owned()];
    assert_eq!(found(Filter { reasons: reasons.clone(), ..Filter::default() }), [6, 7, 8, 9, 10]);
    let delivery = Some("a".to_owned());
    assert_eq!(found(Filter { reasons, delivery, ..Filter::default() }), [6, 7]);
    let (since, until) = (UnixMicros(1_700_000_000_000_004), UnixMicros(1_700_000_000_000_009));
    let between = Filter { since: Some(since), until: Some(until), ..Filter::default() };
    assert_eq!(found(between), [4, 5, 6, 7, 8]);
    let runtime = runtime();
    let patience = Patience::without_end(runtime.handle());
    let with = value(page(&boxes, &ask(1), &patience, &budget).unwrap());
    let without = Ask { has_payloads: false, ..ask(1) };
    let without = value(page(&boxes, &without, &patience, &budget).unwrap());
    let letter = &with["letters"][0];
    assert_eq!((&letter["payload"], &letter["line"]), (&"{\"n\":1}".into(), &1.into()), "{with}");
    let mut expected = letter.clone();
    expected.as_object_mut().unwrap().remove("payload");
    assert_eq!(without["letters"][0], expected);
}

#[test]
fn what_was_stored_since_comes_behind_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let boxes = boxes(folder.path());
    let (runtime, budget) = (runtime(), Budget::new(PLENTY));
    let patience = Patience::without_end(runtime.handle());
    let first = value(page(&boxes, &ask(100), &patience, &budget).unwrap());
    assert_eq!((first["letters"].as_array().unwrap().len(), &first["more"]), (10, &false.into()));
    let after = Ask { after: Place::parse(first["next"].as_str().unwrap()), ..ask(100) };
    let none = value(page(&boxes, &after, &patience, &budget).unwrap());
    assert_eq!((&none["letters"], &none["next"]), (&serde_json::json!([]), &first["next"]));
    let path = folder.path().join("b/errors/schema/s-b-5.json.gz");
    std::fs::copy(folder.path().join("b/errors/schema/s-b-4.json.gz"), path).unwrap();
    let more = value(page(&boxes, &after, &patience, &budget).unwrap());
    assert_eq!(more["letters"].as_array().unwrap().len(), 3, "{more}");
}

#[test]
fn a_page_has_no_more_than_memory_has_room_for_and_none_is_refused_for_another_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = line("a", "json", 1, &[b'x'; 6_000]);
    let bytes = text.len() as u64;
    text += &line("a", "json", 2, &[b'x'; 6_000]);
    let below = folder.path().join("errors/json");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(below.join("s-a-1.json.gz"), gzipped(&text)).unwrap();
    let boxes = [letter_box("a", folder.path())];
    // One line and its letter, and a page that has one of them, or none.
    let reading = bytes * DEAD_LETTER_LINE_COPIES;
    assert_eq!(pages(&boxes, ask(9), &Budget::new(reading + 8_000)), [vec![1], vec![2]]);
    let runtime = runtime();
    let patience = Patience::without_end(runtime.handle());
    for capacity in [100, reading, reading + 4_096] {
        let budget = Budget::new(capacity);
        let found = page(&boxes, &ask(9), &patience, &budget).map(|page| page.letters);
        assert!(matches!(found, Err(PageError::NoMemory)), "{capacity}: {found:?}");
        assert_eq!(budget.used(), 0);
    }
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn nothing_is_read_for_somebody_who_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let boxes = boxes(folder.path());
    let (runtime, budget, ended) = (runtime(), Budget::new(PLENTY), CancellationToken::new());
    let far = clock::monotonic() + Duration::from_secs(3_600);
    let patience = Patience::until(runtime.handle(), far, ended.clone());
    assert_eq!(page(&boxes, &ask(1), &patience, &budget).unwrap().letters, 1);
    ended.cancel();
    page(&boxes, &ask(1), &patience, &budget).unwrap_err();
    summary(&boxes, &Filter::default(), &patience, &budget).unwrap_err();
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_damaged_file_is_named_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let boxes = boxes(folder.path());
    std::fs::write(folder.path().join("a/errors/json/s-a-2.json.gz"), "no gzip").unwrap();
    let (runtime, budget) = (runtime(), Budget::new(PLENTY));
    let patience = Patience::without_end(runtime.handle());
    let page = value(page(&boxes, &ask(100), &patience, &budget).unwrap());
    assert_eq!((page["letters"].as_array().unwrap().len(), &page["more"]), (8, &false.into()));
    let problem = page["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("s/a: errors/json/s-a-2.json.gz: line 1: "), "{page}");
}

#[test]
fn a_summary_counts_by_delivery_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let boxes = boxes(folder.path());
    let (runtime, budget) = (runtime(), Budget::new(PLENTY));
    let patience = Patience::without_end(runtime.handle());
    let told = |filter: Filter| -> Value {
        let text = summary(&boxes, &filter, &patience, &budget).unwrap();
        serde_json::from_slice(&text.into_bytes()).unwrap()
    };
    let all = told(Filter::default());
    let counts: Vec<_> = all["groups"].as_array().unwrap().iter().map(of_group).collect();
    let expected = [("a", "json", 2, 5), ("a", "schema", 1, 2), ("b", "schema", 1, 3)];
    assert_eq!((&all["complete"], counts), (&true.into(), expected.into()), "{all}");
    assert_eq!(all["groups"][0]["oldest"], "2023-11-14T22:13:20.000001Z");
    let (reasons, delivery) = (vec!["schema".to_owned()], Some("b".to_owned()));
    let some = told(Filter { reasons, delivery, ..Filter::default() });
    assert_eq!(some["groups"].as_array().unwrap().iter().map(of_group).collect::<Vec<_>>(), expected[2..]);
    assert_eq!(budget.used(), 0);
}

fn of_group(group: &Value) -> (&str, &str, u64, u64) {
    let number = |name: &str| group[name].as_u64().unwrap();
    let text = |name: &str| group[name].as_str().unwrap();
    (text("delivery"), text("reason"), number("files"), number("records"))
}

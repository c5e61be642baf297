//! Every type × pattern of nulls × codec × format, through the real binary: what pyarrow, DuckDB and polars read is
//! compared with what was sent. Records that fit nowhere are among the others.

mod bad_rows;
pub mod formats;
mod samples;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use self::bad_rows::{BAD_ROWS, BadRow, LAST_SECOND, LastSecond};
use self::formats::FORMATS;
use self::samples::{PATTERNS, Pattern, SAMPLES, Sample};
use crate::lake;
use crate::server::{Server, Setup, Stopped, durable_stream};
use crate::verify;

/// Lines of a request.
const LINES: usize = 100;

fn pipeline() -> String {
    let mut config = durable_stream("types", 1, "os");
    config += "[ingest]\npartition_key = \"/pattern\"\non_invalid = \"dead_letter\"\n";
    config += "[schema]\ncolumns = [\n  { name = \"id\", type = \"int64\", nullable = false },\n";
    for Sample { name, type_text, .. } in &SAMPLES {
        writeln!(config, "  {{ name = \"{name}\", type = \"{type_text}\" }},").unwrap();
    }
    config += "]\n";
    config + &formats::deliveries(&FORMATS, "prefix = \"pattern={/pattern}/\"")
}

/// The pattern of [`LAST_SECOND`].
const LAST_SECOND_NAME: &str = "last_second";

/// What was sent with a pattern.
#[derive(Default)]
struct Sent {
    /// All lines, those included that fit no columns.
    lines: Vec<String>,
    /// The values of those that fit, as JSON.
    rows: Vec<String>,
}

/// Everything that is to be sent with a pattern; the bad rows go between the others of the first.
fn made(pattern: &Pattern, next_id: &mut u64, bad: &mut Vec<(String, &BadRow)>) -> Sent {
    let mut sent = Sent::default();
    let mut bad_rows = BAD_ROWS.iter().filter(|_| pattern.name == "none");
    let mut id = || {
        *next_id += 1;
        *next_id
    };
    for row in 0..pattern.rows {
        let (record, values) = pattern.row(row, id());
        sent.lines.push(record);
        sent.rows.push(values);
        if let Some(row) = bad_rows.next() {
            let record = row.record.replace("ID", &id().to_string());
            bad.push((record.clone(), row));
            sent.lines.push(record);
        }
    }
    assert!(bad_rows.next().is_none(), "more bad rows than good ones");
    sent
}

/// Records that only ORC cannot hold, and their dead letters there.
fn made_of_last_second(next_id: &mut u64) -> (Sent, Vec<(String, BadRow)>) {
    let (mut sent, mut bad) = (Sent::default(), Vec::new());
    for LastSecond { column, value, found, message } in &LAST_SECOND {
        *next_id += 1;
        let record = format!(r#"{{"id":{next_id},"pattern":"{LAST_SECOND_NAME}","{column}":{value}}}"#);
        let values = SAMPLES.iter().map(|sample| if sample.name == *column { *found } else { "null" });
        sent.rows.push(format!("[{next_id},{}]", values.collect::<Vec<_>>().join(",")));
        bad.push((record.clone(), BadRow { record: "", reason: "columns", message }));
        sent.lines.push(record);
    }
    (sent, bad)
}

async fn send(server: &Server, lines: &[String]) {
    for lines in lines.chunks(LINES) {
        let (status, reply) = server.post("types", "application/x-ndjson", lines.join("\n")).await;
        assert_eq!((status, reply["accepted"].as_u64()), (200, Some(lines.len() as u64)), "{reply}");
    }
}

/// What the readers compare with.
fn expectation(sent: &BTreeMap<&str, Sent>, dead_at_edge: &[&str]) -> String {
    let mut text = r#"{"columns":[{"name":"id","type":"int64","nullable":false}"#.to_owned();
    for Sample { name, arrow_type, .. } in &SAMPLES {
        write!(text, r#",{{"name":"{name}","type":"{arrow_type}","nullable":true}}"#).unwrap();
    }
    text += "],\"deliveries\":[";
    let deliveries = FORMATS.iter().map(|format| {
        let formats::Written { name, format, extension, .. } = format;
        format!(r#"{{"name":"{name}","format":"{format}","extension":"{extension}"}}"#)
    });
    text += &deliveries.collect::<Vec<_>>().join(",");
    text += "],\"patterns\":{";
    for (index, (name, sent)) in sent.iter().enumerate() {
        let lines = sent.lines.iter().filter(|line| !dead_at_edge.contains(&line.as_str()));
        let lines: Vec<_> = lines.map(|line| serde_json::to_string(line).unwrap()).collect();
        let comma = if index == 0 { "" } else { "," };
        write!(
            text,
            "{comma}\"{name}\":{{\"lines\":[{}],\n\"rows\":[{}]}}",
            lines.join(","),
            sent.rows.join(",\n")
        )
        .unwrap();
    }
    text + "}}"
}

/// Each bad record is a dead letter of each delivery that cannot hold it, and nothing else is.
fn assert_dead_letters(lake: &Path, bad: &[(String, &BadRow)], bad_for_orc: &[(String, BadRow)]) {
    for format in &FORMATS {
        let letters = lake::dead_letters(&lake.join(format.name).join("errors"));
        let found: BTreeMap<String, (String, String)> = letters
            .iter()
            .map(|letter| {
                let raw = STANDARD.decode(letter["raw"].as_str().unwrap()).unwrap();
                let text = |name: &str| letter[name].as_str().unwrap().to_owned();
                (String::from_utf8(raw).unwrap(), (text("reason"), text("message")))
            })
            .collect();
        assert_eq!(found.len(), letters.len(), "{}: a record is there twice", format.name);
        let has_columns = format.format != "json";
        let here = bad.iter().filter(|(_, row)| has_columns || row.reason != "columns");
        let of_orc = bad_for_orc.iter().filter(|_| format.format == "orc");
        let expected: Vec<(&str, &BadRow)> = here
            .map(|(record, row)| (record.as_str(), *row))
            .chain(of_orc.map(|(record, row)| (record.as_str(), row)))
            .collect();
        for (record, BadRow { reason, message, .. }) in &expected {
            let Some((found_reason, found_message)) = found.get(*record) else {
                panic!("{}: {record} is no dead letter", format.name);
            };
            assert_eq!(found_reason, reason, "{}: {record}", format.name);
            assert!(found_message.starts_with(message), "{}: {record}: {found_message}", format.name);
        }
        assert_eq!(found.len(), expected.len(), "{}: {found:#?}", format.name);
    }
}

/// `forebay verify` reads all of it as well: it counts the rows, and compares the lines.
fn assert_verified(stopped: &Stopped) {
    let report = verify::well(stopped.folder.path(), &[]);
    assert_eq!(report.len(), FORMATS.len());
    for delivery in report {
        let compared = delivery["objects_compared"].as_u64().unwrap() as usize;
        let is_json = delivery["delivery"].as_str().unwrap().starts_with("json");
        // Dead letters are compared as well.
        assert!(compared >= if is_json { PATTERNS.len() } else { 1 }, "{delivery}");
    }
}

#[tokio::test]
async fn every_type_and_pattern_of_nulls_is_read_back_from_every_format_and_codec() {
    let server = Setup::pipeline(pipeline()).start();
    let (mut next_id, mut bad) = (0, Vec::new());
    let mut sent = BTreeMap::new();
    for pattern in &PATTERNS {
        let made = made(pattern, &mut next_id, &mut bad);
        send(&server, &made.lines).await;
        sent.insert(pattern.name, made);
    }
    let (last_second, bad_for_orc) = made_of_last_second(&mut next_id);
    send(&server, &last_second.lines).await;
    sent.insert(LAST_SECOND_NAME, last_second);
    let stopped = server.stop();
    stopped.assert_drained();
    let lake_folder = stopped.path("lake");
    assert_dead_letters(&lake_folder, &bad, &bad_for_orc);
    assert_verified(&stopped);
    let Some(python) = lake::python() else { return };
    let dead_at_edge: Vec<&str> =
        bad.iter().filter(|(_, row)| row.reason != "columns").map(|(record, _)| record.as_str()).collect();
    let expected = stopped.path("expected.json");
    std::fs::write(&expected, expectation(&sent, &dead_at_edge)).unwrap();
    let report = lake::run_reader(
        &python,
        "check_conformance.py",
        &[&expected.to_string_lossy(), &lake_folder.to_string_lossy()],
    );
    assert!(report.contains(&format!("{} deliveries are as expected", FORMATS.len())), "{report}");
}

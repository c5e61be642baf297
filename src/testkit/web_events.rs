//! Web events of about 331 bytes, the same in each run: what the speed figures of this project are measured with.
//!
//! They have the members, the length and about the compressibility of real access log records. Unlike those of
//! [`super::generators`] they carry nothing to verify.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::{Value, json};

use crate::schema::columns::ColumnDeclaration;

/// Bytes of an event on average, without a line feed.
pub const EVENT_BYTES: usize = 331;

/// The member that is the partition key.
pub const KEY_POINTER: &str = "/client_ip";

const PATHS: [&str; 8] =
    ["product", "article", "search", "api/v1/items", "static/js/app", "image", "user", "cart"];
const REFERRERS: [&str; 4] = [
    "-",
    "https://www.shop.example/search?q=running+shoes&page=2",
    "https://news.example/2026/02/28/a-long-headline-about-something",
    "https://www.shop.example/",
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Safari/537.36 Chrome/131.0.",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "okhttp/4.12.0 ShopApp/8.5 (Android 15; Pixel 9; en_GB) release/85.",
];

/// Numbers that look like noise.
fn noise(index: u64) -> u64 {
    let mixed = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 8
}

/// The event of that number: one JSON object on one line.
pub fn event(index: u64) -> String {
    let noise = noise(index);
    let pick = |count: usize, shift: u32| ((noise >> shift) % count as u64) as usize;
    let (minute, second, millis) = (index / 60_000 % 60, index / 1_000 % 60, index % 1_000);
    let client = noise % 5_000;
    let mut text = String::with_capacity(400);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        concat!(
            r#"{{"client_ip":"10.{}.{}.{}","timestamp":"2026-02-28T10:{:02}:{:02}.{:03}Z","method":"{}","#,
            r#""path":"/{}/{}?ref={:x}","protocol":"HTTP/1.1","status":{},"bytes":{},"referrer":"{}","user_agent":"{}{}"}}"#
        ),
        client % 7,
        client % 251,
        client % 241,
        minute,
        second,
        millis,
        ["GET", "GET", "GET", "POST"][pick(4, 3)],
        PATHS[pick(8, 5)],
        pick(20_000, 11),
        noise >> 30,
        [200, 200, 200, 304, 404, 500][pick(6, 13)],
        pick(60_000, 17),
        REFERRERS[pick(4, 23)],
        AGENTS[pick(4, 29)],
        pick(300, 33),
    );
    text
}

/// The first event of exactly [`EVENT_BYTES`] bytes.
pub fn typical_event() -> String {
    let mut events = (0..).map(event);
    // Lengths lie closely around their average, so the search ends soon; a test does it.
    events.find(|event| event.len() == EVENT_BYTES).unwrap_or_default()
}

/// Events of these numbers as NDJSON: a line feed behind each.
pub fn lines(indices: Range<u64>) -> String {
    indices.map(|index| event(index) + "\n").collect()
}

/// A JSON Schema that all events fit, with about as much to check as a production schema has.
pub fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["client_ip", "timestamp", "method", "path", "status"],
        "properties": {
            "client_ip": {"type": "string", "minLength": 7, "maxLength": 45},
            "timestamp": {"type": "string", "format": "date-time"},
            "method": {"type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]},
            "path": {"type": "string", "minLength": 1, "maxLength": 2048},
            "protocol": {"type": ["string", "null"]},
            "status": {"type": "integer", "minimum": 100, "maximum": 599},
            "bytes": {"type": "integer", "minimum": 0},
            "referrer": {"type": ["string", "null"], "maxLength": 2048},
            "user_agent": {"type": ["string", "null"], "maxLength": 1024},
        },
        "additionalProperties": false,
    })
}

/// The columns of their Parquet files.
pub fn columns() -> Vec<ColumnDeclaration> {
    let declaration = |(name, type_text): (&str, &str)| ColumnDeclaration::new(name, type_text, true);
    let declared = [
        ("client_ip", "string"),
        ("timestamp", "timestamp_micros"),
        ("method", "string"),
        ("path", "string"),
        ("protocol", "string"),
        ("status", "int32"),
        ("bytes", "int64"),
        ("referrer", "string"),
        ("user_agent", "string"),
    ];
    declared.map(declaration).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Pointer, Scanner};
    use crate::schema::columns::Columns;
    use crate::schema::validation::{Plan, Scratch, Verdict};

    #[test]
    fn events_have_the_stated_length_on_average_and_one_has_it_exactly() {
        const COUNT: u64 = 100_000;
        let bytes: usize = (0..COUNT).map(|index| event(index).len()).sum();
        assert_eq!((bytes as f64 / COUNT as f64).round() as usize, EVENT_BYTES);
        assert_eq!(typical_event().len(), EVENT_BYTES);
    }

    #[test]
    fn every_event_fits_the_schema_and_has_a_key() {
        let plan = Plan::compile(Some(&schema()), &[Pointer::parse(KEY_POINTER).unwrap()]).unwrap();
        assert!(plan.is_compiled());
        let body = lines(0..1_000);
        let (mut scanner, mut scratch) = (Scanner::new(&body), Scratch::new());
        for _ in 0..1_000 {
            assert_eq!(plan.check(&mut scanner, &mut scratch), Ok(Verdict::Fits));
            assert!(scratch.captures()[0].is_present());
        }
    }

    #[test]
    fn columns_can_be_built() {
        Columns::declared(&columns()).unwrap();
    }
}

//! What services say about the requests that they serve.
//!
//! | member | JSON |
//! | --- | --- |
//! | `service` | string; fixed for each host |
//! | `host` | string, the partition key |
//! | `timestamp` | RFC 3339 with microseconds, `Z` |
//! | `level` | `debug`, `info`, `warn` or `error` |
//! | `trace_id`, `span_id` | 32 and 16 hex digits |
//! | `message` | string, some with escapes; padded to reach a record size |
//! | `duration_ms` | number, 3 places |
//! | `http` | `{ method, route: string; status: integer }` |
//! | `labels` | `{ string: string }`, 2 to 5 of them |

use super::Subject;
use super::canonical::{Field, Form};
use super::draft::{Draft, Phrase, hex, padded};
use super::random::{Random, mix, pick};
use super::words::pad;

pub(super) const FIELDS: &[Field] = &[
    Field { name: "service", form: Form::Text },
    Field { name: "host", form: Form::Text },
    Field { name: "timestamp", form: Form::Instant },
    Field { name: "level", form: Form::Text },
    Field { name: "trace_id", form: Form::Text },
    Field { name: "span_id", form: Form::Text },
    Field { name: "message", form: Form::Text },
    Field { name: "duration_ms", form: Form::Decimal(3) },
    Field { name: "http", form: Form::Struct(HTTP) },
    Field { name: "labels", form: Form::Map },
];
const HTTP: &[Field] = &[
    Field { name: "method", form: Form::Text },
    Field { name: "route", form: Form::Text },
    Field { name: "status", form: Form::Integer },
];

const SERVICES: &[&str] = &["checkout", "catalogue", "identity", "payments", "search", "shipping"];
const REGIONS: &[&str] = &["eu-west-1", "eu-central-1", "us-east-1", "ap-south-1"];
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/v1/products/{id}"),
    ("GET", "/v1/search"),
    ("POST", "/v1/orders"),
    ("PUT", "/v1/carts/{cart}/items/{item}"),
    ("DELETE", "/v1/sessions/{id}"),
];
const QUIET: &[Phrase] = &[
    Phrase::plain("request served"),
    Phrase::plain("cache hit for product list"),
    Phrase {
        json: "query \\\"top sellers\\\" planned\\n  index scan",
        plain: "query \"top sellers\" planned\n  index scan",
    },
    Phrase { json: "price in \\u20ac rounded half even", plain: "price in \u{20ac} rounded half even" },
];
const LOUD: &[Phrase] = &[
    Phrase::plain("upstream timed out, trying the next one"),
    Phrase { json: "upstream said \\\"try later\\\"", plain: "upstream said \"try later\"" },
    Phrase { json: "file C:\\\\temp\\\\spool\\t is full", plain: "file C:\\temp\\spool\t is full" },
];
/// Names in ascending order with the values that they take. The first two are always there.
const LABELS: &[(&str, &[&str])] = &[
    ("env", &["prod", "staging"]),
    ("region", REGIONS),
    ("team", &["core", "edge", "plattform-süd"]),
    ("version", &["2026.1.3", "2026.1.4", "2026.2.0-beta"]),
    ("zone", &["a", "b", "c"]),
];

pub(super) fn members(subject: &Subject, random: &mut Random, draft: &mut Draft<'_>) {
    let fixed = mix(subject.traits);
    draft.raw(",\"service\":");
    draft.text(pick(fixed, SERVICES));
    draft.raw(",\"host\":");
    draft.built(|out| {
        out.extend_from_slice(b"host-");
        padded(out, u64::from(subject.key), 7);
        out.push(b'.');
        out.extend_from_slice(pick(fixed.rotate_left(17), REGIONS).as_bytes());
    });
    draft.raw(",\"timestamp\":");
    draft.rfc3339(subject.at, 6);
    let (level, status) = outcome(random);
    draft.raw(",\"level\":");
    draft.text(level);
    draft.raw(",\"trace_id\":");
    let (high, low, span) = (random.next(), random.next(), random.next());
    draft.built(|out| {
        hex(out, high, 16);
        hex(out, low, 16);
    });
    draft.raw(",\"span_id\":");
    draft.built(|out| hex(out, span, 16));
    draft.raw(",\"message\":");
    let phrase = random.pick(if matches!(level, "debug" | "info") { QUIET } else { LOUD });
    draft.phrase(phrase, |out| {
        if subject.pad_bytes > 0 {
            out.push(b' ');
            pad(out, random, subject.pad_bytes - 1);
        }
    });
    draft.raw(",\"duration_ms\":");
    // Most requests are quick: the product of two even draws leans to the low end. Below 4096 × 1000.
    draft.decimal((random.below(2_000) * random.below(2_000)) as i64, 3);
    let (method, route) = random.pick(ROUTES);
    draft.raw(",\"http\":{\"method\":");
    draft.text(method);
    draft.raw(",\"route\":");
    draft.text(route);
    draft.raw(",\"status\":");
    draft.integer(status);
    draft.raw("}");
    labels(random, draft);
}

fn outcome(random: &mut Random) -> (&'static str, i64) {
    match random.below(100) {
        0..10 => ("debug", 200),
        10..80 => ("info", 200),
        80..90 => ("info", 201),
        90..96 => ("warn", 404),
        _ => ("error", 503),
    }
}

fn labels(random: &mut Random, draft: &mut Draft<'_>) {
    let count = 2 + random.below(LABELS.len() as u64 - 1) as usize;
    draft.raw(",\"labels\":{");
    draft.count(count);
    for (index, (name, values)) in LABELS[..count].iter().enumerate() {
        if index > 0 {
            draft.raw(",");
        }
        draft.entry(name);
        draft.text(random.pick(values));
    }
    draft.raw("}");
}

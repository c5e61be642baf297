//! What happens in a shop's pages and apps.
//!
//! | member | JSON |
//! | --- | --- |
//! | `event_id` | UUID (version 4 form) as a string |
//! | `timestamp` | RFC 3339 with milliseconds, `Z` |
//! | `client_ip` | IPv4 as a string; one for each session |
//! | `session_id` | string, the partition key |
//! | `user_id` | integer, or null for a session that is not logged in |
//! | `event_type` | `page_view`, `click`, `add_to_cart`, `purchase` or `search` |
//! | `url` | string; padded to reach a record size |
//! | `referrer` | string or null |
//! | `user_agent` | string |
//! | `device` | `{ type: desktop, mobile or tablet; os: string; screen: { width, height: integer } }` |
//! | `properties` | `[ { name, value: string } ]`, 0 to 4 of them |
//! | `price` | number with 2 places for `add_to_cart` and `purchase`, else null |

use super::canonical::{Field, Form};
use super::draft::{Draft, hex};
use super::random::{Random, mix, pick};
use super::words::pad;
use super::{Subject, draft};

pub(super) const FIELDS: &[Field] = &[
    Field { name: "event_id", form: Form::Text },
    Field { name: "timestamp", form: Form::Instant },
    Field { name: "client_ip", form: Form::Text },
    Field { name: "session_id", form: Form::Text },
    Field { name: "user_id", form: Form::Integer },
    Field { name: "event_type", form: Form::Text },
    Field { name: "url", form: Form::Text },
    Field { name: "referrer", form: Form::Text },
    Field { name: "user_agent", form: Form::Text },
    Field { name: "device", form: Form::Struct(DEVICE) },
    Field { name: "properties", form: Form::List(&Form::Struct(PROPERTY)) },
    Field { name: "price", form: Form::Decimal(2) },
];
const DEVICE: &[Field] = &[
    Field { name: "type", form: Form::Text },
    Field { name: "os", form: Form::Text },
    Field { name: "screen", form: Form::Struct(SCREEN) },
];
const SCREEN: &[Field] =
    &[Field { name: "width", form: Form::Integer }, Field { name: "height", form: Form::Integer }];
const PROPERTY: &[Field] =
    &[Field { name: "name", form: Form::Text }, Field { name: "value", form: Form::Text }];

/// A browser on a device.
#[derive(Clone, Copy)]
struct Agent {
    text: &'static str,
    kind: &'static str,
    os: &'static str,
    width: i64,
    height: i64,
}

const AGENTS: &[Agent] = &[
    Agent {
        text: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
        kind: "desktop",
        os: "Linux",
        width: 1920,
        height: 1080,
    },
    Agent {
        text: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
        kind: "desktop",
        os: "Windows",
        width: 2560,
        height: 1440,
    },
    Agent {
        text: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
        kind: "desktop",
        os: "macOS",
        width: 1728,
        height: 1117,
    },
    Agent {
        text: "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
        kind: "desktop",
        os: "Windows",
        width: 1366,
        height: 768,
    },
    Agent {
        text: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
        kind: "mobile",
        os: "iOS",
        width: 393,
        height: 852,
    },
    Agent {
        text: "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
        kind: "mobile",
        os: "Android",
        width: 412,
        height: 923,
    },
    Agent {
        text: "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
        kind: "tablet",
        os: "iPadOS",
        width: 820,
        height: 1180,
    },
];
const PATHS: &[&str] = &[
    "/",
    "/cart",
    "/checkout",
    "/account/orders",
    "/category/lamps",
    "/category/tools/hand-saws",
    "/search?q=kettle",
    "/search?q=caf%C3%A9+table&sort=price",
    "/help/returns",
];
const REFERRERS: &[&str] = &[
    "https://www.example.org/",
    "https://search.example.net/results?q=garden+chair",
    "https://news.example.net/2026/01/five-quiet-kettles",
    "https://shop.example.com/",
];
/// Names with the values that they take.
const PROPERTIES: &[(&str, &[&str])] = &[
    ("campaign", &["winter-sale", "newsletter-12", "none"]),
    ("experiment", &["checkout-a", "checkout-b", "control"]),
    ("language", &["de-CH", "en-GB", "fr", "español", "日本語"]),
    ("scroll_depth", &["10", "25", "50", "75", "100"]),
    ("theme", &["dark", "light"]),
];
const PROPERTIES_MAX: u64 = 4;

pub(super) fn members(subject: &Subject, random: &mut Random, draft: &mut Draft<'_>) {
    let agent = pick(mix(subject.traits), AGENTS);
    draft.raw(",\"event_id\":");
    uuid(random, draft);
    draft.raw(",\"timestamp\":");
    draft.rfc3339(subject.at, 3);
    draft.raw(",\"client_ip\":");
    client_ip(subject.traits, draft);
    draft.raw(",\"session_id\":");
    draft.built(|out| {
        out.extend_from_slice(b"s-");
        hex(out, subject.traits, 16);
    });
    draft.raw(",\"user_id\":");
    match subject.traits % 4 {
        0 => draft.null(),
        _ => draft.integer((subject.traits >> 20) as i64 % 10_000_000),
    }
    let event_type = event_type(random);
    draft.raw(",\"event_type\":");
    draft.text(event_type);
    draft.raw(",\"url\":");
    url(subject, random, draft);
    draft.raw(",\"referrer\":");
    if random.percent(30) {
        draft.null()
    } else {
        draft.text(random.pick(REFERRERS))
    }
    draft.raw(",\"user_agent\":");
    draft.text(agent.text);
    device(&agent, draft);
    properties(random, draft);
    draft.raw(",\"price\":");
    match event_type {
        "add_to_cart" | "purchase" => draft.decimal(random.below(100_000) as i64 + 49, 2),
        _ => draft.null(),
    }
}

fn uuid(random: &mut Random, draft: &mut Draft<'_>) {
    let (high, low) = (random.next(), random.next());
    draft.built(|out| {
        hex(out, high >> 32, 8);
        out.push(b'-');
        hex(out, high >> 16, 4);
        out.extend_from_slice(b"-4");
        hex(out, high, 3);
        out.push(b'-');
        // The variant of RFC 9562: two bits, 10.
        hex(out, (low >> 48) & 0x3fff | 0x8000, 4);
        out.push(b'-');
        hex(out, low, 12);
    });
}

fn client_ip(traits: u64, draft: &mut Draft<'_>) {
    // The block that RFC 2544 keeps for benchmarks: 198.18.0.0/15.
    let bits = mix(traits);
    draft.built(|out| {
        out.extend_from_slice(if bits & 1 == 0 { b"198.18." } else { b"198.19." });
        out.extend_from_slice(itoa::Buffer::new().format((bits >> 8) & 255).as_bytes());
        out.push(b'.');
        out.extend_from_slice(itoa::Buffer::new().format((bits >> 16) & 255).as_bytes());
    });
}

fn event_type(random: &mut Random) -> &'static str {
    match random.below(100) {
        0..60 => "page_view",
        60..85 => "click",
        85..93 => "add_to_cart",
        93..98 => "search",
        _ => "purchase",
    }
}

fn url(subject: &Subject, random: &mut Random, draft: &mut Draft<'_>) {
    let is_product = random.percent(50);
    let path = if is_product { "/p/" } else { random.pick(PATHS) };
    let product = random.below(100_000);
    draft.built(|out| {
        out.extend_from_slice(b"https://shop.example.com");
        out.extend_from_slice(path.as_bytes());
        if is_product {
            draft::padded(out, product, 5);
        }
        if subject.pad_bytes > 0 {
            out.push(b'#');
            pad(out, random, subject.pad_bytes - 1);
        }
    });
}

fn device(agent: &Agent, draft: &mut Draft<'_>) {
    draft.raw(",\"device\":{\"type\":");
    draft.text(agent.kind);
    draft.raw(",\"os\":");
    draft.text(agent.os);
    draft.raw(",\"screen\":{\"width\":");
    draft.integer(agent.width);
    draft.raw(",\"height\":");
    draft.integer(agent.height);
    draft.raw("}}");
}

fn properties(random: &mut Random, draft: &mut Draft<'_>) {
    let count = random.below(PROPERTIES_MAX + 1) as usize;
    draft.raw(",\"properties\":[");
    draft.count(count);
    for (index, (name, values)) in PROPERTIES[..count].iter().enumerate() {
        draft.raw(if index == 0 { "{\"name\":" } else { ",{\"name\":" });
        draft.text(name);
        draft.raw(",\"value\":");
        draft.text(random.pick(values));
        draft.raw("}");
    }
    draft.raw("]");
}

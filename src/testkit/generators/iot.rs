//! What devices in the field measure.
//!
//! | member | JSON |
//! | --- | --- |
//! | `device_id` | string, the partition key |
//! | `timestamp` | integer: milliseconds since 1970 |
//! | `site`, `model` | strings; fixed for each device |
//! | `temperature` | number, 2 places, -20 to 60 |
//! | `humidity` | number, 1 place, 0 to 100 |
//! | `battery` | integer, 0 to 100 |
//! | `location` | `{ lat, lon: number with 4 places }`; fixed for each device |
//! | `status` | `ok`, `warn` or `fault` |
//! | `readings` | `[ number with 3 places ]`, 3 to 8 of them |
//! | `firmware` | string; padded to reach a record size |

use super::Subject;
use super::canonical::{Field, Form};
use super::draft::{Draft, padded};
use super::random::{Random, mix, pick};
use super::words::pad;

pub(super) const FIELDS: &[Field] = &[
    Field { name: "device_id", form: Form::Text },
    Field { name: "timestamp", form: Form::Instant },
    Field { name: "site", form: Form::Text },
    Field { name: "model", form: Form::Text },
    Field { name: "temperature", form: Form::Decimal(2) },
    Field { name: "humidity", form: Form::Decimal(1) },
    Field { name: "battery", form: Form::Integer },
    Field { name: "location", form: Form::Struct(LOCATION) },
    Field { name: "status", form: Form::Text },
    Field { name: "readings", form: Form::List(&Form::Decimal(3)) },
    Field { name: "firmware", form: Form::Text },
];
const LOCATION: &[Field] =
    &[Field { name: "lat", form: Form::Decimal(4) }, Field { name: "lon", form: Form::Decimal(4) }];

const SITES: &[&str] = &["Zürich-West", "Göteborg", "São Paulo 2", "Porto", "Kraków", "Leeds", "Turin-Nord"];
const MODELS: &[&str] = &["TH-100", "TH-200", "VX-7", "VX-7 Pro", "PM-25"];
const FIRMWARE: &[&str] = &["1.9.12", "2.0.0", "2.4.1", "2.4.2-rc.1"];

pub(super) fn members(subject: &Subject, random: &mut Random, draft: &mut Draft<'_>) {
    let fixed = mix(subject.traits);
    draft.raw(",\"device_id\":");
    draft.built(|out| {
        out.extend_from_slice(b"dev-");
        padded(out, u64::from(subject.key), 7);
    });
    draft.raw(",\"timestamp\":");
    draft.epoch_millis(subject.at);
    draft.raw(",\"site\":");
    draft.text(pick(fixed, SITES));
    draft.raw(",\"model\":");
    draft.text(pick(fixed.rotate_left(21), MODELS));
    draft.raw(",\"temperature\":");
    draft.decimal(random.below(8_001) as i64 - 2_000, 2);
    draft.raw(",\"humidity\":");
    draft.decimal(random.below(1_001) as i64, 1);
    draft.raw(",\"battery\":");
    draft.integer(random.below(101) as i64);
    draft.raw(",\"location\":{\"lat\":");
    draft.decimal((fixed % 1_800_001) as i64 - 900_000, 4);
    draft.raw(",\"lon\":");
    draft.decimal((fixed.rotate_left(32) % 3_600_001) as i64 - 1_800_000, 4);
    draft.raw("},\"status\":");
    draft.text(match random.below(100) {
        0..95 => "ok",
        95..99 => "warn",
        _ => "fault",
    });
    readings(random, draft);
    draft.raw(",\"firmware\":");
    draft.built(|out| {
        out.extend_from_slice(pick(fixed.rotate_left(43), FIRMWARE).as_bytes());
        if subject.pad_bytes > 0 {
            out.push(b'+');
            pad(out, random, subject.pad_bytes - 1);
        }
    });
}

fn readings(random: &mut Random, draft: &mut Draft<'_>) {
    let count = 3 + random.below(6) as usize;
    draft.raw(",\"readings\":[");
    draft.count(count);
    for index in 0..count {
        if index > 0 {
            draft.raw(",");
        }
        draft.decimal(random.below(2_000_001) as i64 - 1_000_000, 3);
    }
    draft.raw("]");
}

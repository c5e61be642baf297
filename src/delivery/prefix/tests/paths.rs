//! Every record's values are what its path says: paths are read back, and compared with what another implementation
//! makes of the record.

use jiff::Timestamp;
use md5::{Digest, Md5};
use serde_json::Value;

use super::*;

/// One segment of a template, `NAME=FIELD`, and what the record must have for it.
#[derive(Debug, Clone)]
enum Segment {
    Time { clock: &'static str, format: &'static str },
    Field { pointer: usize, functions: Vec<&'static str> },
    Shard,
}

impl Segment {
    fn field(&self) -> String {
        match self {
            Segment::Time { clock, format } => format!("{{{clock}:{format}}}"),
            Segment::Field { pointer, functions } => {
                let pointer = ["/a", "/b"][*pointer];
                let functions: String = functions.iter().map(|function| format!("|{function}")).collect();
                format!("{{{pointer}{functions}}}")
            }
            Segment::Shard => "{shard}".to_owned(),
        }
    }

    /// What the path must say for the record; `None` where it has no place.
    fn expected(&self, facts: &Facts, zone: &str) -> Option<String> {
        match self {
            Segment::Time { clock, format } => {
                let time = if *clock == "event_time" { facts.event_time? } else { facts.arrival };
                // The second that it lies in, also before 1970.
                let second = time.0.div_euclid(1_000_000);
                let zoned = Timestamp::from_second(second).ok()?.in_tz(zone).ok()?;
                let year = i32::from(zoned.year());
                let utc_year = i32::from(Timestamp::from_microsecond(time.0).ok()?.in_tz("UTC").ok()?.year());
                if !(0..=9999).contains(&year) || !(0..=9999).contains(&utc_year) {
                    return None;
                }
                // Offsets are shown without their seconds, which places had before there were zones.
                let minutes = zoned.offset().seconds() / 60;
                let sign = if minutes < 0 { '-' } else { '+' };
                let offset = format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
                Some(zoned.strftime(&format.replace("%:z", &offset)).to_string())
            }
            Segment::Field { pointer, functions } => {
                let raw = facts.values[*pointer].as_deref().unwrap_or("null");
                let mut text = match serde_json::from_str::<Value>(raw).unwrap() {
                    Value::Null => None,
                    Value::String(text) => Some(text),
                    other => Some(other.to_string()),
                };
                for function in functions {
                    text = model(function, text);
                }
                let text = text?;
                // Hive cannot tell the two apart.
                Some(if text.is_empty() { "__HIVE_DEFAULT_PARTITION__".to_owned() } else { text })
            }
            Segment::Shard => Some(ShardId(facts.shard).to_string()),
        }
    }
}

fn model(function: &str, text: Option<String>) -> Option<String> {
    if function == "default(No/ne)" {
        return text.or(Some("No/ne".to_owned()));
    }
    let text = text?;
    Some(match function {
        "lower" => text.chars().flat_map(char::to_lowercase).collect(),
        "upper" => text.chars().flat_map(char::to_uppercase).collect(),
        "truncate(2)" => text.chars().take(2).collect(),
        _ => {
            let digest = u128::from_be_bytes(Md5::digest(text.as_bytes()).into());
            format!("{:02}", (digest >> 64) % 12)
        }
    })
}

fn segment() -> impl Strategy<Value = Segment> {
    let formats = ["%Y-%m-%d", "%H", "%Y%m%dT%H%M%S", "%j", "%Y-%m-%dT%H:%M:%S%:z", "%b %d %a", "%s"];
    let functions = ["lower", "upper", "truncate(2)", "hash(12)", "default(No/ne)"];
    prop_oneof![
        3 => (prop::sample::select(vec!["event_time", "arrival_time"]), prop::sample::select(formats.to_vec()))
            .prop_map(|(clock, format)| Segment::Time { clock, format }),
        4 => (0..2_usize, prop::collection::vec(prop::sample::select(functions.to_vec()), 0..4))
            .prop_map(|(pointer, functions)| Segment::Field { pointer, functions }),
        1 => Just(Segment::Shard),
    ]
}

fn zone() -> impl Strategy<Value = &'static str> {
    let zones =
        ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"];
    prop::sample::select(zones.to_vec())
}

/// Around the hours that Berlin's clocks leave out and repeat, around a day that Apia's calendar has left out, and
/// anywhere.
pub(super) fn time() -> impl Strategy<Value = UnixMicros> {
    let near = prop::sample::select(vec![
        1_774_746_000_000_000_i64,
        1_792_890_000_000_000,
        1_325_239_200_000_000,
        1_767_225_600_000_000,
    ]);
    prop_oneof![
        8 => (near, -30_i64..30, -2_i64..3).prop_map(|(at, quarters, micros)| at + quarters * 900_000_000 + micros),
        1 => any::<i64>(),
    ]
    .prop_map(UnixMicros)
}

/// Values that would leave their segment if they could.
fn hostile() -> impl Strategy<Value = Option<String>> {
    let words = [
        "../../etc/passwd",
        "..",
        ".",
        "/",
        "a/b",
        "%2e%2e%2f",
        "\0",
        "\u{202e}x",
        "ß",
        "=",
        "a\nb",
        "x\\..\\y",
    ];
    let word = prop::sample::select(words.to_vec()).prop_map(|word| Value::from(word).to_string());
    prop_oneof![3 => word.prop_map(Some), 3 => value()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn every_value_of_a_path_is_that_of_its_record(
        segments in prop::collection::vec(segment(), 1..5),
        zone in zone(),
        (arrival, event_time) in (time(), prop::option::weighted(0.9, time())),
        (shard, values) in (0..3_u32, prop::collection::vec(hostile(), 2)),
    ) {
        let facts = Facts { arrival, event_time, shard, values, reason: String::new() };
        let fields: Vec<_> = segments.iter().enumerate().map(|(index, segment)| format!("f{index}={}", segment.field())).collect();
        let terms = Terms { time_zone: Zone::parse(zone).unwrap(), ..Terms::default() };
        let template = PrefixTemplate::parse(&fields.join("/"), &terms).unwrap();
        let expected: Option<Vec<_>> = segments.iter().map(|segment| segment.expected(&facts, zone)).collect();
        // The template asks for its fields in the order of their first use.
        let asked = template.pointers().iter().map(|pointer| facts.values[usize::from(pointer.as_str() == "/b")].clone());
        let facts = Facts { values: asked.collect(), ..facts };
        match (facts.render(&template), expected) {
            (Ok(path), Some(expected)) => {
                let found: Vec<_> = path.strip_suffix('/').unwrap().split('/').enumerate().map(|(index, part)| {
                    let value = part.strip_prefix(&format!("f{index}=")).unwrap();
                    // Times are written as they are, with colons and all; nothing in them is a percent sign.
                    percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned()
                }).collect();
                prop_assert_eq!(found, expected, "{}", path);
            }
            (Err(_), None) => {}
            (found, expected) => prop_assert!(false, "{:?} where {:?} was expected", found, expected),
        }
    }

    #[test]
    fn records_share_a_key_exactly_when_they_share_a_folder_whatever_the_zone_and_the_functions(
        template in prop::sample::select(vec![
            "dt={event_time:%Y-%m-%d}/hour={event_time:%H}/",
            "{arrival_time:%Y/%m/%d/%H/%M}/{/a|lower}/",
            "{arrival_time:%Y-%m-%dT%H%z}/{/a|upper|truncate(1)|default}/",
            "{event_time:%Y-%m-%d %H:%M %Z}/{/b|hash(3)}/",
            "!{timestamp:yyyy/MM/dd/HH}/{/a|default(b)}/{/a}",
            "!{timestamp:yyyy-DDD'T'HH.mm}/{/a|lower}{/b|default(x)|truncate(2)}",
            "{event_time:%s}/",
        ]),
        zone in zone(),
        (one, other) in ((time(), time()), (time(), time())),
        (one_values, other_values) in (prop::collection::vec(value(), 2), prop::collection::vec(value(), 2)),
    ) {
        let terms = Terms { time_zone: Zone::parse(zone).unwrap(), ..Terms::default() };
        let template = PrefixTemplate::parse(template, &terms).unwrap();
        let facts = |(arrival, event): (UnixMicros, UnixMicros), values| {
            Facts { arrival, event_time: Some(event), values, ..Facts::default() }
        };
        let (one, other) = (facts(one, one_values), facts(other, other_values));
        for facts in [&one, &other] {
            prop_assert_eq!(facts.key(&template).err(), facts.render(&template).err());
        }
        if let (Ok(path), Ok(other_path)) = (one.render(&template), other.render(&template)) {
            let same_key = one.key(&template) == other.key(&template);
            // Two values side by side may read the same in two ways; then a folder has two files.
            if template.as_str().contains("}{") {
                prop_assert!(!same_key || path == other_path, "{} {}", path, other_path);
            } else {
                prop_assert_eq!(path == other_path, same_key, "{} {}", path, other_path);
            }
        }
    }
}

#[test]
fn the_hour_that_comes_twice_is_one_folder_unless_the_template_shows_the_offset() {
    let terms = Terms { time_zone: Zone::parse("Europe/Berlin").unwrap(), ..Terms::default() };
    // 2026-10-25T00:30:00Z and an hour later: 02:30 twice.
    let at = |micros| Facts { arrival: UnixMicros(micros), ..Facts::default() };
    let (first, second) = (at(1_792_888_200_000_000), at(1_792_891_800_000_000));
    let template = PrefixTemplate::parse("{arrival_time:%Y-%m-%dT%H}/", &terms).unwrap();
    assert_eq!(first.render(&template).as_deref(), Ok("2026-10-25T02/"));
    assert_eq!(first.render(&template), second.render(&template));
    assert_eq!(first.key(&template), second.key(&template));
    let template = PrefixTemplate::parse("{arrival_time:%Y-%m-%dT%H%z}/", &terms).unwrap();
    assert_eq!(first.render(&template).as_deref(), Ok("2026-10-25T02+0200/"));
    assert_eq!(second.render(&template).as_deref(), Ok("2026-10-25T02+0100/"));
    assert_ne!(first.key(&template), second.key(&template));
}

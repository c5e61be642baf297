use std::collections::HashSet;

use serde_json::Value;

use super::canonical::hash_of_object;
use super::*;

const AT: UnixMicros = UnixMicros(1_767_225_600_123_456);

fn settings(profile: Profile, record_bytes: usize) -> Settings {
    let keys = Arc::new(KeyPicker::new(100, 1.0).expect("100 keys"));
    Settings { profile, seed: 11, keys, record_bytes }
}

fn records(settings: &Settings, producer: &str, count: usize) -> Vec<String> {
    let mut generator = Generator::new(settings, producer).expect("a valid name");
    let one = |_| {
        let mut out = Vec::new();
        generator.append(AT, &mut out);
        String::from_utf8(out).expect("UTF-8")
    };
    (0..count).map(one).collect()
}

fn named(profile: Profile) -> String {
    producer_name(profile.name(), "r", 0)
}

#[test]
fn the_same_seed_and_producer_make_the_same_records() {
    for profile in Profile::ALL {
        let producer = named(profile);
        let first = records(&settings(profile, 700), &producer, 200);
        assert_eq!(first, records(&settings(profile, 700), &producer, 200));
        let other_seed = Settings { seed: 12, ..settings(profile, 700) };
        assert_ne!(first, records(&other_seed, &producer, 200));
        let other_producer = records(&settings(profile, 700), &producer_name(profile.name(), "r", 1), 200);
        assert!(first.iter().all(|record| !other_producer.contains(record)));
    }
}

#[test]
fn every_record_is_json_in_one_line_with_the_members_of_its_profile_and_no_others() {
    for profile in Profile::ALL {
        for (sequence, record) in records(&settings(profile, 0), &named(profile), 500).iter().enumerate() {
            assert!(!record.contains('\n'));
            let value: serde_json::Map<String, Value> = serde_json::from_str(record).expect("valid JSON");
            assert_eq!(value["producer"], named(profile));
            assert_eq!(value["sequence"], sequence);
            let expected: HashSet<_> = ["producer", "sequence", "hash"]
                .into_iter()
                .chain(profile.fields().iter().map(|field| field.name))
                .collect();
            assert_eq!(value.keys().map(String::as_str).collect::<HashSet<_>>(), expected);
            assert!(value[profile.key_field()].is_string());
        }
    }
}

#[test]
fn the_hash_can_be_computed_again_from_parsed_json() {
    for profile in Profile::ALL {
        for (sequence, record) in records(&settings(profile, 900), &named(profile), 500).iter().enumerate() {
            let value: serde_json::Map<String, Value> = serde_json::from_str(record).expect("valid JSON");
            let written = value["hash"].as_str().and_then(envelope::parse_hash);
            let of = hash_of_object(profile.fields(), (&named(profile), sequence as u64), &value);
            assert_eq!(of, written, "{record}");
            assert!(of.is_some());
        }
    }
}

#[test]
fn the_hash_covers_every_member() {
    for profile in Profile::ALL {
        let record = records(&settings(profile, 0), &named(profile), 1).remove(0);
        let value: serde_json::Map<String, Value> = serde_json::from_str(&record).expect("valid JSON");
        let whole = hash_of_object(profile.fields(), (&named(profile), 0), &value);
        for field in profile.fields().iter().filter(|field| !value[field.name].is_null()) {
            let mut without = value.clone();
            without.remove(field.name);
            assert_ne!(
                hash_of_object(profile.fields(), (&named(profile), 0), &without),
                whole,
                "{}",
                field.name
            );
        }
        assert_ne!(hash_of_object(profile.fields(), (&named(profile), 1), &value), whole);
    }
}

#[test]
fn padding_brings_records_to_about_the_size_asked_for() {
    for profile in Profile::ALL {
        for bytes in [1_000, 10_000, 400_000] {
            let made = records(&settings(profile, bytes), &named(profile), 100);
            let mean = made.iter().map(String::len).sum::<usize>() / made.len();
            assert!(mean.abs_diff(bytes) <= bytes / 20, "{}: {mean} where {bytes} are due", profile.name());
        }
    }
}

#[test]
fn a_size_below_the_natural_one_changes_nothing() {
    for profile in Profile::ALL {
        let producer = named(profile);
        assert_eq!(
            records(&settings(profile, 1), &producer, 50),
            records(&settings(profile, 0), &producer, 50)
        );
    }
}

#[test]
fn producers_of_a_run_share_its_keys() {
    let keys = |producer: &str| -> HashSet<String> {
        let made = records(&settings(Profile::Telemetry, 0), producer, 2_000);
        let host = |record: &String| serde_json::from_str::<Value>(record).expect("JSON")["host"].to_string();
        made.iter().map(host).collect()
    };
    let (first, second) = (keys("telemetry/r/0"), keys("telemetry/r/1"));
    assert!(first.len() > 50);
    assert!(first.intersection(&second).count() > 50);
}

#[test]
fn times_are_printed_as_the_profile_says() {
    let member = |profile: Profile| {
        let record = records(&settings(profile, 0), &named(profile), 1).remove(0);
        serde_json::from_str::<Value>(&record).expect("JSON")["timestamp"].clone()
    };
    let click = member(Profile::Clickstream);
    let click = click.as_str().expect("a text");
    assert_eq!((click.len(), &click[..20], &click[23..]), (24, "2026-01-01T00:00:00.", "Z"));
    let log = member(Profile::Telemetry);
    assert_eq!(log.as_str().expect("a text").len(), 27);
    let since = AT.as_millis() - member(Profile::Iot).as_i64().expect("an integer");
    assert!((0..=5).contains(&since));
}

#[test]
fn names_that_need_escapes_and_sizes_that_no_stream_takes_are_refused() {
    for name in ["", "a b", "a\"b", "ü", &"x".repeat(PRODUCER_BYTES_MAX + 1)] {
        let refused = Generator::new(&settings(Profile::Iot, 0), name).err();
        assert_eq!(refused, Some(GeneratorError::Producer(name.to_owned())));
    }
    let refused = Generator::new(&settings(Profile::Iot, RECORD_BYTES_MAX + 1), "iot/r/0").err();
    assert_eq!(refused, Some(GeneratorError::RecordBytes(RECORD_BYTES_MAX + 1)));
}

#[test]
fn a_producer_name_tells_its_profile() {
    assert_eq!(profile_of_producer("iot/20260101/3"), Some(Profile::Iot));
    assert_eq!(profile_of_producer("replay/20260101/3"), None);
    assert_eq!(profile_of_producer("iot"), None);
}

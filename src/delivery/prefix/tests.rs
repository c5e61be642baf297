mod carried_over;
mod paths;

use proptest::prelude::*;

use super::*;

/// 2026-03-05T07:08:09.123456Z.
const ARRIVAL: UnixMicros = UnixMicros(1_772_694_489_123_456);
/// 2025-12-31T23:59:59Z.
const EVENT: UnixMicros = UnixMicros(1_767_225_599_000_000);

/// What the tests vary about a record.
#[derive(Debug, Clone)]
struct Facts {
    arrival: UnixMicros,
    event_time: Option<UnixMicros>,
    shard: u32,
    values: Vec<Option<String>>,
    reason: String,
}

impl Default for Facts {
    fn default() -> Self {
        let reason = "schema".to_owned();
        Self { arrival: ARRIVAL, event_time: Some(EVENT), shard: 3, values: Vec::new(), reason }
    }
}

impl Facts {
    fn with_values(values: &[&str]) -> Self {
        Self { values: values.iter().map(|&value| Some(value.to_owned())).collect(), ..Self::default() }
    }

    fn with<T>(&self, ask: impl FnOnce(&RecordFacts<'_>) -> T) -> T {
        ask(&RecordFacts {
            stream: "clicks",
            delivery: "lake",
            shard: ShardId(self.shard),
            number: SequenceNumber(7),
            arrival: self.arrival,
            event_time: self.event_time,
            pointer_values: &|index| self.values.get(index).and_then(|value| value.as_deref()),
            reason: &self.reason,
        })
    }

    fn render(&self, template: &PrefixTemplate) -> Result<String, PartitionError> {
        self.with(|facts| template.render(facts))
    }

    fn key(&self, template: &PrefixTemplate) -> Result<Vec<u8>, PartitionError> {
        let mut key = Vec::new();
        self.with(|facts| template.partition_key(facts, &mut key)).map(|()| key)
    }
}

fn parse(text: &str) -> PrefixTemplate {
    PrefixTemplate::parse(text, &Terms::default()).expect(text)
}

#[test]
fn templates_render_their_fields() {
    let facts = Facts::with_values(&[r#""acme""#, "7"]);
    for (text, path) in [
        ("", ""),
        ("raw", "raw/"),
        ("raw/", "raw/"),
        ("dt={arrival_time:%Y-%m-%d}/hour={arrival_time:%H}/", "dt=2026-03-05/hour=07/"),
        ("{event_time:%Y/%m/%d/%H}/", "2025/12/31/23/"),
        ("tenant={/tenant/id}/n={/n}", "tenant=acme/n=7/"),
        ("{/a}-{/a}/", "acme-acme/"),
        ("{stream}/{delivery}/{shard}/", "clicks/lake/shardId-000000000003/"),
        ("errors/{reason}/", "errors/schema/"),
        ("{{x}}={/a}/", "{x}=acme/"),
        ("{/a|upper|truncate(2)}/{/a}/{/n|hash(100)}/", "AC/acme/90/"),
        ("{\"/a\"|upper}/", "ACME/"),
    ] {
        assert_eq!(facts.render(&parse(text)).as_deref(), Ok(path), "{text}");
    }
}

#[test]
fn a_template_knows_what_it_needs() {
    let template = parse("{/b}/{event_time:%Y}/{/a}/{/b}/");
    assert_eq!(template.pointers().iter().map(Pointer::as_str).collect::<Vec<_>>(), ["/b", "/a"]);
    assert!(template.uses_event_time() && !template.uses_reason());
    let template = parse("{reason}/{arrival_time:%Y}/");
    assert!(template.pointers().is_empty() && !template.uses_event_time() && template.uses_reason());
}

#[test]
fn a_wrong_template_says_what_to_write() {
    for (text, message) in [
        ("a{b", "'{' without a '}' behind it: write '{{' for a literal brace"),
        ("a}b", "'}' without a '{' before it: write '}}' for a literal brace"),
        ("{evnt_time:%Y}", "unknown field {evnt_time:%Y}: did you mean {event_time}?"),
        (
            "{x}",
            "unknown field {x}: write {arrival_time:%Y-%m-%d}, {event_time:%H}, a JSON pointer such as {/tenant/id}, {stream}, {shard} or {delivery}",
        ),
        ("{shard:%Y}", "{shard} takes no format"),
        ("{event_time}", "{event_time} needs a format: write {event_time:%Y-%m-%d}"),
        ("{event_time:%Q}", "\"%Q\" is no strftime format: write %Y, %m, %d, %H, %M, …"),
        ("{event_time:hour}", "\"hour\" shows nothing of the time: write %Y, %m, %d, %H, %M, …"),
        ("{/a~b}", "in a JSON pointer '~' is written '~0' and '/' inside a name '~1': '/a~b'"),
        ("{/a|lowr}", "unknown function \"lowr\": did you mean lower?"),
        ("{\"/a}", "'{\"' without a '\"' before the '}': quote all of the pointer, or nothing"),
        ("{\"a\"}", "a JSON pointer begins with '/': write '/a'"),
        ("/a/", "a prefix must not begin with '/': it is below the sink"),
        ("a//b/", "a prefix must not have '//' in it"),
        ("{event_time:%Y/}/b", "a prefix must not have '//' in it"),
        ("a/../b", "a prefix must not have the segment \"..\" in it"),
        (".", "a prefix must not have the segment \".\" in it"),
        ("a\nb", "a prefix must not have the character '\\n' in it"),
        ("{event_time:%Y%n}", "a prefix must not have the character '\\n' in it"),
        ("a\\b", "a prefix must not have the character '\\\\' in it"),
    ] {
        assert_eq!(PrefixTemplate::parse(text, &Terms::default()).expect_err(text).to_string(), message);
    }
    let long = PrefixTemplate::parse(&"x".repeat(256), &Terms::default()).expect_err("too long").to_string();
    assert_eq!(
        long,
        "the prefix is too long: 256 bytes besides 0 fields, where a path has 768 in all and 255 between two slashes"
    );
    let no_room = format!("{}{{/a}}", "x".repeat(230));
    assert!(matches!(PrefixTemplate::parse(&no_room, &Terms::default()), Err(TemplateError::TooLong(_))));
}

#[test]
fn a_record_without_a_folder_says_why_and_leaves_no_key_behind() {
    let template = parse("{event_time:%Y}/{/tenant/id}/");
    let long = format!("{:?}", "x".repeat(256));
    let cases = [
        (
            Facts { values: vec![None], ..Facts::default() },
            "/tenant/id: missing or null, but the prefix needs it",
            "partition",
        ),
        (Facts::with_values(&["null"]), "/tenant/id: missing or null, but the prefix needs it", "partition"),
        (
            Facts::with_values(&["{}"]),
            "/tenant/id: an object or an array cannot be part of a path",
            "partition",
        ),
        (
            Facts::with_values(&[&long]),
            "/tenant/id: too long for a path, which has room for 255 bytes of it",
            "partition",
        ),
        (
            Facts { event_time: None, ..Facts::with_values(&["1"]) },
            "no event time, but the prefix needs it",
            "event_time",
        ),
        (
            Facts { event_time: Some(UnixMicros(i64::MAX)), ..Facts::with_values(&["1"]) },
            "the time lies outside the years 0 to 9999",
            "event_time",
        ),
    ];
    for (facts, message, code) in cases {
        let error = facts.render(&template).expect_err(message);
        assert_eq!((error.to_string().as_str(), error.code()), (message, code));
        let mut key = b"before".to_vec();
        let same = facts.with(|facts| template.partition_key(facts, &mut key)).expect_err(message);
        assert_eq!((same, key), (error, b"before".to_vec()));
    }
}

#[test]
fn a_default_stands_for_what_is_missing_or_null_but_not_for_a_container() {
    let template = parse("t={/t|default}/{/u|default(no/one)|lower}/");
    let missing = Facts { values: vec![None, Some("null".to_owned())], ..Facts::default() };
    assert_eq!(missing.render(&template).as_deref(), Ok("t=__HIVE_DEFAULT_PARTITION__/no%2Fone/"));
    let present = Facts::with_values(&["1", "\"ME\""]);
    assert_eq!(present.render(&template).as_deref(), Ok("t=1/me/"));
    let container = Facts::with_values(&["[]", "1"]).render(&template);
    assert_eq!(container, Err(PartitionError::NotScalar { pointer: "/t".to_owned() }));
}

#[test]
fn a_quoted_pointer_may_have_what_a_field_ends_with() {
    let template = parse("{\"/a|b}c\"|lower}/{\"/x\"}/");
    assert_eq!(template.pointers().iter().map(Pointer::as_str).collect::<Vec<_>>(), ["/a|b}c", "/x"]);
    assert_eq!(Facts::with_values(&["\"A\"", "2"]).render(&template).as_deref(), Ok("a/2/"));
}

#[test]
fn keys_without_functions_and_zones_are_those_of_the_first_version() {
    // Ledgers have them.
    let template = parse("{event_time:%Y-%m-%d}/{/a}/{shard}/{event_time:%H}/{/a}/{event_time:%Y %Z}");
    let mut expected = (EVENT.0 / 3_600_000_000).to_le_bytes().to_vec();
    expected.extend_from_slice(b"x%2Fy\0\x03\0\0\0");
    assert_eq!(Facts::with_values(&["\"x/y\""]).key(&template), Ok(expected));
}

#[test]
fn values_of_one_segment_share_its_room() {
    let template = parse("{/a}-{/b}/");
    let value = |bytes: usize| format!("{:?}", "x".repeat(bytes));
    let path = Facts::with_values(&[&value(127), &value(127)]).render(&template).expect("it fits");
    assert_eq!(path.len(), 256);
    assert!(Facts::with_values(&[&value(128), "1"]).render(&template).is_err());
}

#[test]
fn equal_folders_have_equal_keys_where_the_template_shows_every_coarser_unit() {
    let template = parse("dt={event_time:%Y-%m-%d}/hour={event_time:%H}/");
    let at = |micros| Facts { event_time: Some(UnixMicros(micros)), ..Facts::default() };
    let hour = 1_767_225_600_000_000;
    assert_eq!(at(hour).key(&template), at(hour + 3_599_999_999).key(&template));
    assert_ne!(at(hour).key(&template), at(hour - 1).key(&template));
    assert_ne!(at(hour).key(&template), at(hour + 86_400_000_000).key(&template));
}

fn value() -> impl Strategy<Value = Option<String>> {
    let text = r#"([a-c./%="\\]|\PC){0,3}"#.prop_map(|text| serde_json::Value::String(text).to_string());
    let number = (-3i64..3).prop_map(|number| number.to_string());
    prop_oneof![4 => text.prop_map(Some), 2 => number.prop_map(Some), 1 => Just(Some("null".to_owned())), 1 => Just(None)]
}

fn facts() -> impl Strategy<Value = Facts> {
    // Close together, so that equal folders come up often enough; and now and then far apart.
    let time = prop_oneof![
        8 => (0i64..4, -2i64..3).prop_map(|(day, hours)| (20_517 + day * 30) * 86_400_000_000 + hours * 1_800_000_000),
        1 => any::<i64>(),
    ];
    let time = time.prop_map(UnixMicros);
    (time.clone(), prop::option::weighted(0.9, time), 0u32..2, prop::collection::vec(value(), 2), 0usize..2)
        .prop_map(|(arrival, event_time, shard, values, reason)| {
            let reason = ["schema", "column"][reason].to_owned();
            Facts { arrival, event_time, shard, values, reason }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn two_records_share_a_key_exactly_when_they_share_a_folder(
        template in prop::sample::select(vec![
            "",
            "dt={event_time:%Y-%m-%d}/hour={event_time:%H}/",
            "{arrival_time:%Y/%m/%d/%H}/{/a}/",
            "y={event_time:%Y}/m={event_time:%m}/{/a}/{/b}/",
            "a={/a}/b={/b}/a={/a}/{shard}",
            "{stream}/{delivery}/{shard}/{event_time:%Y-%m-%dT%H:%M:%S%.6f}",
            "errors/{reason}/{arrival_time:%F}/",
            "{{{/b}}}/{arrival_time:%s}",
        ]),
        one in facts(),
        other in facts(),
    ) {
        let template = parse(template);
        // Whether a record has a folder is known from the key alone.
        for facts in [&one, &other] {
            prop_assert_eq!(facts.key(&template).err(), facts.render(&template).err());
        }
        if let (Ok(path), Ok(other_path)) = (one.render(&template), other.render(&template)) {
            prop_assert_eq!(path == other_path, one.key(&template) == other.key(&template), "{} {}", path, other_path);
        }
    }

    #[test]
    fn different_folders_never_share_a_key_whatever_the_template(
        fields in prop::collection::vec(prop::sample::select(vec![
            "{/a}", "{/b}", "{event_time:%H}", "{event_time:%y%b}", "{arrival_time:%a %p}", "{arrival_time:%M}",
            "{shard}", "{reason}", "x", "-", "/y/",
        ]), 0..6),
        one in facts(),
        other in facts(),
    ) {
        let Ok(template) = PrefixTemplate::parse(&fields.concat(), &Terms::default()) else { return Ok(()) };
        if let (Ok(path), Ok(other_path)) = (one.render(&template), other.render(&template))
            && one.key(&template) == other.key(&template)
        {
            prop_assert_eq!(path, other_path);
        }
    }

    #[test]
    fn no_path_leaves_the_sink(text in r"([a-c./{}\\]|\{/a\}|\{/b\}|\{event_time:%Y\}|\{shard\}){0,8}", facts in facts()) {
        let Ok(template) = PrefixTemplate::parse(&text, &Terms::default()) else { return Ok(()) };
        let Ok(path) = facts.render(&template) else { return Ok(()) };
        prop_assert!(path.is_empty() || path.ends_with('/'), "{}", path);
        for segment in path.strip_suffix('/').unwrap_or("x").split('/') {
            prop_assert!(!matches!(segment, "" | "." | "..") && segment.len() <= 255, "{}", path);
        }
    }

    #[test]
    fn any_text_is_a_template_or_refused_without_a_panic(text in r"([{}/:%.~]|event_time|arrival_time|%[a-zA-Z]|\PC){0,12}") {
        if let Ok(template) = PrefixTemplate::parse(&text, &Terms::default()) {
            let _ = Facts::with_values(&["1", "2"]).render(&template);
        }
    }
}

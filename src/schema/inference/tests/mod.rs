use super::*;
use crate::schema::columns::Column;

mod properties;

fn rules(on_conflict: OnConflict) -> Rules {
    Rules { on_conflict, columns_max: 1_000 }
}

/// `name: type`, with the key where it is another.
fn shown(columns: &[Column]) -> Vec<String> {
    let show = |column: &Column| match &column.other_key {
        Some(key) => format!("{} ({key}): {}", column.name, column.column_type),
        None => format!("{}: {}", column.name, column.column_type),
    };
    columns.iter().map(show).collect()
}

fn learned(on_conflict: OnConflict, records: &[&str]) -> Vec<String> {
    let mut learner = Learner::new(&[], rules(on_conflict));
    for record in records {
        let _ = learner.take(record);
    }
    shown(&learner.columns())
}

/// As if each record had come with a file of its own.
fn learned_one_by_one(on_conflict: OnConflict, records: &[&str]) -> (Vec<String>, Vec<String>) {
    let (mut columns, mut refusals) = (Vec::new(), Vec::new());
    for record in records {
        let mut learner = Learner::new(&columns, rules(on_conflict));
        if let Err(refusal) = learner.take(record) {
            refusals.push(refusal.to_string());
        }
        columns = learner.columns();
    }
    (shown(&columns), refusals)
}

#[test]
fn every_kind_of_value_has_its_type() {
    let record = r#"{"b":true,"i":-5,"f":1.5,"e":1e3,"d":"2026-02-28","t":"2026-02-28T10:00:00Z","s":"x","l":[1,2],
        "o":{"x":1,"Y z":"a"},"big":18446744073709551615,"two64":18446744073709551616,"deepest":[[["a"]]],"many":[{"a":1},{"b":2}]}"#;
    assert_eq!(
        learned(OnConflict::Widen, &[record]),
        [
            "b: bool",
            "i: int64",
            "f: float64",
            "e: int64",
            "d: date",
            "t: timestamp_micros",
            "s: string",
            "l: list<int64>",
            "o: struct<x: int64, Y_z = \"Y z\": string>",
            "big: json",
            "two64: float64",
            "deepest: list<list<list<string>>>",
            "many: list<struct<a: int64, b: int64>>",
        ]
    );
}

#[test]
fn what_holds_nothing_has_no_column_until_a_value_comes() {
    let nothing = r#"{"n":null,"l":[],"ll":[[],[null]],"o":{},"oo":{"x":null},"lo":[{}]}"#;
    assert_eq!(learned(OnConflict::Widen, &[nothing]), [""; 0]);
    let later = r#"{"n":1,"l":["a"],"ll":[[true]],"o":{"x":1},"oo":{"x":"2026-01-01"},"lo":[{"y":1.5}]}"#;
    assert_eq!(
        learned(OnConflict::Widen, &[nothing, later, nothing]),
        [
            "n: int64",
            "l: list<string>",
            "ll: list<list<bool>>",
            "o: struct<x: int64>",
            "oo: struct<x: date>",
            "lo: list<struct<y: float64>>"
        ]
    );
}

#[test]
fn types_widen_under_every_policy() {
    for (_, policy) in OnConflict::WORDS {
        for (first, second, column) in [
            (r#"{"a":1}"#, r#"{"a":1.5}"#, "a: float64"),
            (r#"{"a":1}"#, r#"{"a":18446744073709551616}"#, "a: float64"),
            (r#"{"a":"2026-01-01"}"#, r#"{"a":"2026-01-01T00:00:00Z"}"#, "a: timestamp_micros"),
            (r#"{"a":"2026-01-01T00:00:00Z"}"#, r#"{"a":"2026-01-01"}"#, "a: timestamp_micros"),
            (r#"{"a":[1]}"#, r#"{"a":[2,0.5]}"#, "a: list<float64>"),
            (r#"{"a":{"x":1}}"#, r#"{"a":{"y":1}}"#, "a: struct<x: int64, y: int64>"),
            (
                r#"{"a":[{"x":1}]}"#,
                r#"{"a":[{"x":0.5,"y":[true]}]}"#,
                "a: list<struct<x: float64, y: list<bool>>>",
            ),
        ] {
            let (columns, refusals) = learned_one_by_one(policy, &[first, second, first, second]);
            assert_eq!(
                (columns, refusals),
                (vec![column.to_owned()], Vec::new()),
                "{policy}: {first} {second}"
            );
        }
    }
}

#[test]
fn a_conflict_ends_as_the_policy_says() {
    let records = [r#"{"price":1}"#, r#"{"price":"1 EUR"}"#];
    for (policy, columns) in [
        (OnConflict::Widen, vec!["price: json"]),
        (OnConflict::String, vec!["price: string"]),
        (OnConflict::Suffix, vec!["price: int64", "price_string (price): string"]),
        (OnConflict::DeadLetter, vec!["price: int64"]),
        (OnConflict::Reject, vec!["price: int64"]),
    ] {
        let (found, refusals) = learned_one_by_one(policy, &records);
        assert_eq!(found, columns, "{policy}");
        let refused = matches!(policy, OnConflict::DeadLetter | OnConflict::Reject);
        let expected: &[&str] = if refused { &["/price: expected int64, got a string"] } else { &[] };
        assert_eq!(refusals, expected, "{policy}");
    }
}

#[test]
fn second_columns_are_found_again_and_have_their_own_types() {
    let records = [
        r#"{"a":1,"a_string":"mine","o":{"x":true}}"#,
        r#"{"a":"text","o":{"x":[1]}}"#,
        r#"{"a":2.5,"o":{"x":["b"]}}"#,
        r#"{"a":{"k":1},"o":{"x":["b"]}}"#,
        r#"{"a":"more","o":7}"#,
    ];
    let (columns, refusals) = learned_one_by_one(OnConflict::Suffix, &records);
    assert_eq!(
        columns,
        [
            "a: float64",
            "a_string: string",
            "o: struct<x: bool, x_list |= \"x\": list<int64>, x_list_2 |= \"x\": list<string>>",
            "a_string_2 (a): string",
            "a_struct (a): struct<k: int64>",
            "o_int64 (o): int64"
        ]
    );
    assert_eq!(refusals, [""; 0]);
}

#[test]
fn integers_that_a_double_does_not_hold_are_never_rounded() {
    // 2^53 + 1
    let wide = r#"{"a":9007199254740993}"#;
    let (columns, _) = learned_one_by_one(OnConflict::Widen, &[r#"{"a":1.5}"#, wide]);
    assert_eq!(columns, ["a: json"]);
    let (columns, refusals) = learned_one_by_one(OnConflict::DeadLetter, &[r#"{"a":1.5}"#, wide]);
    assert_eq!(columns, ["a: float64"]);
    assert_eq!(refusals, ["/a: expected float64, got an integer beyond 2^53"]);
    assert_eq!(learned(OnConflict::Widen, &[wide, r#"{"a":1.5}"#]), ["a: json"], "both in one look");
}

#[test]
fn text_may_become_any_text_while_no_file_has_it_and_is_a_conflict_later() {
    let records = [r#"{"name":"2026-01-01"}"#, r#"{"name":"Ada"}"#];
    for (_, policy) in OnConflict::WORDS {
        assert_eq!(learned(policy, &records), ["name: string"], "{policy}");
    }
    let (columns, refusals) = learned_one_by_one(OnConflict::DeadLetter, &records);
    assert_eq!((columns, refusals.len()), (vec!["name: date".to_owned()], 1));
    let (columns, refusals) = learned_one_by_one(OnConflict::Widen, &records);
    assert_eq!((columns, refusals.len()), (vec!["name: string".to_owned()], 0));
}

fn object_of(keys: std::ops::Range<usize>, value: &str) -> String {
    let members: Vec<_> = keys.map(|key| format!("\"k{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn an_object_of_many_keys_is_a_map() {
    let record = |object: &str| format!("{{\"counts\":{object}}}");
    let many = record(&object_of(0..STRUCT_FIELDS_MAX + 1, "1"));
    assert_eq!(learned(OnConflict::DeadLetter, &[&many]), ["counts: map<string, int64>"]);
    let (half, other) = (record(&object_of(0..40, "1")), record(&object_of(40..80, "0.5")));
    assert_eq!(learned(OnConflict::DeadLetter, &[&half, &other]), ["counts: map<string, float64>"]);
    let text = record(&object_of(40..80, "\"x\""));
    assert_eq!(learned(OnConflict::DeadLetter, &[&half, &text]), ["counts: json"]);
    assert_eq!(learned(OnConflict::Widen, &[&half, &text]), ["counts: map<string, json>"]);
    // Where files have a struct, it is a conflict.
    let (columns, refusals) = learned_one_by_one(OnConflict::DeadLetter, &[&half, &other]);
    assert!(columns[0].starts_with("counts: struct<") && refusals.len() == 1, "{columns:?}");
    assert!(refusals[0].contains("more keys than a struct may have"), "{refusals:?}");
    let (columns, _) = learned_one_by_one(OnConflict::Suffix, &[&half, &many]);
    assert_eq!(columns[1], "counts_map (counts): map<string, int64>");
    let (columns, _) = learned_one_by_one(OnConflict::Widen, &[&half, &many]);
    assert_eq!(columns, ["counts: json"]);
}

#[test]
fn what_is_nested_too_deep_is_json() {
    let nested = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    let lists =
        |levels: usize, inner: &str| format!("a: {}{inner}{}", "list<".repeat(levels), ">".repeat(levels));
    let max = INFERRED_DEPTH_MAX;
    assert_eq!(learned(OnConflict::Widen, &[&nested(max)]), [lists(max, "int64")]);
    assert_eq!(learned(OnConflict::Widen, &[&nested(max + 1)]), [lists(max, "json")]);
}

#[test]
fn no_producer_makes_more_columns_than_there_may_be() {
    let mut learner = Learner::new(&[], Rules { on_conflict: OnConflict::Widen, columns_max: 10 });
    assert_eq!(learner.take(&object_of(0..11, "1")), Err(Refusal::TooMany { max: 10 }));
    assert_eq!(learner.columns(), []);
    assert_eq!(learner.take(&object_of(0..10, "1")), Ok(true));
    assert_eq!(learner.take(r#"{"k0":{"x":1,"y":2}}"#), Ok(true), "a column that widens stays one");
    assert_eq!(learner.take(r#"{"new":1}"#), Err(Refusal::TooMany { max: 10 }));
    let long = format!("{{\"{}\":1}}", "k".repeat(KEY_BYTES_MAX + 1));
    assert!(matches!(learner.take(&long), Err(Refusal::LongKey { .. })));
    assert_eq!(learner.columns().len(), 10);
}

#[test]
fn names_do_not_collide() {
    assert_eq!(
        learned(OnConflict::Widen, &[r#"{"userId":1,"userid":2,"UserID":3,"a b":4,"a_b":5}"#]),
        [
            "userId: int64",
            "userid_2 (userid): int64",
            "UserID_3 (UserID): int64",
            "a_b (a b): int64",
            "a_b_2 (a_b): int64"
        ]
    );
}

#[test]
fn a_record_that_is_no_object_teaches_nothing() {
    let mut learner = Learner::new(&[], rules(OnConflict::Widen));
    assert_eq!(learner.take("[1]"), Err(Refusal::NoObject("array")));
    assert!(matches!(learner.take("{\"a\":"), Err(Refusal::Syntax(_))));
    assert_eq!(learner.columns(), []);
}

#[test]
fn a_difference_names_what_has_changed_and_nothing_else() {
    let columns = |records: &[&str]| {
        let mut learner = Learner::new(&[], rules(OnConflict::Widen));
        records.iter().for_each(|record| drop(learner.take(record)));
        learner.columns()
    };
    let before = r#"{"a":1,"l":[{"x":1}],"s":"t"}"#;
    let before_columns = columns(&[before]);
    let after = columns(&[before, r#"{"a":0.5,"l":[{"x":1,"y":true}],"n":{"m":1}}"#]);
    let told: Vec<_> = difference(&before_columns, &after).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["~ a: int64 -> float64", "+ l[].y: bool", "+ n: struct<m: int64>"]);
    let back: Vec<_> = difference(&after, &before_columns).iter().map(ToString::to_string).collect();
    assert_eq!(back, ["- n: struct<m: int64>", "~ a: float64 -> int64", "- l[].y: bool"]);
    assert_eq!(difference(&after, &after), []);
}

#[test]
fn a_record_that_needs_too_many_columns_is_refused_unless_it_makes_room_for_them() {
    let rules = |on_conflict| Rules { on_conflict, columns_max: 3 };
    let mut learner = Learner::new(&[], rules(OnConflict::Widen));
    learner.take(r#"{"a":1,"s":{"x":1,"y":1}}"#).unwrap();
    for record in [r#"{"b":1}"#, r#"{"a":1,"b":{"c":[1]}}"#, r#"{"a":"x","b":1}"#, r#"{"s":{"z":1}}"#] {
        assert_eq!(learner.would_change(record), Err(Refusal::TooMany { max: 3 }), "{record}");
    }
    assert_eq!(learner.would_change(r#"{"a":2,"b":null,"c":[]}"#), Ok(false));
    // The struct becomes one column.
    assert_eq!(learner.would_change(r#"{"b":1,"s":5}"#), Ok(true));
    let mut strict = Learner::new(&learner.columns(), rules(OnConflict::DeadLetter));
    let mut refused = |record: &str| strict.would_change(record).unwrap_err().to_string();
    assert!(refused(r#"{"b":[1,"x"]}"#).contains("expected int64, got"), "{}", refused(r#"{"b":[1,"x"]}"#));
    assert!(
        refused(r#"{"a":"x","b":1}"#).contains("/a: expected int64"),
        "{}",
        refused(r#"{"a":"x","b":1}"#)
    );
}

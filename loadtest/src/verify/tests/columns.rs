//! Hashes that are computed again from typed columns.

use super::*;

#[test]
fn hashes_are_computed_again_from_typed_columns() {
    for profile in Profile::ALL {
        let (lake, made) = (lake(), records(profile));
        put(&lake, "1.parquet", &parquet(columns(profile), &made[..2_000]));
        put(&lake, "2.parquet", &parquet(columns(profile), &made[2_000..]));
        let verdict = judge(&lake);
        assert!(verdict.ok, "{verdict}");
        assert_eq!((verdict.records, verdict.hash_unchecked, verdict.order_unchecked), (3_000, 0, 0));
    }
}

#[test]
fn a_changed_value_in_a_column_is_damage() {
    let changes = [
        (Profile::Clickstream, "/cart", "/cARt"),
        (Profile::Clickstream, "\"width\":", "\"width\":1"),
        (Profile::Iot, "\"status\":\"warn\"", "\"status\":\"ok\""),
        (Profile::Telemetry, "\"env\":\"prod\"", "\"env\":\"test\""),
    ];
    for (profile, from, to) in changes {
        let mut changed = first_records(profile, 900);
        let at = changed.iter().position(|record| record.contains(from)).unwrap();
        changed[at] = changed[at].replacen(from, to, 1);
        for (name, content) in
            [("1.parquet", parquet(columns(profile), &changed)), ("1.json.gz", gzip(&[&changed]))]
        {
            let lake = lake();
            put(&lake, name, &content);
            let verdict = judge(&lake);
            assert_eq!(counts(&verdict), [1, 0, 0, 1], "{verdict}");
            assert_eq!(verdict.findings.iter().find_map(|finding| finding.row), Some(at as u64 + 1));
            assert!(!verdict.ok);
        }
    }
}

#[test]
fn a_file_without_all_columns_says_that_hashes_were_not_checked() {
    let (lake, made) = (lake(), records(Profile::Clickstream));
    let some = columns(Profile::Clickstream).into_iter().filter(|column| column.name() != "price").collect();
    put(&lake, "1.parquet", &parquet(some, &made));
    let verdict = judge(&lake);
    assert!(verdict.ok && verdict.hash_unchecked == 3_000, "{verdict}");
    let none = vec![column("session_id", DataType::Utf8)];
    put(&lake, "1.parquet", &parquet(none, &made));
    let verdict = judge(&lake);
    assert_eq!((verdict.ok, verdict.foreign, verdict.records), (false, 3_000, 0));
}

#[test]
fn nested_members_may_be_kept_as_json_text() {
    let (lake, made) = (lake(), records(Profile::Telemetry));
    let as_text = |record: &String| {
        let mut value: serde_json::Value = serde_json::from_str(record).unwrap();
        for name in ["labels", "http", "timestamp"] {
            if !value[name].is_string() {
                value[name] = value[name].to_string().into();
            }
        }
        value.to_string()
    };
    let mut texts = columns(Profile::Telemetry);
    for column in &mut texts {
        if ["labels", "http", "timestamp"].contains(&column.name().as_str()) {
            *column = column.clone().with_data_type(DataType::Utf8);
        }
    }
    put(&lake, "1.parquet", &parquet(texts, &made.iter().map(as_text).collect::<Vec<_>>()));
    let verdict = judge(&lake);
    assert!(verdict.ok && verdict.hash_unchecked == 0, "{verdict}");
}

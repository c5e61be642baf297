use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::delivery::encode::columns::RecordColumns;
use crate::schema::columns::{Column, ColumnType, Columns};

/// Few keys, so that records meet.
fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "A", "1x"]).prop_map(str::to_owned)
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        Just(json!(9_007_199_254_740_993_i64)),
        Just(json!(u64::MAX)),
        Just(json!(0.5)),
        Just(json!("2026-01-01")),
        Just(json!("2026-01-01T00:00:00Z")),
        Just(json!("text")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn records() -> impl Strategy<Value = Vec<String>> {
    let record = prop::collection::btree_map(key(), any_value(), 0..5)
        .prop_map(|members| Value::Object(members.into_iter().collect()).to_string());
    prop::collection::vec(record, 1..12)
}

fn policy() -> impl Strategy<Value = OnConflict> {
    prop::sample::select(OnConflict::WORDS.map(|(_, policy)| policy).to_vec())
}

/// Shows the records until nothing is learned any more.
fn learn<'a>(learner: &mut Learner, records: impl Iterator<Item = &'a String> + Clone) {
    for _ in 0..10 {
        let before = learner.columns();
        records.clone().for_each(|record| drop(learner.take(record)));
        if learner.columns() == before {
            return;
        }
    }
    panic!("it goes on learning from the same records");
}

/// By key and without the order, which follows that of the records.
fn canonical(columns: &[Column]) -> BTreeMap<String, String> {
    fn of_type(column_type: &ColumnType) -> String {
        match column_type {
            ColumnType::List(element) => format!("list<{}>", of_type(element)),
            ColumnType::Map(value) => format!("map<{}>", of_type(value)),
            ColumnType::Struct(fields) => format!("{:?}", canonical(fields)),
            scalar => scalar.to_string(),
        }
    }
    columns.iter().map(|column| (column.key().to_owned(), of_type(&column.column_type))).collect()
}

proptest! {
    #[test]
    fn what_was_learned_stays_learned(records in records(), policy in policy(), split in any::<prop::sample::Index>()) {
        let mut learner = Learner::new(&[], rules(policy));
        let mut fitting: Vec<&String> = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let _ = learner.take(record);
            if index == split.index(records.len()) {
                // A file has been made.
                learner = Learner::new(&learner.columns(), rules(policy));
            }
            fitting.push(record);
            fitting.retain(|record| learner.fits(record) == Ok(true));
            let before = learner.clone();
            for record in &fitting {
                prop_assert_eq!(learner.take(record), Ok(false), "{}", record);
            }
            prop_assert_eq!(learner.columns(), before.columns());
        }
    }

    #[test]
    fn a_record_that_is_refused_or_only_asked_about_leaves_no_trace(
        shown in records(),
        others in records(),
        policy in policy(),
        columns_max in 1_usize..12,
        has_file in any::<bool>(),
    ) {
        let mut learner = Learner::new(&[], Rules { on_conflict: policy, columns_max });
        shown.iter().for_each(|record| drop(learner.take(record)));
        if has_file {
            learner = Learner::new(&learner.columns(), Rules { on_conflict: policy, columns_max });
        }
        for record in &others {
            let before = learner.clone();
            let told = learner.would_change(record);
            prop_assert_eq!(&learner, &before, "asked about {}", record);
            match (told, learner.take(record)) {
                (Ok(told), Ok(_)) => prop_assert_eq!(told, learner.columns() != before.columns(), "{}", record),
                (told, Err(refusal)) => {
                    prop_assert_eq!(told, Err(refusal));
                    prop_assert_eq!(&learner, &before, "refused {}", record);
                }
                other => prop_assert!(false, "{}: {:?}", record, other),
            }
        }
    }

    #[test]
    fn everything_that_was_shown_fits_in_the_end_or_is_refused(records in records(), policy in policy()) {
        let mut learner = Learner::new(&[], rules(policy));
        learn(&mut learner, records.iter());
        for record in &records {
            let fits = learner.fits(record).unwrap();
            prop_assert!(fits || learner.clone().take(record).is_err(), "{record}");
            if matches!(policy, OnConflict::Widen | OnConflict::String) {
                prop_assert!(fits, "{record}");
            }
        }
    }

    #[test]
    fn the_order_of_records_does_not_matter_where_no_record_is_refused(
        records in records(),
        reversed in any::<bool>(),
        rotated in 0_usize..12,
        policy in prop::sample::select(vec![OnConflict::Widen, OnConflict::String]),
    ) {
        let mut one = Learner::new(&[], rules(policy));
        learn(&mut one, records.iter());
        let mut shuffled = records.clone();
        shuffled.rotate_left(rotated % records.len());
        if reversed {
            shuffled.reverse();
        }
        let mut other = Learner::new(&[], rules(policy));
        learn(&mut other, shuffled.iter());
        prop_assert_eq!(canonical(&one.columns()), canonical(&other.columns()));
    }

    #[test]
    fn columns_that_were_learned_are_columns(records in records(), policy in policy()) {
        let mut learner = Learner::new(&[], rules(policy));
        learn(&mut learner, records.iter());
        let columns = learner.columns();
        if !columns.is_empty() {
            let checked = crate::schema::columns::Columns::new(columns.clone());
            prop_assert!(checked.is_ok(), "{:?}: {:?}", checked, columns);
        }
    }

    #[test]
    fn files_take_exactly_what_their_columns_were_learned_for(
        shown in records(),
        others in records(),
        policy in policy(),
    ) {
        let mut learner = Learner::new(&[], rules(policy));
        learn(&mut learner, shown.iter());
        let columns = learner.columns();
        prop_assume!(!columns.is_empty());
        let mut known = Learner::new(&columns, rules(policy));
        let mut file = RecordColumns::new(&Columns::learned(1, columns).unwrap());
        for record in shown.iter().chain(&others) {
            let verdict = file.check(record);
            prop_assert_eq!(verdict.is_ok(), known.would_change(record) == Ok(false), "{}: {:?}", record, verdict);
        }
    }

    #[test]
    fn whatever_keys_are_called_their_columns_come_back_from_their_text(
        keys in prop::collection::vec(prop_oneof![".*", "[aA\"\\\\_2 =:<>`,]{0,3}"], 1..8),
        nested in 0_usize..40,
        policy in policy(),
    ) {
        let mut value = json!(1);
        for (level, key) in keys.iter().cycle().take(nested).enumerate() {
            value = if level % 3 == 0 { json!([value]) } else { json!({ key.as_str(): value }) };
        }
        let inside: serde_json::Map<_, _> = keys.iter().map(|key| (key.clone(), value.clone())).collect();
        let record = json!({ "inside": inside, "list": [inside] }).to_string();
        let flat = Value::Object(inside).to_string();
        let mut learner = Learner::new(&[], rules(policy));
        learn(&mut learner, [record, flat].iter());
        let columns = Columns::learned(1, learner.columns());
        prop_assert!(columns.is_ok(), "{:?}", columns);
        for column in columns.unwrap().as_slice() {
            let text = column.column_type.to_string();
            let parsed = text.parse::<ColumnType>();
            prop_assert_eq!(parsed.as_ref(), Ok(&column.column_type), "{}", text);
        }
    }
}

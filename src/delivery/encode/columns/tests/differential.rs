//! Generated columns and records: compared with `arrow-json`, and with what is left when bad records are left out.

use std::sync::Arc;

use arrow::array::{ArrayData, StructArray, make_array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;

use super::*;
use crate::schema::columns::{Coercion, Reading, TimeUnit};

/// How often a value is of a kind that its column does not take, in percent.
#[derive(Clone, Copy)]
struct Wrong(u32);

fn any_type() -> impl Strategy<Value = ColumnType> {
    let unit = select(vec![TimeUnit::Seconds, TimeUnit::Millis, TimeUnit::Micros, TimeUnit::Nanos]);
    let words = [
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32",
        "float64", "string", "date", "binary", "json",
    ];
    let word = select(words.to_vec()).prop_map(|word| word.parse().unwrap());
    let decimal = (1_u8..=38, 0_u8..=38)
        .prop_map(|(precision, scale)| ColumnType::Decimal { precision, scale: scale.min(precision) });
    let leaf = prop_oneof![6 => word, 1 => decimal, 2 => unit.prop_map(ColumnType::Timestamp)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let fields = prop::collection::btree_map("[a-c\"é ]{1,3}", (inner.clone(), any::<bool>()), 1..4);
        prop_oneof![
            inner.clone().prop_map(|inner| ColumnType::List(Box::new(inner))),
            inner.prop_map(|inner| ColumnType::Map(Box::new(inner))),
            fields.prop_map(|fields| ColumnType::Struct(named(fields))),
        ]
    })
}

fn named(fields: impl IntoIterator<Item = (String, (ColumnType, bool))>) -> Vec<Column> {
    let column = |(name, (column_type, nullable)): (String, _)| Column::new(name, column_type, nullable);
    fields.into_iter().map(column).collect()
}

fn any_columns() -> impl Strategy<Value = Columns> {
    prop::collection::btree_map("[a-e]{1,2}", (any_type(), prop::bool::weighted(0.8)), 1..7)
        .prop_map(|fields| Columns::new(named(fields)).unwrap())
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn integer_of(min: i128, max: i128) -> BoxedStrategy<String> {
    let near = prop_oneof![Just(min), Just(max), (-3_i128..100).prop_map(move |value| value.clamp(min, max))];
    let value = prop_oneof![near, min..=max];
    // arrow-json reads a number with a point through a double, which is exact to 2⁵³ only.
    let exact = |value: i128| value.abs() < 1 << 53;
    let text =
        move |(value, form)| if form == 0 && exact(value) { format!("{value}.0") } else { value.to_string() };
    (value, 0..10).prop_map(text).boxed()
}

fn time_of(unit: TimeUnit) -> BoxedStrategy<String> {
    // Within what nanoseconds reach, and what milliseconds do when they are given as seconds.
    let time = (-9_000_000_000_i64..9_000_000_000, 0_u32..1_000_000_000);
    let text = time.prop_map(|(seconds, nanos)| {
        json_string(&chrono::DateTime::from_timestamp(seconds, nanos).unwrap().to_rfc3339())
    });
    let range = if unit == TimeUnit::Seconds { 1 << 50 } else { i64::MAX };
    prop_oneof![text, (-range..range).prop_map(|value| value.to_string())].boxed()
}

fn scalar_of(column_type: &ColumnType) -> BoxedStrategy<String> {
    match *column_type {
        ColumnType::Bool => any::<bool>().prop_map(|value| value.to_string()).boxed(),
        ColumnType::Int8 => integer_of(i8::MIN.into(), i8::MAX.into()),
        ColumnType::Int16 => integer_of(i16::MIN.into(), i16::MAX.into()),
        ColumnType::Int32 => integer_of(i32::MIN.into(), i32::MAX.into()),
        ColumnType::Int64 => integer_of(i64::MIN.into(), i64::MAX.into()),
        ColumnType::UInt8 => integer_of(0, u8::MAX.into()),
        ColumnType::UInt16 => integer_of(0, u16::MAX.into()),
        ColumnType::UInt32 => integer_of(0, u32::MAX.into()),
        ColumnType::UInt64 => integer_of(0, u64::MAX.into()),
        ColumnType::Float32 => (-1e30_f32..1e30).prop_map(|value| value.to_string()).boxed(),
        ColumnType::Float64 => prop_oneof![
            any::<i32>().prop_map(|value| value.to_string()),
            (-1e300..1e300).prop_map(|value: f64| format!("{value:e}")),
        ]
        .boxed(),
        ColumnType::Decimal { precision, scale } => {
            let bound = 10_i128.pow(precision.into()) - 1;
            let point = usize::from(scale);
            let text = move |value: i128| {
                let digits = format!("{:0>width$}", value.abs(), width = point + 1);
                let (whole, fraction) = digits.split_at(digits.len() - point);
                let sign = if value < 0 { "-" } else { "" };
                format!("{sign}{whole}{}{fraction}", if point > 0 { "." } else { "" })
            };
            (-bound..=bound).prop_map(text).boxed()
        }
        ColumnType::Binary => select(vec![r#""AP8Q""#, r#""""#, r#""AA==""#]).prop_map(str::to_owned).boxed(),
        ColumnType::Date => {
            let day = |days| chrono::NaiveDate::from_epoch_days(days).unwrap().to_string();
            (-700_000_i32..2_900_000).prop_map(move |days| json_string(&day(days))).boxed()
        }
        ColumnType::Timestamp(unit) => time_of(unit),
        ColumnType::Json => select(vec!["1", r#"{"x":[null, "y"]}"#, "[]"]).prop_map(str::to_owned).boxed(),
        _ => prop_oneof!["[a-z]{0,20}", ".{0,6}"].prop_map(|text: String| json_string(&text)).boxed(),
    }
}

fn value_of(column_type: &ColumnType, wrong: Wrong) -> BoxedStrategy<String> {
    let right = match column_type {
        ColumnType::List(element) => prop::collection::vec(nullable_of(element, wrong), 0..4)
            .prop_map(|elements| format!("[{}]", elements.join(",")))
            .boxed(),
        ColumnType::Map(value) => {
            prop::collection::btree_map("[a-z\n]{0,3}", nullable_of(value, wrong), 0..4)
                .prop_map(|entries| object(entries.into_iter().collect(), "", ""))
                .boxed()
        }
        ColumnType::Struct(fields) => object_of(fields, wrong),
        scalar => scalar_of(scalar),
    };
    let odd = [
        "true", "1", "-1", "1.5", "1e30", r#""x""#, r#""5""#, "[]", "{}", "[{}]", "[1,2]", "{\"a\":1", "nul",
    ];
    prop_oneof![100 - wrong.0 => right, wrong.0 => select(odd.to_vec()).prop_map(str::to_owned)].boxed()
}

fn nullable_of(column_type: &ColumnType, wrong: Wrong) -> BoxedStrategy<String> {
    prop_oneof![4 => value_of(column_type, wrong), 1 => Just("null".to_owned())].boxed()
}

fn object(members: Vec<(String, String)>, comma: &str, colon: &str) -> String {
    let member = |(name, value): &(String, String)| format!("{}{colon}:{colon}{value}", json_string(name));
    format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(&format!("{comma},{comma}")))
}

fn object_of(fields: &[Column], wrong: Wrong) -> BoxedStrategy<String> {
    let member = |field: &Column| {
        let (name, value) = (field.name.clone(), value_of(&field.column_type, wrong));
        let value = if field.nullable {
            prop_oneof![6 => value.prop_map(Some), 1 => Just(Some("null".to_owned())), 1 => Just(None)]
                .boxed()
        } else {
            prop_oneof![100 - wrong.0 => value.prop_map(Some), wrong.0 => Just(None)].boxed()
        };
        (Just(name), value)
    };
    let members: Vec<_> = fields.iter().map(member).collect();
    let extra = prop::option::weighted(0.2, select(vec!["1", r#"{"z":[1,{}]}"#, r#""x""#]));
    (members, extra, any::<prop::sample::Index>(), select(vec!["", " ", "\n\t"]), any::<bool>())
        .prop_map(|(members, extra, turn, space, shuffled)| {
            let mut members: Vec<_> =
                members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            members.extend(extra.map(|value| ("unknown key".to_owned(), value.to_owned())));
            if shuffled && !members.is_empty() {
                let count = members.len();
                members.rotate_left(turn.index(count));
            }
            object(members, space, space)
        })
        .boxed()
}

fn columns_and_records(wrong: Wrong) -> impl Strategy<Value = (Columns, Vec<String>)> {
    any_columns().prop_flat_map(move |columns| {
        let record = object_of(columns.as_slice(), wrong);
        (Just(columns), prop::collection::vec(record, 1..12))
    })
}

/// The type with zones that arrow-json can read without a database of them.
fn with_fixed_zone(data_type: &DataType) -> DataType {
    let field = |field: &FieldRef| -> FieldRef {
        Arc::new(Field::new(field.name(), with_fixed_zone(field.data_type()), field.is_nullable()))
    };
    match data_type {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("+00:00".into())),
        DataType::List(element) => DataType::List(field(element)),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        other => other.clone(),
    }
}

fn retyped(data: ArrayData, data_type: &DataType) -> ArrayData {
    let inner: Vec<&DataType> = match data_type {
        DataType::List(field) | DataType::Map(field, _) => vec![field.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        _ => Vec::new(),
    };
    let children = data.child_data().to_vec().into_iter().zip(inner);
    let children = children.map(|(child, inner)| retyped(child, inner)).collect();
    data.into_builder().data_type(data_type.clone()).child_data(children).build().unwrap()
}

/// What arrow-json makes of one record; None if it refuses.
fn arrow_json(columns: &Columns, record: &str) -> Option<RecordBatch> {
    let schema = columns.arrow_schema();
    let root = DataType::Struct(schema.fields().clone());
    let DataType::Struct(fields) = with_fixed_zone(&root) else { panic!("{root}") };
    let mut decoder = arrow_json::ReaderBuilder::new(Arc::new(Schema::new(fields))).build_decoder().unwrap();
    decoder.decode(record.as_bytes()).ok()?;
    let batch = decoder.flush().ok()??;
    let data = retyped(StructArray::from(batch).into(), &root);
    let rows = StructArray::from(data);
    assert_eq!(make_array(rows.clone().into()).data_type(), &root);
    Some(RecordBatch::from(rows))
}

fn is_comparable(column_type: &ColumnType) -> bool {
    match column_type {
        // arrow-json reads binary from hexadecimal digits and knows no raw values.
        ColumnType::Binary | ColumnType::Json => false,
        // The column is one of milliseconds to arrow-json, which reads numbers and fractions in these.
        ColumnType::Timestamp(TimeUnit::Seconds) => false,
        ColumnType::List(inner) | ColumnType::Map(inner) => is_comparable(inner),
        ColumnType::Struct(fields) => fields.iter().all(|field| is_comparable(&field.column_type)),
        _ => true,
    }
}

fn comparable(columns: &Columns) -> Option<Columns> {
    let kept = columns.as_slice().iter().filter(|column| is_comparable(&column.column_type));
    Columns::new(kept.cloned().collect()).ok()
}

fn lenient(columns: &Columns) -> Columns {
    let reading = Reading { coercion: Coercion::Lenient, epoch: None };
    let columns = columns.as_slice().iter().map(|column| column.clone().with_reading(reading));
    Columns::new(columns.collect()).unwrap()
}

/// The same record with its numbers in strings, as far as they are in columns of numbers and not in nested ones.
fn with_quoted_numbers(columns: &Columns, record: &str) -> Option<String> {
    let members: Vec<(String, Box<RawValue>)> = serde_json::from_str::<Members>(record).ok()?.0;
    let is_number = |name: &str| {
        let column = columns.as_slice().iter().find(|column| column.name == name);
        column.is_some_and(|column| !matches!(column.column_type, ColumnType::Json | ColumnType::Date))
    };
    let member = |(name, value): (String, Box<RawValue>)| {
        let text = value.get();
        let quote =
            is_number(&name) && text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        (name, if quote { json_string(text) } else { text.to_owned() })
    };
    Some(object(members.into_iter().map(member).collect(), "", ""))
}

/// An object's members in their order, duplicates included.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn right_records_become_what_arrow_json_makes_of_them((columns, records) in columns_and_records(Wrong(0))) {
        let Some(columns) = comparable(&columns) else { return Ok(()) };
        for record in &records {
            let mut rows = RecordColumns::new(&columns);
            prop_assert_eq!(rows.push(record), Ok(()), "{}", record);
            let batch = rows.take_batch().unwrap();
            let reference = arrow_json(&columns, record);
            prop_assert_eq!(Some(batch), reference, "{}", record);
        }
    }

    #[test]
    fn a_record_that_arrow_json_also_accepts_becomes_the_same((columns, records) in columns_and_records(Wrong(8))) {
        let Some(columns) = comparable(&columns) else { return Ok(()) };
        for record in &records {
            let mut rows = RecordColumns::new(&columns);
            if let (Ok(()), Some(reference)) = (rows.push(record), arrow_json(&columns, record)) {
                prop_assert_eq!(rows.take_batch().unwrap(), reference, "{}", record);
            }
        }
    }

    #[test]
    fn a_lenient_column_reads_what_fits_a_strict_one_in_the_same_way(
        (columns, records) in columns_and_records(Wrong(8)),
    ) {
        let mut strict = RecordColumns::new(&columns);
        let mut lenient = RecordColumns::new(&lenient(&columns));
        for record in &records {
            if strict.push(record).is_ok() {
                prop_assert_eq!(lenient.push(record), Ok(()), "{}", record);
            }
        }
        prop_assert_eq!(strict.take_batch().unwrap(), lenient.take_batch().unwrap());
    }

    #[test]
    fn a_number_in_a_string_is_read_as_the_number_is((columns, records) in columns_and_records(Wrong(8))) {
        let columns = lenient(&columns);
        let (mut plain, mut quoted) = (RecordColumns::new(&columns), RecordColumns::new(&columns));
        for record in &records {
            let fits = plain.push(record).is_ok();
            if let Some(record) = with_quoted_numbers(&columns, record).filter(|_| fits) {
                prop_assert_eq!(quoted.push(&record), Ok(()), "{}", record);
            }
        }
        prop_assert_eq!(plain.take_batch().unwrap(), quoted.take_batch().unwrap());
    }

    #[test]
    fn a_record_that_does_not_fit_leaves_nothing_behind((columns, records) in columns_and_records(Wrong(12))) {
        let mut mixed = RecordColumns::new(&columns);
        let mut good = RecordColumns::new(&columns);
        for record in &records {
            if mixed.push(record).is_ok() {
                prop_assert_eq!(good.push(record), Ok(()), "{}", record);
            }
        }
        prop_assert_eq!(mixed.rows(), good.rows());
        prop_assert_eq!(mixed.cells(), good.cells());
        prop_assert_eq!(mixed.take_batch().unwrap(), good.take_batch().unwrap());
        prop_assert_eq!((mixed.rows(), mixed.cells()), (0, 0));
    }

    #[test]
    fn rows_that_were_bytes_become_the_same_batch((columns, records) in columns_and_records(Wrong(8))) {
        let (mut kept, mut moving, mut read) =
            (RecordColumns::new(&columns), RecordColumns::new(&columns), RecordColumns::new(&columns));
        let (mut rows, mut cells) = (Vec::new(), 0);
        for record in &records {
            let fits = kept.push(record);
            prop_assert_eq!(moving.push(record), fits.clone());
            if fits.is_ok() {
                cells += moving.move_row(&mut rows);
            }
            prop_assert_eq!(moving.rows(), 0);
        }
        prop_assert_eq!(cells, kept.cells());
        prop_assert_eq!(read.read_rows(&rows), Some(()));
        prop_assert_eq!(read.take_batch().unwrap(), kept.take_batch().unwrap());
    }

    #[test]
    fn a_record_that_is_cut_off_or_damaged_is_no_danger(
        (columns, records) in columns_and_records(Wrong(4)),
        cut in any::<prop::sample::Index>(),
        damage in "[\\[\\]{}\",:0-9a-f\\\\]",
    ) {
        let mut rows = RecordColumns::new(&columns);
        for record in &records {
            let at = (0..=cut.index(record.len() + 1)).rev().find(|at| record.is_char_boundary(*at)).unwrap_or(0);
            let (before, behind) = record.split_at(at);
            prop_assert!(at == record.len() || rows.push(before).is_err());
            let _ = rows.push(&format!("{before}{damage}{behind}"));
        }
        let kept = rows.rows();
        prop_assert_eq!(rows.take_batch().unwrap().num_rows(), kept);
    }
}

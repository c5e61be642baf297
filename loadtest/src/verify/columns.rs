//! Typed columns → the canonical text that a record's hash covers.

use arrow::array::{Array, AsArray, StructArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use forebay::testkit::generators::canonical::{self, Field, Form};

/// Whether a column of `kind` has all that the hash covers. If not, the file was not meant to keep it, and nothing
/// can be said about the hash.
pub(super) fn covers(form: Form, kind: &DataType) -> bool {
    if is_text(kind) {
        // A text may be JSON.
        return true;
    }
    match (form, kind) {
        (Form::Struct(fields), DataType::Struct(columns)) => fields.iter().all(|field| {
            columns.iter().any(|column| column.name() == field.name && covers(field.form, column.data_type()))
        }),
        (Form::List(element), DataType::List(column) | DataType::LargeList(column)) => {
            covers(*element, column.data_type())
        }
        (Form::Struct(_) | Form::List(_), _) => false,
        _ => true,
    }
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Writes the value of a row; false if it is not of its form.
#[must_use]
pub(super) fn value(out: &mut Vec<u8>, form: Form, column: &dyn Array, row: usize) -> bool {
    if column.is_null(row) {
        canonical::null(out);
        return true;
    }
    let written = match form {
        Form::Text => text_at(column, row).map(|text| canonical::text(out, text.as_bytes())),
        Form::Integer => integer_at(column, row).map(|value| canonical::integer(out, value)),
        Form::Decimal(scale) => scaled_at(column, row, scale).map(|value| canonical::integer(out, value)),
        Form::Instant => micros_at(column, row).map(|value| canonical::integer(out, value)),
        Form::Struct(_) | Form::List(_) | Form::Map => return nested(out, form, column, row),
    };
    written.is_some()
}

fn nested(out: &mut Vec<u8>, form: Form, column: &dyn Array, row: usize) -> bool {
    if let Some(text) = text_at(column, row) {
        let json = serde_json::from_str(text);
        return json.is_ok_and(|json| canonical::value(out, form, &json));
    }
    match form {
        Form::Struct(fields) => {
            column.as_struct_opt().is_some_and(|column| members(out, fields, column, row))
        }
        Form::List(element) => {
            let list = match column.data_type() {
                DataType::List(_) => column.as_list::<i32>().value(row),
                DataType::LargeList(_) => column.as_list::<i64>().value(row),
                _ => return false,
            };
            canonical::integer(out, list.len() as i64);
            (0..list.len()).all(|index| value(out, *element, &list, index))
        }
        _ => map(out, column, row),
    }
}

fn members(out: &mut Vec<u8>, fields: &[Field], column: &StructArray, row: usize) -> bool {
    fields.iter().all(|field| {
        column.column_by_name(field.name).is_some_and(|column| value(out, field.form, column, row))
    })
}

/// The entries of a map; or of a struct, whose members are the keys and whose nulls are not there.
fn map(out: &mut Vec<u8>, column: &dyn Array, row: usize) -> bool {
    if let Some(column) = column.as_struct_opt() {
        let there =
            column.columns().iter().zip(column.column_names()).filter(|(column, _)| column.is_valid(row));
        let mut entries: Vec<_> = there.map(|(column, name)| (name, text_at(column, row))).collect();
        canonical::entries(out, &mut entries);
        return true;
    }
    let Some(map) = column.as_map_opt() else { return false };
    let entries = map.value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    let entry = |index: usize| Some((text_at(keys, index)?, text_at(values, index)));
    let Some(mut entries) = (0..entries.len()).map(entry).collect::<Option<Vec<_>>>() else { return false };
    canonical::entries(out, &mut entries);
    true
}

/// A text; nothing if the column has none, or null.
pub(super) fn text_at(column: &dyn Array, row: usize) -> Option<&str> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(column.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(column.as_string_view().value(row)),
        _ => None,
    }
}

/// A whole number.
pub(super) fn integer_at(column: &dyn Array, row: usize) -> Option<i64> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).try_into().ok()?,
        DataType::Decimal128(_, _) => whole(scaled_at(column, row, 3)?)?,
        DataType::Float32 | DataType::Float64 => whole(scaled_at(column, row, 3)?)?,
        _ => return None,
    })
}

/// The integer that so many thousandths are.
fn whole(thousandths: i64) -> Option<i64> {
    (thousandths % 1_000 == 0).then_some(thousandths / 1_000)
}

/// A number × 10^`scale`, rounded.
fn scaled_at(column: &dyn Array, row: usize, scale: u8) -> Option<i64> {
    let of_float = |value: f64| Some((value * 10f64.powi(scale.into())).round() as i64);
    match column.data_type() {
        DataType::Float32 => of_float(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => of_float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, has) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            let shift = i32::from(scale) - i32::from(*has);
            let factor = 10_i128.checked_pow(shift.unsigned_abs())?;
            if shift >= 0 {
                return i64::try_from(value.checked_mul(factor)?).ok();
            }
            // More places than the record had: they have to be zeros.
            (value % factor == 0).then(|| i64::try_from(value / factor).ok())?
        }
        _ => integer_at(column, row)?.checked_mul(10_i64.pow(scale.into())),
    }
}

/// A time in microseconds. An integer is a number of milliseconds, as in the records.
fn micros_at(column: &dyn Array, row: usize) -> Option<i64> {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            column.as_primitive::<TimestampSecondType>().value(row).checked_mul(1_000_000)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.as_primitive::<TimestampMillisecondType>().value(row).checked_mul(1_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Some(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let nanos = column.as_primitive::<TimestampNanosecondType>().value(row);
            (nanos % 1_000 == 0).then_some(nanos / 1_000)
        }
        _ => match text_at(column, row) {
            Some(text) => canonical::micros_of_rfc3339(text),
            None => integer_at(column, row)?.checked_mul(1_000),
        },
    }
}

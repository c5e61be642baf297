//! What a record takes in the builders whatever is in it: a null takes the place of a value.

use crate::schema::columns::{ColumnType, Columns};

/// Of each value in a list or map, at most, beside its text.
pub(super) const NESTED_VALUE_BYTES: u64 = 16;

/// Bytes that the builders of `columns` take for `{}`: a value and a bit of validity in each column, and the offset of
/// texts, lists and maps.
pub(super) fn bytes(columns: &Columns) -> u64 {
    let bits = columns.as_slice().iter().map(|column| bits(&column.column_type)).sum::<u64>();
    bits.div_ceil(8)
}

fn bits(column_type: &ColumnType) -> u64 {
    use ColumnType as Type;
    let value = match column_type {
        Type::Bool => 1,
        Type::Int8 | Type::UInt8 => 8,
        Type::Int16 | Type::UInt16 => 16,
        Type::Int32 | Type::UInt32 | Type::Float32 | Type::Date => 32,
        Type::String | Type::Json | Type::Binary | Type::List(_) | Type::Map(_) => 32,
        Type::Int64 | Type::UInt64 | Type::Float64 | Type::Timestamp(_) => 64,
        Type::Decimal { .. } => 128,
        Type::Struct(fields) => fields.iter().map(|field| bits(&field.column_type)).sum(),
    };
    value + 1
}

#[cfg(test)]
mod tests {
    use super::super::RecordColumns;
    use super::*;
    use crate::schema::columns::ColumnDeclaration;

    #[test]
    fn an_empty_record_takes_as_much_as_told_in_columns_of_every_type() {
        let types = [
            "bool",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "float32",
            "float64",
            "decimal(20,3)",
            "string",
            "json",
            "binary",
            "date",
            "timestamp_micros",
            "list<int64>",
            "map<string, string>",
            "struct<a: int64, b: string>",
        ];
        for type_text in types {
            let columns = Columns::declared(&[ColumnDeclaration::new("c", type_text, true)]).unwrap();
            let mut records = RecordColumns::new(&columns);
            // As many as the vectors have room for then.
            for _ in 0..4_096 {
                records.push("{}").unwrap();
            }
            assert_eq!(records.taken_bytes(), 4_096 * (bytes(&columns) + 2), "{type_text}");
            let told = bits(&columns.as_slice()[0].column_type) * 4_096 / 8;
            let held = records.memory_bytes() as u64;
            // Offsets have one more than rows, which doubles their vector.
            assert!(held >= told * 9 / 10 && held <= told * 2 + 64, "{type_text}: {held} of {told}");
        }
    }
}

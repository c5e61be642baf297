//! Columns as Arrow, and so as Parquet, knows them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit as ArrowTimeUnit};

use super::{Column, ColumnType, Columns, TimeUnit};

/// Name of a list's elements in the file, as the Parquet format's `LogicalTypes.md` asks for.
pub const LIST_ELEMENT: &str = "element";
/// Name of a map's entries in the file, from the same page.
pub const MAP_ENTRIES: &str = "key_value";
/// Name of an entry's key.
pub const MAP_KEY: &str = "key";
/// Name of an entry's value.
pub const MAP_VALUE: &str = "value";

const UTC: &str = "UTC";

impl Columns {
    /// The Arrow schema, whose batches the encoders build. Timestamps are in UTC; those in seconds are stored in
    /// milliseconds, because Parquet has no coarser unit.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(fields(&self.columns)))
    }
}

impl ColumnType {
    /// The Arrow type.
    pub fn arrow_type(&self) -> DataType {
        match self {
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Int8 => DataType::Int8,
            ColumnType::Int16 => DataType::Int16,
            ColumnType::Int32 => DataType::Int32,
            ColumnType::Int64 => DataType::Int64,
            ColumnType::UInt8 => DataType::UInt8,
            ColumnType::UInt16 => DataType::UInt16,
            ColumnType::UInt32 => DataType::UInt32,
            ColumnType::UInt64 => DataType::UInt64,
            ColumnType::Float32 => DataType::Float32,
            ColumnType::Float64 => DataType::Float64,
            // The cast cannot wrap: a scale is at most 38.
            ColumnType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
            ColumnType::String | ColumnType::Json => DataType::Utf8,
            ColumnType::Binary => DataType::Binary,
            ColumnType::Date => DataType::Date32,
            ColumnType::Timestamp(unit) => DataType::Timestamp(unit.stored(), Some(UTC.into())),
            ColumnType::List(element) => DataType::List(element.element_field()),
            ColumnType::Struct(columns) => DataType::Struct(fields(columns)),
            ColumnType::Map(value) => DataType::Map(value.entries_field(), false),
        }
    }

    /// The field of a list with elements of this type.
    pub fn element_field(&self) -> FieldRef {
        Arc::new(Field::new(LIST_ELEMENT, self.arrow_type(), true))
    }

    /// The field of a map's entries with values of this type.
    pub fn entries_field(&self) -> FieldRef {
        Arc::new(Field::new(MAP_ENTRIES, DataType::Struct(self.entry_fields()), false))
    }

    /// The two fields of a map's entry with a value of this type.
    pub fn entry_fields(&self) -> Fields {
        let key = Field::new(MAP_KEY, DataType::Utf8, false);
        Fields::from(vec![key, Field::new(MAP_VALUE, self.arrow_type(), true)])
    }
}

impl TimeUnit {
    fn stored(self) -> ArrowTimeUnit {
        match self {
            TimeUnit::Seconds | TimeUnit::Millis => ArrowTimeUnit::Millisecond,
            TimeUnit::Micros => ArrowTimeUnit::Microsecond,
            TimeUnit::Nanos => ArrowTimeUnit::Nanosecond,
        }
    }
}

/// The Arrow fields of `columns`.
pub(crate) fn fields(columns: &[Column]) -> Fields {
    let field = |column: &Column| Field::new(&column.name, column.column_type.arrow_type(), column.nullable);
    columns.iter().map(field).collect()
}

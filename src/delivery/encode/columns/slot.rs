//! A place for values: the builder of a column, and what may stand in it.

use std::fmt;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::fault::Fault;
use super::nested::{ListBuilder, MapBuilder, StructBuilder};
use super::numbers::{BoolBuilder, DecimalBuilder, FloatBuilder, IntegerBuilder};
use super::row_bytes::RowBytes;
use super::text::{BinaryBuilder, JsonBuilder, StringBuilder};
use super::times::{DateBuilder, timestamp_builder};
use crate::json::{Kind, Scanner};
use crate::schema::columns::{ColumnType, Reading};

/// Values that the lists and maps of one record may have, whatever its size. An element of a list of structs costs
/// a value in each field, also where it is `{}`; without a bound a record of 1 MiB in a list of 4,096 fields would
/// become 350,000 × 4,096 × 8 bytes = 11 GB. With it, nested values of a record need at most 16 MiB or 16 times its
/// size.
const NESTED_CELLS_MIN: usize = 1 << 20;

/// Counts the values in lists and maps of one record, and knows what they are for.
#[derive(Debug)]
pub(super) struct Cells {
    taken: usize,
    max: usize,
    is_for_orc: bool,
}

impl Cells {
    pub(super) fn for_record(bytes: usize, is_for_orc: bool) -> Self {
        Self { taken: 0, max: bytes.max(NESTED_CELLS_MIN), is_for_orc }
    }

    /// Whether the values go into ORC files, which do not hold every time.
    pub(super) fn are_for_orc(&self) -> bool {
        self.is_for_orc
    }

    #[inline]
    pub(super) fn take(&mut self, cells: usize) -> Result<(), Fault> {
        self.taken += cells;
        if self.taken > self.max {
            return Err(Fault::found(format!("more than {} nested values in one record", self.max)));
        }
        Ok(())
    }

    /// Undoes what a value has taken that did not fit: `taken` is what there was before it.
    pub(super) fn give_back_to(&mut self, taken: usize) {
        self.taken = taken;
    }

    pub(super) fn taken(&self) -> usize {
        self.taken
    }
}

/// The values of one column since the last batch.
pub(super) trait ColumnBuilder: fmt::Debug + Send {
    /// Consumes the value of the given kind, never null, that the scanner stands before. After an error the builder
    /// may hold a part of it until it is cut back.
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, cells: &mut Cells) -> Result<(), Fault>;

    /// Adds a null.
    fn push_null(&mut self);

    /// Cuts back to `len` values, wherever the last [`ColumnBuilder::push`] has stopped.
    fn truncate(&mut self, len: usize);

    /// Bytes that it holds.
    fn memory_bytes(&self) -> usize;

    /// Writes a value that is there, or is null, behind `row`.
    fn write(&self, index: usize, row: &mut Vec<u8>);

    /// Adds a value that [`ColumnBuilder::write`] of a builder of the same type has written. `None` if none has.
    fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()>;

    /// Hands over all values.
    fn finish(&mut self) -> Result<ArrayRef, ArrowError>;
}

/// A builder with its type's name and the rule for null.
#[derive(Debug)]
pub(super) struct Slot {
    builder: Box<dyn ColumnBuilder>,
    nullable: bool,
    expected: String,
}

impl Slot {
    pub(super) fn new(column_type: &ColumnType, nullable: bool, reading: Reading) -> Self {
        Self { builder: builder(column_type, reading), nullable, expected: column_type.short_name() }
    }

    /// Consumes one value.
    #[inline]
    pub(super) fn push(&mut self, scanner: &mut Scanner<'_>, cells: &mut Cells) -> Result<(), Fault> {
        let kind = scanner.peek()?;
        if kind == Kind::Null {
            scanner.null()?;
            return self.push_missing("null");
        }
        self.builder.push(kind, scanner, cells).map_err(|fault| fault.expecting(&self.expected))
    }

    /// Adds a null where the record has none or no value at all, if that is allowed.
    #[inline]
    pub(super) fn push_missing(&mut self, found: &str) -> Result<(), Fault> {
        if !self.nullable {
            return Err(Fault::found(found).expecting(&self.expected));
        }
        self.builder.push_null();
        Ok(())
    }

    /// Adds a null because what surrounds it is null.
    pub(super) fn push_hidden(&mut self) {
        self.builder.push_null();
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.builder.truncate(len);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.builder.memory_bytes()
    }

    pub(super) fn write(&self, index: usize, row: &mut Vec<u8>) {
        self.builder.write(index, row);
    }

    pub(super) fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        self.builder.read(row)
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.builder.finish()
    }
}

fn builder(column_type: &ColumnType, reading: Reading) -> Box<dyn ColumnBuilder> {
    use arrow::datatypes::{
        Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    };
    let coercion = reading.coercion;
    match column_type {
        ColumnType::Bool => Box::new(BoolBuilder::new(coercion)),
        ColumnType::Int8 => Box::new(IntegerBuilder::<Int8Type>::new(coercion)),
        ColumnType::Int16 => Box::new(IntegerBuilder::<Int16Type>::new(coercion)),
        ColumnType::Int32 => Box::new(IntegerBuilder::<Int32Type>::new(coercion)),
        ColumnType::Int64 => Box::new(IntegerBuilder::<Int64Type>::new(coercion)),
        ColumnType::UInt8 => Box::new(IntegerBuilder::<UInt8Type>::new(coercion)),
        ColumnType::UInt16 => Box::new(IntegerBuilder::<UInt16Type>::new(coercion)),
        ColumnType::UInt32 => Box::new(IntegerBuilder::<UInt32Type>::new(coercion)),
        ColumnType::UInt64 => Box::new(IntegerBuilder::<UInt64Type>::new(coercion)),
        ColumnType::Float32 => Box::new(FloatBuilder::<Float32Type>::new(coercion)),
        ColumnType::Float64 => Box::new(FloatBuilder::<Float64Type>::new(coercion)),
        ColumnType::Decimal { precision, scale } => {
            Box::new(DecimalBuilder::new(*precision, *scale, coercion))
        }
        ColumnType::String => Box::new(StringBuilder::new(coercion)),
        ColumnType::Json => Box::new(JsonBuilder::default()),
        ColumnType::Binary => Box::new(BinaryBuilder::new(coercion)),
        ColumnType::Date => Box::new(DateBuilder::new(coercion)),
        ColumnType::Timestamp(unit) => timestamp_builder(*unit, reading),
        ColumnType::List(element) => Box::new(ListBuilder::new(element, reading)),
        ColumnType::Map(value) => Box::new(MapBuilder::new(value, reading)),
        ColumnType::Struct(fields) => Box::new(StructBuilder::new(fields, reading)),
    }
}

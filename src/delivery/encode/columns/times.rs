//! Columns of dates and of points in time.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{
    ArrowTimestampType, Date32Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType,
};
use arrow::error::ArrowError;

use super::fault::Fault;
use super::numbers::{OUT_OF_RANGE, Primitives, integer};
use super::slot::{Cells, ColumnBuilder};
use crate::json::{Kind, Scanner};
use crate::schema::columns::{ColumnType, TimeUnit};
use crate::schema::timestamp;

const MILLIS_PER_SECOND: i64 = 1_000;

#[derive(Debug, Default)]
pub(super) struct DateBuilder(Primitives<Date32Type>);

impl ColumnBuilder for DateBuilder {
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, _: &mut Cells) -> Result<(), Fault> {
        if kind != Kind::String {
            return Err(Fault::kind(kind));
        }
        let text = scanner.string()?.decode();
        let days = timestamp::parse_date(&text).ok_or_else(|| Fault::found("a string that is no date"))?;
        self.0.push(days);
        Ok(())
    }

    fn push_null(&mut self) {
        self.0.push_null();
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.0.finish()?))
    }
}

/// `learned` columns take dates beside date-times, and no numbers, of which nobody has said what they count.
pub(super) fn timestamp_builder(unit: TimeUnit, learned: bool) -> Box<dyn ColumnBuilder> {
    match unit {
        TimeUnit::Seconds => {
            Box::new(TimestampBuilder::<TimestampMillisecondType>::new(unit, MILLIS_PER_SECOND, learned))
        }
        TimeUnit::Millis => Box::new(TimestampBuilder::<TimestampMillisecondType>::new(unit, 1, learned)),
        TimeUnit::Micros => Box::new(TimestampBuilder::<TimestampMicrosecondType>::new(unit, 1, learned)),
        TimeUnit::Nanos => Box::new(TimestampBuilder::<TimestampNanosecondType>::new(unit, 1, learned)),
    }
}

#[derive(Debug)]
struct TimestampBuilder<T: ArrowTimestampType> {
    values: Primitives<T>,
    /// The unit that numbers are in and that strings are cut to.
    unit: TimeUnit,
    /// Stored units in one of `unit`.
    factor: i64,
    learned: bool,
}

impl<T: ArrowTimestampType> TimestampBuilder<T> {
    fn new(unit: TimeUnit, factor: i64, learned: bool) -> Self {
        Self { values: Primitives::default(), unit, factor, learned }
    }
}

impl<T: ArrowTimestampType + ArrowPrimitiveType<Native = i64> + fmt::Debug> ColumnBuilder
    for TimestampBuilder<T>
{
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, _: &mut Cells) -> Result<(), Fault> {
        let units = match kind {
            Kind::String => {
                let text = scanner.string()?.decode();
                let midnight = || timestamp::parse_date(&text).map(timestamp::Instant::at_midnight);
                let instant = timestamp::parse(&text)
                    .or_else(|| midnight().filter(|_| self.learned))
                    .ok_or_else(|| Fault::found("a string that is no RFC 3339 date and time"))?;
                instant.in_units(self.unit.per_second())
            }
            Kind::Number if !self.learned => Some(integer(scanner.number()?)?),
            other => return Err(Fault::kind(other)),
        };
        let stored = units.and_then(|units| units.checked_mul(self.factor));
        let out_of_range = if kind == Kind::Number { OUT_OF_RANGE } else { "a time out of range" };
        self.values.push(stored.ok_or_else(|| Fault::found(out_of_range))?);
        Ok(())
    }

    fn push_null(&mut self) {
        self.values.push_null();
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let data_type = ColumnType::Timestamp(self.unit).arrow_type();
        Ok(Arc::new(self.values.finish()?.with_data_type(data_type)))
    }
}

//! Columns of dates and of points in time.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{
    ArrowTimestampType, Date32Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType,
};
use arrow::error::ArrowError;

use super::super::orc;
use super::fault::Fault;
use super::lenient::{self, Time};
use super::numbers::{OUT_OF_RANGE, Primitives};
use super::row_bytes::RowBytes;
use super::slot::{Cells, ColumnBuilder};
use crate::json::{Kind, RawNumber, Scanner};
use crate::schema::columns::{Coercion, ColumnType, Reading, TimeUnit};
use crate::schema::{decimal, timestamp};

const MILLIS_PER_SECOND: i64 = 1_000;

#[derive(Debug)]
pub(super) struct DateBuilder {
    values: Primitives<Date32Type>,
    coercion: Coercion,
}

impl DateBuilder {
    pub(super) fn new(coercion: Coercion) -> Self {
        Self { values: Primitives::default(), coercion }
    }
}

impl ColumnBuilder for DateBuilder {
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, _: &mut Cells) -> Result<(), Fault> {
        let is_lenient = self.coercion == Coercion::Lenient;
        let days = match kind {
            Kind::String => {
                let text = scanner.string()?.decode();
                timestamp::parse_date(&text)
                    .or_else(|| lenient::date(&text).filter(|_| is_lenient))
                    .ok_or_else(|| Fault::found("a string that is no date"))?
            }
            Kind::Number if is_lenient => lenient::days(scanner.number()?)?,
            other => return Err(Fault::kind(other)),
        };
        self.values.push(days);
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

    fn write(&self, index: usize, row: &mut Vec<u8>) {
        self.values.write(index, row);
    }

    fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        self.values.read(row)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.values.finish()?))
    }
}

pub(super) fn timestamp_builder(unit: TimeUnit, reading: Reading) -> Box<dyn ColumnBuilder> {
    match unit {
        TimeUnit::Seconds => {
            Box::new(TimestampBuilder::<TimestampMillisecondType>::new(unit, MILLIS_PER_SECOND, reading))
        }
        TimeUnit::Millis => Box::new(TimestampBuilder::<TimestampMillisecondType>::new(unit, 1, reading)),
        TimeUnit::Micros => Box::new(TimestampBuilder::<TimestampMicrosecondType>::new(unit, 1, reading)),
        TimeUnit::Nanos => Box::new(TimestampBuilder::<TimestampNanosecondType>::new(unit, 1, reading)),
    }
}

/// How numbers become times.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    /// Decimal places from the unit of the numbers to the column's: 3 from seconds to milliseconds, -3 back.
    places: i32,
    coercion: Coercion,
}

impl Epoch {
    fn new(unit: TimeUnit, reading: Reading) -> Self {
        let digits = |unit: TimeUnit| unit.per_second().ilog10().cast_signed();
        Self { places: digits(unit) - digits(reading.epoch.unwrap_or(unit)), coercion: reading.coercion }
    }

    /// The number in units of the column. What is finer is cut off, towards the past.
    #[inline]
    fn units(self, number: RawNumber<'_>) -> Result<i64, Fault> {
        match number.as_i64() {
            Some(count) => self.whole_units(count),
            None => self.scaled(number),
        }
    }

    #[inline]
    fn whole_units(self, count: i64) -> Result<i64, Fault> {
        if self.places == 0 {
            return Ok(count);
        }
        let power = 10_i64.pow(self.places.unsigned_abs());
        let units = if self.places > 0 { count.checked_mul(power) } else { Some(count.div_euclid(power)) };
        units.ok_or_else(|| Fault::found(OUT_OF_RANGE))
    }

    #[cold]
    fn scaled(self, number: RawNumber<'_>) -> Result<i64, Fault> {
        let out_of_range = || Fault::found(OUT_OF_RANGE);
        let whole = decimal::scale(number.text(), 0).ok_or_else(out_of_range)?;
        if self.coercion == Coercion::Strict && !whole.exact {
            return Err(Fault::found("a number with a fraction"));
        }
        let scaled = decimal::scale(number.text(), self.places).ok_or_else(out_of_range)?;
        let cut_upwards = !scaled.exact && number.text().starts_with('-');
        i64::try_from(scaled.value - i128::from(cut_upwards)).map_err(|_| out_of_range())
    }
}

#[derive(Debug)]
struct TimestampBuilder<T: ArrowTimestampType> {
    values: Primitives<T>,
    /// The unit that strings are cut to.
    unit: TimeUnit,
    /// Stored units in one of `unit`.
    factor: i64,
    epoch: Epoch,
}

impl<T: ArrowTimestampType> TimestampBuilder<T> {
    fn new(unit: TimeUnit, factor: i64, reading: Reading) -> Self {
        Self { values: Primitives::default(), unit, factor, epoch: Epoch::new(unit, reading) }
    }

    fn units_in(&self, text: &str) -> Result<Option<i64>, Fault> {
        if let Some(instant) = timestamp::parse(text) {
            return Ok(instant.in_units(self.unit.per_second()));
        }
        let other = match self.epoch.coercion {
            Coercion::Lenient => lenient::time(text, |number| self.epoch.units(number)),
            // Dates are what such a column may have begun with.
            Coercion::Learned | Coercion::LearnedText => timestamp::parse_date(text)
                .map(|days| Ok(Time::Instant(timestamp::Instant::at_midnight(days)))),
            Coercion::Strict => None,
        };
        match other {
            Some(Ok(Time::Instant(instant))) => Ok(instant.in_units(self.unit.per_second())),
            Some(Ok(Time::Number(units))) => Ok(Some(units)),
            Some(Err(fault)) => Err(fault),
            None => Err(Fault::found("a string that is no RFC 3339 date and time")),
        }
    }
}

impl<T: ArrowTimestampType + ArrowPrimitiveType<Native = i64> + fmt::Debug> ColumnBuilder
    for TimestampBuilder<T>
{
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, cells: &mut Cells) -> Result<(), Fault> {
        let units = match kind {
            Kind::String => self.units_in(&scanner.string()?.decode())?,
            // Nobody has said what the numbers of a learned column count.
            Kind::Number if !self.epoch.coercion.is_learned() => Some(match scanner.take_integer() {
                Some(count) => self.epoch.whole_units(count)?,
                None => self.epoch.units(scanner.number()?)?,
            }),
            other => return Err(Fault::kind(other)),
        };
        let stored = units.and_then(|units| units.checked_mul(self.factor));
        let out_of_range = if kind == Kind::Number { OUT_OF_RANGE } else { "a time out of range" };
        let stored = stored.ok_or_else(|| Fault::found(out_of_range))?;
        if cells.are_for_orc() && !orc::holds_time(stored, self.unit.per_second() * self.factor) {
            return Err(Fault::found("a time in the last second of 1969, which ORC cannot hold"));
        }
        self.values.push(stored);
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

    fn write(&self, index: usize, row: &mut Vec<u8>) {
        self.values.write(index, row);
    }

    fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        self.values.read(row)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let data_type = ColumnType::Timestamp(self.unit).arrow_type();
        Ok(Arc::new(self.values.finish()?.with_data_type(data_type)))
    }
}

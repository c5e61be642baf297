//! Columns of numbers and of true and false.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::error::ArrowError;

use super::fault::Fault;
use super::lenient;
use super::row_bytes::{self, Fixed, RowBytes};
use super::slot::{Cells, ColumnBuilder};
use super::validity::{Bits, Validity};
use crate::json::{Kind, RawNumber, Scanner};
use crate::schema::columns::Coercion;
use crate::schema::decimal;
use crate::schema::inference::is_exact_as_double;

/// Values of fixed width with their validity.
#[derive(Debug)]
pub(super) struct Primitives<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    validity: Validity,
}

impl<T: ArrowPrimitiveType> Default for Primitives<T> {
    fn default() -> Self {
        Self { values: Vec::new(), validity: Validity::default() }
    }
}

impl<T: ArrowPrimitiveType> Primitives<T> {
    #[inline]
    pub(super) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.validity.push_valid();
    }

    pub(super) fn push_null(&mut self) {
        self.values.push(T::Native::default());
        self.validity.push_null();
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.validity.truncate(len);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.validity.memory_bytes()
    }

    #[inline]
    pub(super) fn write(&self, index: usize, row: &mut Vec<u8>)
    where
        T::Native: Fixed,
    {
        match self.values.get(index).filter(|_| !self.validity.is_null(index)) {
            Some(value) => value.write(row),
            None => row_bytes::write_null(row),
        }
    }

    #[inline]
    pub(super) fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()>
    where
        T::Native: Fixed,
    {
        match T::Native::read(row)? {
            Some(value) => self.push(value),
            None => self.push_null(),
        }
        Some(())
    }

    pub(super) fn finish(&mut self) -> Result<PrimitiveArray<T>, ArrowError> {
        PrimitiveArray::try_new(std::mem::take(&mut self.values).into(), self.validity.finish())
    }
}

/// `number` if it is integral and fits, however it is written: `1000`, `1000.0` and `1e3` are one number.
#[inline]
pub(super) fn integer<N: TryFrom<i64> + TryFrom<i128>>(number: RawNumber<'_>) -> Result<N, Fault> {
    match number.as_i64() {
        Some(value) => N::try_from(value).map_err(|_| Fault::found(OUT_OF_RANGE)),
        None => large_or_odd_integer(number),
    }
}

#[cold]
fn large_or_odd_integer<N: TryFrom<i128>>(number: RawNumber<'_>) -> Result<N, Fault> {
    let scaled = decimal::scale(number.text(), 0).ok_or_else(|| Fault::found(OUT_OF_RANGE))?;
    if !scaled.exact {
        return Err(Fault::found("a number with a fraction"));
    }
    N::try_from(scaled.value).map_err(|_| Fault::found(OUT_OF_RANGE))
}

pub(super) const OUT_OF_RANGE: &str = "a number out of range";

#[derive(Debug)]
pub(super) struct IntegerBuilder<T: ArrowPrimitiveType> {
    values: Primitives<T>,
    coercion: Coercion,
}

impl<T: ArrowPrimitiveType> IntegerBuilder<T> {
    pub(super) fn new(coercion: Coercion) -> Self {
        Self { values: Primitives::default(), coercion }
    }
}

impl<T> ColumnBuilder for IntegerBuilder<T>
where
    T: ArrowPrimitiveType + fmt::Debug,
    T::Native: TryFrom<i64> + TryFrom<i128> + Fixed,
{
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, _: &mut Cells) -> Result<(), Fault> {
        let value = match kind {
            Kind::Number => match scanner.take_integer() {
                Some(value) => T::Native::try_from(value).map_err(|_| Fault::found(OUT_OF_RANGE))?,
                None => integer(scanner.number()?)?,
            },
            other => lenient::number(self.coercion, other, scanner, integer)?,
        };
        self.values.push(value);
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

/// `number` as the nearest float, from the digits and not from a double, which would round a float32 twice.
#[inline]
fn float<N: FromStr + Into<f64> + Copy>(number: RawNumber<'_>) -> Result<N, Fault> {
    let value: N = number.text().parse().map_err(|_| Fault::found("a number that no float can hold"))?;
    if value.into().is_finite() { Ok(value) } else { Err(Fault::found(OUT_OF_RANGE)) }
}

/// The same, but an integer must be the float itself.
#[inline]
fn exact_float<N: FromStr + Into<f64> + Copy>(number: RawNumber<'_>) -> Result<N, Fault> {
    if is_exact_as_double(number) {
        float(number)
    } else {
        Err(Fault::found("an integer that no double holds exactly"))
    }
}

#[derive(Debug)]
pub(super) struct FloatBuilder<T: ArrowPrimitiveType> {
    values: Primitives<T>,
    coercion: Coercion,
}

impl<T: ArrowPrimitiveType> FloatBuilder<T> {
    pub(super) fn new(coercion: Coercion) -> Self {
        Self { values: Primitives::default(), coercion }
    }
}

impl<T> ColumnBuilder for FloatBuilder<T>
where
    T: ArrowPrimitiveType + fmt::Debug,
    T::Native: FromStr + Into<f64> + Fixed,
{
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, _: &mut Cells) -> Result<(), Fault> {
        let value = match kind {
            Kind::Number if self.coercion.is_learned() => exact_float(scanner.number()?)?,
            Kind::Number => float(scanner.number()?)?,
            other => lenient::number(self.coercion, other, scanner, float)?,
        };
        self.values.push(value);
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

#[derive(Debug)]
pub(super) struct DecimalBuilder {
    values: Primitives<Decimal128Type>,
    precision: u8,
    scale: u8,
    /// The first magnitude that has more digits than `precision`.
    bound: i128,
    coercion: Coercion,
}

impl DecimalBuilder {
    pub(super) fn new(precision: u8, scale: u8, coercion: Coercion) -> Self {
        let bound = decimal::power(u64::from(precision)).unwrap_or(i128::MAX);
        Self { values: Primitives::default(), precision, scale, bound, coercion }
    }

    fn value(&self, number: RawNumber<'_>) -> Result<i128, Fault> {
        match decimal::scale(number.text(), i32::from(self.scale)) {
            Some(scaled) if !scaled.exact => {
                Err(Fault::found(format!("a number with more than {} fraction digits", self.scale)))
            }
            Some(scaled) if scaled.value.abs() < self.bound => Ok(scaled.value),
            _ => Err(Fault::found(OUT_OF_RANGE)),
        }
    }
}

impl ColumnBuilder for DecimalBuilder {
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, _: &mut Cells) -> Result<(), Fault> {
        let value = match kind {
            Kind::Number => self.value(scanner.number()?)?,
            other => lenient::number(self.coercion, other, scanner, |number| self.value(number))?,
        };
        self.values.push(value);
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
        // The cast cannot wrap: a scale is at most 38.
        let data_type = DataType::Decimal128(self.precision, self.scale as i8);
        Ok(Arc::new(self.values.finish()?.with_data_type(data_type)))
    }
}

#[derive(Debug)]
pub(super) struct BoolBuilder {
    values: Bits,
    validity: Validity,
    coercion: Coercion,
}

impl BoolBuilder {
    pub(super) fn new(coercion: Coercion) -> Self {
        Self { values: Bits::default(), validity: Validity::default(), coercion }
    }
}

impl ColumnBuilder for BoolBuilder {
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, _: &mut Cells) -> Result<(), Fault> {
        let value = match kind {
            Kind::Bool => scanner.bool()?,
            other => lenient::bool(self.coercion, other, scanner)?,
        };
        self.values.push(value);
        self.validity.push_valid();
        Ok(())
    }

    fn push_null(&mut self) {
        self.values.push(false);
        self.validity.push_null();
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.validity.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes() + self.validity.memory_bytes()
    }

    fn write(&self, index: usize, row: &mut Vec<u8>) {
        match self.validity.is_null(index) {
            true => row_bytes::write_null(row),
            false => u8::from(self.values.get(index)).write(row),
        }
    }

    fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        match u8::read(row)? {
            Some(value) => {
                self.values.push(value != 0);
                self.validity.push_valid();
            }
            None => self.push_null(),
        }
        Some(())
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(BooleanArray::new(self.values.finish(), self.validity.finish())))
    }
}

//! `float` and `double`: the bytes of each value, lowest first.

use std::marker::PhantomData;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{ArrowPrimitiveType, Float32Type, Float64Type};

use super::super::super::EncodeError;
use super::super::statistics::Detail;
use super::super::stream::Stream;
use super::super::stripe::ColumnEncoding;
use super::Seen;
use super::block::{BLOCK, Rows};
use super::single::{Encode, Single};

/// `float`
pub(super) type Floats = Single<FloatingPoint<Float32Type>>;
/// `double`
pub(super) type Doubles = Single<FloatingPoint<Float64Type>>;

/// From arrays of `T`.
#[derive(Debug)]
pub(super) struct FloatingPoint<T>(PhantomData<fn(T)>);

/// How a number is stored.
trait Stored: Copy {
    fn put(values: &[Self], out: &mut Vec<u8>);
}

impl Stored for f32 {
    fn put(values: &[Self], out: &mut Vec<u8>) {
        out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
}

impl Stored for f64 {
    fn put(values: &[Self], out: &mut Vec<u8>) {
        out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
}

impl<T> Encode for FloatingPoint<T>
where
    T: ArrowPrimitiveType<Native: Stored> + std::fmt::Debug,
    f64: From<T::Native>,
{
    const ENCODING: ColumnEncoding = ColumnEncoding::DIRECT;
    const IN_RUNS: bool = false;

    fn append(
        array: &dyn Array,
        rows: &Rows<'_>,
        seen: &mut Seen,
        data: &mut Stream,
    ) -> Result<(), EncodeError> {
        let values = array.as_primitive::<T>().values();
        if let Detail::Float(floats) = &mut seen.statistics.detail {
            rows.ranges()
                .iter()
                .flat_map(|range| &values[range.clone()])
                .for_each(|value| floats.add((*value).into()));
        }
        if let Some(bloom) = &mut seen.bloom {
            rows.iter().for_each(|row| bloom.add_float(values[row].into()));
        }
        for range in rows.ranges() {
            for block in values[range.clone()].chunks(BLOCK) {
                Stored::put(block, data.out());
            }
        }
        data.settle()
    }
}

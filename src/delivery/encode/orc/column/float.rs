//! `float` and `double`: the bytes of each value, lowest first.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{ArrowPrimitiveType, Float32Type, Float64Type};

use super::super::super::EncodeError;
use super::super::compress::Codec;
use super::super::statistics::Detail;
use super::super::stream::Stream;
use super::super::stripe::{ColumnEncoding, StreamKind};
use super::block::{BLOCK, Rows};
use super::{Finished, Seen, Values};

/// `float`
pub(super) type Floats = FloatingPoint<Float32Type>;
/// `double`
pub(super) type Doubles = FloatingPoint<Float64Type>;

#[derive(Debug)]
pub(super) struct FloatingPoint<T> {
    data: Stream,
    positions: Vec<u64>,
    array: std::marker::PhantomData<fn(T)>,
}

impl<T> FloatingPoint<T> {
    pub fn new(codec: Codec) -> Self {
        Self { data: Stream::new(codec), positions: Vec::new(), array: std::marker::PhantomData }
    }
}

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

impl<T> Values for FloatingPoint<T>
where
    T: ArrowPrimitiveType<Native: Stored> + std::fmt::Debug,
    f64: From<T::Native>,
{
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, seen: &mut Seen) -> Result<(), EncodeError> {
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
                Stored::put(block, self.data.out());
            }
        }
        self.data.settle()
    }

    fn mark(&mut self) {
        self.data.mark(&mut self.positions);
    }

    fn finish_stripe(&mut self) -> Result<Finished, EncodeError> {
        Ok(Finished {
            streams: vec![(StreamKind::Data, self.data.take()?)],
            encoding: ColumnEncoding::DIRECT,
            positions: std::mem::take(&mut self.positions),
        })
    }

    fn stored_bytes(&self) -> u64 {
        self.data.stored_bytes()
    }

    fn memory_bytes(&self) -> usize {
        self.data.memory_bytes() + self.positions.capacity() * size_of::<u64>()
    }
}

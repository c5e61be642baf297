//! Booleans, bytes, integers and dates.

use std::marker::PhantomData;

use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type,
};

use super::super::super::EncodeError;
use super::super::compress::Codec;
use super::super::rle::bits::BitStream;
use super::super::rle::bytes;
use super::super::rle::integers::{self, Sign};
use super::super::statistics::Detail;
use super::super::stream::Stream;
use super::super::stripe::{ColumnEncoding, StreamKind};
use super::block::Rows;
use super::single::{Encode, Single};
use super::{Finished, Seen, Values};

/// `boolean`: bits.
#[derive(Debug)]
pub(super) struct Booleans {
    data: BitStream,
    positions: Vec<u64>,
}

impl Booleans {
    pub fn new(codec: Codec) -> Self {
        Self { data: BitStream::new(codec), positions: Vec::new() }
    }
}

impl Values for Booleans {
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, seen: &mut Seen) -> Result<(), EncodeError> {
        let values = array.as_boolean().values();
        self.data.push(values, rows.ranges())?;
        if let Detail::Boolean { count_true } = &mut seen.statistics.detail {
            let set = |(start, length)| values.slice(start, length).count_set_bits() as u64;
            *count_true += rows.ranges().iter().map(|range| set((range.start, range.len()))).sum::<u64>();
        }
        Ok(())
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

/// `tinyint`: byte runs.
#[derive(Debug)]
pub(super) struct Bytes;

impl Encode for Bytes {
    const ENCODING: ColumnEncoding = ColumnEncoding::DIRECT;
    const IN_RUNS: bool = true;

    fn append(
        array: &dyn Array,
        rows: &Rows<'_>,
        seen: &mut Seen,
        data: &mut Stream,
    ) -> Result<(), EncodeError> {
        let values = array.as_primitive::<Int8Type>().values();
        rows.blocks(values, i64::from, |block| {
            seen.add_integers(block);
            Ok::<_, EncodeError>(())
        })?;
        rows.blocks(values, i8::cast_unsigned, |block| {
            bytes::put(block, data.out());
            data.settle()
        })
    }
}

/// `smallint`, `int`, `bigint` and `date` from arrays of `T`: signed integer runs.
#[derive(Debug)]
struct Integers<T>(PhantomData<fn(T)>);

/// The integer column that is filled from arrays of `data_type`.
pub(super) fn of(data_type: &DataType, codec: Codec) -> Box<dyn Values> {
    match data_type {
        DataType::Int16 => Box::new(Single::<Integers<Int16Type>>::new(codec)),
        DataType::UInt8 => Box::new(Single::<Integers<UInt8Type>>::new(codec)),
        DataType::UInt16 => Box::new(Single::<Integers<UInt16Type>>::new(codec)),
        DataType::Int32 => Box::new(Single::<Integers<Int32Type>>::new(codec)),
        DataType::UInt32 => Box::new(Single::<Integers<UInt32Type>>::new(codec)),
        DataType::Date32 => Box::new(Single::<Integers<Date32Type>>::new(codec)),
        _ => Box::new(Single::<Integers<Int64Type>>::new(codec)),
    }
}

impl<T> Encode for Integers<T>
where
    T: ArrowPrimitiveType + std::fmt::Debug,
    i64: From<T::Native>,
{
    const ENCODING: ColumnEncoding = ColumnEncoding::DIRECT_V2;
    const IN_RUNS: bool = true;

    fn append(
        array: &dyn Array,
        rows: &Rows<'_>,
        seen: &mut Seen,
        data: &mut Stream,
    ) -> Result<(), EncodeError> {
        let values: &PrimitiveArray<T> = array.as_primitive();
        rows.blocks(values.values(), i64::from, |block| {
            seen.add_integers(block);
            integers::put(block, Sign::Signed, data.out());
            Ok::<_, EncodeError>(())
        })?;
        data.settle()
    }
}

impl Seen {
    /// Notes integers or dates.
    fn add_integers(&mut self, values: &[i64]) {
        if let Detail::Integer(numbers) | Detail::Date(numbers) = &mut self.statistics.detail {
            numbers.add(values);
        }
        if let Some(bloom) = &mut self.bloom {
            values.iter().for_each(|value| bloom.add_integer(*value));
        }
    }
}

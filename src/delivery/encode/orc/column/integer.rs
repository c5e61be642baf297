//! Booleans, bytes, integers and dates.

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
pub(super) struct Bytes {
    data: Stream,
    positions: Vec<u64>,
}

impl Bytes {
    pub fn new(codec: Codec) -> Self {
        Self { data: Stream::new(codec), positions: Vec::new() }
    }
}

impl Values for Bytes {
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, seen: &mut Seen) -> Result<(), EncodeError> {
        let values = array.as_primitive::<Int8Type>().values();
        rows.blocks(values, i64::from, |block| {
            seen.add_integers(block);
            Ok::<_, EncodeError>(())
        })?;
        rows.blocks(values, i8::cast_unsigned, |block| {
            bytes::put(block, self.data.out());
            self.data.settle()
        })
    }

    fn mark(&mut self) {
        self.data.mark_run(&mut self.positions);
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

/// `smallint`, `int`, `bigint` and `date` from arrays of `T`: signed integer runs.
#[derive(Debug)]
struct Integers<T> {
    data: Stream,
    positions: Vec<u64>,
    array: std::marker::PhantomData<fn(T)>,
}

/// The integer column that is filled from arrays of `data_type`.
pub(super) fn of(data_type: &DataType, codec: Codec) -> Box<dyn Values> {
    fn integers<T>(codec: Codec) -> Box<dyn Values>
    where
        T: ArrowPrimitiveType + std::fmt::Debug,
        i64: From<T::Native>,
    {
        let (data, positions) = (Stream::new(codec), Vec::new());
        Box::new(Integers::<T> { data, positions, array: std::marker::PhantomData })
    }
    match data_type {
        DataType::Int16 => integers::<Int16Type>(codec),
        DataType::UInt8 => integers::<UInt8Type>(codec),
        DataType::UInt16 => integers::<UInt16Type>(codec),
        DataType::Int32 => integers::<Int32Type>(codec),
        DataType::UInt32 => integers::<UInt32Type>(codec),
        DataType::Date32 => integers::<Date32Type>(codec),
        _ => integers::<Int64Type>(codec),
    }
}

impl<T> Values for Integers<T>
where
    T: ArrowPrimitiveType + std::fmt::Debug,
    i64: From<T::Native>,
{
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, seen: &mut Seen) -> Result<(), EncodeError> {
        let values: &PrimitiveArray<T> = array.as_primitive();
        rows.blocks(values.values(), i64::from, |block| {
            seen.add_integers(block);
            integers::put(block, Sign::Signed, self.data.out());
            Ok::<_, EncodeError>(())
        })?;
        self.data.settle()
    }

    fn mark(&mut self) {
        self.data.mark_run(&mut self.positions);
    }

    fn finish_stripe(&mut self) -> Result<Finished, EncodeError> {
        Ok(Finished {
            streams: vec![(StreamKind::Data, self.data.take()?)],
            encoding: ColumnEncoding::DIRECT_V2,
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

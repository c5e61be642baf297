//! `struct`, `array` and `map`: columns of columns.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;

use super::super::super::EncodeError;
use super::super::compress::Codec;
use super::super::rle::integers::{self, Sign};
use super::super::statistics::Detail;
use super::super::stream::Stream;
use super::super::stripe::{ColumnEncoding, StreamKind};
use super::block::{self, Rows};
use super::{Column, Finished, Seen, Values};

/// `struct`: nothing but its fields.
#[derive(Debug)]
pub(super) struct Children {
    columns: Vec<Column>,
}

impl Children {
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns }
    }
}

impl Values for Children {
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, _seen: &mut Seen) -> Result<(), EncodeError> {
        let arrays = array.as_struct().columns();
        self.columns.iter_mut().zip(arrays).try_for_each(|(column, array)| column.write(array, rows.ranges()))
    }

    fn mark(&mut self) {}

    fn finish_stripe(&mut self) -> Result<Finished, EncodeError> {
        Ok(Finished { streams: Vec::new(), encoding: ColumnEncoding::DIRECT, positions: Vec::new() })
    }

    fn stored_bytes(&self) -> u64 {
        self.columns.iter().map(Column::stored_bytes).sum()
    }

    fn memory_bytes(&self) -> usize {
        self.columns.iter().map(Column::memory_bytes).sum()
    }

    fn children(&mut self) -> &mut [Column] {
        &mut self.columns
    }
}

/// `array` and `map`: the number of elements in each, and one column of them, or one of keys and one of values.
#[derive(Debug)]
pub(super) struct Collection {
    lengths: Stream,
    positions: Vec<u64>,
    columns: Vec<Column>,
}

impl Collection {
    pub fn new(columns: Vec<Column>, codec: Codec) -> Self {
        Self { lengths: Stream::new(codec), positions: Vec::new(), columns }
    }
}

impl Values for Collection {
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, seen: &mut Seen) -> Result<(), EncodeError> {
        let (offsets, arrays): (&[i32], &[ArrayRef]) = match array.data_type() {
            DataType::Map(..) => {
                let map = array.as_map();
                (map.value_offsets(), map.entries().columns())
            }
            _ => {
                let list = array.as_list::<i32>();
                (list.value_offsets(), std::slice::from_ref(list.values()))
            }
        };
        let lengths = block::lengths(offsets, rows);
        integers::put(&lengths, Sign::Unsigned, self.lengths.out());
        if let Detail::Collection(known) = &mut seen.statistics.detail {
            known.add(&lengths);
        }
        let elements = elements(offsets, rows);
        self.lengths.settle()?;
        self.columns.iter_mut().zip(arrays).try_for_each(|(column, array)| column.write(array, &elements))
    }

    fn mark(&mut self) {
        self.lengths.mark_run(&mut self.positions);
    }

    fn finish_stripe(&mut self) -> Result<Finished, EncodeError> {
        Ok(Finished {
            streams: vec![(StreamKind::Length, self.lengths.take()?)],
            encoding: ColumnEncoding::DIRECT_V2,
            positions: std::mem::take(&mut self.positions),
        })
    }

    fn stored_bytes(&self) -> u64 {
        self.lengths.stored_bytes() + self.columns.iter().map(Column::stored_bytes).sum::<u64>()
    }

    fn memory_bytes(&self) -> usize {
        self.lengths.memory_bytes()
            + self.positions.capacity() * size_of::<u64>()
            + self.columns.iter().map(Column::memory_bytes).sum::<usize>()
    }

    fn children(&mut self) -> &mut [Column] {
        &mut self.columns
    }
}

/// The rows of the elements. Collections that follow one another usually have theirs side by side.
fn elements(offsets: &[i32], rows: &Rows<'_>) -> Vec<Range<usize>> {
    let mut elements: Vec<Range<usize>> = Vec::new();
    for range in rows.ranges() {
        let (start, end) = (offsets[range.start] as usize, offsets[range.end] as usize);
        match elements.last_mut() {
            _ if start == end => (),
            Some(last) if last.end == start => last.end = end,
            _ => elements.push(start..end),
        }
    }
    elements
}

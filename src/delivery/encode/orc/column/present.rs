//! The stream `PRESENT`: for each row, whether it has a value. A stripe whose rows all have one has no such stream.

use std::ops::Range;

use arrow::buffer::NullBuffer;

use super::super::super::EncodeError;
use super::super::compress::Codec;
use super::super::rle::bits::BitStream;

#[derive(Debug)]
pub(super) struct Present {
    codec: Codec,
    /// None as long as no null came in the stripe.
    bits: Option<BitStream>,
    /// Rows of the stripe so far.
    rows: usize,
    /// Rows in front of each row group. They make the positions up once a null comes.
    group_starts: Vec<usize>,
    positions: Vec<u64>,
}

impl Present {
    pub fn new(codec: Codec) -> Self {
        Self { codec, bits: None, rows: 0, group_starts: Vec::new(), positions: Vec::new() }
    }

    /// Appends `rows`, `all` rows with `values` values.
    pub fn push(
        &mut self,
        nulls: Option<&NullBuffer>,
        rows: &[Range<usize>],
        all: usize,
        values: usize,
    ) -> Result<(), EncodeError> {
        if values < all && self.bits.is_none() {
            self.catch_up()?;
        }
        if let Some(bits) = &mut self.bits {
            match nulls {
                Some(nulls) => bits.push(nulls.inner(), rows)?,
                None => bits.push_true(all)?,
            }
        }
        self.rows += all;
        Ok(())
    }

    /// Writes what was left out while all rows had values.
    fn catch_up(&mut self) -> Result<(), EncodeError> {
        let mut bits = BitStream::new(self.codec);
        let mut before = 0;
        for start in &self.group_starts {
            bits.push_true(start - before)?;
            bits.mark(&mut self.positions);
            before = *start;
        }
        bits.push_true(self.rows - before)?;
        self.bits = Some(bits);
        Ok(())
    }

    /// Notes the beginning of a row group.
    pub fn mark(&mut self) {
        self.group_starts.push(self.rows);
        if let Some(bits) = &self.bits {
            bits.mark(&mut self.positions);
        }
    }

    /// The stream, if there is one, and the positions of the row groups in it.
    pub fn finish_stripe(&mut self) -> Result<(Option<Vec<u8>>, Vec<u64>), EncodeError> {
        self.rows = 0;
        self.group_starts.clear();
        let bits = self.bits.take().map(|mut bits| bits.take()).transpose()?;
        Ok((bits, std::mem::take(&mut self.positions)))
    }

    pub fn stored_bytes(&self) -> u64 {
        self.bits.as_ref().map_or(0, BitStream::stored_bytes)
    }

    pub fn memory_bytes(&self) -> usize {
        self.bits.as_ref().map_or(0, BitStream::memory_bytes)
            + (self.group_starts.capacity() + self.positions.capacity()) * size_of::<u64>()
    }
}

//! Runs of booleans: eight a byte, the first in the highest bit, and the bytes as byte runs.

use std::ops::Range;

use arrow::buffer::BooleanBuffer;

use super::super::super::EncodeError;
use super::super::compress::Codec;
use super::super::stream::Stream;
use super::bytes;

/// A stream of booleans. Up to seven of them wait for their byte to fill.
#[derive(Debug)]
pub(in super::super) struct BitStream {
    stream: Stream,
    /// The waiting bits, in the highest places.
    waiting: u8,
    waiting_bits: u32,
    /// Whole bytes of one call; empty between calls.
    staged: Vec<u8>,
}

impl BitStream {
    pub fn new(codec: Codec) -> Self {
        Self { stream: Stream::new(codec), waiting: 0, waiting_bits: 0, staged: Vec::new() }
    }

    /// Appends the bits of `source` in the places `rows`.
    pub fn push(&mut self, source: &BooleanBuffer, rows: &[Range<usize>]) -> Result<(), EncodeError> {
        for rows in rows {
            if rows.len() < 8 {
                for row in rows.clone() {
                    self.push_word(u64::from(source.value(row)) << 63, 1);
                }
                continue;
            }
            let part = source.slice(rows.start, rows.len());
            let chunks = part.bit_chunks();
            for word in chunks.iter() {
                self.push_word(word.reverse_bits(), 64);
            }
            self.push_word(chunks.remainder_bits().reverse_bits(), chunks.remainder_len() as u32);
        }
        self.put_staged()
    }

    /// Appends `count` times true.
    pub fn push_true(&mut self, mut count: usize) -> Result<(), EncodeError> {
        while count > 0 {
            let bits = count.min(64) as u32;
            self.push_word(u64::MAX << (64 - bits), bits);
            count -= bits as usize;
        }
        self.put_staged()
    }

    /// Appends the highest `bits` bits of `word`, whose others are zero.
    fn push_word(&mut self, word: u64, bits: u32) {
        let all = u128::from(self.waiting) << 120 | u128::from(word) << (64 - self.waiting_bits);
        let count = self.waiting_bits + bits;
        let bytes = all.to_be_bytes();
        let whole = (count / 8) as usize;
        self.staged.extend_from_slice(&bytes[..whole]);
        self.waiting = bytes[whole];
        self.waiting_bits = count % 8;
    }

    fn put_staged(&mut self) -> Result<(), EncodeError> {
        bytes::put(&self.staged, self.stream.out());
        self.staged = Vec::new();
        self.stream.settle()
    }

    /// Appends the position of the next bit: that of the next byte run, and the bits to skip in its first byte.
    pub fn mark(&self, positions: &mut Vec<u64>) {
        self.stream.mark_run(positions);
        positions.push(u64::from(self.waiting_bits));
    }

    /// The stream as it is stored. Leaves an empty one for the next stripe.
    pub fn take(&mut self) -> Result<Vec<u8>, EncodeError> {
        if self.waiting_bits > 0 {
            bytes::put(&[self.waiting], self.stream.out());
            (self.waiting, self.waiting_bits) = (0, 0);
        }
        self.stream.settle()?;
        self.stream.take()
    }

    pub fn stored_bytes(&self) -> u64 {
        self.stream.stored_bytes()
    }

    pub fn memory_bytes(&self) -> usize {
        self.stream.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decoder;
    use super::*;

    #[test]
    fn the_first_boolean_is_in_the_highest_bit() {
        let mut stream = BitStream::new(Codec::None);
        let values = BooleanBuffer::from(vec![true, false, false, false, false, false, false, false, true]);
        stream.push(&values, std::slice::from_ref(&(0..9))).unwrap();
        let mut positions = Vec::new();
        stream.mark(&mut positions);
        assert_eq!(positions, [2, 0, 1]);
        assert_eq!(stream.take().unwrap(), [0xff, 0x80, 0xff, 0x80]);
    }

    proptest! {
        #[test]
        fn bits_are_read_back_from_any_mark(
            values in prop::collection::vec(any::<bool>(), 1..700),
            cuts in prop::collection::vec(0..700_usize, 0..6),
            all_true in 0..200_usize,
        ) {
            let buffer = BooleanBuffer::from(values.clone());
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % values.len()).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let mut stream = BitStream::new(Codec::None);
            stream.push_true(all_true).unwrap();
            let mut marks = Vec::new();
            for cut in cuts.windows(2) {
                let mut mark = Vec::new();
                stream.mark(&mut mark);
                marks.push((cut[0], mark));
                stream.push(&buffer, std::slice::from_ref(&(cut[0]..cut[1]))).unwrap();
            }
            let stored = stream.take().unwrap();
            let bits = |stored: &[u8], skip: usize| -> Vec<bool> {
                let bytes = decoder::bytes(stored);
                (skip..bytes.len() * 8).map(|bit| bytes[bit / 8] & (0x80 >> (bit % 8)) != 0).collect()
            };
            let found = bits(&stored, all_true);
            prop_assert_eq!(&found[..values.len()], &values[..]);
            for (start, mark) in marks {
                let found = bits(&stored[mark[0] as usize..], mark[2] as usize);
                prop_assert_eq!(&found[..values.len() - start], &values[start..]);
            }
        }
    }
}

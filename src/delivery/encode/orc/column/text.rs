//! `string` and `binary`.
//!
//! A column of text begins each stripe with a dictionary. It gives it up for the rest of the stripe as soon as too
//! few values come again: those that came are then written one after the other, as all that follow.

use std::ops::Range;

use arrow::array::{Array, AsArray};

use super::super::super::EncodeError;
use super::super::compress::Codec;
use super::super::rle::integers::{self, Sign};
use super::super::statistics::Detail;
use super::super::stream::Stream;
use super::super::stripe::{ColumnEncoding, StreamKind};
use super::block::{self, BLOCK, Rows};
use super::dictionary::Dictionary;
use super::{Finished, Seen, Values};

/// Values after which a dictionary is looked at again.
const PIECE_VALUES: usize = 1_024;

/// Values after which no more than three of four may have been new. 8,192 values show 4,030 different ones where
/// there are 5,000 in all, and 6,720 where there are 20,000.
const FIRST_LOOK_VALUES: usize = 8 << 10;

/// Values after which every text has to have come twice, on average.
const SECOND_LOOK_VALUES: usize = 64 << 10;

/// A dictionary is given up where a text comes, on average, less often than this.
const REPETITIONS_MIN: usize = 2;

/// Texts of a dictionary: those of a larger one come again too seldom, and a table of them falls out of the cache.
const DICTIONARY_TEXTS_MAX: usize = 128 << 10;

/// Their length together. A reader holds all of them while it reads a stripe.
const DICTIONARY_BYTES_MAX: usize = 4 << 20;

/// `string`
#[derive(Debug)]
pub(super) struct Texts {
    plain: Plain,
    dictionary: Option<Numbered>,
    /// The texts of the dictionary, one behind the other.
    dictionary_data: Stream,
    /// The numbers of the values.
    numbers: Stream,
}

/// Values as numbers of a dictionary.
#[derive(Debug, Default)]
struct Numbered {
    dictionary: Dictionary,
    values: Vec<u32>,
    /// Values in front of each row group.
    group_starts: Vec<usize>,
}

/// Values one behind the other, and the length of each.
#[derive(Debug)]
struct Plain {
    data: Stream,
    lengths: Stream,
    positions: Vec<u64>,
}

impl Texts {
    pub fn new(codec: Codec) -> Self {
        Self {
            plain: Plain::new(codec),
            dictionary: Some(Numbered::default()),
            dictionary_data: Stream::new(codec),
            numbers: Stream::new(codec),
        }
    }

    /// Writes what the dictionary has as plain values, and goes on like that.
    fn give_up_dictionary(&mut self) -> Result<(), EncodeError> {
        let Some(Numbered { dictionary, values, group_starts }) = self.dictionary.take() else {
            return Ok(());
        };
        for group in groups(&group_starts, values.len()) {
            self.plain.mark();
            for block in values[group].chunks(BLOCK) {
                let mut lengths = [0; BLOCK];
                for (length, number) in lengths.iter_mut().zip(block) {
                    let text = dictionary.text(*number);
                    *length = text.len() as i64;
                    self.plain.data.out().extend_from_slice(text);
                }
                integers::put(&lengths[..block.len()], Sign::Unsigned, self.plain.lengths.out());
                self.plain.settle()?;
            }
        }
        Ok(())
    }

    fn finish_dictionary(&mut self, numbered: Numbered) -> Result<Finished, EncodeError> {
        let Numbered { dictionary, values, group_starts } = numbered;
        let sorted = dictionary.sorted();
        let mut ranks = vec![0_i64; sorted.len()];
        let mut lengths = Vec::with_capacity(sorted.len());
        for (rank, number) in sorted.iter().enumerate() {
            let text = dictionary.text(*number);
            ranks[*number as usize] = rank as i64;
            lengths.push(text.len() as i64);
            self.dictionary_data.out().extend_from_slice(text);
        }
        self.dictionary_data.settle()?;
        integers::put(&lengths, Sign::Unsigned, self.plain.lengths.out());
        let mut positions = Vec::new();
        for group in groups(&group_starts, values.len()) {
            self.numbers.mark_run(&mut positions);
            for block in values[group].chunks(BLOCK) {
                let mut numbers = [0; BLOCK];
                for (place, number) in numbers.iter_mut().zip(block) {
                    *place = ranks[*number as usize];
                }
                integers::put(&numbers[..block.len()], Sign::Unsigned, self.numbers.out());
            }
            self.numbers.settle()?;
        }
        Ok(Finished {
            streams: vec![
                (StreamKind::Data, self.numbers.take()?),
                (StreamKind::DictionaryData, self.dictionary_data.take()?),
                (StreamKind::Length, self.plain.lengths.take()?),
            ],
            encoding: ColumnEncoding::dictionary(sorted.len()),
            positions,
        })
    }
}

/// The values of each row group.
fn groups(starts: &[usize], values: usize) -> impl Iterator<Item = Range<usize>> {
    let ends = starts.iter().skip(1).copied().chain(std::iter::once(values));
    starts.iter().copied().zip(ends).map(|(start, end)| start..end)
}

impl Numbered {
    fn push(&mut self, texts: &Slices<'_>, rows: impl Iterator<Item = usize>, seen: &mut Seen) {
        let group = self.group_starts.len() as u32;
        let Detail::Text(range) = &mut seen.statistics.detail else { return };
        for row in rows {
            let text = texts.get(row);
            let (number, is_new_here) = self.dictionary.number(text, group);
            self.values.push(number);
            range.add_bytes(text.len() as u64);
            if is_new_here {
                range.add(text);
                if let Some(bloom) = &mut seen.bloom {
                    bloom.add_bytes(text);
                }
            }
        }
    }

    fn is_of_use(&self) -> bool {
        self.dictionary.len() * REPETITIONS_MIN <= self.values.len()
    }

    /// Whether too few texts came again, and so many values came that this will not change.
    fn is_hopeless(&self) -> bool {
        let (texts, values) = (self.dictionary.len(), self.values.len());
        (values >= FIRST_LOOK_VALUES && texts * 4 > values * 3)
            || (values >= SECOND_LOOK_VALUES && !self.is_of_use())
    }

    fn is_too_large(&self) -> bool {
        self.dictionary.len() > DICTIONARY_TEXTS_MAX || self.dictionary.text_bytes() > DICTIONARY_BYTES_MAX
    }

    /// Bits of a value, as stored.
    fn bits(&self) -> usize {
        (self.dictionary.len().max(2) - 1).ilog2() as usize + 1
    }
}

impl Values for Texts {
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, seen: &mut Seen) -> Result<(), EncodeError> {
        let array = array.as_string::<i32>();
        let texts = Slices { offsets: array.value_offsets(), bytes: array.value_data() };
        let mut all = rows.iter().peekable();
        let mut taken = 0;
        while let Some(numbered) = &mut self.dictionary
            && all.peek().is_some()
        {
            numbered.push(&texts, all.by_ref().take(PIECE_VALUES), seen);
            taken = (taken + PIECE_VALUES).min(rows.count());
            if numbered.is_hopeless() || numbered.is_too_large() {
                self.give_up_dictionary()?;
            }
        }
        drop(all);
        let rest = rows.without_first(taken);
        if rest.count() > 0 {
            self.plain.push(&texts, &rest)?;
            let Detail::Text(range) = &mut seen.statistics.detail else { return Ok(()) };
            for row in rest.iter() {
                let text = texts.get(row);
                range.add_bytes(text.len() as u64);
                range.add(text);
            }
            if let Some(bloom) = &mut seen.bloom {
                rest.iter().for_each(|row| bloom.add_bytes(texts.get(row)));
            }
        }
        Ok(())
    }

    fn mark(&mut self) {
        match &mut self.dictionary {
            Some(numbered) => numbered.group_starts.push(numbered.values.len()),
            None => self.plain.mark(),
        }
    }

    fn finish_stripe(&mut self) -> Result<Finished, EncodeError> {
        // Without any value this is an empty dictionary, as the format's Java writer has it: ORC's C++ reader cannot
        // skip in plain texts that are all empty.
        if self.dictionary.as_ref().is_some_and(|numbered| !numbered.is_of_use()) {
            self.give_up_dictionary()?;
        }
        let finished = match self.dictionary.take() {
            Some(numbered) => self.finish_dictionary(numbered),
            None => self.plain.finish_stripe(),
        };
        self.dictionary = Some(Numbered::default());
        finished
    }

    fn stored_bytes(&self) -> u64 {
        let Some(numbered) = &self.dictionary else { return self.plain.stored_bytes() };
        let lengths = numbered.dictionary.len() as u64;
        self.dictionary_data.compressed(numbered.dictionary.text_bytes())
            + self.numbers.compressed(numbered.values.len() * numbered.bits() / 8)
            + lengths
    }

    fn memory_bytes(&self) -> usize {
        let numbered = self.dictionary.as_ref().map_or(0, |numbered| {
            numbered.dictionary.memory_bytes()
                + numbered.values.capacity() * size_of::<u32>()
                + numbered.group_starts.capacity() * size_of::<usize>()
        });
        numbered + self.plain.memory_bytes()
    }
}

/// Texts or bytes of an array.
struct Slices<'a> {
    offsets: &'a [i32],
    bytes: &'a [u8],
}

impl<'a> Slices<'a> {
    #[inline]
    fn get(&self, row: usize) -> &'a [u8] {
        &self.bytes[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}

impl Plain {
    fn new(codec: Codec) -> Self {
        Self { data: Stream::new(codec), lengths: Stream::new(codec), positions: Vec::new() }
    }

    fn push(&mut self, values: &Slices<'_>, rows: &Rows<'_>) -> Result<u64, EncodeError> {
        let mut bytes = 0;
        for range in rows.ranges() {
            let all = values.offsets[range.start] as usize..values.offsets[range.end] as usize;
            bytes += all.len() as u64;
            self.data.out().extend_from_slice(&values.bytes[all]);
        }
        integers::put(&block::lengths(values.offsets, rows), Sign::Unsigned, self.lengths.out());
        self.settle()?;
        Ok(bytes)
    }

    fn settle(&mut self) -> Result<(), EncodeError> {
        self.data.settle()?;
        self.lengths.settle()
    }

    fn mark(&mut self) {
        self.data.mark(&mut self.positions);
        self.lengths.mark_run(&mut self.positions);
    }

    fn finish_stripe(&mut self) -> Result<Finished, EncodeError> {
        Ok(Finished {
            streams: vec![(StreamKind::Data, self.data.take()?), (StreamKind::Length, self.lengths.take()?)],
            encoding: ColumnEncoding::DIRECT_V2,
            positions: std::mem::take(&mut self.positions),
        })
    }

    fn stored_bytes(&self) -> u64 {
        self.data.stored_bytes() + self.lengths.stored_bytes()
    }

    fn memory_bytes(&self) -> usize {
        self.data.memory_bytes() + self.lengths.memory_bytes() + self.positions.capacity() * size_of::<u64>()
    }
}

/// `binary`
#[derive(Debug)]
pub(super) struct Binaries(Plain);

impl Binaries {
    pub fn new(codec: Codec) -> Self {
        Self(Plain::new(codec))
    }
}

impl Values for Binaries {
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, seen: &mut Seen) -> Result<(), EncodeError> {
        let array = array.as_binary::<i32>();
        let values = Slices { offsets: array.value_offsets(), bytes: array.value_data() };
        let written = self.0.push(&values, rows)?;
        if let Detail::Binary { bytes } = &mut seen.statistics.detail {
            *bytes += written;
        }
        if let Some(bloom) = &mut seen.bloom {
            rows.iter().for_each(|row| bloom.add_bytes(values.get(row)));
        }
        Ok(())
    }

    fn mark(&mut self) {
        self.0.mark();
    }

    fn finish_stripe(&mut self) -> Result<Finished, EncodeError> {
        self.0.finish_stripe()
    }

    fn stored_bytes(&self) -> u64 {
        self.0.stored_bytes()
    }

    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}

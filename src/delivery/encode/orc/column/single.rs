//! Kinds of values that are one stream, beside the one that tells which are there.

use std::fmt;
use std::marker::PhantomData;

use arrow::array::Array;

use super::super::super::EncodeError;
use super::super::compress::Codec;
use super::super::stream::Stream;
use super::super::stripe::{ColumnEncoding, StreamKind};
use super::block::Rows;
use super::{Finished, Seen, Values};

/// How such values become bytes.
pub(super) trait Encode: fmt::Debug + 'static {
    /// How readers are told that they are encoded.
    const ENCODING: ColumnEncoding;
    /// Whether they stand in runs, in which positions count values as well.
    const IN_RUNS: bool;

    /// Appends the values of `array` in `rows` to `data`, none of which is null, and notes them in `seen`.
    fn append(
        array: &dyn Array,
        rows: &Rows<'_>,
        seen: &mut Seen,
        data: &mut Stream,
    ) -> Result<(), EncodeError>;
}

/// A column of values that `E` encodes.
#[derive(Debug)]
pub(super) struct Single<E> {
    data: Stream,
    positions: Vec<u64>,
    encoding: PhantomData<fn(E)>,
}

impl<E> Single<E> {
    pub fn new(codec: Codec) -> Self {
        Self { data: Stream::new(codec), positions: Vec::new(), encoding: PhantomData }
    }
}

impl<E: Encode> Values for Single<E> {
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, seen: &mut Seen) -> Result<(), EncodeError> {
        E::append(array, rows, seen, &mut self.data)
    }

    fn mark(&mut self) {
        match E::IN_RUNS {
            true => self.data.mark_run(&mut self.positions),
            false => self.data.mark(&mut self.positions),
        }
    }

    fn finish_stripe(&mut self) -> Result<Finished, EncodeError> {
        Ok(Finished {
            streams: vec![(StreamKind::Data, self.data.take()?)],
            encoding: E::ENCODING,
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

//! One stream of a column in a stripe: bytes that come in pieces and are compressed block by block.

use super::super::EncodeError;
use super::compress::{BLOCK_BYTES, Codec};

/// What a stream shrinks to before anything of it was compressed. Too high a guess only seals a small file early.
const RATIO_GUESS: f64 = 0.5;

/// Bytes of a stream's first block at which it is compressed once to see how far it shrinks: together a third of a
/// block a stream and file.
const SAMPLES_BYTES: [usize; 2] = [16 << 10, 64 << 10];

/// A stream that is being written.
#[derive(Debug)]
pub(super) struct Stream {
    codec: Codec,
    /// Not compressed yet; less than a block after [`Stream::settle`].
    open: Vec<u8>,
    /// Whole chunks.
    stored: Vec<u8>,
    /// Stored bytes of the last compressed block over its bytes. Kept from stripe to stripe.
    ratio: f64,
    samples_taken: usize,
}

impl Stream {
    pub fn new(codec: Codec) -> Self {
        let ratio = if codec == Codec::None { 1.0 } else { RATIO_GUESS };
        Self { codec, open: Vec::new(), stored: Vec::new(), ratio, samples_taken: 0 }
    }

    /// Where to append. To be followed by [`Stream::settle`] before anything else is asked of the stream.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.open
    }

    /// Compresses the blocks that are full.
    pub fn settle(&mut self) -> Result<(), EncodeError> {
        if self.codec == Codec::None {
            return Ok(());
        }
        if self.open.len() < BLOCK_BYTES {
            return self.sample();
        }
        let full = self.open.len() / BLOCK_BYTES * BLOCK_BYTES;
        let before = self.stored.len();
        self.codec.append(&self.open[..full], &mut self.stored)?;
        self.ratio = (self.stored.len() - before) as f64 / full as f64;
        self.samples_taken = SAMPLES_BYTES.len();
        self.open.drain(..full);
        // A single large value is no reason to keep room for the next one.
        self.open.shrink_to(2 * BLOCK_BYTES);
        Ok(())
    }

    fn sample(&mut self) -> Result<(), EncodeError> {
        let Some(due) = SAMPLES_BYTES.get(self.samples_taken) else { return Ok(()) };
        if self.open.len() >= *due {
            self.samples_taken += 1;
            self.ratio = self.codec.stored_bytes(&self.open)? as f64 / self.open.len() as f64;
        }
        Ok(())
    }

    /// Appends the numbers by which a row index names the present end of the stream: the bytes in front of it, or,
    /// in compressed files, those in front of its chunk and its place in the block.
    pub fn mark(&self, positions: &mut Vec<u64>) {
        if self.codec != Codec::None {
            positions.push(self.stored.len() as u64);
        }
        positions.push(self.open.len() as u64);
    }

    /// Like [`Stream::mark`], for a stream of runs: no run ever goes on across a mark.
    pub fn mark_run(&self, positions: &mut Vec<u64>) {
        self.mark(positions);
        positions.push(0);
    }

    /// The stream as it is stored. Leaves an empty one for the next stripe.
    pub fn take(&mut self) -> Result<Vec<u8>, EncodeError> {
        let open = std::mem::take(&mut self.open);
        if self.codec == Codec::None {
            return Ok(open);
        }
        let mut stored = std::mem::take(&mut self.stored);
        let before = stored.len();
        self.codec.append(&open, &mut stored)?;
        if self.samples_taken == 0 && !open.is_empty() {
            self.ratio = (stored.len() - before) as f64 / open.len() as f64;
        }
        Ok(stored)
    }

    /// How long the stream will be as stored.
    pub fn stored_bytes(&self) -> u64 {
        self.stored.len() as u64 + self.compressed(self.open.len())
    }

    /// What `bytes` more of the same would be stored in.
    pub fn compressed(&self, bytes: usize) -> u64 {
        (bytes as f64 * self.ratio) as u64
    }

    /// Memory that the stream holds, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.open.capacity() + self.stored.capacity()
    }
}

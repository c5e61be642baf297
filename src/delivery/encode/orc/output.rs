//! The finished part of a file, in pieces: nothing large is copied, and small streams do not become small pieces.

use bytes::Bytes;

/// Bytes from which on a stream is a piece of its own.
const PIECE_BYTES_MIN: usize = 128 << 10;

/// Size at which collected small streams become a piece.
const PIECE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Output {
    pieces: Vec<Bytes>,
    open: Vec<u8>,
    /// Bytes of the file so far, those that were taken included.
    length: u64,
}

impl Output {
    /// Appends `bytes` to the file.
    pub fn append(&mut self, bytes: Vec<u8>) {
        self.length += bytes.len() as u64;
        if bytes.len() >= PIECE_BYTES_MIN {
            self.close_piece();
            self.pieces.push(Bytes::from(bytes));
            return;
        }
        self.open.extend_from_slice(&bytes);
        if self.open.len() >= PIECE_BYTES_MAX {
            self.close_piece();
        }
    }

    fn close_piece(&mut self) {
        if !self.open.is_empty() {
            self.pieces.push(Bytes::from(std::mem::take(&mut self.open)));
        }
    }

    /// Bytes of the file so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Hands over the pieces that are complete. Later bytes come behind them.
    pub fn take_pieces(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.pieces)
    }

    /// Hands over all that is left.
    pub fn finish(&mut self) -> Vec<Bytes> {
        self.close_piece();
        self.take_pieces()
    }

    /// Memory that is not taken, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>() + self.open.capacity()
    }
}

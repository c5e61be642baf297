//! Bytes that grow without ever being moved.
//!
//! A vector that grows is copied over and over, into pages that the kernel has to clear first, and leaves holes behind
//! that none of the other open files has a use for. Thousands of open files that do so cost more than what they hold.

/// Room of the first piece: what a few records need.
const FIRST_BYTES: usize = 512;

/// Room of a piece at most, unless one write needs more.
const PIECE_BYTES_MAX: usize = 256 << 10;

/// A new piece has room for this part of what is there: at most about a fifth of all is room.
const GROWTH: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub struct Pieces {
    full: Vec<Vec<u8>>,
    open: Vec<u8>,
    /// Bytes in `full`, and their room.
    full_bytes: usize,
    full_room: usize,
}

impl Pieces {
    /// The piece that the next `bytes` go to, all of them. It has room for them.
    #[inline]
    pub fn open(&mut self, bytes: usize) -> &mut Vec<u8> {
        if self.open.capacity() - self.open.len() < bytes {
            self.grow(bytes);
        }
        &mut self.open
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        let room = (self.len() / GROWTH).clamp(FIRST_BYTES, PIECE_BYTES_MAX).next_power_of_two();
        self.begin(room.max(bytes));
    }

    /// Begins a piece with `room`, whatever is left in the open one.
    pub fn begin(&mut self, room: usize) {
        let open = std::mem::replace(&mut self.open, Vec::with_capacity(room));
        if !open.is_empty() {
            self.full_bytes += open.len();
            self.full_room += open.capacity();
            self.full.push(open);
        }
    }

    /// Bytes in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.full_bytes + self.open.len()
    }

    /// The last byte; 0 if there is none.
    #[inline]
    pub fn last(&self) -> u8 {
        self.open.last().copied().unwrap_or_default()
    }

    /// Bytes of memory that it holds.
    pub fn memory_bytes(&self) -> usize {
        self.full_room + self.open.capacity() + self.full.capacity() * size_of::<Vec<u8>>()
    }

    /// The pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.full.iter().chain([&self.open]).map(Vec::as_slice)
    }

    /// All of them as one, behind one another in `gathered` where they are several.
    pub fn as_slice<'a>(&'a self, gathered: &'a mut Vec<u8>) -> &'a [u8] {
        if self.full.is_empty() {
            return &self.open;
        }
        self.iter().for_each(|piece| gathered.extend_from_slice(piece));
        gathered
    }

    /// Takes out all of them, in order.
    pub fn take(&mut self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let Self { full, open, .. } = std::mem::take(self);
        full.into_iter().chain([open])
    }

    /// Forgets everything. A piece with room for no more than `room_max` stays, if it is the only one.
    pub fn clear(&mut self, room_max: usize) {
        match self.full.is_empty() && self.open.capacity() <= room_max {
            true => self.open.clear(),
            false => *self = Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_comes_out_in_order_and_is_never_moved() {
        let (mut pieces, mut expected) = (Pieces::default(), Vec::new());
        for index in 0..20_000_usize {
            let bytes = vec![index as u8; index % 300];
            let piece = pieces.open(bytes.len());
            let (begin, room) = (piece.as_ptr(), piece.capacity());
            piece.extend_from_slice(&bytes);
            assert_eq!((begin, room), (piece.as_ptr(), piece.capacity()));
            expected.extend_from_slice(&bytes);
            assert_eq!(pieces.len(), expected.len());
            let bound = 3 * FIRST_BYTES + expected.len() * 8 / 5;
            assert!(pieces.memory_bytes() < bound, "{} for {}", pieces.memory_bytes(), expected.len());
        }
        assert!(pieces.iter().collect::<Vec<_>>().concat() == expected);
        let mut gathered = Vec::new();
        assert!(pieces.as_slice(&mut gathered) == expected);
        assert!(pieces.take().collect::<Vec<_>>().concat() == expected);
        assert_eq!((pieces.len(), pieces.memory_bytes()), (0, 0));
    }

    #[test]
    fn only_a_single_piece_of_modest_size_is_kept() {
        let mut pieces = Pieces::default();
        pieces.open(10).extend_from_slice(b"0123456789");
        pieces.clear(FIRST_BYTES);
        assert_eq!((pieces.len(), pieces.memory_bytes()), (0, FIRST_BYTES));
        pieces.open(2 * FIRST_BYTES).push(0);
        pieces.clear(FIRST_BYTES);
        assert_eq!((pieces.len(), pieces.memory_bytes()), (0, 0));
    }
}

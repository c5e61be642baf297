//! Text that is paid for as it grows.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;

use super::budget::{Budget, Permit};

/// Bytes that are taken first.
const FIRST_BYTES: usize = 4 << 10;

/// See the module. Writing fails with [`io::ErrorKind::OutOfMemory`], and keeps nothing of that piece, where the budget
/// has no more.
#[derive(Debug)]
pub struct PaidText {
    bytes: Vec<u8>,
    permit: Permit,
}

impl PaidText {
    /// Empty, and to be paid for from `budget`.
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self { bytes: Vec::new(), permit: budget.take_anyway(0) }
    }

    /// Bytes of it.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes back what was written behind the first `bytes`. They stay paid for.
    pub fn cut_to(&mut self, bytes: usize) {
        self.bytes.truncate(bytes);
    }

    /// The text, paid for until the last holder of it is gone.
    pub fn into_bytes(self) -> Bytes {
        self.permit.cover(self.bytes)
    }
}

impl Write for PaidText {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let needed = self.bytes.len() + piece.len();
        if needed > self.bytes.capacity() {
            let wished = needed.max(2 * self.bytes.capacity()).max(FIRST_BYTES);
            let can_pay = |permit: &mut Permit, capacity: usize| {
                permit.try_grow((capacity as u64).saturating_sub(permit.bytes()))
            };
            let capacity = match can_pay(&mut self.permit, wished) {
                true => wished,
                false if can_pay(&mut self.permit, needed) => needed,
                false => return Err(io::ErrorKind::OutOfMemory.into()),
            };
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_paid_for_until_it_is_gone_and_no_more_is_kept_than_that() {
        let budget = Budget::new(10_000);
        let mut text = PaidText::new(&budget);
        assert!(text.is_empty() && budget.used() == 0);
        text.write_all(&[b'a'; 4_096]).unwrap();
        assert_eq!(budget.used(), 4_096);
        text.write_all(b"b").unwrap();
        assert_eq!(budget.used(), 8_192);
        // Not twice as much any more, but as much as there is.
        text.write_all(&[b'c'; 5_903]).unwrap();
        assert_eq!((text.len(), budget.used()), (10_000, 10_000));
        assert_eq!(text.write_all(b"d").unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        text.cut_to(4_097);
        text.write_all(b"d").unwrap();
        let bytes = text.into_bytes();
        assert!(bytes.ends_with(b"abd") && budget.used() == 10_000);
        drop(bytes);
        assert_eq!(budget.used(), 0);
    }
}

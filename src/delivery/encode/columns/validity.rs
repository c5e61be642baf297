//! Which values are there, as Arrow's bitmap.

use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};

/// A vector of bits, the least significant bit of each byte first.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    fn ones(len: usize) -> Self {
        Self { bytes: vec![u8::MAX; len.div_ceil(8)], len }
    }

    #[inline]
    pub(super) fn push(&mut self, bit: bool) {
        let mask = 1 << (self.len % 8);
        match self.bytes.last_mut() {
            Some(last) if mask != 1 => *last = if bit { *last | mask } else { *last & !mask },
            _ => self.bytes.push(u8::from(bit)),
        }
        self.len += 1;
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.len = len.min(self.len);
        self.bytes.truncate(self.len.div_ceil(8));
    }

    /// The bit at `index`; false if there is none.
    #[inline]
    pub(super) fn get(&self, index: usize) -> bool {
        self.bytes.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    fn zeros_from(&self, start: usize) -> usize {
        (start..self.len).filter(|index| self.bytes[index / 8] & (1 << (index % 8)) == 0).count()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn finish(&mut self) -> BooleanBuffer {
        let Bits { bytes, len } = std::mem::take(self);
        BooleanBuffer::new(Buffer::from_vec(bytes), 0, len)
    }
}

/// A column's validity. Costs nothing but a counter until the first null.
#[derive(Debug, Default)]
pub(super) struct Validity {
    /// Empty as long as there is no null.
    bits: Bits,
    len: usize,
    nulls: usize,
}

impl Validity {
    #[inline]
    pub(super) fn push_valid(&mut self) {
        if self.nulls > 0 {
            self.bits.push(true);
        }
        self.len += 1;
    }

    pub(super) fn push_null(&mut self) {
        if self.nulls == 0 {
            self.bits = Bits::ones(self.len);
        }
        self.bits.push(false);
        self.nulls += 1;
        self.len += 1;
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.len = len.min(self.len);
        if self.nulls > 0 {
            self.nulls -= self.bits.zeros_from(self.len);
            self.bits.truncate(self.len);
            if self.nulls == 0 {
                self.bits = Bits::default();
            }
        }
    }

    #[inline]
    pub(super) fn is_null(&self, index: usize) -> bool {
        self.nulls > 0 && !self.bits.get(index)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bits.memory_bytes()
    }

    pub(super) fn finish(&mut self) -> Option<NullBuffer> {
        let Validity { mut bits, nulls, .. } = std::mem::take(self);
        (nulls > 0).then(|| NullBuffer::new(bits.finish()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bitmap_that_is_cut_back_is_as_if_the_rest_had_never_been(
            steps in prop::collection::vec((prop::collection::vec(prop::bool::weighted(0.9), 0..20), 0_usize..20), 0..12),
        ) {
            let mut validity = Validity::default();
            let mut model: Vec<bool> = Vec::new();
            for (pushed, kept) in steps {
                let len = model.len() + kept.min(pushed.len());
                for valid in pushed {
                    if valid { validity.push_valid() } else { validity.push_null() }
                    model.push(valid);
                }
                validity.truncate(len);
                model.truncate(len);
                prop_assert_eq!(validity.len, model.len());
            }
            let has_nulls = model.contains(&false);
            let expected = has_nulls.then(|| NullBuffer::from(model));
            prop_assert_eq!(validity.finish(), expected);
            prop_assert_eq!(validity.len, 0);
        }
    }
}

//! Values as bytes, for rows that wait until there are enough of them for builders. Nothing outside this process ever
//! sees them.
//!
//! | value | bytes |
//! | --- | --- |
//! | null | 0 |
//! | of fixed width | 1, the value with its lowest byte first |
//! | text, bytes, list, map | length + 1 (LEB128), the text or what is in it |
//! | struct | 1, its fields |

/// What was written, to be read from its beginning. `None` stands for bytes that nobody has written so, which would be a
/// defect here.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowBytes<'a>(&'a [u8]);

impl<'a> RowBytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// Whether a value is there, for those that have no length.
    #[inline]
    pub(super) fn presence(&mut self) -> Option<bool> {
        Some(self.byte()? != 0)
    }

    /// The length of a value; the inner `None` is null.
    #[inline]
    pub(super) fn length(&mut self) -> Option<Option<usize>> {
        let byte = self.byte()?;
        if byte < 0x80 {
            return Some(usize::from(byte).checked_sub(1));
        }
        let (mut value, mut shift) = (usize::from(byte & 0x7f), 7);
        loop {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value.checked_sub(1));
            }
            shift += 7;
        }
    }
}

#[inline]
pub(super) fn write_null(bytes: &mut Vec<u8>) {
    bytes.push(0);
}

#[inline]
pub(super) fn write_presence(bytes: &mut Vec<u8>) {
    bytes.push(1);
}

#[inline]
pub(super) fn write_length(length: usize, bytes: &mut Vec<u8>) {
    let mut value = length + 1;
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A value of fixed width.
pub(super) trait Fixed: Copy {
    /// Writes it, and that it is there.
    fn write(self, bytes: &mut Vec<u8>);

    /// Reads what [`Fixed::write`] has written; the inner `None` is null.
    fn read(bytes: &mut RowBytes<'_>) -> Option<Option<Self>>;
}

macro_rules! fixed {
    ($($native:ty)*) => {$(
        impl Fixed for $native {
            #[inline]
            fn write(self, bytes: &mut Vec<u8>) {
                let mut value = [1; 1 + size_of::<$native>()];
                value[1..].copy_from_slice(&self.to_le_bytes());
                bytes.extend_from_slice(&value);
            }

            #[inline]
            fn read(bytes: &mut RowBytes<'_>) -> Option<Option<Self>> {
                if !bytes.presence()? {
                    return Some(None);
                }
                let value = bytes.take(size_of::<$native>())?;
                Some(Some(Self::from_le_bytes(value.try_into().ok()?)))
            }
        }
    )*};
}

fixed!(i8 i16 i32 i64 i128 u8 u16 u32 u64 f32 f64);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_length_comes_back(lengths in prop::collection::vec(prop::option::of(0..usize::MAX), 0..20)) {
            let mut bytes = Vec::new();
            for length in &lengths {
                match length {
                    Some(length) => write_length(*length, &mut bytes),
                    None => write_null(&mut bytes),
                }
            }
            let mut read = RowBytes::new(&bytes);
            for length in lengths {
                prop_assert_eq!(read.length(), Some(length));
            }
            prop_assert!(read.is_empty());
            prop_assert_eq!(read.length(), None);
        }
    }
}

//! Byte runs and integer runs of version 2 (orc.apache.org/specification/ORCv1, "Run Length Encoding").

use super::NotRead;
use super::message::{take, take_varint};

/// The first `count` bytes of byte runs.
pub(super) fn bytes(mut stored: &[u8], count: usize) -> Result<Vec<u8>, NotRead> {
    let mut values = Vec::new();
    while values.len() < count {
        let header = usize::from(take(&mut stored, 1)?[0]);
        if header < 128 {
            let value = take(&mut stored, 1)?[0];
            values.resize(values.len() + header + 3, value);
        } else {
            values.extend_from_slice(take(&mut stored, 256 - header)?);
        }
    }
    values.truncate(count);
    Ok(values)
}

/// The first `count` booleans, the first in the highest bit.
pub(super) fn booleans(stored: &[u8], count: usize) -> Result<Vec<bool>, NotRead> {
    let bytes = bytes(stored, count.div_ceil(8))?;
    let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
    Ok(bits.take(count).collect())
}

/// The first `count` integers.
pub(super) fn integers(stored: &[u8], is_signed: bool, count: usize) -> Result<Vec<i64>, NotRead> {
    let mut runs = Runs { stored, is_signed, values: Vec::new() };
    while runs.values.len() < count {
        match runs.stored.first().ok_or(NotRead::Short)? >> 6 {
            0 => runs.short_repeat()?,
            1 => runs.direct()?,
            2 => runs.patched()?,
            _ => runs.delta()?,
        }
    }
    runs.values.truncate(count);
    Ok(runs.values)
}

struct Runs<'a> {
    stored: &'a [u8],
    is_signed: bool,
    values: Vec<i64>,
}

impl Runs<'_> {
    fn value(&self, stored: u64) -> i64 {
        if self.is_signed { unzigzag(stored) } else { stored.cast_signed() }
    }

    /// The width's code and the number of values.
    fn header(&mut self) -> Result<(u8, usize), NotRead> {
        let header = big_endian(take(&mut self.stored, 2)?);
        Ok(((header >> 9 & 31) as u8, (header & 511) as usize + 1))
    }

    fn packed(&mut self, count: usize, width: u32) -> Result<Vec<u64>, NotRead> {
        let bytes = take(&mut self.stored, (count * width as usize).div_ceil(8))?;
        let (mut held, mut bits) = (0_u128, 0);
        let mut values = Vec::with_capacity(count);
        for byte in bytes {
            held = held << 8 | u128::from(*byte);
            bits += 8;
            while bits >= width && values.len() < count {
                bits -= width;
                values.push((held >> bits) as u64 & (u64::MAX >> (64 - width)));
            }
        }
        Ok(values)
    }

    fn short_repeat(&mut self) -> Result<(), NotRead> {
        let header = take(&mut self.stored, 1)?[0];
        let stored = big_endian(take(&mut self.stored, usize::from(header >> 3 & 7) + 1)?);
        let value = self.value(stored);
        self.values.resize(self.values.len() + usize::from(header & 7) + 3, value);
        Ok(())
    }

    fn direct(&mut self) -> Result<(), NotRead> {
        let (code, count) = self.header()?;
        let packed = self.packed(count, width(code))?;
        let is_signed = self.is_signed;
        self.values.extend(
            packed.iter().map(|stored| if is_signed { unzigzag(*stored) } else { stored.cast_signed() }),
        );
        Ok(())
    }

    /// The smallest value (its sign in the highest bit), what the others are above it, and upper bits for a few.
    fn patched(&mut self) -> Result<(), NotRead> {
        let (code, count) = self.header()?;
        let &[third, fourth] = take(&mut self.stored, 2)? else { return Err(NotRead::Short) };
        let (patch_width, gap_width) = (width(third & 31), u32::from(fourth >> 5) + 1);
        let base_bytes = u32::from(third >> 5) + 1;
        let base = big_endian(take(&mut self.stored, base_bytes as usize)?);
        let sign = 1_u64 << (base_bytes * 8 - 1);
        let magnitude = (base & !sign).cast_signed();
        let base = if base & sign == 0 { magnitude } else { -magnitude };
        let data_width = width(code);
        let mut values = self.packed(count, data_width)?;
        if gap_width + patch_width > 64 {
            return Err(NotRead::Malformed("a run with patches"));
        }
        let mut place = 0;
        for entry in self.packed(usize::from(fourth & 31), coded_width(gap_width + patch_width))? {
            // A patch width of 64 leaves no bit for the distance, so it is below 64 here.
            place += (entry >> patch_width) as usize;
            let patch = entry & ((1 << patch_width) - 1);
            let value = values.get_mut(place).ok_or(NotRead::Malformed("a run with patches"))?;
            *value |= patch.checked_shl(data_width).unwrap_or_default();
        }
        self.values.extend(values.iter().map(|value| base.wrapping_add(value.cast_signed())));
        Ok(())
    }

    fn delta(&mut self) -> Result<(), NotRead> {
        let (code, count) = self.header()?;
        let stored = take_varint(&mut self.stored)?;
        let mut value = self.value(stored);
        let first = unzigzag(take_varint(&mut self.stored)?);
        let others = count.saturating_sub(2);
        let deltas =
            if code == 0 { vec![first.unsigned_abs(); others] } else { self.packed(others, width(code))? };
        self.values.push(value);
        for delta in std::iter::once(first.unsigned_abs()).chain(deltas).take(count - 1) {
            let delta = delta.cast_signed();
            value = if first < 0 { value.wrapping_sub(delta) } else { value.wrapping_add(delta) };
            self.values.push(value);
        }
        Ok(())
    }
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Bits that a code stands for.
fn width(code: u8) -> u32 {
    match code {
        ..=23 => u32::from(code) + 1,
        24..=26 => 26 + (u32::from(code) - 24) * 2,
        27 => 32,
        _ => 40 + (u32::from(code) - 28) * 8,
    }
}

/// The next width that has a code.
fn coded_width(bits: u32) -> u32 {
    match bits {
        ..=24 => bits,
        25..=32 => bits.next_multiple_of(2),
        _ => bits.next_multiple_of(8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_those_of_the_specification() {
        assert_eq!(bytes(&[0x61, 0x00], 100).unwrap(), [0; 100]);
        assert_eq!(bytes(&[0xfe, 0x44, 0x45], 2).unwrap(), [0x44, 0x45]);
        assert_eq!(booleans(&[0xff, 0x80], 8).unwrap()[..2], [true, false]);
        assert_eq!(integers(&[0x0a, 0x27, 0x10], false, 5).unwrap(), [10_000; 5]);
        let direct = [0x5e, 0x03, 0x5c, 0xa1, 0xab, 0x1e, 0xde, 0xad, 0xbe, 0xef];
        assert_eq!(integers(&direct, false, 4).unwrap(), [23_713, 43_806, 57_005, 48_879]);
        let delta = [0xc6, 0x09, 0x02, 0x02, 0x22, 0x42, 0x42, 0x46];
        assert_eq!(integers(&delta, false, 10).unwrap(), [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        let mut patched = vec![0x8e, 0x13, 0x2b, 0x21, 0x07, 0xd0, 0x1e, 0x00, 0x14, 0x70, 0x28, 0x32];
        patched.extend([0x3c, 0x46, 0x50, 0x5a, 0x64, 0x6e, 0x78, 0x82, 0x8c, 0x96, 0xa0, 0xaa, 0xb4, 0xbe]);
        patched.extend([0xfc, 0xe8]);
        let mut expected = vec![2_030, 2_000, 2_020, 1_000_000];
        expected.extend((0..16).map(|index| 2_040 + index * 10));
        assert_eq!(integers(&patched, false, 20).unwrap(), expected);
    }

    #[test]
    fn runs_that_end_too_early_are_noticed() {
        assert!(bytes(&[0x61], 1).is_err());
        assert!(integers(&[0x0a, 0x27], false, 5).is_err());
        assert!(integers(&[0x0a, 0x27, 0x10], false, 6).is_err());
        assert!(integers(&[0xc6, 0x09, 0x02], false, 10).is_err());
    }
}

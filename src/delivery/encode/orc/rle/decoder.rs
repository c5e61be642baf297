//! Reads what the encoders of this folder write, straight from the specification, for their tests.

/// The bytes of byte runs.
pub(super) fn bytes(mut stored: &[u8]) -> Vec<u8> {
    let mut values = Vec::new();
    while let Some((header, rest)) = stored.split_first() {
        if *header < 128 {
            values.extend(std::iter::repeat_n(rest[0], usize::from(*header) + 3));
            stored = &rest[1..];
        } else {
            let (literals, rest) = rest.split_at(256 - usize::from(*header));
            values.extend_from_slice(literals);
            stored = rest;
        }
    }
    values
}

/// The integers of runs of version 2.
pub(super) fn integers(stored: &[u8], is_signed: bool) -> Vec<i64> {
    let mut input = Input { stored, is_signed };
    let mut values = Vec::new();
    while !input.stored.is_empty() {
        match input.stored[0] >> 6 {
            0 => input.short_repeat(&mut values),
            1 => input.direct(&mut values),
            2 => input.patched(&mut values),
            _ => input.delta(&mut values),
        }
    }
    values
}

struct Input<'a> {
    stored: &'a [u8],
    is_signed: bool,
}

impl Input<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.stored.split_at(count);
        self.stored = rest;
        taken
    }

    fn big_endian(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn varint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.take(1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn packed(&mut self, count: usize, width: u32) -> Vec<u64> {
        let bytes = self.take((count * width as usize).div_ceil(8));
        let bit = |index: usize| u64::from(bytes[index / 8] >> (7 - index % 8) & 1);
        let width = width as usize;
        let value = |index: usize| (0..width).fold(0, |value, place| value << 1 | bit(index * width + place));
        (0..count).map(value).collect()
    }

    fn unzigzag(value: u64) -> i64 {
        (value >> 1) as i64 ^ -((value & 1) as i64)
    }

    fn value(&self, stored: u64) -> i64 {
        if self.is_signed { Self::unzigzag(stored) } else { stored as i64 }
    }

    fn header(&mut self) -> (u8, usize) {
        let header = self.big_endian(2);
        ((header >> 9 & 31) as u8, (header & 511) as usize + 1)
    }

    fn short_repeat(&mut self, values: &mut Vec<i64>) {
        let header = self.take(1)[0];
        let stored = self.big_endian(usize::from(header >> 3 & 7) + 1);
        values.extend(std::iter::repeat_n(self.value(stored), usize::from(header & 7) + 3));
    }

    fn direct(&mut self, values: &mut Vec<i64>) {
        let (code, count) = self.header();
        let packed = self.packed(count, width(code));
        values.extend(packed.iter().map(|stored| self.value(*stored)));
    }

    fn patched(&mut self, values: &mut Vec<i64>) {
        let (code, count) = self.header();
        let [third, fourth] = *self.take(2) else { unreachable!() };
        let (base_bytes, patch_width) = (usize::from(third >> 5) + 1, width(third & 31));
        let (gap_width, patches) = (u32::from(fourth >> 5) + 1, usize::from(fourth & 31));
        assert!(patches > 0 && gap_width + patch_width <= 64);
        let base = self.big_endian(base_bytes);
        let sign = 1 << (base_bytes * 8 - 1);
        let base = if base & sign == 0 { base as i64 } else { -((base & !sign) as i64) };
        let data_width = width(code);
        let mut data = self.packed(count, data_width);
        let list_width = match gap_width + patch_width {
            width @ ..=24 => width,
            width @ 25..=32 => width.next_multiple_of(2),
            width => width.next_multiple_of(8),
        };
        let mut place = 0;
        for entry in self.packed(patches, list_width) {
            place += (entry >> patch_width) as usize;
            data[place] |= (entry & (u64::MAX >> (64 - patch_width))).wrapping_shl(data_width);
        }
        values.extend(data.iter().map(|value| base + *value as i64));
    }

    fn delta(&mut self, values: &mut Vec<i64>) {
        let (code, count) = self.header();
        let stored = self.varint();
        let mut value = self.value(stored);
        let first = Self::unzigzag(self.varint());
        values.push(value);
        let deltas = if code == 0 {
            vec![first.unsigned_abs(); count - 2]
        } else {
            self.packed(count - 2, width(code))
        };
        for delta in std::iter::once(first.unsigned_abs()).chain(deltas) {
            value = if first < 0 { value - delta as i64 } else { value + delta as i64 };
            values.push(value);
        }
    }
}

fn width(code: u8) -> u32 {
    match code {
        ..=23 => u32::from(code) + 1,
        24..=26 => 26 + (u32::from(code) - 24) * 2,
        27 => 32,
        _ => 40 + (u32::from(code) - 28) * 8,
    }
}

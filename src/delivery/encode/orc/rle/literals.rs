//! One run of up to 512 values that do not just repeat: direct, delta or patched base, whichever is smallest.

use super::super::protobuf::{put_varint, zigzag};
use super::integers::{Form, RUN_MAX, Sign, put_header};
use super::packing::{bits_of, pack, packed_width, width_code};
use super::patched::Patched;

/// Appends `values`, 1 to [`RUN_MAX`] of them, as one run.
pub(super) fn put(values: &[i64], sign: Sign, out: &mut Vec<u8>) {
    let widest = values.iter().fold(0, |all, value| all | sign.stored(*value));
    let width = packed_width(bits_of(widest));
    let direct_bytes = packed_bytes(values.len(), width);
    if let Some(delta) = Delta::of(values, sign)
        && delta.bytes < direct_bytes
    {
        delta.put(values, sign, out);
        return;
    }
    if let Some(patched) = Patched::of(values, width)
        && patched.bytes() < direct_bytes
    {
        patched.put(values, out);
        return;
    }
    put_header(Form::Direct, width_code(width), values.len(), out);
    pack_with(values, |value| sign.stored(value), width, out);
}

/// Bytes of `count` values of `width` bits.
pub(super) fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Appends what `stored` makes of each value, in `width` bits.
pub(super) fn pack_with(values: &[i64], stored: impl Fn(i64) -> u64, width: u32, out: &mut Vec<u8>) {
    let mut bits = [0; RUN_MAX];
    for (bits, value) in bits.iter_mut().zip(values) {
        *bits = stored(*value);
    }
    pack(&bits[..values.len()], width, out);
}

/// How a run would be stored as its first value and differences.
struct Delta {
    first: i64,
    /// None where all differences are the first one.
    width: Option<u32>,
    bytes: usize,
}

impl Delta {
    /// None if the values do not only rise or only fall. The first difference must not be zero, because its sign
    /// says which of the two it is.
    fn of(values: &[i64], sign: Sign) -> Option<Self> {
        let [start, second, ..] = values else { return None };
        let first = second.checked_sub(*start).filter(|first| *first != 0)?;
        let mut widest = 0;
        let mut is_fixed = true;
        for pair in values[1..].windows(2) {
            let delta = pair[1].checked_sub(pair[0])?;
            if delta != 0 && (delta > 0) != (first > 0) {
                return None;
            }
            is_fixed &= delta == first;
            widest |= delta.unsigned_abs();
        }
        // One bit has no code here: its code means that all differences are the first one.
        let width = (!is_fixed).then(|| packed_width(bits_of(widest)).max(2));
        let varint = |stored: u64| (bits_of(stored).max(1)).div_ceil(7) as usize;
        let packed = width.map_or(0, |width| packed_bytes(values.len() - 2, width));
        Some(Self { first, width, bytes: varint(sign.stored(*start)) + varint(zigzag(first)) + packed })
    }

    fn put(&self, values: &[i64], sign: Sign, out: &mut Vec<u8>) {
        put_header(Form::Delta, self.width.map_or(0, width_code), values.len(), out);
        put_varint(out, sign.stored(values[0]));
        put_varint(out, zigzag(self.first));
        if let Some(width) = self.width {
            let mut before = values[1];
            let mut bits = [0; RUN_MAX];
            for (bits, value) in bits.iter_mut().zip(&values[2..]) {
                *bits = value.abs_diff(before);
                before = *value;
            }
            pack(&bits[..values.len() - 2], width, out);
        }
    }
}

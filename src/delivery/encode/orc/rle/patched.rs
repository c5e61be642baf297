//! A run whose values are close together but for a few.
//!
//! The smallest value is taken off all of them. What is left is packed in a width that suits at least 19 of 20; the
//! upper bits of the others follow in a list of patches, each with its distance from the one before.
//!
//! Behind the two bytes that all runs begin with come: bytes of the base less one (3 bits) and the code of the
//! patches' width (5); bits of the distances less one (3) and the number of patches (5); the base, its sign in the
//! highest bit; the packed values; the packed patches.

use super::integers::{Form, put_header};
use super::literals::{pack_with, packed_bytes};
use super::packing::{bits_of, coded_width, pack_any, packed_width, width_code};

/// Patches of one run: their number has five bits.
const PATCHES_MAX: usize = 31;

/// A distance has up to eight bits. A longer way is a patch of zero at this distance, and another patch behind it.
const GAP_MAX: usize = 255;

/// Below that width there is nothing to gain.
const WIDTH_MIN: u32 = 4;

/// The base has its sign in the highest of at most eight bytes; this keeps clear of the last corner.
const BASE_BITS_MAX: u32 = 56;

/// How a run would be stored with patches.
pub(super) struct Patched {
    base: i64,
    base_bytes: usize,
    width: u32,
    patch_width: u32,
    gap_width: u32,
    /// Distance and upper bits of each.
    patches: Vec<(usize, u64)>,
    data_bytes: usize,
}

impl Patched {
    /// None if patches do not help or do not fit. `direct_width` is the width that all values fit in.
    pub fn of(values: &[i64], direct_width: u32) -> Option<Self> {
        if direct_width <= WIDTH_MIN {
            return None;
        }
        let base = *values.iter().min()?;
        // The range must be a signed number for the readers.
        let range = values.iter().max()?.checked_sub(base)?.cast_unsigned();
        let width = packed_width(width_of_most(values, base));
        if width >= packed_width(bits_of(range))
            || width >= direct_width
            || bits_of(base.unsigned_abs()) >= BASE_BITS_MAX
        {
            return None;
        }
        let patches = patches(values, base, width)?;
        let gap = patches.iter().map(|(gap, _)| *gap).max()?;
        let gap_width = bits_of(gap as u64).max(1);
        let patch_width = coded_width(bits_of(range) - width);
        if gap_width + patch_width > 64 {
            return None;
        }
        let base_bytes = (bits_of(base.unsigned_abs()) as usize + 1).div_ceil(8);
        let data_bytes = packed_bytes(values.len(), width);
        Some(Self { base, base_bytes, width, patch_width, gap_width, patches, data_bytes })
    }

    /// Bytes of the run, without the two that all runs begin with.
    pub fn bytes(&self) -> usize {
        2 + self.base_bytes + self.data_bytes + packed_bytes(self.patches.len(), self.patch_list_width())
    }

    pub fn put(&self, values: &[i64], out: &mut Vec<u8>) {
        put_header(Form::PatchedBase, width_code(self.width), values.len(), out);
        out.push(((self.base_bytes - 1) << 5) as u8 | width_code(self.patch_width));
        out.push(((self.gap_width - 1) << 5) as u8 | self.patches.len() as u8);
        let sign = u64::from(self.base < 0) << (self.base_bytes * 8 - 1);
        let base = self.base.unsigned_abs() | sign;
        out.extend_from_slice(&base.to_be_bytes()[8 - self.base_bytes..]);
        let mask = u64::MAX >> (64 - self.width);
        pack_with(values, |value| value.abs_diff(self.base) & mask, self.width, out);
        let list: Vec<u64> =
            self.patches.iter().map(|(gap, patch)| (*gap as u64) << self.patch_width | patch).collect();
        pack_any(&list, self.patch_list_width(), out);
    }

    fn patch_list_width(&self) -> u32 {
        coded_width(self.gap_width + self.patch_width)
    }
}

/// The bits that at least 19 of 20 values need above `base`.
fn width_of_most(values: &[i64], base: i64) -> u32 {
    let mut counts = [0_usize; 65];
    for value in values {
        counts[bits_of(value.abs_diff(base)) as usize] += 1;
    }
    let mut wider = values.len() / 20;
    let mut width = 64;
    while width > 0 && counts[width] <= wider {
        wider -= counts[width];
        width -= 1;
    }
    width as u32
}

/// None if there are too many.
fn patches(values: &[i64], base: i64, width: u32) -> Option<Vec<(usize, u64)>> {
    let mut patches = Vec::new();
    let mut before = 0;
    for (index, value) in values.iter().enumerate() {
        let patch = value.abs_diff(base) >> width;
        if patch == 0 {
            continue;
        }
        while index - before > GAP_MAX {
            patches.push((GAP_MAX, 0));
            before += GAP_MAX;
        }
        patches.push((index - before, patch));
        before = index;
    }
    (patches.len() <= PATCHES_MAX).then_some(patches)
}

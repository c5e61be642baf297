//! Numbers of a fixed width, side by side, highest bit first.

/// Widths that are packed: those below a byte divide it, the others are whole bytes. The specification calls the
/// others that exist deprecated.
const WIDTHS: [u32; 11] = [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64];

/// Bits that `value` needs; none for 0.
pub(super) fn bits_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// The narrowest width that packs values of `bits` bits.
pub(super) fn packed_width(bits: u32) -> u32 {
    match bits {
        0..=1 => 1,
        2 => 2,
        3..=4 => 4,
        _ => bits.div_ceil(8) * 8,
    }
}

/// The code of a width in the headers of runs. Any width has one up to 24; above only some do.
pub(super) fn width_code(width: u32) -> u8 {
    match width {
        ..=24 => width.saturating_sub(1) as u8,
        25..=26 => 24,
        27..=28 => 25,
        29..=30 => 26,
        31..=32 => 27,
        33..=40 => 28,
        41..=48 => 29,
        49..=56 => 30,
        _ => 31,
    }
}

/// The narrowest width with a code that holds `bits` bits.
pub(super) fn coded_width(bits: u32) -> u32 {
    match bits {
        0..=1 => 1,
        2..=24 => bits,
        25..=32 => bits.next_multiple_of(2),
        _ => bits.next_multiple_of(8),
    }
}

/// Appends `values`, each in `width` bits, which must be one of [`WIDTHS`]. The last byte is filled with zeros.
pub(super) fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    debug_assert!(WIDTHS.contains(&width), "{width} bits are not packed");
    match width {
        1 => pack_bits::<1>(values, out),
        2 => pack_bits::<2>(values, out),
        4 => pack_bits::<4>(values, out),
        8 => out.extend(values.iter().map(|value| *value as u8)),
        16 => pack_bytes::<2>(values, out),
        24 => pack_bytes::<3>(values, out),
        32 => pack_bytes::<4>(values, out),
        40 => pack_bytes::<5>(values, out),
        48 => pack_bytes::<6>(values, out),
        56 => pack_bytes::<7>(values, out),
        _ => pack_bytes::<8>(values, out),
    }
}

fn pack_bits<const WIDTH: usize>(values: &[u64], out: &mut Vec<u8>) {
    let byte = |values: &[u64]| {
        let packed = values.iter().fold(0, |packed, value| packed << WIDTH | *value as u8);
        // Missing values of the last byte are zeros.
        packed << (8 - WIDTH * values.len())
    };
    out.extend(values.chunks(8 / WIDTH).map(byte));
}

fn pack_bytes<const BYTES: usize>(values: &[u64], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + values.len() * BYTES, 0);
    for (place, value) in out[start..].chunks_exact_mut(BYTES).zip(values) {
        place.copy_from_slice(&value.to_be_bytes()[8 - BYTES..]);
    }
}

/// Appends `values`, each in `width` bits of whatever number. For a few values.
pub(super) fn pack_any(values: &[u64], width: u32, out: &mut Vec<u8>) {
    let (mut byte, mut free) = (0_u8, 8);
    for value in values {
        for bit in (0..width).rev() {
            free -= 1;
            byte |= ((value >> bit & 1) as u8) << free;
            if free == 0 {
                out.push(byte);
                (byte, free) = (0, 8);
            }
        }
    }
    if free < 8 {
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_packers_agree() {
        for width in WIDTHS {
            for count in [0, 1, 2, 3, 7, 8, 9, 64] {
                let mask = u64::MAX >> (64 - width);
                let value = |index: u64| (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask;
                let values: Vec<u64> = (0..count).map(value).collect();
                let (mut fast, mut any) = (Vec::new(), Vec::new());
                pack(&values, width, &mut fast);
                pack_any(&values, width, &mut any);
                assert_eq!(fast, any, "{count} values of {width} bits");
            }
        }
    }

    #[test]
    fn every_width_fits_what_it_is_for() {
        for bits in 1..=64 {
            assert!(packed_width(bits) >= bits && WIDTHS.contains(&packed_width(bits)));
            assert!(coded_width(bits) >= bits && coded_width(bits) <= packed_width(bits).max(bits + 7));
            assert_eq!(width_code(coded_width(bits)), width_code(bits));
        }
        // From the specification's table.
        let codes = [
            (1, 0),
            (2, 1),
            (4, 3),
            (8, 7),
            (16, 15),
            (24, 23),
            (32, 27),
            (40, 28),
            (48, 29),
            (56, 30),
            (64, 31),
        ];
        for (width, code) in codes {
            assert_eq!(width_code(width), code);
        }
    }
}

//! Integer runs, version 2: up to 512 values each, in whichever of four forms is smallest.
//!
//! | form | first two bits | for |
//! |---|---|---|
//! | short repeat | 0 | one value 3 to 10 times |
//! | direct | 1 | values of about the same width ([`super::literals`]) |
//! | patched base | 2 | the same, with a few that are much wider ([`super::patched`]) |
//! | delta | 3 | values that only rise or only fall, and one value more than 10 times |

use super::super::protobuf::{put_varint, zigzag};
use super::literals;
use super::packing::{bits_of, packed_width};

/// Values of one run.
pub(in super::super) const RUN_MAX: usize = 512;

const REPEAT_MIN: usize = 3;
/// The longest short repeat; longer ones are deltas of zero.
const SHORT_REPEAT_MAX: usize = 10;

/// Cutting a repetition out of a literal run costs about its own header and value, and the header of the run that
/// goes on behind it: six bytes.
const CUT_BITS: usize = 48;

/// Whether negative values may come: those streams are zigzag encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Sign {
    Signed,
    Unsigned,
}

impl Sign {
    /// The bits that are stored for `value`.
    pub(super) fn stored(self, value: i64) -> u64 {
        match self {
            Sign::Signed => zigzag(value),
            Sign::Unsigned => value as u64,
        }
    }
}

/// Appends `values` in runs to `out`. Those of an unsigned stream must not be negative.
pub(in super::super) fn put(mut values: &[i64], sign: Sign, out: &mut Vec<u8>) {
    while !values.is_empty() {
        let window = &values[..values.len().min(RUN_MAX)];
        let widest = window.iter().fold(0, |all, value| all | sign.stored(*value));
        let worth_cutting = (CUT_BITS / packed_width(bits_of(widest)) as usize + 1).max(5);
        let repeated = repetition(window);
        let taken = if repeated >= worth_cutting || (repeated == window.len() && repeated >= REPEAT_MIN) {
            put_repeat(window[0], repeated, sign, out);
            repeated
        } else {
            let end = literals_end(window, repeated, worth_cutting);
            literals::put(&window[..end], sign, out);
            end
        };
        values = &values[taken..];
    }
}

/// Appends `count` times `value`.
pub(in super::super) fn put_repeated(value: i64, mut count: usize, sign: Sign, out: &mut Vec<u8>) {
    while count > 0 {
        let run = count.min(RUN_MAX);
        match run {
            1 | 2 => literals::put(&[value; 2][..run], sign, out),
            _ => put_repeat(value, run, sign, out),
        }
        count -= run;
    }
}

/// How often the first value comes before another one does.
fn repetition(values: &[i64]) -> usize {
    values.iter().take_while(|value| **value == values[0]).count()
}

/// Where the first repetition of at least `worth_cutting` values begins, looked for behind the first `from`.
fn literals_end(values: &[i64], from: usize, worth_cutting: usize) -> usize {
    let mut start = from;
    while values.len() - start >= worth_cutting {
        // If the last of the values is another one than the one in front of it, no repetition reaches over it.
        let candidate = &values[start..start + worth_cutting];
        match candidate.windows(2).rposition(|pair| pair[0] != pair[1]) {
            None => return start,
            Some(last_change) => start += last_change + 1,
        }
    }
    values.len()
}

fn put_repeat(value: i64, count: usize, sign: Sign, out: &mut Vec<u8>) {
    if count > SHORT_REPEAT_MAX {
        put_header(Form::Delta, 0, count, out);
        put_varint(out, sign.stored(value));
        put_varint(out, 0);
        return;
    }
    let stored = sign.stored(value);
    let width = bits_of(stored).div_ceil(8).max(1) as usize;
    out.push(((width - 1) << 3 | (count - REPEAT_MIN)) as u8);
    out.extend_from_slice(&stored.to_be_bytes()[8 - width..]);
}

/// The forms whose header has a width and a count.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Direct = 1,
    PatchedBase = 2,
    Delta = 3,
}

/// Two bytes: the form (2 bits), the code of the width (5) and the number of values less one (9).
pub(super) fn put_header(form: Form, width_code: u8, count: usize, out: &mut Vec<u8>) {
    let header = (form as u16) << 14 | u16::from(width_code) << 9 | (count - 1) as u16;
    out.extend_from_slice(&header.to_be_bytes());
}

#[cfg(test)]
mod tests;

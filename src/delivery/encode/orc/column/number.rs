//! `decimal` and `timestamp with local time zone`: two streams each.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt64Type,
};

use super::super::super::EncodeError;
use super::super::OrcError;
use super::super::compress::Codec;
use super::super::protobuf::put_varint;
use super::super::rle::integers::{self, Sign};
use super::super::statistics::{Detail, decimal_text};
use super::super::stream::Stream;
use super::super::stripe::{ColumnEncoding, StreamKind};
use super::block::{BLOCK, Rows};
use super::{Finished, Seen, Values};

/// `decimal`: the digits as varints without end, and the scale of each value, which here is always the column's.
#[derive(Debug)]
pub(super) struct Decimals {
    data: Stream,
    scales: Stream,
    scale: u8,
    positions: Vec<u64>,
}

impl Decimals {
    pub fn new(codec: Codec, scale: u8) -> Self {
        Self { data: Stream::new(codec), scales: Stream::new(codec), scale, positions: Vec::new() }
    }

    fn put(&mut self, values: &[i128], seen: &mut Seen) {
        let out = self.data.out();
        for value in values {
            put_wide_varint(out, *value);
        }
        if let Detail::Decimal { numbers, .. } = &mut seen.statistics.detail {
            values.iter().for_each(|value| numbers.add(*value));
        }
        if let Some(bloom) = &mut seen.bloom {
            values.iter().for_each(|value| bloom.add_bytes(decimal_text(*value, self.scale).as_bytes()));
        }
    }
}

/// Appends a number in zigzag form and base 128.
fn put_wide_varint(out: &mut Vec<u8>, value: i128) {
    let mut zigzag = (value << 1 ^ value >> 127).cast_unsigned();
    while zigzag > u128::from(u64::MAX) {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    put_varint(out, zigzag as u64);
}

impl Values for Decimals {
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, seen: &mut Seen) -> Result<(), EncodeError> {
        let mut put = |block: &[i128]| {
            self.put(block, seen);
            Ok::<_, EncodeError>(())
        };
        match array.data_type() {
            DataType::UInt64 => {
                rows.blocks(array.as_primitive::<UInt64Type>().values(), i128::from, &mut put)?
            }
            _ => rows.blocks(array.as_primitive::<Decimal128Type>().values(), |value| value, &mut put)?,
        }
        integers::put_repeated(i64::from(self.scale), rows.count(), Sign::Signed, self.scales.out());
        self.data.settle()?;
        self.scales.settle()
    }

    fn mark(&mut self) {
        self.data.mark(&mut self.positions);
        self.scales.mark_run(&mut self.positions);
    }

    fn finish_stripe(&mut self) -> Result<Finished, EncodeError> {
        Ok(Finished {
            streams: vec![
                (StreamKind::Data, self.data.take()?),
                (StreamKind::Secondary, self.scales.take()?),
            ],
            encoding: ColumnEncoding::DIRECT_V2,
            positions: std::mem::take(&mut self.positions),
        })
    }

    fn stored_bytes(&self) -> u64 {
        self.data.stored_bytes() + self.scales.stored_bytes()
    }

    fn memory_bytes(&self) -> usize {
        self.data.memory_bytes() + self.scales.memory_bytes() + self.positions.capacity() * size_of::<u64>()
    }
}

/// What seconds are counted from: 2015-01-01 00:00 UTC, in Unix seconds.
const EPOCH_SECONDS: i64 = 1_420_070_400;

/// Before 1970, times with more nanoseconds than these behind their second are stored a second later: see
/// [`super::super::holds_time`].
const NANOS_UNTOUCHED_MAX: i64 = 999_999;

/// `timestamp with local time zone`: whole seconds since 2015, rounded down, and the nanoseconds behind them.
#[derive(Debug)]
pub(super) struct Instants {
    seconds: Stream,
    nanos: Stream,
    unit: TimeUnit,
    positions: Vec<u64>,
}

impl Instants {
    pub fn new(codec: Codec, unit: TimeUnit) -> Self {
        Self { seconds: Stream::new(codec), nanos: Stream::new(codec), unit, positions: Vec::new() }
    }

    fn put(&mut self, values: &[i64], seen: &mut Seen) -> Result<(), EncodeError> {
        let (units, nanos_of_unit) = match self.unit {
            TimeUnit::Second => (1, 1_000_000_000),
            TimeUnit::Millisecond => (1_000, 1_000_000),
            TimeUnit::Microsecond => (1_000_000, 1_000),
            TimeUnit::Nanosecond => (1_000_000_000, 1),
        };
        let (mut seconds, mut nanos) = ([0; BLOCK], [0; BLOCK]);
        for ((second, nano), value) in seconds.iter_mut().zip(&mut nanos).zip(values) {
            let (whole, rest) = (value.div_euclid(units), value.rem_euclid(units) * nanos_of_unit);
            let is_moved = whole < 0 && rest > NANOS_UNTOUCHED_MAX;
            if is_moved && whole == -1 {
                return Err(OrcError::LastSecondOf1969.into());
            }
            // Times of 64 bits in seconds could pass the end of the range; no calendar has them.
            *second = whole.saturating_sub(EPOCH_SECONDS) + i64::from(is_moved);
            *nano = without_zeros(rest);
        }
        integers::put(&seconds[..values.len()], Sign::Signed, self.seconds.out());
        integers::put(&nanos[..values.len()], Sign::Unsigned, self.nanos.out());
        if let Detail::Timestamp { numbers, .. } = &mut seen.statistics.detail {
            numbers.add(values);
        }
        if let Some(bloom) = &mut seen.bloom {
            // Filters know milliseconds.
            let millis = |value: &i64| match self.unit {
                TimeUnit::Second => value.saturating_mul(1_000),
                _ => value.div_euclid(units / 1_000),
            };
            values.iter().for_each(|value| bloom.add_integer(millis(value)));
        }
        Ok(())
    }
}

/// Nanoseconds as they are stored: two or more zeros at the end are left out, and their number less one is in the
/// lowest three bits.
fn without_zeros(mut nanos: i64) -> i64 {
    if nanos == 0 || nanos % 100 != 0 {
        return nanos << 3;
    }
    let mut zeros = 1;
    nanos /= 100;
    while nanos % 10 == 0 && zeros < 7 {
        nanos /= 10;
        zeros += 1;
    }
    nanos << 3 | zeros
}

impl Values for Instants {
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, seen: &mut Seen) -> Result<(), EncodeError> {
        let values = match self.unit {
            TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
            TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values(),
            TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().values(),
            TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().values(),
        };
        rows.blocks(values, |value| value, |block| self.put(block, seen))?;
        self.seconds.settle()?;
        self.nanos.settle()
    }

    fn mark(&mut self) {
        self.seconds.mark_run(&mut self.positions);
        self.nanos.mark_run(&mut self.positions);
    }

    fn finish_stripe(&mut self) -> Result<Finished, EncodeError> {
        Ok(Finished {
            streams: vec![
                (StreamKind::Data, self.seconds.take()?),
                (StreamKind::Secondary, self.nanos.take()?),
            ],
            encoding: ColumnEncoding::DIRECT_V2,
            positions: std::mem::take(&mut self.positions),
        })
    }

    fn stored_bytes(&self) -> u64 {
        self.seconds.stored_bytes() + self.nanos.stored_bytes()
    }

    fn memory_bytes(&self) -> usize {
        self.seconds.memory_bytes() + self.nanos.memory_bytes() + self.positions.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_lose_their_zeros() {
        let cases =
            [(0, 0), (1_000, 0x0a), (100_000, 0x0c), (1, 8), (10, 80), (100, 9), (500_000_000, 5 << 3 | 7)];
        for (nanos, stored) in cases {
            assert_eq!(without_zeros(nanos), stored, "{nanos}");
        }
    }

    #[test]
    fn wide_varints_hold_38_digits() {
        let mut out = Vec::new();
        put_wide_varint(&mut out, -1);
        put_wide_varint(&mut out, 64);
        assert_eq!(out, [1, 0x80, 1]);
        let most = 10_i128.pow(38) - 1;
        for value in [most, -most, i128::from(i64::MIN), i128::from(u64::MAX)] {
            out.clear();
            put_wide_varint(&mut out, value);
            let zigzag = out.iter().rev().fold(0_u128, |all, byte| all << 7 | u128::from(byte & 0x7f));
            assert_eq!((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()), value);
        }
    }
}

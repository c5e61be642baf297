//! What a reader may know about the values of a column without reading them: for each row group, each stripe and the
//! whole file. Everything told is true of all values; where something cannot be told it is left out.

mod text;

use arrow::datatypes::TimeUnit;

pub(super) use self::text::TextRange;
use super::protobuf::Message;

/// Statistics of a column over some rows.
#[derive(Debug, Clone)]
pub(super) struct Statistics {
    /// Values that are not null.
    pub values: u64,
    pub has_null: bool,
    pub detail: Detail,
}

/// What is known besides, by the kind of the values.
#[derive(Debug, Clone)]
pub(super) enum Detail {
    /// Structs have nothing of their own.
    Nothing,
    Boolean {
        count_true: u64,
    },
    Integer(Numbers),
    Float(Floats),
    Text(TextRange),
    Binary {
        bytes: u64,
    },
    Date(Numbers),
    Decimal {
        numbers: Decimals,
        scale: u8,
    },
    Timestamp {
        numbers: Numbers,
        unit: TimeUnit,
    },
    Collection(Lengths),
}

/// Smallest, largest and sum of integers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub min: i64,
    pub max: i64,
    /// Exact: 2⁶³ values of 64 bits do not overflow it.
    pub sum: i128,
}

/// The same of floating point numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floats {
    min: f64,
    max: f64,
    sum: f64,
    /// A NaN has no place in an order, so with one there is no smallest and no largest.
    has_nan: bool,
}

/// The same of decimals, all of one scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimals {
    min: i128,
    max: i128,
    /// None if it has more than 38 digits.
    sum: Option<i128>,
}

/// The same of the numbers of elements in lists and maps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    min: u64,
    max: u64,
    sum: u64,
}

static NOTHING: Message = Message::EMPTY;

/// 10³⁸: what no decimal reaches.
const DECIMAL_END: u128 = 10_u128.pow(38);

impl Default for Numbers {
    fn default() -> Self {
        Self { min: i64::MAX, max: i64::MIN, sum: 0 }
    }
}

impl Numbers {
    /// Adds a slice of values.
    pub fn add(&mut self, values: &[i64]) {
        for value in values {
            self.min = self.min.min(*value);
            self.max = self.max.max(*value);
        }
        self.sum += values.iter().map(|value| i128::from(*value)).sum::<i128>();
    }

    fn merge(&mut self, other: &Self) {
        *self = Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            sum: self.sum.saturating_add(other.sum),
        };
    }
}

impl Default for Floats {
    fn default() -> Self {
        Self { min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, has_nan: false }
    }
}

impl Floats {
    /// Adds a value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        self.has_nan |= value.is_nan();
    }

    fn merge(&mut self, other: &Self) {
        *self = Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            sum: self.sum + other.sum,
            has_nan: self.has_nan || other.has_nan,
        };
    }

    fn encode(&self) -> Message {
        let mut message = Message::default();
        if self.has_nan {
            // Readers that know of NaN look for it in the sum.
            message.double(3, f64::NAN);
            return message;
        }
        // The two zeros are equal, but not to every reader.
        let min = if self.min == 0.0 { -0.0 } else { self.min };
        let max = if self.max == 0.0 { 0.0 } else { self.max };
        message.double(1, min).double(2, max);
        if self.sum.is_finite() {
            message.double(3, self.sum);
        }
        message
    }
}

impl Default for Decimals {
    fn default() -> Self {
        Self { min: i128::MAX, max: i128::MIN, sum: Some(0) }
    }
}

impl Decimals {
    /// Adds a value, without its point.
    #[inline]
    pub fn add(&mut self, value: i128) {
        self.merge(&Self { min: value, max: value, sum: Some(value) });
    }

    fn merge(&mut self, other: &Self) {
        let sum = self.sum.zip(other.sum).and_then(|(left, right)| left.checked_add(right));
        *self = Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            sum: sum.filter(|sum| sum.unsigned_abs() < DECIMAL_END),
        };
    }
}

impl Default for Lengths {
    fn default() -> Self {
        Self { min: u64::MAX, max: 0, sum: 0 }
    }
}

impl Lengths {
    /// Adds a slice of lengths, none of which is negative.
    pub fn add(&mut self, lengths: &[i64]) {
        for length in lengths {
            let length = length.cast_unsigned();
            self.merge(&Self { min: length, max: length, sum: length });
        }
    }

    fn merge(&mut self, other: &Self) {
        *self = Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            sum: self.sum.saturating_add(other.sum),
        };
    }
}

impl Statistics {
    /// Those of no rows at all.
    pub fn new(detail: Detail) -> Self {
        Self { values: 0, has_null: false, detail }
    }

    /// Adds what is known of other rows of the same column.
    pub fn merge(&mut self, other: &Self) {
        self.values += other.values;
        self.has_null |= other.has_null;
        match (&mut self.detail, &other.detail) {
            (Detail::Boolean { count_true }, Detail::Boolean { count_true: other }) => *count_true += other,
            (Detail::Integer(numbers), Detail::Integer(other))
            | (Detail::Date(numbers), Detail::Date(other))
            | (Detail::Timestamp { numbers, .. }, Detail::Timestamp { numbers: other, .. }) => {
                numbers.merge(other)
            }
            (Detail::Float(floats), Detail::Float(other)) => floats.merge(other),
            (Detail::Text(range), Detail::Text(other)) => range.merge(other),
            (Detail::Binary { bytes }, Detail::Binary { bytes: other }) => *bytes += other,
            (Detail::Decimal { numbers, .. }, Detail::Decimal { numbers: other, .. }) => numbers.merge(other),
            (Detail::Collection(lengths), Detail::Collection(other)) => lengths.merge(other),
            // Both are of the same column, so these are both `Nothing`.
            _ => (),
        }
    }

    /// The message `ColumnStatistics`.
    pub fn encode(&self) -> Message {
        let mut message = Message::default();
        message.uint(1, self.values);
        if let Some((field, detail)) = self.encode_detail() {
            // Without a value there is no smallest. The message is there all the same: readers expect it.
            message.message(field, if self.values > 0 { &detail } else { &NOTHING });
        }
        message.uint(10, u64::from(self.has_null));
        message
    }

    /// The message for the kind of the values, and its field in `ColumnStatistics`.
    fn encode_detail(&self) -> Option<(u32, Message)> {
        let mut detail = Message::default();
        let field = match &self.detail {
            Detail::Nothing => return None,
            Detail::Integer(Numbers { min, max, sum }) => {
                detail.sint(1, *min).sint(2, *max);
                if let Ok(sum) = i64::try_from(*sum) {
                    detail.sint(3, sum);
                }
                2
            }
            Detail::Float(floats) => {
                detail = floats.encode();
                3
            }
            Detail::Text(range) => {
                detail = range.encode();
                4
            }
            Detail::Boolean { count_true } => {
                detail.packed(1, &[*count_true]);
                5
            }
            Detail::Decimal { numbers: Decimals { min, max, sum }, scale } => {
                let mut decimal = |field, value| {
                    detail.bytes(field, decimal_text(value, *scale).as_bytes());
                };
                decimal(1, *min);
                decimal(2, *max);
                if let Some(sum) = sum {
                    decimal(3, *sum);
                }
                6
            }
            Detail::Date(Numbers { min, max, .. }) => {
                detail.sint(1, *min).sint(2, *max);
                7
            }
            Detail::Binary { bytes } => {
                detail.sint(1, bytes.cast_signed());
                8
            }
            Detail::Timestamp { numbers, unit } => {
                detail = timestamp(numbers, *unit);
                9
            }
            Detail::Collection(Lengths { min, max, sum }) => {
                detail.uint(1, *min).uint(2, *max).uint(3, *sum);
                12
            }
        };
        Some((field, detail))
    }
}

/// The message `TimestampStatistics`: milliseconds since 1970 in UTC, and the nanoseconds below them plus one. Where
/// those are missing, readers take 0 for the smallest value and 999,999 for the largest.
fn timestamp(numbers: &Numbers, unit: TimeUnit) -> Message {
    const NANOS_MAX: i64 = 999_999;
    let split = |value: i64| match unit {
        TimeUnit::Second => (value.saturating_mul(1_000), 0),
        TimeUnit::Millisecond => (value, 0),
        TimeUnit::Microsecond => (value.div_euclid(1_000), value.rem_euclid(1_000) * 1_000),
        TimeUnit::Nanosecond => (value.div_euclid(1_000_000), value.rem_euclid(1_000_000)),
    };
    let ((min, min_nanos), (max, max_nanos)) = (split(numbers.min), split(numbers.max));
    let mut message = Message::default();
    message.sint(3, min).sint(4, max);
    if min_nanos != 0 {
        message.uint(5, (min_nanos + 1).cast_unsigned());
    }
    if max_nanos != NANOS_MAX {
        message.uint(6, (max_nanos + 1).cast_unsigned());
    }
    message
}

/// A decimal in digits. As in Java's `HiveDecimal`, whose text the format's own writers store, zeros at the end of
/// the fraction are left out.
pub(super) fn decimal_text(value: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    let sign = if value < 0 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests;

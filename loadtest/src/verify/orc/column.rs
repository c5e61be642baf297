//! Streams → Arrow arrays.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array, LargeStringArray,
    ListArray, MapArray, StructArray, TimestampMicrosecondArray, UInt64Array, new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::message::{fields, number, packed, repeated, take_wide_varint};
use super::{NotRead, Parts, runs};

/// Levels of nested types: more than any writer of ours makes.
const DEPTH_MAX: usize = 64;

/// A column, and those below it.
pub(super) struct Column {
    id: usize,
    pub(super) name: String,
    kind: Kind,
    children: Vec<Column>,
}

#[derive(Clone, Copy)]
enum Kind {
    Boolean,
    Byte,
    Integer,
    Float,
    Double,
    Text,
    Instant,
    List,
    Map,
    Struct,
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// One that no record of ours is stored in.
    Other,
}

impl Column {
    /// Those of the wanted columns that can be read. The first type is the record's.
    pub(super) fn below_root(types: &[&[u8]], wanted: &BTreeSet<&str>) -> Result<Vec<Self>, NotRead> {
        let root = Self::build(types, &mut 0, String::new(), 0)?;
        let is_wanted = |column: &Self| wanted.contains(column.name.as_str()) && column.is_readable();
        Ok(root.children.into_iter().filter(is_wanted).collect())
    }

    /// Columns are numbered as a walk from the root meets them.
    fn build(types: &[&[u8]], next: &mut usize, name: String, depth: usize) -> Result<Self, NotRead> {
        const DAMAGED: NotRead = NotRead::Malformed("the list of types");
        let id = *next;
        *next += 1;
        let own = fields(types.get(id).filter(|_| depth < DEPTH_MAX).ok_or(DAMAGED)?)?;
        let digits = |field| u8::try_from(number(&own, field)).map_err(|_| DAMAGED);
        let kind = match number(&own, 1) {
            0 => Kind::Boolean,
            1 => Kind::Byte,
            2..=4 => Kind::Integer,
            5 => Kind::Float,
            6 => Kind::Double,
            7 => Kind::Text,
            10 => Kind::List,
            11 => Kind::Map,
            12 => Kind::Struct,
            14 => Kind::Decimal { precision: digits(5)?, scale: digits(6)? },
            18 => Kind::Instant,
            _ => Kind::Other,
        };
        let mut names = repeated(&own, 3).map(|name| String::from_utf8_lossy(name).into_owned());
        let mut children = Vec::new();
        for child in packed(&own, 2)? {
            if child != *next as u64 {
                return Err(DAMAGED);
            }
            children.push(Self::build(types, next, names.next().unwrap_or_default(), depth + 1)?);
        }
        match (kind, children.len()) {
            (Kind::List, 1) | (Kind::Map, 2) | (Kind::Struct | Kind::Other, _) => {}
            (Kind::List | Kind::Map, _) => return Err(DAMAGED),
            (_, children) if children > 0 => return Err(DAMAGED),
            _ => {}
        }
        Ok(Self { id, name, kind, children })
    }

    fn is_readable(&self) -> bool {
        !matches!(self.kind, Kind::Other) && self.children.iter().all(Column::is_readable)
    }

    /// Arrow's type of the arrays.
    fn data_type(&self) -> Result<DataType, NotRead> {
        let field =
            |name: &str, column: &Column| Ok::<_, NotRead>(Field::new(name, column.data_type()?, true));
        Ok(match (self.kind, self.children.as_slice()) {
            (Kind::Boolean, _) => DataType::Boolean,
            (Kind::Byte | Kind::Integer, _) => DataType::Int64,
            (Kind::Float, _) => DataType::Float32,
            (Kind::Double, _) => DataType::Float64,
            (Kind::Text, _) => DataType::LargeUtf8,
            (Kind::Instant, _) => DataType::Timestamp(TimeUnit::Microsecond, None),
            (Kind::Decimal { precision, scale }, _) => DataType::Decimal128(precision, scale.cast_signed()),
            (Kind::List, [element]) => DataType::List(Arc::new(field("element", element)?)),
            (Kind::Map, [key, value]) => {
                let entries = vec![field("key", key)?.with_nullable(false), field("value", value)?];
                let entries = Field::new("entries", DataType::Struct(Fields::from(entries)), false);
                DataType::Map(Arc::new(entries), false)
            }
            (Kind::Struct, columns) => {
                let fields = columns.iter().map(|column| field(&column.name, column));
                DataType::Struct(fields.collect::<Result<Vec<_>, _>>()?.into())
            }
            _ => return Err(NotRead::Malformed("the list of types")),
        })
    }
}

/// The format's numbers of streams.
const PRESENT: u64 = 0;
const DATA: u64 = 1;
const LENGTH: u64 = 2;
const DICTIONARY_DATA: u64 = 3;
const SECONDARY: u64 = 5;

/// Encoding of texts by their numbers in a dictionary (`DICTIONARY_V2`).
const DICTIONARY: u64 = 3;

/// What the seconds of times are counted from: 2015-01-01 00:00 UTC.
const EPOCH_SECONDS: i64 = 1_420_070_400;

impl Parts<'_> {
    /// The values of a column in `rows` rows.
    pub(super) fn array(&self, column: &Column, rows: usize) -> Result<ArrayRef, NotRead> {
        let Some(present) = self.stream(column.id, PRESENT)? else { return self.values(column, rows) };
        let present = runs::booleans(&present, rows)?;
        let mut count = 0;
        let places: UInt64Array = present
            .iter()
            .map(|is_there| {
                is_there.then(|| {
                    count += 1;
                    count as u64 - 1
                })
            })
            .collect();
        Ok(take(&self.values(column, count)?, &places, None)?)
    }

    fn content(&self, column: &Column, kind: u64) -> Result<Vec<u8>, NotRead> {
        Ok(self.stream(column.id, kind)?.unwrap_or_default())
    }

    fn lengths(&self, column: &Column, count: usize) -> Result<Vec<usize>, NotRead> {
        let lengths = runs::integers(&self.content(column, LENGTH)?, false, count)?;
        let length = |length: i64| usize::try_from(length).map_err(|_| NotRead::Malformed("a length"));
        lengths.into_iter().map(length).collect()
    }

    /// The `count` values of a column, none of which is null.
    fn values(&self, column: &Column, count: usize) -> Result<ArrayRef, NotRead> {
        if count == 0 {
            return Ok(new_empty_array(&column.data_type()?));
        }
        let data = || self.content(column, DATA);
        Ok(match column.kind {
            Kind::Boolean => Arc::new(BooleanArray::from(runs::booleans(&data()?, count)?)),
            Kind::Byte => {
                let bytes = runs::bytes(&data()?, count)?.into_iter();
                Arc::new(Int64Array::from_iter_values(bytes.map(|byte| byte.cast_signed().into())))
            }
            Kind::Integer => Arc::new(Int64Array::from(runs::integers(&data()?, true, count)?)),
            Kind::Float => {
                let data = data()?;
                let (values, _) = data.as_chunks().0.split_at_checked(count).ok_or(NotRead::Short)?;
                Arc::new(Float32Array::from_iter_values(
                    values.iter().map(|bytes| f32::from_le_bytes(*bytes)),
                ))
            }
            Kind::Double => {
                let data = data()?;
                let (values, _) = data.as_chunks().0.split_at_checked(count).ok_or(NotRead::Short)?;
                Arc::new(Float64Array::from_iter_values(
                    values.iter().map(|bytes| f64::from_le_bytes(*bytes)),
                ))
            }
            Kind::Text => Arc::new(self.texts(column, count)?),
            Kind::Instant => Arc::new(self.instants(column, count)?),
            Kind::Decimal { precision, scale } => {
                let array = Decimal128Array::from(decimals(&data()?, count)?);
                Arc::new(array.with_precision_and_scale(precision, scale.cast_signed())?)
            }
            Kind::Struct => {
                let DataType::Struct(fields) = column.data_type()? else {
                    return Err(NotRead::Malformed("the list of types"));
                };
                Arc::new(StructArray::try_new_with_length(fields, self.arrays(column, count)?, None, count)?)
            }
            Kind::List | Kind::Map => self.collections(column, count)?,
            Kind::Other => return Err(NotRead::Malformed("the list of types")),
        })
    }

    fn arrays(&self, column: &Column, rows: usize) -> Result<Vec<ArrayRef>, NotRead> {
        column.children.iter().map(|child| self.array(child, rows)).collect()
    }

    fn collections(&self, column: &Column, count: usize) -> Result<ArrayRef, NotRead> {
        let lengths = self.lengths(column, count)?;
        let elements = total(&lengths).filter(|total| i32::try_from(*total).is_ok());
        let elements = elements.ok_or(NotRead::Malformed("a length"))?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        let mut arrays = self.arrays(column, elements)?;
        Ok(match (column.data_type()?, arrays.pop()) {
            (DataType::List(field), Some(elements)) => {
                Arc::new(ListArray::try_new(field, offsets, elements, None)?)
            }
            (DataType::Map(field, _), Some(values)) => {
                arrays.push(values);
                let DataType::Struct(fields) = field.data_type() else {
                    return Err(NotRead::Malformed("the list of types"));
                };
                let entries = StructArray::try_new(fields.clone(), arrays, None)?;
                Arc::new(MapArray::try_new(field, offsets, entries, None, false)?)
            }
            _ => return Err(NotRead::Malformed("the list of types")),
        })
    }

    fn texts(&self, column: &Column, count: usize) -> Result<LargeStringArray, NotRead> {
        let (encoding, texts) = *self.encodings.get(column.id).ok_or(NotRead::Short)?;
        if encoding != DICTIONARY {
            return texts_of(self.lengths(column, count)?, self.content(column, DATA)?);
        }
        let count_of_texts = usize::try_from(texts).map_err(|_| NotRead::Short)?;
        let texts = texts_of(self.lengths(column, count_of_texts)?, self.content(column, DICTIONARY_DATA)?)?;
        let numbers = runs::integers(&self.content(column, DATA)?, false, count)?;
        let mut values = arrow::array::LargeStringBuilder::new();
        for number in numbers {
            let number = usize::try_from(number).ok().filter(|number| *number < count_of_texts);
            values.append_value(texts.value(number.ok_or(NotRead::Malformed("a place in a dictionary"))?));
        }
        Ok(values.finish())
    }

    fn instants(&self, column: &Column, count: usize) -> Result<TimestampMicrosecondArray, NotRead> {
        let seconds = runs::integers(&self.content(column, DATA)?, true, count)?;
        let nanos = runs::integers(&self.content(column, SECONDARY)?, false, count)?;
        let micros = |(seconds, nanos): (i64, i64)| {
            // The lowest three bits are the zeros that were left out, less one, where there were two or more.
            let nanos = match nanos & 7 {
                0 => nanos >> 3,
                zeros => (nanos >> 3).checked_mul(10_i64.pow(zeros as u32 + 1))?,
            };
            let seconds = seconds.checked_add(EPOCH_SECONDS)?;
            // Writers store such times before 1970 a second later.
            let seconds = if seconds < 0 && nanos > 999_999 { seconds - 1 } else { seconds };
            seconds.checked_mul(1_000_000)?.checked_add(nanos / 1_000)
        };
        let all: Option<Vec<i64>> = seconds.into_iter().zip(nanos).map(micros).collect();
        Ok(all.ok_or(NotRead::Malformed("a time"))?.into())
    }
}

fn total(lengths: &[usize]) -> Option<usize> {
    lengths.iter().try_fold(0_usize, |sum, length| sum.checked_add(*length))
}

/// Texts that stand one behind the other.
fn texts_of(lengths: Vec<usize>, mut text: Vec<u8>) -> Result<LargeStringArray, NotRead> {
    let bytes = total(&lengths).filter(|bytes| *bytes <= text.len()).ok_or(NotRead::Short)?;
    text.truncate(bytes);
    Ok(LargeStringArray::try_new(OffsetBuffer::from_lengths(lengths), text.into(), None)?)
}

/// Numbers in zigzag form and base 128. Their scales are the column's: nobody writes others.
fn decimals(mut stored: &[u8], count: usize) -> Result<Vec<i128>, NotRead> {
    let mut values = Vec::new();
    for _ in 0..count {
        let zigzag = take_wide_varint(&mut stored)?;
        values.push((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
    }
    Ok(values)
}

//! A column of a file: its values, which of them are there, and what is told of them.
//!
//! Rows come as slices of Arrow arrays and a list of the rows to take. A row without a value is only in the stream
//! `PRESENT` of the topmost column that is null there; everything below sees the other rows only.

mod block;
mod dictionary;
mod float;
mod integer;
mod nested;
mod number;
mod present;
mod single;
mod text;

use std::ops::Range;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use self::block::Rows;
use self::nested::{Children, Collection};
use self::present::Present;
use super::super::EncodeError;
use super::bloom::BloomFilters;
use super::compress::Codec;
use super::row_index::RowIndex;
use super::statistics::{Detail, Numbers, Statistics, TextRange};
use super::stripe::{ColumnEncoding, StreamKind, StripeParts};
use super::types::{Kind, OrcType};

/// How the values of one kind become streams.
trait Values: std::fmt::Debug + Send {
    /// Appends the values of `array` in `rows`, none of which is null, and notes them in `seen`.
    fn write(&mut self, array: &dyn Array, rows: &Rows<'_>, seen: &mut Seen) -> Result<(), EncodeError>;

    /// Notes the beginning of a row group.
    fn mark(&mut self);

    /// Hands over the streams of the stripe and the positions of its row groups. Begins the next stripe.
    fn finish_stripe(&mut self) -> Result<Finished, EncodeError>;

    /// How long the streams would be if they were finished now.
    fn stored_bytes(&self) -> u64;

    /// Memory held, in bytes.
    fn memory_bytes(&self) -> usize;

    /// The columns below, if there are any.
    fn children(&mut self) -> &mut [Column] {
        &mut []
    }
}

/// What a kind of values leaves of a stripe.
#[derive(Debug)]
struct Finished {
    streams: Vec<(StreamKind, Vec<u8>)>,
    encoding: ColumnEncoding,
    /// As many numbers for each row group.
    positions: Vec<u64>,
}

/// What is known of the values of the open row group.
#[derive(Debug)]
struct Seen {
    statistics: Statistics,
    bloom: Option<BloomFilters>,
}

/// A column that is being written.
#[derive(Debug)]
pub(super) struct Column {
    id: u32,
    present: Present,
    values: Box<dyn Values>,
    seen: Seen,
    /// The state of `seen.statistics` before any value.
    nothing_seen: Statistics,
    index: RowIndex,
    of_stripe: Statistics,
    of_file: Statistics,
}

impl Column {
    /// The column of `orc_type` that is filled from arrays of `data_type`. `has_bloom` tells which columns get bloom
    /// filters.
    pub fn new(
        orc_type: &OrcType,
        data_type: &DataType,
        codec: Codec,
        has_bloom: &dyn Fn(&OrcType) -> bool,
    ) -> Self {
        let child = |index: usize, data_type: &DataType| {
            Column::new(&orc_type.children[index], data_type, codec, has_bloom)
        };
        let values: Box<dyn Values> = match (&orc_type.kind, data_type) {
            (Kind::Struct(_), DataType::Struct(fields)) => {
                let columns = fields.iter().enumerate().map(|(index, field)| child(index, field.data_type()));
                Box::new(Children::new(columns.collect()))
            }
            (_, DataType::List(element)) => {
                Box::new(Collection::new(vec![child(0, element.data_type())], codec))
            }
            (_, DataType::Map(entries, _)) => {
                let DataType::Struct(entry) = entries.data_type() else { unreachable!("a map has entries") };
                let columns = entry.iter().enumerate().map(|(index, field)| child(index, field.data_type()));
                Box::new(Collection::new(columns.collect(), codec))
            }
            (kind, data_type) => scalar(kind, data_type, codec),
        };
        let statistics = Statistics::new(detail(&orc_type.kind));
        Self {
            id: orc_type.id,
            present: Present::new(codec),
            values,
            seen: Seen {
                statistics: statistics.clone(),
                bloom: has_bloom(orc_type).then(BloomFilters::default),
            },
            nothing_seen: statistics.clone(),
            index: RowIndex::default(),
            of_stripe: statistics.clone(),
            of_file: statistics,
        }
    }

    /// Appends the rows `rows` of `array`, nulls among them.
    pub fn write(&mut self, array: &ArrayRef, rows: &[Range<usize>]) -> Result<(), EncodeError> {
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let valid = block::valid_rows(nulls, rows);
        let (all, values) = (block::count(rows), valid.count());
        self.present.push(nulls, rows, all, values)?;
        self.seen.statistics.values += values as u64;
        self.seen.statistics.has_null |= values < all;
        self.values.write(&**array, &valid, &mut self.seen)
    }

    /// Begins a row group here and in the columns below.
    pub fn open_row_group(&mut self) {
        self.present.mark();
        self.values.mark();
        self.values.children().iter_mut().for_each(Column::open_row_group);
    }

    /// Ends the row group here and in the columns below.
    pub fn close_row_group(&mut self) {
        self.index.close_row_group(&self.seen.statistics);
        self.of_stripe.merge(&self.seen.statistics);
        self.seen.statistics = self.nothing_seen.clone();
        if let Some(bloom) = &mut self.seen.bloom {
            bloom.close_row_group();
        }
        self.values.children().iter_mut().for_each(Column::close_row_group);
    }

    /// Hands over what the stripe has of this column and of those below. Begins the next stripe.
    pub fn finish_stripe(&mut self, parts: &mut StripeParts) -> Result<(), EncodeError> {
        let mut finished = self.values.finish_stripe()?;
        let (present, present_positions) = self.present.finish_stripe()?;
        if let Some(present) = present {
            parts.data(self.id, StreamKind::Present, present);
        }
        for (kind, stream) in finished.streams {
            parts.data(self.id, kind, stream);
        }
        let index = self.index.finish_stripe(&present_positions, &finished.positions);
        parts.index(self.id, StreamKind::RowIndex, &index)?;
        if let Some(bloom) = &mut self.seen.bloom {
            parts.index(self.id, StreamKind::BloomFilterUtf8, &bloom.take_index())?;
            finished.encoding.has_bloom_filters = true;
        }
        parts.encoding(finished.encoding);
        parts.statistics(&self.of_stripe);
        self.of_file.merge(&self.of_stripe);
        self.of_stripe = self.nothing_seen.clone();
        self.values.children().iter_mut().try_for_each(|child| child.finish_stripe(parts))
    }

    /// Hands the statistics of the file, of this column and of those below, to `take`.
    pub fn file_statistics(&mut self, take: &mut dyn FnMut(&Statistics)) {
        take(&self.of_file);
        self.values.children().iter_mut().for_each(|child| child.file_statistics(take));
    }

    /// How long the open stripe's share of this column and those below would be if it were finished now.
    pub fn stored_bytes(&self) -> u64 {
        let bloom = self.seen.bloom.as_ref().map_or(0, BloomFilters::index_bytes);
        self.present.stored_bytes() + self.values.stored_bytes() + self.index.stored_bytes() + bloom as u64
    }

    /// Memory that this column and those below hold, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let bloom = self.seen.bloom.as_ref().map_or(0, BloomFilters::memory_bytes);
        size_of::<Self>()
            + self.present.memory_bytes()
            + self.values.memory_bytes()
            + self.index.memory_bytes()
            + bloom
    }
}

fn scalar(kind: &Kind, data_type: &DataType, codec: Codec) -> Box<dyn Values> {
    match kind {
        Kind::Boolean => Box::new(integer::Booleans::new(codec)),
        Kind::Byte => Box::new(single::Single::<integer::Bytes>::new(codec)),
        Kind::Float => Box::new(float::Floats::new(codec)),
        Kind::Double => Box::new(float::Doubles::new(codec)),
        Kind::String => Box::new(text::Texts::new(codec)),
        Kind::Binary => Box::new(text::Binaries::new(codec)),
        Kind::Decimal { scale, .. } => Box::new(number::Decimals::new(codec, *scale)),
        Kind::Instant(unit) => Box::new(number::Instants::new(codec, *unit)),
        _ => integer::of(data_type, codec),
    }
}

fn detail(kind: &Kind) -> Detail {
    match kind {
        Kind::Struct(_) => Detail::Nothing,
        Kind::Boolean => Detail::Boolean { count_true: 0 },
        Kind::Byte | Kind::Short | Kind::Int | Kind::Long => Detail::Integer(Numbers::default()),
        Kind::Float | Kind::Double => Detail::Float(super::statistics::Floats::default()),
        Kind::String => Detail::Text(TextRange::default()),
        Kind::Binary => Detail::Binary { bytes: 0 },
        Kind::Date => Detail::Date(Numbers::default()),
        Kind::Decimal { scale, .. } => {
            Detail::Decimal { numbers: super::statistics::Decimals::default(), scale: *scale }
        }
        Kind::Instant(unit) => Detail::Timestamp { numbers: Numbers::default(), unit: *unit },
        Kind::List | Kind::Map => Detail::Collection(super::statistics::Lengths::default()),
    }
}

//! Rows that wait until there are enough of them for a batch.
//!
//! Rows of a few files wait in builders of columns, one set a file, which take each value to its place at once. A set
//! has some 25 cache lines for ten columns, and a record touches all of them: with thousands of files none of them is
//! in a cache any more when the next record comes. So rows of many files wait as bytes, one behind the other, which are
//! few and in one place; and one set of builders, which stays in the cache, makes these bytes of records, and batches of
//! them.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::super::columns::RecordColumns;
use super::super::pieces::Pieces;
use super::super::{EncodeError, Misfit};
use super::BATCH_ROWS_MAX;
use crate::schema::columns::Columns;

/// Memory of vectors below which nobody tells that they are about to double.
const GROWTH_BYTES_MIN: u64 = 64 << 10;

/// See the module.
#[derive(Debug)]
pub(super) enum Waiting {
    InBuilders(RecordColumns),
    AsBytes(RowsAsBytes),
}

#[derive(Debug)]
pub(super) struct RowsAsBytes {
    columns: Arc<Columns>,
    is_orc: bool,
    pieces: Pieces,
    rows: usize,
    cells: usize,
}

impl Waiting {
    pub(super) fn in_builders(columns: &Columns, is_orc: bool) -> Self {
        Self::InBuilders(builders(columns, is_orc))
    }

    pub(super) fn as_bytes(columns: Arc<Columns>, is_orc: bool) -> Self {
        Self::AsBytes(RowsAsBytes { columns, is_orc, pieces: Pieces::default(), rows: 0, cells: 0 })
    }

    #[inline]
    pub(super) fn push(&mut self, record: &str) -> Result<(), Misfit> {
        match self {
            Self::InBuilders(columns) => columns.push(record),
            Self::AsBytes(rows) => rows.push(record),
        }
    }

    pub(super) fn rows(&self) -> usize {
        match self {
            Self::InBuilders(columns) => columns.rows(),
            Self::AsBytes(rows) => rows.rows,
        }
    }

    /// Values, nulls included.
    pub(super) fn cells(&self) -> usize {
        match self {
            Self::InBuilders(columns) => columns.cells(),
            Self::AsBytes(rows) => rows.cells,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::InBuilders(columns) => columns.memory_bytes(),
            Self::AsBytes(rows) => rows.pieces.memory_bytes(),
        }
    }

    /// Bytes that the rows have taken, about: what is known without a look at the builders.
    pub(super) fn taken_bytes(&self) -> u64 {
        match self {
            Self::InBuilders(columns) => columns.taken_bytes(),
            Self::AsBytes(rows) => rows.pieces.len() as u64,
        }
    }

    /// See [`super::Encoder::memory_ahead`]. Bytes grow by a part of what there is.
    pub(super) fn memory_ahead(&self, bytes: u64) -> u64 {
        let Self::InBuilders(columns) = self else { return 0 };
        let (rows, held) = (columns.rows(), columns.memory_bytes() as u64);
        if held < GROWTH_BYTES_MIN {
            return 0;
        }
        // The vectors of all columns have as many values, so that they double with the same row.
        let more = usize::try_from(bytes / columns.row_bytes().max(1)).unwrap_or(usize::MAX);
        let end = rows.saturating_add(more).min(BATCH_ROWS_MAX - 1);
        if (end + 1).next_power_of_two() > rows.next_power_of_two() { held } else { 0 }
    }

    /// See [`super::Encoder::look_ahead`]. There is no one place in builders.
    pub(super) fn look_ahead(&self) -> u8 {
        match self {
            Self::InBuilders(_) => 0,
            Self::AsBytes(rows) => rows.pieces.last(),
        }
    }

    /// All rows. None waits afterwards.
    pub(super) fn take_batch(&mut self) -> Result<RecordBatch, EncodeError> {
        match self {
            Self::InBuilders(columns) => Ok(columns.take_batch()?),
            Self::AsBytes(rows) => rows.take_batch(),
        }
    }
}

impl RowsAsBytes {
    fn push(&mut self, record: &str) -> Result<(), Misfit> {
        let Self { columns, is_orc, pieces, cells, .. } = self;
        with_shared(columns, *is_orc, |builders, row| {
            builders.push(record)?;
            row.clear();
            *cells += builders.move_row(row);
            pieces.open(row.len()).extend_from_slice(row);
            Ok(())
        })?;
        self.rows += 1;
        Ok(())
    }

    fn take_batch(&mut self) -> Result<RecordBatch, EncodeError> {
        let batch = with_shared(&self.columns, self.is_orc, |builders, _| {
            let read = self.pieces.iter().try_for_each(|rows| builders.read_rows(rows));
            let batch = builders.take_batch()?;
            read.filter(|()| batch.num_rows() == self.rows).map(|()| batch).ok_or(EncodeError::Rows)
        })?;
        self.pieces.clear(0);
        (self.rows, self.cells) = (0, 0);
        Ok(batch)
    }
}

fn builders(columns: &Columns, is_orc: bool) -> RecordColumns {
    let builders = RecordColumns::new(columns);
    if is_orc { builders.for_orc() } else { builders }
}

/// Sets of builders that a thread keeps: deliveries that it works for in turn, and their versions.
const SHARED_MAX: usize = 4;

/// What an idle set, or the room for one row, may hold: a record that is far larger is no reason to keep room for the
/// next one. With [`SHARED_MAX`] sets this makes 8 MiB a thread.
const SHARED_BYTES_MAX: usize = 1 << 20;

/// Builders without rows, between one use and the next.
struct Shared {
    columns: Arc<Columns>,
    is_orc: bool,
    builders: RecordColumns,
    row: Vec<u8>,
}

#[cfg(test)]
impl Shared {
    fn bytes(&self) -> usize {
        self.builders.memory_bytes() + self.row.capacity()
    }
}

thread_local! {
    /// The one that was used last comes first.
    static SHARED: RefCell<Vec<Shared>> = const { RefCell::new(Vec::new()) };
}

/// Lends out the thread's builders for `columns`, which have no rows and must have none afterwards.
fn with_shared<T>(
    columns: &Arc<Columns>,
    is_orc: bool,
    work: impl FnOnce(&mut RecordColumns, &mut Vec<u8>) -> T,
) -> T {
    SHARED.with_borrow_mut(|sets| {
        let is_it = |set: &Shared| Arc::ptr_eq(&set.columns, columns) && set.is_orc == is_orc;
        if !sets.first().is_some_and(is_it) {
            let set = match sets.iter().position(is_it) {
                Some(at) => sets.remove(at),
                None => Shared {
                    columns: Arc::clone(columns),
                    is_orc,
                    builders: builders(columns, is_orc),
                    row: Vec::new(),
                },
            };
            sets.truncate(SHARED_MAX - 1);
            sets.insert(0, set);
        }
        let set = &mut sets[0];
        let done = work(&mut set.builders, &mut set.row);
        if set.row.capacity() > SHARED_BYTES_MAX {
            // A row is about as large as what the builders hold for it.
            sets.remove(0);
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::Row;
    use super::super::super::{FEW_FILES, open, open_beside};
    use super::*;
    use crate::config::checked::{Format, OrcCompression, OrcFormat, ParquetCompression, ParquetFormat};
    use crate::testkit::web_events;

    fn formats() -> [Format; 2] {
        let columns = Arc::new(Columns::declared(&web_events::columns()).unwrap());
        [
            Format::Parquet(ParquetFormat::new(ParquetCompression::Snappy, Arc::clone(&columns))),
            Format::Orc(OrcFormat::new(OrcCompression::Snappy, columns)),
        ]
    }

    #[test]
    fn a_file_is_the_same_however_its_rows_have_waited() {
        for format in formats() {
            let (mut alone, mut beside) = (open(&format), open_beside(FEW_FILES, &format));
            // Several batches, and one that is not full; now and then a record that does not fit.
            for index in 0..12_000 {
                let event = web_events::event(index);
                alone.push(Row::of_payload(&event)).unwrap();
                beside.push(Row::of_payload(&event)).unwrap();
                if index % 1_000 == 0 {
                    let refused = alone.push(Row::of_payload("{\"status\":\"x\"}")).unwrap_err().to_string();
                    let bad = beside.push(Row::of_payload("{\"status\":\"x\"}")).unwrap_err().to_string();
                    assert_eq!(refused, bad);
                }
                assert_eq!(alone.stored_bytes(), beside.stored_bytes());
            }
            let (alone, beside) = (alone.finish(&[]).unwrap(), beside.finish(&[]).unwrap());
            assert!(alone.concat() == beside.concat(), "{format:?}");
        }
    }

    #[test]
    fn rows_of_one_of_many_files_hold_no_more_than_they_are_and_a_fourth() {
        let format = &formats()[0];
        let mut beside = open_beside(FEW_FILES, format);
        let mut bytes = 0;
        for index in 0..2_000 {
            let event = web_events::event(index);
            beside.push(Row::of_payload(&event)).unwrap();
            bytes += event.len() as u64;
        }
        let held = beside.memory_bytes();
        assert!(held < bytes, "{held} for {bytes} bytes of JSON");
    }

    #[test]
    fn sets_of_builders_are_few_and_a_large_record_leaves_no_room_behind() {
        let sets: Vec<_> = (0..3 * SHARED_MAX)
            .map(|_| Arc::new(Columns::declared(&web_events::columns()).unwrap()))
            .collect();
        let large = format!("{{\"path\":\"{}\"}}", "x".repeat(2 * SHARED_BYTES_MAX));
        for columns in sets.iter().chain(&sets) {
            let mut rows = Waiting::as_bytes(Arc::clone(columns), false);
            rows.push("{\"status\":200}").unwrap();
            rows.push(&large).unwrap();
            assert_eq!(rows.take_batch().unwrap().num_rows(), 2);
            let kept = SHARED.with_borrow(|sets| (sets.len(), sets.iter().map(Shared::bytes).sum::<usize>()));
            assert!(kept.0 <= SHARED_MAX && kept.1 <= SHARED_MAX * 2 * SHARED_BYTES_MAX, "{kept:?}");
        }
    }
}

//! Rows of an array, and their values in blocks.

use std::borrow::Cow;
use std::ops::Range;

use arrow::buffer::NullBuffer;

/// Values that are encoded together: one run of integers, and 4 KiB on the stack.
pub(super) const BLOCK: usize = super::super::rle::integers::RUN_MAX;

/// Rows of an array, in order, as ranges that are not empty. All of them have values.
#[derive(Debug, Clone)]
pub(super) struct Rows<'a>(Cow<'a, [Range<usize>]>);

impl Rows<'_> {
    /// How many rows there are.
    pub fn count(&self) -> usize {
        count(&self.0)
    }

    pub fn ranges(&self) -> &[Range<usize>] {
        &self.0
    }

    /// Each row.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().flat_map(Clone::clone)
    }

    /// The rows behind the first `count`.
    pub fn without_first(&self, count: usize) -> Rows<'_> {
        if count == 0 {
            return Rows(Cow::Borrowed(&self.0));
        }
        let mut left = count;
        let rest = self.ranges().iter().filter_map(|range| {
            let skipped = left.min(range.len());
            left -= skipped;
            (skipped < range.len()).then(|| range.start + skipped..range.end)
        });
        Rows(Cow::Owned(rest.collect()))
    }

    /// Hands the values of the rows, as `widen` makes them, to `each`: in blocks of at most [`BLOCK`].
    pub fn blocks<T: Copy, W: Copy + Default, E>(
        &self,
        values: &[T],
        widen: impl Fn(T) -> W,
        mut each: impl FnMut(&[W]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut block = [W::default(); BLOCK];
        let mut filled = 0;
        for range in self.ranges() {
            let mut values = &values[range.clone()];
            while !values.is_empty() {
                let (now, later) = values.split_at(values.len().min(BLOCK - filled));
                for (place, value) in block[filled..].iter_mut().zip(now) {
                    *place = widen(*value);
                }
                filled += now.len();
                values = later;
                if filled == BLOCK {
                    each(&block)?;
                    filled = 0;
                }
            }
        }
        if filled > 0 { each(&block[..filled]) } else { Ok(()) }
    }
}

/// The lengths of what `offsets` delimit in the rows `rows`.
pub(super) fn lengths(offsets: &[i32], rows: &Rows<'_>) -> Vec<i64> {
    let ends = &offsets[1..];
    let mut lengths = Vec::with_capacity(rows.count());
    for range in rows.ranges() {
        let both = offsets[range.clone()].iter().zip(&ends[range.clone()]);
        lengths.extend(both.map(|(start, end)| i64::from(end - start)));
    }
    lengths
}

/// How many rows `ranges` are.
pub(super) fn count(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).sum()
}

/// Those of `rows` that are not null.
pub(super) fn valid_rows<'a>(nulls: Option<&NullBuffer>, rows: &'a [Range<usize>]) -> Rows<'a> {
    let Some(nulls) = nulls else { return Rows(Cow::Borrowed(rows)) };
    let mut valid: Vec<Range<usize>> = Vec::new();
    for range in rows {
        let part = nulls.slice(range.start, range.len());
        valid.extend(part.valid_slices().map(|(from, to)| range.start + from..range.start + to));
    }
    Rows(Cow::Owned(valid))
}

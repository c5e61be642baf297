//! The row index: for each row group of a column, where its values begin in the column's streams, and its statistics.

use super::protobuf::Message;
use super::statistics::Statistics;

/// The index of one column in one stripe.
#[derive(Debug, Default)]
pub(super) struct RowIndex {
    /// `ColumnStatistics` of each row group. Their positions are known only when the streams are.
    statistics: Vec<Message>,
    bytes: usize,
}

/// Bytes of a row group's positions: two streams' numbers, mostly two or three bytes each.
const POSITIONS_BYTES_GUESS: usize = 16;

impl RowIndex {
    /// Ends a row group.
    pub fn close_row_group(&mut self, statistics: &Statistics) {
        let statistics = statistics.encode();
        self.bytes += statistics.as_slice().len() + POSITIONS_BYTES_GUESS;
        self.statistics.push(statistics);
    }

    /// The message `RowIndex`. Both lists have as many numbers for each row group; those of the stream `PRESENT`, if
    /// there is one, come first.
    pub fn finish_stripe(&mut self, present: &[u64], values: &[u64]) -> Message {
        let groups = std::mem::take(&mut self.statistics);
        self.bytes = 0;
        let of_group = |positions: &[u64], group: usize| {
            let each = positions.len() / groups.len().max(1);
            positions[group * each..(group + 1) * each].to_vec()
        };
        let mut index = Message::default();
        for (group, statistics) in groups.iter().enumerate() {
            let positions = [of_group(present, group), of_group(values, group)].concat();
            let mut entry = Message::default();
            entry.packed(1, &positions).message(2, statistics);
            index.message(1, &entry);
        }
        index
    }

    /// Bytes of the index so far, before compression.
    pub fn stored_bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Memory held, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + self.statistics.capacity() * size_of::<Message>()
    }
}

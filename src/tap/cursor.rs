//! Where a reader stands in each shard, as text that a client hands back.

use std::fmt;

use crate::record::{SequenceNumber, ShardId};
use crate::stream::{Layout, ShardFacts};

/// For each shard the number of the record to read next. Written `0-17320_1-995`: shard, number, shard, number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// In the order of the shards.
    pub positions: Vec<(ShardId, SequenceNumber)>,
}

impl Cursor {
    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let position = |part: &str| {
            let (shard, number) = part.split_once('-')?;
            Some((ShardId(shard.parse().ok()?), SequenceNumber(number.parse().ok()?)))
        };
        let positions: Vec<_> = text.split('_').map(position).collect::<Option<_>>()?;
        positions.is_sorted_by(|(a, _), (b, _)| a < b).then_some(Self { positions })
    }

    /// The same, where a reader may have no shard: its cursor has no text.
    pub fn parse_any(text: &str) -> Option<Self> {
        if text.is_empty() { Some(Self::default()) } else { Self::parse(text) }
    }

    /// The position in `shard`.
    pub fn position(&self, shard: ShardId) -> Option<SequenceNumber> {
        let index = self.positions.binary_search_by_key(&shard, |(id, _)| *id).ok()?;
        self.positions.get(index).map(|&(_, position)| position)
    }

    /// Moves on to `position` in `shard`, if that is one of its shards.
    pub fn move_to(&mut self, shard: ShardId, position: SequenceNumber) {
        if let Ok(index) = self.positions.binary_search_by_key(&shard, |(id, _)| *id) {
            self.positions[index].1 = position;
        }
    }
}

impl Cursor {
    /// Takes the shards of `layout` in place of its own: new ones from their first record on. Those that are gone have
    /// been read.
    pub fn follow(&mut self, layout: &Layout) {
        let shards = || layout.shards().iter().map(|shard| &shard.facts);
        if shards().map(|shard| shard.id).eq(self.positions.iter().map(|(id, _)| *id)) {
            return;
        }
        let position = |shard: &ShardFacts| (shard.id, self.position(shard.id).unwrap_or(shard.first));
        self.positions = shards().map(position).collect();
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (shard, position)) in self.positions.iter().enumerate() {
            let separator = if index == 0 { "" } else { "_" };
            write!(f, "{separator}{}-{position}", shard.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_that_is_none_is_refused() {
        for text in ["", "1", "a-1", "1-", "1-2_", "1-2-3", "-1-2", "1-2_0-2", "1-2_1-2"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back_as_it_was_written(positions in prop::collection::btree_map(any::<u32>(), any::<u64>(), 1..5)) {
            let positions = positions.into_iter().map(|(id, at)| (ShardId(id), SequenceNumber(at))).collect();
            let cursor = Cursor { positions };
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
    }
}

//! Indexes that are kept open for readers of old records.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Places;
use crate::config::limits::{INDEX_READERS_MAX, INDEX_REBUILT_MAX};

/// The indexes of a journal that were used last: at most [`INDEX_READERS_MAX`], and of those that had to be made again in
/// memory at most [`INDEX_REBUILT_MAX`].
#[derive(Debug, Default)]
pub struct IndexReaders {
    /// By the number of the segment, the one that was used last at the end.
    open: Mutex<Vec<(u64, Arc<dyn Places>)>>,
    /// Held while one is made again: that needs the memory of one more.
    rebuilding: Mutex<()>,
}

impl IndexReaders {
    fn open(&self) -> MutexGuard<'_, Vec<(u64, Arc<dyn Places>)>> {
        // A list is whole after each of its operations.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of segment `number`, if it is there.
    pub fn get(&self, number: u64) -> Option<Arc<dyn Places>> {
        let mut open = self.open();
        let at = open.iter().position(|(of, _)| *of == number)?;
        open[at..].rotate_left(1);
        open.last().map(|(_, index)| Arc::clone(index))
    }

    /// Keeps the index of segment `number` in the place of another one of it, or of those that were not used for longest.
    pub fn put(&self, number: u64, index: Arc<dyn Places>) {
        let mut open = self.open();
        let out = take_if(&mut open, |(of, _)| *of == number);
        let rebuilt = open.iter().filter(|(_, index)| index.is_in_memory()).count();
        let oldest = match () {
            () if index.is_in_memory() && rebuilt >= INDEX_REBUILT_MAX => {
                take_if(&mut open, |(_, index)| index.is_in_memory())
            }
            () if open.len() >= INDEX_READERS_MAX => take_if(&mut open, |_| true),
            () => None,
        };
        open.push((number, index));
        drop(open);
        // Files are closed without the lock.
        drop((out, oldest));
    }

    /// Lets go of the index of segment `number`, whose file is about to be removed.
    pub fn forget(&self, number: u64) {
        let out = take_if(&mut self.open(), |(of, _)| *of == number);
        drop(out);
    }

    /// To be held while an index is made again, by one thread at a time.
    pub fn rebuilding(&self) -> MutexGuard<'_, ()> {
        self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Open = (u64, Arc<dyn Places>);

fn take_if(open: &mut Vec<Open>, is_it: impl Fn(&Open) -> bool) -> Option<Open> {
    let at = open.iter().position(is_it)?;
    Some(open.remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SequenceNumber;
    use crate::runtime::clock::UnixMicros;
    use crate::stream::wal::frame::ShardNumber;
    use crate::stream::wal::index::{GrowingIndex, IndexEntry, IndexError};

    /// An index that could be a file.
    #[derive(Debug)]
    struct File;

    impl Places for File {
        fn each_from(
            &self,
            _: ShardNumber,
            _: SequenceNumber,
            _: &mut dyn FnMut(IndexEntry) -> bool,
        ) -> Result<(), IndexError> {
            Ok(())
        }

        fn since(&self, _: ShardNumber, _: UnixMicros) -> Result<Option<SequenceNumber>, IndexError> {
            Ok(None)
        }

        fn is_in_memory(&self) -> bool {
            false
        }
    }

    fn numbers(readers: &IndexReaders) -> Vec<u64> {
        readers.open().iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn the_index_that_was_not_used_for_longest_goes_first() {
        let readers = IndexReaders::default();
        let max = INDEX_READERS_MAX as u64;
        (0..max).for_each(|number| readers.put(number, Arc::new(File)));
        assert!(readers.get(0).is_some());
        readers.put(max, Arc::new(File));
        assert!(readers.get(1).is_none());
        assert_eq!(numbers(&readers), (2..max).chain([0, max]).collect::<Vec<_>>());
        readers.forget(0);
        readers.put(max, Arc::new(File));
        assert_eq!(numbers(&readers), (2..=max).collect::<Vec<_>>());
    }

    #[test]
    fn few_of_them_are_in_memory() {
        let readers = IndexReaders::default();
        readers.put(0, Arc::new(File));
        for number in 1..10 {
            readers.put(number, Arc::new(GrowingIndex::default()));
        }
        let kept = (10 - INDEX_REBUILT_MAX as u64)..10;
        assert_eq!(numbers(&readers), std::iter::once(0).chain(kept).collect::<Vec<_>>());
    }
}

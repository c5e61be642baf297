//! In which order files were opened, are due and were used last, and how old their records are.
//!
//! A delivery with thousands of open files asks for the first of each order with every new partition and in every
//! round, so none of the answers may take a look at all of them. Files stand in slots, which are linked into lists; a
//! file that is used goes to the end of its list, which costs the same however many there are.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::runtime::clock::UnixMicros;

/// No slot.
const NONE: usize = usize::MAX;

/// The lists: all files as they were opened; then, as they were used, those of records and those of dead letters.
const OPENED: usize = 0;
const USED: usize = 1;
const USED_DEAD: usize = 2;

/// See the module.
#[derive(Debug)]
pub struct Order {
    slots: Vec<Slot>,
    /// Slots that have no file.
    free: Vec<usize>,
    lists: [List; 3],
    /// When each file is due, and its slot.
    by_due: BTreeSet<(Instant, usize)>,
    /// Oldest record of each file that has any, and its slot.
    by_record: BTreeSet<(UnixMicros, usize)>,
}

#[derive(Debug)]
struct Slot {
    key: Box<[u8]>,
    due: Instant,
    oldest_record: UnixMicros,
    is_dead: bool,
    /// In [`OPENED`], and in one of the other two.
    links: [Links; 2],
}

#[derive(Debug, Clone, Copy)]
struct Links {
    before: usize,
    behind: usize,
}

const UNLINKED: Links = Links { before: NONE, behind: NONE };

#[derive(Debug, Clone, Copy)]
struct List {
    first: usize,
    last: usize,
}

impl Default for Order {
    fn default() -> Self {
        let list = List { first: NONE, last: NONE };
        let (by_due, by_record) = (BTreeSet::new(), BTreeSet::new());
        Self { slots: Vec::new(), free: Vec::new(), lists: [list; 3], by_due, by_record }
    }
}

impl Order {
    /// Adds a file that was opened now, behind all others, and is due at some time; returns its slot.
    pub fn add(&mut self, key: &[u8], due: Instant, is_dead: bool) -> usize {
        let slot =
            Slot { key: key.into(), due, oldest_record: UnixMicros(i64::MAX), is_dead, links: [UNLINKED; 2] };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.by_due.insert((due, index));
        self.link(OPENED, index);
        self.link(used(is_dead), index);
        index
    }

    /// Takes a file out.
    pub fn remove(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let (is_dead, due, oldest) = (slot.is_dead, slot.due, slot.oldest_record);
        slot.key = Box::default();
        self.by_due.remove(&(due, index));
        self.by_record.remove(&(oldest, index));
        self.unlink(OPENED, index);
        self.unlink(used(is_dead), index);
        self.free.push(index);
    }

    /// Reads what [`Order::touch`] will need of a file. The value says nothing.
    #[inline]
    pub fn look_ahead(&self, index: usize) -> u8 {
        self.slots.get(index).map_or(0, |slot| slot.links[side(USED)].before as u8)
    }

    /// Notes that a file was used.
    #[inline]
    pub fn touch(&mut self, index: usize) {
        let Some(slot) = self.slots.get(index) else { return };
        let list = used(slot.is_dead);
        if self.lists[list].last != index {
            self.unlink(list, index);
            self.link(list, index);
        }
    }

    /// Notes the arrival of a file's oldest record, where that has changed.
    pub fn note_oldest_record(&mut self, index: usize, arrival: UnixMicros) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let before = std::mem::replace(&mut slot.oldest_record, arrival);
        self.by_record.remove(&(before, index));
        self.by_record.insert((arrival, index));
    }

    /// Key of the file of those of dead letters, or of the others, that was used least recently.
    pub fn least_recently_used(&self, is_dead: bool) -> Option<&[u8]> {
        self.slots.get(self.lists[used(is_dead)].first).map(|slot| &*slot.key)
    }

    /// Keys of all files, in the order in which they were opened.
    pub fn by_age(&self) -> impl Iterator<Item = &[u8]> {
        let first = self.slots.get(self.lists[OPENED].first);
        let next = |slot: &&Slot| self.slots.get(slot.links[OPENED].behind);
        std::iter::successors(first, next).map(|slot| &*slot.key)
    }

    /// Keys of all files and when they are due, in that order.
    pub fn by_due(&self) -> impl Iterator<Item = (&[u8], Instant)> {
        self.by_due.iter().filter_map(|&(due, index)| Some((&*self.slots.get(index)?.key, due)))
    }

    /// Arrival of the oldest record in any file.
    pub fn oldest_record(&self) -> Option<UnixMicros> {
        self.by_record.first().map(|&(arrival, _)| arrival)
    }

    fn link(&mut self, list: usize, index: usize) {
        let last = std::mem::replace(&mut self.lists[list].last, index);
        match self.slots.get_mut(last) {
            Some(slot) => slot.links[side(list)].behind = index,
            None => self.lists[list].first = index,
        }
        self.slots[index].links[side(list)] = Links { before: last, behind: NONE };
    }

    fn unlink(&mut self, list: usize, index: usize) {
        let side = side(list);
        let Links { before, behind } = std::mem::replace(&mut self.slots[index].links[side], UNLINKED);
        match self.slots.get_mut(before) {
            Some(slot) => slot.links[side].behind = behind,
            None => self.lists[list].first = behind,
        }
        match self.slots.get_mut(behind) {
            Some(slot) => slot.links[side].before = before,
            None => self.lists[list].last = before,
        }
    }
}

fn used(is_dead: bool) -> usize {
    if is_dead { USED_DEAD } else { USED }
}

/// Which of a slot's links are those of a list.
fn side(list: usize) -> usize {
    list.min(USED)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::runtime::clock;

    #[derive(Debug, Clone)]
    enum Step {
        Add { is_dead: bool, due_seconds: u64 },
        Remove(usize),
        Use(usize),
        Record(usize, i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (any::<bool>(), 0..9_u64).prop_map(|(is_dead, due_seconds)| Step::Add { is_dead, due_seconds }),
            2 => any::<usize>().prop_map(Step::Remove),
            4 => any::<usize>().prop_map(Step::Use),
            2 => (any::<usize>(), 0..9_i64).prop_map(|(file, arrival)| Step::Record(file, arrival)),
        ]
    }

    /// A file as a search through all of them would have it, by its key.
    #[derive(Debug)]
    struct Model {
        slot: usize,
        is_dead: bool,
        used: usize,
        due: Instant,
        oldest: Option<i64>,
    }

    proptest! {
        #[test]
        fn the_first_of_each_order_is_what_a_search_through_all_files_finds(steps in prop::collection::vec(step(), 0..80)) {
            let (mut order, mut model) = (Order::default(), BTreeMap::<usize, Model>::new());
            let now = clock::monotonic();
            for (tick, step) in steps.into_iter().enumerate() {
                let chosen = |file: usize| model.keys().nth(file % model.len().max(1)).copied();
                match step {
                    Step::Add { is_dead, due_seconds } => {
                        let due = now + Duration::from_secs(due_seconds);
                        let slot = order.add(&tick.to_be_bytes(), due, is_dead);
                        model.insert(tick, Model { slot, is_dead, used: tick, due, oldest: None });
                    }
                    Step::Remove(file) => {
                        if let Some(file) = chosen(file) {
                            order.remove(model.remove(&file).unwrap().slot);
                        }
                    }
                    Step::Use(file) => {
                        if let Some(file) = chosen(file).and_then(|file| model.get_mut(&file)) {
                            file.used = tick;
                            order.touch(file.slot);
                        }
                    }
                    Step::Record(file, arrival) => {
                        if let Some(file) = chosen(file).and_then(|file| model.get_mut(&file)) {
                            file.oldest = Some(arrival);
                            order.note_oldest_record(file.slot, UnixMicros(arrival));
                        }
                    }
                }
                for is_dead in [false, true] {
                    let files = model.iter().filter(|(_, file)| file.is_dead == is_dead);
                    let least = files.min_by_key(|(_, file)| file.used).map(|(key, _)| key.to_be_bytes());
                    prop_assert_eq!(order.least_recently_used(is_dead), least.as_ref().map(|key| &key[..]));
                }
                // Keys are the ticks at which files were opened.
                let opened: Vec<_> = order.by_age().map(|key| usize::from_be_bytes(key.try_into().unwrap())).collect();
                prop_assert_eq!(opened, model.keys().copied().collect::<Vec<_>>());
                let mut due: Vec<_> = model.values().map(|file| file.due).collect();
                due.sort();
                prop_assert_eq!(order.by_due().map(|(_, due)| due).collect::<Vec<_>>(), due);
                for (key, due) in order.by_due() {
                    prop_assert_eq!(model[&usize::from_be_bytes(key.try_into().unwrap())].due, due);
                }
                let oldest = model.values().filter_map(|file| file.oldest).min();
                prop_assert_eq!(order.oldest_record().map(|arrival| arrival.0), oldest);
            }
        }
    }
}

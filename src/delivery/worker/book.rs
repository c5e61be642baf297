//! The worker's side of the ledger: in which order facts are written, and how far everything is settled.
//!
//! A closed file goes to the ledger, then to the sink, then to the ledger again; only then may the log forget its
//! records. Whatever is ready is written in one append, so that many files cost one sync. While the ledger cannot be
//! written, closed files wait here and nothing more is read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use super::trouble::Trouble;
use crate::config::limits::LEDGER_SETTLED_MAX;
use crate::delivery::files::Files;
use crate::delivery::ledger::{
    Begun, Commit, Cursor, Dropped, Entry, Epoch, Gap, Ledger, Lost, OpenSeal, Seal, SealedRange, Shards,
    State,
};
use crate::delivery::seal::Sealed;
use crate::delivery::sink::Stored;
use crate::record::{SequenceNumber, ShardId};

/// See the module.
pub struct Book {
    ledger: Ledger,
    /// Configurations and shards that are news, to be written before everything else.
    news: Vec<Entry>,
    gaps: Vec<Gap>,
    /// Of files that are to be stored without it.
    lost: Vec<Lost>,
    /// Sent while they are filled, and not in the ledger yet, each with how many of `closed` were closed before it:
    /// numbers must come in the order in which they were given.
    begun: Vec<(usize, Begun)>,
    /// Begun, and given up.
    dropped: Vec<u64>,
    /// Shards that the stream has no more, and that the ledger knows.
    gone: BTreeSet<ShardId>,
    /// Closed, and not in the ledger yet.
    closed: Vec<Sealed>,
    /// Stored, and not committed yet.
    stored: Vec<(u64, Stored)>,
    /// Everything that is closed and not committed, by number of the seal.
    uncommitted: BTreeMap<u64, Contents>,
    /// Closed and committed by this process, with records beyond the cursor.
    beyond: BTreeMap<u64, Vec<SealedRange>>,
    /// Ranges of these, and of what this process has closed and not committed.
    sealed_len: usize,
    /// What earlier processes have closed had the numbers below.
    first_number: u64,
    cursor: BTreeMap<ShardId, SequenceNumber>,
    /// Whether the cursor may have moved although nothing was stored.
    moved: bool,
    /// The cursor must not move any more.
    frozen: bool,
    /// See [`LEDGER_SETTLED_MAX`].
    pub settled_max: usize,
    trouble: Trouble,
}

/// What the balance needs to know of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// What is in it.
    pub ranges: Vec<SealedRange>,
    /// Records in the object: fewer than in the ranges if the log has lost some before they were stored, and none if
    /// there is no object.
    pub records: u64,
    /// The reason code, if these are dead letters.
    pub dead: Option<String>,
    /// Whether they were passed over.
    pub passed: bool,
}

impl Contents {
    fn of(open: &OpenSeal) -> Self {
        let seal = &open.seal;
        let (ranges, dead) = (seal.ranges.clone(), seal.dead.clone());
        Self { ranges, records: open.records(), dead, passed: seal.passed }
    }
}

/// What an append has made a fact.
#[derive(Debug, Default)]
pub struct Written {
    /// Parts of these may be sent.
    pub begun: Vec<u64>,
    /// These may be stored.
    pub sealed: Vec<Sealed>,
    /// These are done with: number, what was in it, and the object.
    pub committed: Vec<(u64, Contents, Stored)>,
    /// Below these positions the log may forget.
    pub cursor: Vec<(ShardId, SequenceNumber)>,
}

impl Book {
    /// Goes on from where `state` has the delivery, with the cursor at `cursor`. `news` are written before
    /// anything else.
    pub fn new(
        ledger: Ledger,
        state: &State,
        cursor: BTreeMap<ShardId, SequenceNumber>,
        news: Vec<Entry>,
        trouble: Trouble,
    ) -> Self {
        let open = state.open.iter().map(|(&number, open)| (number, Contents::of(open)));
        Self {
            ledger,
            news,
            gaps: Vec::new(),
            lost: Vec::new(),
            begun: Vec::new(),
            dropped: Vec::new(),
            gone: BTreeSet::new(),
            closed: Vec::new(),
            stored: Vec::new(),
            uncommitted: open.collect(),
            beyond: BTreeMap::new(),
            sealed_len: 0,
            first_number: state.next_seal,
            cursor,
            moved: false,
            frozen: false,
            settled_max: LEDGER_SETTLED_MAX,
            trouble,
        }
    }

    /// The ledger itself.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Notes a configuration that is to follow.
    pub fn begin_epoch(&mut self, epoch: Epoch) {
        self.news.push(Entry::Epoch(epoch));
    }

    /// Notes shards that no file has records of yet.
    pub fn add_shards(&mut self, from: Vec<(ShardId, SequenceNumber)>) {
        self.news.push(Entry::Shards(Shards { from, gone: Vec::new() }));
    }

    /// Notes shards that the ledger knows and the stream has no more. It forgets each when no open file has records of
    /// it.
    pub fn lose_shards(&mut self, gone: impl IntoIterator<Item = ShardId>) {
        self.gone.extend(gone);
    }

    /// Those of them that may be forgotten.
    fn forgettable(&self) -> Vec<ShardId> {
        if self.gone.is_empty() {
            return Vec::new();
        }
        let open = self.uncommitted.values().flat_map(|contents| &contents.ranges);
        let held: HashSet<ShardId> = open.map(|range| range.shard).collect();
        self.gone.iter().copied().filter(|shard| !held.contains(shard)).collect()
    }

    /// Takes a closed file, which comes back from [`Book::write`] once it may be stored.
    pub fn close(&mut self, sealed: Sealed) {
        self.sealed_len += sealed.seal.ranges.len();
        let Seal { number, records, passed, .. } = sealed.seal;
        let (ranges, dead) = (sealed.seal.ranges.clone(), sealed.seal.dead.clone());
        self.uncommitted.insert(number, Contents { ranges, records, dead, passed });
        self.closed.push(sealed);
    }

    /// Notes a file that is to be sent while it is filled. Nothing of it may be sent before [`Book::write`] has its
    /// number.
    pub fn begin(&mut self, begun: Begun) {
        self.begun.push((self.closed.len(), begun));
    }

    /// Notes that nothing is left of a begun file, which will not be closed.
    pub fn drop_begun(&mut self, number: u64) {
        let waiting = self.begun.len();
        self.begun.retain(|(_, begun)| begun.number != number);
        if self.begun.len() == waiting {
            self.dropped.push(number);
        }
    }

    /// Notes what the log has lost of a file. It may be stored without that when [`Book::has_lost`] says no more.
    pub fn lose(&mut self, lost: Lost) {
        self.lost.push(lost);
    }

    /// Whether something is lost that is not written down yet.
    pub fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Notes an object that the sink has confirmed.
    pub fn stored(&mut self, number: u64, stored: Stored) {
        self.stored.push((number, stored));
    }

    /// Notes numbers that no file will have.
    pub fn gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
        self.moved = true;
    }

    /// What earlier processes have settled is read again, so that the cursor may pass it.
    pub fn pass_inherited(&mut self) {
        self.moved = true;
    }

    /// Keeps the cursor where it is from now on.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Whether nothing more may be read: closed files wait for the ledger, or it would remember more than it may if all
    /// that is open, with `open` ranges, were closed.
    pub fn is_full(&self, open: usize) -> bool {
        // What earlier processes have closed does not count: it is got rid of by reading.
        !self.closed.is_empty()
            || self.trouble.until().is_some()
            || self.sealed_len + open >= self.settled_max
    }

    /// When it is tried again to write, while that fails.
    pub fn retries_at(&self) -> Option<Instant> {
        self.trouble.until()
    }

    /// Whether it is time to close the file that holds the cursor back.
    pub fn is_long(&self, open: usize) -> bool {
        self.ledger.settled_len() + open >= self.settled_max / 2
    }

    /// Whether closed files wait to be written down.
    pub fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Closes and begins nothing more of what is not written: whoever goes on with the ledger reads those records again,
    /// so that the cursor stays before them.
    pub fn let_go_of_unwritten(&mut self) {
        self.closed.clear();
        self.begun.clear();
    }

    /// Whether everything that was noted is written.
    pub fn is_written(&self) -> bool {
        let moved = self.moved && !self.frozen;
        self.news.is_empty()
            && self.closed.is_empty()
            && self.stored.is_empty()
            && self.gaps.is_empty()
            && self.lost.is_empty()
            && self.begun.is_empty()
            && self.dropped.is_empty()
            && self.forgettable().is_empty()
            && !moved
    }

    /// Writes down whatever is ready, and `cursor`, which [`Book::next_cursor`] has given. Returns nothing if there was
    /// nothing to write, or if it could not be written.
    pub async fn write(&mut self, cursor: Vec<(ShardId, SequenceNumber)>) -> Option<Written> {
        if self.trouble.until().is_some() || self.is_written() {
            return None;
        }
        let entries = self.entries(&cursor);
        let (seals, commits) = (!self.closed.is_empty(), !self.stored.is_empty());
        let begins = !self.begun.is_empty();
        if seals {
            crate::crash_point!("ledger.seal.before");
        }
        if commits {
            crate::crash_point!("ledger.commit.before");
        }
        if !entries.is_empty()
            && let Err(error) = self.ledger.append(entries).await
        {
            self.trouble.failed("the ledger cannot be written", &error);
            return None;
        }
        if begins {
            crate::crash_point!("stream.begun");
        }
        if seals {
            crate::crash_point!("ledger.seal.after");
        }
        if commits {
            crate::crash_point!("ledger.commit.after");
        }
        if !cursor.is_empty() {
            crate::crash_point!("ledger.cursor.after");
        }
        self.trouble.passed();
        Some(self.take_written(cursor))
    }

    fn entries(&self, cursor: &[(ShardId, SequenceNumber)]) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.stored.len() + self.closed.len() + self.gaps.len() + 2);
        entries.extend(self.news.iter().cloned());
        entries.extend(self.stored.iter().map(|(number, stored)| {
            Entry::Commit(Commit { number: *number, etag: stored.etag.clone(), bytes: stored.bytes })
        }));
        entries.extend(self.gaps.iter().copied().map(Entry::Gap));
        entries.extend(self.lost.iter().cloned().map(Entry::Lost));
        if !cursor.is_empty() {
            entries.push(Entry::Cursor(Cursor { positions: cursor.to_vec() }));
        }
        if !self.dropped.is_empty() {
            entries.push(Entry::Dropped(Dropped { numbers: self.dropped.clone() }));
        }
        let gone = self.forgettable();
        if !gone.is_empty() {
            entries.push(Entry::Shards(Shards { from: Vec::new(), gone }));
        }
        let mut begun = self.begun.iter().peekable();
        for (index, sealed) in self.closed.iter().enumerate() {
            while let Some((_, begun)) = begun.next_if(|(closed, _)| *closed <= index) {
                entries.push(Entry::Begun(begun.clone()));
            }
            entries.push(Entry::Seal(sealed.seal.clone()));
        }
        entries.extend(begun.map(|(_, begun)| Entry::Begun(begun.clone())));
        entries
    }

    fn take_written(&mut self, cursor: Vec<(ShardId, SequenceNumber)>) -> Written {
        self.news.clear();
        self.gaps.clear();
        // As the entries were made, before anything is committed here.
        let gone = self.forgettable();
        for Lost { number, shards } in std::mem::take(&mut self.lost) {
            if let Some(contents) = self.uncommitted.get_mut(&number) {
                let sealed: u64 = contents.ranges.iter().map(|range| range.records).sum();
                contents.records = sealed.saturating_sub(shards.iter().map(|(_, lost)| lost).sum());
            }
        }
        self.moved = false;
        let mut committed = Vec::with_capacity(self.stored.len());
        for (number, stored) in std::mem::take(&mut self.stored) {
            if let Some(contents) = self.uncommitted.remove(&number) {
                if number >= self.first_number {
                    self.beyond.insert(number, contents.ranges.clone());
                }
                committed.push((number, contents, stored));
            }
        }
        self.cursor.extend(cursor.iter().copied());
        if !cursor.is_empty() {
            let Self { beyond, cursor, .. } = self;
            let is_beyond = |range: &SealedRange| cursor.get(&range.shard).is_none_or(|at| range.last >= *at);
            beyond.retain(|_, ranges| ranges.iter().any(is_beyond));
            self.count_sealed();
        }
        if !gone.is_empty() {
            self.forget_shards(&gone);
        }
        self.dropped.clear();
        let begun = std::mem::take(&mut self.begun).iter().map(|(_, begun)| begun.number).collect();
        Written { begun, sealed: std::mem::take(&mut self.closed), committed, cursor }
    }

    fn count_sealed(&mut self) {
        let open = self.uncommitted.range(self.first_number..).map(|(_, contents)| &contents.ranges);
        self.sealed_len = self.beyond.values().chain(open).map(Vec::len).sum();
    }

    fn forget_shards(&mut self, gone: &[ShardId]) {
        for shard in gone {
            self.gone.remove(shard);
            self.cursor.remove(shard);
        }
        self.beyond.retain(|_, ranges| {
            ranges.retain(|range| !gone.contains(&range.shard));
            !ranges.is_empty()
        });
        self.count_sealed();
    }

    /// The positions that have moved: of each shard the first record that is neither committed nor about to be
    /// committed with the next append. `positions` are the first that are not read.
    pub fn next_cursor(
        &self,
        positions: &[(ShardId, SequenceNumber)],
        files: &Files,
    ) -> Vec<(ShardId, SequenceNumber)> {
        if self.frozen || (self.stored.is_empty() && !self.moved) {
            return Vec::new();
        }
        let mut first: BTreeMap<ShardId, SequenceNumber> = positions.iter().copied().collect();
        let stored: HashSet<u64> = self.stored.iter().map(|(number, _)| *number).collect();
        let held = self.uncommitted.iter().filter(|(number, _)| !stored.contains(number));
        let held = held.flat_map(|(_, contents)| &contents.ranges);
        for range in files.ranges().chain(held) {
            if let Some(first) = first.get_mut(&range.shard) {
                *first = range.first.min(*first);
            }
        }
        first.retain(|shard, first| self.cursor.get(shard).is_none_or(|cursor| *first > *cursor));
        first.into_iter().collect()
    }
}

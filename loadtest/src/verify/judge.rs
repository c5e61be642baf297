//! Counts what was seen against what has to be there.
//!
//! - **missing**: acked by a manifest and not seen. Without a manifest: below the greatest sequence that was seen of
//!   its producer, and not seen. A damaged record does not count as seen.
//! - **duplicated**: seen again, in whatever object, dead letters included.
//! - **reordered**: within one file, behind a record of the same producer and partition key with a greater
//!   sequence. Names of files say nothing about time, so files are not compared with each other; dead letters come
//!   from anywhere and have no order. What is a duplicate is not counted here as well.
//! - An *unknown* record was sent, and no reply says what became of it: it may be there, but not twice.
//! - An *uncertain* record was sent again without an idempotency key, and may be there twice or out of order.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use super::bitmap::{Bitmap, PAGE_BYTES};
use super::lake::Object;
use super::sighting::{Batch, Sighting};
use super::verdict::{EXAMPLES_MAX, Finding, FindingKind, REASONS_MAX, Verdict};
use crate::manifest::{Account, Manifest};

/// Bytes of the bitmaps: one bit a record, so that 1 GiB is enough for 8.6 × 10⁹ records.
pub const BITMAP_BYTES_MAX: u64 = 1 << 30;

/// Producers of a lake. Each costs about 200 bytes besides its bitmap.
pub const PRODUCERS_MAX: usize = 2_000_000;

/// Pairs of producer and partition key in the files that are being read: 4 Mi × about 40 bytes = 160 MiB.
pub const ORDER_KEYS_MAX: usize = 4 << 20;

/// More than memory is planned for.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LimitError {
    /// Too many records, or too far apart.
    #[error(
        "the lake needs bitmaps of more than {BITMAP_BYTES_MAX} bytes: verify its folders one by one, without a \
         manifest"
    )]
    Bitmaps,
    /// Too many producers.
    #[error("the lake has records of more than {PRODUCERS_MAX} producers: verify its folders one by one")]
    Producers,
}

pub(super) struct Judge<'a> {
    objects: &'a [Object],
    accounts: HashMap<&'a str, &'a Account>,
    has_manifest: bool,
    places: HashMap<Arc<str>, usize>,
    producers: Vec<Producer<'a>>,
    bitmap_bytes: u64,
    /// For each file that is being read: the greatest sequence so far, by producer and key.
    order: HashMap<usize, HashMap<(usize, u64), u64>>,
    order_keys: usize,
    verdict: Verdict,
}

struct Producer<'a> {
    name: Arc<str>,
    account: Option<&'a Account>,
    seen: Bitmap,
    greatest: Option<u64>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(lake: &str, objects: &'a [Object], manifests: &'a [Manifest]) -> Self {
        let accounts = manifests.iter().flat_map(|manifest| &manifest.producers);
        Self {
            objects,
            accounts: accounts.map(|account| (account.producer.as_str(), account)).collect(),
            has_manifest: !manifests.is_empty(),
            places: HashMap::new(),
            producers: Vec::new(),
            bitmap_bytes: 0,
            order: HashMap::new(),
            order_keys: 0,
            verdict: Verdict { lake: lake.to_owned(), ..Verdict::default() },
        }
    }

    /// Takes what a reader has seen. Batches of one object come in its order.
    pub(super) fn hear(&mut self, batch: Batch) -> Result<(), LimitError> {
        let places: Vec<_> = batch.producers.iter().map(|name| self.place(name)).collect::<Result<_, _>>()?;
        for sighting in &batch.sightings {
            self.sighting(batch.object, places[sighting.producer as usize], sighting)?;
        }
        let object = &self.objects[batch.object];
        for damage in batch.damages {
            self.verdict.damaged += 1;
            let rest = if damage.is_rest { "nothing from here on can be read: " } else { "" };
            self.verdict.find(FindingKind::Damaged, || Finding {
                object: Some(object.path.to_string()),
                row: Some(damage.row),
                detail: Some(format!("{rest}{}", damage.reason)),
                ..finding(FindingKind::Damaged)
            });
        }
        for (reason, count) in batch.reasons {
            let reasons = &mut self.verdict.dead_letter_reasons;
            let is_known = reasons.contains_key(&reason) || reasons.len() < REASONS_MAX;
            *reasons.entry(if is_known { reason } else { "other".into() }).or_default() += count;
        }
        self.verdict.foreign += batch.foreign;
        self.verdict.hash_unchecked += batch.unhashed;
        Ok(())
    }

    /// All of an object was read.
    pub(super) fn done(&mut self, object: usize) {
        self.verdict.objects += 1;
        self.verdict.bytes += self.objects[object].bytes;
        let order = self.order.remove(&object);
        self.order_keys -= order.map_or(0, |order| order.len());
    }

    /// Says what there is to say once all objects were read.
    pub(super) fn finish(mut self) -> Result<Verdict, LimitError> {
        let mut known: Vec<_> = self.accounts.keys().copied().collect();
        known.sort_unstable();
        for name in known {
            self.place(&Arc::from(name))?;
        }
        for index in 0..self.producers.len() {
            self.judge_gaps(index);
        }
        self.verdict.producers = self.producers.len() as u64;
        self.verdict.decide(self.has_manifest);
        Ok(self.verdict)
    }

    fn place(&mut self, name: &Arc<str>) -> Result<usize, LimitError> {
        if let Some(&place) = self.places.get(name) {
            return Ok(place);
        }
        let place = self.producers.len();
        if place == PRODUCERS_MAX {
            return Err(LimitError::Producers);
        }
        let account = self.accounts.get(&**name).copied();
        let producer = Producer { name: Arc::clone(name), account, seen: Bitmap::default(), greatest: None };
        self.producers.push(producer);
        self.places.insert(Arc::clone(name), place);
        Ok(place)
    }

    fn sighting(&mut self, object: usize, place: usize, sighting: &Sighting) -> Result<(), LimitError> {
        let sequence = sighting.sequence;
        let is_dead_letter = self.objects[object].is_dead_letters;
        let producer = &mut self.producers[place];
        producer.greatest = producer.greatest.max(Some(sequence));
        let inserted = producer.seen.insert(sequence);
        if inserted.has_grown {
            self.bitmap_bytes += PAGE_BYTES;
            if self.bitmap_bytes > BITMAP_BYTES_MAX {
                return Err(LimitError::Bitmaps);
            }
        }
        *(if is_dead_letter { &mut self.verdict.dead_lettered } else { &mut self.verdict.records }) += 1;
        let account = producer.account;
        let is_uncertain = || account.is_some_and(|account| account.uncertain.contains(sequence));
        if !inserted.is_new {
            if is_uncertain() {
                self.verdict.uncertain_duplicated += 1;
            } else {
                self.verdict.duplicated += 1;
                self.find(FindingKind::Duplicated, object, place, sighting);
            }
            return Ok(());
        }
        if let Some(account) = account
            && !account.acked.contains(sequence)
        {
            if is_uncertain() || account.unknown.contains(sequence) {
                self.verdict.unknown_present += 1;
            } else {
                self.verdict.unacked += 1;
                self.find(FindingKind::Unacked, object, place, sighting);
            }
        }
        // One that nobody answered may have been written later than what was sent after it.
        let is_open = || is_uncertain() || account.is_some_and(|account| account.unknown.contains(sequence));
        if !is_dead_letter && self.is_out_of_order(object, place, sighting) && !is_open() {
            self.verdict.reordered += 1;
            self.find(FindingKind::Reordered, object, place, sighting);
        }
        Ok(())
    }

    fn find(&mut self, kind: FindingKind, object: usize, place: usize, sighting: &Sighting) {
        self.verdict.find(kind, || Finding {
            object: Some(self.objects[object].path.to_string()),
            row: Some(sighting.row),
            producer: Some(self.producers[place].name.to_string()),
            sequences: Some((sighting.sequence, sighting.sequence)),
            ..finding(kind)
        });
    }

    fn is_out_of_order(&mut self, object: usize, place: usize, sighting: &Sighting) -> bool {
        let Some(key) = sighting.key else {
            self.verdict.order_unchecked += 1;
            return false;
        };
        let order = self.order.entry(object).or_default();
        if let Some(greatest) = order.get_mut(&(place, key)) {
            let is_out_of_order = sighting.sequence < *greatest;
            *greatest = sighting.sequence.max(*greatest);
            return is_out_of_order;
        }
        if self.order_keys == ORDER_KEYS_MAX {
            self.verdict.order_unchecked += 1;
            return false;
        }
        self.order_keys += 1;
        order.insert((place, key), sighting.sequence);
        false
    }

    fn judge_gaps(&mut self, index: usize) {
        let producer = &self.producers[index];
        let expected: Vec<(u64, u64)> = match (producer.account, producer.greatest) {
            (Some(account), _) => account.acked.iter().collect(),
            (None, _) if self.has_manifest => {
                self.verdict.producers_without_manifest += 1;
                return;
            }
            (None, Some(greatest)) => vec![(0, greatest)],
            (None, None) => return,
        };
        for (first, last) in expected {
            let count = last - first + 1;
            let missing = count - producer.seen.count(first, last);
            self.verdict.expected += count;
            self.verdict.missing += missing;
            if missing > 0 {
                for gap in gaps(&producer.seen, first, last) {
                    self.verdict.find(FindingKind::Missing, || Finding {
                        producer: Some(producer.name.to_string()),
                        sequences: Some(gap),
                        ..finding(FindingKind::Missing)
                    });
                }
            }
        }
    }
}

/// The first gaps of a range that has some.
fn gaps(seen: &Bitmap, first: u64, last: u64) -> Vec<(u64, u64)> {
    let mut gaps: Vec<(u64, u64)> = Vec::new();
    for sequence in (first..=last).filter(|&sequence| !seen.contains(sequence)) {
        let count = gaps.len();
        match gaps.last_mut() {
            Some((_, end)) if *end + 1 == sequence => *end = sequence,
            _ if count == EXAMPLES_MAX => break,
            _ => gaps.push((sequence, sequence)),
        }
    }
    gaps
}

fn finding(kind: FindingKind) -> Finding {
    Finding { kind, object: None, row: None, producer: None, sequences: None, detail: None }
}

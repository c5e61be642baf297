//! Dead letters in numbers: by delivery and reason.
//!
//! ```json
//! {"complete":true,"groups":[{"stream":"web","delivery":"lake","reason":"schema","files":2,"records":31,
//!   "stored_bytes":1204,"oldest":"2026-01-31T08:00:00.000000Z"}],"problems":[],"notes":[]}
//! ```
//! Where there is a ledger it tells all of this, and no store is asked. Without one every letter is read, for as long as
//! there is time; `complete` is false where that was not enough, or where a ledger has forgotten older files.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use super::files::{Committed, DeadFile};
use super::filter::Filter;
use super::letter::Letter;
use super::letter_box::LetterBox;
use super::page::PageError;
use super::patience::Patience;
use super::shown::as_time;
use super::visit::Visitor;
use crate::config::limits::{DEAD_LETTER_GROUPS_MAX, DEAD_LETTER_PROBLEMS_SHOWN};
use crate::runtime::budget::Budget;
use crate::runtime::clock::UnixMicros;
use crate::runtime::paid_text::PaidText;

/// Letters of a delivery with one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Count {
    files: u64,
    records: u64,
    stored_bytes: u64,
    #[serde(serialize_with = "as_time")]
    oldest: UnixMicros,
}

/// By reason.
type Counts = BTreeMap<String, Count>;

#[derive(Serialize)]
struct Group<'a> {
    stream: &'a str,
    delivery: &'a str,
    reason: &'a str,
    #[serde(flatten)]
    count: &'a Count,
}

#[derive(Serialize)]
struct Report<'a> {
    complete: bool,
    groups: Vec<Group<'a>>,
    problems: &'a [String],
    notes: Vec<String>,
}

/// Counts what `boxes` have. Of `filter` stream, delivery and reasons count. Blocks the thread.
///
/// # Errors
/// If it cannot be told.
pub fn summary(
    boxes: &[LetterBox],
    filter: &Filter,
    patience: &Patience,
    budget: &Arc<Budget>,
) -> Result<PaidText, PageError> {
    let mut visitor = Visitor::new(filter, patience).paying_from(Arc::clone(budget));
    let (mut complete, mut counted) = (true, Vec::new());
    for letter_box in boxes.iter().filter(|it| filter.takes_delivery(it.stream(), it.delivery())) {
        let failed = |source| PageError::Files { delivery: letter_box.delivery().to_owned(), source };
        let (counts, is_whole) =
            match letter_box.count(&Counts::new(), patience, count_file).map_err(failed)? {
                Some((counts, has_forgotten)) => (counts, !has_forgotten),
                None => {
                    let found = letter_box.files(None, filter, patience).map_err(failed)?;
                    read(&found.files, &mut visitor)?
                }
            };
        complete &= is_whole;
        counted.push((letter_box, counts));
    }
    let mut groups = Vec::new();
    for (letter_box, counts) in &counted {
        let (stream, delivery) = (letter_box.stream(), letter_box.delivery());
        let taken = counts.iter().filter(|(reason, _)| filter.takes_reason(reason));
        groups.extend(taken.map(|(reason, count)| Group { stream, delivery, reason, count }));
    }
    let problems = visitor.problems();
    let problems = problems.get(..DEAD_LETTER_PROBLEMS_SHOWN).unwrap_or(problems);
    let report = Report { complete, groups, problems, notes: visitor.notes(&[]) };
    let mut text = PaidText::new(budget);
    serde_json::to_writer(&mut text, &report).map_err(|_| PageError::NoMemory)?;
    Ok(text)
}

fn count_file(counts: &mut Counts, file: Committed) {
    let Committed { seal, records, bytes } = file;
    let reason = seal.dead.unwrap_or_default();
    let new = Count { files: 1, records, stored_bytes: bytes, oldest: seal.oldest };
    counts.entry(reason).and_modify(|known| known.add(&new)).or_insert(new);
}

/// Reads all letters. Returns whether that was possible.
fn read(files: &[DeadFile], visitor: &mut Visitor<'_>) -> Result<(Counts, bool), PageError> {
    let mut counts = Counts::new();
    for (index, file) in files.iter().enumerate() {
        let mut in_file = Counts::new();
        let step = visitor.visit(file, &mut |_, letter| {
            if !in_file.contains_key(&letter.reason) && counts.len() + in_file.len() >= DEAD_LETTER_GROUPS_MAX
            {
                return Ok(ControlFlow::Break(()));
            }
            count_letter(&mut in_file, file, letter);
            Ok(ControlFlow::Continue(()))
        });
        for (reason, count) in in_file {
            counts.entry(reason).and_modify(|known| known.add(&count)).or_insert(count);
        }
        if !step.is_ok_and(|step| step.is_continue()) {
            return match visitor.failure() {
                Some(failure) if index == 0 => Err(PageError::of(file, Some(failure))),
                _ => Ok((counts, false)),
            };
        }
    }
    Ok((counts, true))
}

fn count_letter(counts: &mut Counts, file: &DeadFile, letter: Letter) {
    let new = Count { files: 1, records: 1, stored_bytes: file.bytes, oldest: letter.arrival };
    let another = |known: &mut Count| {
        known.records += 1;
        known.oldest = known.oldest.min(letter.arrival);
    };
    counts.entry(letter.reason).and_modify(another).or_insert(new);
}

impl Count {
    fn add(&mut self, other: &Count) {
        self.files += other.files;
        self.records += other.records;
        self.stored_bytes += other.stored_bytes;
        self.oldest = self.oldest.min(other.oldest);
    }
}

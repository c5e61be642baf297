//! A page of dead letters, as JSON: bounded in letters, bytes and time, and paid for as it grows.
//!
//! ```json
//! {"letters":[…],"next":"…","more":true,"problems":[],"notes":[]}
//! ```
//! `next` is where to go on, whether or not there is more by now: what is stored later comes behind it. The order is that
//! of the names of the deliveries, then that in which files were stored.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use super::files::{DeadFile, FilesError};
use super::filter::Filter;
use super::letter::Letter;
use super::letter_box::LetterBox;
use super::patience::Patience;
use super::place::{FileName, Place};
use super::reader::ReadLetterError;
use super::shown::Shown;
use super::visit::Visitor;
use crate::config::limits::{DEAD_LETTER_PAGE_BYTES_MAX, DEAD_LETTER_PROBLEMS_SHOWN};
use crate::runtime::budget::Budget;
use crate::runtime::paid_text::PaidText;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which letters.
    pub filter: Filter,
    /// Those behind this place.
    pub after: Option<Place>,
    /// So many of them at most, and at least one.
    pub letters_max: u64,
    /// Whether with their payloads.
    pub has_payloads: bool,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// The JSON object.
    pub text: PaidText,
    /// Letters in it.
    pub letters: u64,
}

/// Why there is none.
#[derive(Debug, Error)]
pub enum PageError {
    /// It is not known which files a delivery has.
    #[error("delivery '{delivery}': {source}")]
    Files {
        /// The delivery.
        delivery: String,
        /// Why.
        source: FilesError,
    },
    /// A file cannot be read at the moment.
    #[error("delivery '{delivery}': {key}: {why}")]
    Store {
        /// The delivery.
        delivery: String,
        /// The file.
        key: String,
        /// Why.
        why: String,
    },
    /// Not even the first letter fits into memory.
    #[error("there is no memory for a letter at the moment")]
    NoMemory,
    /// Nothing was found in the time that there is.
    #[error("nothing was read in the time that there is")]
    Time,
}

impl PageError {
    /// Why a visitor has stopped, if it has not just seen enough.
    pub(super) fn of(file: &DeadFile, failure: Option<&ReadLetterError>) -> Self {
        match failure {
            None => PageError::Time,
            Some(ReadLetterError::NoMemory { .. }) => PageError::NoMemory,
            Some(error) => PageError::Store {
                delivery: file.delivery.clone(),
                key: file.key.clone(),
                why: error.to_string(),
            },
        }
    }
}

/// The members behind the letters.
#[derive(Serialize)]
struct Rest<'a> {
    next: Option<String>,
    more: bool,
    problems: &'a [String],
    notes: Vec<String>,
}

/// Makes a page of what `boxes` have, which are in the order of their deliveries' names. Blocks the thread.
///
/// # Errors
/// If there is nothing to be shown, and what follows cannot be read.
pub fn page(
    boxes: &[LetterBox],
    ask: &Ask,
    patience: &Patience,
    budget: &Arc<Budget>,
) -> Result<Page, PageError> {
    let visitor = Visitor::new(&ask.filter, patience).paying_from(Arc::clone(budget));
    let text = PaidText::new(budget);
    let (next, notes) = (ask.after.clone(), Vec::new());
    let mut making = Making { ask, visitor, text, letters: 0, next, has_moved: false, more: false, notes };
    making.write(b"{\"letters\":[")?;
    for letter_box in boxes {
        if making.box_of(letter_box, patience)?.is_break() {
            making.more = true;
            break;
        }
    }
    making.end()
}

/// A page that is being made.
struct Making<'a> {
    ask: &'a Ask,
    visitor: Visitor<'a>,
    text: PaidText,
    letters: u64,
    /// Everything before it is in the page, or none of what is asked for.
    next: Option<Place>,
    /// Whether anything was looked at.
    has_moved: bool,
    more: bool,
    notes: Vec<String>,
}

impl Making<'_> {
    fn write(&mut self, piece: &[u8]) -> Result<(), PageError> {
        self.text.write_all(piece).map_err(|_| PageError::NoMemory)
    }

    /// Shows what a delivery has. Breaks where the page ends before that does.
    fn box_of(&mut self, letter_box: &LetterBox, patience: &Patience) -> Result<ControlFlow<()>, PageError> {
        let ask = self.ask;
        let name = letter_box.delivery();
        let is_passed = ask.after.as_ref().is_some_and(|after| after.delivery.as_str() > name);
        if is_passed || !ask.filter.takes_delivery(letter_box.stream(), name) {
            return Ok(ControlFlow::Continue(()));
        }
        let after = ask.after.as_ref().filter(|after| after.delivery == name);
        let found = match letter_box.files(after, &ask.filter, patience) {
            Ok(found) => found,
            Err(_) if self.has_moved => return Ok(ControlFlow::Break(())),
            Err(source) => return Err(PageError::Files { delivery: name.to_owned(), source }),
        };
        if found.has_forgotten {
            self.notes.push(format!(
                "older files of {}/{name} are not in its ledger's history any more: forebay dlq ls --list finds them \
                 in the sink",
                letter_box.stream()
            ));
        }
        for file in &found.files {
            let of_file = match file.number {
                Some(number) => FileName::Sealed(number),
                None => FileName::Listed(file.key.clone()),
            };
            let first = after.filter(|after| after.file == of_file).and_then(|after| after.row);
            let (step, row) = self.file(file, first.unwrap_or_default())?;
            self.has_moved |= step.is_continue() || row > first.unwrap_or_default();
            if step.is_break() && !self.has_moved {
                return Err(PageError::of(file, self.visitor.failure()));
            }
            let row = step.is_break().then_some(row);
            self.next = Some(Place { delivery: name.to_owned(), file: of_file, row });
            if step.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(if found.has_more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Shows the letters of a file from line `first` on. Breaks where the page ends, and tells the line to go on with.
    fn file(&mut self, file: &DeadFile, first: u64) -> Result<(ControlFlow<()>, u64), PageError> {
        let Self { ask, visitor, text, letters, .. } = self;
        let mut does_not_fit = None;
        let step = visitor.visit_from(first, file, &mut |row, letter| {
            let before = text.len();
            if put(text, *letters > 0, (file, row, &letter), ask.has_payloads).is_err() {
                text.cut_to(before);
                does_not_fit = Some(row);
                return Ok(ControlFlow::Break(()));
            }
            *letters += 1;
            let is_full = *letters >= ask.letters_max || text.len() >= DEAD_LETTER_PAGE_BYTES_MAX;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        if does_not_fit.is_some() && self.letters == 0 {
            return Err(PageError::NoMemory);
        }
        // Whoever looks has no errors of its own.
        let step = step.unwrap_or(ControlFlow::Break(()));
        Ok((step, does_not_fit.unwrap_or(self.visitor.next_row())))
    }

    fn end(mut self) -> Result<Page, PageError> {
        let problems = self.visitor.problems();
        let mut notes = self.visitor.notes(&self.notes);
        let shown = problems.get(..DEAD_LETTER_PROBLEMS_SHOWN).unwrap_or(problems);
        if shown.len() < problems.len() {
            notes.push(format!("{} more problems are not shown", problems.len() - shown.len()));
        }
        let next = self.next.as_ref().map(Place::to_string);
        let rest = Rest { next, more: self.more, problems: shown, notes };
        // A struct of strings always serialises.
        let rest = serde_json::to_vec(&rest).unwrap_or_default();
        self.write(b"],")?;
        self.write(rest.get(1..).unwrap_or(b"}"))?;
        Ok(Page { text: self.text, letters: self.letters })
    }
}

fn put(
    text: &mut PaidText,
    is_behind_another: bool,
    (file, row, letter): (&DeadFile, u64, &Letter),
    has_payloads: bool,
) -> io::Result<()> {
    if is_behind_another {
        text.write_all(b",")?;
    }
    let shown =
        if has_payloads { Shown::of(file, row, letter) } else { Shown::without_payload(file, row, letter) };
    Ok(serde_json::to_writer(text, &shown)?)
}

#[cfg(test)]
mod tests;

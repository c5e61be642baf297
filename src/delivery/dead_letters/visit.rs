//! The letters of files, one by one, and what could not be read of them.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::files::DeadFile;
use super::filter::Filter;
use super::letter::Letter;
use super::patience::Patience;
use super::reader::{LetterReader, ReadLetterError};
use crate::runtime::budget::Budget;

/// Problems that are kept; the rest is counted. 300 bytes each.
const PROBLEMS_MAX: usize = 1_000;

/// Who looks at a letter: it is told its line, from 0.
pub type Look<'a> = dyn FnMut(u64, Letter) -> io::Result<ControlFlow<()>> + 'a;

/// Reads files, and keeps what went wrong.
#[derive(Debug)]
pub struct Visitor<'a> {
    filter: &'a Filter,
    patience: &'a Patience,
    budget: Option<Arc<Budget>>,
    problems: Vec<String>,
    problems_left_out: u64,
    gone: u64,
    others: u64,
    next_row: u64,
    failure: Option<ReadLetterError>,
}

impl<'a> Visitor<'a> {
    /// Shows the letters that `filter` means.
    pub fn new(filter: &'a Filter, patience: &'a Patience) -> Self {
        Self {
            filter,
            patience,
            budget: None,
            problems: Vec::new(),
            problems_left_out: 0,
            gone: 0,
            others: 0,
            next_row: 0,
            failure: None,
        }
    }

    /// Has letters paid for from `budget`, and stops where a store fails, memory is short or the patience is over: what
    /// is behind that may be read another time.
    #[must_use]
    pub fn paying_from(self, budget: Arc<Budget>) -> Self {
        Self { budget: Some(budget), ..self }
    }

    /// Shows the letters of a file to `look`, until that has seen enough.
    ///
    /// # Errors
    /// Those of `look`. What cannot be read is a problem, and no error.
    pub fn visit(&mut self, file: &DeadFile, look: &mut Look<'_>) -> io::Result<ControlFlow<()>> {
        self.visit_from(0, file, look)
    }

    /// The same for those in line `first` (from 0) and behind it.
    ///
    /// # Errors
    /// As [`Visitor::visit`].
    pub fn visit_from(
        &mut self,
        first: u64,
        file: &DeadFile,
        look: &mut Look<'_>,
    ) -> io::Result<ControlFlow<()>> {
        self.next_row = first;
        let mut reader = match LetterReader::open(&file.sink, &file.key, self.patience) {
            Ok(Some(reader)) => match &self.budget {
                Some(budget) => reader.paid_by(budget.take_anyway(0)),
                None => reader,
            },
            Ok(None) => {
                self.gone += 1;
                return Ok(ControlFlow::Continue(()));
            }
            Err(error) => return Ok(self.meet(file, error)),
        };
        let mut rows = 0;
        loop {
            if self.budget.is_some() && self.patience.is_over() {
                return Ok(ControlFlow::Break(()));
            }
            match reader.read_letter() {
                Ok(Some((row, letter))) => {
                    rows += 1;
                    self.next_row = first.max(rows);
                    let is_meant = row >= first && self.filter.takes(&letter);
                    if is_meant && look(row, letter)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(None) => break,
                // Below an error prefix that begins with a field there are files of records as well.
                Err(ReadLetterError::Line { row: 1, .. }) if file.records.is_none() => {
                    self.others += 1;
                    return Ok(ControlFlow::Continue(()));
                }
                Err(error @ ReadLetterError::Line { .. }) => {
                    if rows >= first {
                        self.problem(file, &error.to_string());
                    }
                    rows += 1;
                    self.next_row = first.max(rows);
                }
                Err(error) => return Ok(self.meet(file, error)),
            }
        }
        if let Some(records) = file.records.filter(|&records| records != rows) {
            self.problem(file, &format!("it has {rows} letters, and the ledger says {records}"));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Nothing more of a file can be read.
    fn meet(&mut self, file: &DeadFile, error: ReadLetterError) -> ControlFlow<()> {
        if self.budget.is_some() && error.is_passing() {
            self.failure = Some(error);
            return ControlFlow::Break(());
        }
        self.problem(file, &error.to_string());
        ControlFlow::Continue(())
    }

    /// The line (from 0) behind the last one that was looked at, of the last file.
    pub fn next_row(&self) -> u64 {
        self.next_row
    }

    /// What it has stopped at, if it pays for what it reads.
    pub fn failure(&self) -> Option<&ReadLetterError> {
        self.failure.as_ref()
    }

    /// Keeps a problem with a file.
    pub fn problem(&mut self, file: &DeadFile, what: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(format!("{}/{}: {}: {what}", file.stream, file.delivery, file.key));
        } else {
            self.problems_left_out += 1;
        }
    }

    /// Whether everything could be read.
    pub fn is_well(&self) -> bool {
        self.problems.is_empty()
    }

    /// What went wrong.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What is worth knowing, behind `notes` that there are already.
    pub fn notes(&self, notes: &[String]) -> Vec<String> {
        let mut all = notes.to_vec();
        if self.gone > 0 {
            all.push(format!("{} files are not in the sink any more: they were moved or removed", self.gone));
        }
        if self.others > 0 {
            all.push(format!("{} files below the error prefix have no dead letters", self.others));
        }
        if self.problems_left_out > 0 {
            all.push(format!("{} more problems are not named", self.problems_left_out));
        }
        all
    }

    /// Prints problems and notes.
    pub fn print(&self, notes: &[String], out: &mut dyn Write) -> io::Result<()> {
        for problem in &self.problems {
            writeln!(out, "problem: {problem}")?;
        }
        for note in self.notes(notes) {
            writeln!(out, "note: {note}")?;
        }
        Ok(())
    }
}

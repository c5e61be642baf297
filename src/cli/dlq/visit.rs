//! The letters of files, one by one, and what could not be read of them.

use std::io::{self, Write};
use std::ops::ControlFlow;

use tokio::runtime::Handle;

use super::filter::Filter;
use crate::delivery::dead_letters::{DeadFile, Letter, LetterReader, ReadLetterError};

/// Problems that are kept; the rest is counted. 300 bytes each.
const PROBLEMS_MAX: usize = 1_000;

/// Who looks at a letter: it is told its line, from 0.
pub type Look<'a> = dyn FnMut(u64, Letter) -> io::Result<ControlFlow<()>> + 'a;

/// Reads files, and keeps what went wrong.
#[derive(Debug)]
pub struct Visitor<'a> {
    filter: &'a Filter,
    runtime: &'a Handle,
    problems: Vec<String>,
    problems_left_out: u64,
    gone: u64,
    others: u64,
}

impl<'a> Visitor<'a> {
    /// Shows the letters that `filter` means.
    pub fn new(filter: &'a Filter, runtime: &'a Handle) -> Self {
        Self { filter, runtime, problems: Vec::new(), problems_left_out: 0, gone: 0, others: 0 }
    }

    /// Shows the letters of a file to `look`, until that has seen enough.
    ///
    /// # Errors
    /// Those of `look`. What cannot be read is a problem, and no error.
    pub fn visit(&mut self, file: &DeadFile, look: &mut Look<'_>) -> io::Result<ControlFlow<()>> {
        let mut reader = match LetterReader::open(&file.sink, &file.key, self.runtime) {
            Ok(Some(reader)) => reader,
            Ok(None) => {
                self.gone += 1;
                return Ok(ControlFlow::Continue(()));
            }
            Err(error) => {
                self.problem(file, &error.to_string());
                return Ok(ControlFlow::Continue(()));
            }
        };
        let mut rows = 0;
        loop {
            match reader.read_letter() {
                Ok(Some((row, letter))) => {
                    rows += 1;
                    if self.filter.takes(&letter) && look(row, letter)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(None) => break,
                // Below an error prefix that begins with a field there are files of records as well.
                Err(ReadLetterError::Line { row: 1, .. }) if file.records.is_none() => {
                    self.others += 1;
                    return Ok(ControlFlow::Continue(()));
                }
                Err(error) => {
                    self.problem(file, &error.to_string());
                    if !matches!(error, ReadLetterError::Line { .. }) {
                        return Ok(ControlFlow::Continue(()));
                    }
                    rows += 1;
                }
            }
        }
        if let Some(records) = file.records.filter(|&records| records != rows) {
            self.problem(file, &format!("it has {rows} letters, and the ledger says {records}"));
        }
        Ok(ControlFlow::Continue(()))
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

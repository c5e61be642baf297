//! What the checks of one file share: reading texts into values, and saying what is wrong with them.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Document;
use super::duration::{parse_duration, print_duration};
use super::limits::{DURATION_MAX, NAME_BYTES_MAX};
use super::problem::Problem;
use super::shape::last_key;
use super::size::{Size, parse_size};
use super::suggest::{listed, nearest};

/// Checks the settings of one document. A check that fails adds a problem and yields `None`; the others go on.
pub(super) struct Checker<'a> {
    pub document: &'a Document,
    pub problems: &'a mut Vec<Problem>,
}

impl Checker<'_> {
    /// Something is wrong with a setting, or it is missing.
    pub fn problem(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(self.document.problem(path, message));
    }

    /// The same with what to write instead.
    pub fn problem_with_help(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(self.document.problem(path, message).with_help(help));
    }

    /// A text that its parser refused. Parsers quote what they refuse, so where the environment had a part in it,
    /// only what stands in the file is shown.
    pub fn refused(&mut self, path: &str, error: &dyn Display) {
        let message = match self.document.written(path) {
            Some(written) => {
                format!(
                    "{} = {written:?} is not valid with the values that the environment has",
                    last_key(path)
                )
            }
            None => format!("{}: {error}", last_key(path)),
        };
        self.problem(path, message);
    }

    /// A value as messages may quote it.
    pub fn quote(&self, path: &str, value: &str) -> String {
        format!("{:?}", self.document.written(path).unwrap_or(value))
    }

    /// A setting that must be there. One of a wrong type is in the file and has been reported.
    pub fn required<T>(&mut self, path: &str, value: Option<T>, help: &str) -> Option<T> {
        if value.is_none() && !self.document.has(path) {
            self.problem_with_help(path, format!("missing {:?}", last_key(path)), help);
        }
        value
    }

    /// A size in bytes, or `default` where none is given.
    pub fn size(&mut self, path: &str, text: Option<&str>, default: u64) -> Option<u64> {
        let Some(text) = text else { return Some(default) };
        parse_size(text).map_err(|error| self.refused(path, &error)).ok()
    }

    /// A size within bounds.
    pub fn size_within(
        &mut self,
        path: &str,
        text: Option<&str>,
        default: u64,
        bounds: RangeInclusive<u64>,
    ) -> Option<u64> {
        let bytes = self.size(path, text, default)?;
        if bounds.contains(&bytes) {
            return Some(bytes);
        }
        let (low, high) = (Size(*bounds.start()), Size(*bounds.end()));
        let message = format!("{} must be from {low} to {high}, found {}", last_key(path), Size(bytes));
        self.problem(path, message);
        None
    }

    /// A duration that is not zero and at most a year, or `default`.
    pub fn duration(&mut self, path: &str, text: Option<&str>, default: Duration) -> Option<Duration> {
        let duration = self.duration_up_to(path, text, default, DURATION_MAX)?;
        if duration.is_zero() {
            self.problem(path, format!("{} must be longer than zero", last_key(path)));
            return None;
        }
        Some(duration)
    }

    /// A duration from zero to `max`, or `default`.
    pub fn duration_up_to(
        &mut self,
        path: &str,
        text: Option<&str>,
        default: Duration,
        max: Duration,
    ) -> Option<Duration> {
        let Some(text) = text else { return Some(default) };
        match parse_duration(text) {
            Ok(duration) if duration > max => {
                self.problem(path, format!("{} must be at most {}", last_key(path), print_duration(max)));
                None
            }
            Ok(duration) => Some(duration),
            Err(error) => {
                self.refused(path, &error);
                None
            }
        }
    }

    /// An integer from 1 to `max`, or `default`.
    pub fn count(&mut self, path: &str, value: Option<i64>, default: usize, max: usize) -> Option<usize> {
        let Some(value) = value else { return Some(default) };
        match usize::try_from(value) {
            Ok(count) if (1..=max).contains(&count) => Some(count),
            _ => {
                self.problem(path, format!("{} must be from 1 to {max}, found {value}", last_key(path)));
                None
            }
        }
    }

    /// A number from 0 to 1, or `default`.
    pub fn fraction(&mut self, path: &str, value: Option<f64>, default: f64) -> Option<f64> {
        match value {
            None => Some(default),
            Some(value) if (0.0..=1.0).contains(&value) => Some(value),
            Some(value) => {
                self.problem(path, format!("{} must be from 0 to 1, found {value}", last_key(path)));
                None
            }
        }
    }

    /// One of a few words, or `default`.
    pub fn word<T: Copy>(
        &mut self,
        path: &str,
        text: Option<&str>,
        default: T,
        words: &[(&str, T)],
    ) -> Option<T> {
        let Some(text) = text else { return Some(default) };
        if let Some(&(_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(value);
        }
        let names = || words.iter().map(|&(word, _)| word);
        let quoted = self.quote(path, text);
        let key = last_key(path);
        let message = match nearest(text, names()).filter(|_| self.document.written(path).is_none()) {
            Some(near) => format!("{key} = {quoted} is not known: did you mean {near:?}?"),
            None => format!("{key} = {quoted} is not known: write {}", listed(names())),
        };
        self.problem(path, message);
        None
    }

    /// The name of a node, a stream or a delivery: it is part of URLs and paths.
    pub fn name(&mut self, path: &str, text: Option<String>, help: &str) -> Option<String> {
        let name = self.required(path, text, help)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let quoted = self.quote(path, &name);
        let wrong = if name.is_empty() {
            "a name must not be empty"
        } else if name.len() > NAME_BYTES_MAX {
            "a name has at most 128 characters"
        } else if name.starts_with('.') {
            "a name must not begin with a point"
        } else if !name.bytes().all(allowed) {
            "a name consists of a-z, A-Z, 0-9, '_', '.' and '-'"
        } else {
            return Some(name);
        };
        // Most of an endless name is noise.
        let shown: String = quoted.chars().take(200).collect();
        self.problem(path, format!("{} = {shown}: {wrong}", last_key(path)));
        None
    }
}

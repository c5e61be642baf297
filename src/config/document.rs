//! One TOML file: its text, and where each setting stands in it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::problem::Problem;

/// Where settings stand in a file, found by paths such as `delivery[0].buffer.size`.
#[derive(Debug)]
pub struct Document {
    file: PathBuf,
    text: String,
    line_starts: Vec<usize>,
    marks: HashMap<String, Mark>,
}

/// One setting.
#[derive(Debug)]
struct Mark {
    /// Offset of its value; of the key where the value is a table.
    start: usize,
    /// What stands in the file, where the environment filled it in.
    written: Option<String>,
}

impl Document {
    /// A file whose settings are still to be marked.
    pub fn new(file: PathBuf, text: String) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, line_starts, marks: HashMap::new() }
    }

    /// The file, as it was named or found.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What stands in it.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn mark(&mut self, path: &str, start: usize) {
        self.marks.insert(path.to_owned(), Mark { start, written: None });
    }

    /// Notes that the environment had a part in a value. `written` is what stands in the file.
    pub(super) fn mark_filled_in(&mut self, path: &str, written: &str) {
        if let Some(mark) = self.marks.get_mut(path) {
            mark.written = Some(written.to_owned());
        }
    }

    /// Whether the file has the setting, even if with a value of a wrong type.
    pub fn has(&self, path: &str) -> bool {
        self.marks.contains_key(path)
    }

    /// What stands in the file where the environment filled in the value: that may be quoted, the value may not.
    pub fn written(&self, path: &str) -> Option<&str> {
        self.marks.get(path)?.written.as_deref()
    }

    /// Line and column of an offset, both from 1. Columns count characters.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|&start| start <= offset).max(1);
        let line_start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(line_start..offset.min(self.text.len())).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// Line and column of a setting, or of the nearest table around it that is in the file.
    pub fn place_of(&self, path: &str) -> (usize, usize) {
        let mut around = path;
        loop {
            if let Some(mark) = self.marks.get(around) {
                return self.place(mark.start);
            }
            match around.rfind(['.', '[']) {
                Some(at) => around = &around[..at],
                None => return (1, 1),
            }
        }
    }

    /// A problem with a setting that is in the file or missing from it.
    pub fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        let place = self.place_of(path);
        self.problem_with_place(place, path, message)
    }

    /// A problem with what stands at an offset.
    pub(super) fn problem_at(&self, span: Range<usize>, path: &str, message: impl Into<String>) -> Problem {
        self.problem_with_place(self.place(span.start), path, message)
    }

    fn problem_with_place(
        &self,
        (line, column): (usize, usize),
        path: &str,
        message: impl Into<String>,
    ) -> Problem {
        Problem {
            file: self.file.clone(),
            line,
            column,
            path: path.to_owned(),
            message: message.into(),
            help: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let document = Document::new(PathBuf::from("a.toml"), "a = 1\r\nä = 22\n\nb".to_owned());
        assert_eq!(document.place(0), (1, 1));
        assert_eq!(document.place(4), (1, 5));
        assert_eq!(document.place(7), (2, 1));
        // The umlaut has two bytes and is one column.
        assert_eq!(document.place(12), (2, 5));
        assert_eq!(document.place(15), (3, 1));
        assert_eq!(document.place(16), (4, 1));
        assert_eq!(document.place(99), (4, 2));
    }

    #[test]
    fn a_missing_setting_is_reported_at_the_table_around_it() {
        let mut document = Document::new(PathBuf::from("a.toml"), "\n[[delivery]]\nx = {}\n".to_owned());
        document.mark("delivery[0]", 1);
        document.mark("delivery[0].x", 18);
        assert_eq!(document.place_of("delivery[0].x.y"), (3, 5));
        assert_eq!(document.place_of("delivery[0].name"), (2, 1));
        assert_eq!(document.place_of("stream.name"), (1, 1));
    }
}

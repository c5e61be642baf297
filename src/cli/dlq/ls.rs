//! `forebay dlq ls`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;

use serde::Serialize;

use super::Task;
use crate::cli::Exit;
use crate::cli::verify::display::Display;
use crate::delivery::dead_letters::{Letter, Visitor, as_time, rfc3339};
use crate::delivery::verify::Progress as _;
use crate::runtime::clock::UnixMicros;

const HEADINGS: [&str; 8] =
    ["stream", "delivery", "reason", "files", "records", "payload bytes", "oldest", "newest"];

/// Columns that are text, and stand at the left.
const NAMES: usize = 3;

/// Dead letters of one stream, delivery and reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Group {
    stream: String,
    delivery: String,
    reason: String,
    files: u64,
    records: u64,
    payload_bytes: u64,
    #[serde(serialize_with = "as_time")]
    oldest: UnixMicros,
    #[serde(serialize_with = "as_time")]
    newest: UnixMicros,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    groups: Vec<&'a Group>,
    problems: &'a [String],
    notes: Vec<String>,
}

/// Counts them.
pub fn run(task: Task<'_>, json: bool) -> io::Result<Exit> {
    let Task { filter, found, patience, out, err, .. } = task;
    let display = Display::new(err);
    display.begin("reading dead letters", found.files.len() as u64);
    let mut groups: BTreeMap<(usize, String), Group> = BTreeMap::new();
    let mut visitor = Visitor::new(&filter, &patience);
    let mut order = Vec::new();
    for file in &found.files {
        let of = (file.stream.as_str(), file.delivery.as_str());
        if order.last() != Some(&of) {
            order.push(of);
        }
        let mut in_file: Vec<Group> = Vec::new();
        let _ = visitor.visit(file, &mut |_, letter| {
            count(&mut in_file, of, &letter);
            Ok(ControlFlow::Continue(()))
        })?;
        for group in in_file {
            let place = groups.entry((order.len(), group.reason.clone()));
            place.and_modify(|known| known.add(&group)).or_insert(group);
        }
        display.passed(1);
    }
    display.end();
    if json {
        let groups = groups.values().collect();
        let (ok, problems, notes) = (visitor.is_well(), visitor.problems(), visitor.notes(&found.notes));
        serde_json::to_writer_pretty(&mut *out, &Report { ok, groups, problems, notes })?;
        writeln!(out)?;
    } else {
        print(groups.values(), out)?;
        visitor.print(&found.notes, out)?;
    }
    Ok(if visitor.is_well() { Exit::Well } else { Exit::NotWell })
}

/// A file has letters of one reason, so that the list is short.
fn count(groups: &mut Vec<Group>, (stream, delivery): (&str, &str), letter: &Letter) {
    let one = |reason: String| Group {
        stream: stream.to_owned(),
        delivery: delivery.to_owned(),
        reason,
        files: 1,
        records: 0,
        payload_bytes: 0,
        oldest: letter.arrival,
        newest: letter.arrival,
    };
    let index = match groups.iter().position(|group| group.reason == letter.reason) {
        Some(index) => index,
        None => {
            groups.push(one(letter.reason.clone()));
            groups.len() - 1
        }
    };
    if let Some(group) = groups.get_mut(index) {
        group.records += 1;
        group.payload_bytes += letter.raw.len() as u64;
        group.oldest = group.oldest.min(letter.arrival);
        group.newest = group.newest.max(letter.arrival);
    }
}

impl Group {
    fn add(&mut self, other: &Group) {
        self.files += other.files;
        self.records += other.records;
        self.payload_bytes += other.payload_bytes;
        self.oldest = self.oldest.min(other.oldest);
        self.newest = self.newest.max(other.newest);
    }

    fn cells(&self) -> [String; HEADINGS.len()] {
        let Group { stream, delivery, reason, files, records, payload_bytes, oldest, newest } = self;
        let [stream, delivery, reason] = [stream, delivery, reason].map(Clone::clone);
        let [files, records, payload_bytes] = [files, records, payload_bytes].map(ToString::to_string);
        [stream, delivery, reason, files, records, payload_bytes, rfc3339(*oldest), rfc3339(*newest)]
    }
}

fn print<'a>(groups: impl Iterator<Item = &'a Group>, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(groups.map(Group::cells));
    if rows.len() == 1 {
        return writeln!(out, "no dead letters");
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(if column == 0 { "" } else { "  " });
            let cell = if column < NAMES { format!("{cell:width$}") } else { format!("{cell:>width$}") };
            line.push_str(&cell);
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

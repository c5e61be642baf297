//! What has become of the letters of a replay.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// Letters that are named one by one; the rest is counted.
const NAMED_MAX: usize = 20;

/// See the module.
#[derive(Debug, Default)]
pub struct Tally {
    /// Records that are in a stream now, and the requests that has taken.
    pub sent: u64,
    /// See [`Tally::sent`].
    pub requests: u64,
    /// Records that the edge has refused, by the code of the reason.
    pub refused: BTreeMap<String, u64>,
    /// Letters that were sent before.
    pub known: u64,
    /// Letters that have come back too often.
    pub returned: u64,
    /// Letters that may have been sent before, so long ago that the node would not know them again.
    pub doubtful: u64,
    /// Whether letters are left because of a limit.
    pub is_cut: bool,
    named: Vec<String>,
    /// Lines that are not kept.
    unnamed: usize,
}

impl Tally {
    /// Whether every letter is where it belongs.
    pub fn is_complete(&self) -> bool {
        self.refused.is_empty() && self.returned == 0 && self.doubtful == 0
    }

    /// Counts refused records.
    pub fn refuse(&mut self, code: &str, records: u64) {
        *self.refused.entry(code.to_owned()).or_default() += records;
    }

    /// Keeps a line about letters that were left out.
    pub fn name(&mut self, line: String) {
        if self.named.len() < NAMED_MAX {
            self.named.push(line);
        } else {
            self.unnamed += 1;
        }
    }

    /// Prints it.
    pub fn print(&self, dry: bool, url: &dyn std::fmt::Display, out: &mut dyn Write) -> io::Result<()> {
        for line in &self.named {
            writeln!(out, "left out: {line}")?;
        }
        if self.unnamed > 0 {
            writeln!(out, "left out: {} more, which are not named", self.unnamed)?;
        }
        let Self { sent, requests, known, returned, doubtful, .. } = self;
        let verb = if dry { "would send" } else { "sent" };
        writeln!(out, "{verb} {sent} records in {requests} requests to {url}")?;
        if !self.refused.is_empty() {
            let all: u64 = self.refused.values().sum();
            let by_code: Vec<_> =
                self.refused.iter().map(|(code, count)| format!("{code} {count}")).collect();
            writeln!(out, "refused {all}: {}", by_code.join(", "))?;
        }
        if self.is_cut {
            writeln!(out, "the limit is reached: there is more to send")?;
        }
        let left_out = known + returned + doubtful;
        if left_out > 0 {
            let terms = [(known, "sent before"), (returned, "came back too often"), (doubtful, "in doubt")];
            let terms: Vec<_> = terms.iter().filter(|(count, _)| **count > 0).collect();
            let terms: Vec<_> = terms.iter().map(|(count, what)| format!("{count} {what}")).collect();
            writeln!(out, "left out {left_out}: {}", terms.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_counted() {
        let mut tally = Tally::default();
        (0..NAMED_MAX + 3).for_each(|number| tally.name(format!("letter {number}")));
        let mut out = Vec::new();
        tally.print(false, &"http://node/", &mut out).unwrap();
        let said = String::from_utf8(out).unwrap();
        assert_eq!(said.matches("left out: letter").count(), NAMED_MAX);
        assert!(said.contains("left out: 3 more, which are not named\n"), "{said}");
    }
}

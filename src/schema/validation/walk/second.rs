//! Second looks: rules that one pass cannot decide read the value again, once it is known to be JSON.

use super::{Mode, STOP, Walk};
use crate::json::{Kind, Scanner, SyntaxError};
use crate::schema::validation::fingerprint::fingerprint;
use crate::schema::validation::node::{Contains, Node, NodeId, Rule};
use crate::schema::validation::violation::{Path, Violation};

/// How often the bytes of a record may be read again on average. Schemas with nested alternatives that refer to
/// themselves can ask for a number of looks that is exponential in a record's depth, and records come from outside.
/// At 1 GB/s, 256 looks at a record of 1 MiB take 0.27 s.
const LOOKS_MAX: u64 = 256;

/// Bytes that may be read again beside that, so that short records can be checked against long lists of alternatives.
const LOOKS_BYTES_MIN: u64 = 64 << 10;

/// What a look costs beside the bytes that it reads.
const LOOK_BYTES: u64 = 16;

/// What second looks have cost so far, in bytes.
pub(super) struct Effort {
    /// Where the record starts.
    start: usize,
    /// Up to where it has been read for the first time.
    reached: usize,
    spent: u64,
    exhausted: bool,
}

impl Effort {
    pub fn new(start: usize) -> Self {
        Self { start, reached: start, spent: 0, exhausted: false }
    }

    fn spend(&mut self, bytes: usize) {
        self.spent += bytes as u64 + LOOK_BYTES;
        let read = (self.reached - self.start) as u64;
        self.exhausted |= self.spent > LOOKS_BYTES_MIN + LOOKS_MAX * read;
    }
}

impl<'p> Walk<'p> {
    /// Checks the rules of `node` on the value from `before` to `end`.
    pub(super) fn second_look(
        &mut self,
        before: &Scanner<'_>,
        end: usize,
        (node, kind): (&Node, Kind),
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        if self.mode != Mode::Probe && self.scratch.violation.is_some() {
            return Ok(());
        }
        if let Some(values) = &node.values
            && matches!(kind, Kind::Array | Kind::Object)
        {
            let print = fingerprint(&mut before.clone(), self.seed)?;
            if !values.trees.contains(&print) {
                self.not_listed(values, kind.name(), path)?;
            }
        }
        node.rules.iter().try_for_each(|rule| match rule {
            Rule::All(id) => self.again(before, end, *id, path),
            Rule::Contains(contains) if kind == Kind::Array => self.contains(before, end, contains, path),
            Rule::Unique if kind == Kind::Array => self.unique(before, path),
            Rule::Contains(_) | Rule::Unique => Ok(()),
            _ => self.alternatives(before, end, (rule, kind), path),
        })
    }

    fn alternatives(
        &mut self,
        before: &Scanner<'_>,
        end: usize,
        (rule, kind): (&Rule, Kind),
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        let expected = match rule {
            Rule::Any(ids) if !ids.iter().any(|&id| self.fits(before, end, id)) => {
                "a value that fits one of the schemas of \"anyOf\""
            }
            Rule::One(ids) => {
                // Two that fit are enough to know.
                match ids.iter().filter(|&&id| self.fits(before, end, id)).take(2).count() {
                    1 => return Ok(()),
                    0 => "a value that fits one of the schemas of \"oneOf\"",
                    _ => "a value that fits only one of the schemas of \"oneOf\"",
                }
            }
            Rule::Not(id) if self.fits(before, end, *id) => "a value that does not fit the schema of \"not\"",
            Rule::If { condition, then, otherwise } => {
                let branch = if self.fits(before, end, *condition) { then } else { otherwise };
                return self.again(before, end, *branch, path);
            }
            _ => return Ok(()),
        };
        self.violate(path, || (expected.to_owned(), kind.name().to_owned()))
    }

    fn contains(
        &mut self,
        before: &Scanner<'_>,
        end: usize,
        contains: &Contains,
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        let (min, max) = (contains.count_min, contains.count_max);
        let mut items = before.clone();
        items.enter_array()?;
        let mut first = true;
        let mut count = 0;
        while items.next_element(&mut first)? {
            count += u64::from(self.fits(&items, end, contains.node));
            items.skip_value()?;
        }
        if (min..=max).contains(&count) {
            return Ok(());
        }
        self.violate(path, || {
            let expected = if count < min { format!("at least {min}") } else { format!("at most {max}") };
            (format!("{expected} items that fit the schema of \"contains\""), count.to_string())
        })
    }

    fn unique(&mut self, before: &Scanner<'_>, path: &Path<'_>) -> Result<(), SyntaxError> {
        let mut items = before.clone();
        items.enter_array()?;
        let mut first = true;
        let mut prints = std::mem::take(&mut self.scratch.prints);
        prints.clear();
        while items.next_element(&mut first)? {
            prints.push(fingerprint(&mut items, self.seed)?);
        }
        prints.sort_unstable();
        let repeated = prints.windows(2).any(|pair| pair[0] == pair[1]);
        self.scratch.prints = prints;
        if repeated {
            return self
                .violate(path, || ("items without repetition".to_owned(), "an equal pair".to_owned()));
        }
        Ok(())
    }

    /// Checks the value from `before` to `end` against a further schema that must hold.
    pub(super) fn again(
        &mut self,
        before: &Scanner<'_>,
        end: usize,
        id: NodeId,
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        match self.mode {
            Mode::First if self.scratch.violation.is_some() => Ok(()),
            Mode::First => {
                // What does not hold is noted; the first walk goes on all the same.
                let _ = self.look(before, end, (Mode::Again, id), path);
                Ok(())
            }
            mode => self.look(before, end, (mode, id), path),
        }
    }

    fn fits(&mut self, before: &Scanner<'_>, end: usize, id: NodeId) -> bool {
        self.look(before, end, (Mode::Probe, id), &Path::Root).is_ok()
    }

    fn look(
        &mut self,
        before: &Scanner<'_>,
        end: usize,
        (mode, id): (Mode, NodeId),
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        if id == NodeId::ANY {
            return Ok(());
        }
        let outer = std::mem::replace(&mut self.mode, mode);
        let seen = self.scratch.seen.len();
        if outer == Mode::First {
            self.effort.reached = end;
        }
        let mut scanner = before.clone();
        let result = if self.effort.exhausted { Err(STOP) } else { self.value(&mut scanner, id, path) };
        self.effort.spend(scanner.position() - before.position());
        // A walk that was ended early has left its words behind.
        self.scratch.seen.truncate(seen);
        self.mode = outer;
        if !self.effort.exhausted {
            return result;
        }
        // Also where a schema is only tried: the record as a whole cannot be decided.
        if self.scratch.violation.is_none() {
            self.scratch.violation = Some(Violation {
                pointer: path.render(),
                expected: "a value that its schema can be checked on in few looks".to_owned(),
                found: format!("one that needs more than {LOOKS_MAX} for each byte"),
            });
        }
        Err(STOP)
    }
}

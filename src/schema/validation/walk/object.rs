//! Objects: known properties by guess, the rest by hash, and what must be there.

use super::{Mode, Walk};
use crate::json::{RawString, Scanner, SyntaxError, SyntaxErrorKind};
use crate::record::Span;
use crate::schema::validation::node::{NodeId, ObjectRules, Property};
use crate::schema::validation::violation::Path;

/// Which known properties an object has had so far: 64 in place, more of them in the scratch.
struct Seen {
    low: u64,
    /// Where the words of the others begin in the scratch.
    base: usize,
}

impl<'p> Walk<'p> {
    pub(super) fn object(
        &mut self,
        scanner: &mut Scanner<'_>,
        rules: &'p ObjectRules,
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        let before = if rules.dependents.is_empty() { None } else { Some(scanner.clone()) };
        scanner.enter_object()?;
        let keys = self.scratch.keys.open();
        let mut seen = self.open_seen(rules);
        let (mut first, mut previous, mut count) = (true, None, 0);
        while let Some(key) = scanner.next_key(&mut first)? {
            count += 1;
            if let Some(names) = rules.names {
                self.name(scanner, key, names, path)?;
            }
            let found = if key.is_escaped() {
                rules.find(&key.decode(), previous)
            } else {
                rules.find(key.raw(), previous)
            };
            let step = Path::Key(path, key);
            if let Some(position) = found {
                previous = found;
                if self.see(&mut seen, position) {
                    // The keys in `seen` and those in the key set have none in common.
                    return Err(scanner.error(SyntaxErrorKind::DuplicateKey));
                }
                self.property(scanner, &rules.properties[position], &step)?;
            } else {
                if self.mode == Mode::First {
                    self.scratch.keys.insert(key);
                }
                self.unknown(scanner, rules, key, &step)?;
            }
        }
        if self.mode == Mode::First {
            self.scratch.keys.close(keys, scanner)?;
        }
        self.missing(rules, &seen, path)?;
        self.member_count(rules, count, path)?;
        if let Some(before) = before {
            self.dependents(&before, scanner.position(), (rules, &seen), path)?;
        }
        self.scratch.seen.truncate(seen.base);
        Ok(())
    }

    #[inline]
    fn property(
        &mut self,
        scanner: &mut Scanner<'_>,
        property: &Property,
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        if property.also.is_empty() && property.slots.is_empty() {
            return self.value(scanner, property.node, path);
        }
        scanner.skip_whitespace();
        let start = scanner.position();
        self.value_of_all(scanner, property.node, &property.also, path)?;
        let span = Span::new(start, scanner.position());
        for &slot in &property.slots {
            self.scratch.captures[slot as usize] = span;
        }
        Ok(())
    }

    /// A value that several nodes govern.
    fn value_of_all(
        &mut self,
        scanner: &mut Scanner<'_>,
        node: NodeId,
        also: &[NodeId],
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        let before = scanner.clone();
        self.value(scanner, node, path)?;
        also.iter().try_for_each(|&node| self.again(&before, scanner.position(), node, path))
    }

    fn unknown(
        &mut self,
        scanner: &mut Scanner<'_>,
        rules: &'p ObjectRules,
        key: RawString<'_>,
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        if rules.patterns.is_empty() {
            return self.value(scanner, rules.additional, path);
        }
        let name = key.decode();
        let before = scanner.clone();
        let mut governed = false;
        for (pattern, node) in &rules.patterns {
            if !pattern.is_match(&name) {
                continue;
            }
            if governed {
                self.again(&before, scanner.position(), *node, path)?;
            } else {
                self.value(scanner, *node, path)?;
                governed = true;
            }
        }
        if governed { Ok(()) } else { self.value(scanner, rules.additional, path) }
    }

    /// Checks a key as a string. It is read again from its opening quote, which stands one byte before its text.
    fn name(
        &mut self,
        scanner: &Scanner<'_>,
        key: RawString<'_>,
        names: NodeId,
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        let offset = key.raw().as_ptr().addr() - scanner.text().as_ptr().addr() - 1;
        self.value(&mut Scanner::at(scanner.text(), offset), names, &Path::Key(path, key))
    }

    #[inline]
    fn missing(&mut self, rules: &ObjectRules, seen: &Seen, path: &Path<'_>) -> Result<(), SyntaxError> {
        let low = rules.required_low & !seen.low;
        if low != 0 {
            return self.absent(rules, low.trailing_zeros() as usize, path);
        }
        match rules.required_high.iter().find(|&&position| !self.has_seen(seen, position as usize)) {
            Some(&position) => self.absent(rules, position as usize, path),
            None => Ok(()),
        }
    }

    #[cold]
    fn absent(&mut self, rules: &ObjectRules, position: usize, path: &Path<'_>) -> Result<(), SyntaxError> {
        let path = Path::Name(path, &rules.properties[position].name);
        self.violate(&path, || ("a value".to_owned(), "nothing".to_owned()))
    }

    #[inline]
    fn member_count(&mut self, rules: &ObjectRules, count: u64, path: &Path<'_>) -> Result<(), SyntaxError> {
        let (min, max) = (rules.count_min, rules.count_max);
        if (min..=max).contains(&count) {
            return Ok(());
        }
        self.violate(path, || {
            let expected = if count < min { format!("at least {min}") } else { format!("at most {max}") };
            (format!("{expected} properties"), count.to_string())
        })
    }

    fn dependents(
        &mut self,
        before: &Scanner<'_>,
        end: usize,
        (rules, seen): (&ObjectRules, &Seen),
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        for dependent in &rules.dependents {
            if !self.has_seen(seen, dependent.trigger as usize) {
                continue;
            }
            let missing = dependent.needs.iter().find(|&&position| !self.has_seen(seen, position as usize));
            if let Some(&position) = missing {
                self.absent(rules, position as usize, path)?;
            }
            if let Some(node) = dependent.node {
                self.again(before, end, node, path)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn open_seen(&mut self, rules: &ObjectRules) -> Seen {
        let base = self.scratch.seen.len();
        let words = rules.properties.len().div_ceil(64);
        if words > 1 {
            self.scratch.seen.resize(base + words - 1, 0);
        }
        Seen { low: 0, base }
    }

    /// Notes a property; true if it was there before.
    #[inline]
    fn see(&mut self, seen: &mut Seen, position: usize) -> bool {
        let bit = 1 << (position % 64);
        let word = match position / 64 {
            0 => &mut seen.low,
            high => &mut self.scratch.seen[seen.base + high - 1],
        };
        let again = *word & bit != 0;
        *word |= bit;
        again
    }

    #[inline]
    fn has_seen(&self, seen: &Seen, position: usize) -> bool {
        let word = match position / 64 {
            0 => seen.low,
            high => self.scratch.seen[seen.base + high - 1],
        };
        word & 1 << (position % 64) != 0
    }
}

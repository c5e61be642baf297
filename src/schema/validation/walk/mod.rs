//! One pass over a record along the nodes of its plan.

mod array;
mod object;
mod second;

use std::fmt;

use foldhash::quality::RandomState;

use super::Scratch;
use super::kinds::Kinds;
use super::node::{Node, NodeId, NumberRules, StringRules};
use super::number::Number;
use super::values::Values;
use super::violation::{Path, Violation, snippet};
use crate::json::{Kind, RawNumber, RawString, Scanner, SyntaxError, SyntaxErrorKind};

/// How the bytes at hand are being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// For the first time: syntax, duplicate keys and captures as well. A violation is noted and the walk goes on,
    /// since the whole value must be consumed and captured.
    First,
    /// Once more, for a schema that must hold: ends at the first violation, which is noted.
    Again,
    /// Once more, for a schema that may hold or not: ends at the first violation.
    Probe,
}

/// Ends a walk over bytes that are known to be JSON. It never reaches the caller of the plan.
const STOP: SyntaxError = SyntaxError { offset: 0, kind: SyntaxErrorKind::UnexpectedEnd };

/// One check of one record.
pub(super) struct Walk<'p> {
    nodes: &'p [Node],
    seed: &'p RandomState,
    /// Draft 4: `1.0` is no integer.
    written_integers: bool,
    scratch: &'p mut Scratch,
    mode: Mode,
    effort: second::Effort,
}

impl<'p> Walk<'p> {
    pub fn new(plan: &'p super::Plan, scratch: &'p mut Scratch, start: usize) -> Self {
        Self {
            nodes: &plan.nodes.list,
            seed: &plan.seed,
            written_integers: plan.written_integers,
            scratch,
            mode: Mode::First,
            effort: second::Effort::new(start),
        }
    }

    /// Consumes one value and checks it against a node.
    pub fn value(
        &mut self,
        scanner: &mut Scanner<'_>,
        id: NodeId,
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        if id == NodeId::ANY {
            return self.skip(scanner);
        }
        let node = &self.nodes[id.index()];
        if !node.rescans {
            return self.first_look(scanner, node, path).map(drop);
        }
        scanner.skip_whitespace();
        let before = scanner.clone();
        let kind = self.first_look(scanner, node, path)?;
        self.second_look(&before, scanner.position(), (node, kind), path)
    }

    /// Consumes a value that nothing is asked of.
    #[inline]
    fn skip(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        if self.mode == Mode::First { self.scratch.keys.skip_value(scanner) } else { scanner.skip_value() }
    }

    #[inline]
    fn first_look(
        &mut self,
        scanner: &mut Scanner<'_>,
        node: &'p Node,
        path: &Path<'_>,
    ) -> Result<Kind, SyntaxError> {
        let kind = scanner.peek()?;
        match kind {
            Kind::String => {
                let string = scanner.string()?;
                if !node.kinds.has(kind) {
                    self.wrong_kind(node.kinds, kind.name(), path)?;
                } else if node.string.is_some() || node.values.is_some() {
                    self.string(string, node, path)?;
                }
            }
            Kind::Number => {
                let number = scanner.number()?;
                self.number(number, node, path)?;
            }
            Kind::Object => {
                self.container(node, kind, path)?;
                match &node.object {
                    Some(rules) => self.object(scanner, rules, path)?,
                    None => self.skip(scanner)?,
                }
            }
            Kind::Array => {
                self.container(node, kind, path)?;
                match &node.array {
                    Some(rules) => self.array(scanner, rules, path)?,
                    None => self.skip(scanner)?,
                }
            }
            Kind::Bool => {
                let value = scanner.bool()?;
                self.kind(node, kind, path)?;
                if let Some(values) = &node.values
                    && !values.has_bool(value)
                {
                    self.not_listed(values, if value { "true" } else { "false" }, path)?;
                }
            }
            Kind::Null => {
                scanner.null()?;
                self.kind(node, kind, path)?;
                if let Some(values) = &node.values
                    && !values.null
                {
                    self.not_listed(values, "null", path)?;
                }
            }
        }
        Ok(kind)
    }

    #[inline]
    fn kind(&mut self, node: &Node, kind: Kind, path: &Path<'_>) -> Result<(), SyntaxError> {
        if node.kinds.has(kind) { Ok(()) } else { self.wrong_kind(node.kinds, kind.name(), path) }
    }

    /// Arrays and objects: a list of values that has none of them can be decided now, any other one takes a second
    /// look.
    #[inline]
    fn container(&mut self, node: &Node, kind: Kind, path: &Path<'_>) -> Result<(), SyntaxError> {
        self.kind(node, kind, path)?;
        match &node.values {
            Some(values) if values.trees.is_empty() => self.not_listed(values, kind.name(), path),
            _ => Ok(()),
        }
    }

    fn string(&mut self, string: RawString<'_>, node: &Node, path: &Path<'_>) -> Result<(), SyntaxError> {
        if !string.is_escaped() {
            return self.text(string.raw(), node, path);
        }
        let mut buffer = std::mem::take(&mut self.scratch.text);
        buffer.clear();
        string.decode_into(&mut buffer);
        let result = self.text(&buffer, node, path);
        self.scratch.text = buffer;
        result
    }

    fn text(&mut self, text: &str, node: &Node, path: &Path<'_>) -> Result<(), SyntaxError> {
        if let Some(values) = &node.values
            && !values.has_string(text)
        {
            return self.violate(path, || (values.text.to_string(), quoted(text)));
        }
        let Some(rules) = &node.string else { return Ok(()) };
        match unmet(rules, text) {
            None => Ok(()),
            Some(unmet) => self.violate(path, || (unmet.to_string(), quoted(text))),
        }
    }

    #[inline]
    fn number(&mut self, number: RawNumber<'_>, node: &Node, path: &Path<'_>) -> Result<(), SyntaxError> {
        let allowed = node.kinds.has(Kind::Number) || (node.kinds.has_integers() && self.is_integer(number));
        if !allowed {
            let found = if node.kinds.has_integers() { number.text() } else { Kind::Number.name() };
            return self.wrong_kind(node.kinds, found, path);
        }
        if node.values.is_none() && node.number.is_none() {
            return Ok(());
        }
        let value = Number::of_raw(number);
        if let Some(values) = &node.values
            && !values.has_number(value)
        {
            return self.not_listed(values, number.text(), path);
        }
        match &node.number {
            Some(rules) => self.number_rules(rules, number, value, path),
            None => Ok(()),
        }
    }

    fn number_rules(
        &mut self,
        rules: &NumberRules,
        number: RawNumber<'_>,
        value: Number,
        path: &Path<'_>,
    ) -> Result<(), SyntaxError> {
        if let Some(bound) = rules.bounds.iter().find(|bound| !bound.allows(value)) {
            return self.violate(path, || (bound.to_string(), snippet(number.text())));
        }
        match &rules.multiple_of {
            Some(divisor) if !divisor.divides(number.text()) => {
                self.violate(path, || (format!("a multiple of {}", divisor.text), snippet(number.text())))
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn is_integer(&self, number: RawNumber<'_>) -> bool {
        number.is_written_as_integer() || (!self.written_integers && number.as_f64().fract() == 0.0)
    }

    #[cold]
    fn wrong_kind(&mut self, kinds: Kinds, found: &str, path: &Path<'_>) -> Result<(), SyntaxError> {
        self.violate(path, || {
            let expected = if kinds.is_empty() { "no value".to_owned() } else { kinds.to_string() };
            (expected, snippet(found))
        })
    }

    #[cold]
    fn not_listed(&mut self, values: &Values, found: &str, path: &Path<'_>) -> Result<(), SyntaxError> {
        self.violate(path, || (values.text.to_string(), snippet(found)))
    }

    /// Notes a violation, of which `describe` tells what was expected and what was found, unless one is noted
    /// already; ends the walk unless this is the first one.
    #[cold]
    fn violate(
        &mut self,
        path: &Path<'_>,
        describe: impl FnOnce() -> (String, String),
    ) -> Result<(), SyntaxError> {
        if self.mode == Mode::Probe {
            return Err(STOP);
        }
        if self.scratch.violation.is_none() {
            let (expected, found) = describe();
            self.scratch.violation = Some(Violation { pointer: path.render(), expected, found });
        }
        if self.mode == Mode::First { Ok(()) } else { Err(STOP) }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", snippet(text))
}

/// A rule for strings that one does not keep.
enum Unmet<'r> {
    LengthMin(u64),
    LengthMax(u64),
    Pattern(&'r str),
    Format(&'r str),
}

impl fmt::Display for Unmet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unmet::LengthMin(min) => write!(f, "at least {min} characters"),
            Unmet::LengthMax(max) => write!(f, "at most {max} characters"),
            Unmet::Pattern(source) => write!(f, "a string that matches '{}'", snippet(source)),
            Unmet::Format(name) => write!(f, "a string of the format {name}"),
        }
    }
}

#[inline]
fn unmet<'r>(rules: &'r StringRules, text: &str) -> Option<Unmet<'r>> {
    if let Some((min, max)) = rules.length {
        // A character has one to four bytes, so most strings need no count.
        let bytes = text.len() as u64;
        let surely = bytes / 4 >= min && bytes <= max;
        if !surely {
            let chars = text.chars().count() as u64;
            if chars < min {
                return Some(Unmet::LengthMin(min));
            }
            if chars > max {
                return Some(Unmet::LengthMax(max));
            }
        }
    }
    if let Some(pattern) = &rules.pattern
        && !pattern.is_match(text)
    {
        return Some(Unmet::Pattern(&pattern.source));
    }
    match &rules.format {
        Some(format) if !format.is_match(text) => Some(Unmet::Format(&format.name)),
        _ => None,
    }
}

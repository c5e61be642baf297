//! The schema's verdict on a record, in one pass over its bytes.
//!
//! A [`Plan`] is a JSON Schema compiled to flat nodes. [`Plan::check`] walks a record once with a [`Scanner`] and does
//! three things at the same time: strict JSON syntax (a key that occurs twice in an object is refused), the verdict,
//! and the capture of chosen fields. No tree is built, and a record that fits costs no allocation (unusual spellings
//! aside: an escaped key, a string whose format takes more than the quick check).
//!
//! # Drafts
//! `$schema` tells the draft: 2020-12 (also where it is missing), 2019-09, 7, 6 or 4. Two rules differ from what a
//! reader may expect:
//! - `format` is an assertion in every draft, for the formats that the draft defines (`date-time`, `email`, `ipv4`, …)
//!   except the internationalised names; an unknown one is an annotation. See [`Options::assert_formats`].
//! - `1.0` is an integer except in draft 4, where a number with a point or an exponent is none.
//!
//! # What is compiled
//! `type`, `enum`, `const`, all bounds on numbers, strings, arrays and objects, `pattern` (where ECMA-262 and the
//! `regex` crate agree), `format`, `properties` and its relatives, `items` and its relatives, `contains`, `uniqueItems`,
//! dependencies, `$ref` within the document (also recursive), `allOf`, `anyOf`, `oneOf`, `not` and `if`. From `contains`
//! on, these read the value at hand again, still without a tree, and with a bound on how often.
//!
//! Everything else (`unevaluatedProperties`, `$dynamicRef`, identifiers below the root, look-around in a pattern, …)
//! makes the whole schema fall back: the record is scanned as without a schema and then judged by the `jsonschema` crate
//! on a tree, several times slower. [`Plan::fallback_reason`] says why. Both forms give the same verdicts, with two
//! exceptions where the crate knows only the nearest double and the compiled form the digits: `multipleOf` of
//! integers beyond 2⁵³, and `1e300` as an integer of draft 4.

mod compile;
mod error;
mod fallback;
mod fingerprint;
mod format;
mod kinds;
mod node;
mod number;
mod pattern;
mod values;
mod violation;
mod walk;

#[cfg(test)]
mod tests;

use foldhash::quality::RandomState;
use jsonschema::Draft;
use serde_json::Value;

pub use error::SchemaError;
pub use violation::Violation;

use compile::{Bail, Nodes};
use fallback::Fallback;
use violation::Path;

use crate::json::{KeySet, Kind, Pointer, Scanner, SyntaxError};
use crate::record::Span;

/// A schema and a list of fields to capture, ready to be used on any number of records by any number of threads.
#[derive(Debug)]
pub struct Plan {
    nodes: Nodes,
    seed: RandomState,
    written_integers: bool,
    any_kind: bool,
    slots: usize,
    fallback: Option<Fallback>,
    fallback_reason: Option<String>,
}

/// What a plan takes for a record, and what `format` means.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether values of any kind are records. Otherwise only objects are, whatever the schema says.
    pub any_kind: bool,
    /// Whether a string that does not have the schema's `format` breaks the schema.
    pub assert_formats: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { any_kind: false, assert_formats: true }
    }
}

/// Whether a record fits its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It does.
    Fits,
    /// It does not; [`Scratch::violation`] says why.
    Breaks,
}

/// What a check leaves behind, and the buffers that it works in: reused from record to record, also for other plans.
#[derive(Debug, Default)]
pub struct Scratch {
    keys: KeySet,
    captures: Vec<Span>,
    violation: Option<Violation>,
    /// A string without its escapes.
    text: String,
    /// Known properties of open objects, see `walk::object`.
    seen: Vec<u64>,
    /// Fingerprints of an array's items.
    prints: Vec<u64>,
}

impl Scratch {
    /// With nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The raw values of the captured fields of the record checked last, quotes included, in slot order:
    /// [`Span::ABSENT`] where the record has no such field. Complete also where the record broke its schema, except
    /// where it is no object.
    pub fn captures(&self) -> &[Span] {
        &self.captures
    }

    /// The first violation of the record checked last.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    fn reset(&mut self, slots: usize) {
        self.keys.clear();
        self.captures.clear();
        self.captures.resize(slots, Span::ABSENT);
        self.violation = None;
        self.seen.clear();
    }
}

impl Plan {
    /// Compiles a schema (`None`: every JSON object fits). The raw value of the field that `captures[n]` points to
    /// comes to be in slot n; a name in a pointer that is a number also leads into arrays.
    pub fn compile(schema: Option<&Value>, captures: &[Pointer]) -> Result<Plan, SchemaError> {
        Self::compile_with(schema, captures, Options::default())
    }

    /// The same with other rules than the usual ones.
    pub fn compile_with(
        schema: Option<&Value>,
        captures: &[Pointer],
        options: Options,
    ) -> Result<Plan, SchemaError> {
        let mut plan = Plan {
            nodes: Nodes::any(),
            seed: RandomState::default(),
            written_integers: false,
            any_kind: options.any_kind,
            slots: captures.len(),
            fallback: None,
            fallback_reason: None,
        };
        if let Some(schema) = schema {
            plan.add_schema(schema, options.assert_formats)?;
        }
        compile::attach(&mut plan.nodes, captures);
        Ok(plan)
    }

    fn add_schema(&mut self, schema: &Value, formats: bool) -> Result<(), SchemaError> {
        if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
            return Err(SchemaError::NotASchema { found: fallback::kind_name(schema) });
        }
        let draft = draft_of(schema)?;
        check_document(schema, draft)?;
        self.written_integers = draft <= Draft::Draft4;
        match compile::compile(schema, draft, formats, &self.seed) {
            Ok(nodes) => self.nodes = nodes,
            Err(Bail::Error(error)) => return Err(error),
            Err(Bail::Fallback(reason)) => {
                self.fallback = Some(Fallback::compile(schema, draft, formats)?);
                self.fallback_reason = Some(reason);
            }
        }
        Ok(())
    }

    /// Whether the whole schema is covered by the compiled form.
    pub fn is_compiled(&self) -> bool {
        self.fallback.is_none()
    }

    /// What in the schema is not covered by the compiled form, and where.
    pub fn fallback_reason(&self) -> Option<&str> {
        self.fallback_reason.as_deref()
    }

    /// Consumes exactly one value from the scanner, which may stand in the middle of a body (at an element of an
    /// array, at a line). An error means that it is no JSON; the position is the scanner's, and the scanner is of no
    /// more use. Otherwise the whole value is consumed, also where it breaks the schema.
    pub fn check(&self, scanner: &mut Scanner<'_>, scratch: &mut Scratch) -> Result<Verdict, SyntaxError> {
        scratch.reset(self.slots);
        let kind = scanner.peek()?;
        if kind != Kind::Object && !self.any_kind {
            scratch.keys.skip_value(scanner)?;
            scratch.violation = Some(Violation {
                pointer: String::new(),
                expected: Kind::Object.name().to_owned(),
                found: kind.name().to_owned(),
            });
            return Ok(Verdict::Breaks);
        }
        let mut before = scanner.clone();
        walk::Walk::new(self, scratch, scanner.position()).value(scanner, self.nodes.root, &Path::Root)?;
        if let Some(fallback) = &self.fallback {
            scratch.violation = fallback.check(&mut before)?;
        }
        Ok(if scratch.violation.is_none() { Verdict::Fits } else { Verdict::Breaks })
    }
}

impl Plan {
    /// Finds the captured fields of `payload`, whatever the verdict on it: none where it is not one JSON value. Their
    /// spans count from its start.
    pub fn find(&self, payload: &[u8], scratch: &mut Scratch) {
        let is_whole = std::str::from_utf8(payload).is_ok_and(|text| {
            let mut scanner = Scanner::new(text);
            self.check(&mut scanner, scratch).is_ok() && scanner.end().is_ok()
        });
        if !is_whole {
            scratch.reset(self.slots);
        }
    }
}

/// The draft that a document names.
fn draft_of(schema: &Value) -> Result<Draft, SchemaError> {
    let Some(uri) = schema.get("$schema") else { return Ok(Draft::Draft202012) };
    let unknown =
        || SchemaError::UnknownDraft { uri: uri.as_str().map_or_else(|| uri.to_string(), str::to_owned) };
    let text = uri.as_str().ok_or_else(unknown)?.trim_end_matches('#');
    let name = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match name {
        Some("json-schema.org/draft/2020-12/schema") => Ok(Draft::Draft202012),
        Some("json-schema.org/draft/2019-09/schema") => Ok(Draft::Draft201909),
        Some("json-schema.org/draft-07/schema") => Ok(Draft::Draft7),
        Some("json-schema.org/draft-06/schema") => Ok(Draft::Draft6),
        Some("json-schema.org/draft-04/schema") => Ok(Draft::Draft4),
        _ => Err(unknown()),
    }
}

/// Checks a document against the draft's own schema.
fn check_document(schema: &Value, draft: Draft) -> Result<(), SchemaError> {
    let result = match draft {
        Draft::Draft4 => jsonschema::draft4::meta::validate(schema),
        Draft::Draft6 => jsonschema::draft6::meta::validate(schema),
        Draft::Draft7 => jsonschema::draft7::meta::validate(schema),
        Draft::Draft201909 => jsonschema::draft201909::meta::validate(schema),
        _ => jsonschema::draft202012::meta::validate(schema),
    };
    result.map_err(|error| fallback::schema_error(&error))
}

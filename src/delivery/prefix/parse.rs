//! Text → template. Everything that could go wrong with a path and does not depend on a record is refused here.

use chrono::format::StrftimeItems;
use thiserror::Error;

use super::firehose::{self, Expression, FirehoseError};
use super::function::{self, FunctionError};
use super::time::{self, TimeUnit};
use super::{Clock, KeyPart, Part, PrefixTemplate, Terms, Value, Zone};
use crate::config::limits::{PREFIX_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::config::nearest;
use crate::json::{Pointer, PointerError};
use crate::runtime::clock::UnixMicros;

/// Bytes of a name where it is not known yet how long it is.
const NAME_BYTES_EXPECTED: usize = 64;

/// Bytes of the abbreviation of a zone's name, of which the longest are like `+0545`; by POSIX they have 6 at most.
const ZONE_NAME_BYTES_MAX: usize = 6;

/// Stands for a field that is none, where the rest of the path is looked at.
const UNKNOWN: &str = "x";

/// Bytes that must be left for a value: an IPv6 address has 39.
const VALUE_BYTES_MIN: usize = 40;

/// A Wednesday in September: no month and no weekday has a longer name.
const LONG_NAMED_DAY: UnixMicros = UnixMicros(1_790_812_799_999_999);

const FIELDS: [&str; 6] = ["arrival_time", "event_time", "stream", "shard", "delivery", "reason"];

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A `{` without `}`.
    #[error("'{{' without a '}}' behind it: write '{{{{' for a literal brace")]
    Unclosed,
    /// A `}` without `{`.
    #[error("'}}' without a '{{' before it: write '}}}}' for a literal brace")]
    Unopened,
    /// There is no such field.
    #[error(
        "unknown field {{{field}}}{}",
        match suggestion {
            Some(near) => format!(": did you mean {{{near}}}?"),
            None => ": write {arrival_time:%Y-%m-%d}, {event_time:%H}, a JSON pointer such as {/tenant/id}, {stream}, {shard} or {delivery}".to_owned(),
        }
    )]
    UnknownField {
        /// What stands between the braces.
        field: String,
        /// What it was most likely meant to be.
        suggestion: Option<&'static str>,
    },
    /// A field that takes no format has one.
    #[error("{{{0}}} takes no format")]
    FormatNotTaken(&'static str),
    /// A time without a format.
    #[error("{{{0}}} needs a format: write {{{0}:%Y-%m-%d}}")]
    NoFormat(&'static str),
    /// A format that strftime does not know.
    #[error("{0:?} is no strftime format: write %Y, %m, %d, %H, %M, …")]
    BadFormat(String),
    /// A format without a time in it.
    #[error("{0:?} shows nothing of the time: write %Y, %m, %d, %H, %M, …")]
    EmptyFormat(String),
    /// A pointer that is none.
    #[error(transparent)]
    Pointer(#[from] PointerError),
    /// A `"` before a pointer and none behind it.
    #[error("'{{\"' without a '\"' before the '}}': quote all of the pointer, or nothing")]
    Quote,
    /// Functions that are none.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// An expression of Firehose that is none.
    #[error(transparent)]
    Firehose(#[from] FirehoseError),
    /// It begins with `/`.
    #[error("a prefix must not begin with '/': it is below the sink")]
    Absolute,
    /// Two slashes in a row.
    #[error("a prefix must not have '//' in it")]
    EmptySegment,
    /// A segment `.` or `..`.
    #[error("a prefix must not have the segment {0:?} in it")]
    DotSegment(String),
    /// A control character or a backslash.
    #[error("a prefix must not have the character {0:?} in it")]
    BadCharacter(char),
    /// There is no room for values.
    #[error("the prefix is too long: {0}")]
    TooLong(String),
}

/// Every problem with it, in the order of the text, and with its path at last.
pub(super) fn parse(text: &str, terms: &Terms) -> Result<PrefixTemplate, Vec<TemplateError>> {
    let mut problems = Vec::new();
    let mut template = PrefixTemplate {
        text: text.to_owned(),
        parts: Vec::new(),
        key_parts: Vec::new(),
        pointers: Vec::new(),
        values: Vec::new(),
        time_zone: terms.time_zone.clone(),
        value_bytes_max: 0,
    };
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        let doubled = ["{{", "}}"].into_iter().find(|brace| from.starts_with(brace));
        if let Some(brace) = doubled {
            literal.push_str(&brace[..1]);
            rest = &from[2..];
            continue;
        }
        let field = from.strip_prefix('{').ok_or(TemplateError::Unopened).and_then(split_field);
        let (field, behind) = match field {
            Ok(field) => field,
            // Where the fields behind it begin and end is not known.
            Err(error) => {
                problems.push(error);
                return Err(problems);
            }
        };
        let is_expression = literal.ends_with('!') && !is_field(field);
        if is_expression {
            literal.pop();
        }
        if !literal.is_empty() {
            template.parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        let part = if is_expression { template.expression(field, terms) } else { template.field(field) };
        template.parts.push(part.unwrap_or_else(|error| {
            problems.push(error);
            Part::Literal(UNKNOWN.to_owned())
        }));
        rest = behind;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        template.parts.push(Part::Literal(literal));
    }
    match room_for_values(&template.parts, &template.time_zone) {
        Ok(bytes_max) => template.value_bytes_max = bytes_max,
        Err(error) => problems.push(error),
    }
    if problems.is_empty() { Ok(template) } else { Err(problems) }
}

/// What stands before the `}` that ends a field, and behind it. A quoted pointer may have one in it.
fn split_field(inner: &str) -> Result<(&str, &str), TemplateError> {
    let quoted = match inner.strip_prefix('"') {
        Some(pointer) => pointer.find('"').ok_or(TemplateError::Quote)? + 2,
        None => 0,
    };
    let end = quoted + inner[quoted..].find('}').ok_or(TemplateError::Unclosed)?;
    Ok((&inner[..end], &inner[end + 1..]))
}

/// Whether the text between braces means something without an exclamation mark before them.
fn is_field(field: &str) -> bool {
    let name = field.split(':').next().unwrap_or_default();
    field.starts_with(['/', '"']) || FIELDS.contains(&name)
}

impl PrefixTemplate {
    fn field(&mut self, field: &str) -> Result<Part, TemplateError> {
        if field.starts_with(['/', '"']) {
            return self.value(field);
        }
        let (name, format) = match field.split_once(':') {
            Some((name, format)) => (name, Some(format)),
            None => (field, None),
        };
        let (known, key_part, part) = match name {
            "arrival_time" => return self.time(Clock::Arrival, "arrival_time", format),
            "event_time" => return self.time(Clock::Event, "event_time", format),
            "stream" => ("stream", KeyPart::Stream, Part::Stream),
            "shard" => ("shard", KeyPart::Shard, Part::Shard),
            "delivery" => ("delivery", KeyPart::Delivery, Part::Delivery),
            "reason" => ("reason", KeyPart::Reason, Part::Reason),
            _ => {
                let field = field.to_owned();
                return Err(TemplateError::UnknownField { suggestion: nearest(name, FIELDS), field });
            }
        };
        if format.is_some() {
            return Err(TemplateError::FormatNotTaken(known));
        }
        self.add_to_key(key_part);
        Ok(part)
    }

    /// A pointer, in quotes perhaps, and functions behind it.
    fn value(&mut self, field: &str) -> Result<Part, TemplateError> {
        let (pointer, functions) = match field.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or(TemplateError::Quote)?,
            None => field.split_at(field.find('|').unwrap_or(field.len())),
        };
        let (pointer, functions) = (Pointer::parse(pointer)?, function::parse(functions)?);
        let pointer = self.pointers.iter().position(|known| *known == pointer).unwrap_or_else(|| {
            self.pointers.push(pointer);
            self.pointers.len() - 1
        });
        let value = Value { pointer, functions };
        let index = self.values.iter().position(|known| *known == value).unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() - 1
        });
        self.add_to_key(KeyPart::Value(index));
        Ok(Part::Value(index))
    }

    fn expression(&mut self, text: &str, terms: &Terms) -> Result<Part, TemplateError> {
        match firehose::parse(text)? {
            Expression::Timestamp(format) => self.time(Clock::Arrival, "timestamp", Some(&format)),
            Expression::PartitionKey(name) => match terms.partition_keys.get(name) {
                Some(field) => self.value(field),
                None => Err(TemplateError::Firehose(FirehoseError::NoPartitionKey {
                    name: name.to_owned(),
                    known: terms.partition_keys.keys().cloned().collect(),
                })),
            },
            Expression::ErrorOutputType => {
                self.add_to_key(KeyPart::Reason);
                Ok(Part::ErrorOutputType)
            }
            Expression::RandomString => Ok(Part::RandomString),
        }
    }

    fn time(
        &mut self,
        clock: Clock,
        name: &'static str,
        format: Option<&str>,
    ) -> Result<Part, TemplateError> {
        let format = format.ok_or(TemplateError::NoFormat(name))?;
        let items = StrftimeItems::new(format)
            .parse_to_owned()
            .map_err(|_| TemplateError::BadFormat(format.to_owned()))?;
        let unit = TimeUnit::of(&items).ok_or_else(|| TemplateError::EmptyFormat(format.to_owned()))?;
        self.add_to_key(KeyPart::Time(clock, unit));
        // UTC is ahead of itself by nothing.
        if !self.time_zone.is_utc() && time::shows_offset(&items) {
            self.add_to_key(KeyPart::Offset(clock));
        }
        Ok(Part::Time { clock, items })
    }

    /// Each once, and of each time only the finest unit: it tells the coarser ones as well.
    fn add_to_key(&mut self, new: KeyPart) {
        for part in &mut self.key_parts {
            match (part, new) {
                (KeyPart::Time(clock, unit), KeyPart::Time(new_clock, new_unit)) if *clock == new_clock => {
                    *unit = (*unit).min(new_unit);
                    return;
                }
                (part, new) if *part == new => return,
                _ => {}
            }
        }
        self.key_parts.push(new);
    }
}

/// Stands for a value where a template is tried out: a byte that no literal may have.
const VALUE: char = '\0';

/// Tries the template out, with names and times at their longest. Returns how many bytes each value may have.
fn room_for_values(parts: &[Part], zone: &Zone) -> Result<usize, TemplateError> {
    let mut sample = String::new();
    for part in parts {
        match part {
            Part::Literal(text) => {
                if let Some(bad) = text.chars().find(|&c| c.is_control() || c == '\\') {
                    return Err(TemplateError::BadCharacter(bad));
                }
                sample.push_str(text);
            }
            Part::Time { items, .. } => {
                let printed = zone.local(LONG_NAMED_DAY).map(|local| time::print(&local, items));
                let printed = printed.unwrap_or_default();
                if let Some(bad) = printed.chars().find(|&c| c.is_control() || c == '\\') {
                    return Err(TemplateError::BadCharacter(bad));
                }
                sample.push_str(&printed);
                if !zone.is_utc() && time::shows_offset(items) {
                    // The zone's name may be longer at another time of the year.
                    sample.extend(std::iter::repeat_n('x', ZONE_NAME_BYTES_MAX));
                }
            }
            Part::Value(_) => sample.push(VALUE),
            Part::Stream
            | Part::Shard
            | Part::Delivery
            | Part::Reason
            | Part::ErrorOutputType
            | Part::RandomString => sample.extend(std::iter::repeat_n('x', NAME_BYTES_EXPECTED)),
        }
    }
    if sample.starts_with('/') {
        return Err(TemplateError::Absolute);
    }
    let mut room = room_in(&sample, PREFIX_BYTES_MAX)?;
    for segment in sample.strip_suffix('/').unwrap_or(&sample).split('/') {
        match segment {
            "" if !sample.is_empty() => return Err(TemplateError::EmptySegment),
            "." | ".." => return Err(TemplateError::DotSegment(segment.to_owned())),
            _ => room = room.min(room_in(segment, SEGMENT_BYTES_MAX)?),
        }
    }
    Ok(room)
}

/// What is left for each value in a text that may have `bytes_max` bytes; no more than a segment has where it has no
/// values.
fn room_in(text: &str, bytes_max: usize) -> Result<usize, TemplateError> {
    let values = text.matches(VALUE).count();
    let fixed = text.len() - values;
    let left = bytes_max.saturating_sub(fixed);
    if fixed > bytes_max || (values > 0 && left / values < VALUE_BYTES_MIN) {
        return Err(TemplateError::TooLong(format!(
            "{fixed} bytes besides {values} fields, where a path has {PREFIX_BYTES_MAX} in all and {SEGMENT_BYTES_MAX} between two slashes"
        )));
    }
    Ok(left.checked_div(values).unwrap_or(SEGMENT_BYTES_MAX))
}

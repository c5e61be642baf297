//! Which topic a record goes to.
//!
//! A [`TopicTemplate`] is a prefix template ([`crate::delivery::prefix`]) whose text is the name of a topic: times,
//! names and fields of the record. Values are made legal: what the name of a topic may not have becomes `_`. A `/`, and
//! whatever else a prefix percent-encodes, keeps its hexadecimal digits (`a/b` becomes `a_2Fb`), so that tenants do not
//! meet by accident.

use thiserror::Error;

use crate::delivery::classify::Dead;
use crate::delivery::prefix::{PrefixTemplate, RecordFacts, TemplateError, Terms};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;

/// Bytes of a topic's name (`MAX_NAME_LENGTH` of Apache Kafka's `Topic`).
pub const TOPIC_BYTES_MAX: usize = 249;

/// What an empty value is in a prefix.
const EMPTY_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Reason of a dead letter that has no topic.
pub const TOPIC: &str = "topic";

/// Why a text is not the name of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TopicError {
    /// It is empty.
    #[error("the name of a topic must not be empty")]
    Empty,
    /// `.` or `..`.
    #[error("{0:?} cannot be the name of a topic")]
    Points(String),
    /// Too long.
    #[error("the name of a topic has at most {TOPIC_BYTES_MAX} characters, and this has {0}")]
    TooLong(usize),
    /// Something that a name must not have.
    #[error("the name of a topic consists of a-z, A-Z, 0-9, '_', '.' and '-': {0:?} is none of them")]
    Character(char),
    /// A field that it cannot have.
    #[error(
        "{0} cannot be part of a topic's name: use a JSON pointer such as {{/tenant}}, {{stream}}, {{shard}}, {{delivery}} or {{arrival_time:%Y-%m}}"
    )]
    Field(&'static str),
    /// No template.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Checks the name of a topic.
///
/// # Errors
/// Why it is none.
pub fn check_topic_name(name: &str) -> Result<(), TopicError> {
    if name.is_empty() {
        return Err(TopicError::Empty);
    }
    if matches!(name, "." | "..") {
        return Err(TopicError::Points(name.to_owned()));
    }
    if let Some(wrong) = name.chars().find(|&c| !is_legal(c)) {
        return Err(TopicError::Character(wrong));
    }
    if name.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong(name.len()));
    }
    Ok(())
}

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// A topic's name with fields.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicTemplate {
    template: PrefixTemplate,
    /// Its text, where that has no fields.
    fixed: Option<String>,
}

impl TopicTemplate {
    /// Parses it.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        // A random one would make topics without end, and the others are those above under other names.
        if text.contains("!{") {
            return Err(TopicError::Field("an expression of Firehose"));
        }
        let template = PrefixTemplate::parse(text, &Terms::default())?;
        if template.uses_event_time() {
            return Err(TopicError::Field("{event_time}"));
        }
        if template.uses_reason() {
            return Err(TopicError::Field("{reason}"));
        }
        if text.ends_with('/') {
            return Err(TopicError::Character('/'));
        }
        let value = Some("\"x\"");
        let sample = RecordFacts {
            stream: "s",
            delivery: "d",
            shard: ShardId(0),
            number: SequenceNumber(0),
            arrival: UnixMicros(0),
            event_time: None,
            pointer_values: &|_| value,
            reason: "",
        };
        // What it has of its own must be legal: only values are made so.
        if let Ok(path) = template.render(&sample) {
            check_topic_name(path.trim_end_matches('/'))?;
        }
        let fixed = (!text.contains('{')).then(|| text.to_owned());
        Ok(Self { template, fixed })
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        self.template.as_str()
    }

    /// The topic, if it is the same for all records.
    pub fn fixed(&self) -> Option<&str> {
        self.fixed.as_deref()
    }

    /// The template.
    pub fn fields(&self) -> &PrefixTemplate {
        &self.template
    }

    /// The topic of a record.
    ///
    /// # Errors
    /// Why it has none.
    pub fn name(&self, facts: &RecordFacts<'_>) -> Result<String, Dead> {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        let path = self.template.render(facts)?;
        let text = path.strip_suffix('/').unwrap_or(&path);
        let dead = |message: String| Dead { reason: TOPIC, message };
        if text.contains(EMPTY_VALUE) {
            return Err(dead("a field that the topic is named after is empty".to_owned()));
        }
        let name: String = text.chars().map(|c| if is_legal(c) { c } else { '_' }).collect();
        check_topic_name(&name).map_err(|error| dead(error.to_string()))?;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(template: &str, value: Option<&str>) -> Result<String, Dead> {
        let facts = RecordFacts {
            stream: "clicks",
            delivery: "bus",
            shard: ShardId(3),
            number: SequenceNumber(7),
            arrival: UnixMicros(1_700_000_000_000_000),
            event_time: None,
            pointer_values: &|_| value,
            reason: "",
        };
        TopicTemplate::parse(template).unwrap().name(&facts)
    }

    #[test]
    fn fields_become_legal_names_and_different_values_stay_different() {
        assert_eq!(name("events", None).unwrap(), "events");
        assert_eq!(name("clicks-{/tenant}", Some("\"acme\"")).unwrap(), "clicks-acme");
        assert_eq!(name("clicks-{/tenant}", Some("12")).unwrap(), "clicks-12");
        assert_eq!(name("clicks-{/tenant}", Some("\"a/b\"")).unwrap(), "clicks-a_2Fb");
        assert_eq!(name("clicks-{/tenant}", Some("\"a b\"")).unwrap(), "clicks-a_b");
        assert_eq!(name("{stream}.{delivery}.{arrival_time:%Y-%m}", None).unwrap(), "clicks.bus.2023-11");
        assert_eq!(name("{/tenant|lower|default(none)}", None).unwrap(), "none");
    }

    #[test]
    fn a_record_without_a_topic_says_why() {
        let missing = name("clicks-{/tenant}", None).unwrap_err();
        assert_eq!(missing.reason, "partition");
        assert!(missing.message.contains("/tenant"), "{missing:?}");
        assert_eq!(name("clicks-{/tenant}", Some("\"\"")).unwrap_err().reason, TOPIC);
        let long = format!("\"{}\"", "x".repeat(245));
        assert_eq!(name("clicks-{/tenant}", Some(&long)).unwrap_err().reason, TOPIC);
    }

    #[test]
    fn what_can_never_be_a_topic_is_refused_before_it_starts() {
        for wrong in ["", ".", "a b", "a/b", "a/", "!{firehose:random-string}", "{event_time:%Y}", "{reason}"]
        {
            assert!(TopicTemplate::parse(wrong).is_err(), "{wrong}");
        }
        assert!(TopicTemplate::parse("{arrival_time:%H:%M}").is_err(), "colons are not legal");
        assert!(check_topic_name(&"x".repeat(249)).is_ok() && check_topic_name(&"x".repeat(250)).is_err());
    }
}

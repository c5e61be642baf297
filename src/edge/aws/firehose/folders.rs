//! `Prefix` and `ErrorOutputPrefix` → folders.
//!
//! Expressions stay as they are, and braces that belong to none stand for themselves. A prefix without expressions gets
//! the time behind it, as there: `data/` becomes `data/!{timestamp:yyyy/MM/dd/HH}/`. A partition key that is a time of
//! the record (`.at|strftime("%Y")`) becomes `{event_time:%Y}`. Rules of
//! <https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html>.

use std::collections::BTreeMap;

use super::destination::Destination;
use super::jq::KeyQuery;
use super::unsupported;
use crate::edge::aws::protocol::failure::Failure;

const TIME: &str = "!{timestamp:yyyy/MM/dd/HH}/";
const ERROR_TYPE: &str = "!{firehose:error-output-type}";

/// What the prefixes come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folders {
    pub prefix: String,
    pub error_prefix: String,
    /// Those that are fields.
    pub partition_keys: BTreeMap<String, String>,
    /// The field that times are read from.
    pub event_time: Option<String>,
}

/// The folders of a destination whose query has `keys`.
pub(super) fn of(destination: &Destination, keys: &BTreeMap<String, KeyQuery>) -> Result<Folders, Failure> {
    let prefix = Written::parse("Prefix", destination.prefix.as_deref().unwrap_or_default())?;
    let error =
        Written::parse("ErrorOutputPrefix", destination.error_output_prefix.as_deref().unwrap_or_default())?;
    if prefix.has("firehose:error-output-type") {
        return Err(Failure::invalid("Prefix must not contain !{firehose:error-output-type}"));
    }
    let is_partitioned = destination.is_partitioned();
    for (written, member) in [(&prefix, "Prefix"), (&error, "ErrorOutputPrefix")] {
        if written.has("partitionKeyFromLambda:") {
            let what = format!("!{{partitionKeyFromLambda}} in {member}");
            return Err(unsupported(&what));
        }
        if written.has("partitionKeyFrom") && (!is_partitioned || member != "Prefix") {
            return Err(Failure::invalid(format!(
                "Dynamic Partitioning Namespaces can not be part of {member} expression when Dynamic Partitioning is not enabled."
            )));
        }
    }
    if is_partitioned && !prefix.has("partitionKeyFrom") {
        return Err(Failure::invalid(
            "Prefix must contain a !{partitionKeyFromQuery:…} when Dynamic Partitioning is enabled.",
        ));
    }
    if error.text.is_empty() && prefix.has_expressions() {
        return Err(Failure::invalid("ErrorOutputPrefix must be provided when Prefix contains expressions"));
    }
    if error.has_expressions() && !error.has("firehose:error-output-type") {
        return Err(Failure::invalid(format!("ErrorOutputPrefix must contain {ERROR_TYPE}")));
    }
    let event_time = event_time(keys)?;
    let fields = keys.iter().filter_map(|(name, key)| match key {
        KeyQuery::Field(field) => Some((name.clone(), field.clone())),
        KeyQuery::Time { .. } => None,
    });
    Ok(Folders {
        prefix: match prefix.has_expressions() {
            true => prefix.template(keys),
            false => format!("{}{TIME}", prefix.template(keys)),
        },
        error_prefix: match (error.has_expressions(), error.text) {
            (true, _) => error.template(keys),
            (false, "") => format!("{}{ERROR_TYPE}/{TIME}", prefix.template(keys)),
            (false, _) => format!("{}{ERROR_TYPE}/{TIME}", error.template(keys)),
        },
        partition_keys: fields.collect(),
        event_time,
    })
}

/// The one field that all times are read from.
fn event_time(keys: &BTreeMap<String, KeyQuery>) -> Result<Option<String>, Failure> {
    let mut found: Option<&String> = None;
    for key in keys.values() {
        let KeyQuery::Time { pointer, .. } = key else { continue };
        if let Some(other) = found.filter(|other| *other != pointer) {
            let message =
                format!("MetadataExtractionQuery: strftime of one field only, not of {other} and {pointer}");
            return Err(Failure::invalid(message));
        }
        found = Some(pointer);
    }
    Ok(found.cloned())
}

/// A prefix, taken apart.
struct Written<'a> {
    text: &'a str,
    parts: Vec<Part<'a>>,
}

enum Part<'a> {
    Text(&'a str),
    /// What stands between `!{` and `}`.
    Expression(&'a str),
}

impl<'a> Written<'a> {
    fn parse(member: &str, text: &'a str) -> Result<Self, Failure> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, from)) = rest.split_once("!{") {
            let (expression, behind) = from.split_once('}').ok_or_else(|| {
                Failure::invalid(format!("{member} has an expression !{{ without a }} behind it"))
            })?;
            parts.push(Part::Text(before));
            parts.push(Part::Expression(expression));
            rest = behind;
        }
        parts.push(Part::Text(rest));
        Ok(Self { text, parts })
    }

    fn has_expressions(&self) -> bool {
        self.has("")
    }

    /// Whether an expression begins so.
    fn has(&self, start: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Expression(text) if text.starts_with(start)))
    }

    /// As a pipeline's prefix.
    fn template(&self, keys: &BTreeMap<String, KeyQuery>) -> String {
        let mut template = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => template.push_str(&text.replace('{', "{{").replace('}', "}}")),
                Part::Expression(text) => {
                    let name = text.strip_prefix("partitionKeyFromQuery:").map(str::trim);
                    match name.and_then(|name| keys.get(name)) {
                        Some(KeyQuery::Time { format, .. }) => {
                            template.push_str(&format!("{{event_time:{format}}}"));
                        }
                        _ => template.push_str(&format!("!{{{text}}}")),
                    }
                }
            }
        }
        template
    }
}

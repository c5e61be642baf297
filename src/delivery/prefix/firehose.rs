//! Expressions of Amazon Data Firehose, as they are written there: `!{namespace:value}`.
//!
//! | expression | stands for |
//! | --- | --- |
//! | `!{timestamp:yyyy/MM/dd/HH}` | the arrival time, in a pattern of Java's `DateTimeFormatter` |
//! | `!{partitionKeyFromQuery:NAME}` `!{partitionKeyFromLambda:NAME}` | the field that `partition_keys` has under the name |
//! | `!{firehose:error-output-type}` | Firehose's word for the reason of a dead letter |
//! | `!{firehose:random-string}` | 11 letters and digits that differ from file to file |
//!
//! Forms from <https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html>. Three things differ from there. The
//! time is that of each record and not of the oldest one in a file, so that a path never lies about what is in it. The
//! random string follows from the file's first record, so that a file that is made once more after a crash keeps its
//! name. And no time is appended to a prefix that has none: a prefix says all that a path has.

use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::RecordFacts;
use crate::config::listed;

/// What an expression stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression<'a> {
    /// The arrival time in a strftime format.
    Timestamp(String),
    /// A name of `partition_keys`.
    PartitionKey(&'a str),
    ErrorOutputType,
    RandomString,
}

/// Why an expression is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FirehoseError {
    /// No such namespace, or no such value in it.
    #[error(
        "unknown expression !{{{0}}}: write !{{timestamp:yyyy/MM/dd/HH}}, !{{partitionKeyFromQuery:NAME}}, \
         !{{partitionKeyFromLambda:NAME}}, !{{firehose:error-output-type}} or !{{firehose:random-string}}"
    )]
    Unknown(String),
    /// A letter of a pattern that has no meaning here.
    #[error(
        "!{{timestamp:…}} takes yyyy, yy, MM, MMM, dd, DDD, HH, hh, a, mm, ss, SSS, E, EEEE, Q, z, Z and text in '…', but not {0:?}"
    )]
    Pattern(String),
    /// The year of a calendar of weeks, which differs from the year around its turn.
    #[error("!{{timestamp:…}} has {0:?}, the year that a week belongs to: write yyyy for the year")]
    WeekYear(String),
    /// A `'` without a second one.
    #[error("!{{timestamp:…}} has a ' without a second one: write '' for the character itself")]
    Quote,
    /// No such name in `partition_keys`.
    #[error(
        "no partition key {name:?} in partition_keys{}",
        if known.is_empty() {
            format!(": write partition_keys = {{ {name} = \"/pointer/to/field\" }}")
        } else {
            format!(", which has {}", listed(known.iter().map(String::as_str)))
        }
    )]
    NoPartitionKey {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

/// What stands between `!{` and `}`.
pub(super) fn parse(text: &str) -> Result<Expression<'_>, FirehoseError> {
    match text.split_once(':') {
        Some(("timestamp", pattern)) => strftime(pattern).map(Expression::Timestamp),
        Some(("partitionKeyFromQuery" | "partitionKeyFromLambda", name)) => {
            Ok(Expression::PartitionKey(name.trim()))
        }
        Some(("firehose", "error-output-type")) => Ok(Expression::ErrorOutputType),
        Some(("firehose", "random-string")) => Ok(Expression::RandomString),
        _ => Err(FirehoseError::Unknown(text.chars().take(64).collect())),
    }
}

/// A pattern of Java's `DateTimeFormatter` as a strftime format.
fn strftime(pattern: &str) -> Result<String, FirehoseError> {
    let mut format = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('\'') {
            let (text, behind) = quoted.split_once('\'').ok_or(FirehoseError::Quote)?;
            push_text(if text.is_empty() { "'" } else { text }, &mut format);
            rest = behind;
            // Within a text, two quotes are one.
            if !text.is_empty() && rest.starts_with('\'') {
                format.push('\'');
            }
            continue;
        }
        let length = rest.find(|c| c != first).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(length);
        if first.is_ascii_alphabetic() {
            format.push_str(letters(run)?);
        } else if "[]{}#".contains(first) {
            return Err(FirehoseError::Pattern(run.to_owned()));
        } else {
            push_text(run, &mut format);
        }
        rest = behind;
    }
    Ok(format)
}

fn push_text(text: &str, format: &mut String) {
    format.push_str(&text.replace('%', "%%"));
}

fn letters(run: &str) -> Result<&'static str, FirehoseError> {
    Ok(match run {
        "yyyy" | "uuuu" => "%Y",
        "yy" | "uu" => "%y",
        "y" | "u" => "%-Y",
        "MM" | "LL" => "%m",
        "M" | "L" => "%-m",
        "MMM" => "%b",
        "MMMM" => "%B",
        "Q" | "q" => "%q",
        "dd" => "%d",
        "d" => "%-d",
        "DDD" => "%j",
        "D" => "%-j",
        "E" | "EE" | "EEE" => "%a",
        "EEEE" => "%A",
        "HH" => "%H",
        "H" => "%-H",
        "hh" => "%I",
        "h" => "%-I",
        "a" => "%p",
        "mm" => "%M",
        "m" => "%-M",
        "ss" => "%S",
        "s" => "%-S",
        "SSS" => "%3f",
        "SSSSSS" => "%6f",
        "SSSSSSSSS" => "%9f",
        "z" => "%Z",
        "Z" => "%z",
        _ if run.starts_with('Y') => return Err(FirehoseError::WeekYear(run.to_owned())),
        _ => return Err(FirehoseError::Pattern(run.to_owned())),
    })
}

/// Firehose's word for a reason: it tells records that do not fit the columns from all others.
pub(super) fn error_output_type(reason: &str) -> &'static str {
    match reason {
        "columns" => "format-conversion-failed",
        _ => "processing-failed",
    }
}

/// 62 to the power of 11 is more than 2 to that of 64: every hash has a string of its own.
const RANDOM_LENGTH: usize = 11;

/// Appends 11 letters and digits that follow from the record that a file begins with.
pub(super) fn push_random_string(facts: &RecordFacts<'_>, path: &mut Vec<u8>) {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut hash = Xxh3::new();
    for name in [facts.stream, facts.delivery] {
        hash.update(name.as_bytes());
        hash.update(&[0]);
    }
    hash.update(&facts.shard.0.to_be_bytes());
    hash.update(&facts.number.0.to_be_bytes());
    // The first record of a shard may be the first of a file of dead letters, too, after a change of the settings.
    hash.update(facts.reason.as_bytes());
    let mut left = hash.digest();
    for _ in 0..RANDOM_LENGTH {
        path.push(DIGITS[(left % 62) as usize]);
        left /= 62;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_java_become_formats() {
        for (pattern, format) in [
            ("yyyy/MM/dd/HH", "%Y/%m/%d/%H"),
            ("yyyy-MM-dd'T'HH", "%Y-%m-%dT%H"),
            ("yyyy'-'MM'-'dd", "%Y-%m-%d"),
            ("'year='yyyy'/month='MM", "year=%Y/month=%m"),
            ("yy/M/d/H/m/s", "%y/%-m/%-d/%-H/%-M/%-S"),
            ("yyyy/DDD/EEE", "%Y/%j/%a"),
            ("hh.mm a", "%I.%M %p"),
            ("HHmmssSSS", "%H%M%S%3f"),
            ("'o''clock' HH", "o'clock %H"),
            ("HH''mm", "%H'%M"),
            ("'100%' yyyy%", "100%% %Y%%"),
            ("", ""),
        ] {
            assert_eq!(strftime(pattern).as_deref(), Ok(format), "{pattern}");
        }
        for (pattern, error) in [
            ("YYYY", FirehoseError::WeekYear("YYYY".to_owned())),
            ("yyyyy", FirehoseError::Pattern("yyyyy".to_owned())),
            ("ww", FirehoseError::Pattern("ww".to_owned())),
            ("VV", FirehoseError::Pattern("VV".to_owned())),
            ("HH[mm]", FirehoseError::Pattern("[".to_owned())),
            ("yyyy'T", FirehoseError::Quote),
        ] {
            assert_eq!(strftime(pattern), Err(error), "{pattern}");
        }
    }

    #[test]
    fn every_expression_of_the_four_namespaces_is_known_and_no_other() {
        for (text, expression) in [
            ("timestamp:yyyy", Expression::Timestamp("%Y".to_owned())),
            ("partitionKeyFromQuery:customer_id", Expression::PartitionKey("customer_id")),
            ("partitionKeyFromLambda:region", Expression::PartitionKey("region")),
            ("firehose:error-output-type", Expression::ErrorOutputType),
            ("firehose:random-string", Expression::RandomString),
        ] {
            assert_eq!(parse(text), Ok(expression));
        }
        for text in ["timestamp", "firehose:random", "s3:x", ""] {
            assert_eq!(parse(text), Err(FirehoseError::Unknown(text.to_owned())));
        }
    }
}

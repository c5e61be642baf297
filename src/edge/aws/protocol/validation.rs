//! The constraints of the services' models, told in their words: all members that break one in one message.

use std::fmt::{Display, Write as _};

use super::failure::{Failure, FailureKind};

/// Violations that a message tells; the rest is only counted.
const SHOWN_MAX: usize = 100;

/// Characters of a value that a message repeats.
const VALUE_CHARS_MAX: usize = 256;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub struct Violations {
    count: usize,
    text: String,
}

impl Violations {
    /// Notes that `value` at `path` breaks `constraint`, as in `Member must not be null`.
    #[cold]
    pub fn add(&mut self, path: &str, value: Option<&dyn Display>, constraint: impl Display) {
        self.count += 1;
        if self.count > SHOWN_MAX {
            return;
        }
        if self.count > 1 {
            self.text.push_str("; ");
        }
        // Writing to a text cannot fail.
        let _ = match value {
            None => write!(self.text, "Value null at '{path}' failed to satisfy constraint: {constraint}"),
            Some(value) => {
                let value: String = value.to_string().chars().take(VALUE_CHARS_MAX).collect();
                write!(self.text, "Value '{value}' at '{path}' failed to satisfy constraint: {constraint}")
            }
        };
    }

    /// Something has to be there.
    pub fn required<T>(&mut self, path: &str, value: &Option<T>) {
        if value.is_none() {
            self.add(path, None, "Member must not be null");
        }
    }

    /// A text of `min` to `max` characters that is made as `pattern` tells.
    pub fn text(
        &mut self,
        path: &str,
        value: Option<&str>,
        min: usize,
        max: usize,
        pattern: Option<Pattern>,
    ) {
        let Some(value) = value else { return };
        // Bytes are never fewer than characters: the usual case needs no count.
        if value.len() > max && value.chars().count() > max {
            let constraint = format!("Member must have length less than or equal to {max}");
            self.add(path, Some(&value), constraint);
        }
        if value.len() < min {
            let constraint = format!("Member must have length greater than or equal to {min}");
            self.add(path, Some(&value), constraint);
        }
        if let Some(pattern) = pattern.filter(|pattern| !(pattern.matches)(value)) {
            let constraint = format!("Member must satisfy regular expression pattern: {}", pattern.text);
            self.add(path, Some(&value), constraint);
        }
    }

    /// A number from `min` to `max`.
    pub fn number(&mut self, path: &str, value: Option<i64>, min: i64, max: i64) {
        let Some(value) = value else { return };
        if value > max {
            self.add(path, Some(&value), format!("Member must have value less than or equal to {max}"));
        }
        if value < min {
            self.add(path, Some(&value), format!("Member must have value greater than or equal to {min}"));
        }
    }

    /// One of some words.
    pub fn word(&mut self, path: &str, value: Option<&str>, words: &[&str]) {
        if let Some(value) = value.filter(|value| !words.contains(value)) {
            let words = words.join(", ");
            self.add(path, Some(&value), format!("Member must satisfy enum value set: [{words}]"));
        }
    }

    /// A list or map of `min` to `max` entries; its content is not repeated.
    pub fn count(&mut self, path: &str, count: usize, min: usize, max: usize) {
        if count > max {
            let constraint = format!("Member must have length less than or equal to {max}");
            self.add(path, Some(&"[...]"), constraint);
        }
        if count < min {
            let constraint = format!("Member must have length greater than or equal to {min}");
            self.add(path, Some(&"[]"), constraint);
        }
    }

    /// All of them as one failure, if there are any.
    ///
    /// # Errors
    /// `ValidationException`.
    pub fn finish(self) -> Result<(), Failure> {
        let Self { count, text } = self;
        if count == 0 {
            return Ok(());
        }
        let errors = if count == 1 { "error" } else { "errors" };
        Err(Failure::new(FailureKind::Validation, format!("{count} validation {errors} detected: {text}")))
    }
}

/// A pattern of the model: its text, and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    text: &'static str,
    matches: fn(&str) -> bool,
}

impl Pattern {
    /// Names of streams, shards and consumers.
    pub const NAME: Self = Self {
        text: "[a-zA-Z0-9_.-]+",
        matches: |text| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        },
    };

    /// Hash keys.
    pub const HASH_KEY: Self =
        Self { text: "0|([1-9]\\d{0,38})", matches: |text| is_decimal(text.as_bytes(), 39) };

    /// Sequence numbers.
    pub const SEQUENCE: Self =
        Self { text: "0|([1-9]\\d{0,128})", matches: |text| is_decimal(text.as_bytes(), 129) };

    /// Names of streams all over the world.
    pub const STREAM_ARN: Self = Self {
        text: "arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+",
        matches: |text| arn_resource(text, "kinesis", "stream/").is_some(),
    };

    /// Names of consumers all over the world.
    pub const CONSUMER_ARN: Self = Self {
        text: "^(arn):aws.*:kinesis:.*:\\d{12}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/[a-zA-Z0-9_.-]+:[0-9]+",
        matches: |text| {
            let parts =
                arn_resource(text, "kinesis", "stream/").and_then(|rest| rest.split_once("/consumer/"));
            parts.is_some_and(|(stream, consumer)| {
                let name = |text: &str| (Self::NAME.matches)(text);
                let consumer = consumer.rsplit_once(':');
                name(stream)
                    && consumer.is_some_and(|(consumer, created)| {
                        name(consumer)
                            && !created.is_empty()
                            && created.bytes().all(|byte| byte.is_ascii_digit())
                    })
            })
        },
    };
}

fn is_decimal(digits: &[u8], length_max: usize) -> bool {
    let is_number = match digits {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_number && digits.len() <= length_max
}

/// What stands behind `kind` in `arn:aws…:SERVICE:REGION:ACCOUNT:KIND…`, whatever region and account: a client that has
/// moved here goes on with the names that it has.
pub fn arn_resource<'a>(arn: &'a str, service: &str, kind: &str) -> Option<&'a str> {
    let mut parts = arn.splitn(6, ':');
    let (arn, partition, found) = (parts.next()?, parts.next()?, parts.next()?);
    let (_region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let is_one = arn == "arn"
        && partition.starts_with("aws")
        && found == service
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit());
    let name = resource.strip_prefix(kind).filter(|name| is_one && !name.is_empty())?;
    (!name.contains(char::is_whitespace)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_violations_are_told_in_one_message() {
        let mut violations = Violations::default();
        violations.text("streamName", Some(""), 1, 128, Some(Pattern::NAME));
        violations.number("limit", Some(10_001), 1, 10_000);
        violations.required::<()>("shardId", &None);
        let failure = violations.finish().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Validation);
        assert_eq!(
            failure.message,
            "4 validation errors detected: Value '' at 'streamName' failed to satisfy constraint: Member must have \
             length greater than or equal to 1; Value '' at 'streamName' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '10001' at 'limit' failed to satisfy \
             constraint: Member must have value less than or equal to 10000; Value null at 'shardId' failed to \
             satisfy constraint: Member must not be null"
        );
        assert_eq!(Violations::default().finish(), Ok(()));
    }

    #[test]
    fn patterns_mean_what_they_say() {
        let cases = [
            (Pattern::NAME, vec!["a.b-C_9"], vec!["", "a b", "ä", "a/b"]),
            (
                Pattern::HASH_KEY,
                vec!["0", "340282366920938463463374607431768211455"],
                vec!["", "01", "-1", "x"],
            ),
            (
                Pattern::SEQUENCE,
                vec!["0", "49590338271490256608559692538361571095921575989136588898"],
                vec!["00", "1a"],
            ),
            (
                Pattern::STREAM_ARN,
                vec![
                    "arn:aws:kinesis:us-east-1:000000000000:stream/a",
                    "arn:aws-cn:kinesis:x:123456789012:stream/a",
                ],
                vec![
                    "",
                    "arn:aws:kinesis:us-east-1:0:stream/a",
                    "arn:aws:s3:us-east-1:000000000000:stream/a",
                ],
            ),
            (
                Pattern::CONSUMER_ARN,
                vec!["arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/b:17"],
                vec![
                    "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/b",
                    "arn:aws:kinesis:u:000000000000:stream/a",
                ],
            ),
        ];
        for (pattern, good, bad) in cases {
            assert!(good.iter().all(|text| (pattern.matches)(text)), "{}", pattern.text);
            assert!(!bad.iter().any(|text| (pattern.matches)(text)), "{}", pattern.text);
        }
    }

    #[test]
    fn a_message_stays_short_whatever_the_values() {
        let mut violations = Violations::default();
        for _ in 0..1_000 {
            violations.text("streamName", Some(&"x".repeat(10_000)), 1, 128, None);
        }
        let message = violations.finish().unwrap_err().message;
        assert!(message.starts_with("1000 validation errors detected: ") && message.len() < 50_000);
    }
}

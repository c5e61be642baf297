//! The Prometheus text format, read back: what `/metrics` shows is what a collector is told.
//!
//! Source of the format: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use std::borrow::Cow;

/// Names and values.
type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// A metric with all of its samples.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Family<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it means.
    pub help: &'a str,
    /// `counter`, `gauge`, `histogram` or `summary`.
    pub kind: &'a str,
    /// In their order.
    pub samples: Vec<Sample<'a>>,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<'a> {
    /// What stands behind the name of the family: `_bucket`, `_sum`, `_count` or nothing.
    pub suffix: &'a str,
    /// What tells it from other samples of its family.
    pub labels: Labels<'a>,
    /// Not always finite.
    pub value: f64,
}

/// Reads all families. What is in no form is left out.
pub(super) fn families(text: &str) -> Vec<Family<'_>> {
    let mut found: Vec<Family<'_>> = Vec::new();
    let mut help = ("", "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap_or((rest, ""));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let help = if help.0 == name { help.1 } else { "" };
            found.push(Family { name, help, kind, samples: Vec::new() });
        } else if let Some(family) = found.last_mut()
            && let Some(rest) = line.strip_prefix(family.name)
        {
            family.samples.extend(sample(rest));
        }
    }
    found
}

/// What stands behind the name of the family.
fn sample(rest: &str) -> Option<Sample<'_>> {
    let end = rest.find(['{', ' '])?;
    let (suffix, rest) = rest.split_at_checked(end)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.trim().split(' ').next()?.parse().ok()?;
    Some(Sample { suffix, labels, value })
}

/// Labels up to their brace, and what stands behind it.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((found, rest));
        }
        let (name, value) = rest.split_once("=\"")?;
        let mut is_escaped = false;
        let end = value.bytes().position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        })?;
        let (value, behind) = value.split_at_checked(end)?;
        found.push((name, unescaped(value)));
        rest = behind.get(1..)?;
    }
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => '\\',
            },
            letter => letter,
        });
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::metrics::Registry;

    #[test]
    fn what_the_registry_renders_is_read_back() {
        let registry = Registry::new().unwrap();
        registry.http_requests("records", 200).increment(7);
        registry.http_duration("records").record(0.002);
        registry.connections().open.set(2.5);
        registry.run_upkeep();
        let text = registry.render();
        let found = families(&text);
        let family = |name: &str| found.iter().find(|family| family.name == name).unwrap();
        let requests = family("forebay_http_requests_total");
        assert_eq!((requests.kind, requests.samples[0].value), ("counter", 7.0));
        assert!(requests.help.starts_with("Answered requests"), "{}", requests.help);
        let labels: Vec<_> =
            requests.samples[0].labels.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(labels, [("route", "records"), ("code", "200")]);
        let open = family("forebay_http_connections");
        assert_eq!((open.kind, open.samples[0].value), ("gauge", 2.5));
        let durations = family("forebay_http_request_duration_seconds");
        assert_eq!(durations.kind, "histogram");
        let suffixes: Vec<_> = durations.samples.iter().map(|sample| sample.suffix).collect();
        assert_eq!(suffixes[suffixes.len() - 2..], ["_sum", "_count"]);
    }

    #[test]
    fn what_is_escaped_in_a_label_is_so_no_more() {
        let found = families("# TYPE a counter\na{b=\"c\\\\d\\\"e\\nf}\",g=\"\"} 1 99\n");
        let labels: Vec<_> =
            found[0].samples[0].labels.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(labels, [("b", "c\\d\"e\nf}"), ("g", "")]);
    }

    proptest! {
        #[test]
        fn any_label_is_read_back(value in r"[ -\[\]-~\n]{0,30}") {
            let registry = Registry::new().unwrap();
            registry.stream(&value);
            let text = registry.render();
            let found = families(&text);
            let named = found.iter().flat_map(|family| &family.samples).flat_map(|sample| &sample.labels);
            prop_assert!(named.filter(|(name, _)| *name == "stream").all(|(_, found)| *found == value));
        }

        #[test]
        fn no_text_breaks_it(text in "(# (HELP|TYPE) )?[a-z]{0,3}[{}\" =,\\\\a-z0-9\n]{0,60}") {
            let _ = families(&format!("# TYPE a counter\n{text}"));
        }
    }
}

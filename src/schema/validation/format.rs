//! `format`, as an assertion.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// A format that strings must have. What records usually hold is told by a quick check that knows only surely valid
/// texts; all else is left to the `jsonschema` crate, so that both forms of a schema always agree.
#[derive(Clone)]
pub(super) struct Format {
    pub name: Box<str>,
    quick: fn(&str) -> bool,
    full: Arc<Validator>,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Format").field(&self.name).finish()
    }
}

impl Format {
    /// `None` where the draft does not know the format: it is an annotation then.
    pub fn compile(name: &str, draft: Draft) -> Option<Self> {
        let quick: fn(&str) -> bool = match name {
            "date-time" => is_plain_date_time,
            "date" => is_plain_date,
            "time" => is_plain_time,
            "email" => is_plain_email,
            "hostname" => is_plain_hostname,
            "ipv4" => is_plain_ipv4,
            "ipv6" => is_plain_ipv6,
            "uri" => is_plain_uri,
            "uuid" => is_plain_uuid,
            _ => |_| false,
        };
        if !is_known(name, draft) {
            return None;
        }
        let options = jsonschema::options().with_draft(draft).should_validate_formats(true);
        let full = options.build(&json!({ "format": name })).ok()?;
        Some(Self { name: name.into(), quick, full: Arc::new(full) })
    }

    #[inline]
    pub fn is_match(&self, text: &str) -> bool {
        (self.quick)(text) || self.full.is_valid(&Value::String(text.to_owned()))
    }
}

/// Formats that the `jsonschema` crate checks: those of the draft, and some that later drafts added without giving
/// their names another meaning.
fn is_known(name: &str, draft: Draft) -> bool {
    match name {
        "date" | "date-time" | "email" | "hostname" | "ipv4" | "ipv6" | "regex" | "time" | "uri" => true,
        "json-pointer" | "uri-reference" | "uri-template" => draft >= Draft::Draft6,
        "iri" | "iri-reference" | "relative-json-pointer" => draft >= Draft::Draft7,
        "duration" | "uuid" => draft >= Draft::Draft201909,
        _ => false,
    }
}

fn two(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
        }
        _ => None,
    }
}

/// RFC 3339 `full-date`.
fn is_plain_date(text: &str) -> bool {
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text.as_bytes() else { return false };
    let (Some(century), Some(rest), Some(month), Some(day)) =
        (two(&[y0, y1]), two(&[y2, y3]), two(&[m0, m1]), two(&[d0, d1]))
    else {
        return false;
    };
    let year = century * 100 + rest;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// RFC 3339 `full-time` without leap seconds.
fn is_plain_time(text: &str) -> bool {
    let Some((&[h0, h1, b':', m0, m1, b':', s0, s1], mut rest)) = text.as_bytes().split_first_chunk() else {
        return false;
    };
    let below = |bytes: [u8; 2], limit: u32| two(&bytes).is_some_and(|value| value < limit);
    if !(below([h0, h1], 24) && below([m0, m1], 60) && below([s0, s1], 60)) {
        return false;
    }
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        rest = &fraction[digits..];
    }
    match *rest {
        [b'Z'] => true,
        [b'+' | b'-', h0, h1, b':', m0, m1] => below([h0, h1], 24) && below([m0, m1], 60),
        _ => false,
    }
}

/// RFC 3339 `date-time` with the letters in upper case.
fn is_plain_date_time(text: &str) -> bool {
    match (text.get(..10), text.get(10..11), text.get(11..)) {
        (Some(date), Some("T"), Some(time)) => is_plain_date(date) && is_plain_time(time),
        _ => false,
    }
}

/// Host names of RFC 1123 without any that could be an internationalised one in disguise (`xn--`).
fn is_plain_hostname(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let ends = label.starts_with('-') || label.ends_with('-');
            (1..=63).contains(&label.len()) && plain && !ends && label.as_bytes().get(2..4) != Some(b"--")
        })
        // A last label of digits alone makes it an address.
        && text.bytes().next_back().is_some_and(|byte| byte.is_ascii_alphabetic())
}

/// A dot-atom of letters, digits and the three most usual signs, at a plain host name.
fn is_plain_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let atom = |atom: &str| {
        !atom.is_empty()
            && atom.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
    };
    local.len() <= 64 && local.split('.').all(atom) && domain.contains('.') && is_plain_hostname(domain)
}

fn is_plain_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

fn is_plain_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// An `http` or `https` URI with a plain host and nothing that is percent-encoded.
fn is_plain_uri(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'/' | b'?' | b'-' | b'.' | b'_' | b'~' | b'=' | b'&' | b'+')
    };
    is_plain_hostname(host) && tail.bytes().all(plain)
}

/// RFC 9562.
fn is_plain_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUICK: [&str; 9] =
        ["date-time", "date", "time", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"];

    /// Texts near the edge of what is valid: a valid one with some characters replaced.
    fn nearly_valid() -> impl Strategy<Value = String> {
        let valid = prop::sample::select(vec![
            "2024-02-29T23:59:59.123Z",
            "1999-12-31T00:00:00+05:30",
            "2023-02-28",
            "0000-01-01",
            "23:59:60Z",
            "12:00:00-23:59",
            "a.b+c@example.com",
            "x@y.zz",
            "host-1.example.org",
            "a",
            "192.168.0.1",
            "2001:db8::1",
            "::ffff:1.2.3.4",
            "https://example.com/a?b=c#d",
            "http://h/",
            "2eb8aa08-aa98-11ea-b4aa-73b441d16380",
            "fe80::1",
        ]);
        let replacements =
            prop::collection::vec((any::<prop::sample::Index>(), "[0-9a-zA-Z:./@+\\- éZT%_#?\\[]"), 0..3);
        (valid, replacements).prop_map(|(text, replacements)| {
            let mut chars: Vec<String> = text.chars().map(String::from).collect();
            for (index, replacement) in replacements {
                let index = index.index(chars.len());
                chars[index] = replacement;
            }
            chars.concat()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn a_quick_check_takes_nothing_that_the_crate_refuses(text in nearly_valid()) {
            for name in QUICK {
                for draft in [Draft::Draft4, Draft::Draft202012] {
                    if let Some(format) = Format::compile_cached(name, draft) {
                        let full = format.full.is_valid(&Value::String(text.clone()));
                        prop_assert!(!(format.quick)(&text) || full, "{name}: {text}");
                    }
                }
            }
        }
    }

    impl Format {
        fn compile_cached(name: &'static str, draft: Draft) -> Option<Format> {
            use std::sync::LazyLock;
            static FORMATS: LazyLock<Vec<(Draft, &str, Option<Format>)>> = LazyLock::new(|| {
                let both =
                    QUICK.into_iter().flat_map(|name| [(Draft::Draft4, name), (Draft::Draft202012, name)]);
                both.map(|(draft, name)| (draft, name, Format::compile(name, draft))).collect()
            });
            let found = FORMATS.iter().find(|entry| entry.0 == draft && entry.1 == name);
            found.and_then(|entry| entry.2.clone())
        }
    }

    #[test]
    fn the_usual_form_of_each_format_needs_no_second_check() {
        for (name, text) in [
            ("date-time", "2019-01-30T07:02:10.250Z"),
            ("date-time", "2019-01-30T07:02:10+01:00"),
            ("date", "2024-02-29"),
            ("time", "07:02:10Z"),
            ("email", "first.last+tag@mail.example.com"),
            ("hostname", "node-7.example.com"),
            ("ipv4", "203.0.113.7"),
            ("ipv6", "2001:db8::7"),
            ("uri", "https://example.com/shop?item=7&n=2"),
            ("uuid", "2EB8AA08-aa98-11ea-b4aa-73b441d16380"),
        ] {
            let format = Format::compile(name, Draft::Draft202012).unwrap();
            assert!((format.quick)(text), "{name}: {text}");
        }
    }

    #[test]
    fn unusual_texts_get_the_full_check() {
        let date_time = Format::compile("date-time", Draft::Draft202012).unwrap();
        assert!(
            date_time.is_match("1998-12-31T23:59:60Z") && date_time.is_match("1963-06-19t08:30:06.283185z")
        );
        assert!(!date_time.is_match("1998-12-31T22:59:60Z") && !date_time.is_match("2023-02-29T00:00:00Z"));
        assert!(!date_time.is_match("2019-01-30T07:02:10") && !date_time.is_match("2019-01-30 07:02:10Z"));
    }
}

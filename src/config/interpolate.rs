//! `${NAME}` and `${NAME:-default}` in strings.
//!
//! It is applied to string values after the file was parsed, so that a value cannot change the file's structure and
//! line numbers hold. `$${` stands for a literal `${`.

use thiserror::Error;

/// Why a string could not be filled in. Never quotes the string, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InterpolateError {
    /// There is no such variable and no default.
    #[error(
        "environment variable {0} is not set: set it, or write a default as ${{{0}:-default}}, or $${{ for a literal ${{"
    )]
    Missing(String),
    /// `${` without `}`.
    #[error("'${{' without a '}}' behind it: write ${{NAME}}, or $${{ for a literal ${{")]
    Unclosed,
    /// What stands between the braces is no name of a variable.
    #[error(
        "no name of an environment variable between '${{' and '}}': write ${{NAME}} with letters, digits and _, or $${{ for a literal ${{"
    )]
    BadName,
}

/// The string with its variables filled in; `None` if it is the same as before.
pub fn interpolate(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, InterpolateError> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let inner = &from[2..];
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = inner;
            continue;
        }
        filled.push_str(before);
        let (field, behind) = inner.split_once('}').ok_or(InterpolateError::Unclosed)?;
        let (name, default) = match field.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (field, None),
        };
        if !is_name(name) {
            return Err(InterpolateError::BadName);
        }
        // As in a shell, `:-` also replaces a variable that is set to nothing.
        match (env(name), default) {
            (Some(value), None) => filled.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => filled.push_str(&value),
            (_, Some(default)) => filled.push_str(default),
            (None, None) => return Err(InterpolateError::Missing(name.to_owned())),
        }
        rest = behind;
    }
    filled.push_str(rest);
    Ok(Some(filled))
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.org".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_defaults_and_literals_are_filled_in() {
        for (text, filled) in [
            ("plain $HOST {x}", None),
            ("http://${HOST}:80/", Some("http://example.org:80/")),
            ("${HOST}${HOST}", Some("example.orgexample.org")),
            ("${PORT:-8080}", Some("8080")),
            ("${HOST:-other}", Some("example.org")),
            ("[${EMPTY}]", Some("[]")),
            ("${EMPTY:-full}", Some("full")),
            ("${PORT:-}", Some("")),
            ("$${HOST}", Some("${HOST}")),
            ("a$${b} ${HOST}", Some("a${b} example.org")),
            ("${NESTED}", Some("${HOST}")),
        ] {
            assert_eq!(interpolate(text, &env), Ok(filled.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_says_why() {
        for (text, message) in [
            (
                "${PORT}",
                "environment variable PORT is not set: set it, or write a default as ${PORT:-default}, or $${ for a literal ${",
            ),
            ("${HOST", "'${' without a '}' behind it: write ${NAME}, or $${ for a literal ${"),
            (
                "${A B}",
                "no name of an environment variable between '${' and '}': write ${NAME} with letters, digits and _, or $${ for a literal ${",
            ),
            (
                "${}",
                "no name of an environment variable between '${' and '}': write ${NAME} with letters, digits and _, or $${ for a literal ${",
            ),
        ] {
            assert_eq!(interpolate(text, &env).expect_err(text).to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused_without_a_panic(text in r"([${}:\-]|HOST|é|.){0,12}") {
            let _ = interpolate(&text, &env);
        }
    }
}

//! Functions on the values of a path: `{/tenant/id|lower|truncate(20)|default(unknown)}`.
//!
//! | function | makes of a value |
//! | --- | --- |
//! | `default(TEXT)` | TEXT, where it is missing or null; `default` alone is Hive's name for that |
//! | `lower` `upper` | its letters small or capital, by Unicode |
//! | `truncate(N)` | its first N characters |
//! | `hash(N)` | a number from 0 to N - 1, with leading zeros: the first 8 bytes of its MD5, big-endian, modulo N |
//!
//! They work on the decoded text, one after the other, before it is encoded for the path. A missing value passes
//! through all but `default`.

use md5::{Digest, Md5};
use thiserror::Error;

use crate::config::nearest;

/// Buckets of `hash`: more folders than that are not for a path.
const BUCKETS_MAX: u32 = 65_536;

/// Characters that `truncate` may leave: no segment has room for more.
const CHARACTERS_MAX: u32 = 255;

/// Functions on one value: each of the four, twice.
const FUNCTIONS_MAX: usize = 8;

const NAMES: [&str; 5] = ["default", "lower", "upper", "truncate", "hash"];

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Function {
    Default(String),
    Lower,
    Upper,
    Truncate(u32),
    Hash(u32),
}

/// Why a text is no list of functions.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FunctionError {
    /// There is no such function.
    #[error(
        "unknown function {name:?}{}",
        match suggestion {
            Some(near) => format!(": did you mean {near}?"),
            None => ": write default(TEXT), lower, upper, truncate(N) or hash(N), or quote a pointer that has '|' in it: {\"/a|b\"}".to_owned(),
        }
    )]
    Unknown {
        /// What stands there.
        name: String,
        /// What it was most likely meant to be.
        suggestion: Option<&'static str>,
    },
    /// A number is missing, wrong, or out of its bounds.
    #[error("{name} needs a number from 1 to {max}: write {name}({example})")]
    Number {
        /// The function.
        name: &'static str,
        /// The largest number.
        max: u32,
        /// A good one.
        example: u32,
    },
    /// An argument where none is taken.
    #[error("{0} takes no argument")]
    NoArgument(&'static str),
    /// Text where only `|` can stand.
    #[error("{0:?} is no list of functions: write {{/field|lower|truncate(20)}}")]
    Syntax(String),
    /// Too many of them.
    #[error("at most {FUNCTIONS_MAX} functions apply to one value")]
    TooMany,
}

/// Parses what stands behind a pointer: nothing, or `|` and functions.
pub(super) fn parse(text: &str) -> Result<Vec<Function>, FunctionError> {
    let (mut functions, mut rest) = (Vec::new(), text);
    while let Some(from) = rest.strip_prefix('|') {
        let end = from.find(['|', '(']).unwrap_or(from.len());
        let (name, behind) = from.split_at(end);
        let argument = match behind.strip_prefix('(') {
            None => None,
            Some(inner) => {
                let (argument, behind) =
                    inner.split_once(')').ok_or_else(|| FunctionError::Syntax(text.to_owned()))?;
                rest = behind;
                Some(argument)
            }
        };
        if argument.is_none() {
            rest = behind;
        }
        functions.push(Function::of(name, argument)?);
    }
    match rest {
        "" if functions.len() > FUNCTIONS_MAX => Err(FunctionError::TooMany),
        "" => Ok(functions),
        _ => Err(FunctionError::Syntax(text.to_owned())),
    }
}

impl Function {
    fn of(name: &str, argument: Option<&str>) -> Result<Self, FunctionError> {
        let plain = |known: &'static str, function| match argument {
            None => Ok(function),
            Some(_) => Err(FunctionError::NoArgument(known)),
        };
        let number = |name: &'static str, max: u32, example: u32| {
            let number = argument.and_then(|text| text.trim().parse().ok());
            number.filter(|number| (1..=max).contains(number)).ok_or(FunctionError::Number {
                name,
                max,
                example,
            })
        };
        match name {
            "default" => Ok(Self::Default(argument.unwrap_or_default().to_owned())),
            "lower" => plain("lower", Self::Lower),
            "upper" => plain("upper", Self::Upper),
            "truncate" => number("truncate", CHARACTERS_MAX, 20).map(Self::Truncate),
            "hash" => number("hash", BUCKETS_MAX, 16).map(Self::Hash),
            _ => Err(FunctionError::Unknown { name: name.to_owned(), suggestion: nearest(name, NAMES) }),
        }
    }
}

/// Applies `functions` to the text at the end of `out`, which begins at `start` and is missing unless `is_present`.
/// Returns whether there is one then.
pub(super) fn apply(functions: &[Function], out: &mut Vec<u8>, start: usize, is_present: bool) -> bool {
    let mut is_present = is_present;
    for function in functions {
        match function {
            Function::Default(_) if is_present => {}
            Function::Default(text) => {
                out.extend_from_slice(text.as_bytes());
                is_present = true;
            }
            _ if !is_present => {}
            Function::Lower if out[start..].is_ascii() => out[start..].make_ascii_lowercase(),
            Function::Upper if out[start..].is_ascii() => out[start..].make_ascii_uppercase(),
            Function::Lower => {
                replace(out, start, |text| text.chars().flat_map(char::to_lowercase).collect())
            }
            Function::Upper => {
                replace(out, start, |text| text.chars().flat_map(char::to_uppercase).collect())
            }
            Function::Truncate(count) => truncate(out, start, *count as usize),
            Function::Hash(buckets) => hash(out, start, *buckets),
        }
    }
    is_present
}

/// Letters beyond ASCII change their length, so that they cannot stay where they are.
#[cold]
fn replace(out: &mut Vec<u8>, start: usize, change: impl FnOnce(&str) -> String) {
    let changed = change(&String::from_utf8_lossy(&out[start..]));
    out.truncate(start);
    out.extend_from_slice(changed.as_bytes());
}

/// The first byte of a character is none of those that continue one.
fn truncate(out: &mut Vec<u8>, start: usize, count: usize) {
    let firsts = out[start..].iter().enumerate().filter(|(_, byte)| (**byte & 0xc0) != 0x80);
    if let Some(length) = firsts.map(|(index, _)| index).nth(count) {
        out.truncate(start + length);
    }
}

fn hash(out: &mut Vec<u8>, start: usize, buckets: u32) {
    let digest = Md5::digest(&out[start..]);
    let first = digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let mut bucket = first % u64::from(buckets);
    // As many digits as the last bucket has, so that folders sort by number.
    let digits = (buckets - 1).checked_ilog10().unwrap_or(0) + 1;
    out.truncate(start);
    for digit in (0..digits).rev() {
        let unit = 10_u64.pow(digit);
        out.push(b'0' + (bucket / unit) as u8);
        bucket %= unit;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn applied(functions: &str, value: Option<&str>) -> Option<String> {
        let functions = parse(functions).expect(functions);
        let mut out = b"before".to_vec();
        out.extend_from_slice(value.unwrap_or_default().as_bytes());
        let is_present = apply(&functions, &mut out, 6, value.is_some());
        let out = String::from_utf8(out).expect("text");
        let text = out.strip_prefix("before").expect("what was there");
        assert!(is_present || text.is_empty());
        is_present.then(|| text.to_owned())
    }

    #[test]
    fn functions_apply_one_after_the_other() {
        for (functions, value, result) in [
            ("", "Acme", "Acme"),
            ("|lower", "ACME Zürich", "acme zürich"),
            ("|upper", "straße", "STRASSE"),
            ("|lower", "ÅNGSTRÖM", "ångström"),
            ("|truncate(3)", "acme", "acm"),
            ("|truncate(4)", "acme", "acme"),
            ("|truncate(2)", "日本語", "日本"),
            ("|truncate( 255 )", "x", "x"),
            ("|upper|truncate(2)|lower", "acme", "ac"),
            ("|default(unknown)", "acme", "acme"),
            // MD5 of nothing begins with d41d8cd98f00b204.
            ("|hash(1)", "acme", "0"),
            ("|hash(16)", "", "04"),
            ("|lower|hash(10)", "ACME", &(MD5_OF_ACME % 10).to_string()),
            ("|hash(65536)", "acme", &format!("{:05}", MD5_OF_ACME % 65_536)),
        ] {
            assert_eq!(applied(functions, Some(value)).as_deref(), Some(result), "{functions}");
        }
    }

    /// `printf acme | md5sum | cut -c -16`.
    const MD5_OF_ACME: u64 = 0x53bc_e4f1_dfa0_fe8e;

    #[test]
    fn a_missing_value_stays_missing_until_a_default_stands_for_it() {
        assert_eq!(applied("|lower|truncate(1)|hash(4)", None), None);
        assert_eq!(applied("|default", None).as_deref(), Some(""));
        assert_eq!(applied("|default(Un|known)", None).as_deref(), Some("Un|known"));
        assert_eq!(applied("|default(None)|lower", None).as_deref(), Some("none"));
        assert_eq!(applied("|lower|default(None)", None).as_deref(), Some("None"));
        assert_eq!(applied("|hash(16)|default(none)", Some("")).as_deref(), Some("04"));
    }

    #[test]
    fn a_wrong_function_says_what_to_write() {
        for (text, message) in [
            ("|lowr", "unknown function \"lowr\": did you mean lower?"),
            (
                "|md5",
                "unknown function \"md5\": write default(TEXT), lower, upper, truncate(N) or hash(N), or quote a pointer that has '|' in it: {\"/a|b\"}",
            ),
            ("|lower(1)", "lower takes no argument"),
            ("|hash", "hash needs a number from 1 to 65536: write hash(16)"),
            ("|hash(0)", "hash needs a number from 1 to 65536: write hash(16)"),
            ("|truncate(256)", "truncate needs a number from 1 to 255: write truncate(20)"),
            ("|truncate(-1)", "truncate needs a number from 1 to 255: write truncate(20)"),
            ("|default(x", "\"|default(x\" is no list of functions: write {/field|lower|truncate(20)}"),
            ("|hash(2)x", "\"|hash(2)x\" is no list of functions: write {/field|lower|truncate(20)}"),
            (
                "|lower|lower|lower|lower|lower|lower|lower|lower|lower",
                "at most 8 functions apply to one value",
            ),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn functions_keep_text_text_and_do_the_same_again(value in r"\PC{0,12}", count in 1_u32..20, buckets in 1_u32..100) {
            let truncated = applied(&format!("|truncate({count})"), Some(&value));
            let expected: String = value.chars().take(count as usize).collect();
            prop_assert_eq!(truncated, Some(expected));
            let lower = applied("|lower", Some(&value));
            prop_assert_eq!(lower, Some(value.chars().flat_map(char::to_lowercase).collect::<String>()));
            let bucket = applied(&format!("|hash({buckets})"), Some(&value)).expect("a bucket");
            prop_assert_eq!(bucket.len(), (buckets - 1).to_string().len());
            prop_assert!(bucket.parse::<u32>().expect("a number") < buckets);
            prop_assert_eq!(applied(&format!("|hash({buckets})"), Some(&value)), Some(bucket));
        }
    }
}

//! One hash for all spellings of a JSON value.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::RandomState;

use super::number::Number;
use crate::json::{Kind, Scanner, SyntaxError};

/// Consumes one value and hashes what it means: `1`, `1.0` and `1e0` are one number, `"a"` and `"\u0061"` one string,
/// and the order of an object's members does not count. Two values with one fingerprint are taken for equal: the
/// hash has 64 bits and a random seed, as in [`crate::json::KeySet`].
pub(super) fn fingerprint(scanner: &mut Scanner<'_>, seed: &RandomState) -> Result<u64, SyntaxError> {
    Ok(match scanner.peek()? {
        Kind::Null => {
            scanner.null()?;
            seed.hash_one(0u8)
        }
        Kind::Bool => seed.hash_one((1u8, scanner.bool()?)),
        Kind::Number => seed.hash_one((2u8, Number::of_raw(scanner.number()?).canonical())),
        Kind::String => {
            let string = scanner.string()?;
            if string.is_escaped() {
                hash_text(&string.decode(), seed)
            } else {
                hash_text(string.raw(), seed)
            }
        }
        Kind::Array => {
            scanner.enter_array()?;
            let mut first = true;
            let mut hasher = seed.build_hasher();
            4u8.hash(&mut hasher);
            while scanner.next_element(&mut first)? {
                fingerprint(scanner, seed)?.hash(&mut hasher);
            }
            hasher.finish()
        }
        Kind::Object => {
            scanner.enter_object()?;
            let mut first = true;
            let mut sum = 0u64;
            while let Some(key) = scanner.next_key(&mut first)? {
                let member = (hash_text(&key.decode(), seed), fingerprint(scanner, seed)?);
                sum = sum.wrapping_add(seed.hash_one(member));
            }
            seed.hash_one((5u8, sum))
        }
    })
}

fn hash_text(text: &str, seed: &RandomState) -> u64 {
    seed.hash_one((3u8, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, seed: &RandomState) -> u64 {
        fingerprint(&mut Scanner::new(text), seed).unwrap()
    }

    #[test]
    fn spellings_of_one_value_agree() {
        let seed = RandomState::default();
        for (left, right) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("0", "-0"),
            (r#""a""#, r#""\u0061""#),
            ("[1, 2]", "[1.0,2]"),
            (r#"{"a":1,"b":[null]}"#, r#"{ "b":[null], "\u0061":1e0 }"#),
        ] {
            assert_eq!(of(left, &seed), of(right, &seed), "{left} and {right}");
        }
    }

    #[test]
    fn different_values_differ() {
        let seed = RandomState::default();
        let texts = [
            "null",
            "true",
            "false",
            "0",
            "1",
            "1.5",
            r#""""#,
            r#""0""#,
            r#""null""#,
            "[]",
            "[0]",
            "[[0]]",
            "[1,0]",
            "[0,1]",
            "{}",
            r#"{"a":0}"#,
            r#"{"a":1}"#,
            r#"{"b":0}"#,
            r#"{"a":0,"b":1}"#,
            r#"{"a":1,"b":0}"#,
            "[{}]",
            "[null]",
        ];
        for (index, left) in texts.iter().enumerate() {
            for right in &texts[..index] {
                assert_ne!(of(left, &seed), of(right, &seed), "{left} and {right}");
            }
        }
    }
}

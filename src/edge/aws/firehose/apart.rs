//! `RecordDeAggregation`: the records within a record.

use std::ops::Range;

use super::processing::DeAggregation;
use crate::json::{Kind, Scanner, SyntaxError};

/// Where the records in `data` are. What cannot be taken apart is one record.
pub(super) fn take_apart(data: &[u8], how: &DeAggregation) -> Vec<Range<usize>> {
    let whole = || std::iter::once(0..data.len()).collect::<Vec<_>>();
    match how {
        DeAggregation::Delimited(delimiter) => between(data, delimiter),
        DeAggregation::Json => {
            let text = std::str::from_utf8(data).ok();
            text.and_then(|text| json_values(text).ok())
                .filter(|parts| !parts.is_empty())
                .unwrap_or_else(whole)
        }
    }
}

/// What stands between delimiters, without what is empty.
fn between(data: &[u8], delimiter: &[u8]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let ends = memchr::memmem::find_iter(data, delimiter).filter(|_| !delimiter.is_empty());
    for end in ends.chain([data.len()]) {
        if start < end {
            parts.push(start..end);
        }
        start = end + delimiter.len();
    }
    parts
}

/// JSON values one behind the other, with or without something white between them; the elements of an array.
fn json_values(text: &str) -> Result<Vec<Range<usize>>, SyntaxError> {
    let mut parts = Vec::new();
    let mut scanner = Scanner::new(text);
    scanner.skip_whitespace();
    while scanner.position() < text.len() {
        if scanner.peek()? == Kind::Array {
            scanner.enter_array()?;
            let mut first = true;
            while scanner.next_element(&mut first)? {
                value(&mut scanner, &mut parts)?;
            }
        } else {
            value(&mut scanner, &mut parts)?;
        }
        scanner.skip_whitespace();
    }
    Ok(parts)
}

fn value(scanner: &mut Scanner<'_>, parts: &mut Vec<Range<usize>>) -> Result<(), SyntaxError> {
    scanner.skip_whitespace();
    let start = scanner.position();
    scanner.skip_value()?;
    parts.push(start..scanner.position());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apart<'a>(data: &'a str, how: &DeAggregation) -> Vec<&'a str> {
        take_apart(data.as_bytes(), how).into_iter().map(|at| &data[at]).collect()
    }

    #[test]
    fn json_values_are_records_of_their_own() {
        for (data, records) in [
            ("{\"a\":1}{\"a\":2}", vec!["{\"a\":1}", "{\"a\":2}"]),
            (" {\"a\":1}\n{\"a\":2}\n", vec!["{\"a\":1}", "{\"a\":2}"]),
            ("[{\"a\":1}, {\"a\":2}]", vec!["{\"a\":1}", "{\"a\":2}"]),
            ("[{\"a\":[1]}][]{}", vec!["{\"a\":[1]}", "{}"]),
            ("{\"a\":1}", vec!["{\"a\":1}"]),
            ("{\"a\":1}{\"a\":", vec!["{\"a\":1}{\"a\":"]),
            ("no JSON", vec!["no JSON"]),
            ("[]", vec!["[]"]),
            ("", vec![""]),
        ] {
            assert_eq!(apart(data, &DeAggregation::Json), records, "{data}");
        }
        assert_eq!(take_apart(b"\xff{}", &DeAggregation::Json).as_slice(), std::slice::from_ref(&(0..3)));
    }

    #[test]
    fn delimiters_stand_between_records() {
        let how = DeAggregation::Delimited(b"##".to_vec());
        assert_eq!(apart("a##b####c##", &how), ["a", "b", "c"]);
        assert_eq!(apart("a", &how), ["a"]);
        assert_eq!(apart("##", &how), Vec::<&str>::new());
    }

    proptest! {
        #[test]
        fn parts_lie_one_behind_the_other_within_any_data(
            data in prop::collection::vec(prop::sample::select(b"{}[],:\"a1 \n\xff#".to_vec()), 0..60),
        ) {
            for how in [DeAggregation::Json, DeAggregation::Delimited(b"#".to_vec())] {
                let mut end = 0;
                for part in take_apart(&data, &how) {
                    prop_assert!(end <= part.start && part.start <= part.end && part.end <= data.len());
                    end = part.end;
                }
            }
        }
    }
}

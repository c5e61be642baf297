use proptest::prelude::*;

use super::*;

fn number(text: &str) -> RawNumber<'_> {
    let mut scanner = Scanner::new(text);
    let number = scanner.number().unwrap();
    scanner.end().unwrap();
    number
}

#[test]
fn integers_are_exact_to_the_edges_of_64_bits() {
    for (text, signed, unsigned) in [
        ("0", Some(0), Some(0)),
        ("-0", Some(0), Some(0)),
        ("-1", Some(-1), None),
        ("9223372036854775807", Some(i64::MAX), Some(i64::MAX as u64)),
        ("9223372036854775808", None, Some(1 << 63)),
        ("-9223372036854775808", Some(i64::MIN), None),
        ("-9223372036854775809", None, None),
        ("18446744073709551615", None, Some(u64::MAX)),
        ("18446744073709551616", None, None),
        ("1.0", None, None),
        ("1e2", None, None),
    ] {
        assert_eq!((number(text).as_i64(), number(text).as_u64()), (signed, unsigned), "{text}");
    }
}

#[test]
fn the_spelling_tells_integers_from_others() {
    for (text, integer) in
        [("1", true), ("-0", true), ("1.0", false), ("1e0", false), ("1E0", false), ("-1.5", false)]
    {
        assert_eq!(number(text).is_written_as_integer(), integer, "{text}");
        assert_eq!(number(text).text(), text);
    }
}

#[test]
fn doubles_are_the_nearest() {
    for (text, double) in [
        ("-0", -0.0),
        ("0.1", 0.1),
        ("9007199254740993", 9_007_199_254_740_992.0),
        ("1.7976931348623157e308", f64::MAX),
        ("1.7976931348623158e308", f64::MAX),
        ("5e-324", 5e-324),
        ("1e-400", 0.0),
        ("0.000000000000000000000000000000000000000000000000000000000001e60", 1.0),
    ] {
        assert_eq!(number(text).as_f64().to_bits(), double.to_bits(), "{text}");
    }
}

#[test]
fn the_range_of_a_double_is_the_range_of_numbers() {
    let out_of_range = |text: &str| {
        Scanner::new(text).number() == Err(SyntaxError { offset: 0, kind: SyntaxErrorKind::NumberOutOfRange })
    };
    let digits = |count: usize| format!("1{}", "0".repeat(count - 1));
    assert!(!out_of_range(&digits(308)) && !out_of_range(&digits(309)) && out_of_range(&digits(310)));
    assert!(!out_of_range(&format!("{}.5", digits(309))) && out_of_range(&format!("-{}.5", digits(310))));
    assert!(
        out_of_range("1e309") && out_of_range("-1e309") && out_of_range("1.8e308") && !out_of_range("0e309")
    );
    assert!(
        !out_of_range(&format!("0.{}1e310", "0".repeat(5)))
            && !out_of_range(&format!("1{}e-300", "0".repeat(400)))
    );
}

/// What [`Scanner::take_integer`] must find: the value of a number that is written as an integer of few digits.
fn assert_taken_as_scanned(text: &str) {
    let (mut taking, mut scanning) = (Scanner::new(text), Scanner::new(text));
    let short = scanning
        .number()
        .ok()
        .filter(|number| number.is_written_as_integer() && number.text().trim_start_matches('-').len() <= 18);
    match short {
        Some(number) => {
            assert_eq!(taking.take_integer(), number.as_i64(), "{text}");
            assert_eq!(taking.position(), scanning.position(), "{text}");
        }
        None => {
            assert_eq!(taking.take_integer(), None, "{text}");
            assert_eq!(
                taking.position(),
                text.len() - text.trim_start_matches([' ', '\n', '\r', '\t']).len(),
                "{text}"
            );
        }
    }
}

#[test]
fn an_integer_of_any_length_is_taken_with_anything_behind_it() {
    let digits = "98765432101234567890123456789";
    let behind =
        ["", " ", ",", "}", "/", ":", "a", "\u{ff}", "-", "+", ".", ".5", "e3", "E3", "}            "];
    for length in 0..=digits.len() {
        for rest in behind {
            for before in ["", "-", " ", "\n -", "0", "-0", "--", "+"] {
                assert_taken_as_scanned(&format!("{before}{}{rest}", &digits[..length]));
            }
        }
    }
}

proptest! {
    #[test]
    fn an_integer_is_taken_as_it_is_scanned(text in "[ \n]{0,2}-?[0-9]{0,22}[0-9/:;eE.,}\\x00-\\x7fé ]{0,12}") {
        assert_taken_as_scanned(&text);
    }

    #[test]
    fn an_integer_of_up_to_18_digits_is_always_taken(value in -999_999_999_999_999_999_i64..=999_999_999_999_999_999) {
        for behind in ["", "            "] {
            prop_assert_eq!(Scanner::new(&format!("{value}{behind}")).take_integer(), Some(value));
        }
    }
}

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

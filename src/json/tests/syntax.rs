use super::*;

const ACCEPTED: &[&str] = &[
    // Any value may be a text, with white space around it.
    "null",
    "true",
    "false",
    "0",
    "\"\"",
    "[]",
    "{}",
    " [ ] ",
    "\t{\r\n}\n",
    "\n\n1\n",
    "\"\u{7f}\"",
    "\"\u{2028}\u{2029}\"",
    // Structure.
    "[1]",
    "[1,2]",
    "[ 1 , 2 ]",
    "[[],[[]]]",
    "[{}]",
    "{\"a\":1}",
    "{ \"a\" : 1 , \"b\" : [ ] }",
    "{\"\":0}",
    "{\"a\":{\"a\":{\"a\":1}}}",
    "[{\"a\":1},{\"a\":1}]",
    "[null,true,false,\"\",0,{},[]]",
    "{\"a\":null}",
    // Numbers.
    "-0",
    "0.0",
    "-0.0",
    "10",
    "1.5",
    "0.5e1",
    "1e5",
    "1E5",
    "1e+5",
    "1e-5",
    "1E-05",
    "0e0",
    "0e+1",
    "123456789012345678901234567890",
    "1.7976931348623157e308",
    "5e-324",
    "1e-400",
    "0e999999",
    "[-1]",
    "-1.5E+3",
    // Strings.
    "\"a\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u0000\"",
    "\"\\u00e9\\u00E9\"",
    "\"\\ud83d\\ude00\"",
    "\"\\uDBFF\\uDFFF\"",
    "\"é😀\u{ffff}\"",
    "\"/\"",
    "\"\\\\u0061\"",
    "\"\\u005C\"",
    "\"\\u0022\"",
];

const REFUSED: &[&str] = &[
    // Nothing, or more than one.
    "",
    " ",
    "\n",
    "1 2",
    "{}{}",
    "[] []",
    "null,",
    "true false",
    "[1]]",
    "{}}",
    "\"a\"\"b\"",
    "1,",
    "[]x",
    "{}\0",
    // Literals.
    "nul",
    "nulll",
    "Null",
    "NULL",
    "tru",
    "truE",
    "fals",
    "True",
    "n",
    "t",
    "f",
    "undefined",
    "NaN",
    "Infinity",
    "-Infinity",
    "nan",
    // Arrays.
    "[",
    "]",
    "[,",
    "[,]",
    "[,1]",
    "[1,]",
    "[1,,2]",
    "[1 2]",
    "[1",
    "[1,",
    "[1:2]",
    "[\"a\"",
    "[[]",
    "[}",
    "(1)",
    // Objects.
    "{",
    "}",
    "{,}",
    "{,\"a\":1}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{\"a\" 1}",
    "{\"a\",1}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{null:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1",
    "{\"a\":",
    "{\"a\"",
    "{\"a",
    "{\"a\"::1}",
    "{\"a\":1,,\"b\":2}",
    "{[]:1}",
    "{]",
    "{\"a\":1]",
    // Numbers.
    "01",
    "-01",
    "00",
    "-",
    "--1",
    "+1",
    ".5",
    "-.5",
    "1.",
    "1.e5",
    "1e",
    "1e+",
    "1E-",
    "1ee5",
    "1e5.5",
    "0x10",
    "1_000",
    "1.2.3",
    "-a",
    "0e",
    "1e400",
    "-1e400",
    "1e99999999999999999999",
    "١",
    "１",
    "1a",
    "[1.]",
    "[-]",
    "0.e1",
    "-0x",
    // Strings.
    "\"",
    "\"a",
    "\"\\",
    "\"\\\"",
    "\"\\x41\"",
    "\"\\a\"",
    "\"\\'\"",
    "\"\\u\"",
    "\"\\u00\"",
    "\"\\u00g0\"",
    "\"\\u 041\"",
    "\"\\U0041\"",
    "\"\n\"",
    "\"\t\"",
    "\"\0\"",
    "\"\u{1f}\"",
    "\"\\\n\"",
    "\"\\u+041\"",
    "'a'",
    "a",
    "\"\\u123",
    "\"\\u{41}\"",
    // Halves of surrogate pairs.
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud800a\"",
    "\"\\ud800\\n\"",
    "\"\\ud800\\u0041\"",
    "\"\\ud83d\\ude0\"",
    "\"\\ud83d\\",
    // Comments, other white space, a byte order mark.
    "// a\n1",
    "1 // a",
    "/* a */ 1",
    "#1",
    "[1/**/]",
    "\u{a0}1",
    "\u{b}1",
    "\u{c}1",
    "\u{feff}1",
    "1\u{2028}",
    "\u{85}1",
    // Duplicate keys.
    "{\"a\":1,\"a\":1}",
    "{\"a\":1,\"\\u0061\":2}",
    "[{\"a\":{\"b\":1,\"b\":2}}]",
    "{\"\":1,\"\":2}",
];

#[test]
fn every_text_of_the_grammar_is_accepted() {
    for text in ACCEPTED {
        assert_eq!(scan(text), Ok(()), "{text:?}");
    }
}

#[test]
fn every_other_text_is_refused() {
    for text in REFUSED {
        assert!(scan(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_error_tells_its_kind_and_its_place() {
    use SyntaxErrorKind::*;
    for (text, offset, kind) in [
        ("", 0, UnexpectedEnd),
        ("  ", 2, UnexpectedEnd),
        ("[1,", 3, UnexpectedEnd),
        ("[1,]", 3, UnexpectedByte(b']')),
        ("[1 2]", 3, UnexpectedByte(b'2')),
        ("{\"a\" 1}", 5, UnexpectedByte(b'1')),
        ("{\"a\":1,}", 7, UnexpectedByte(b'}')),
        ("{1:1}", 1, UnexpectedByte(b'1')),
        ("trux", 3, UnexpectedByte(b'x')),
        ("nul", 3, UnexpectedEnd),
        ("\"a", 2, UnexpectedEnd),
        ("\"a\nb\"", 2, ControlCharacter(b'\n')),
        ("\"ab\\x\"", 3, BadEscape),
        ("[\"\\ud800\"]", 2, LoneSurrogate),
        ("[01]", 2, BadNumber),
        ("[1.x]", 3, BadNumber),
        ("-", 1, UnexpectedEnd),
        ("1e", 2, UnexpectedEnd),
        ("[1, 1e400]", 4, NumberOutOfRange),
        ("{\"a\":1,\"a\":2}", 13, DuplicateKey),
        ("{} x", 3, TrailingData),
    ] {
        assert_eq!(scan(text), Err(SyntaxError { offset, kind }), "{text:?}");
    }
}

#[test]
fn messages_tell_what_was_there() {
    for (text, message) in [
        ("[1,]", "unexpected character ']' at byte 3"),
        ("\u{a0}", "unexpected byte 0xc2 at byte 0"),
        ("\"\n\"", "unescaped control character 0x0a in a string at byte 1"),
        ("{\"a\":1,\"a\":2}", "duplicate key in an object at byte 13"),
    ] {
        assert_eq!(scan(text).unwrap_err().to_string(), message);
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let limit = crate::config::limits::JSON_DEPTH_MAX;
    assert_eq!(scan(&nested(limit)), Ok(()));
    let too_deep = Err(SyntaxError { offset: limit, kind: SyntaxErrorKind::TooDeep });
    assert_eq!(scan(&nested(limit + 1)), too_deep);
    assert_eq!(scan(&"[".repeat(1_000_000)), too_deep);
    let objects = "{\"a\":".repeat(limit + 1);
    assert!(matches!(scan(&objects), Err(SyntaxError { kind: SyntaxErrorKind::TooDeep, .. })));
    // Depth is given back: siblings do not add up.
    assert_eq!(scan(&format!("[{}]", vec![nested(limit - 1); 3].join(","))), Ok(()));
    let mut scanner = Scanner::new("[[[1]]]");
    assert_eq!(scanner.skip_value(), Ok(()));
}

#[test]
fn a_prefix_of_a_text_ends_unexpectedly() {
    let text = r#"{"a":[1,-2.5e3,true,null,"x\n\u00e9\ud83d\ude00"],"b":{"c":false}}"#;
    for end in 0..text.len() {
        let error = scan(&text[..end]).unwrap_err();
        let allowed =
            [SyntaxErrorKind::UnexpectedEnd, SyntaxErrorKind::BadEscape, SyntaxErrorKind::LoneSurrogate];
        assert!(allowed.contains(&error.kind), "{}: {error}", &text[..end]);
    }
}

#[test]
fn values_of_a_body_are_read_one_after_the_other() {
    let body = "{\"a\":1}\n[2] 3\n\"x\"";
    let mut scanner = Scanner::at(body, 0);
    let mut ends = Vec::new();
    while scanner.peek().is_ok() {
        scanner.skip_value().unwrap();
        ends.push(scanner.position());
    }
    assert_eq!(ends, [7, 11, 13, body.len()]);
    assert_eq!(scanner.end(), Ok(()));
    let mut scanner = Scanner::at(body, 8);
    assert_eq!(scanner.peek(), Ok(Kind::Array));
    assert_eq!((scanner.skip_value(), scanner.position()), (Ok(()), 11));
}

#[test]
fn a_token_of_another_kind_is_an_error() {
    type Read = fn(&mut Scanner<'_>) -> bool;
    let reads: [(Read, &str); 6] = [
        (|scanner| scanner.string().is_ok(), "\"a\""),
        (|scanner| scanner.number().is_ok(), "1"),
        (|scanner| scanner.bool().is_ok(), "true"),
        (|scanner| scanner.null().is_ok(), "null"),
        (|scanner| scanner.enter_array().is_ok(), "[]"),
        (|scanner| scanner.enter_object().is_ok(), "{}"),
    ];
    for (index, (read, _)) in reads.iter().enumerate() {
        for (other, (_, text)) in reads.iter().enumerate() {
            assert_eq!(read(&mut Scanner::new(text)), index == other, "{text}");
        }
    }
}

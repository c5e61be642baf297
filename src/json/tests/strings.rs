use super::*;

fn string(text: &str) -> Result<RawString<'_>, SyntaxError> {
    let mut scanner = Scanner::new(text);
    let string = scanner.string()?;
    scanner.end()?;
    Ok(string)
}

/// Words of eight bytes are scanned at once: every length, and every place in it, must give the same as byte by byte.
#[test]
fn a_special_byte_is_seen_at_every_place_of_every_length() {
    for length in 0..=40 {
        let plain = "a".repeat(length);
        assert_eq!(string(&format!("\"{plain}\"")).map(|string| string.raw().len()), Ok(length));
        assert!(string(&format!("\"{plain}")).is_err());
        for place in 0..length {
            let (before, after) = (&plain[..place], &plain[place + 1..]);
            for control in (0..0x20u8).chain([b'"', b'\\']) {
                let text = format!("\"{before}{}{after}\"", control as char);
                let reference = serde_json::from_str::<String>(&text);
                assert_eq!(string(&text).is_ok(), reference.is_ok(), "{text:?}");
                if control < 0x20 {
                    let kind = SyntaxErrorKind::ControlCharacter(control);
                    assert_eq!(string(&text), Err(SyntaxError { offset: place + 1, kind }));
                }
            }
            for harmless in
                [" ", "!", "#", "[", "]", "\u{7f}", "é", "\u{80}", "\u{2028}", "😀", "\u{10ffff}", "\u{a2}"]
            {
                let text = format!("{before}{harmless}{after}");
                let quoted = format!("\"{text}\"");
                assert_eq!(
                    string(&quoted).map(|string| (string.raw(), string.is_escaped())),
                    Ok((&*text, false))
                );
            }
            for (escape, character) in
                [("\\n", "\n"), ("\\\"", "\""), ("\\\\", "\\"), ("\\u0041", "A"), ("\\ud83d\\ude00", "😀")]
            {
                let quoted = format!("\"{before}{escape}{after}\"");
                let string = string(&quoted).unwrap();
                assert!(string.is_escaped());
                assert_eq!(string.decode(), format!("{before}{character}{after}"));
            }
        }
    }
}

#[test]
fn neighbours_of_special_bytes_do_not_mask_each_other() {
    // A borrow of the eight-byte trick runs upwards: the first special byte counts, whatever stands behind it.
    for first in ["\\n", "!", "#", "]", "[", "é"] {
        for second in ["\"", "\\\"", "\u{1}", "!", "#"] {
            for padding in 0..9 {
                let text = format!("\"{}{first}{second}{}\"", "x".repeat(padding), "y".repeat(9));
                let reference = serde_json::from_str::<String>(&text);
                assert_eq!(
                    string(&text).ok().map(|string| string.decode().into_owned()),
                    reference.ok(),
                    "{text:?}"
                );
            }
        }
    }
}

#[test]
fn a_string_whose_alphabet_is_checked_elsewhere_ends_where_it_does_otherwise() {
    let opaque = |text: &str| {
        let mut scanner = Scanner::new(text);
        let string = scanner.opaque_string()?;
        Ok::<_, SyntaxError>((string.decode().into_owned(), scanner.position()))
    };
    for length in 0..70 {
        for special in ["", "é", "\\/", "\\\"", "\\\\", "\\u0041", "\\x", "\\"] {
            for behind in ["", "\"", "\",\"b\"]", "\"\""] {
                let text = format!(" \"{}{special}{}{behind}", "a".repeat(length), "b".repeat(length / 2));
                let mut scanner = Scanner::new(&text);
                let expected = scanner.string().map(|string| string.decode().into_owned());
                assert_eq!(opaque(&text), expected.map(|string| (string, scanner.position())), "{text}");
            }
        }
    }
    assert_eq!(opaque("\"a\n\u{1}b\""), Ok(("a\n\u{1}b".to_owned(), 6)));
    for text in ["", "a\"", "1", "'a'"] {
        assert!(opaque(text).is_err(), "{text}");
    }
}

#[test]
fn every_escape_is_undone() {
    let text = r#""\"\\\/\b\f\n\r\t\u0000\u00e9\u00E9\uffff\ud83d\ude00\udbff\udfff end""#;
    let expected = "\"\\/\u{8}\u{c}\n\r\t\0éé\u{ffff}😀\u{10ffff} end";
    let string = string(text).unwrap();
    assert_eq!(string.decode(), expected);
    assert!(string.equals(expected) && !string.equals("other"));
    let mut appended = "before ".to_owned();
    string.decode_into(&mut appended);
    assert_eq!(appended, format!("before {expected}"));
}

#[test]
fn a_string_without_escapes_is_borrowed() {
    let string = string("\"plain é\"").unwrap();
    assert!(matches!(string.decode(), std::borrow::Cow::Borrowed("plain é")));
    assert!(string.equals("plain é") && !string.equals("plain"));
    let mut appended = String::new();
    string.decode_into(&mut appended);
    assert_eq!(appended, "plain é");
}

#[test]
fn every_unit_decodes_or_is_half_a_pair() {
    for unit in 0..=0xffff_u32 {
        let text = format!("\"\\u{unit:04x}\"");
        match char::from_u32(unit) {
            Some(character) => assert!(string(&text).unwrap().equals(character.encode_utf8(&mut [0; 4]))),
            None => assert_eq!(
                string(&text),
                Err(SyntaxError { offset: 1, kind: SyntaxErrorKind::LoneSurrogate })
            ),
        }
    }
}

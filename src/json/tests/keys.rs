use super::*;

fn object(keys: impl Iterator<Item = String>) -> String {
    let members: Vec<_> = keys.map(|key| format!("\"{key}\":0")).collect();
    format!("{{{}}}", members.join(","))
}

fn is_duplicate(text: &str) -> bool {
    match scan(text) {
        Ok(()) => false,
        Err(error) => {
            assert_eq!(error.kind, SyntaxErrorKind::DuplicateKey, "{text}");
            true
        }
    }
}

#[test]
fn a_duplicate_is_found_among_any_number_of_keys() {
    // Up to 16 keys are compared in pairs, more are sorted.
    for count in [1, 2, 3, 15, 16, 17, 18, 40, 1000] {
        let keys = || (0..count).map(|n| format!("key {n}"));
        assert!(!is_duplicate(&object(keys())), "{count}");
        for twice in [0, count / 2, count - 1] {
            let again = format!("key {twice}");
            assert!(is_duplicate(&object(keys().chain([again.clone()]))), "{count}, {twice}");
            assert!(is_duplicate(&object([again].into_iter().chain(keys()))), "{count}, {twice}");
        }
    }
}

#[test]
fn one_key_in_two_spellings_is_a_duplicate() {
    for (left, right) in [
        ("a", r"\u0061"),
        (r"\u00e9", "é"),
        (r"\n", r"\u000a"),
        (r"\/", "/"),
        (r"\ud83d\ude00", "😀"),
        (r"\u0061", r"\u0061"),
    ] {
        assert!(is_duplicate(&object([left, right].map(str::to_owned).into_iter())), "{left} {right}");
    }
    assert!(!is_duplicate(&object(["a", r"\\u0061", "A", ""].map(str::to_owned).into_iter())));
}

#[test]
fn objects_keep_their_keys_apart() {
    assert!(!is_duplicate(r#"{"a":{"a":{"a":0},"b":0},"b":{"a":0},"c":[{"a":0},{"a":0}]}"#));
    assert!(is_duplicate(r#"{"a":{"b":0},"c":{"d":0},"a":0}"#));
    assert!(is_duplicate(r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#));
    assert!(is_duplicate(r#"{"a":0,"b":{"x":0,"y":0},"a":0}"#));
}

#[test]
fn an_aborted_scan_is_forgotten_on_clear() {
    let mut keys = KeySet::new();
    assert!(keys.skip_value(&mut Scanner::new(r#"{"a":{"b":1,"#)).is_err());
    keys.clear();
    assert_eq!(keys.skip_value(&mut Scanner::new(r#"{"a":{"b":1}}"#)), Ok(()));
}

/// Keys are compared in pieces of eight bytes that may overlap: every length, and a change at every place.
#[test]
fn a_guessed_key_is_taken_only_if_every_byte_is_right() {
    for length in 0..=40 {
        let name: String = ('a'..='z').cycle().take(length).collect();
        let quoted = format!("\"{name}\"");
        for behind in ["", " 1}", ": 1, \"b\": 2}"] {
            let text = format!("{{{quoted}{behind}");
            let mut scanner = Scanner::new(&text);
            scanner.enter_object().unwrap();
            let mut first = true;
            let taken = scanner.take_key(&mut first, &quoted);
            assert_eq!((taken, first), (behind.starts_with(':'), !taken), "{text}");
            assert_eq!(scanner.position(), if taken { 1 + quoted.len() + 1 } else { 1 }, "{text}");
        }
        for place in 0..length {
            let other = format!("{}_{}", &name[..place], &name[place + 1..]);
            let text = format!("{{\"{other}\":1}}");
            let mut scanner = Scanner::new(&text);
            scanner.enter_object().unwrap();
            assert!(!scanner.take_key(&mut true, &quoted), "{text}");
            assert_eq!(scanner.position(), 1);
        }
    }
}

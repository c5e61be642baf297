use super::*;

#[test]
fn names_are_unescaped_in_order() {
    for (text, tokens) in [
        ("/a", vec!["a"]),
        ("/a/b/0", vec!["a", "b", "0"]),
        ("/", vec![""]),
        ("//", vec!["", ""]),
        ("/a~1b", vec!["a/b"]),
        ("/m~0n", vec!["m~n"]),
        ("/~01", vec!["~1"]),
        ("/~00~11", vec!["~0/1"]),
        ("/é %20\"", vec!["é %20\""]),
    ] {
        let pointer = Pointer::parse(text).unwrap();
        assert_eq!(pointer.tokens(), tokens, "{text}");
        assert_eq!((pointer.as_str(), pointer.to_string()), (text, text.to_owned()));
    }
}

#[test]
fn a_text_that_is_no_pointer_is_refused_with_advice() {
    for (text, message) in [
        ("", "a JSON pointer to a field is needed, such as '/client/ip'"),
        ("a/b", "a JSON pointer begins with '/': write '/a/b'"),
        ("/a~", "in a JSON pointer '~' is written '~0' and '/' inside a name '~1': '/a~'"),
        ("/a~2b", "in a JSON pointer '~' is written '~0' and '/' inside a name '~1': '/a~2b'"),
        ("/~0~/b", "in a JSON pointer '~' is written '~0' and '/' inside a name '~1': '/~0~/b'"),
    ] {
        assert_eq!(Pointer::parse(text).unwrap_err().to_string(), message);
    }
}

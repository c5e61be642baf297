use std::time::Duration;

use super::node_complaints_by_line as complaints;
use super::*;

const FUNCTION: &str = "[[function]]\nname = \"enrich\"\nurl = \"http://127.0.0.1:9001/x\"\n";

fn functions(text: &str) -> Vec<checked::Function> {
    let (node, problems) = node_from(text);
    assert_eq!(printed(&problems), "");
    node.expect("a node without problems").functions
}

#[test]
fn every_setting_of_functions_is_taken_over() {
    assert!(functions("").is_empty());
    let found = functions(&format!(
        "{FUNCTION}[[function]]\nname = \"other\"\nurl = \"https://f.example/${{STREAM}}\"\ntimeout = \"5m\"\n\
         headers = {{ Authorization = \"Bearer ${{SECRET}}\", x-b = \"1\" }}\n"
    ));
    let [enrich, other] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((enrich.name.as_str(), enrich.url.as_str()), ("enrich", "http://127.0.0.1:9001/x"));
    assert_eq!((enrich.timeout, enrich.headers.len()), (Duration::from_secs(60), 0));
    assert_eq!((other.url.as_str(), other.timeout.as_secs()), ("https://f.example/from-env", 300));
    let headers: Vec<_> =
        other.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(headers, [("authorization", "Bearer hunter2"), ("x-b", "1")]);
    assert!(!format!("{other:?}").contains("hunter2"), "{other:?}");
}

#[test]
fn every_wrong_setting_of_a_function_is_refused() {
    let url = "url = \"http://h/\"";
    for (text, message) in [
        (url.to_owned(), "1:1: missing \"name\"\n  help: write name = \"enrich\" or another name"),
        (
            "name = \"a\"".to_owned(),
            "1:1: missing \"url\"\n  help: write url = \"http://HOST:PORT/…\" or one with https",
        ),
        (
            format!("name = \"a.b\"\n{url}"),
            "2:8: name = \"a.b\": the name of a function is 1 to 64 of a-z, A-Z, 0-9, '_' and '-'",
        ),
        (
            "name = \"a\"\nurl = \"ftp://user:hunter2@h/\"".to_owned(),
            "3:7: url is no http:// or https:// address\n  help: write url = \"http://HOST:PORT/…\" or one with https",
        ),
        (format!("name = \"a\"\n{url}\ntimeout = \"6m\""), "4:11: timeout must be at most 5m"),
        (format!("name = \"a\"\n{url}\ntimeout = \"0s\""), "4:11: timeout must be longer than zero"),
        (
            format!("name = \"a\"\n{url}\nheaders = {{ \"a b\" = \"c\" }}"),
            "this is no header: its name or its value has characters that none has",
        ),
    ] {
        let found = complaints(&format!("[[function]]\n{text}"));
        assert!(found.contains(message), "{text}\n{found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
    let found = complaints(&format!("{FUNCTION}{FUNCTION}"));
    assert!(found.ends_with("name = \"enrich\" is also that of another function"), "{found}");
}

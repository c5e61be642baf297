use proptest::prelude::*;

use super::*;
use crate::delivery::prefix::{PrefixTemplate, Terms};

fn field(text: &str) -> KeyQuery {
    KeyQuery::Field(text.to_owned())
}

fn only(query: &str) -> Result<KeyQuery, JqError> {
    parse(query).map(|keys| keys.into_values().next().unwrap())
}

#[test]
fn queries_that_people_write_become_pointers() {
    for (query, pointer) in [
        ("{a:.x.y}", "/x/y"),
        ("{ customer_id : .customer.id , }", ""),
        ("{customer_id: .customer_id}", "/customer_id"),
        ("{\"a\": .x}", "/x"),
        ("{a}", "/a"),
        ("{a:.x[\"y z\"].w}", "/x/y z/w"),
        ("{a:.[\"x\"][0]}", "/x/0"),
        ("{a:.x.[\"y\"]}", "/x/y"),
        ("{a:.\"x/y~z\"}", "/x~1y~0z"),
        ("{a:.\"x|y\"}", "\"/x|y\""),
        ("{a:.x?}", "/x"),
        ("{a: .x | .y}", "/x/y"),
        ("{a: (.x.y // \"none\")}", "/x/y|default(none)"),
        ("{a:.x.y//\"none\"}", "/x/y|default(none)"),
        ("{a:(.x // 0)}", "/x|default(0)"),
        ("{a:(.x // -1.5)}", "/x|default(-1.5)"),
        ("{a:(.x // true)}", "/x|default(true)"),
        ("{a:.x|ascii_downcase}", "/x|lower"),
        ("{a: (.x | tostring | ascii_upcase)}", "/x|upper"),
        ("{a:.x[0:3]}", "/x|truncate(3)"),
        ("{a:.x|.[:10]}", "/x|truncate(10)"),
        ("{a:(.x // \"Z\")|ascii_downcase}", "/x|default(Z)|lower"),
        ("{a:((((.x))))}", "/x"),
        ("{\n  a:\t.x\n}\n", "/x"),
        ("{a:.\u{0022}\\u00fc\u{0022}}", "/ü"),
    ] {
        match pointer {
            "" => assert!(only(query).is_err(), "{query}"),
            pointer => assert_eq!(only(query), Ok(field(pointer)), "{query}"),
        }
    }
    let keys = parse("{b:.z, \"c d\":.q, a}").unwrap();
    let names: Vec<_> = keys.keys().map(String::as_str).collect();
    assert_eq!(names, ["a", "b", "c d"]);
}

#[test]
fn times_become_formats() {
    let time = |format: &str| KeyQuery::Time { pointer: "/at".to_owned(), format: format.to_owned() };
    for query in [
        "{year:.at|strftime(\"%Y\")}",
        "{year:(.at | strftime( \"%Y\" ))}",
        "{year:(.at/1000|strftime(\"%Y\"))}",
        "{year:.at|fromdate|strftime(\"%Y\")}",
        "{year:(.at|fromdateiso8601)|strftime(\"%Y\")}",
    ] {
        assert_eq!(only(query), Ok(time("%Y")), "{query}");
    }
    for query in [
        "{a:.at/1000}",
        "{a:.at/10000|strftime(\"%Y\")}",
        "{a:.at/7|strftime(\"%Y\")}",
        "{a:.at|fromdate}",
        "{a:.at|strftime(\"%Y\")|ascii_upcase}",
        "{a:(.at // 0)|strftime(\"%Y\")}",
        "{a:.at|strftime(\"%!\")}",
        "{a:.at|strftime(\"{}\")}",
        "{a:.at|strftime}",
    ] {
        assert!(only(query).is_err(), "{query}");
    }
}

#[test]
fn what_is_not_known_is_named() {
    for (query, said) in [
        (".x", "expected an object such as {customer_id: .customer.id} at character 1, found \".x\""),
        ("{}", "the query has no keys"),
        ("{a:.x", "expected ',' or '}' at character 6, found the end"),
        ("{a:.x} | .a", "expected the end at character 8, found \"| .a\""),
        ("{a:.x, a:.y}", "the key \"a\" is there twice"),
        ("{a:.x|test(\"y\")}", "\"test\" is not supported"),
        ("{a:if .x then 1 else 2 end}", "\"if\" is not supported"),
        ("{a:.x // .y}", "// .y is not supported"),
        ("{a:.x // (.y)}", "// with anything but a literal is not supported"),
        ("{a:.x // empty}", "// empty is not supported"),
        ("{a:.x // null}", "// null is not supported"),
        ("{a:.x + .y}", "expected ',' or '}'"),
        ("{a:.x[]}", "[] without a name or an index is not supported"),
        ("{a:.x[-1]}", "[] without a name or an index is not supported"),
        ("{a:.x[2:3]}", "a slice other than [:N] is not supported"),
        ("{a:.x|ascii_downcase|.y}", "a path behind a function is not supported"),
        ("{a:..}", ".. is not supported"),
        ("{(.k):.x}", "a key that is computed is not supported"),
        ("{a:\"x\"}", "a value that does not come from the record is not supported"),
        ("{a:.\"\\(1)\"}", "\\(…) in a string is not supported"),
        ("{a:.\"x}", "expected a string that ends"),
        ("{a:.}", "the key \"a\" names no field of the record"),
        ("{a:(.x // \"a)b\")}", "the default \"a)b\" must not be empty, nor have ')' or braces in it"),
        ("{\"a:b\":.x}", "the key \"a:b\" must not be empty"),
        ("", "found the end"),
    ] {
        let error = parse(query).expect_err(query).to_string();
        assert!(error.contains(said), "{query}: {error}");
    }
}

#[test]
fn nothing_grows_with_the_query() {
    let deep = format!("{{a:{}.x{}}}", "(".repeat(2_000), ")".repeat(2_000));
    assert_eq!(parse(&deep), Err(JqError::TooMany { max: 16, what: "parentheses within each other" }));
    let long = format!("{{a:{}}}", ".x".repeat(2_000));
    assert_eq!(parse(&long), Err(JqError::TooMany { max: 64, what: "names in a path" }));
    let many: Vec<_> = (0..60).map(|n| format!("k{n}:.x")).collect();
    let many = format!("{{{}}}", many.join(","));
    assert_eq!(parse(&many), Err(JqError::TooMany { max: 50, what: "keys" }));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(query in "\\PC{0,200}") {
        let _ = parse(&query);
    }

    #[test]
    fn no_text_of_its_own_alphabet_makes_it_panic(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", ":", ",", ".", "x", "\"", "\"y\"", "[", "]", "0", "1000", "-", "|", "//", "/", "(", ")", "?",
                " ", "\\", "strftime", "(\"%Y\")", "ascii_downcase", "tostring", "fromdate", "ü", "\u{0}", "=", "true",
            ]),
            0..40,
        ),
    ) {
        let query = format!("{{a:{}", tokens.concat());
        let _ = parse(&query);
        let _ = parse(&tokens.concat());
    }

    #[test]
    fn what_is_taken_is_a_partition_key_of_a_delivery(
        names in prop::collection::vec("[a-zA-Z0-9 ~/|{}.ü]{1,12}", 1..5),
        default in prop::option::of("[a-zA-Z0-9 ./|-]{1,12}"),
    ) {
        let path: String = names.iter().map(|name| format!(".{}", serde_json::to_string(name).unwrap())).collect();
        let default = default.map(|text| format!(" // {}", serde_json::to_string(&text).unwrap())).unwrap_or_default();
        let KeyQuery::Field(field) = only(&format!("{{a: ({path}{default})}}")).unwrap() else { unreachable!() };
        let terms = Terms { partition_keys: [("a".to_owned(), field.clone())].into(), ..Terms::default() };
        let template = PrefixTemplate::parse("!{partitionKeyFromQuery:a}/", &terms);
        prop_assert!(template.is_ok(), "{field}: {template:?}");
        let template = template.unwrap();
        prop_assert_eq!(template.pointers()[0].tokens(), names.as_slice());
    }
}

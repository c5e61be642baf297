//! The examples that AWS has published: its Signature Version 4 test suite, and those of its documentation.

use ring::hmac;

use super::*;

/// The signature of a request for a service that is not one of ours.
fn signature(sent: &Sent, service: &str) -> String {
    let head = sent.head().expect("a head");
    let mut names: Vec<&str> = head.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    let mut canonical =
        canonical::canonical_head(&head, &names.join(";"), None).expect("a canonical request");
    canonical.extend_from_slice(&hex_sha256(&sent.body));
    let scope =
        Scope { date: "20150830".to_owned(), region: "us-east-1".to_owned(), service: service.to_owned() };
    let text = string_to_sign((&canonical, b""), "20150830T123600Z", &scope);
    let signed = hmac::sign(&scope.derive(&Secret::new(SECRET)), text.as_bytes());
    String::from_utf8(hex(signed.as_ref()).to_vec()).expect("hex")
}

#[test]
fn the_example_of_the_documentation_has_its_signature() {
    let sent = Sent::new(
        "GET",
        "/?Action=ListUsers&Version=2010-05-08",
        &[
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "iam.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ],
        "",
    );
    assert_eq!(signature(&sent, "iam"), "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

#[test]
fn the_requests_of_the_test_suite_have_their_signatures() {
    const NO_HEADERS: &[(&str, &str)] = &[];
    const UNRESERVED: &str = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let unreserved_query = format!("/?{0}={0}", &UNRESERVED[1..]);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    for (name, method, target, headers, body, expected) in [
        ("get-vanilla", "GET", "/", NO_HEADERS, "", vanilla),
        (
            "get-vanilla-query-order-key-case",
            "GET",
            "/?Param2=value2&Param1=value1",
            NO_HEADERS,
            "",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "get-vanilla-query-unreserved",
            "GET",
            &unreserved_query,
            NO_HEADERS,
            "",
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        ),
        (
            "get-vanilla-utf8-query",
            "GET",
            "/?%E1%88%B4=bar",
            NO_HEADERS,
            "",
            "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
        ),
        (
            "get-unreserved",
            "GET",
            UNRESERVED,
            NO_HEADERS,
            "",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        ("get-slash", "GET", "//", NO_HEADERS, "", vanilla),
        ("get-slash-dot-slash", "GET", "/./", NO_HEADERS, "", vanilla),
        ("get-relative", "GET", "/example/..", NO_HEADERS, "", vanilla),
        ("get-relative-relative", "GET", "/example1/example2/../..", NO_HEADERS, "", vanilla),
        (
            "get-slashes",
            "GET",
            "//example//",
            NO_HEADERS,
            "",
            "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
        ),
        (
            "get-slash-pointless-dot",
            "GET",
            "/./example",
            NO_HEADERS,
            "",
            "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
        ),
        (
            "get-header-key-duplicate",
            "GET",
            "/",
            &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
            "",
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        ),
        (
            "get-header-value-order",
            "GET",
            "/",
            &[
                ("my-header1", "value4"),
                ("my-header1", "value1"),
                ("my-header1", "value3"),
                ("my-header1", "value2"),
            ],
            "",
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        ),
        (
            "get-header-value-trim",
            "GET",
            "/",
            &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            "",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "post-vanilla",
            "POST",
            "/",
            NO_HEADERS,
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "post-x-www-form-urlencoded",
            "POST",
            "/",
            &[form],
            "Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ] {
        let mut sent = Sent::new(method, target, headers, body);
        sent = sent.with("host", "example.amazonaws.com").with("x-amz-date", "20150830T123600Z");
        assert_eq!(signature(&sent, "service"), expected, "{name}");
    }
}

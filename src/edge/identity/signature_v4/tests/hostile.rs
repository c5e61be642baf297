//! What nobody signs and somebody may send.

use proptest::prelude::*;

use super::requests::usual;
use super::*;

/// Pieces that look like parts of a signed request.
const WORDS: &str = "(AWS4-HMAC-SHA256|Credential=|SignedHeaders=|Signature=|AKIDEXAMPLE|/|20150830|us-east-1|kinesis|\
    aws4_request|host;x-amz-date|;|, |=|é|\t|0{64}|%|%2F|&|X-Amz-Signature|[ -~]){0,12}";

#[test]
fn endless_headers_are_refused() {
    for authorization in [
        "a".repeat(100_000),
        format!("AWS4-HMAC-SHA256 {}", "a".repeat(100_000)),
        format!("AWS4-HMAC-SHA256 {}", ",".repeat(100_000)),
        format!("AWS4-HMAC-SHA256 Credential={}", "/".repeat(100_000)),
        format!("AWS4-HMAC-SHA256 {}", "Credential=a,".repeat(8_000)),
    ] {
        let error = usual().with("authorization", &authorization).judged_by(&identities(), NOW);
        let message = error.expect_err("refused").to_string();
        assert!(message.len() < 400, "{message}");
    }
    let valid = String::from_utf8(usual().headers[4].1.clone()).unwrap();
    let names: Vec<String> = (0..30_000).map(|index| format!("x{index:05}")).collect();
    for list in ["host;".repeat(20_000), format!("host;{}", names.join(";")), "a;".repeat(20_000)] {
        let error = usual().with("authorization", &valid.replace("content-type;", &list));
        let message = error.judged_by(&identities(), NOW).expect_err("refused").to_string();
        assert!(message.len() < 400, "{message}");
    }
}

proptest! {
    #[test]
    fn any_authorization_is_refused_without_a_panic(
        value in prop_oneof![WORDS.prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..200)],
        name in prop::sample::select(vec![
            "authorization", "x-amz-date", "date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-target",
            "x-amz-decoded-content-length", "host",
        ]),
        is_added: bool,
    ) {
        let mut sent = usual();
        let same = sent.headers.iter().any(|(known, old)| known == name && old.trim_ascii() == value.trim_ascii());
        if !is_added {
            sent.headers.retain(|(known, _)| known != name);
        }
        sent.headers.push((name.to_owned(), value));
        // A date or a length beside what is signed changes nothing.
        let is_of_no_use = matches!(name, "date" | "x-amz-decoded-content-length");
        if sent.head().is_some() {
            prop_assert!(sent.judged_by(&identities(), NOW).is_err() || same || is_of_no_use);
        }
    }

    #[test]
    fn any_query_is_refused_without_a_panic(query in WORDS, value in "[ -~]{0,30}", is_presigned: bool) {
        let mut sent = usual().without("authorization");
        sent.target = match is_presigned {
            true => format!(
                "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={query}&X-Amz-Date={value}&X-Amz-Expires={value}\
                 &X-Amz-SignedHeaders={query}&X-Amz-Signature={value}"
            ),
            false => format!("/?{query}"),
        };
        if sent.head().is_some() {
            prop_assert!(sent.judged_by(&identities(), NOW).is_err());
        }
    }

    #[test]
    fn any_head_has_a_canonical_form_without_a_panic(
        path in "/[ -~é]{0,40}", list in "[a-z;-]{0,30}", value in prop::collection::vec(any::<u8>(), 0..60)
    ) {
        let mut sent = usual();
        sent.target = path;
        sent.headers.push(("a".to_owned(), value));
        if let Some(head) = sent.head() {
            let _ = canonical::canonical_head(&head, &list, Some("a"));
        }
    }
}

//! Signatures as their senders document them.

use std::time::Duration;

use http::Request;

use super::*;
use crate::config::Secret;
use crate::config::checked::{Allowance, Limits};
use crate::edge::identity::policy::{Grant, Policy};
use crate::telemetry::metrics::Registry;

fn policy(grant: &str) -> Policy {
    Policy::new(vec![Grant::parse(grant).unwrap()])
}

fn plain(name: &str, header: &'static str, secrets: &[&str]) -> checked::Webhook {
    checked::Webhook {
        name: name.to_owned(),
        header: HeaderName::from_static(header),
        algorithm: HmacAlgorithm::Sha256,
        encoding: SignatureEncoding::Hex,
        prefix: String::new(),
        time: None,
        secrets: secrets.iter().map(|&secret| Secret::new(secret)).collect(),
        idempotency_header: None,
        policy: policy("ingest:s"),
        allowance: Allowance::default(),
    }
}

fn webhooks(settings: &[checked::Webhook]) -> Webhooks {
    Webhooks::new(settings, &Throttle::new(&Limits::default(), &Registry::new().unwrap()))
}

fn github() -> checked::Webhook {
    let prefix = "sha256=".to_owned();
    checked::Webhook { prefix, ..plain("github", "x-hub-signature-256", &["It's a Secret to Everybody"]) }
}

fn timed(at: TimestampAt, before: &str, behind: &str) -> Option<SignedTime> {
    let tolerance = Duration::from_secs(300);
    Some(SignedTime { at, before: before.to_owned(), behind: behind.to_owned(), tolerance })
}

/// What becomes of a request with these headers and this body, at this second.
fn judge(
    webhook: checked::Webhook,
    headers: &[(&str, &str)],
    body: &[u8],
    second: i64,
) -> Result<(), String> {
    let mut request = Request::post("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    match webhooks(&[webhook]).identify(&head, Some("s"), UnixMicros(second * 1_000_000)) {
        Attempt::IsIf(_, claim) => claim.check(body),
        Attempt::Wrong(why) => Err(why.into_owned()),
        Attempt::Absent => Err("absent".to_owned()),
        other => panic!("{other:?}"),
    }
}

/// The example of GitHub's documentation ("Validating webhook deliveries").
const GITHUB: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

#[test]
fn githubs_example_is_taken_and_nothing_near_it() {
    let judge = |value: &str, body: &[u8]| judge(github(), &[("x-hub-signature-256", value)], body, 0);
    assert_eq!(judge(GITHUB, b"Hello, World!"), Ok(()));
    assert_eq!(judge(&GITHUB.to_ascii_uppercase().replace("SHA256", "sha256"), b"Hello, World!"), Ok(()));
    let wrong = Err("the signature is not that of this body".to_owned());
    assert_eq!(judge(GITHUB, b"Hello, World?"), wrong);
    for end in [7, 9, GITHUB.len() - 2] {
        assert_eq!(judge(&GITHUB[..end], b"Hello, World!"), wrong, "the first {end} characters");
    }
    assert_eq!(judge(&format!("{GITHUB}00"), b"Hello, World!"), wrong);
    for value in ["", &GITHUB[7..], &GITHUB[..GITHUB.len() - 1], "sha256=zz", "sha1=75"] {
        assert_eq!(judge(value, b"Hello, World!"), Err(UNREADABLE.to_owned()), "{value}");
    }
}

#[test]
fn a_signature_of_nothing_and_one_of_two_prove_nothing() {
    let key = hmac::Key::new(HMAC_SHA256, b"It's a Secret to Everybody");
    let tag = hmac::sign(&key, b"");
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let of_nothing = format!("sha256={hex}");
    let said = judge(github(), &[("x-hub-signature-256", &of_nothing)], b"", 0);
    assert_eq!(said, Err("the signature of an empty body proves nothing".to_owned()));
    let twice = [("x-hub-signature-256", GITHUB), ("x-hub-signature-256", GITHUB)];
    assert_eq!(judge(github(), &twice, b"Hello, World!", 0), Err(UNREADABLE.to_owned()));
    assert_eq!(judge(github(), &[], b"Hello, World!", 0), Err("absent".to_owned()));
}

/// The signature of `text`, in hexadecimal digits.
fn signed(algorithm: hmac::Algorithm, secret: &str, text: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn stripes_list_is_taken_within_its_time_by_any_secret_and_any_signature() {
    let stripe = || checked::Webhook {
        time: timed(TimestampAt::Signature, "", "."),
        ..plain("stripe", "stripe-signature", &["whsec_new", "whsec_old"])
    };
    let judge = |value: &str, second| judge(stripe(), &[("stripe-signature", value)], b"{}", second);
    let of = |secret: &str| signed(HMAC_SHA256, secret, "1492774577.{}");
    let (new, old, other) = (of("whsec_new"), of("whsec_old"), of("whsec_other"));
    let now = 1_492_774_577;
    for value in [
        format!("t=1492774577,v1={new}"),
        format!("t=1492774577,v1={old},v0=junk"),
        format!("t=1492774577, v1={other}, v1={new}"),
    ] {
        for second in [now - 300, now, now + 300] {
            assert_eq!(judge(&value, second), Ok(()), "{value}");
        }
        for second in [now - 301, now + 301, 0, i64::MAX / 1_000_000] {
            assert_eq!(judge(&value, second), Err("the signature is of another time than now".to_owned()));
        }
    }
    let wrong = |value: &str| judge(value, now).unwrap_err();
    assert_eq!(wrong(&format!("t=1492774577,v1={other}")), "the signature is not that of this body");
    assert_eq!(wrong(&format!("t=1492774578,v1={new}")), "the signature is not that of this body");
    assert_eq!(wrong(&format!("t=1492774577,v0={new}")), UNREADABLE);
    assert_eq!(wrong(&format!("t=1492774577,t=1492774578,v1={new}")), UNREADABLE);
    assert_eq!(wrong(&format!("v1={new}")), NO_TIME);
    for time in ["", "+1492774577", "1492774577.0", "9999999999999999999999"] {
        assert_eq!(wrong(&format!("t={time},v1={new}")), NO_TIME, "{time}");
    }
    let many = format!("t=1492774577{}", format!(",v1={new}").repeat(WEBHOOK_SIGNATURES_MAX + 1));
    assert_eq!(wrong(&many), "the header has too many signatures");
}

#[test]
fn other_hashes_encodings_and_texts_are_taken() {
    let slack = checked::Webhook {
        prefix: "v0=".to_owned(),
        time: timed(TimestampAt::Header(HeaderName::from_static("x-time")), "v0:", ":"),
        ..plain("slack", "x-slack-signature", &["8f742231b10e8888abcd99yyyzzz85a5"])
    };
    let value =
        format!("v0={}", signed(HMAC_SHA256, "8f742231b10e8888abcd99yyyzzz85a5", "v0:1531420618:token=a"));
    let headers = [("x-slack-signature", value.as_str()), ("x-time", "1531420618")];
    assert_eq!(judge(slack.clone(), &headers, b"token=a", 1_531_420_618), Ok(()));
    assert_eq!(judge(slack, &headers[..1], b"token=a", 1_531_420_618), Err(NO_TIME.to_owned()));
    let sha512 = checked::Webhook {
        algorithm: HmacAlgorithm::Sha512,
        encoding: SignatureEncoding::Base64,
        ..plain("base64", "x-signature", &["secret-of-a-shop"])
    };
    let tag = hmac::sign(&hmac::Key::new(HMAC_SHA512, b"secret-of-a-shop"), b"{}");
    let padded = BASE64.encode(tag.as_ref());
    for value in [padded.as_str(), padded.trim_end_matches('=')] {
        assert_eq!(judge(sha512.clone(), &[("x-signature", value)], b"{}", 0), Ok(()));
    }
    let sha1 = checked::Webhook {
        algorithm: HmacAlgorithm::Sha1,
        ..plain("old", "x-signature", &["secret-of-old"])
    };
    let value = signed(HMAC_SHA1_FOR_LEGACY_USE_ONLY, "secret-of-old", "{}");
    assert_eq!(judge(sha1, &[("x-signature", &value)], b"{}", 0), Ok(()));
}

#[test]
fn of_several_with_one_header_the_one_of_the_stream_is_meant() {
    let webhooks = webhooks(&[
        checked::Webhook {
            policy: policy("ingest:other"),
            ..plain("first", "x-signature", &["first-secret"])
        },
        plain("second", "x-signature", &["second-secret"]),
    ]);
    let value = signed(HMAC_SHA256, "second-secret", "{}");
    let (head, ()) = Request::post("/").header("x-signature", value).body(()).unwrap().into_parts();
    for (stream, name, is_right) in
        [("s", "second", true), ("other", "first", false), ("none", "first", false)]
    {
        let Attempt::IsIf(principal, claim) = webhooks.identify(&head, Some(stream), UnixMicros(0)) else {
            panic!("{stream}");
        };
        assert_eq!((&*principal.name, claim.check(b"{}").is_ok()), (name, is_right), "{stream}");
    }
    assert!(!format!("{webhooks:?}").contains("secret"));
}

//! Requests that botocore has signed (by `tests/identity/botocore_signer.py`), and what becomes of them.

use super::*;

pub(super) const BODY: &str = r#"{"StreamName":"clicks","Data":"eyJhIjoxfQ==","PartitionKey":"k"}"#;
const HEADERS: [(&str, &str); 3] = [
    ("host", "127.0.0.1:8080"),
    ("content-type", "application/x-amz-json-1.1"),
    ("x-amz-target", "Kinesis_20131202.PutRecord"),
];
const TOKEN: &str = "a/token+=";

/// A request with the headers that are signed beside those of all, and the signature.
fn signed(service: &str, more: &[(&str, &str)], signature: &str) -> Sent {
    let mut sent = Sent::new("POST", "/", &[&HEADERS, more].concat(), BODY);
    let mut names: Vec<_> = sent.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={KEY_ID}/20150830/eu-central-1/{service}/aws4_request, SignedHeaders={}, Signature={signature}",
        names.join(";")
    );
    sent.headers.push(("authorization".to_owned(), authorization.into_bytes()));
    sent
}

const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");

pub(super) fn usual() -> Sent {
    signed("kinesis", &[DATE], "1edb80fc92934a06dee9ae4cbe42834ce113c312bfc410e4757e40caa268fdd6")
}

pub(super) fn with_http_date() -> Sent {
    let date = ("date", "Sun, 30 Aug 2015 12:36:00 -0000");
    signed("kinesis", &[date], "cdc144d4e7ea3fc86030ee4a815fdb6256efd6c56c413e52c89ba443aaff3cd3")
}

pub(super) fn of_unsigned_body() -> Sent {
    let hash = ("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    signed("kinesis", &[DATE, hash], "538d9a483b194085b52fbf5cc8e10c906aa3ce681c5544a99b041acb299f8294")
}

pub(super) fn with_hash() -> Sent {
    let hash = ("x-amz-content-sha256", "c3e28cd65ed7561752a5a9cf8941523a1c69e7125c5326968d4bde38247002fd");
    signed("kinesis", &[DATE, hash], "20274f7308329e438b3b7ccfc6b7855a099b454469fd409f1e217e7a6c651fdb")
}

pub(super) fn with_token() -> Sent {
    let token = ("x-amz-security-token", TOKEN);
    signed("kinesis", &[DATE, token], "ccfcb78ff321d5415264524dd989be4cee46d68dff96e52b01d1c35ec069dd9f")
}

pub(super) fn in_unsigned_pieces() -> Sent {
    let hash = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    let length = ("x-amz-decoded-content-length", "3");
    let signature = "d1340ed5b17ef5d2b8c323d39a0aa3539b7d3b02a3f13e833a4f8b45399ad8f8";
    let mut sent = signed("kinesis", &[DATE, hash, length], signature);
    sent.body = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n".to_vec();
    sent
}

fn in_signed_pieces() -> Sent {
    let hash = ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    signed("kinesis", &[DATE, hash], "25bc238919eedf5c30e6d432f15c30505201b86fa4ccf1c9f51c4edbb6830754")
}

pub(super) fn at_a_path() -> Sent {
    let header = ("x-amz-meta", "one  two");
    let signature = "c099d047dc25f8468be5da23764ee32a56daf7c93762333961d1f899cdbe8b69";
    Sent { target: "/a/b?c=d&e=f".to_owned(), ..signed("kinesis", &[DATE, header], signature) }
}

fn to_firehose() -> Sent {
    let signature = "4c732fcb05047ba02fe6ce8f9c43549573e97158fcaffbf21c8390b85e8cead3";
    signed("firehose", &[DATE], signature).with("x-amz-target", "Firehose_20150804.PutRecord")
}

fn presigned_with(query: &str) -> Sent {
    let target = format!(
        "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY_ID}%2F20150830%2Feu-central-1%2Fkinesis%2Faws4_request\
         &X-Amz-Date=20150830T123600Z&X-Amz-Expires=300&X-Amz-SignedHeaders=content-type%3Bhost%3Bx-amz-target{query}"
    );
    Sent::new("POST", &target, &HEADERS, BODY)
}

pub(super) fn presigned() -> Sent {
    presigned_with("&X-Amz-Signature=d58c0685e0fc73d8dafaab190cba096d3debc228266e7f04fba8e3bc5e9793e7")
}

fn presigned_with_token() -> Sent {
    presigned_with(
        "&X-Amz-Security-Token=a%2Ftoken%2B%3D&X-Amz-Signature=4958fa8551b1f27cefefcedb0a675f7bd95f6ca97ba61878b08b65165e61bf02",
    )
}

fn refusal(sent: &Sent) -> (&'static str, String) {
    let error = sent.judged_by(&identities(), NOW).expect_err("it is refused");
    (error.code(), error.to_string())
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
    Secret Access Key and signing method. Consult the service documentation for details.";

#[test]
fn what_botocore_signs_is_taken_with_its_body() {
    let everybody = identities();
    let sent =
        [usual(), with_http_date(), of_unsigned_body(), with_hash(), presigned(), to_firehose(), at_a_path()];
    for sent in sent {
        assert_eq!(sent.judged_by(&everybody, NOW).as_deref(), Ok(BODY.as_bytes()), "{sent:?}");
    }
    assert_eq!(in_unsigned_pieces().judged_by(&everybody, NOW).as_deref(), Ok(&b"abc"[..]));
}

#[test]
fn a_head_that_tells_the_hash_is_proven_before_its_body() {
    let everybody = identities();
    let claim = |sent: Sent| everybody.claim(&sent.head().expect("a head"), NOW);
    for (sent, is_proven) in [
        (usual(), false),
        (presigned(), false),
        (with_hash(), true),
        (of_unsigned_body(), true),
        (in_unsigned_pieces(), true),
    ] {
        assert_eq!(claim(sent).expect("right so far").is_signature_proven(), is_proven);
    }
    let wrong = with_hash().with("x-amz-target", "Kinesis_20131202.PutRecords");
    assert_eq!(claim(wrong).expect_err("refused by its head"), IdentityError::mismatch());
}

#[test]
fn pieces_with_wrong_signatures_are_refused() {
    let mut sent = in_signed_pieces();
    sent.body = format!("0;chunk-signature={}\r\n\r\n", "0".repeat(64)).into_bytes();
    assert_eq!(sent.judged_by(&identities(), NOW), Err(IdentityError::mismatch()));
}

#[test]
fn a_session_token_is_carried_where_there_is_one_and_nowhere_else() {
    let (plain, tokened) = (identities(), everybody_of(&settings(Some(TOKEN))));
    for sent in [with_token(), presigned_with_token()] {
        assert!(sent.judged_by(&tokened, NOW).is_ok(), "{sent:?}");
        assert_eq!(sent.judged_by(&plain, NOW), Err(IdentityError::Unrecognized));
        let other = everybody_of(&settings(Some("a/token+-")));
        assert_eq!(sent.judged_by(&other, NOW), Err(IdentityError::Unrecognized));
    }
    assert_eq!(usual().judged_by(&tokened, NOW), Err(IdentityError::Unrecognized));
}

#[test]
fn a_request_is_taken_within_its_time_and_may_be_repeated_in_it() {
    let everybody = identities();
    for (seconds, is_taken) in [(-901, false), (-900, true), (0, true), (900, true), (901, false)] {
        let result = usual().judged_by(&everybody, seconds_later(seconds));
        assert_eq!(result.is_ok(), is_taken, "{seconds} {result:?}");
    }
    for (seconds, is_taken) in [(-900, true), (300, true), (301, false)] {
        assert_eq!(presigned().judged_by(&everybody, seconds_later(seconds)).is_ok(), is_taken, "{seconds}");
    }
    let late = usual().judged_by(&everybody, seconds_later(3_600)).expect_err("too late");
    assert_eq!(late.code(), "InvalidSignatureException");
    assert!(
        late.to_string().starts_with("Signature expired: 20150830T123600Z is now earlier than"),
        "{late}"
    );
}

#[test]
fn unknown_keys_and_wrong_secrets_are_refused() {
    let mut stranger = settings(None);
    stranger.keys[0].id = "OTHER".to_owned();
    assert_eq!(usual().judged_by(&everybody_of(&stranger), NOW), Err(IdentityError::Unrecognized));
    let mut other = settings(None);
    other.keys[0].secret = Secret::new("another");
    assert_eq!(usual().judged_by(&everybody_of(&other), NOW), Err(IdentityError::mismatch()));
}

#[test]
fn a_key_of_a_wrong_signature_is_not_kept_and_a_right_one_is_kept_once() {
    let everybody = identities();
    let kept = || everybody.keys[KEY_ID].signing_keys.len();
    let authorization = String::from_utf8(usual().headers[4].1.clone()).unwrap();
    for region in 0..100 {
        let other = authorization.replace("eu-central-1", &format!("r-{region}"));
        assert!(usual().with("authorization", &other).judged_by(&everybody, NOW).is_err());
    }
    assert_eq!(kept(), 0);
    for _ in 0..3 {
        assert!(usual().judged_by(&everybody, NOW).is_ok());
    }
    assert_eq!(kept(), 1);
    assert!(to_firehose().judged_by(&everybody, NOW).is_ok());
    assert_eq!(kept(), 2);
}

#[test]
fn what_is_missing_in_a_request_is_told_as_the_services_do() {
    let none = usual().without("authorization");
    assert_eq!(
        refusal(&none),
        ("MissingAuthenticationTokenException", "Missing Authentication Token".to_owned())
    );
    for (authorization, message) in [
        (
            "Bearer abc",
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. \
             Authorization header requires 'SignedHeaders' parameter.",
        ),
        (
            "AWS4-HMAC-SHA256 Signature=1",
            "Authorization header requires 'Credential' parameter. Authorization header requires 'SignedHeaders' parameter.",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a, b",
            "'b' not a valid key=value pair (missing equal-sign) in Authorization header.",
        ),
        (
            "AWS4-HMAC-SHA256 Signature=a, Signature=b",
            "Authorization header has more than one 'Signature' parameter.",
        ),
        ("AWS4-HMAC-SHA1 Credential=a", "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'."),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
        ),
    ] {
        let sent = usual().with("authorization", authorization);
        assert_eq!(refusal(&sent), ("IncompleteSignatureException", message.to_owned()));
    }
    let message = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
    assert_eq!(refusal(&usual().without("x-amz-date")).1, message);
    let message =
        "Date must be in ISO-8601 'basic format'. Got 'today'. See http://en.wikipedia.org/wiki/ISO_8601";
    assert_eq!(refusal(&usual().with("x-amz-date", "today")).1, message);
    let message = "'x-amz-target' is in 'SignedHeaders', but the request has no such header.";
    assert_eq!(refusal(&usual().without("x-amz-target")).1, message);
    let both = Sent { target: presigned().target, ..usual() };
    let message = "A request has an 'Authorization' header or a presigned query, not both.";
    assert_eq!(refusal(&both), ("IncompleteSignatureException", message.to_owned()));
    let mut twice = usual();
    twice.headers.push(twice.headers[4].clone());
    assert_eq!(refusal(&twice).1, "The request has more than one 'authorization' header.");
    let cut = Sent { target: "/?X-Amz-Signature=0".to_owned(), ..usual().without("authorization") };
    assert!(
        refusal(&cut).1.starts_with("AWS query-string parameters must include 'X-Amz-Algorithm'. AWS query")
    );
}

#[test]
fn a_scope_that_does_not_fit_the_request_is_told_as_the_services_do() {
    let authorization = String::from_utf8(usual().headers[4].1.clone()).unwrap();
    for (from, to, message) in [
        ("/kinesis/", "/dynamodb/", "Credential should be scoped to correct service: 'kinesis'."),
        ("/kinesis/", "/firehose/", "Credential should be scoped to correct service: 'kinesis'."),
        ("eu-central-1", "EU", "Credential should be scoped to a valid region."),
        ("aws4_request", "aws5", "Credential should be scoped with a valid terminator: 'aws4_request'."),
        (
            "20150830",
            "20150829",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
             '20150829' != '20150830', from '20150830T123600Z'.",
        ),
        ("host;", "", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."),
        ("x-amz-date;", "", "'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization."),
        (";x-amz-target", "", "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."),
        ("content-type;", "", MISMATCH),
        ("Signature=1", "Signature=2", MISMATCH),
        ("Signature=1edb80fc", "Signature=1EDB80FC", MISMATCH),
    ] {
        let sent = usual().with("authorization", &authorization.replace(from, to));
        assert_eq!(refusal(&sent), ("InvalidSignatureException", message.to_owned()), "{to}");
    }
}

#[test]
fn an_identity_may_do_what_its_key_is_for_and_the_message_says_what_it_may_not() {
    let identity = authenticate(&identities(), &usual().head().unwrap(), &mut BODY.into(), NOW).unwrap();
    assert!(identity.may("kinesis:PutRecords", Some("clicks")) && identity.may("kinesis:ListStreams", None));
    let arn = || "arn:aws:kinesis:us-east-1:123456789012:stream/orders".to_owned();
    assert_eq!(identity.authorize("kinesis:PutRecord", Some("clicks"), arn), Ok(()));
    let denied = identity.authorize("kinesis:PutRecord", Some("orders"), arn).expect_err("another stream");
    assert_eq!((denied.code(), denied.status()), ("AccessDeniedException", http::StatusCode::BAD_REQUEST));
    assert_eq!(
        denied.to_string(),
        "User: arn:aws:iam::123456789012:user/AKIDEXAMPLE is not authorized to perform: kinesis:PutRecord on resource: \
         arn:aws:kinesis:us-east-1:123456789012:stream/orders because no identity-based policy allows the \
         kinesis:PutRecord action"
    );
}

#[test]
fn without_signatures_everybody_may_do_everything_and_pieces_are_put_together() {
    let off = everybody_of(&checked::Access { signature: SignatureRule::Off, ..settings(None) });
    let anybody = |sent: Sent| {
        let mut body = sent.body.clone();
        let identity = authenticate(&off, &sent.head().unwrap(), &mut body, seconds_later(1 << 30)).unwrap();
        assert!(identity.access_key_id().is_none() && identity.may("kinesis:DeleteStream", Some("orders")));
        body
    };
    assert_eq!(anybody(usual().without("authorization")), BODY.as_bytes());
    assert_eq!(anybody(usual().with("authorization", "x")), BODY.as_bytes());
    assert_eq!(anybody(in_unsigned_pieces()), b"abc");
    let mut pieces = in_signed_pieces();
    pieces.body = b"3;chunk-signature=0\r\nabc\r\n0;chunk-signature=0\r\n\r\n".to_vec();
    assert_eq!(anybody(pieces), b"abc");
}

#[test]
fn nothing_that_is_printed_has_a_secret_in_it() {
    let everybody = everybody_of(&settings(Some(TOKEN)));
    let claim = everybody.claim(&with_token().head().unwrap(), NOW).unwrap();
    let printed = format!("{everybody:?} {claim:?}");
    assert!(!printed.contains(SECRET) && !printed.contains(TOKEN), "{printed}");
}

//! Times, audiences and subjects.

use serde_json::json;

use super::*;
use crate::config::limits::{JWT_GRANTS_MAX, JWT_SCOPES_MAX, JWT_SUBJECT_BYTES_MAX};

fn result(changes: Value, now: UnixMicros) -> Result<(), Refusal> {
    verify(&with_secret(), &secret_token(changes), now).map(drop)
}

#[test]
fn a_token_is_taken_until_it_ends_and_a_little_longer() {
    let end = NOW_SECONDS + 600;
    for (exp, now, expected) in [
        (json!(end), 600, Ok(())),
        (json!(end), 659, Ok(())),
        (json!(end), 660, Err(Refusal::Expired)),
        (json!(end), 1_000_000, Err(Refusal::Expired)),
        (json!(end as f64 + 0.5), 660, Ok(())),
        (json!(0), 0, Err(Refusal::Expired)),
        (json!(-1), 0, Err(Refusal::Expired)),
        (json!(1e300), 0, Ok(())),
        (json!(-1e300), 0, Err(Refusal::Expired)),
    ] {
        assert_eq!(result(json!({ "exp": exp }), at(now)), expected, "{exp} {now}");
    }
}

#[test]
fn a_time_that_is_none_is_refused() {
    for name in ["exp", "nbf", "iat"] {
        for value in [json!("1700000600"), json!(true), json!([1_700_000_600]), json!({})] {
            assert_eq!(result(json!({ name: value }), NOW), Err(Refusal::BadClaim), "{name}");
        }
    }
}

#[test]
fn a_token_must_have_an_end_unless_the_configuration_says_otherwise() {
    assert_eq!(result(json!({ "exp": null }), NOW), Err(Refusal::BadClaim));
    let mut settings = issuer(JwtKeys::Secret(Secret::new(SECRET)));
    settings.is_expiry_required = false;
    let jwt = jwt(settings);
    assert!(verify(&jwt, &secret_token(json!({ "exp": null })), at(1_000_000_000)).is_ok());
    let ended = verify(&jwt, &secret_token(json!({})), at(1_000_000_000));
    assert_eq!(ended.unwrap_err(), Refusal::Expired);
}

#[test]
fn a_token_of_the_future_is_not_taken_yet() {
    for name in ["nbf", "iat"] {
        let token = json!({ name: NOW_SECONDS + 100 });
        assert_eq!(result(token.clone(), at(39)), Err(Refusal::NotYetValid), "{name}");
        assert_eq!(result(token, at(40)), Ok(()), "{name}");
    }
    assert_eq!(result(json!({ "iat": null, "nbf": null }), NOW), Ok(()));
}

#[test]
fn a_token_is_for_one_of_our_names() {
    for (audience, expected) in [
        (json!("forebay"), Ok(())),
        (json!("other-name"), Ok(())),
        (json!(["x", "forebay"]), Ok(())),
        (json!("Forebay"), Err(Refusal::WrongAudience)),
        (json!("forebay "), Err(Refusal::WrongAudience)),
        (json!("forebay2"), Err(Refusal::WrongAudience)),
        (json!([]), Err(Refusal::WrongAudience)),
        (json!(["x"]), Err(Refusal::WrongAudience)),
        (json!(["forebay", 7]), Err(Refusal::BadClaim)),
        (json!([["forebay"]]), Err(Refusal::BadClaim)),
        (json!({ "forebay": true }), Err(Refusal::BadClaim)),
        (json!(7), Err(Refusal::BadClaim)),
    ] {
        assert_eq!(result(json!({ "aud": audience }), NOW), expected, "{audience}");
    }
    assert_eq!(result(json!({ "aud": null }), NOW), Err(Refusal::WrongAudience));
    assert_eq!(result(json!({ "aud": null, "client_id": "forebay" }), NOW), Ok(()));
    assert_eq!(result(json!({ "aud": "x", "client_id": "forebay" }), NOW), Err(Refusal::WrongAudience));
}

#[test]
fn a_subject_is_a_name_that_logs_can_have() {
    for subject in [json!(null), json!(7), json!(""), json!("a\nb"), json!("a\u{7f}"), json!("a\u{85}b")] {
        assert_eq!(result(json!({ "sub": subject }), NOW), Err(Refusal::BadClaim), "{subject}");
    }
    assert_eq!(result(json!({ "sub": "ü 7".repeat(JWT_SUBJECT_BYTES_MAX / 4) }), NOW), Ok(()));
    assert_eq!(result(json!({ "sub": "u".repeat(JWT_SUBJECT_BYTES_MAX + 1) }), NOW), Err(Refusal::BadClaim));
}

#[test]
fn an_issuer_is_told_letter_by_letter() {
    for issuer in ["https://i.example", "https://I.example/", "https://i.example/ ", ""] {
        assert_eq!(result(json!({ "iss": issuer }), NOW), Err(Refusal::UnknownIssuer), "{issuer}");
    }
    for issuer in [json!(null), json!([ISSUER]), json!(7)] {
        assert_eq!(result(json!({ "iss": issuer }), NOW), Err(Refusal::BadClaim), "{issuer}");
    }
}

#[test]
fn scopes_without_end_are_refused() {
    let scopes = |count: usize| json!({ "scope": "tap:a ".repeat(count) });
    assert_eq!(result(scopes(JWT_SCOPES_MAX), NOW), Ok(()));
    assert_eq!(result(scopes(JWT_SCOPES_MAX + 1), NOW), Err(Refusal::BadClaim));
    assert_eq!(result(json!({ "scope": vec!["x"; JWT_SCOPES_MAX + 1] }), NOW), Err(Refusal::BadClaim));
    assert_eq!(result(json!({ "scope": 7 }), NOW), Err(Refusal::BadClaim));
    let mut settings = issuer(JwtKeys::Secret(Secret::new(SECRET)));
    settings.scopes = [("x".to_owned(), vec![Grant::parse("tap:a").unwrap(); JWT_GRANTS_MAX])].into();
    let refused = verify(&jwt(settings), &secret_token(json!({ "scope": "x" })), NOW);
    assert_eq!(refused.unwrap_err(), Refusal::BadClaim);
}

//! Tokens of those who have no key.

use proptest::prelude::*;
use serde_json::json;

use super::super::algorithm::Algorithm;
use super::super::refusal::Refusal;
use super::super::token::Token;
use super::sign::{RSA_N, Signer, decoded, encoded};
use super::*;
use crate::config::limits::{JSON_DEPTH_MAX, JWT_BYTES_MAX, JWT_KEY_ID_BYTES_MAX};

/// A token of the secret with this header.
fn with_header(header: &str) -> String {
    Signer::secret(SECRET).token_of(Algorithm::Hs256, header, &claims(json!({})).to_string())
}

/// A token of the secret with these claims.
fn with_claims(claims: &str) -> String {
    Signer::secret(SECRET).token_of(Algorithm::Hs256, r#"{"alg":"HS256"}"#, claims)
}

fn refusal(token: &str) -> Refusal {
    verify(&with_secret(), token, NOW).unwrap_err()
}

#[test]
fn a_hundred_thousand_wrong_tokens_leave_nothing_behind() {
    let jwt = with_secret();
    let (signed, header) = (secret_token(json!({})), encoded(br#"{"alg":"HS256"}"#));
    let (_, signature) = signed.rsplit_once('.').unwrap();
    for number in 0..100_000 {
        let payload = encoded(format!("{{\"iss\":\"{ISSUER}\",\"sub\":\"{number}\"}}").as_bytes());
        let forged = format!("{header}.{payload}.{signature}");
        assert_eq!(verify(&jwt, &forged, NOW).unwrap_err(), Refusal::WrongSignature);
    }
    assert_eq!(jwt.cache.len(), 0);
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let payload = encoded(claims(json!({})).to_string().as_bytes());
    for name in ["none", "None", "NONE", "nOnE", "", "hs256", "HS256 "] {
        let header = encoded(format!("{{\"alg\":\"{name}\"}}").as_bytes());
        assert_eq!(refusal(&format!("{header}.{payload}.")), Refusal::UnknownAlgorithm, "{name}");
    }
    let header = encoded(br#"{"alg":"HS256"}"#);
    assert_eq!(refusal(&format!("{header}.{payload}.")), Refusal::WrongSignature);
    assert_eq!(refusal(&format!("{header}.{payload}")), Refusal::Malformed);
    for header in [r#"{"typ":"JWT"}"#, r#"{"alg":null}"#, r#"{"alg":7}"#, r#"{"alg":["HS256"]}"#] {
        assert_eq!(refusal(&with_header(header)), Refusal::Malformed, "{header}");
    }
}

#[test]
fn the_public_key_of_an_issuer_is_no_secret_to_sign_with() {
    let jwt = with_keys(vec![Signer::rsa().public_key().unwrap()]);
    let mut allowing = issuer(JwtKeys::Public(vec![Signer::rsa().public_key().unwrap()]));
    allowing.algorithms.extend(Algorithm::SECRET);
    let allowing = super::jwt(allowing);
    for text in [decoded(RSA_N), RSA_N.into(), format!("-----BEGIN PUBLIC KEY-----\n{RSA_N}\n").into()] {
        for algorithm in Algorithm::SECRET {
            let token = Signer::Secret(text.clone()).token(algorithm, &claims(json!({})));
            assert_eq!(verify(&jwt, &token, NOW).unwrap_err(), Refusal::WrongAlgorithm);
            // Even where the configuration would have it: no such key signs like that.
            assert_eq!(verify(&allowing, &token, NOW).unwrap_err(), Refusal::UnknownKey);
        }
    }
}

#[test]
fn an_algorithm_that_the_issuer_does_not_use_is_refused() {
    let mut settings = issuer(JwtKeys::Public(vec![Signer::rsa().public_key().unwrap()]));
    settings.algorithms = vec![Algorithm::Ps512];
    let jwt = super::jwt(settings);
    let token = |algorithm| Signer::rsa().token(algorithm, &claims(json!({})));
    assert!(verify(&jwt, &token(Algorithm::Ps512), NOW).is_ok());
    for algorithm in [Algorithm::Rs256, Algorithm::Rs512, Algorithm::Ps256] {
        assert_eq!(verify(&jwt, &token(algorithm), NOW).unwrap_err(), Refusal::WrongAlgorithm, "{algorithm}");
    }
}

#[test]
fn a_header_that_must_be_understood_is_refused() {
    for more in [r#""crit":["exp"]"#, r#""crit":[]"#, r#""crit":null"#, r#""b64":false"#, r#""zip":"DEF""#] {
        assert_eq!(
            refusal(&with_header(&format!(r#"{{"alg":"HS256",{more}}}"#))),
            Refusal::Critical,
            "{more}"
        );
    }
}

#[test]
fn a_key_in_the_token_itself_is_not_believed() {
    let (mine, jwt) = (Signer::ed25519(), with_keys(vec![Signer::p384().public_key().unwrap()]));
    let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, super::sign::ED25519_X);
    for more in [format!("\"jwk\":{jwk}"), "\"jku\":\"https://evil.example/\"".to_owned()] {
        let header = format!("{{\"alg\":\"EdDSA\",{more}}}");
        let token = mine.token_of(Algorithm::EdDsa, &header, &claims(json!({})).to_string());
        assert_eq!(verify(&jwt, &token, NOW).unwrap_err(), Refusal::UnknownKey);
    }
}

#[test]
fn other_types_and_header_names_do_not_matter() {
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"JWT","cty":"x","x5t":{"a":[1]}}"#,
        r#" { "alg" : "HS256" , "kid" : "any" } "#,
        r#"{"\u0061lg":"HS\u0032\u0035\u0036"}"#,
    ] {
        assert!(verify(&with_secret(), &with_header(header), NOW).is_ok(), "{header}");
    }
}

#[test]
fn what_says_something_twice_is_refused() {
    for header in [r#"{"alg":"none","alg":"HS256"}"#, r#"{"alg":"HS256","\u0061lg":"none"}"#] {
        assert_eq!(refusal(&with_header(header)), Refusal::Malformed, "{header}");
    }
    let text = claims(json!({})).to_string();
    let (_, rest) = text.split_once('{').unwrap();
    assert!(verify(&with_secret(), &with_claims(&format!("{{{rest}")), NOW).is_ok());
    for twice in [r#""sub":"root","#, r#""exp":9999999999,"#, r#""x":{"a":1,"a":2},"#] {
        assert_eq!(refusal(&with_claims(&format!("{{{twice}{rest}"))), Refusal::Malformed, "{twice}");
    }
}

#[test]
fn a_token_has_one_text() {
    let token = secret_token(json!({}));
    assert!(verify(&with_secret(), &token, NOW).is_ok());
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    for other in [
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!(".{header}.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}."),
        format!("{header}.{payload}.+{}", &signature[1..]),
        format!("{header}.{payload}./{}", &signature[1..]),
        format!("{header}.{payload}.{} {}", &signature[..8], &signature[8..]),
        format!("{header}%2E{payload}.{signature}"),
    ] {
        assert_eq!(refusal(&other), Refusal::Malformed, "{other}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for text in ["", "[]", "null", "\"x\"", "7", "{", "{}{}", "{\"alg\":\"HS256\"}x", "\u{feff}{}"] {
        assert_eq!(refusal(&with_header(text)), Refusal::Malformed, "{text}");
        assert_eq!(refusal(&with_claims(text)), Refusal::Malformed, "{text}");
    }
    let signer = Signer::secret(SECRET);
    let signed = format!("{}.{}", encoded(br#"{"alg":"HS256"}"#), encoded(b"{\"iss\":\"\xff\"}"));
    let token = format!("{signed}.{}", encoded(&signer.sign(Algorithm::Hs256, signed.as_bytes())));
    assert_eq!(refusal(&token), Refusal::Malformed, "no UTF-8");
}

#[test]
fn what_is_nested_without_end_is_refused() {
    let nested = |depth: usize| {
        let mut text = claims(json!({})).to_string();
        let inner = format!(",\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        text.replace_range(text.len() - 1.., &inner);
        text
    };
    assert!(verify(&with_secret(), &with_claims(&nested(JSON_DEPTH_MAX - 2)), NOW).is_ok());
    for depth in [JSON_DEPTH_MAX, 2_000] {
        assert_eq!(refusal(&with_claims(&nested(depth))), Refusal::Malformed, "{depth}");
    }
}

#[tokio::test]
async fn a_token_that_is_too_large_is_not_read() {
    let jwt = with_secret();
    let token = secret_token(json!({ "exp": 4_000_000_000_i64, "x": "x".repeat(JWT_BYTES_MAX) }));
    assert!(token.len() > JWT_BYTES_MAX);
    let head = head(&token);
    let attempt = jwt.identify(&Credentials::of(&head, false)).await;
    assert!(matches!(attempt, Attempt::Wrong(ref why) if why == "the token is too large"), "{attempt:?}");
    assert_eq!(Token::read(&".".repeat(JWT_BYTES_MAX + 1)).unwrap_err(), Refusal::TooLarge);
    let id = "k".repeat(JWT_KEY_ID_BYTES_MAX + 1);
    assert_eq!(refusal(&with_header(&format!(r#"{{"alg":"HS256","kid":"{id}"}}"#))), Refusal::Malformed);
}

#[test]
fn signatures_of_other_lengths_and_forms_are_refused() {
    for (signer, algorithms) in Signer::of_every_kind() {
        let jwt = match signer.public_key() {
            Some(key) => with_keys(vec![key]),
            None => with_secret(),
        };
        let token = signer.token(algorithms[0], &claims(json!({})));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = decoded(signature);
        let zeros = vec![0; signature.len()];
        let longer = [&signature[..], &[0]].concat();
        for wrong in
            [&[][..], &signature[1..], &signature[..signature.len() - 1], &longer, &zeros, &[0x30, 0]]
        {
            let token = format!("{signed}.{}", encoded(wrong));
            assert_eq!(verify(&jwt, &token, NOW).unwrap_err(), Refusal::WrongSignature);
        }
    }
}

/// Every bit of a token, one at a time.
fn every_flipped_bit_is_refused(jwt: &Jwt, token: &str) {
    assert!(verify(jwt, token, NOW).is_ok());
    for place in 0..token.len() {
        for bit in 0..8 {
            let mut bytes = token.as_bytes().to_vec();
            bytes[place] ^= 1 << bit;
            // What is no text, or no header, never comes this far.
            let Ok(text) = String::from_utf8(bytes) else { continue };
            if text.bytes().all(|byte| byte.is_ascii_graphic()) {
                assert!(verify(jwt, &text, NOW).is_err(), "bit {bit} of byte {place}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_token_of_a_secret_is_refused() {
    every_flipped_bit_is_refused(&with_secret(), &secret_token(json!({})));
}

#[test]
fn every_flipped_bit_of_a_token_of_a_public_key_is_refused() {
    let signer = Signer::ed25519();
    let jwt = with_keys(vec![signer.public_key().unwrap()]);
    every_flipped_bit_is_refused(&jwt, &signer.token(Algorithm::EdDsa, &claims(json!({}))));
}

proptest! {
    #[test]
    fn no_text_is_taken_and_none_makes_it_panic(text in "\\PC{0,200}") {
        prop_assert!(Token::read(&text).map(|token| token.signature.len()).unwrap_or_default() <= text.len());
    }

    #[test]
    fn no_header_and_no_claims_make_it_panic(header in "\\PC{0,80}", claims in prop::collection::vec(any::<u8>(), 0..80)) {
        let token = format!("{}.{}.AAAA", encoded(header.as_bytes()), encoded(&claims));
        prop_assert!(verify(&with_secret(), &token, NOW).is_err());
    }

    #[test]
    fn nothing_in_the_place_of_a_claim_makes_it_panic(
        name in "(iss|aud|sub|exp|nbf|iat|scope|scp|client_id)",
        value in "(null|true|-?[0-9]{1,30}(\\.[0-9]{1,5})?(e-?[0-9]{1,3})?|\"[a-z:* ]{0,20}\"|\\[[0-9]{0,2}\\]|\\{\\}|\\[\"forebay\",\\{\\}\\])",
    ) {
        let text = claims(json!({ (name.as_str()): null })).to_string();
        let text = text.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        let _ = verify(&with_secret(), &with_claims(&text), NOW);
    }
}

//! Which keys are taken, and which of them a token is tried with.

use serde_json::json;

use super::super::algorithm::Algorithm;
use super::super::key::{KeyError, PublicKey};
use super::super::key_set::{KeySet, KeySetError};
use super::sign::{ED25519_X, P256_X, P256_Y, RSA_N, Signer, decoded, encoded};
use crate::config::limits::{JWT_KEY_ID_BYTES_MAX, JWT_KEYS_MAX, JWT_KEYS_TRIED_MAX};

/// Why a key of a set is not used; `None` if it is.
fn problem(key: serde_json::Value) -> Option<KeyError> {
    let set = json!({ "keys": [key] }).to_string();
    let (keys, skipped) = KeySet::read(set.as_bytes()).unwrap();
    assert_eq!(keys.count() + skipped.as_ref().map_or(0, |skipped| skipped.count), 1);
    skipped.map(|skipped| skipped.first)
}

#[test]
fn keys_that_cannot_be_used_are_passed_over() {
    let rsa = |n: &str, e: &str| problem(json!({ "kty": "RSA", "n": n, "e": e }));
    assert_eq!(rsa(RSA_N, "AQAB"), None);
    assert_eq!(rsa(&encoded(&[vec![0], decoded(RSA_N)].concat()), "AQAB"), None, "a zero in front");
    assert_eq!(rsa(&encoded(&decoded(RSA_N)[1..]), "AQAB"), Some(KeyError::RsaBits(2040)));
    assert_eq!(rsa(&encoded(&decoded(RSA_N).repeat(5)), "AQAB"), Some(KeyError::RsaBits(10_240)));
    for (n, e) in [("", "AQAB"), ("AA", "AQAB")] {
        assert_eq!(rsa(n, e), Some(KeyError::RsaBits(0)), "{n}");
    }
    for e in ["", "AQ", "Ag", "AQAAAAAB", "AQAB="] {
        assert_eq!(rsa(RSA_N, e), Some(KeyError::Damaged), "{e}");
    }
    for (key, expected) in [
        (json!({ "kty": "oct", "k": "AAAA" }), KeyError::Kind),
        (json!({ "kty": "EC", "crv": "P-521", "x": P256_X, "y": P256_Y }), KeyError::Kind),
        (json!({ "kty": "EC", "crv": "secp256k1", "x": P256_X, "y": P256_Y }), KeyError::Kind),
        (json!({ "kty": "EC", "crv": "P-384", "x": P256_X, "y": P256_Y }), KeyError::Damaged),
        (json!({ "kty": "EC", "crv": "P-256", "x": P256_X }), KeyError::Damaged),
        (json!({ "kty": "OKP", "crv": "X25519", "x": ED25519_X }), KeyError::Kind),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }), KeyError::Damaged),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "use": "enc" }), KeyError::Purpose),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "key_ops": ["sign"] }), KeyError::Purpose),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "alg": "RS256" }), KeyError::Kind),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "alg": "ECDH-ES" }), KeyError::Kind),
        (
            json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "kid": "k".repeat(JWT_KEY_ID_BYTES_MAX + 1) }),
            KeyError::Damaged,
        ),
        (json!({ "kty": 7 }), KeyError::Damaged),
        (json!([]), KeyError::Damaged),
        (json!(null), KeyError::Damaged),
    ] {
        assert_eq!(problem(key.clone()), Some(expected), "{key}");
    }
    let verifying = json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "use": "sig", "key_ops": ["verify"], "alg": "EdDSA" });
    assert_eq!(problem(verifying), None);
}

#[test]
fn what_is_no_set_of_keys_is_an_error() {
    for text in ["{}", "[]", "{\"keys\":{}}", "{\"keys\":null}", "7"] {
        assert_eq!(KeySet::read(text.as_bytes()).unwrap_err(), KeySetError::Shape, "{text}");
    }
    for text in ["", "<html>", "{\"keys\":[],\"keys\":[]}", "{\"keys\":[{\"kty\":\"RSA\",\"kty\":\"oct\"}]}"]
    {
        assert!(matches!(KeySet::read(text.as_bytes()), Err(KeySetError::Json(_))), "{text}");
    }
    let many = json!({ "keys": vec![json!({}); JWT_KEYS_MAX + 1] }).to_string();
    assert_eq!(KeySet::read(many.as_bytes()).unwrap_err(), KeySetError::TooMany(JWT_KEYS_MAX + 1));
}

#[test]
fn a_token_is_tried_with_a_few_keys_and_only_with_those_that_it_may_mean() {
    let key = |kid: Option<usize>| {
        let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X });
        if let Some(kid) = kid {
            key["kid"] = json!(kid.to_string());
        }
        key
    };
    let read = |keys: Vec<serde_json::Value>| {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap().0
    };
    let named = read((0..10).map(|kid| key(Some(kid))).collect());
    assert_eq!(named.candidates(Some("7"), Algorithm::EdDsa).count(), 1);
    assert_eq!(named.candidates(Some("17"), Algorithm::EdDsa).count(), 0);
    assert_eq!(named.candidates(None, Algorithm::EdDsa).count(), JWT_KEYS_TRIED_MAX);
    assert_eq!(named.candidates(Some("7"), Algorithm::Es256).count(), 0);
    assert_eq!(read(vec![key(None)]).candidates(Some("7"), Algorithm::EdDsa).count(), 1);
}

#[test]
fn sets_are_the_same_if_their_keys_are() {
    let set = |kid: &str| {
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "kid": kid });
        KeySet::read(json!({ "keys": [key] }).to_string().as_bytes()).unwrap().0
    };
    assert!(set("a").is_same(&set("a")) && !set("a").is_same(&set("b")));
    assert_ne!(set("a").number, set("a").number);
}

#[test]
fn keys_hide_themselves_from_debug() {
    for (signer, _) in Signer::of_every_kind() {
        if let Some(key) = signer.public_key() {
            assert!(format!("{key:?}").chars().all(char::is_alphanumeric));
        }
    }
    let secret = super::super::key::SharedSecret::new(b"hunter2hunter2hunter2hunter2hunter2");
    assert_eq!(format!("{secret:?}"), "<hidden>");
}

/// `SubjectPublicKeyInfo` of an Ed25519 key: RFC 8410, section 4.
#[test]
fn keys_of_pem_files_are_read_by_their_kind() {
    let ed25519 =
        [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00], &decoded(ED25519_X)[..]]
            .concat();
    assert_eq!(PublicKey::of_der(&ed25519), PublicKey::ed25519(&decoded(ED25519_X)));
    let mut of_another_kind = ed25519.clone();
    // X25519 is 1.3.101.110.
    of_another_kind[8] = 0x6e;
    assert!(matches!(PublicKey::of_der(&of_another_kind), Err(KeyError::Kind | KeyError::Damaged)));
    for damaged in [&ed25519[..20], &[&ed25519[..], &[0]].concat(), &[]] {
        assert_eq!(PublicKey::of_der(damaged), Err(KeyError::Damaged));
    }
    for (algorithm, own) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "P256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "P384"),
        (&rcgen::PKCS_ED25519, "Ed25519"),
    ] {
        use rcgen::PublicKeyData;
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        assert_eq!(format!("{:?}", PublicKey::of_der(&pair.subject_public_key_info()).unwrap()), own);
    }
}

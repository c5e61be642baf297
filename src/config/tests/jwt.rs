//! `[[jwt_issuer]]`.

use std::fs;
use std::time::Duration;

use rcgen::{KeyPair, PublicKeyData};

use super::{node_from, printed};
use crate::config::checked::{ClaimName, JwtIssuer, JwtKeys, KeysPlace};
use crate::edge::identity::jwt::algorithm::Algorithm;
use crate::edge::identity::policy::Grant;

const AUTH: &str = "[auth]\ningest = [\"jwt\"]\n";
const ISSUER: &str = "[[jwt_issuer]]\nissuer = \"https://i.example/\"\naudience = [\"forebay\"]\n";
const URL: &str = "jwks_url = \"https://i.example/keys\"\n";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn issuers(text: &str) -> Vec<JwtIssuer> {
    let (node, problems) = node_from(&format!("{AUTH}{text}"));
    node.unwrap_or_else(|| panic!("{text}\n{}", printed(&problems))).auth.jwt_issuers
}

fn issuer(settings: &str) -> JwtIssuer {
    let mut issuers = issuers(&format!("{ISSUER}{settings}"));
    assert_eq!(issuers.len(), 1);
    issuers.remove(0)
}

fn complaints(text: &str) -> String {
    let (node, problems) = node_from(&format!("{AUTH}{text}"));
    assert!(node.is_none(), "{text}");
    printed(&problems).replace("forebay.toml:", "")
}

#[test]
fn an_issuer_with_a_place_of_its_keys_has_defaults_for_all_else() {
    let found = issuer(URL);
    assert_eq!((found.issuer.as_str(), found.audience), ("https://i.example/", vec!["forebay".to_owned()]));
    assert_eq!(found.algorithms, Algorithm::PUBLIC);
    assert_eq!(found.clock_skew, Duration::from_secs(60));
    assert!(found.is_expiry_required && found.allow.is_empty() && found.scopes.is_empty());
    let names = ["scope", "scp"].map(|name| ClaimName::Plain(name.to_owned()));
    assert_eq!(found.scope_claims, names);
    let JwtKeys::Fetched(fetched) = found.keys else { panic!("keys that are fetched") };
    assert!(matches!(fetched.place, KeysPlace::KeySet(url) if url.as_str() == "https://i.example/keys"));
    assert_eq!((fetched.refresh.as_secs(), fetched.outage_grace.as_secs()), (900, 86_400));
    assert!(!fetched.allows_http);
}

#[test]
fn every_setting_of_an_issuer_is_taken_over() {
    let found = issuer(
        "discovery = true\nalgorithms = [\"RS256\", \"EdDSA\"]\nrefresh = \"5m\"\noutage_grace = \"0s\"\nclock_skew = \"0s\"\n\
         require_expiry = false\nscope_claim = \"/realm_access/roles\"\nallow = [\"tap:public\"]\n\
         [jwt_issuer.scopes]\n\"events.write\" = [\"ingest:*\", \"tap:a\"]\n",
    );
    assert_eq!(found.algorithms, [Algorithm::Rs256, Algorithm::EdDsa]);
    assert_eq!((found.clock_skew, found.is_expiry_required), (Duration::ZERO, false));
    let JwtKeys::Fetched(fetched) = &found.keys else { panic!("keys that are fetched") };
    let KeysPlace::Discovery(url) = &fetched.place else { panic!("a discovery document") };
    assert_eq!(url.as_str(), "https://i.example/.well-known/openid-configuration");
    assert_eq!((fetched.refresh.as_secs(), fetched.outage_grace.as_secs()), (300, 0));
    assert!(
        matches!(&found.scope_claims[..], [ClaimName::At(pointer)] if pointer.as_str() == "/realm_access/roles")
    );
    let grants = |texts: &[&str]| texts.iter().map(|text| Grant::parse(text).unwrap()).collect::<Vec<_>>();
    assert_eq!(found.allow, grants(&["tap:public"]));
    assert_eq!(found.scopes["events.write"], grants(&["ingest:*", "tap:a"]));
}

#[test]
fn a_secret_is_long_enough_for_its_algorithms_and_hidden() {
    let found = issuer(&format!("secret = \"{SECRET}\"\n"));
    assert_eq!(found.algorithms, [Algorithm::Hs256]);
    assert!(!format!("{found:?}").contains(SECRET));
    let short = format!("{ISSUER}secret = \"hunter2\"\n");
    assert_eq!(
        complaints(&short),
        "6:10: secret has 7 bytes, and HS256 needs 32\n  help: make one with: openssl rand -base64 48"
    );
    let too_short_for_one = format!("{ISSUER}secret = \"{SECRET}\"\nalgorithms = [\"HS256\", \"HS512\"]\n");
    let found = complaints(&too_short_for_one);
    assert!(found.contains("secret has 32 bytes, and HS512 needs 64") && !found.contains(SECRET), "{found}");
}

#[test]
fn public_keys_come_from_a_file_and_say_what_they_can() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.pem");
    let pem = |algorithm| {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let key = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pair.subject_public_key_info());
        format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n")
    };
    let both = [pem(&rcgen::PKCS_ECDSA_P256_SHA256), pem(&rcgen::PKCS_ED25519)].concat();
    fs::write(&file, both).unwrap();
    let setting = format!("public_key = \"{}\"\n", file.display());
    let found = issuer(&setting);
    assert!(matches!(&found.keys, JwtKeys::Public(keys) if keys.len() == 2), "{found:?}");
    assert_eq!(found.algorithms, [Algorithm::Es256, Algorithm::EdDsa]);
    for (content, message) in [
        ("", "there is no block PUBLIC KEY in it"),
        (
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2Vw\n-----END PUBLIC KEY-----\n",
            "the key is incomplete or damaged",
        ),
        ("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n", "keys.pem: "),
    ] {
        fs::write(&file, content).unwrap();
        let found = complaints(&format!("{ISSUER}{setting}"));
        assert!(
            found.starts_with("6:14: the public key cannot be used: ") && found.contains(message),
            "{found}"
        );
    }
    fs::remove_file(&file).unwrap();
    assert!(complaints(&format!("{ISSUER}{setting}")).contains("No such file"));
}

#[test]
fn every_wrong_setting_of_an_issuer_is_refused() {
    let with = |settings: &str| format!("{ISSUER}{settings}");
    for (text, message) in [
        (String::new(), "there is no [[jwt_issuer]], so that this lets nobody in"),
        (format!("[[jwt_issuer]]\n{URL}"), "missing \"issuer\""),
        (
            format!("[[jwt_issuer]]\nissuer = \"\"\naudience = [\"x\"]\n{URL}"),
            "issuer has 1 to 512 characters",
        ),
        (format!("[[jwt_issuer]]\nissuer = \"i\"\n{URL}"), "missing \"audience\""),
        (
            format!("[[jwt_issuer]]\nissuer = \"i\"\naudience = []\n{URL}"),
            "audience must have 1 to 128 texts",
        ),
        (with(""), "the issuer has no keys"),
        (with(&format!("{URL}discovery = true\n")), "the keys of an issuer come from one place"),
        (with(&format!("{URL}secret = \"{SECRET}\"\n")), "the keys of an issuer come from one place"),
        (with("jwks_url = \"http://i.example/hunter2\"\n"), "jwks_url is no https:// address"),
        (with("jwks_url = \"hunter2\"\n"), "jwks_url is no https:// address"),
        (with("jwks_url = \"ftp://i.example/\"\nallow_http = true\n"), "jwks_url is no https:// address"),
        (
            with(&format!("{URL}algorithms = [\"HS256\"]\n")),
            "\"HS256\" does not go with these keys: write \"RS256\"",
        ),
        (with(&format!("{URL}algorithms = [\"none\"]\n")), "\"none\" does not go with these keys"),
        (
            with(&format!("{URL}algorithms = [\"RS265\"]\n")),
            "\"RS265\" is no algorithm that is known: did you mean \"RS256\"?",
        ),
        (with(&format!("{URL}algorithms = []\n")), "algorithms must not be empty"),
        (
            with(&format!("secret = \"{SECRET}\"\nalgorithms = [\"RS256\"]\n")),
            "\"RS256\" does not go with these keys",
        ),
        (with(&format!("{URL}refresh = \"0s\"\n")), "refresh must be at least 1s"),
        (with(&format!("{URL}refresh = \"2d\"\n")), "refresh must be at most 1d"),
        (with(&format!("{URL}outage_grace = \"8d\"\n")), "outage_grace must be at most 7d"),
        (with(&format!("{URL}clock_skew = \"11m\"\n")), "clock_skew must be at most 10m"),
        (with(&format!("{URL}scope_claim = \"\"\n")), "scope_claim must not be empty"),
        (with(&format!("{URL}scope_claim = \"/a~2\"\n")), "in a JSON pointer"),
        (with(&format!("{URL}allow = [\"web\"]\n")), "\"web\" is no grant"),
        (with(&format!("{URL}[jwt_issuer.scopes]\nx = [\"put:web\"]\n")), "\"put:web\" is no grant"),
        (with(&format!("{URL}[jwt_issuer.scopes]\nx = []\n")), "x must not be empty"),
        (
            with(&format!("{URL}{ISSUER}{URL}")),
            "issuer = \"https://i.example/\" is also that of another [[jwt_issuer]]",
        ),
        (format!("{ISSUER}{URL}").repeat(33), "33 issuers are too many: there may be 32"),
        (with(&format!("{URL}audiance = [\"x\"]\n")), "audiance"),
    ] {
        let found = complaints(&text);
        assert!(found.contains(message), "{text}\n{found}");
        assert!(!found.contains("hunter2") && !found.contains(SECRET), "{found}");
    }
}

#[test]
fn keys_may_come_over_http_from_this_machine_or_where_it_is_allowed() {
    for settings in [
        "jwks_url = \"http://127.0.0.1:1/keys\"\n",
        "jwks_url = \"http://[::1]/keys\"\n",
        "jwks_url = \"http://i.example/keys\"\nallow_http = true\n",
    ] {
        assert!(matches!(issuer(settings).keys, JwtKeys::Fetched(_)), "{settings}");
    }
}

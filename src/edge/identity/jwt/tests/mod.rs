//! Tokens that are right, and many that are not.

mod cache;
mod claims;
mod hostile;
mod keys;
mod refresh;
mod sign;
mod vectors;

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};

use self::sign::Signer;
use super::algorithm::Algorithm;
use super::key::PublicKey;
use super::*;
use crate::config::Secret;
use crate::config::checked::{Allowance, ClaimName, FetchedJwtKeys, JwtKeys, KeysPlace, Limits};
use crate::edge::identity::policy::{Action, Grant};

/// 2023-11-14T22:13:20Z.
const NOW_SECONDS: i64 = 1_700_000_000;
const NOW: UnixMicros = UnixMicros(NOW_SECONDS * 1_000_000);
const ISSUER: &str = "https://i.example/";
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn at(seconds: i64) -> UnixMicros {
    UnixMicros((NOW_SECONDS + seconds) * 1_000_000)
}

/// An issuer whose tokens may be signed in every way that its keys can.
fn issuer(keys: JwtKeys) -> JwtIssuer {
    let algorithms = match &keys {
        JwtKeys::Secret(_) => Algorithm::SECRET.to_vec(),
        JwtKeys::Public(_) | JwtKeys::Fetched(_) => Algorithm::PUBLIC.to_vec(),
    };
    JwtIssuer {
        issuer: ISSUER.to_owned(),
        audience: vec!["forebay".to_owned(), "other-name".to_owned()],
        algorithms,
        keys,
        clock_skew: Duration::from_secs(60),
        is_expiry_required: true,
        scope_claims: ["scope", "scp"].map(|name| ClaimName::Plain(name.to_owned())).into(),
        scopes: [("events.write".to_owned(), vec![Grant::parse("ingest:*").unwrap()])].into(),
        allow: vec![Grant::parse("tap:public").unwrap()],
        allowance: Allowance::default(),
    }
}

fn with_keys(keys: Vec<PublicKey>) -> Jwt {
    jwt(issuer(JwtKeys::Public(keys)))
}

fn with_secret() -> Jwt {
    jwt(issuer(JwtKeys::Secret(Secret::new(SECRET))))
}

fn throttle(registry: &Registry) -> Throttle {
    Throttle::new(&Limits::default(), registry)
}

fn jwt(settings: JwtIssuer) -> Jwt {
    let registry = Registry::new().unwrap();
    Jwt::new(&[settings], (&registry, &throttle(&registry)))
}

/// Claims that are right, with changes; null takes one away.
fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "forebay", "sub": "mobile", "exp": NOW_SECONDS + 600, "iat": NOW_SECONDS, "jti": "x",
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// A head that shows the token.
fn head(token: &str) -> http::request::Parts {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap().into_parts().0
}

fn verify(jwt: &Jwt, token: &str, now: UnixMicros) -> Result<Arc<Principal>, Refusal> {
    let head = head(token);
    let credentials = Credentials::of(&head, false);
    jwt.verify(credentials.bearer().unwrap(), now).map_err(|(refusal, _)| refusal)
}

fn remembered(jwt: &Jwt, token: &str, now: UnixMicros) -> bool {
    let head = head(token);
    let credentials = Credentials::of(&head, false);
    jwt.remembered(credentials.bearer().unwrap(), now).is_some()
}

/// A token of the secret.
fn secret_token(changes: Value) -> String {
    Signer::secret(SECRET).token(Algorithm::Hs256, &claims(changes))
}

#[test]
fn a_token_of_every_algorithm_is_taken_and_no_other_algorithm_fits_its_signature() {
    for (signer, algorithms) in Signer::of_every_kind() {
        let jwt = match signer.public_key() {
            Some(key) => with_keys(vec![key]),
            None => with_secret(),
        };
        for &algorithm in algorithms {
            let token = signer.token(algorithm, &claims(json!({})));
            let principal = verify(&jwt, &token, NOW).unwrap();
            assert_eq!(&*principal.name, "https://i.example/#mobile", "{algorithm}");
            let (_, rest) = token.split_once('.').unwrap();
            for other in Algorithm::PUBLIC.into_iter().chain(Algorithm::SECRET).filter(|it| *it != algorithm)
            {
                let header = sign::encoded(format!("{{\"alg\":\"{other}\"}}").as_bytes());
                assert!(verify(&jwt, &format!("{header}.{rest}"), NOW).is_err(), "{algorithm} as {other}");
            }
        }
    }
}

#[test]
fn a_token_may_do_what_its_scopes_and_its_issuer_allow() {
    let jwt = with_secret();
    let may = |changes: Value, action: Action, stream: &str| {
        let principal = verify(&jwt, &secret_token(changes), NOW).unwrap();
        principal.policy.permits(action, Some(stream))
    };
    // By every token of the issuer.
    assert!(may(json!({}), Action::Tap, "public"));
    assert!(!may(json!({}), Action::Ingest, "web"));
    // By a scope that the configuration knows, and by one that is a grant itself.
    for scope in
        [json!("openid events.write"), json!(["openid", 7, "events.write"]), json!("ingest:web tap:x")]
    {
        assert!(may(json!({ "scope": scope }), Action::Ingest, "web"), "{scope}");
    }
    for scope in [json!("events.write2"), json!("ingest:w"), json!(""), json!([]), json!([["ingest:web"]])] {
        assert!(!may(json!({ "scope": scope }), Action::Ingest, "web"), "{scope}");
    }
    // `scp` counts where there is no `scope`.
    assert!(may(json!({ "scp": ["ingest:web"] }), Action::Ingest, "web"));
    assert!(!may(json!({ "scope": "openid", "scp": "ingest:web" }), Action::Ingest, "web"));
    assert!(!may(json!({ "scp": "ingest:web" }), Action::Admin, "web"));
    assert!(may(json!({ "scope": "dead_letters:web" }), Action::DeadLetters, "web"));
    assert!(!may(json!({ "scope": "tap:web admin:web dead_letters" }), Action::DeadLetters, "web"));
}

#[test]
fn scopes_may_be_in_a_claim_of_another_name_and_inside_others() {
    let scopes_at = |claim: ClaimName, changes: Value| {
        let mut settings = issuer(JwtKeys::Secret(Secret::new(SECRET)));
        settings.scope_claims = vec![claim];
        let principal = verify(&jwt(settings), &secret_token(changes), NOW).unwrap();
        principal.policy.permits(Action::Ingest, Some("web"))
    };
    let at = |pointer: &str| ClaimName::At(crate::json::Pointer::parse(pointer).unwrap());
    let nested = json!({ "realm_access": { "roles": ["ingest:web"] } });
    assert!(scopes_at(at("/realm_access/roles"), nested.clone()));
    assert!(!scopes_at(at("/realm_access/other"), nested.clone()));
    assert!(!scopes_at(at("/realm_access/roles/0"), nested));
    let plain = ClaimName::Plain("https://x.example/roles".to_owned());
    assert!(scopes_at(plain, json!({ "https://x.example/roles": "ingest:web" })));
}

#[tokio::test]
async fn tokens_of_others_may_be_somebody_elses_and_ours_are_right_or_wrong() {
    let jwt = with_secret();
    let attempt = async |token: &str| {
        let head = head(token);
        jwt.identify(&Credentials::of(&head, false)).await
    };
    let far = json!({ "exp": 4_000_000_000_i64 });
    assert!(matches!(attempt(&secret_token(far.clone())).await, Attempt::Is(_)));
    assert!(
        matches!(attempt(&secret_token(json!({}))).await, Attempt::Wrong(why) if why == "the token has expired")
    );
    assert!(matches!(attempt("some-api-key").await, Attempt::Unknown(_)));
    let foreign = secret_token(json!({ "iss": "https://j.example/" }));
    assert!(matches!(attempt(&foreign).await, Attempt::Unknown("tokens of this issuer are not taken")));
    let forged = Signer::secret(&SECRET.replace('0', "1")).token(Algorithm::Hs256, &claims(far));
    assert!(matches!(attempt(&forged).await, Attempt::Wrong(why) if why == "the signature is wrong"));
    let (nothing, ()) = Request::get("/").body(()).unwrap().into_parts();
    assert!(matches!(jwt.identify(&Credentials::of(&nothing, false)).await, Attempt::Absent));
}

#[tokio::test]
async fn a_reload_keeps_issuers_that_are_the_same_and_ends_the_tasks_of_others() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = Registry::new().unwrap();
    let throttle = throttle(&registry);
    let with = (&registry, &throttle);
    let fetched = |name: &str| {
        let place = KeysPlace::KeySet("http://127.0.0.1:1/".parse().unwrap());
        let (refresh, outage_grace) = (Duration::from_secs(60), Duration::ZERO);
        let keys = JwtKeys::Fetched(FetchedJwtKeys { place, refresh, outage_grace, allows_http: false });
        JwtIssuer { issuer: name.to_owned(), ..issuer(keys) }
    };
    let first = Arc::new(Jwt::new(&[fetched("a"), fetched("b")], with));
    let mut keepers = first.key_keepers();
    assert_eq!((keepers.len(), first.key_keepers().len()), (2, 0), "one task each");
    assert!(Arc::ptr_eq(&first, &first.reloaded(&[fetched("b"), fetched("a")], with)));
    let changed = JwtIssuer { clock_skew: Duration::ZERO, ..fetched("b") };
    let second = first.reloaded(&[fetched("a"), changed], with);
    assert!(Arc::ptr_eq(&first.issuers["a"], &second.issuers["a"]));
    assert!(!Arc::ptr_eq(&first.issuers["b"], &second.issuers["b"]));
    assert_eq!(second.key_keepers().len(), 1, "that of the changed one");
    let third = second.reloaded(&[], with);
    drop((first, second));
    assert!(third.issuers.is_empty());
    // Nobody has the issuers any more, so that what kept their keys ends.
    while let Some(keeper) = keepers.pop() {
        keeper.await;
    }
}

#[tokio::test]
async fn what_is_taken_and_refused_is_counted() {
    let registry = Registry::new().unwrap();
    let jwt = Jwt::new(&[issuer(JwtKeys::Secret(Secret::new(SECRET)))], (&registry, &throttle(&registry)));
    let right = secret_token(json!({ "exp": 4_000_000_000_i64 }));
    for token in [&*right, &*right, &secret_token(json!({})), "x"] {
        let head = head(token);
        let _ = jwt.identify(&Credentials::of(&head, false)).await;
    }
    let text = registry.render();
    for line in [
        "forebay_jwt_tokens_total{by=\"signature\"} 1",
        "forebay_jwt_tokens_total{by=\"cache\"} 1",
        "forebay_jwt_refused_total{reason=\"expired\"} 1",
        "forebay_jwt_refused_total{reason=\"malformed\"} 1",
        "forebay_jwt_refused_total{reason=\"no_keys\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

//! What it costs to know whose JSON web token a request shows: one that was verified before, and one that was not.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use forebay::config::Secret;
use forebay::config::checked::{Allowance, ClaimName, JwtIssuer, JwtKeys, Limits};
use forebay::edge::gate::throttle::Throttle;
use forebay::edge::identity::credentials::Credentials;
use forebay::edge::identity::jwt::Jwt;
use forebay::edge::identity::jwt::algorithm::Algorithm;
use forebay::edge::identity::jwt::key::PublicKey;
use forebay::edge::identity::policy::Grant;
use forebay::edge::identity::principal::Attempt;
use forebay::telemetry::metrics::Registry;
use futures_util::FutureExt;
use http::request::Parts;
use mimalloc::MiMalloc;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// As large as those of usual issuers: about 700 bytes.
const CLAIMS: &str = r#"{"iss":"https://login.example.com/","aud":["forebay","https://api.example.com/"],"sub":"mobile-app|0123456789abcdef","exp":4000000000,"iat":1700000000,"nbf":1700000000,"jti":"0f8fad5b-d9cb-469f-a165-70867728950e","azp":"0123456789abcdefghijklmnopqrstuv","scope":"openid profile email events.write","realm_access":{"roles":["offline_access","uma_authorization"]},"name":"A Producer","email":"producer@example.com","email_verified":true}"#;

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A head with a token of `sign`.
fn head(algorithm: Algorithm, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Parts {
    let header = format!("{{\"alg\":\"{algorithm}\",\"typ\":\"JWT\",\"kid\":\"dJbkq2hXcOoX5oTzJwN2ow\"}}");
    let signed = format!("{}.{}", encoded(header.as_bytes()), encoded(CLAIMS.as_bytes()));
    let token = format!("{signed}.{}", encoded(&sign(signed.as_bytes())));
    let request =
        http::Request::post("/v1/streams/web/records").header("authorization", format!("Bearer {token}"));
    let Ok(request) = request.body(()) else { unreachable!("all of it is known to be right") };
    request.into_parts().0
}

fn jwt(algorithm: Algorithm, keys: &JwtKeys) -> Jwt {
    let Ok(registry) = Registry::new() else { unreachable!("the metrics are known to be right") };
    let grants: Vec<Grant> = Grant::parse("ingest:*").into_iter().collect();
    let issuer = JwtIssuer {
        issuer: "https://login.example.com/".to_owned(),
        audience: vec!["forebay".to_owned()],
        algorithms: vec![algorithm],
        keys: keys.clone(),
        clock_skew: Duration::from_secs(60),
        is_expiry_required: true,
        scope_claims: vec![ClaimName::Plain("scope".to_owned())],
        scopes: HashMap::from([("events.write".to_owned(), grants)]),
        allow: Vec::new(),
        allowance: Allowance::default(),
    };
    Jwt::new(&[issuer], (&registry, &Throttle::new(&Limits::default(), &registry)))
}

fn identify(jwt: &Jwt, head: &Parts) {
    let attempt = jwt.identify(&Credentials::of(black_box(head), false)).now_or_never();
    assert!(matches!(attempt, Some(Attempt::Is(_))), "{attempt:?}");
}

fn measure(criterion: &mut Criterion, algorithm: Algorithm, keys: &JwtKeys, head: &Parts) {
    let mut group = criterion.benchmark_group(format!("jwt/{algorithm}"));
    let known = jwt(algorithm, keys);
    group.bench_function("cached", |bencher| bencher.iter(|| identify(&known, head)));
    group.bench_function("uncached", |bencher| {
        bencher.iter_batched(
            || jwt(algorithm, keys),
            |fresh| {
                identify(&fresh, head);
                fresh
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn tokens(criterion: &mut Criterion) {
    let random = SystemRandom::new();
    let secret = |message: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), message).as_ref().to_vec()
    };
    let keys = JwtKeys::Secret(Secret::new(SECRET));
    measure(criterion, Algorithm::Hs256, &keys, &head(Algorithm::Hs256, secret));

    let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).and_then(|pair| {
        Ok(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.as_ref(), &random)?)
    });
    let ed25519 = Ed25519KeyPair::generate_pkcs8(&random)
        .and_then(|pair| Ok(Ed25519KeyPair::from_pkcs8(pair.as_ref())?));
    let (Ok(p256), Ok(ed25519)) = (p256, ed25519) else { unreachable!("keys that were just made") };
    let (x, y) = p256.public_key().as_ref()[1..].split_at(32);
    let keys = JwtKeys::Public(PublicKey::p256(x, y).into_iter().collect());
    let sign = |message: &[u8]| p256.sign(&random, message).map_or(Vec::new(), |it| it.as_ref().to_vec());
    measure(criterion, Algorithm::Es256, &keys, &head(Algorithm::Es256, sign));

    let keys = JwtKeys::Public(PublicKey::ed25519(ed25519.public_key().as_ref()).into_iter().collect());
    let sign = |message: &[u8]| ed25519.sign(message).as_ref().to_vec();
    measure(criterion, Algorithm::EdDsa, &keys, &head(Algorithm::EdDsa, sign));
    rsa(criterion);
}

/// The example of RFC 7515, appendix A.2: its signature alone, as it is another issuer's.
fn rsa(criterion: &mut Criterion) {
    let decoded = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let signed = b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = decoded(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    let key = PublicKey::rsa(&decoded(n), &decoded("AQAB"));
    criterion.bench_function("jwt/RS256/signature_alone", |bencher| {
        bencher.iter(|| {
            let verified =
                key.as_ref().map(|key| key.verify(Algorithm::Rs256, black_box(signed), &signature));
            assert!(matches!(verified, Ok(Ok(()))));
        });
    });
}

criterion_group!(benches, tokens);
criterion_main!(benches);

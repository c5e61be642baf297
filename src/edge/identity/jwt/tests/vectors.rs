//! The examples of RFC 7515 (appendix A), RFC 7517 (appendix A) and RFC 8037 (appendix A).

use super::super::algorithm::Algorithm;
use super::super::key::{KeyError, PublicKey, SharedSecret};
use super::super::key_set::{KeySet, Skipped};
use super::super::refusal::Refusal;
use super::super::token::Token;
use super::sign::{ED25519_X, P256_X, P256_Y, RSA_N, Signer, decoded};

/// The claims of all examples of RFC 7515, and of RFC 7519, section 3.1.
const CLAIMS: &str = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
const PAYLOAD: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn rfc_7515_a_1_hs256() {
    let token = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let secret = SharedSecret::new(&decoded(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    ));
    let token = Token::read(&token).unwrap();
    assert_eq!((token.algorithm, &*token.payload), (Algorithm::Hs256, CLAIMS.as_bytes()));
    assert_eq!(secret.verify(token.algorithm, token.signed, &token.signature), Ok(()));
    assert_eq!(secret.verify(Algorithm::Hs384, token.signed, &token.signature), Err(Refusal::WrongSignature));
    assert_eq!(secret.verify(Algorithm::Rs256, token.signed, &token.signature), Err(Refusal::WrongAlgorithm));
}

#[test]
fn rfc_7515_a_2_rs256() {
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}.{signature}");
    let token = Token::read(&token).unwrap();
    let key = PublicKey::rsa(&decoded(RSA_N), &decoded("AQAB")).unwrap();
    assert_eq!(key.verify(token.algorithm, token.signed, &token.signature), Ok(()));
    assert_eq!(key.verify(Algorithm::Ps256, token.signed, &token.signature), Err(Refusal::WrongSignature));
    assert_eq!(key.verify(Algorithm::Hs256, token.signed, &token.signature), Err(Refusal::WrongAlgorithm));
    // Its signatures are the same each time.
    assert_eq!(Signer::rsa().sign(Algorithm::Rs256, token.signed), token.signature);
}

#[test]
fn rfc_7515_a_3_es256() {
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let token = format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.{signature}");
    let token = Token::read(&token).unwrap();
    let key = PublicKey::p256(&decoded(P256_X), &decoded(P256_Y)).unwrap();
    assert_eq!(key.verify(token.algorithm, token.signed, &token.signature), Ok(()));
    assert_eq!(key.verify(Algorithm::Es384, token.signed, &token.signature), Err(Refusal::WrongAlgorithm));
}

#[test]
fn rfc_7515_a_5_is_not_signed() {
    assert_eq!(
        Token::read(&format!("eyJhbGciOiJub25lIn0.{PAYLOAD}.")).unwrap_err(),
        Refusal::UnknownAlgorithm
    );
}

#[test]
fn rfc_8037_a_4_eddsa() {
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let token = Token::read(token).unwrap();
    assert_eq!(token.payload, b"Example of Ed25519 signing");
    let key = PublicKey::ed25519(&decoded(ED25519_X)).unwrap();
    assert_eq!(key.verify(token.algorithm, token.signed, &token.signature), Ok(()));
    assert_eq!(Signer::ed25519().sign(Algorithm::EdDsa, token.signed), token.signature);
}

#[test]
fn rfc_7517_a_1_has_a_key_for_signatures_and_one_for_something_else() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let set = format!(
        r#"{{"keys":[
            {{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}},
            {{"kty":"RSA","n":"{n}","e":"AQAB","alg":"RS256","kid":"2011-04-29"}}]}}"#
    );
    let (keys, skipped) = KeySet::read(set.as_bytes()).unwrap();
    assert_eq!((keys.count(), skipped), (1, Some(Skipped { count: 1, first: KeyError::Purpose })));
    let found = |id, algorithm| keys.candidates(id, algorithm).count();
    assert_eq!(found(Some("2011-04-29"), Algorithm::Rs256), 1);
    assert_eq!(found(None, Algorithm::Rs256), 1);
    assert_eq!(found(Some("2011-04-29"), Algorithm::Ps256), 0, "it is for RS256");
    assert_eq!(found(Some("1"), Algorithm::Es256), 0);
    assert_eq!(found(Some("2"), Algorithm::Rs256), 0);
}

#[test]
fn rfc_8037_a_1_is_private_and_a_2_is_not() {
    let set = |more: &str| {
        let text = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519"{more},"x":"{ED25519_X}"}}]}}"#);
        KeySet::read(text.as_bytes()).unwrap()
    };
    let (private, skipped) = set(r#","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A""#);
    assert_eq!((private.count(), skipped.unwrap().first), (0, KeyError::Private));
    let (public, skipped) = set("");
    assert_eq!((public.count(), skipped), (1, None));
}

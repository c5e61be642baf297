//! Whatever is changed of a signed request, by one byte, it is refused.

use super::requests::*;
use super::*;

/// A byte that is not `byte`, and that may stand in its place in a head.
fn other(byte: u8) -> u8 {
    match byte {
        b'a'..=b'y' | b'A'..=b'Y' | b'0'..=b'8' => byte + 1,
        b'z' | b'Z' | b'9' => byte - 1,
        _ => b'x',
    }
}

fn changed(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = other(bytes[at]);
    String::from_utf8(bytes).expect("ASCII")
}

fn signed_names(sent: &Sent) -> Vec<String> {
    let authorization = sent.headers.iter().find(|(name, _)| name == "authorization");
    let Some((_, authorization)) = authorization else {
        return ["host", "content-type", "x-amz-target"].map(str::to_owned).to_vec();
    };
    let text = String::from_utf8(authorization.clone()).expect("ASCII");
    let list =
        text.split_once("SignedHeaders=").and_then(|(_, rest)| rest.split_once(',')).expect("a list").0;
    list.split(';').map(str::to_owned).chain(["authorization".to_owned()]).collect()
}

fn must_be_refused(sent: &Sent, what: &str) {
    // A head that HTTP does not know never gets here.
    if sent.head().is_some() {
        let result = sent.judged_by(&identities(), NOW);
        assert!(result.is_err(), "{what}: {sent:?}");
    }
}

#[test]
fn every_changed_byte_of_what_is_signed_is_refused() {
    let requests = [
        usual(),
        with_http_date(),
        with_hash(),
        at_a_path(),
        presigned(),
        of_unsigned_body(),
        in_unsigned_pieces(),
    ];
    for sent in requests {
        assert!(sent.judged_by(&identities(), NOW).is_ok(), "as it was signed");
        for at in 0..sent.method.len() {
            must_be_refused(&Sent { method: changed(&sent.method, at), ..sent.clone() }, "method");
        }
        for at in 1..sent.target.len() {
            must_be_refused(&Sent { target: changed(&sent.target, at), ..sent.clone() }, "target");
        }
        for name in signed_names(&sent) {
            let (_, value) = sent.headers.iter().find(|(known, _)| *known == name).expect("it is there");
            let value = str::from_utf8(value).expect("ASCII").to_owned();
            for at in 0..value.len() {
                let changed = changed(&value, at);
                // White space counts as one, wherever; and between the parts of an Authorization not at all.
                if value.as_bytes()[at] != b' ' {
                    must_be_refused(&sent.with(&name, &changed), &name);
                }
            }
            must_be_refused(&sent.without(&name), &name);
        }
    }
}

#[test]
fn every_changed_byte_of_a_signed_body_is_refused() {
    for sent in [usual(), with_http_date(), with_hash(), presigned()] {
        for at in 0..sent.body.len() {
            for bit in [0, 7] {
                let mut changed = sent.clone();
                changed.body[at] ^= 1 << bit;
                assert_eq!(changed.judged_by(&identities(), NOW), Err(IdentityError::mismatch()));
            }
        }
        for body in [b"".to_vec(), sent.body[1..].to_vec(), [&sent.body[..], b" "].concat()] {
            let changed = Sent { body, ..sent.clone() };
            assert_eq!(changed.judged_by(&identities(), NOW), Err(IdentityError::mismatch()));
        }
    }
}

#[test]
fn headers_and_parameters_cannot_be_added_to_what_is_signed() {
    for name in ["x-amz-target", "content-type", "host", "x-amz-date"] {
        let mut twice = usual();
        let (_, value) = twice.headers.iter().find(|(known, _)| known == name).expect("it is there").clone();
        twice.headers.push((name.to_owned(), value));
        must_be_refused(&twice, name);
    }
    for more in ["?a", "?a=b", "?", "x", "/x", "./x"] {
        if more != "?" {
            must_be_refused(&Sent { target: format!("/{more}"), ..usual() }, more);
        }
    }
    for more in ["&a=b", "&", "&X-Amz-Expires=9", "&X-Amz-Signature=0", "&X-Amz-Security-Token=t"] {
        must_be_refused(&Sent { target: presigned().target + more, ..presigned() }, more);
    }
}

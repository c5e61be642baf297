//! Keys and hashes of Signature Version 4: HMAC-SHA-256 by `ring`, which uses the processor's SHA instructions.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use ring::digest::{Context, SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};

use crate::config::Secret;
use crate::config::limits::SIGNING_KEYS_MAX;

/// What a scope ends with.
pub(super) const TERMINATOR: &str = "aws4_request";

/// SHA-256 as a request tells it: 64 hexadecimal digits in small letters.
pub(super) type Hex = [u8; 64];

/// What a derived key is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    /// `20150830`.
    pub date: String,
    /// Any region.
    pub region: String,
    /// `kinesis` or `firehose`.
    pub service: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

impl Scope {
    /// The key that requests of this scope are signed with.
    pub fn derive(&self, secret: &Secret) -> hmac::Key {
        let first = format!("AWS4{}", secret.reveal());
        let mut key = hmac::Key::new(HMAC_SHA256, first.as_bytes());
        for part in [&self.date, &self.region, &self.service, TERMINATOR] {
            key = hmac::Key::new(HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
        }
        key
    }
}

/// What is signed of a request: its canonical form, which ends with the hash of its body, when, and for what.
pub(super) fn string_to_sign(
    (canonical, payload_hash): (&[u8], &[u8]),
    signed_at: &str,
    scope: &Scope,
) -> String {
    let mut hash = Context::new(&SHA256);
    hash.update(canonical);
    hash.update(payload_hash);
    let hash = hex(hash.finish().as_ref());
    let hash = str::from_utf8(&hash).unwrap_or_default();
    format!("AWS4-HMAC-SHA256\n{signed_at}\n{scope}\n{hash}")
}

/// The hash of `bytes` in hexadecimal digits.
pub(super) fn hex_sha256(bytes: &[u8]) -> Hex {
    hex(digest(&SHA256, bytes).as_ref())
}

/// The first 32 bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> Hex {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'0'; 64];
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        digits.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text
}

/// 32 bytes from their 64 hexadecimal digits in small letters.
pub(super) fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let mut bytes = [0; 32];
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

/// Derived keys of one access key. Deriving costs as much as signing five requests, and a client uses one or two scopes
/// a day; so the last few are kept, in the order in which they came.
#[derive(Default)]
pub(super) struct SigningKeys(RwLock<Vec<(Scope, hmac::Key)>>);

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

impl SigningKeys {
    /// The key of a scope, if it is kept.
    pub fn get(&self, scope: &Scope) -> Option<hmac::Key> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, _)| known == scope).map(|(_, key)| key.clone())
    }

    /// Keeps a key with which a request was signed, in the place of the oldest where there are too many. Keys of
    /// requests that are not signed with them must not come here: anybody could drive the others out.
    pub fn keep(&self, scope: Scope, key: hmac::Key) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().any(|(known, _)| *known == scope) {
            return;
        }
        if kept.len() >= SIGNING_KEYS_MAX {
            kept.remove(0);
        }
        kept.push((scope, key));
    }

    /// How many are kept.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.read().expect("nobody panics with it").len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(region: &str) -> Scope {
        Scope { date: "20150830".to_owned(), region: region.to_owned(), service: "iam".to_owned() }
    }

    #[test]
    fn hexadecimal_digits_are_read_back_and_capitals_are_refused() {
        let bytes: [u8; 32] = std::array::from_fn(|index| (index * 37 % 256) as u8);
        let text = hex(&bytes);
        assert_eq!(unhex(&text), Some(bytes));
        assert_eq!(unhex(&text.to_ascii_uppercase()), None);
        assert_eq!((unhex(&text[..62]), unhex(&text[..63]), unhex(b"")), (None, None, None));
        assert_eq!(unhex(&[&text[..], b"00"].concat()), None);
    }

    /// The key that AWS derives as an example in its documentation.
    #[test]
    fn a_key_is_derived_as_aws_does() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let signed = hmac::sign(&scope("us-east-1").derive(&secret), b"");
        let derived =
            unhex(b"c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9").expect("hex");
        let expected = hmac::sign(&hmac::Key::new(HMAC_SHA256, &derived), b"");
        assert_eq!(signed.as_ref(), expected.as_ref());
    }

    #[test]
    fn the_oldest_key_makes_room() {
        let (keys, secret) = (SigningKeys::default(), Secret::new("s"));
        for index in 0..=SIGNING_KEYS_MAX {
            let scope = scope(&index.to_string());
            keys.keep(scope.clone(), scope.derive(&secret));
            keys.keep(scope.clone(), scope.derive(&secret));
        }
        assert_eq!(keys.len(), SIGNING_KEYS_MAX);
        assert!(keys.get(&scope("0")).is_none() && keys.get(&scope("1")).is_some());
    }
}

//! The keys that an issuer publishes: a JSON Web Key Set (RFC 7517, section 5).

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use thiserror::Error;

use super::algorithm::Algorithm;
use super::key::{KeyError, PublicKey};
use crate::config::limits::{JWT_KEY_ID_BYTES_MAX, JWT_KEYS_MAX, JWT_KEYS_TRIED_MAX};
use crate::json::{self, NotJson};

/// Why an answer is no set of keys.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeySetError {
    /// It is no JSON, or says something twice.
    #[error("it is not JSON: {0}")]
    Json(#[from] NotJson),
    /// It has no list of keys.
    #[error("it is no JSON Web Key Set: an object with \"keys\", a list, is wanted")]
    Shape,
    /// It has more keys than anybody signs with.
    #[error("it has {0} keys, and {JWT_KEYS_MAX} are the most that are taken")]
    TooMany(usize),
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKey {
    /// What tokens call it.
    pub id: Option<String>,
    /// The only way of signing that its issuer uses it for, where that is told.
    pub algorithm: Option<Algorithm>,
    /// The key.
    pub key: PublicKey,
}

impl PublishedKey {
    /// Whether a token that names `id`, or none, may be signed with it by `algorithm`.
    fn is_meant(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        let is_named = match (id, self.id.as_deref()) {
            (Some(wanted), Some(own)) => wanted == own,
            _ => true,
        };
        is_named && self.algorithm.is_none_or(|only| only == algorithm) && self.key.fits(algorithm)
    }
}

/// All keys of an issuer at a time.
#[derive(Debug)]
pub struct KeySet {
    /// A number that no other set of this process has; never 0.
    pub number: u64,
    keys: Vec<PublishedKey>,
}

/// How many of the keys of an answer are not used, and why the first of them is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// How many.
    pub count: usize,
    /// The reason of the first.
    pub first: KeyError,
}

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

impl KeySet {
    /// A set of these.
    pub fn new(keys: Vec<PublishedKey>) -> Self {
        Self { number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed), keys }
    }

    /// Reads an answer. A key that cannot be used is passed over, as RFC 7517 wants it: the issuer may have it for others.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn read(bytes: &[u8]) -> Result<(Self, Option<Skipped>), KeySetError> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let text = json::document(bytes)?;
        let answer: Answer<'_> = serde_json::from_str(text).map_err(|_| KeySetError::Shape)?;
        if answer.keys.len() > JWT_KEYS_MAX {
            return Err(KeySetError::TooMany(answer.keys.len()));
        }
        let mut keys = Vec::with_capacity(answer.keys.len());
        let mut skipped: Option<Skipped> = None;
        for key in answer.keys {
            match published(key.get()) {
                Ok(key) => keys.push(key),
                Err(error) => skipped.get_or_insert(Skipped { count: 0, first: error }).count += 1,
            }
        }
        Ok((Self::new(keys), skipped))
    }

    /// The keys that a token may be signed with: usually one, and never more than a few.
    pub fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &PublicKey> {
        let meant = self.keys.iter().filter(move |key| key.is_meant(id, algorithm));
        meant.take(JWT_KEYS_TRIED_MAX).map(|key| &key.key)
    }

    /// Whether both have the same keys in the same order.
    pub fn is_same(&self, other: &KeySet) -> bool {
        self.keys == other.keys
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }
}

/// What is to be known of a key (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// There in private keys.
    d: Option<IgnoredAny>,
}

fn published(text: &str) -> Result<PublishedKey, KeyError> {
    let jwk: Jwk = serde_json::from_str(text).map_err(|_| KeyError::Damaged)?;
    if jwk.d.is_some() {
        return Err(KeyError::Private);
    }
    let is_for_checking = jwk.r#use.as_deref().is_none_or(|purpose| purpose == "sig")
        && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|it| it == "verify"));
    if !is_for_checking {
        return Err(KeyError::Purpose);
    }
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => PublicKey::rsa(&number(jwk.n)?, &number(jwk.e)?),
        ("EC", Some("P-256")) => PublicKey::p256(&number(jwk.x)?, &number(jwk.y)?),
        ("EC", Some("P-384")) => PublicKey::p384(&number(jwk.x)?, &number(jwk.y)?),
        ("OKP", Some("Ed25519")) => PublicKey::ed25519(&number(jwk.x)?),
        // A secret (`oct`) that everybody can read is none.
        _ => Err(KeyError::Kind),
    }?;
    let algorithm = match jwk.alg.as_deref() {
        None => None,
        Some(name) => Some(Algorithm::named(name).filter(|it| key.fits(*it)).ok_or(KeyError::Kind)?),
    };
    if jwk.kid.as_ref().is_some_and(|id| id.len() > JWT_KEY_ID_BYTES_MAX) {
        return Err(KeyError::Damaged);
    }
    Ok(PublishedKey { id: jwk.kid, algorithm, key })
}

fn number(text: Option<String>) -> Result<Vec<u8>, KeyError> {
    BASE64_URL_SAFE_NO_PAD.decode(text.ok_or(KeyError::Damaged)?).map_err(|_| KeyError::Damaged)
}

//! Tokens that clients hand back: iterators, and places in lists. Authenticated, so that nobody can make one, and good
//! for five minutes.
//!
//! ```text
//! Base64 without padding of: version (1)  key (8)  made (8, microseconds)  content (JSON)  HMAC-SHA256 of all that (16)
//! ```
//!
//! The key comes of `[aws] token_secret` if there is one. Otherwise it is the node's where that has a folder, and lives as
//! long as the process where not. A token of another key is
//! told by what it says of its key, which is no secret: it counts as expired, which clients deal with by asking for
//! another one.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::node::TOKEN_KEY_BYTES;
use crate::runtime::clock::UnixMicros;

/// How long a token is good.
pub const LIFETIME: Duration = Duration::from_secs(300);

const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const MADE_BYTES: usize = 8;
/// Bytes of the code: half of what SHA-256 gives, as RFC 2104 allows.
const CODE_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + MADE_BYTES;

/// What a token is for. One of another kind is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A place in a shard.
    Iterator,
    /// A place in a list of shards.
    Shards,
    /// A place in a list of streams.
    Streams,
    /// A place in a list of consumers.
    Consumers,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// Not made here, or changed.
    Forged,
    /// Made at that time, too long ago or with another key.
    Expired(UnixMicros),
}

/// Makes and opens tokens.
pub struct Seal {
    /// Of this process; `None` if the system has no randomness to give: then no token is good.
    fresh: Option<[u8; TOKEN_KEY_BYTES]>,
    key: OnceLock<SealKey>,
}

struct SealKey {
    key: Option<hmac::Key>,
    id: [u8; KEY_ID_BYTES],
}

impl SealKey {
    fn new(secret: Option<[u8; TOKEN_KEY_BYTES]>) -> Self {
        let key = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &secret));
        let id = key.as_ref().map(|key| hmac::sign(key, b"id of the key of tokens"));
        let id = id.and_then(|id| id.as_ref().first_chunk().copied()).unwrap_or_default();
        Self { key, id }
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

impl Default for Seal {
    fn default() -> Self {
        let mut secret = [0; TOKEN_KEY_BYTES];
        let filled = SystemRandom::new().fill(&mut secret);
        Self { fresh: filled.is_ok().then_some(secret), key: OnceLock::new() }
    }
}

impl Seal {
    /// A key that nobody has; `None` if the system has no randomness to give.
    pub fn fresh_key(&self) -> Option<[u8; TOKEN_KEY_BYTES]> {
        self.fresh
    }

    /// Takes the node's key. To be called before a token is made or opened: later it is too late, and the fresh key stays.
    pub fn adopt(&self, key: [u8; TOKEN_KEY_BYTES]) {
        self.key.get_or_init(|| SealKey::new(Some(key)));
    }

    /// Takes the key that comes of a secret, which other nodes have as well. When, see [`Seal::adopt`].
    pub fn adopt_secret(&self, secret: &[u8]) {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"key of tokens");
        tag.as_ref().first_chunk().copied().into_iter().for_each(|key| self.adopt(key));
    }

    fn key(&self) -> &SealKey {
        self.key.get_or_init(|| SealKey::new(self.fresh))
    }

    /// A token with `content`, made at `now`.
    pub fn seal(&self, kind: TokenKind, content: &(impl Serialize + ?Sized), now: UnixMicros) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.key().id);
        bytes.extend_from_slice(&now.0.to_be_bytes());
        // Tokens are made of texts and numbers, which always serialise.
        bytes.extend_from_slice(&serde_json::to_vec(content).unwrap_or_default());
        let code = self.code(kind, &bytes);
        bytes.extend_from_slice(&code);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token holds, and when it was made.
    ///
    /// # Errors
    /// If it is none of this kind, or too old.
    pub fn open<T: DeserializeOwned>(
        &self,
        kind: TokenKind,
        token: &str,
        now: UnixMicros,
    ) -> Result<T, TokenError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::Forged)?;
        let (content, code) = bytes.split_last_chunk::<CODE_BYTES>().ok_or(TokenError::Forged)?;
        let (head, content_json) = content.split_at_checked(HEAD_BYTES).ok_or(TokenError::Forged)?;
        let made = head.last_chunk::<MADE_BYTES>().map(|made| UnixMicros(i64::from_be_bytes(*made)));
        let made = made.filter(|_| head.first() == Some(&VERSION)).ok_or(TokenError::Forged)?;
        if head.get(1..=KEY_ID_BYTES) != Some(&self.key().id) {
            return Err(TokenError::Expired(made));
        }
        if !same(&self.code(kind, content), code) {
            return Err(TokenError::Forged);
        }
        if now.0.saturating_sub(made.0) > LIFETIME.as_micros() as i64 {
            return Err(TokenError::Expired(made));
        }
        serde_json::from_slice(content_json).map_err(|_| TokenError::Forged)
    }

    fn code(&self, kind: TokenKind, bytes: &[u8]) -> [u8; CODE_BYTES] {
        let Some(key) = &self.key().key else { return fastrand::u128(..).to_be_bytes() };
        let mut context = hmac::Context::with_key(key);
        context.update(&[kind as u8]);
        context.update(bytes);
        let tag = context.sign();
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// Compares in a time that does not depend on where the two differ.
fn same(one: &[u8; CODE_BYTES], other: &[u8; CODE_BYTES]) -> bool {
    let difference = one.iter().zip(other).fold(0, |difference, (one, other)| difference | (one ^ other));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

    fn later(seconds: i64) -> UnixMicros {
        UnixMicros(NOW.0 + seconds * 1_000_000)
    }

    #[test]
    fn a_token_opens_for_five_minutes_and_for_its_kind() {
        let seal = Seal::default();
        let token = seal.seal(TokenKind::Iterator, &("clicks", 7), NOW);
        let open = |kind, now| seal.open::<(String, u32)>(kind, &token, now);
        assert_eq!(open(TokenKind::Iterator, later(300)), Ok(("clicks".to_owned(), 7)));
        assert_eq!(open(TokenKind::Iterator, later(301)), Err(TokenError::Expired(NOW)));
        assert_eq!(open(TokenKind::Shards, NOW), Err(TokenError::Forged));
    }

    #[test]
    fn a_token_of_another_key_has_expired() {
        let token = Seal::default().seal(TokenKind::Iterator, &1, NOW);
        assert_eq!(
            Seal::default().open::<u32>(TokenKind::Iterator, &token, NOW),
            Err(TokenError::Expired(NOW))
        );
    }

    #[test]
    fn a_token_outlives_the_process_with_its_key() {
        let (first, second) = (Seal::default(), Seal::default());
        first.adopt([7; TOKEN_KEY_BYTES]);
        second.adopt([7; TOKEN_KEY_BYTES]);
        let token = first.seal(TokenKind::Iterator, &9, NOW);
        assert_eq!(second.open(TokenKind::Iterator, &token, later(1)), Ok(9));
        assert_eq!(
            second.open::<u32>(TokenKind::Iterator, &token, later(301)),
            Err(TokenError::Expired(NOW))
        );
        // What was made with a key is good as long as that: no other one takes its place.
        second.adopt([8; TOKEN_KEY_BYTES]);
        assert_eq!(second.open(TokenKind::Iterator, &token, later(1)), Ok(9));
    }

    proptest! {
        #[test]
        fn no_text_that_was_not_made_here_opens(text in "[A-Za-z0-9_=-]{0,200}|.{0,40}") {
            prop_assert!(Seal::default().open::<serde_json::Value>(TokenKind::Iterator, &text, NOW).is_err());
        }

        #[test]
        fn no_changed_token_opens(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_-]") {
            let seal = Seal::default();
            let token = seal.seal(TokenKind::Iterator, &("clicks", 7), NOW);
            let index = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(index..=index, &letter);
            prop_assume!(changed != token);
            prop_assert!(seal.open::<(String, u32)>(TokenKind::Iterator, &changed, NOW).is_err());
        }
    }
}

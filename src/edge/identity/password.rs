//! Hashes of passwords: PBKDF2 with HMAC-SHA-256 (RFC 8018), written in the PHC string format.
//!
//! ```text
//! $pbkdf2-sha256$i=600000$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g
//!                iterations  salt             32 bytes; both Base64 without padding
//! ```
//! People choose passwords, so that a stored one must be dear to guess, which it is with as many iterations as OWASP
//! recommends. Keys that nobody guesses need nothing of it: see [`super::api_key`].

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::error::Unspecified;
use ring::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;

/// Iterations of hashes that are made here: what OWASP recommends for HMAC-SHA-256 (2023), 0.1 to 0.2 s of one core.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();
/// Iterations that are taken: with fewer, a stolen file is guessed from too fast; with more, one guess is work for a second
/// and more.
const ITERATIONS_TAKEN: std::ops::RangeInclusive<u32> = 100_000..=10_000_000;
/// Bytes of the salt of hashes that are made here.
const SALT_BYTES: usize = 16;
/// Bytes of salts that are taken.
const SALT_BYTES_TAKEN: std::ops::RangeInclusive<usize> = 8..=64;
/// Bytes of a hash.
const HASH_BYTES: usize = 32;
const ALGORITHM: &str = "pbkdf2-sha256";

/// The hash of a password, with what it takes to make it again.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    hash: [u8; HASH_BYTES],
}

/// The text is no hash that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PasswordHashError {
    /// It has another form, or is of another function.
    #[error("a password's hash has the form $pbkdf2-sha256$i=600000$SALT$HASH")]
    Form,
    /// It is too cheap or too dear.
    #[error("a password's hash has from {} to {} iterations", ITERATIONS_TAKEN.start(), ITERATIONS_TAKEN.end())]
    Iterations,
    /// Salt or hash are no Base64 without padding, or not of a length that is taken.
    #[error("the salt of a password's hash has 8 to 64 bytes, the hash 32, both in Base64 without padding")]
    Bytes,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, hash) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(self.hash));
        write!(f, "${ALGORITHM}$i={}${salt}${hash}", self.iterations)
    }
}

impl PasswordHash {
    /// Hashes a password with a salt of its own. It takes a tenth of a second and more.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn make(password: &[u8], iterations: NonZeroU32) -> Result<Self, Unspecified> {
        let mut salt = vec![0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt)?;
        let mut hash = [0; HASH_BYTES];
        pbkdf2::derive(PBKDF2_HMAC_SHA256, iterations, &salt, password, &mut hash);
        Ok(Self { iterations, salt, hash })
    }

    /// One that no password has, and that takes as long as others to find out.
    pub fn of_nobody() -> Self {
        Self { iterations: ITERATIONS, salt: vec![0; SALT_BYTES], hash: [0; HASH_BYTES] }
    }

    /// Reads the PHC form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PasswordHashError> {
        let parts: Vec<&str> = text.split('$').collect();
        let &["", ALGORITHM, settings, salt, hash] = parts.as_slice() else {
            return Err(PasswordHashError::Form);
        };
        let iterations = settings.strip_suffix(",l=32").unwrap_or(settings).strip_prefix("i=");
        let iterations = iterations.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let iterations = iterations.ok_or(PasswordHashError::Form)?.parse().ok();
        let iterations =
            iterations.filter(|count| ITERATIONS_TAKEN.contains(count)).and_then(NonZeroU32::new);
        let bytes = |text: &str| STANDARD_NO_PAD.decode(text).ok();
        let salt = bytes(salt).filter(|salt| SALT_BYTES_TAKEN.contains(&salt.len()));
        let hash = bytes(hash).and_then(|hash| hash.try_into().ok());
        Ok(Self {
            iterations: iterations.ok_or(PasswordHashError::Iterations)?,
            salt: salt.ok_or(PasswordHashError::Bytes)?,
            hash: hash.ok_or(PasswordHashError::Bytes)?,
        })
    }

    /// Whether it is the hash of `password`. It takes a tenth of a second and more, and as long for one as for another.
    pub fn is_of(&self, password: &[u8]) -> bool {
        pbkdf2::verify(PBKDF2_HMAC_SHA256, self.iterations, &self.salt, password, &self.hash).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: NonZeroU32 = NonZeroU32::new(100_000).unwrap();

    #[test]
    fn a_hash_is_read_back_and_is_of_its_password_alone() {
        let hash = PasswordHash::make("pässword".as_bytes(), FEW).unwrap();
        let read = PasswordHash::parse(&hash.to_string()).unwrap();
        assert_eq!(read, hash);
        assert!(read.is_of("pässword".as_bytes()));
        assert!(!read.is_of(b"password") && !read.is_of(b"") && !PasswordHash::of_nobody().is_of(b""));
        assert_ne!(PasswordHash::make(b"a", FEW).unwrap(), PasswordHash::make(b"a", FEW).unwrap(), "salts");
        assert_eq!(format!("{hash:?}"), "<hidden>");
    }

    /// Made by Python's `hashlib.pbkdf2_hmac("sha256", b"correct horse", b"saltsaltsalt", 100_000)`.
    #[test]
    fn hashes_of_others_are_understood() {
        let hash =
            "$pbkdf2-sha256$i=100000,l=32$c2FsdHNhbHRzYWx0$PRX8wIgdk+UHu11ypgR2OBF1qVGlplmnoq/85qehJw0";
        assert!(PasswordHash::parse(hash).unwrap().is_of(b"correct horse"));
    }

    #[test]
    fn what_is_no_hash_says_why() {
        let hash = PasswordHash::of_nobody().to_string();
        for (from, to, error) in [
            ("pbkdf2-sha256", "argon2id", PasswordHashError::Form),
            ("$pbkdf2", "pbkdf2", PasswordHashError::Form),
            ("i=600000", "i=+600000", PasswordHashError::Form),
            ("i=600000", "600000", PasswordHashError::Form),
            ("i=600000", "i=99999", PasswordHashError::Iterations),
            ("i=600000", "i=99999999999", PasswordHashError::Iterations),
            ("$AAAA", "$A=", PasswordHashError::Bytes),
            ("AAAAAAAAAAAAAAAAAAAAAA$", "AAAA$", PasswordHashError::Bytes),
        ] {
            assert_eq!(PasswordHash::parse(&hash.replacen(from, to, 1)), Err(error), "{from} {to}");
        }
        assert_eq!(PasswordHash::parse(&format!("{hash}$")), Err(PasswordHashError::Form));
        assert_eq!(PasswordHash::parse(&hash[..hash.len() - 2]), Err(PasswordHashError::Bytes));
    }
}

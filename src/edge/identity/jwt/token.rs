//! A token in compact form (RFC 7515, section 7.1): three parts of unpadded Base64 with points between them.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::algorithm::Algorithm;
use super::refusal::Refusal;
use crate::config::limits::{JWT_BYTES_MAX, JWT_KEY_ID_BYTES_MAX};
use crate::json::{self, Kind, Scanner, SyntaxError};

/// A token that has the right form. Nothing of it is believed yet.
#[derive(Debug)]
pub(super) struct Token<'t> {
    /// What the signature is of: the first two parts as they were sent.
    pub signed: &'t [u8],
    /// The way of signing that the header tells.
    pub algorithm: Algorithm,
    /// The key that it names.
    pub key_id: Option<String>,
    /// The second part, decoded: bytes of any kind.
    pub payload: Vec<u8>,
    /// The third part, decoded.
    pub signature: Vec<u8>,
}

/// What is to be known of a header.
#[derive(Debug, Default)]
struct Header {
    algorithm: Option<String>,
    key_id: Option<String>,
}

impl<'t> Token<'t> {
    /// Takes it apart.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] before a byte is decoded, [`Refusal::Malformed`], [`Refusal::Critical`] and
    /// [`Refusal::UnknownAlgorithm`].
    pub fn read(text: &'t str) -> Result<Self, Refusal> {
        if text.len() > JWT_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        // A fourth part would be in the last one, where the alphabet has no point.
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header = Header::read(&decoded(header)?)?;
        let algorithm = header.algorithm.ok_or(Refusal::Malformed)?;
        let algorithm = Algorithm::named(&algorithm).ok_or(Refusal::UnknownAlgorithm)?;
        Ok(Self {
            signed: signed.as_bytes(),
            algorithm,
            key_id: header.key_id,
            payload: decoded(payload)?,
            signature: decoded(signature)?,
        })
    }
}

/// Refuses padding, other alphabets, white space, and bits behind the last byte that are not 0: one token has one text.
fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        // Names that occur twice are refused there, and nesting without end.
        let text = json::document(bytes).map_err(|_| Refusal::Malformed)?;
        let mut scanner = Scanner::new(text);
        if scanner.peek() != Ok(Kind::Object) {
            return Err(Refusal::Malformed);
        }
        Self::scan(&mut scanner).map_err(|_| Refusal::Malformed)?
    }

    fn scan(scanner: &mut Scanner<'_>) -> Result<Result<Self, Refusal>, SyntaxError> {
        let mut header = Self::default();
        let mut first = true;
        scanner.enter_object()?;
        while let Some(name) = scanner.next_key(&mut first)? {
            match &*name.decode() {
                "alg" => header.algorithm = Some(scanner.string()?.decode().into_owned()),
                "kid" => header.key_id = Some(scanner.string()?.decode().into_owned()),
                // What must be understood is not (RFC 7515, section 4.1.11); `b64` changes what is signed (RFC 7797), and
                // `zip` what is read (RFC 7516).
                "crit" | "b64" | "zip" => return Ok(Err(Refusal::Critical)),
                // `jwk`, `jku` and `x5u` would have the token say who may sign it: nobody asks them.
                _ => scanner.skip_value()?,
            }
        }
        let is_long = |text: &Option<String>| text.as_ref().is_some_and(|id| id.len() > JWT_KEY_ID_BYTES_MAX);
        Ok(if is_long(&header.key_id) { Err(Refusal::Malformed) } else { Ok(header) })
    }
}

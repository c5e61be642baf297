//! The broker's side of a login (SASL), for brokers that have none.
//!
//! PLAIN is RFC 4616, SCRAM is RFC 5802 and 7677, OAUTHBEARER is RFC 7628; how they travel is KIP-152.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};
use ring::{digest, hmac, pbkdf2};

use super::answers::{SASL_AUTHENTICATE, SASL_HANDSHAKE};
use super::wire::{Fields, Head, put_string};

const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// What RFC 7677 asks for at least.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4_095);
const SALT: &[u8] = b"salt of the testkit";

/// How a client must log in, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password in clear text.
    Plain {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// Proof of a password, over SHA-256 or SHA-512.
    Scram {
        /// 256 or 512.
        bits: u16,
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// A token.
    OAuthBearer {
        /// The token.
        token: String,
    },
}

impl Login {
    fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { bits: 256, .. } => "SCRAM-SHA-256",
            Self::Scram { .. } => "SCRAM-SHA-512",
            Self::OAuthBearer { .. } => "OAUTHBEARER",
        }
    }
}

/// A login of one connection.
#[derive(Debug)]
pub(super) struct Talk {
    login: Login,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Handshake,
    First,
    /// What of SCRAM's exchange is proved: the client's first message without its head, and the server's.
    Proof {
        client_first: String,
        server_first: String,
    },
    Over,
}

/// The client is not who it should be, or does not speak as it should.
struct Refused;

impl Talk {
    pub(super) fn new(login: Login) -> Self {
        Self { login, step: Step::Handshake }
    }

    /// Whether the client is logged in.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.step, Step::Over)
    }

    /// The answer from the correlation id on; `None` to what only may come behind a login.
    pub(super) fn answer(&mut self, head: Head, mut fields: Fields<'_>) -> Option<Vec<u8>> {
        fields.string()?;
        let mut out = BytesMut::new();
        out.put_i32(head.correlation);
        match (head.api, &self.step) {
            (SASL_HANDSHAKE, Step::Handshake) => {
                let mechanism = self.login.mechanism();
                let is_meant = fields.string()?.get(2..) == Some(mechanism.as_bytes());
                out.put_i16(if is_meant { 0 } else { UNSUPPORTED_SASL_MECHANISM });
                out.put_i32(1);
                put_string(&mut out, mechanism);
                self.step = Step::First;
            }
            (SASL_AUTHENTICATE, Step::First | Step::Proof { .. }) => {
                let said = self.hear(fields.bytes()?);
                out.put_i16(if said.is_ok() { 0 } else { SASL_AUTHENTICATION_FAILED });
                match &said {
                    Ok(_) => out.put_i16(-1),
                    Err(Refused) => put_string(&mut out, "the testkit does not know this client"),
                }
                let said = said.unwrap_or_default();
                out.put_i32(said.len().try_into().ok()?);
                out.put_slice(said.as_bytes());
                if head.version >= 1 {
                    out.put_i64(0);
                }
            }
            _ => return None,
        }
        Some(out.to_vec())
    }

    fn hear(&mut self, said: &[u8]) -> Result<String, Refused> {
        let said = std::str::from_utf8(said).map_err(|_| Refused)?;
        let (is_known, answer) = match (&self.login, &self.step) {
            (Login::Plain { username, password }, _) => {
                let mut parts = said.split('\0').skip(1);
                (parts.next() == Some(username) && parts.next() == Some(password), String::new())
            }
            (Login::OAuthBearer { token }, _) => {
                let wanted = format!("auth=Bearer {token}");
                (said.split('\x01').any(|part| part == wanted), String::new())
            }
            (Login::Scram { username, .. }, Step::First) => {
                let client_first = said.splitn(3, ',').nth(2).ok_or(Refused)?;
                let name = attribute(client_first, 'n')?.replace("=2C", ",").replace("=3D", "=");
                let nonce = attribute(client_first, 'r')?;
                let server_first = format!("r={nonce}testkit,s={},i={ROUNDS}", STANDARD.encode(SALT));
                let is_known = name == *username;
                let answer = server_first.clone();
                self.step = Step::Proof { client_first: client_first.to_owned(), server_first };
                // The login is not over by this.
                return if is_known { Ok(answer) } else { Err(Refused) };
            }
            (Login::Scram { bits, password, .. }, Step::Proof { client_first, server_first }) => {
                let (without_proof, proof) = said.rsplit_once(",p=").ok_or(Refused)?;
                let is_of_this = attribute(without_proof, 'r')? == attribute(server_first, 'r')?;
                let proof = STANDARD.decode(proof).map_err(|_| Refused)?;
                let message = format!("{client_first},{server_first},{without_proof}");
                let (wanted, signature) = Scram::of(*bits).prove(password, message.as_bytes());
                (is_of_this && proof == wanted, format!("v={}", STANDARD.encode(signature)))
            }
            (Login::Scram { .. }, Step::Handshake | Step::Over) => return Err(Refused),
        };
        if !is_known {
            return Err(Refused);
        }
        self.step = Step::Over;
        Ok(answer)
    }
}

/// The value of an attribute of a message of SCRAM.
fn attribute(message: &str, name: char) -> Result<&str, Refused> {
    let is_it = |part: &&str| part.starts_with(name) && part[name.len_utf8()..].starts_with('=');
    message.split(',').find(is_it).and_then(|part| part.get(2..)).ok_or(Refused)
}

struct Scram {
    pbkdf2: pbkdf2::Algorithm,
    hmac: hmac::Algorithm,
    digest: &'static digest::Algorithm,
}

impl Scram {
    fn of(bits: u16) -> Self {
        if bits == 256 {
            let pbkdf2 = pbkdf2::PBKDF2_HMAC_SHA256;
            return Self { pbkdf2, hmac: hmac::HMAC_SHA256, digest: &digest::SHA256 };
        }
        Self { pbkdf2: pbkdf2::PBKDF2_HMAC_SHA512, hmac: hmac::HMAC_SHA512, digest: &digest::SHA512 }
    }

    /// The client's proof and the server's signature.
    fn prove(&self, password: &str, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut salted = vec![0; self.digest.output_len()];
        pbkdf2::derive(self.pbkdf2, ROUNDS, SALT, password.as_bytes(), &mut salted);
        let client_key = self.sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.digest, &client_key);
        let client_signature = self.sign(stored_key.as_ref(), message);
        let proof =
            client_key.iter().zip(&client_signature).map(|(key, signature)| key ^ signature).collect();
        let server_key = self.sign(&salted, b"Server Key");
        (proof, self.sign(&server_key, message))
    }

    fn sign(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.hmac, key), message).as_ref().to_vec()
    }
}

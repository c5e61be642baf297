//! Keys that know what they are for. A key of one kind verifies the algorithms of that kind and no others: the public
//! key of an issuer can never be taken for a secret that tokens are signed with.

use std::fmt;

use ring::hmac;
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use thiserror::Error;
use x509_parser::oid_registry::OID_SIG_ED25519;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::Algorithm;
use super::refusal::Refusal;

/// Bits of the modulus of an RSA key: the least that RFC 7518 allows, and the most that *ring* takes.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Bytes of the exponent of an RSA key, of which *ring* takes 33 bits.
const RSA_EXPONENT_BYTES_MAX: usize = 5;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It is of a kind that is not known here.
    #[error("keys of this kind are not supported: RSA, P-256, P-384 and Ed25519 are")]
    Kind,
    /// Its numbers are none, or there are too few.
    #[error("the key is incomplete or damaged")]
    Damaged,
    /// It is too short, or too long.
    #[error("an RSA key has from 2048 to 8192 bits, and this one has {0}")]
    RsaBits(usize),
    /// It is for something else.
    #[error("the key is not for checking signatures")]
    Purpose,
    /// Whoever can read it can sign with it.
    #[error("the key is a private one")]
    Private,
}

/// The key of somebody who signs, which everybody may see.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// Modulus and exponent, without zeros in front.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256([u8; 65]),
    /// An uncompressed point.
    P384([u8; 97]),
    /// As RFC 8032 writes it.
    Ed25519([u8; 32]),
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PublicKey::Rsa { .. } => "Rsa",
            PublicKey::P256(_) => "P256",
            PublicKey::P384(_) => "P384",
            PublicKey::Ed25519(_) => "Ed25519",
        })
    }
}

impl PublicKey {
    /// An RSA key of two numbers in big-endian order.
    ///
    /// # Errors
    /// [`KeyError::RsaBits`] and [`KeyError::Damaged`].
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let [n, e] = [n, e].map(|number| {
            let zeros = number.iter().take_while(|&&byte| byte == 0).count();
            number.get(zeros..).unwrap_or_default()
        });
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !RSA_BITS.contains(&bits) {
            return Err(KeyError::RsaBits(bits));
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        if !is_odd(n) || !is_odd(e) || e == [1] || e.len() > RSA_EXPONENT_BYTES_MAX {
            return Err(KeyError::Damaged);
        }
        Ok(PublicKey::Rsa { n: n.to_vec(), e: e.to_vec() })
    }

    /// A point of P-256, by its coordinates.
    ///
    /// # Errors
    /// [`KeyError::Damaged`] if they have not the length that they must have.
    pub fn p256(x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        point(x, y).map(PublicKey::P256)
    }

    /// A point of P-384, by its coordinates.
    ///
    /// # Errors
    /// As above.
    pub fn p384(x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        point(x, y).map(PublicKey::P384)
    }

    /// A key of Ed25519.
    ///
    /// # Errors
    /// As above.
    pub fn ed25519(x: &[u8]) -> Result<Self, KeyError> {
        x.try_into().map(PublicKey::Ed25519).map_err(|_| KeyError::Damaged)
    }

    /// What a PEM block `PUBLIC KEY` holds (RFC 5280: `SubjectPublicKeyInfo`).
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn of_der(der: &[u8]) -> Result<Self, KeyError> {
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyError::Damaged)?;
        if !rest.is_empty() {
            return Err(KeyError::Damaged);
        }
        if info.algorithm.algorithm == OID_SIG_ED25519 {
            return Self::ed25519(&info.subject_public_key.data);
        }
        match info.parsed().map_err(|_| KeyError::Damaged)? {
            Parsed::RSA(rsa) => Self::rsa(rsa.modulus, rsa.exponent),
            Parsed::EC(ec) => {
                let curve = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
                let curve = curve.ok_or(KeyError::Damaged)?;
                let (form, coordinates) = ec.data().split_first().ok_or(KeyError::Damaged)?;
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                match curve.to_id_string().as_str() {
                    _ if *form != UNCOMPRESSED => Err(KeyError::Damaged),
                    P256 => Self::p256(x, y),
                    P384 => Self::p384(x, y),
                    _ => Err(KeyError::Kind),
                }
            }
            _ => Err(KeyError::Kind),
        }
    }

    /// Whether `signature` is of `message` and of this key, by `algorithm`.
    ///
    /// # Errors
    /// [`Refusal::WrongAlgorithm`] where such a key does not sign like that, and [`Refusal::WrongSignature`].
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let verified = match (self, algorithm) {
            (PublicKey::Rsa { n, e }, _) => {
                let parameters = rsa_parameters(algorithm).ok_or(Refusal::WrongAlgorithm)?;
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (PublicKey::P256(point), Algorithm::Es256) => {
                verify(&signature::ECDSA_P256_SHA256_FIXED, point, message, signature)
            }
            (PublicKey::P384(point), Algorithm::Es384) => {
                verify(&signature::ECDSA_P384_SHA384_FIXED, point, message, signature)
            }
            (PublicKey::Ed25519(key), Algorithm::EdDsa) => {
                verify(&signature::ED25519, key, message, signature)
            }
            _ => return Err(Refusal::WrongAlgorithm),
        };
        verified.map_err(|_| Refusal::WrongSignature)
    }

    /// Whether such a key signs like that.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            PublicKey::Rsa { .. } => rsa_parameters(algorithm).is_some(),
            PublicKey::P256(_) => algorithm == Algorithm::Es256,
            PublicKey::P384(_) => algorithm == Algorithm::Es384,
            PublicKey::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }
}

/// The object identifiers of the curves (RFC 5480, section 2.1.1.1).
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";

/// The first byte of a point that is written with both coordinates (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;

fn point<const BYTES: usize>(x: &[u8], y: &[u8]) -> Result<[u8; BYTES], KeyError> {
    if x.len() != y.len() {
        return Err(KeyError::Damaged);
    }
    [&[UNCOMPRESSED], x, y].concat().try_into().map_err(|_| KeyError::Damaged)
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn verify(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), ring::error::Unspecified> {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature)
}

/// A secret that an issuer signs with, and we check with.
pub struct SharedSecret {
    sha256: hmac::Key,
    sha384: hmac::Key,
    sha512: hmac::Key,
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

impl SharedSecret {
    /// Takes the bytes of the text.
    pub fn new(secret: &[u8]) -> Self {
        Self {
            sha256: hmac::Key::new(hmac::HMAC_SHA256, secret),
            sha384: hmac::Key::new(hmac::HMAC_SHA384, secret),
            sha512: hmac::Key::new(hmac::HMAC_SHA512, secret),
        }
    }

    /// Whether `signature` is of `message` and of this secret, by `algorithm`; in a time that does not depend on where
    /// the first difference is.
    ///
    /// # Errors
    /// As [`PublicKey::verify`].
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let key = match algorithm {
            Algorithm::Hs256 => &self.sha256,
            Algorithm::Hs384 => &self.sha384,
            Algorithm::Hs512 => &self.sha512,
            _ => return Err(Refusal::WrongAlgorithm),
        };
        hmac::verify(key, message, signature).map_err(|_| Refusal::WrongSignature)
    }
}

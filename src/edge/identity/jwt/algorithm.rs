//! What tokens are signed with, by its name in RFC 7518 (JSON Web Algorithms) and RFC 8037 (Ed25519).

use std::fmt;

/// A way of signing. `none` is not one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256, and a salt as long as the hash.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

use Algorithm::{EdDsa, Es256, Es384, Hs256, Hs384, Hs512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};

impl Algorithm {
    /// Those that public keys verify.
    pub const PUBLIC: [Algorithm; 9] = [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, Es256, Es384, EdDsa];
    /// Those that need a secret.
    pub const SECRET: [Algorithm; 3] = [Hs256, Hs384, Hs512];

    /// As `alg` has it.
    pub fn name(self) -> &'static str {
        match self {
            Rs256 => "RS256",
            Rs384 => "RS384",
            Rs512 => "RS512",
            Ps256 => "PS256",
            Ps384 => "PS384",
            Ps512 => "PS512",
            Es256 => "ES256",
            Es384 => "ES384",
            EdDsa => "EdDSA",
            Hs256 => "HS256",
            Hs384 => "HS384",
            Hs512 => "HS512",
        }
    }

    /// The one of that name, letter by letter.
    pub fn named(name: &str) -> Option<Self> {
        Self::PUBLIC.into_iter().chain(Self::SECRET).find(|algorithm| algorithm.name() == name)
    }

    /// Whether it needs a secret that the issuer and we share.
    pub fn needs_secret(self) -> bool {
        Self::SECRET.contains(&self)
    }

    /// The least bytes of a secret: those of the hash (RFC 7518, section 3.2). 0 where there is none.
    pub fn secret_bytes_min(self) -> usize {
        match self {
            Hs256 => 32,
            Hs384 => 48,
            Hs512 => 64,
            _ => 0,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_has_exactly_one_name() {
        for algorithm in Algorithm::PUBLIC.into_iter().chain(Algorithm::SECRET) {
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
            assert_eq!(algorithm.needs_secret(), algorithm.secret_bytes_min() > 0);
        }
        for name in
            ["none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", "ES512", "ES256K", "HS1", "Ed25519"]
        {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
    }
}

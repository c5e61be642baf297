//! Who a request is from.

use std::sync::Arc;

use super::policy::Policy;

/// How somebody proves who they are. The words are those of `[auth]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// A key of `[[api_key]]`.
    ApiKey,
    /// A token of a `[[jwt_issuer]]`.
    Jwt,
}

impl IdentityKind {
    /// Every kind, with its word in the configuration.
    pub const WORDS: [(&'static str, IdentityKind); 2] =
        [("api_key", IdentityKind::ApiKey), ("jwt", IdentityKind::Jwt)];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            IdentityKind::ApiKey => "api_key",
            IdentityKind::Jwt => "jwt",
        }
    }

    /// The table of the configuration that has those who prove themselves by it.
    pub fn table(self) -> &'static str {
        match self {
            IdentityKind::ApiKey => "api_key",
            IdentityKind::Jwt => "jwt_issuer",
        }
    }

    /// The scheme of `WWW-Authenticate` by which a client is asked for it.
    pub fn challenge(self) -> &'static str {
        match self {
            IdentityKind::ApiKey | IdentityKind::Jwt => "Bearer realm=\"forebay\"",
        }
    }
}

/// Somebody who is known, and what they may do.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The name in logs and metrics; not secret.
    pub name: Arc<str>,
    /// How they have proved it.
    pub kind: IdentityKind,
    /// What they may do.
    pub policy: Policy,
}

/// What a kind of identity makes of a request.
#[derive(Debug)]
pub enum Attempt {
    /// Nothing in the request is of this kind.
    Absent,
    /// Something may be of this kind, or of another one that looks the same, and is not known here. The words are for
    /// the case that it is no other's either.
    Unknown(&'static str),
    /// It is this principal.
    Is(Arc<Principal>),
    /// It is of this kind, and nobody's. The words say why, and quote nothing of the request.
    Wrong(&'static str),
    /// It may be right: what would tell is not to be reached at the moment. The words say what.
    Unavailable(&'static str),
}

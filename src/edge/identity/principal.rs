//! Who a request is from.

use std::borrow::Cow;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::attributes::Attributes;
use super::body_claim::BodyClaim;
use super::policy::Policy;
use crate::config::checked::Allowance;
use crate::edge::gate::throttle::Throttle;
use crate::edge::gate::throttle::addresses::ClientKey;
use crate::edge::gate::throttle::fair::Competitor;
use crate::edge::gate::throttle::standing::Standing;

/// How somebody proves who they are. The words are those of `[auth]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// A key of `[[api_key]]`.
    ApiKey,
    /// A name and a password of `[[basic_user]]`.
    Basic,
    /// A certificate of `[[client_certificate]]`.
    ClientCertificate,
    /// Whatever the service of `[authorizer]` knows them by.
    Http,
    /// A signature by the secret of a webhook.
    Hmac,
    /// A signature by an access key.
    SignatureV4,
    /// A token of a `[[jwt_issuer]]`.
    Jwt,
}

impl IdentityKind {
    /// Every kind, with its word in the configuration.
    pub const WORDS: [(&'static str, IdentityKind); 7] = [
        ("api_key", IdentityKind::ApiKey),
        ("basic", IdentityKind::Basic),
        ("client_certificate", IdentityKind::ClientCertificate),
        ("hmac", IdentityKind::Hmac),
        ("http", IdentityKind::Http),
        ("jwt", IdentityKind::Jwt),
        ("signature_v4", IdentityKind::SignatureV4),
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            IdentityKind::ApiKey => "api_key",
            IdentityKind::Basic => "basic",
            IdentityKind::ClientCertificate => "client_certificate",
            IdentityKind::Hmac => "hmac",
            IdentityKind::Http => "http",
            IdentityKind::SignatureV4 => "signature_v4",
            IdentityKind::Jwt => "jwt",
        }
    }

    /// The table of the configuration with those who are known by it.
    pub fn table(self) -> &'static str {
        match self {
            IdentityKind::ApiKey => "[[api_key]]",
            IdentityKind::Jwt => "[[jwt_issuer]]",
            IdentityKind::Basic => "[[basic_user]]",
            IdentityKind::ClientCertificate => "[[client_certificate]]",
            IdentityKind::Hmac => "[[webhook]]",
            IdentityKind::Http => "[authorizer]",
            IdentityKind::SignatureV4 => "[[access_key]]",
        }
    }

    /// The scheme of `WWW-Authenticate` by which a client is asked for it. Not for all of them is one registered.
    pub fn challenge(self) -> &'static str {
        match self {
            IdentityKind::ApiKey | IdentityKind::Http | IdentityKind::Jwt => "Bearer realm=\"forebay\"",
            IdentityKind::Basic => "Basic realm=\"forebay\", charset=\"UTF-8\"",
            IdentityKind::ClientCertificate => "ClientCertificate",
            IdentityKind::Hmac => "HMAC",
            IdentityKind::SignatureV4 => "AWS4-HMAC-SHA256",
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
    /// How much of it, and what they have had; by default nothing limits them.
    pub standing: Standing,
    /// What whoever has proved it says of it besides.
    pub attributes: Option<Arc<Attributes>>,
}

impl Principal {
    /// One of those that the configuration names. What it has taken so far is known to `throttle`.
    pub fn named(
        kind: IdentityKind,
        name: &str,
        (policy, allowance): (&Policy, Allowance),
        throttle: &Throttle,
    ) -> Arc<Self> {
        let name = Arc::from(name);
        let standing = throttle.standing(kind.as_str(), &name, allowance);
        Arc::new(Self { name, kind, policy: policy.clone(), standing, attributes: None })
    }

    /// Who competes for memory with others.
    pub fn competitor(&self) -> Competitor {
        let by_name = || Competitor::Client(ClientKey::Name(xxh3_64(self.name.as_bytes())), 1);
        self.standing.competes.clone().unwrap_or_else(by_name)
    }
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
    /// It is this principal, if the body says the same.
    IsIf(Arc<Principal>, BodyClaim),
    /// It is of this kind, and nobody's. The words say why, and quote nothing of the request.
    Wrong(Cow<'static, str>),
    /// It is somebody, who may not do it, for this reason.
    Denied(&'static str),
    /// It cannot be told at the moment, for this reason.
    Unavailable(&'static str),
}

//! One issuer: its keys, and the rules for its tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::claims::{Claims, Validity};
use super::fetch::HttpSource;
use super::key::{PublicKey, SharedSecret};
use super::key_set::{KeySet, PublishedKey};
use super::refresh::{FetchedKeys, Keeping};
use super::refusal::Refusal;
use super::token::Token;
use crate::config::checked::{FetchedJwtKeys, JwtIssuer, JwtKeys};
use crate::config::limits::JWT_GRANTS_MAX;
use crate::edge::gate::throttle::Throttle;
use crate::edge::gate::throttle::subjects::Source;
use crate::edge::identity::policy::{Grant, Policy};
use crate::edge::identity::principal::{IdentityKind, Principal};
use crate::telemetry::metrics::Registry;

/// Somebody whose tokens are taken.
#[derive(Debug)]
pub(super) struct Issuer {
    pub settings: JwtIssuer,
    pub keys: Keys,
    /// What its subjects may take, and have.
    source: Arc<Source>,
}

/// What its tokens are checked with.
#[derive(Debug)]
pub(super) enum Keys {
    /// Keys that it publishes.
    Fetched(Refreshed),
    /// Keys that it has told once.
    Public(KeySet),
    /// A secret that it shares with us.
    Secret(Box<SharedSecret>),
}

/// Keys with a task that keeps them, which ends with this.
#[derive(Debug)]
pub(super) struct Refreshed {
    pub keys: Arc<FetchedKeys>,
    rules: FetchedJwtKeys,
    is_kept: AtomicBool,
    ends: CancellationToken,
    _end: DropGuard,
}

/// The number of keys that do not change.
const UNCHANGING: u64 = 0;

impl Issuer {
    /// With what `settings` say. Keys that it publishes are not there before [`Issuer::keep_keys`].
    /// What its subjects have taken so far is known to `throttle`.
    pub fn new(settings: &JwtIssuer, (registry, throttle): (&Registry, &Throttle)) -> Self {
        let keys = match &settings.keys {
            JwtKeys::Secret(secret) => Keys::Secret(Box::new(SharedSecret::new(secret.reveal().as_bytes()))),
            JwtKeys::Public(keys) => {
                let published =
                    |key: &PublicKey| PublishedKey { id: None, algorithm: None, key: key.clone() };
                Keys::Public(KeySet::new(keys.iter().map(published).collect()))
            }
            JwtKeys::Fetched(rules) => {
                let (refresh, grace) = (rules.refresh, rules.outage_grace);
                let keeping = Keeping { issuer: settings.issuer.clone(), refresh, grace };
                let keys = Arc::new(FetchedKeys::new(keeping, registry.jwt_keys(&settings.issuer)));
                let ends = CancellationToken::new();
                let _end = ends.clone().drop_guard();
                Keys::Fetched(Refreshed {
                    keys,
                    rules: rules.clone(),
                    is_kept: AtomicBool::new(false),
                    ends,
                    _end,
                })
            }
        };
        let source = throttle.source(IdentityKind::Jwt.as_str(), &settings.issuer, settings.allowance);
        Self { settings: settings.clone(), keys, source }
    }

    /// What keeps its keys, for a task of its own, which ends with the issuer. Given once.
    pub fn keep_keys(&self) -> Option<impl Future<Output = ()> + Send + 'static + use<>> {
        let Keys::Fetched(Refreshed { keys, rules, ends, is_kept, .. }) = &self.keys else { return None };
        if is_kept.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (issuer, place) = (self.settings.issuer.clone(), rules.place.clone());
        let source = HttpSource::new(&issuer, place, rules.allows_http);
        let (keys, ends) = (Arc::clone(keys), ends.clone());
        Some(async move {
            match source {
                Ok(source) => {
                    tokio::select! {
                        () = ends.cancelled() => {}
                        () = keys.run(source) => {}
                    }
                }
                Err(error) => {
                    tracing::error!(issuer, %error, "no keys can be fetched: tokens of the issuer are refused");
                }
            }
        })
    }

    /// Whether the token was signed with its key. Returns the number of the keys, for [`Issuer::has_still`].
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_signature(&self, token: &Token<'_>) -> Result<u64, Refusal> {
        let Token { signed, algorithm, signature, .. } = token;
        if !self.settings.algorithms.contains(algorithm) {
            return Err(Refusal::WrongAlgorithm);
        }
        match &self.keys {
            Keys::Secret(secret) => secret.verify(*algorithm, signed, signature).map(|()| UNCHANGING),
            Keys::Public(keys) => check_with(keys, token, None).map(|()| UNCHANGING),
            Keys::Fetched(fetched) => {
                let keys = fetched.keys.current()?;
                check_with(&keys, token, token.key_id.as_deref()).map(|()| keys.number)
            }
        }
    }

    /// Who a token is about, and what they may do: what the issuer allows everybody, and what the scopes allow.
    ///
    /// # Errors
    /// [`Refusal::BadClaim`].
    pub fn principal(&self, claims: &Claims) -> Result<Principal, Refusal> {
        let name = format!("{}#{}", self.settings.issuer, claims.subject()?);
        let mut grants = self.settings.allow.clone();
        for scope in claims.scopes(&self.settings.scope_claims)? {
            match self.settings.scopes.get(scope) {
                Some(mapped) => grants.extend_from_slice(mapped),
                None => grants.extend(Grant::parse(scope)),
            }
        }
        if grants.len() > JWT_GRANTS_MAX {
            return Err(Refusal::BadClaim);
        }
        let (name, policy): (Arc<str>, _) = (name.into(), Policy::new(grants));
        let standing = self.source.standing(&name);
        let attributes = claims.attributes();
        Ok(Principal { name, kind: IdentityKind::Jwt, policy, standing, attributes })
    }

    /// Whether a token is for us, and when it is taken.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_claims(&self, claims: &Claims) -> Result<Validity, Refusal> {
        claims.check_audience(&self.settings.audience)?;
        claims.validity(&self.settings)
    }

    /// Whether what was checked with the keys of that number still holds.
    pub fn has_still(&self, number: u64) -> bool {
        match &self.keys {
            Keys::Fetched(fetched) => fetched.keys.is_current(number),
            Keys::Public(_) | Keys::Secret(_) => number == UNCHANGING,
        }
    }

    /// Brings its gauges up to date.
    pub fn refresh_gauges(&self) {
        if let Keys::Fetched(fetched) = &self.keys {
            fetched.keys.refresh_gauges();
        }
    }

    /// Forgets keys that it publishes; returns how many there were. See [`FetchedKeys::forget`].
    pub fn forget_keys(&self) -> usize {
        match &self.keys {
            Keys::Fetched(fetched) => fetched.keys.forget(),
            Keys::Public(_) | Keys::Secret(_) => 0,
        }
    }

    /// Waits for keys where one was missing. See [`FetchedKeys::news`].
    pub async fn news(&self) -> bool {
        match &self.keys {
            Keys::Fetched(fetched) => fetched.keys.news().await,
            Keys::Public(_) | Keys::Secret(_) => false,
        }
    }
}

fn check_with(keys: &KeySet, token: &Token<'_>, key_id: Option<&str>) -> Result<(), Refusal> {
    let mut refusal = Refusal::UnknownKey;
    for key in keys.candidates(key_id, token.algorithm) {
        match key.verify(token.algorithm, token.signed, &token.signature) {
            Ok(()) => return Ok(()),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

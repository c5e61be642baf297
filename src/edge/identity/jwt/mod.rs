//! Identity by a JSON Web Token (RFC 7519): a signed text that says who somebody is, for whom it was made, until when it
//! holds and what may be done with it.
//!
//! ```text
//! token ─▶ SHA-256 ─▶ in the cache, and keys and time are right? ─────────────────────────▶ Verified
//!             │                                                                                ▲
//!             └─▶ form ─▶ issuer ─▶ algorithm ─▶ key ─▶ signature ─▶ audience ─▶ times ─▶ scopes
//!                 token   [[jwt_issuer]]        key_set  key         claims
//!                                               refresh: fetched in the background
//! ```
//!
//! What is believed of a token before its signature is known to be right: which issuer of the configuration to ask, which
//! of its algorithms, and which of its keys. None of these can make a key do what it is not for (see [`key`]).

pub mod algorithm;
mod cache;
mod claims;
pub mod fetch;
mod issuer;
pub mod key;
mod key_set;
mod refresh;
mod refusal;
mod token;

use std::collections::HashMap;
use std::sync::Arc;

use metrics::Counter;
use serde::Serialize;

use self::cache::{Cache, Entry};
use self::claims::Claims;
use self::issuer::Issuer;
pub use self::refusal::Refusal;
use self::token::Token;
use super::credentials::{Credentials, Shown};
use super::principal::{Attempt, Principal};
use crate::config::checked::JwtIssuer;
use crate::config::limits::JWT_BYTES_MAX;
use crate::edge::gate::throttle::Throttle;
use crate::runtime::clock::{self, UnixMicros};
use crate::telemetry::metrics::Registry;

/// Everybody whose tokens are taken.
#[derive(Debug, Default)]
pub struct Jwt {
    issuers: HashMap<String, Arc<Issuer>, foldhash::fast::RandomState>,
    cache: Cache<Known>,
    metrics: Option<Metrics>,
}

/// How much [`Jwt::forget`] has forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Keys that issuers had published.
    pub keys: usize,
    /// Tokens that were verified.
    pub tokens: usize,
}

/// A token that was verified.
#[derive(Debug)]
struct Known {
    principal: Arc<Principal>,
    issuer: Arc<Issuer>,
}

struct Metrics {
    cached: Counter,
    verified: Counter,
    refused: [Counter; Refusal::ALL.len()],
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Jwt {
    /// As `[[jwt_issuer]]` has them. Keys that they publish are there once [`Jwt::key_keepers`] run. What their subjects
    /// have taken so far is known to the throttle.
    pub fn new(issuers: &[JwtIssuer], with: (&Registry, &Throttle)) -> Self {
        Self::with(&Self::default(), issuers, with)
    }

    /// What takes the place of this one when the configuration is read again: issuers whose settings are the same stay, with
    /// their keys, and where all do, so does everything.
    pub fn reloaded(self: &Arc<Self>, issuers: &[JwtIssuer], with: (&Registry, &Throttle)) -> Arc<Self> {
        let has = |settings: &JwtIssuer| self.issuer(settings).is_some();
        match issuers.len() == self.issuers.len() && issuers.iter().all(has) {
            true => Arc::clone(self),
            false => Arc::new(Self::with(self, issuers, with)),
        }
    }

    /// The issuer of exactly these settings.
    fn issuer(&self, settings: &JwtIssuer) -> Option<&Arc<Issuer>> {
        self.issuers.get(&settings.issuer).filter(|known| known.settings == *settings)
    }

    fn with(known: &Self, issuers: &[JwtIssuer], (registry, throttle): (&Registry, &Throttle)) -> Self {
        let issuer = |settings: &JwtIssuer| {
            let known = known.issuer(settings).cloned();
            (
                settings.issuer.clone(),
                known.unwrap_or_else(|| Arc::new(Issuer::new(settings, (registry, throttle)))),
            )
        };
        let metrics = (!issuers.is_empty()).then(|| Metrics {
            cached: registry.jwt_tokens("cache"),
            verified: registry.jwt_tokens("signature"),
            refused: Refusal::ALL.map(|refusal| registry.jwt_refused(refusal.reason())),
        });
        Self { issuers: issuers.iter().map(issuer).collect(), cache: Cache::default(), metrics }
    }

    /// What keeps the keys of issuers that publish theirs: a task each, which ends when nobody has the issuer any more.
    /// Each is given once.
    pub fn key_keepers(&self) -> Vec<impl Future<Output = ()> + Send + 'static + use<>> {
        self.issuers.values().filter_map(|issuer| issuer.keep_keys()).collect()
    }

    /// Forgets which tokens were verified, and the keys that issuers publish: these are asked for at once, and until
    /// they are there no token of theirs is taken.
    pub fn forget(&self) -> Forgotten {
        // Keys first: a token that is verified meanwhile holds with the keys that it was verified with.
        let keys = self.issuers.values().map(|issuer| issuer.forget_keys()).sum();
        Forgotten { keys, tokens: self.cache.clear() }
    }

    /// Brings gauges up to date.
    pub fn refresh_gauges(&self) {
        self.issuers.values().for_each(|issuer| issuer.refresh_gauges());
    }

    /// Whose token a request shows. Waits for keys where its own is not known yet, for a few seconds at most.
    pub async fn identify(&self, credentials: &Credentials<'_>) -> Attempt {
        let Some(shown) = credentials.bearer() else { return Attempt::Absent };
        match self.principal_of(shown).await {
            Ok(principal) => Attempt::Is(principal),
            Err(refusal) => {
                self.count(refusal);
                match refusal {
                    // It may be a secret of another kind, or a token that somebody else is asked about.
                    Refusal::Malformed | Refusal::UnknownIssuer => Attempt::Unknown(refusal.description()),
                    Refusal::NoKeys => Attempt::Unavailable(refusal.description()),
                    _ => Attempt::Wrong(refusal.description().into()),
                }
            }
        }
    }

    async fn principal_of(&self, shown: &Shown<'_>) -> Result<Arc<Principal>, Refusal> {
        if shown.text().len() > JWT_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let now = clock::wall();
        if let Some(principal) = self.remembered(shown, now) {
            return Ok(principal);
        }
        match self.verify(shown, now) {
            Err((refusal @ (Refusal::UnknownKey | Refusal::NoKeys), Some(issuer))) => {
                if !issuer.news().await {
                    return Err(refusal);
                }
                self.verify(shown, clock::wall()).map_err(|(refusal, _)| refusal)
            }
            verified => verified.map_err(|(refusal, _)| refusal),
        }
    }

    /// Who has shown the same token before, if that still holds.
    fn remembered(&self, shown: &Shown<'_>, now: UnixMicros) -> Option<Arc<Principal>> {
        let entry = self.cache.get(shown.digest())?;
        let Known { principal, issuer } = &*entry.value;
        if entry.validity.check(now).is_err() || !issuer.has_still(entry.keys) {
            self.cache.forget(shown.digest());
            return None;
        }
        if let Some(metrics) = &self.metrics {
            metrics.cached.increment(1);
        }
        Some(Arc::clone(principal))
    }

    /// All that there is to be checked. An error comes with the issuer if it is for want of a key.
    fn verify(
        &self,
        shown: &Shown<'_>,
        now: UnixMicros,
    ) -> Result<Arc<Principal>, (Refusal, Option<&Arc<Issuer>>)> {
        let alone = |refusal| (refusal, None);
        let text = std::str::from_utf8(shown.text()).map_err(|_| alone(Refusal::Malformed))?;
        let token = Token::read(text).map_err(alone)?;
        let claims = Claims::read(&token.payload).map_err(alone)?;
        let issuer = claims.issuer().map_err(alone)?;
        let issuer = self.issuers.get(issuer).ok_or(alone(Refusal::UnknownIssuer))?;
        let keys = issuer.check_signature(&token).map_err(|refusal| (refusal, Some(issuer)))?;
        // From here on it is believed.
        let validity = issuer.check_claims(&claims).map_err(alone)?;
        validity.check(now).map_err(alone)?;
        let principal = Arc::new(issuer.principal(&claims).map_err(alone)?);
        let attributes = principal.attributes.as_ref().map_or(0, |attributes| attributes.bytes());
        let bytes = principal.name.len() + principal.policy.bytes() + attributes;
        let known = Known { principal: Arc::clone(&principal), issuer: Arc::clone(issuer) };
        self.cache.keep(*shown.digest(), Entry { value: Arc::new(known), validity, keys, bytes });
        if let Some(metrics) = &self.metrics {
            metrics.verified.increment(1);
        }
        Ok(principal)
    }

    fn count(&self, refusal: Refusal) {
        let place = Refusal::ALL.iter().position(|known| *known == refusal);
        if let (Some(metrics), Some(place)) = (&self.metrics, place) {
            metrics.refused[place].increment(1);
        }
    }
}

#[cfg(test)]
mod tests;

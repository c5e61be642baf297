//! API keys: secrets that clients send along. The node keeps their SHA-256 only.

use std::collections::HashMap;
use std::sync::Arc;

use super::credentials::{Credentials, Digest};
use super::principal::{Attempt, IdentityKind, Principal};
use crate::config::checked;
use crate::edge::gate::throttle::Throttle;

/// All keys of `[[api_key]]`.
#[derive(Debug, Default)]
pub struct ApiKeys {
    by_digest: HashMap<Digest, Arc<Principal>, foldhash::fast::RandomState>,
}

impl ApiKeys {
    /// As the configuration has them.
    pub fn new(keys: &[checked::ApiKey], throttle: &Throttle) -> Self {
        let principal = |key: &checked::ApiKey| {
            let allowed = (&key.policy, key.allowance);
            (key.digest, Principal::named(IdentityKind::ApiKey, &key.name, allowed, throttle))
        };
        Self { by_digest: keys.iter().map(principal).collect() }
    }

    /// Whose key has this digest.
    pub fn owner(&self, digest: &Digest) -> Option<&Arc<Principal>> {
        self.by_digest.get(digest)
    }

    /// Whose key a request shows.
    pub fn identify(&self, credentials: &Credentials<'_>) -> Attempt {
        if let Some(shown) = credentials.api_key() {
            return match self.by_digest.get(shown.digest()) {
                Some(principal) => Attempt::Is(Arc::clone(principal)),
                None => Attempt::Wrong("the API key is not known".into()),
            };
        }
        let Some(shown) = credentials.bearer() else { return Attempt::Absent };
        match self.by_digest.get(shown.digest()) {
            Some(principal) => Attempt::Is(Arc::clone(principal)),
            // It may be a token of another kind.
            None => Attempt::Unknown("the bearer token is not known"),
        }
    }
}

//! API keys: secrets that clients send along. The node keeps their SHA-256 only.

use std::collections::HashMap;
use std::sync::Arc;

use super::credentials::{Credentials, Digest};
use super::principal::{Attempt, IdentityKind, Principal};
use crate::config::checked;

/// All keys of `[[api_key]]`.
#[derive(Debug, Default)]
pub struct ApiKeys {
    by_digest: HashMap<Digest, Arc<Principal>, foldhash::fast::RandomState>,
}

impl ApiKeys {
    /// As the configuration has them.
    pub fn new(keys: &[checked::ApiKey]) -> Self {
        let principal = |key: &checked::ApiKey| Principal {
            name: key.name.as_str().into(),
            kind: IdentityKind::ApiKey,
            policy: key.policy.clone(),
        };
        Self { by_digest: keys.iter().map(|key| (key.digest, Arc::new(principal(key)))).collect() }
    }

    /// Whose key a request shows.
    pub fn identify(&self, credentials: &Credentials<'_>) -> Attempt {
        if let Some(shown) = credentials.api_key() {
            return match self.by_digest.get(shown.digest()) {
                Some(principal) => Attempt::Is(Arc::clone(principal)),
                None => Attempt::Wrong("the API key is not known"),
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

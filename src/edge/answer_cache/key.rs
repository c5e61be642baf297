//! What an answer is kept by: everything that it depends on.
//!
//! An answer is JSON in one form, whole and not compressed, whatever `Accept`, `Range` and `Accept-Encoding` say: they
//! are no part of it. Who asks is, with everything that they may do, and the [`Gate`](super::super::gate::Gate) that
//! has let them in: no answer outlives the rules by which it was given, and nobody is given another's.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use url::form_urlencoded;

use crate::config::checked::CachedRoute;
use crate::edge::gate::Entry;
use crate::edge::identity::credentials::is_secret_parameter;
use crate::edge::identity::principal::Principal;

/// See the module.
#[derive(Debug, Clone)]
pub struct Key {
    route: CachedRoute,
    /// The stream and, of records, the parameters in one order and without secrets.
    target: Box<str>,
    /// Nobody where nobody is asked who they are.
    principal: Option<Arc<Principal>>,
    /// The number of the gate that has let them in.
    gate: u64,
    /// Where the request comes from, if the answer depends on it: some streams may be seen from some places only.
    client: Option<IpAddr>,
}

impl Key {
    /// Of a request for `stream`, or for the list of all; `None` if its answer may not be kept: it waits for a record,
    /// or takes one in the name of a worker.
    pub fn of(route: CachedRoute, stream: &str, entry: &Entry, head: &Parts) -> Option<Self> {
        let target = match route {
            CachedRoute::Streams => String::new(),
            CachedRoute::Stream | CachedRoute::Shards => stream.to_owned(),
            CachedRoute::Records => target_of_page(stream, head.uri.query().unwrap_or_default())?,
        };
        let is_list = route == CachedRoute::Streams;
        Some(Self {
            route,
            target: target.into(),
            principal: entry.principal.clone(),
            gate: entry.gate_number(),
            client: entry.client.filter(|_| is_list),
        })
    }

    /// Bytes of memory that it holds besides its own.
    pub fn bytes(&self) -> u64 {
        let of_principal = |principal: &Arc<Principal>| {
            size_of::<Principal>() + principal.name.len() + principal.policy.bytes()
        };
        (self.target.len() + self.principal.as_ref().map_or(0, of_principal)) as u64
    }
}

/// Parameters that name the same page are the same text.
fn target_of_page(stream: &str, query: &str) -> Option<String> {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            // A long poll, or a lease and a place that others share.
            "wait" | "cursor" | "worker" => return None,
            name if is_secret_parameter(name) => {}
            _ => pairs.push((name, value)),
        }
    }
    // Those of one name keep their order: it may count which is the last.
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    // No stream's name has a question mark.
    let mut target = String::with_capacity(stream.len() + 1 + query.len());
    target.push_str(stream);
    target.push('?');
    let behind = target.len();
    let mut text = form_urlencoded::Serializer::for_suffix(target, behind);
    text.extend_pairs(pairs);
    Some(text.finish())
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let who = self.principal.as_ref().map(|principal| (principal.kind, &principal.name));
        (self.route, &self.target, who, self.gate, self.client).hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |a: &Arc<Principal>, b: &Arc<Principal>| {
            Arc::ptr_eq(a, b) || (a.kind == b.kind && a.name == b.name && a.policy == b.policy)
        };
        let is_same_principal = match (&self.principal, &other.principal) {
            (Some(a), Some(b)) => is_same(a, b),
            (None, None) => true,
            _ => false,
        };
        self.route == other.route
            && self.gate == other.gate
            && self.client == other.client
            && self.target == other.target
            && is_same_principal
    }
}

impl Eq for Key {}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::edge::gate::throttle::standing::Standing;
    use crate::edge::identity::policy::{Grant, Policy};
    use crate::edge::identity::principal::IdentityKind;

    /// A key of a stream's description that nobody in particular asks for.
    pub fn key(target: &str) -> Key {
        Key { route: CachedRoute::Stream, target: target.into(), principal: None, gate: 1, client: None }
    }

    fn principal(name: &str, kind: IdentityKind, grant: &str) -> Option<Arc<Principal>> {
        let policy = Policy::new(vec![Grant::parse(grant).unwrap()]);
        Some(Arc::new(Principal {
            name: name.into(),
            kind,
            policy,
            standing: Standing::default(),
            attributes: None,
        }))
    }

    #[test]
    fn each_thing_that_an_answer_depends_on_is_a_part() {
        let client = Some(IpAddr::from([192, 0, 2, 1]));
        let all = [
            key("s"),
            key("t"),
            Key { route: CachedRoute::Shards, ..key("s") },
            Key { gate: 2, ..key("s") },
            Key { client, ..key("s") },
            Key { principal: principal("a", IdentityKind::ApiKey, "tap:*"), ..key("s") },
            Key { principal: principal("b", IdentityKind::ApiKey, "tap:*"), ..key("s") },
            Key { principal: principal("a", IdentityKind::Basic, "tap:*"), ..key("s") },
            Key { principal: principal("a", IdentityKind::ApiKey, "tap:s"), ..key("s") },
        ];
        assert_eq!(all.iter().cloned().collect::<HashSet<_>>().len(), all.len());
        let again = Key { principal: principal("a", IdentityKind::ApiKey, "tap:*"), ..key("s") };
        assert_eq!(again, all[5], "the same who may do the same, known once more");
    }

    #[test]
    fn a_page_is_the_same_however_its_parameters_are_written() {
        let of = |query| target_of_page("s", query).unwrap();
        assert_eq!(of("limit=5&after=0-1"), of("after=0%2D1&limit=5"));
        assert_eq!(of("after=0-1&api_key=secret&access_token=secret"), of("after=0-1"));
        for (one, other) in [
            ("after=0-1", "after=0-2"),
            ("where=/a=1&where=/b=2", "where=/b=2&where=/a=1"),
            ("limit=1&limit=2", "limit=2&limit=1"),
            ("key=a%26limit%3D1", "key=a&limit=1"),
            ("", "limit=1"),
        ] {
            assert_ne!(of(one), of(other), "{one} {other}");
        }
        assert!(!of("access_token=secret").contains("secret"));
    }

    #[test]
    fn polls_that_wait_and_workers_have_none() {
        for query in ["wait=1", "after=0-1&wait=0s", "cursor=c&worker=w", "%77ait=1", "worker=w"] {
            assert_eq!(target_of_page("s", query), None, "{query}");
        }
    }
}

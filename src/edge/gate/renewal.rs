//! What stays open after others may come in: it goes on if it would still be let in.
//!
//! A WebSocket or a stream of events outlives the request that has opened it. That is not made again when somebody else
//! may come in, because what has proved its sender may be good for one request, or for a time only; instead, what the
//! configuration says of them is compared.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Entry, Gate};
use crate::edge::Edge;
use crate::edge::identity::policy::Action;
use crate::edge::identity::principal::{IdentityKind, Principal};

/// Looks after what an open connection may, for as long as it is open.
#[derive(Debug)]
pub struct Renewal {
    entry: Entry,
    gates: watch::Receiver<Arc<Gate>>,
    action: Action,
    stream: Arc<str>,
}

impl Renewal {
    /// Of a connection that was opened to do `action` with a stream.
    pub fn new(edge: &Edge, entry: &Entry, action: Action, stream: &Arc<str>) -> Self {
        let mut gates = edge.gates();
        // A change since the request was let in is found at once.
        gates.mark_changed();
        Self { entry: entry.clone(), gates, action, stream: Arc::clone(stream) }
    }

    /// Waits until others may come in. Returns what holds for the connection then; none if it would not be let in any
    /// more.
    pub async fn next(mut self) -> (Self, Option<Entry>) {
        if self.gates.changed().await.is_err() {
            // The edge is gone, and its connections are about to be.
            std::future::pending::<()>().await;
        }
        let gate = Arc::clone(&self.gates.borrow_and_update());
        let renewed = self.entry.renewed(&gate, self.action, &self.stream);
        if let Some(entry) = &renewed {
            self.entry = entry.clone();
        }
        (self, renewed)
    }
}

impl Entry {
    /// The same under `gate`, which holds now. None if what is known of its sender, or what proves who they are, is not the
    /// same any more, or if they may not do `action` any more.
    pub fn renewed(&self, gate: &Arc<Gate>, action: Action, stream: &str) -> Option<Self> {
        if !Arc::ptr_eq(gate, &self.gate) {
            let is_known = |who: &Principal| gate.knows_as_before(&self.gate, who.kind, &who.name);
            self.principal.as_deref().is_none_or(is_known).then_some(())?;
        }
        let entry = Self { gate: Arc::clone(gate), ..self.clone() };
        let may = gate.screen().lets_in(self.client) && entry.may(action, Some(stream));
        may.then_some(entry)
    }
}

impl Gate {
    /// Whether a principal, and all that proves it, is the same as it was under `before`.
    fn knows_as_before(&self, before: &Gate, kind: IdentityKind, name: &str) -> bool {
        let (old, new) = (&before.settings, &self.settings);
        match kind {
            IdentityKind::ApiKey => same(&old.api_keys, &new.api_keys, |one| one.name == name),
            IdentityKind::Basic => same(&old.basic_users, &new.basic_users, |one| one.name == name),
            IdentityKind::ClientCertificate => {
                same_upto(&old.client_certificates, &new.client_certificates, |one| one.name == name)
            }
            IdentityKind::Hmac => same_upto(&old.webhooks, &new.webhooks, |one| one.name == name),
            IdentityKind::SignatureV4 => self.signatures.knows_as_before(&before.signatures, name),
            // Whom they know by that name is theirs to say.
            IdentityKind::Http => old.authorizer == new.authorizer,
            IdentityKind::Jwt => old.jwt_issuers == new.jwt_issuers,
        }
    }
}

fn same<T: PartialEq>(before: &[T], now: &[T], is_it: impl Fn(&T) -> bool) -> bool {
    let known = now.iter().find(|one| is_it(one));
    known.is_some() && known == before.iter().find(|one| is_it(one))
}

/// The same where the first one that fits counts, so that those in front of it do as well.
fn same_upto<T: PartialEq>(before: &[T], now: &[T], is_it: impl Fn(&T) -> bool) -> bool {
    let upto = now.iter().position(is_it);
    upto.is_some_and(|upto| before.get(..=upto) == now.get(..=upto))
}

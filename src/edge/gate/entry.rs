//! A request that was let in: who has sent it, what they may do besides, and what they pay.

use std::net::IpAddr;
use std::sync::Arc;

use super::Gate;
use super::body_proof::BodyProof;
use super::throttle::Asks;
use super::throttle::account::Account;
use super::throttle::charge::Charge;
use super::throttle::fair::Competitor;
use super::throttle::measure::{Cost, Flow};
use crate::config::checked::Demand;
use crate::edge::identity::credentials::is_secret_parameter;
use crate::edge::identity::policy::Action;
use crate::edge::identity::principal::Principal;
use crate::edge::problem::Problem;
use crate::edge::visit::Visit;

/// A request that was let in.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(super) gate: Arc<Gate>,
    /// Who has sent it, where anybody was asked; what [`Entry::proof`] is besides, if there is anything, is still to be
    /// looked at.
    pub principal: Option<Arc<Principal>>,
    pub(super) proof: Option<Arc<BodyProof>>,
    /// Address of the client; none over a Unix socket.
    pub client: Option<IpAddr>,
    /// The label of its route.
    pub(super) route: &'static str,
}

impl Entry {
    /// What the body still has to prove: it has to be asked before anything is done for the sender.
    pub fn proof(&self) -> Option<&BodyProof> {
        self.proof.as_deref()
    }

    /// The number of the gate that has let it in: no other one has it.
    pub fn gate_number(&self) -> u64 {
        self.gate.number
    }

    /// Whether it may do `action` besides: a connection that stays open may turn to something else.
    ///
    /// # Errors
    /// [`Problem::AddressNotAllowed`] and [`Problem::Forbidden`].
    pub fn permit(&self, action: Action, stream: Option<&str>) -> Result<(), Problem> {
        self.reach(stream)?;
        if self.may(action, stream) {
            return Ok(());
        }
        let who = self.principal.as_ref().map_or("nobody", |principal| &principal.name);
        let what = stream.map_or_else(|| "any stream".to_owned(), |stream| format!("'{stream}'"));
        Err(Problem::Forbidden(format!("'{who}' may not {} {what}", action.verb())))
    }

    /// Who may come in, as it was when this was let in.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Takes what a request, or a message of a connection that stays open, tells of its cost before it is read. `stream` is
    /// the stream's account, if it has one.
    ///
    /// # Errors
    /// [`Problem::Limited`] if that is too much.
    pub fn charge(&self, stream: Option<&Arc<Account>>, flow: Flow, cost: Cost) -> Result<Charge, Problem> {
        // Before its body is there nobody may make others pay: see `Entry::pay`.
        let principal = self.proven().and_then(|principal| principal.standing.account.as_ref());
        let asks = Asks { principal, stream, client: self.client, route: self.route, flow };
        Ok(self.gate.levels.enter(&asks, cost)?)
    }

    /// Has a sender pay as well whom only the body has proved.
    ///
    /// # Errors
    /// [`Problem::Limited`] if that is too much for them. Then everything is given back.
    pub fn pay(&self, charge: &mut Charge) -> Result<(), Problem> {
        let late = self.principal.as_ref().filter(|_| self.proof.is_some());
        Ok(charge.join(late.and_then(|principal| principal.standing.account.clone()))?)
    }

    /// Has a sender prove itself, and pay, of whose request nobody reads the body: it has to be empty. From then on it is
    /// as if the head alone had proved it.
    ///
    /// # Errors
    /// [`Problem::Unauthenticated`], and [`Problem::Limited`] if that is too much for them.
    pub fn prove_without_body(
        &mut self,
        is_empty: bool,
        (charge, visit): (&mut Charge, &Visit),
    ) -> Result<(), Problem> {
        if let Some(proof) = &self.proof {
            proof.check_unread(is_empty, visit)?;
            self.pay(charge)?;
            self.proof = None;
        }
        Ok(())
    }

    /// Who has sent it, if that needs no look at a body any more.
    fn proven(&self) -> Option<&Arc<Principal>> {
        self.principal.as_ref().filter(|_| self.proof.is_none())
    }

    /// Who competes for memory with others.
    pub fn competitor(&self) -> Competitor {
        match (self.proven(), self.client) {
            (Some(principal), _) => principal.competitor(),
            (None, Some(client)) => Competitor::Client(client.into(), 1),
            (None, None) => Competitor::Nobody,
        }
    }

    /// Whether a parameter of the query proves, or may prove, who has sent it: it belongs in no record.
    pub fn is_credential(&self, name: &str) -> bool {
        let authorizer = self.gate.authorizer.as_ref();
        is_secret_parameter(name) || authorizer.is_some_and(|authorizer| authorizer.is_told_parameter(name))
    }

    /// Whether it may come to a stream from where it is, whoever has sent it.
    ///
    /// # Errors
    /// [`Problem::AddressNotAllowed`].
    pub fn reach(&self, stream: Option<&str>) -> Result<(), Problem> {
        self.gate.screen.reach(self.client, stream)
    }

    /// [`Entry::permit`] as a question.
    pub fn may(&self, action: Action, stream: Option<&str>) -> bool {
        if self.reach(stream).is_err() {
            return false;
        }
        match (&self.gate.demands[action as usize], &self.principal) {
            (Demand::Open, _) => true,
            (Demand::AnyOf(kinds), Some(principal)) => {
                kinds.contains(&principal.kind) && principal.policy.permits(action, stream)
            }
            (Demand::Closed, _) | (Demand::AnyOf(_), None) => false,
        }
    }
}

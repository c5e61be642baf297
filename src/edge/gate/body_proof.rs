//! A request that is let in if its body says the same.

use http::{HeaderName, HeaderValue};

use crate::edge::identity::body_claim::BodyClaim;
use crate::edge::problem::Problem;
use crate::edge::visit::Visit;
use crate::telemetry::audit::Who;

/// What the body of a request still has to prove. Whoever reads the body asks for it, over the bytes as they came and
/// before anything is done with them; for routes that read none, [`BodyProof::check_unread`] stands in.
#[derive(Debug)]
pub struct BodyProof {
    claim: BodyClaim,
    /// What a client is told to prove itself by.
    challenge: Option<HeaderValue>,
    /// Whose request it is then.
    who: Who,
}

impl BodyProof {
    /// Of a claim to be `who`, whose refusal asks by `challenge`.
    pub fn new(claim: BodyClaim, challenge: Option<HeaderValue>, who: Who) -> Self {
        Self { claim, challenge, who }
    }

    /// Whether the body proves who has sent it. That is on record from then on, and not before: anybody can claim it.
    ///
    /// # Errors
    /// [`Problem::Unauthenticated`].
    pub fn check(&self, body: &[u8], visit: &Visit) -> Result<(), Problem> {
        self.claim.check(body).map_err(|detail| self.refuse(detail))?;
        visit.is_of(self.who.clone());
        Ok(())
    }

    /// The same for a body that nobody reads: it has to be empty.
    ///
    /// # Errors
    /// [`Problem::Unauthenticated`].
    pub fn check_unread(&self, is_empty: bool, visit: &Visit) -> Result<(), Problem> {
        match is_empty {
            true => self.check(b"", visit),
            false => Err(self.refuse("this route reads no body that could be signed".to_owned())),
        }
    }

    /// Whether a query that becomes part of a record is of whoever has signed the body.
    ///
    /// # Errors
    /// [`Problem::Unauthenticated`].
    pub fn check_query(&self, query: Option<&str>) -> Result<(), Problem> {
        match query.is_none_or(str::is_empty) || self.claim.signs_query() {
            true => Ok(()),
            false => {
                Err(self.refuse("the signature is of the body alone: parameters belong there".to_owned()))
            }
        }
    }

    /// The header by which the sender tells one request from another, if it has its own.
    pub fn idempotency_header(&self) -> Option<&HeaderName> {
        self.claim.idempotency_header()
    }

    fn refuse(&self, detail: String) -> Problem {
        Problem::Unauthenticated { challenge: self.challenge.clone(), detail }
    }
}

//! Proofs of identity that are over the body of a request: they are looked at when it has been read.

use http::HeaderName;

use super::signature_v4::SignedBody;
use super::webhook::Delivery;

/// What only the body can prove.
#[derive(Debug)]
pub enum BodyClaim {
    /// A signature of version 4.
    Signature(Box<SignedBody>),
    /// The signature of a webhook.
    Webhook(Delivery),
}

impl BodyClaim {
    /// Whether the body, as it came over the network, proves it.
    ///
    /// # Errors
    /// Why not, without anything of the body.
    pub fn check(&self, body: &[u8]) -> Result<(), String> {
        match self {
            BodyClaim::Signature(signed) => signed.check(body).map_err(|error| error.to_string()),
            BodyClaim::Webhook(delivery) => delivery.check(body).map_err(str::to_owned),
        }
    }

    /// Whether it is over the query as well.
    pub fn signs_query(&self) -> bool {
        match self {
            BodyClaim::Signature(_) => true,
            BodyClaim::Webhook(_) => false,
        }
    }

    /// The header by which the sender tells one request from another, if it has its own.
    pub fn idempotency_header(&self) -> Option<&HeaderName> {
        match self {
            BodyClaim::Signature(_) => None,
            BodyClaim::Webhook(delivery) => delivery.idempotency_header(),
        }
    }
}

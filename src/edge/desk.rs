//! What answers requests behind a door: the routes of streams for clients, those of the admin port for operators.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::listen::socket::Peer;
use super::reply::Body;
use super::upgrade::Upgrade;
use super::{Edge, route};

/// Answers all requests of a connection.
pub trait Desk: Clone + Send + Sync + 'static {
    /// Answers one of them.
    fn answer(
        &self,
        edge: &Arc<Edge>,
        peer: &Peer,
        request: Request<Incoming>,
        upgrade: &Upgrade,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// The routes of streams.
#[derive(Debug, Clone, Copy)]
pub struct Clients;

impl Desk for Clients {
    async fn answer(
        &self,
        edge: &Arc<Edge>,
        peer: &Peer,
        request: Request<Incoming>,
        upgrade: &Upgrade,
    ) -> Response<Body> {
        route::answer(edge, peer, request, upgrade).await
    }
}

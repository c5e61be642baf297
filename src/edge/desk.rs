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
    /// Whether a client sends it to change something: it is to have the answer even where it has ended its side.
    fn is_changing(&self, request: &Request<Incoming>) -> bool {
        !request.method().is_safe()
    }

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
    fn is_changing(&self, request: &Request<Incoming>) -> bool {
        !request.method().is_safe() || route::is_click(request.uri().path())
    }

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

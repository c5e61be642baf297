//! The requests of one connection, whatever protocol they come by.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;

use super::progress::{Answering, Progress};
use crate::edge::Edge;
use crate::edge::desk::Desk;
use crate::edge::listen::socket::Peer;
use crate::edge::reply::Body;
use crate::edge::upgrade::{Takeovers, Upgrade};

/// What the requests of a connection have in common.
pub struct Requests<D> {
    /// The door's side.
    pub edge: Arc<Edge>,
    /// The client's side.
    pub peer: Peer,
    /// What answers them.
    pub desk: D,
    /// What the connection waits for.
    pub progress: Arc<Progress>,
    /// What has left HTTP.
    pub takeovers: Takeovers,
}

/// A request that has come in.
pub struct Begun {
    request: Request<Incoming>,
    answering: Answering,
    is_last: bool,
}

impl<D: Desk> Requests<D> {
    /// Counts a request, in the order in which they have come.
    pub fn begin(&self, mut request: Request<Incoming>) -> Begun {
        let (is_last, flaw) = self.progress.request(self.edge.server.connection_requests_max);
        if let Some(flaw) = flaw {
            request.extensions_mut().insert(flaw);
        }
        let answering = Answering::new(&self.progress, self.desk.is_changing(&request));
        Begun { request, answering, is_last }
    }

    /// Answers it.
    pub async fn answer(&self, begun: Begun) -> Result<Response<Body>, Infallible> {
        let Begun { request, answering, is_last } = begun;
        let upgrade = Upgrade::default();
        let is_http1 = request.version() < Version::HTTP_2;
        let mut response = self.desk.answer(&self.edge, &self.peer, request, &upgrade).await;
        if is_last && is_http1 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        match upgrade.take() {
            // The connection is not silent while somebody has it or a stream of it, who looks for that itself.
            Some(takeover) => self.takeovers.begin(async move {
                let left = takeover.await;
                drop(answering);
                left
            }),
            None => drop(answering),
        }
        Ok(response)
    }
}

/// What answers a request, in a box of its own: hyper keeps room for it as long as the connection is open, and in a box
/// it is there for as long as the answer takes, 7 KB less for each connection that is silent. It is made in its place,
/// because `Box::pin` would make it elsewhere and copy all of it.
pub fn in_box<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}

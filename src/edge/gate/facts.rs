//! What is known of a request before its body is read.

use std::net::IpAddr;

use http::request::Parts;

use crate::edge::identity::policy::Action;
use crate::edge::listen::socket::Peer;
use crate::edge::visit::Visit;

/// One request, as the gate sees it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Method, target and headers.
    pub head: &'a Parts,
    /// The other end of the connection.
    pub peer: &'a Peer,
    /// Address of the client, which may be behind proxies; none over a Unix socket.
    pub client: Option<IpAddr>,
    /// The label of its route.
    pub route: &'static str,
    /// What it asks for; none where another part of the edge asks who it is.
    pub action: Option<Action>,
    /// The stream that its path names.
    pub stream: Option<&'a str>,
    /// What is noted of it: its id, its trace, and who has sent it once that is known. None in tests.
    pub visit: Option<&'a Visit>,
}

//! What stands before the first request of a connection.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;

use crate::edge::Edge;
use crate::edge::listen::accept::Arrival;
use crate::edge::listen::certificate::ClientCertificate;
use crate::edge::listen::crowd::{Crowded, Member};
use crate::edge::listen::proxy_protocol;
use crate::edge::listen::socket::{Peer, Socket};

/// Why a connection has come to no request.
pub enum Unopened {
    /// What should stand before TLS, or its handshake, is wrong or has broken.
    Broken(&'static str, String),
    /// It has taken too long.
    Late,
    /// Its address has as many connections as it may.
    Crowded,
}

/// A connection that is ready for its first request.
pub struct Opened {
    /// As requests come over it.
    pub socket: Socket,
    /// Its other end.
    pub peer: Peer,
    /// Its place among those of its address.
    pub member: Option<Member>,
}

fn broken(what: &'static str, why: &dyn std::fmt::Display) -> Unopened {
    Unopened::Broken(what, why.to_string())
}

/// Takes what stands before the first request off a connection.
pub async fn open(edge: &Edge, arrival: Arrival) -> Result<Opened, Unopened> {
    let Arrival { mut socket, mut address, door, mut member, .. } = arrival;
    if door.is_behind_proxy {
        let told = proxy_protocol::read(&mut socket).await.map_err(|error| broken("proxy", &error))?;
        address = told.or(address);
        let entered = edge.crowd.enter(address.map(|address| address.ip()));
        member = entered.map_err(|Crowded| Unopened::Crowded)?;
    }
    let Some(tls) = &door.tls else {
        return Ok(Opened {
            socket: Either::Left(socket),
            peer: Peer { address, ..Peer::default() },
            member,
        });
    };
    let socket = TlsAcceptor::from(tls.current()).accept(socket).await;
    let socket = socket.map_err(|error| broken("tls", &error))?;
    let shown = socket.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.map(ClientCertificate::read).transpose();
    let certificate = certificate.map_err(|error| broken("tls", &error))?.map(Arc::new);
    let peer = Peer { address, is_encrypted: true, certificate };
    Ok(Opened { socket: Either::Right(Box::new(socket)), peer, member })
}

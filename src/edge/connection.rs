//! One connection, from its first byte to its end.
//!
//! ```text
//! opening ─▶ protocol ─▶ http ──────▶ requests ─▶ desk
//! PROXY,     HTTP/1 or   hyper over   each in a box
//! TLS        HTTP/2      `watched`    of its own
//!                           │
//!                           ▼
//!                        progress: what is waited for, and whether that is late
//! ```
//!
//! Most connections are silent most of the time, and there are many: what one holds meanwhile is kept small. So each
//! protocol has a future of its own, those that few connections need are boxed, and nothing is passed through an `async`
//! function by value that it need not keep, because what is passed keeps its place for as long as the function runs.

mod http;
mod opening;
mod progress;
pub mod protocol;
mod requests;
mod watched;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::opening::{Opened, Unopened, open};
use self::progress::{Late, Progress};
use self::protocol::{Beginning, Protocol};
use self::requests::Requests;
use self::watched::Watched;
use super::Edge;
use super::desk::Desk;
use super::listen::accept::Arrival;
use super::upgrade::Takeovers;

/// How long a client may take to notice that its silent connection is being closed.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// How HTTP on a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// As it should, or because the client is gone. What has taken the connection over goes on.
    Done,
    /// It was late, or has left a stream behind that only its end ends.
    Cut,
}

/// Serves a connection until it ends, is late, leaves a stream behind that only its end ends, or `stop` turns true. Its
/// requests are answered by `desk`.
pub async fn serve<D: Desk>(edge: Arc<Edge>, mut arrival: Arrival, desk: D, mut stop: watch::Receiver<bool>) {
    // Its places are given back at the end.
    let _place = arrival.place.take();
    let from = arrival.address;
    let opened = tokio::select! {
        // A handshake needs much room, and is soon over.
        opened = Box::pin(open(&edge, arrival)) => opened,
        () = tokio::time::sleep(edge.server.header_timeout) => Err(Unopened::Late),
        () = stopped(&mut stop) => return,
    };
    let Opened { mut socket, peer, member: _member } = match opened {
        Ok(opened) => opened,
        Err(Unopened::Late) => return edge.connection_metrics.late_head.increment(1),
        Err(Unopened::Crowded) => return edge.connection_metrics.refused_by_address.increment(1),
        Err(Unopened::Broken(what, why)) => {
            // Not louder: everybody on the internet can bring this about.
            tracing::debug!(client = ?from, what, why, "edge: connection refused");
            return edge.connection_metrics.broken(what).increment(1);
        }
    };
    let (progress, mut beginning) = (Progress::new(), Beginning::default());
    let protocol = tokio::select! {
        biased;
        protocol = Protocol::of(&mut socket, &mut beginning) => protocol,
        _ = progress.late(&edge.server) => return edge.connection_metrics.late_head.increment(1),
        () = stopped(&mut stop) => return,
    };
    // A connection that breaks is the client's affair.
    let Ok(protocol) = protocol else { return };
    let progress = Arc::new(progress.over(protocol));
    let socket = Watched::new((socket, beginning), protocol, &progress);
    let requests = Requests { edge, peer, desk, progress, takeovers: Takeovers::default() };
    match protocol {
        Protocol::Http1 => {
            if http::serve_http1(socket, &requests, &mut stop).await == End::Done {
                requests.takeovers.ended().await;
            }
        }
        Protocol::Http2 => {
            let requests = Arc::new(requests);
            if Box::pin(http::serve_http2(socket, &requests, &mut stop)).await == End::Done {
                requests.takeovers.ended().await;
            }
        }
    }
}

/// Returns once `stop` is true. The thread outlives its connections, so the sender is there.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Runs a connection of hyper's to its end, which `wind_down` brings near.
async fn drive<C: Future, D>(
    mut connection: Pin<&mut C>,
    wind_down: fn(Pin<&mut C>),
    requests: &Requests<D>,
    stop: &mut watch::Receiver<bool>,
) -> End {
    let Requests { edge, peer, progress, takeovers, .. } = requests;
    let is_http2 = progress.answers().is_some();
    let mut is_winding_down = false;
    loop {
        tokio::select! {
            // The connection first: it is what nearly every wake-up is about.
            biased;
            // A connection that breaks is the client's affair; what it had sent whole is kept.
            _ = connection.as_mut() => return End::Done,
            late = progress.late(&edge.server) => {
                match late {
                    Late::Head => {
                        edge.connection_metrics.late_head.increment(1);
                        return End::Cut;
                    }
                    Late::NextRequest => edge.connection_metrics.late_idle.increment(1),
                    Late::Answer => {
                        edge.connection_metrics.late_answer.increment(1);
                        tracing::debug!(client = %peer, "edge: connection closed, nothing of an answer is taken");
                    }
                }
                break;
            }
            // A stream may be left behind over HTTP/2 alone, and over HTTP/1 the last answer says that it is the last.
            () = takeovers.stuck(), if is_http2 => {
                tracing::debug!(client = %peer, "edge: connection closed, one of its streams takes nothing");
                break;
            }
            () = progress.exhausted(), if is_http2 && !is_winding_down => {
                is_winding_down = true;
                wind_down(connection.as_mut());
            }
            () = stopped(stop), if !is_winding_down => {
                is_winding_down = true;
                wind_down(connection.as_mut());
            }
        }
    }
    // Over HTTP/2 the client is told; over HTTP/1.1 the connection just ends.
    wind_down(connection.as_mut());
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, connection.as_mut()).await;
    End::Cut
}

#[cfg(test)]
mod tests;

//! `GET /v1/streams/{stream}/records` with `Upgrade: websocket` (RFC 6455), or `CONNECT` to it with the `:protocol`
//! `websocket` over HTTP/2 (RFC 8441): records in both directions.
//!
//! The server sends text messages: pages `{"records":[…],"next":"CURSOR","skipped":N}` as the long poll has them, and
//! for each message of the client, in their order, `{"ack":ID,"accepted":…,"shards":[…]}` once its records have the
//! stream's durability, or `{"ack":ID,"error":{…}}` with the problem document of a `POST`. What the client sends:
//! [`message`].
//!
//! | closed with | when |
//! | --- | --- |
//! | 1000 | the client has closed it |
//! | 1001 | the server stops |
//! | 1002, 1007 | the client breaks the protocol, or sends text that is none |
//! | 1008 | the client has been silent, pings included, for `[server] idle_timeout`; or its named cursor is gone; or it would not be let in any more, after a reload |
//! | 1009 | a message is larger than `[server] max_body` |
//! | 1011 | the log cannot be read |
//! | 1013 | the byte budget is spent |
//!
//! One that takes nothing for `idle_timeout` is cut off; over HTTP/2 with the whole connection, because nothing less ends
//! a stream that waits for a window. Texts of more than 16 KiB come in fragments.

mod fragments;
pub mod message;
mod session;
mod socket;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header, request};
use hyper::ext::Protocol;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::feed::Format;
use super::paced::Paced;
use super::query;
use crate::edge::identity::policy::Action;
use crate::edge::ingest::Admitted;
use crate::edge::mapping::Asked;
use crate::edge::problem::Problem;
use crate::edge::reply::Body;
use crate::edge::upgrade::{Leaving, Left};
use crate::edge::{Edge, Intake, cors};

/// Whether the client asks for a WebSocket.
pub fn is_wanted(head: &request::Parts) -> bool {
    match head.method {
        Method::GET => has_token(&head.headers, header::UPGRADE, "websocket"),
        Method::CONNECT => is_stream_of_http2(head),
        _ => false,
    }
}

/// Whether it is to have a stream of an HTTP/2 connection.
fn is_stream_of_http2(head: &request::Parts) -> bool {
    let protocol = head.extensions.get::<Protocol>();
    head.method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_ref() == b"websocket")
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(token))
}

/// Agrees to the handshake, and leaves the session for the connection.
pub async fn get(
    edge: &Arc<Edge>,
    intake: &Intake,
    admitted: Admitted<'_>,
    leaving: Option<Leaving<'_>>,
) -> Result<Response<Body>, Problem> {
    let bad = |detail: &str| Problem::BadParameter { name: "WebSocket handshake", detail: detail.to_owned() };
    let head = admitted.sender.head;
    let headers = &head.headers;
    let is_stream = is_stream_of_http2(head);
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    if key.is_none() && !is_stream {
        return Err(bad("Sec-WebSocket-Key is missing"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(bad("Sec-WebSocket-Version has to be 13"));
    }
    let is_connection = head.version == Version::HTTP_11 && has_token(headers, header::CONNECTION, "upgrade");
    let leaving = leaving.filter(|_| is_stream || is_connection).ok_or_else(|| {
        bad("it takes a GET over HTTP/1.1 with Connection: Upgrade, or a CONNECT of its :protocol over HTTP/2")
    })?;
    if !is_of_allowed_origin(edge, head) {
        return Err(Problem::OriginNotAllowed);
    }
    let (reads, messages) = query::websocket(&intake.stream, head.uri.query().unwrap_or_default()).await?;
    if reads.is_some() {
        admitted.entry.permit(Action::Tap, Some(intake.stream.name()))?;
    }
    let Admitted { entry, charge, sender, .. } = admitted;
    let reader = match reads {
        None => None,
        Some(reads) => {
            Some(Paced::new(edge.taps.any_reader(intake, reads, Format::Page).await?, charge, &edge.phases))
        }
    };
    let asked = intake.mapping.as_ref().map(|_| Asked::of(&sender));
    let session = session::Session::new(edge, (intake.stream.name(), entry, asked), reader, messages);
    let on_upgrade = leaving.on_upgrade;
    leaving.upgrade.leave(Box::pin(async move {
        // An error is a connection that broke before it could be taken over.
        match on_upgrade.await {
            Ok(connection) => session.run(connection, is_stream).await,
            Err(_) => Left::Nothing,
        }
    }));
    let mut response = Response::new(Body::default());
    let Some(key) = key.filter(|_| !is_stream) else {
        // Over HTTP/2 a 200 is all there is to say.
        return Ok(response);
    };
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    // Base64 is visible ASCII.
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.map_err(|_| bad("Sec-WebSocket-Key"))?);
    Ok(response)
}

/// Browsers let any page open a WebSocket anywhere, so the server has to look: at its own origin, and those that
/// `[server] cors` names. Programs send no origin.
fn is_of_allowed_origin(edge: &Edge, head: &request::Parts) -> bool {
    let headers = &head.headers;
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    // HTTP/2 has the host in the target.
    let in_target = head.uri.authority().map(|own| own.as_str().as_bytes());
    let own = in_target.or_else(|| headers.get(header::HOST).map(HeaderValue::as_bytes));
    let is_own = authority.is_some_and(|authority| own == Some(authority.as_bytes()));
    is_own || cors::allowed_origin(edge.server.cors.as_ref(), headers).is_some()
}

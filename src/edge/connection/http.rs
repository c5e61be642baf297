//! HTTP/1 and HTTP/2 by hyper, within the limits.

use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::watch;

use super::requests::{Requests, in_box};
use super::watched::Watched;
use super::{End, drive};
use crate::config::checked::Server;
use crate::config::limits::{
    HEADERS_MAX, HTTP2_BROKEN_STREAMS_MAX, HTTP2_RESET_STREAMS_MAX, HTTP2_SEND_BUFFER_BYTES,
    HTTP2_STREAMS_MAX, READ_BUFFER_BYTES_MAX,
};
use crate::edge::desk::Desk;

/// Serves a connection of HTTP/1.0 or HTTP/1.1, which may be taken over.
pub async fn serve_http1<D: Desk>(
    socket: Watched,
    requests: &Requests<D>,
    stop: &mut watch::Receiver<bool>,
) -> End {
    let service = service_fn(|request| {
        let begun = requests.begin(request);
        in_box(|| requests.answer(begun))
    });
    let connection = http1_builder(&requests.edge.server).serve_connection(TokioIo::new(socket), service);
    let connection = std::pin::pin!(connection.with_upgrades());
    drive(connection, http1::UpgradeableConnection::graceful_shutdown, requests, stop).await
}

/// Serves a connection of HTTP/2, whose streams may be taken over.
pub async fn serve_http2<D: Desk>(
    socket: Watched,
    requests: &Arc<Requests<D>>,
    stop: &mut watch::Receiver<bool>,
) -> End {
    let service = service_fn(|request| {
        let (begun, requests) = (requests.begin(request), Arc::clone(requests));
        // A task of its own has it.
        in_box(|| async move { requests.answer(begun).await })
    });
    let connection = http2_builder(&requests.edge.server).serve_connection(TokioIo::new(socket), service);
    let connection = std::pin::pin!(connection);
    drive(connection, http2::Connection::graceful_shutdown, requests, stop).await
}

fn http1_builder(server: &Server) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // No `pipeline_flush`: with it hyper does not send the answer that stands before a request it cannot parse.
    builder.max_headers(HEADERS_MAX).max_buf_size(server.header_bytes_max.max(READ_BUFFER_BYTES_MAX));
    builder
}

fn http2_builder(server: &Server) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .max_header_list_size(u32::try_from(server.header_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(HTTP2_RESET_STREAMS_MAX)
        .max_local_error_reset_streams(HTTP2_BROKEN_STREAMS_MAX)
        // A WebSocket may have a stream.
        .enable_connect_protocol();
    builder
}

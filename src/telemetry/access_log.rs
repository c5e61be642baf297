//! The access log: one event a request, where `[server] access_log = true`.

use std::net::IpAddr;
use std::time::Duration;

/// What is written about a request. Never its query or body, which may hold secrets.
#[derive(Debug)]
pub struct Access<'a> {
    /// Address of the client; none over a Unix socket.
    pub client: Option<IpAddr>,
    /// Request method.
    pub method: &'a http::Method,
    /// Path without the query.
    pub path: &'a str,
    /// Status of the answer.
    pub status: u16,
    /// Time from head to answer.
    pub duration: Duration,
}

/// Writes one event of target `access`.
pub fn write(access: &Access<'_>) {
    let client = access.client.map_or_else(|| "unix".to_owned(), |client| client.to_string());
    tracing::info!(
        target: "access",
        client,
        method = %access.method,
        path = access.path,
        status = access.status,
        duration_us = u64::try_from(access.duration.as_micros()).unwrap_or(u64::MAX),
        "request"
    );
}

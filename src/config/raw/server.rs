//! `[log]` and `[server]` of the node, as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::check_cors::CorsTable;
use crate::config::check_listener::TlsTable;
use crate::config::limits;

/// `[log]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogTable {
    /// Size of a file of the log, from `4MiB` to `1GiB`, a multiple of 4 KiB and at least twice `max_body`. Its space
    /// is taken when it is begun. Default: `64MiB`, or twice `max_body` where that is more.
    #[schemars(example = &"64MiB")]
    pub segment: Option<String>,
    /// What writes the log: `io_uring`, a plain `thread`, or `auto` for io_uring where the kernel has it. Default:
    /// `auto`.
    #[schemars(extend("enum" = ["auto", "io_uring", "thread"]), example = &"auto")]
    pub writer: Option<String>,
}

/// `[server]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTable {
    /// Address for producers and consumers. Default: `127.0.0.1:8080`.
    #[schemars(example = &"127.0.0.1:8080")]
    pub listen: Option<String>,
    /// Certificates of `listen`. Default: nothing is encrypted.
    pub tls: Option<TlsTable>,
    /// Whether each connection to `listen` begins with a PROXY header, version 2. Default: false.
    #[schemars(example = true)]
    pub proxy_protocol: Option<bool>,
    /// Proxies whose `X-Forwarded-For` is believed: addresses and networks. Default: none.
    #[schemars(extend("examples" = [["10.0.0.0/8"]]))]
    pub trusted_proxies: Option<Vec<String>>,
    /// Address of metrics and health. Default: `127.0.0.1:9090`.
    #[schemars(example = &"127.0.0.1:9090")]
    pub admin: Option<String>,
    /// Threads of the edge. Default: one a core.
    #[schemars(range(min = 1, max = limits::THREADS_MAX), example = 2)]
    pub threads: Option<i64>,
    /// Open connections. Default: 20000.
    #[schemars(range(min = 1, max = limits::CONNECTIONS_MAX), example = 20_000)]
    pub max_connections: Option<i64>,
    /// Open connections of one client address; of IPv6 a /64 counts as one. Proxies that are trusted may have any number.
    /// Default: no bound.
    #[schemars(range(min = 1, max = limits::CONNECTIONS_MAX), example = 100)]
    pub max_connections_per_address: Option<i64>,
    /// Requests after which a connection is closed. Default: no bound.
    #[schemars(range(min = 1, max = limits::CONNECTION_REQUESTS_MAX), example = 10_000)]
    pub max_requests_per_connection: Option<i64>,
    /// Bytes of a request's line and headers. Default: `16KiB`.
    #[schemars(example = &"16KiB")]
    pub max_header: Option<String>,
    /// Bytes of a request's body, decompressed. Default: `10MiB`, or a quarter of `memory_budget` where that is less.
    #[schemars(example = &"10MiB")]
    pub max_body: Option<String>,
    /// Time from a request's first byte to the end of its headers. Default: `10s`.
    #[schemars(example = &"10s")]
    pub header_timeout: Option<String>,
    /// Time for the whole body to come in. Default: `30s`.
    #[schemars(example = &"30s")]
    pub body_timeout: Option<String>,
    /// Time that a connection is kept open with nothing on it. Default: `75s`.
    #[schemars(example = &"75s")]
    pub idle_timeout: Option<String>,
    /// Time that a shutdown may take to deliver what is pending. Default: `25s`.
    #[schemars(example = &"25s")]
    pub drain_timeout: Option<String>,
    /// Whose `X-Request-Id` becomes the id of a request: `proxies` that are trusted, `everybody`, or `nobody`. Default:
    /// `proxies`.
    #[schemars(extend("enum" = ["proxies", "everybody", "nobody"]), example = &"proxies")]
    pub request_ids: Option<String>,
    /// Cross-origin rules for browsers. Default: browsers of other origins are refused.
    pub cors: Option<CorsTable>,
}

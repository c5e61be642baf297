//! `forebay.toml`: raw → checked.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::check_access::check_access;
use super::check_auth::{Principals, check_auth};
use super::check_aws::check_aws;
use super::check_cache::check_cache;
use super::check_cluster::check_cluster;
use super::check_cors::check_cors;
use super::check_function::check_functions;
use super::check_kafka::check_clusters;
use super::check_limit::check_limits;
use super::check_listener::{
    Doors, Listener, ListenerTable, check_address, check_listeners, check_tls, check_trusted_proxies, collide,
};
use super::check_log::check_log;
use super::check_logs::{check_access_log, check_audit_log};
use super::check_rule::check_rules;
use super::check_sink::Env;
use super::check_telemetry::check_telemetry;
use super::checked::{Node, RequestIds, Server};
use super::checker::Checker;
use super::limits;
use super::raw::{NodeFile, ServerTable};
use super::size::Size;

/// Every setting of the node; `None` where a problem was added.
pub(super) fn check_node(raw: NodeFile, env: Env<'_>, checker: &mut Checker<'_>) -> Option<Node> {
    let data_dir = raw.data_dir.unwrap_or_else(|| "./data".to_owned());
    if data_dir.is_empty() {
        checker.problem("data_dir", "data_dir must not be empty: write \"./data\" or another folder");
    }
    let name = match raw.node {
        None => Some(None),
        name => checker.name("node", name, "write node = \"node-1\" or another name").map(Some),
    };
    let budget = check_budget(raw.memory_budget.as_deref(), checker);
    let listeners = raw.listener.unwrap_or_default();
    let server = check_server(raw.server.unwrap_or_default(), listeners, budget, checker);
    let body_bytes_max = server.as_ref().map(|server| server.body_bytes_max);
    let log = check_log(raw.log.unwrap_or_default(), body_bytes_max, checker);
    let cache = check_cache(raw.cache, checker);
    let cluster = check_cluster(raw.cluster, env, checker);
    let access_log = check_access_log(raw.access_log, checker);
    let audit_log = check_audit_log(raw.audit_log, checker);
    let otlp = check_telemetry(raw.telemetry, checker);
    let exposed = server.as_ref().and_then(Server::exposed);
    let keys = raw.access_key.unwrap_or_default();
    let principals = Principals {
        api_keys: raw.api_key.unwrap_or_default(),
        basic_users: raw.basic_user.unwrap_or_default(),
        client_certificates: raw.client_certificate.unwrap_or_default(),
        webhooks: raw.webhook.unwrap_or_default(),
        has_access_keys: !keys.is_empty(),
        authorizer: raw.authorizer,
        jwt_issuers: raw.jwt_issuer.unwrap_or_default(),
    };
    let limits = check_limits(raw.limits.unwrap_or_default(), checker);
    let auth = check_auth(raw.auth, principals, exposed, checker);
    let access = check_access(raw.access, checker);
    let rules = check_rules(raw.rule.unwrap_or_default(), raw.screening.unwrap_or_default(), checker);
    let kafka = check_clusters(raw.kafka.unwrap_or_default(), checker);
    let functions = check_functions(raw.function.unwrap_or_default(), checker);
    let aws = check_aws(raw.aws.unwrap_or_default(), keys, exposed, env, checker);
    Some(Node {
        name: name?,
        data_dir: PathBuf::from(data_dir),
        memory_budget_bytes: budget?,
        log: log?,
        server: server?,
        access: access?,
        rules: rules?,
        auth: auth?,
        limits: limits?,
        cache: cache?,
        cluster: cluster?,
        access_log: access_log?,
        audit_log: audit_log?,
        otlp: otlp?,
        aws: aws?,
        functions: functions?,
        kafka: kafka?,
    })
}

fn check_budget(text: Option<&str>, checker: &mut Checker<'_>) -> Option<u64> {
    let budget = checker.size("memory_budget", text, limits::MEMORY_BUDGET_DEFAULT)?;
    if budget >= limits::MEMORY_BUDGET_MIN {
        return Some(budget);
    }
    let (found, least) = (Size(budget), Size(limits::MEMORY_BUDGET_MIN));
    checker.problem("memory_budget", format!("memory_budget = {found} is too little: write {least} or more"));
    None
}

fn check_server(
    raw: ServerTable,
    listeners: Vec<ListenerTable>,
    budget: Option<u64>,
    checker: &mut Checker<'_>,
) -> Option<Server> {
    let listen = check_address("server.listen", raw.listen.as_deref(), 8080, checker);
    let admin = check_address("server.admin", raw.admin.as_deref(), 9090, checker);
    if let (Some(listen), Some(admin)) = (listen, admin)
        && collide(listen, admin)
    {
        let path = if checker.document.has("server.admin") { "server.admin" } else { "server.listen" };
        checker.problem(path, format!("listen = {listen} and admin = {admin} need different ports"));
    }
    let tls = check_tls(raw.tls, "server.tls", checker);
    let main = listen.zip(tls).map(|(address, tls)| Listener {
        tls,
        is_behind_proxy: raw.proxy_protocol.unwrap_or(false),
        ..Listener::plain(address)
    });
    let known = Doors {
        clients: main.iter().cloned().collect(),
        admin: admin.map(Listener::plain).into_iter().collect(),
    };
    let doors = check_listeners(listeners, known, checker);
    let trusted_proxies = check_trusted_proxies(raw.trusted_proxies, checker);
    // The default does not matter where the number is wrong: the problem is what comes out.
    let threads = match raw.threads {
        None => Some(None),
        given => checker.count("server.threads", given, 1, limits::THREADS_MAX).map(NonZeroUsize::new),
    };
    let connections = checker.count(
        "server.max_connections",
        raw.max_connections,
        limits::CONNECTIONS_DEFAULT,
        limits::CONNECTIONS_MAX,
    );
    let per_address = check_optional(
        "server.max_connections_per_address",
        raw.max_connections_per_address,
        limits::CONNECTIONS_MAX,
        checker,
    );
    let per_connection = check_optional(
        "server.max_requests_per_connection",
        raw.max_requests_per_connection,
        limits::CONNECTION_REQUESTS_MAX,
        checker,
    );
    let header = checker.size_within(
        "server.max_header",
        raw.max_header.as_deref(),
        limits::HEADER_BYTES_DEFAULT as u64,
        1024..=limits::HEADER_BYTES_MAX,
    );
    let body = check_body(raw.max_body.as_deref(), budget, checker);
    let mut time_out = |key: &str, text: Option<&str>, default: u64| {
        checker.duration(&format!("server.{key}"), text, Duration::from_secs(default))
    };
    let header_timeout = time_out("header_timeout", raw.header_timeout.as_deref(), 10);
    let body_timeout = time_out("body_timeout", raw.body_timeout.as_deref(), 30);
    let idle_timeout = time_out("idle_timeout", raw.idle_timeout.as_deref(), 75);
    let drain_timeout = time_out("drain_timeout", raw.drain_timeout.as_deref(), 25);
    let request_ids = checker.word(
        "server.request_ids",
        raw.request_ids.as_deref(),
        RequestIds::Proxies,
        &[
            ("proxies", RequestIds::Proxies),
            ("everybody", RequestIds::Everybody),
            ("nobody", RequestIds::Nobody),
        ],
    );
    let cors = match raw.cors {
        Some(cors) => Some(check_cors(cors, checker)?),
        None => None,
    };
    main.and(admin)?;
    let doors = doors?;
    Some(Server {
        listen: listen?,
        listeners: doors.clients,
        trusted_proxies: trusted_proxies?,
        admin: doors.admin,
        threads: threads?,
        connections_max: connections?,
        address_connections_max: per_address?,
        connection_requests_max: per_connection?.and_then(|count| u64::try_from(count).ok()),
        header_bytes_max: usize::try_from(header?).ok()?,
        body_bytes_max: body?,
        header_timeout: header_timeout?,
        body_timeout: body_timeout?,
        idle_timeout: idle_timeout?,
        drain_timeout: drain_timeout?,
        cors,
        request_ids: request_ids?,
    })
}

/// A bound that there need not be.
fn check_optional(
    path: &str,
    value: Option<i64>,
    max: usize,
    checker: &mut Checker<'_>,
) -> Option<Option<usize>> {
    match value {
        None => Some(None),
        value => checker.count(path, value, 1, max).map(Some),
    }
}

/// A body takes its decoded form and what encoders make of it along: a quarter of the budget keeps one client from
/// spending it all.
fn check_body(text: Option<&str>, budget: Option<u64>, checker: &mut Checker<'_>) -> Option<u64> {
    let budget = budget.unwrap_or(u64::MAX);
    let default = limits::BODY_BYTES_DEFAULT.min(budget / 4);
    let body = checker.size_within("server.max_body", text, default, 1..=limits::BODY_BYTES_MAX)?;
    if body <= budget / 4 {
        return Some(body);
    }
    let (found, budget, most) = (Size(body), Size(budget), Size(budget / 4));
    checker.problem(
        "server.max_body",
        format!(
            "max_body = {found} is more than a quarter of memory_budget = {budget}: write at most {most}, or a larger memory_budget"
        ),
    );
    None
}

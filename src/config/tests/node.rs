use std::time::Duration;

use super::*;
use crate::config::checked::{LogTo, LogWriter, RequestIds};

#[test]
fn an_empty_file_is_the_embedded_defaults() {
    let node = node("");
    assert_eq!(node.data_dir, PathBuf::from("./data"));
    assert_eq!((node.name, node.memory_budget_bytes), (None, 256 << 20));
    assert_eq!((node.log.segment_bytes, node.log.writer), (64 << 20, LogWriter::Auto));
    let server = &node.server;
    assert_eq!(
        (server.listen.to_string(), server.admin[0].at.to_string()),
        ("127.0.0.1:8080".into(), "127.0.0.1:9090".into())
    );
    assert_eq!((server.threads, server.connections_max, server.header_bytes_max), (None, 20_000, 16 << 10));
    assert_eq!(server.body_bytes_max, 10 << 20);
    let seconds = [server.header_timeout, server.body_timeout, server.idle_timeout, server.drain_timeout];
    assert_eq!(seconds, [10, 30, 75, 25].map(Duration::from_secs));
    assert!(server.cors.is_none() && server.request_ids == RequestIds::Proxies);
    assert_eq!((node.access_log, node.audit_log), (None, LogTo::Stderr));
    assert!(node.otlp.is_none());
}

#[test]
fn every_setting_of_the_node_is_taken_over() {
    let node = node(
        r#"
        node = "${STREAM}"
        data_dir = "/var/lib/forebay"
        memory_budget = "1GiB"
        [log]
        segment = "40MiB"
        writer = "io_uring"
        [server]
        listen = "0.0.0.0:80"
        admin = "[::1]:81"
        threads = 3
        max_connections = 10
        max_header = "8KiB"
        max_body = "20MiB"
        header_timeout = "1s"
        body_timeout = "2s"
        idle_timeout = "3s"
        drain_timeout = "4s"
        proxy_protocol = "${FLAG}"
        request_ids = "nobody"
        cors = { origins = ["https://shop.example", "http://localhost:3000"], max_age = "1h" }
        [auth]
        "#,
    );
    let server = &node.server;
    assert_eq!(node.name.as_deref(), Some("from-env"));
    assert_eq!((node.log.segment_bytes, node.log.writer), (40 << 20, LogWriter::IoUring));
    assert_eq!((node.data_dir, node.memory_budget_bytes), (PathBuf::from("/var/lib/forebay"), 1 << 30));
    assert_eq!(
        (server.listen.to_string(), server.admin[0].at.to_string()),
        ("0.0.0.0:80".into(), "[::1]:81".into())
    );
    assert_eq!(server.threads.map(|threads| threads.get()), Some(3));
    assert_eq!(
        (server.connections_max, server.header_bytes_max, server.body_bytes_max),
        (10, 8 << 10, 20 << 20)
    );
    let seconds = [server.header_timeout, server.body_timeout, server.idle_timeout, server.drain_timeout];
    assert_eq!(seconds, [1, 2, 3, 4].map(Duration::from_secs));
    let cors = server.cors.as_ref().expect("cors");
    assert_eq!(cors.origins, ["https://shop.example", "http://localhost:3000"]);
    assert_eq!((cors.max_age, server.request_ids), (Duration::from_secs(3_600), RequestIds::Nobody));
    assert!(server.listeners[0].is_behind_proxy);
}

#[test]
fn defaults_shrink_with_a_small_budget_and_free_ports_may_be_equal() {
    let node = node("memory_budget = \"32MiB\"\n[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"");
    assert_eq!(node.server.body_bytes_max, 8 << 20);
}

#[test]
fn segments_grow_with_the_largest_body() {
    let body = |size: &str| node(&format!("[server]\nmax_body = {size:?}"));
    assert_eq!(body("32MiB").log.segment_bytes, 64 << 20);
    assert_eq!(body("33MiB").log.segment_bytes, 66 << 20);
    assert_eq!(body("34603009B").log.segment_bytes, (66 << 20) + 4_096);
    let exact = node("[log]\nsegment = \"20MiB\"");
    assert_eq!((exact.log.segment_bytes, exact.server.body_bytes_max), (20 << 20, 10 << 20));
}

#[test]
fn every_wrong_setting_of_the_node_is_refused() {
    let origin =
        "is no origin: write scheme and host, such as \"https://shop.example\", without a path, or \"*\"";
    for (text, message) in [
        ("data_dir = \"\"", "1:12: data_dir must not be empty: write \"./data\" or another folder".to_owned()),
        ("memory_budget = \"16MiB\"", "1:17: memory_budget = 16MiB is too little: write 32MiB or more".to_owned()),
        (
            "node = \"a b\"",
            "1:8: node = \"a b\": a name consists of a-z, A-Z, 0-9, '_', '.' and '-'".to_owned(),
        ),
        ("[log]\nsegment = \"2MiB\"", "2:11: segment must be from 4MiB to 1GiB, found 2MiB".to_owned()),
        ("[log]\nsegment = \"2GiB\"", "2:11: segment must be from 4MiB to 1GiB, found 2GiB".to_owned()),
        (
            "[log]\nsegment = \"5MB\"",
            "2:11: segment = 5000000B is no multiple of 4KiB: write 4884KiB".to_owned(),
        ),
        (
            "[log]\nsegment = \"16MiB\"",
            "2:11: segment = 16MiB does not hold 2 requests of max_body = 10MiB\n  help: write segment = \"20MiB\" or more, or max_body = \"8MiB\" or less".to_owned(),
        ),
        (
            "memory_budget = \"4GiB\"\n[log]\nsegment = \"1GiB\"\n[server]\nmax_body = \"600MiB\"",
            "3:11: segment = 1GiB does not hold 2 requests of max_body = 600MiB\n  help: write max_body = \"512MiB\" or less".to_owned(),
        ),
        (
            "[log]\nwriter = \"iouring\"",
            "2:10: writer = \"iouring\" is not known: did you mean \"io_uring\"?".to_owned(),
        ),
        ("data_dri = \"x\"", "1:1: unknown key \"data_dri\" at the top level: did you mean \"data_dir\"?".to_owned()),
        ("listen = \"x\"", "1:1: unknown key \"listen\" at the top level: it belongs in [server]".to_owned()),
        (
            "[server]\nlisten = \"localhost:8080\"",
            "2:10: \"localhost:8080\" is no address: write an IP address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"".to_owned(),
        ),
        (
            "[server]\nadmin = \"127.0.0.1:8080\"",
            "2:9: listen = 127.0.0.1:8080 and admin = 127.0.0.1:8080 need different ports".to_owned(),
        ),
        (
            "[server]\nlisten = \"0.0.0.0:9090\"\n[auth]",
            "2:10: listen = 0.0.0.0:9090 and admin = 127.0.0.1:9090 need different ports".to_owned(),
        ),
        ("[server]\nthreads = 0", "2:11: threads must be from 1 to 1024, found 0".to_owned()),
        ("[server]\nmax_connections = 0", "2:19: max_connections must be from 1 to 1000000, found 0".to_owned()),
        ("[server]\nmax_header = \"1B\"", "2:14: max_header must be from 1KiB to 1MiB, found 1B".to_owned()),
        ("[server]\nmax_body = \"2GiB\"", "2:12: max_body must be from 1B to 1GiB, found 2GiB".to_owned()),
        (
            "[server]\nmax_body = \"65MiB\"",
            "2:12: max_body = 65MiB is more than a quarter of memory_budget = 256MiB: write at most 64MiB, or a larger memory_budget".to_owned(),
        ),
        (
            "[server]\nbody_timeout = \"30\"",
            "2:16: body_timeout: \"30\" has no unit: write 30s if seconds are meant; the units are ms, s, m, h, d".to_owned(),
        ),
        ("[server]\nbody_timeout = \"366d\"", "2:16: body_timeout must be at most 365d".to_owned()),
        ("[server]\nidle_timeout = \"0ms\"", "2:16: idle_timeout must be longer than zero".to_owned()),
        ("[server.cors]\norigins = [\"https://a.example/\"]", format!("2:12: \"https://a.example/\" {origin}")),
        ("[server.cors]\norigins = [\"*\", \"a.example\"]", format!("2:17: \"a.example\" {origin}")),
        (
            "[server.cors]\nmax_age = \"1m\"",
            "1:1: missing \"origins\"\n  help: write origins = [\"https://shop.example\"]".to_owned(),
        ),
        (
            "[server.cors]\norigins = []",
            "2:11: origins must not be empty\n  help: write origins = [\"https://shop.example\"]".to_owned(),
        ),
    ] {
        let (node, problems) = node_from(text);
        assert!(node.is_none(), "{text}");
        assert_eq!(printed(&problems), format!("forebay.toml:{message}"), "{text}");
    }
}

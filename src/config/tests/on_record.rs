//! `[access_log]`, `[audit_log]` and `[telemetry]`.

use std::path::PathBuf;
use std::time::Duration;

use super::{node, node_complaints as complaints};
use crate::config::checked::{LogFile, LogTo};

#[test]
fn logs_go_where_they_are_told_to() {
    let access = node("[access_log]\n").access_log.unwrap();
    assert_eq!((access.sample, access.errors, access.to), (1.0, true, LogTo::Stdout));
    let found =
        node("[access_log]\nsample = 0.25\nerrors = false\nto = \"stderr\"\n[audit_log]\nto = \"stdout\"\n");
    let access = found.access_log.unwrap();
    assert_eq!((access.sample, access.errors, access.to), (0.25, false, LogTo::Stderr));
    assert_eq!(found.audit_log, LogTo::Stdout);
    let file = LogFile {
        path: PathBuf::from("a/b.log"),
        bytes_max: 1 << 20,
        age_max: Duration::from_secs(3_600),
        kept: 3,
        is_compressed: true,
    };
    let keys = "path = \"a/b.log\"\nmax_size = \"1MiB\"\nmax_age = \"1h\"\nkeep = 3\ngzip = true\n";
    let found = node(&format!("[access_log]\nsample = 0\n{keys}[audit_log]\n{keys}"));
    assert_eq!(found.access_log.unwrap().to, LogTo::File(file.clone()));
    assert_eq!(found.audit_log, LogTo::File(file));
}

#[test]
fn a_collector_has_an_address_for_each_signal_and_shows_no_secret() {
    let otlp = "[telemetry]\notlp = { endpoint = \"https://u:${SECRET}@host/base/\", headers = { a = \"${SECRET}\" }, \
                traces_sample = 1, metrics_interval = \"0s\", timeout = \"2s\" }\n";
    let otlp = node(otlp).otlp.unwrap();
    assert_eq!((otlp.traces_url.path(), otlp.metrics_url.path()), ("/base/v1/traces", "/base/v1/metrics"));
    assert_eq!(
        (otlp.traces_sample, otlp.metrics_interval, otlp.timeout),
        (1.0, None, Duration::from_secs(2))
    );
    assert!(!format!("{otlp:?}").contains("hunter2"), "{otlp:?}");
    let otlp = node("[telemetry]\notlp = { endpoint = \"http://127.0.0.1:4318\" }\n").otlp.unwrap();
    assert_eq!(otlp.traces_url.as_str(), "http://127.0.0.1:4318/v1/traces");
    assert_eq!((otlp.traces_sample, otlp.metrics_interval), (0.01, Some(Duration::from_secs(60))));
}

#[test]
fn every_wrong_setting_is_refused() {
    for (text, message) in [
        ("[access_log]\nsample = 1.5\n", "2:10: sample must be from 0 to 1, found 1.5"),
        (
            "[access_log]\nsample = \"all\"\n",
            "2:10: \"sample\" must be a number such as 0.01, found a string",
        ),
        ("[access_log]\nsample = nan\n", "2:10: \"sample\" is no number that can be used"),
        (
            "[access_log]\nto = \"syslog\"\n",
            "2:6: to = \"syslog\" is not known: write \"stdout\" or \"stderr\"",
        ),
        ("[access_log]\nto = \"stdout\"\npath = \"a\"\n", "2:6: there is a path as well: write one of them"),
        (
            "[audit_log]\nkeep = 3\n",
            "1:1: max_size, max_age, keep and gzip are about files: write path = \"logs/audit_log\" beside them",
        ),
        (
            "[audit_log]\npath = \"a\"\nmax_size = \"1KiB\"\n",
            "3:12: max_size must be from 64KiB to 16GiB, found 1KiB",
        ),
        (
            "[audit_log]\npath = \"a/..\"\n",
            "2:8: path must end with the name of a file, such as \"logs/access.log\"",
        ),
        ("[audit_log]\npath = \"a\"\nkeep = 0\n", "3:8: keep must be from 1 to 10000, found 0"),
        (
            "[telemetry]\notlp = { }\n",
            "2:8: missing \"endpoint\"\n  help: write endpoint = \"http://127.0.0.1:4318\" or another address",
        ),
        (
            "[telemetry]\notlp = { endpoint = \"hunter2\" }\n",
            "2:21: endpoint is no http:// or https:// address\n  help: write endpoint = \"http://127.0.0.1:4318\" or another address",
        ),
        (
            "[telemetry]\notlp = { endpoint = \"http://h\", headers = { \"a b\" = \"hunter2\" } }\n",
            "2:53: this is no header: its name or its value has characters that none has",
        ),
        (
            "[server]\naccess_log = true\n",
            "2:1: unknown key \"access_log\" in [server]\n  help: the keys here are ",
        ),
        ("[server]\nrequest_ids = \"all\"\n", "2:15: request_ids = \"all\" is not known: write "),
    ] {
        let found = complaints(text);
        assert!(found.starts_with(&format!("forebay.toml:{message}")), "{text}: {found}");
    }
}

//! `[[listener]]`, `[server] tls` and `trusted_proxies`.

use super::{node_complaints as complaints, node_from, printed};
use crate::config::checked::ListenAt;

#[test]
fn the_main_address_is_the_first_listener_and_tables_come_behind_it() {
    let text = "[server]\nlisten = \"127.0.0.1:81\"\nproxy_protocol = true\ntrusted_proxies = [\"10.1.2.3/8\", \"::1\"]\n\
                [[listener]]\naddress = \"[::1]:82\"\n[[listener]]\nunix = \"edge.sock\"\n";
    let (node, problems) = node_from(text);
    let server = node.unwrap_or_else(|| panic!("{}", printed(&problems))).server;
    let places: Vec<_> = server.listeners.iter().map(|listener| listener.at.to_string()).collect();
    assert_eq!(places, ["127.0.0.1:81", "[::1]:82", "unix:edge.sock"]);
    assert!(server.listeners[0].is_behind_proxy && !server.listeners[1].is_behind_proxy);
    assert!(server.listeners.iter().all(|listener| listener.tls.is_none()));
    let trusted: Vec<_> = server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(server.exposed(), None);
    let (node, _) = node_from("[auth]\n[[listener]]\naddress = \"0.0.0.0:82\"\n");
    assert_eq!(node.unwrap().server.exposed(), Some(&ListenAt::Tcp("0.0.0.0:82".parse().unwrap())));
}

#[test]
fn the_admin_port_may_be_at_more_places_which_are_none_of_clients() {
    let text = "[server]\nadmin = \"127.0.0.1:81\"\n[[listener]]\naddress = \"0.0.0.0:82\"\nadmin = true\n\
                [[listener]]\nunix = \"admin.sock\"\nadmin = true\nproxy_protocol = true\n";
    let (node, problems) = node_from(text);
    let server = node.unwrap_or_else(|| panic!("{}", printed(&problems))).server;
    let places: Vec<_> = server.admin.iter().map(|listener| listener.at.to_string()).collect();
    assert_eq!(places, ["127.0.0.1:81", "0.0.0.0:82", "unix:admin.sock"]);
    assert!(server.admin[2].is_behind_proxy && server.listeners.len() == 1);
    assert_eq!(server.exposed(), None, "nobody can put or read a record there");
    let twice = "[[listener]]\nunix = \"a\"\n[[listener]]\nunix = \"a\"\nadmin = true\n";
    let message = "forebay.toml:3:1: unix:a is taken by unix:a: each listener needs its own place";
    assert_eq!(complaints(twice), message);
}

#[test]
fn every_wrong_listener_is_refused() {
    let neither = "a listener has an address or a Unix socket: write address = \"0.0.0.0:8443\" or unix = \"/run/forebay/edge.sock\"";
    let long = "x".repeat(108);
    for (text, message) in [
        ("[[listener]]\n", format!("1:1: {neither}")),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\nunix = \"a\"\n", format!("1:1: {neither}")),
        (
            "[[listener]]\naddress = \"443\"\n",
            "2:11: \"443\" is no address: write an IP address and a port, such as \"127.0.0.1:8443\" or \"[::]:8443\"".into(),
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:8080\"\n",
            "1:1: 0.0.0.0:8080 is taken by 127.0.0.1:8080: each listener needs its own place".into(),
        ),
        (
            "[[listener]]\naddress = \"127.0.0.1:9090\"\n",
            "1:1: 127.0.0.1:9090 is taken by 127.0.0.1:9090: each listener needs its own place".into(),
        ),
        (
            "[[listener]]\nunix = \"a\"\n[[listener]]\nunix = \"a\"\n",
            "3:1: unix:a is taken by unix:a: each listener needs its own place".into(),
        ),
        (
            &*format!("[[listener]]\nunix = \"{long}\"\n"),
            format!("2:8: \"{long}\" is no path of a socket: write one of 1 to 107 bytes"),
        ),
        (
            "[server]\ntls = { certificate = \"a\" }\n",
            "2:7: missing \"key\"\n  help: write key = \"server.key\", a PEM file beside this one".into(),
        ),
        (
            "[server]\ntls = { certificate = \"a\", key = \"b\", client_certificate = \"optional\" }\n",
            "2:60: client_certificate needs the authorities that they are checked against: write client_ca = \"clients.pem\"".into(),
        ),
        (
            "[server]\ntls = { certificate = \"a\", key = \"b\", min_version = \"1.1\" }\n",
            "2:53: min_version = \"1.1\" is not known: did you mean \"1.2\"?".into(),
        ),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"proxy.example\"]\n",
            "2:34: \"proxy.example\" is no network: write one such as \"10.0.0.0/8\" or \"2001:db8::1\"".into(),
        ),
    ] {
        assert_eq!(complaints(text), format!("forebay.toml:{message}"), "{text}");
    }
    let many = "[[listener]]\nunix = \"a\"\n".repeat(17);
    assert_eq!(complaints(&many), "forebay.toml:33:1: 17 listeners are too many: there may be 16");
}

#[test]
fn certificates_are_looked_for_beside_the_file_and_read_at_once() {
    let text = "[server]\ntls = { certificate = \"a.pem\", key = \"/b.key\" }\n";
    let said = complaints(text);
    assert!(said.starts_with("forebay.toml:2:7: the certificates cannot be used: "), "{said}");
    assert!(said.contains("b.key"), "{said}");
}

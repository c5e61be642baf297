//! `[cache]`.

use std::time::Duration;

use super::{node_from, printed};
use crate::config::checked::{Cache, CachedRoute};

fn cache(text: &str) -> Option<Cache> {
    let (node, problems) = node_from(text);
    node.unwrap_or_else(|| panic!("{}", printed(&problems))).cache
}

#[test]
fn nothing_is_kept_unless_there_is_the_table() {
    assert_eq!(cache(""), None);
    let routes = [CachedRoute::Streams, CachedRoute::Stream, CachedRoute::Shards, CachedRoute::Records];
    let (ttl, full_pages_ttl) = (Duration::from_secs(1), Duration::from_secs(60));
    let wanted = Cache { ttl, full_pages_ttl, bytes_max: 16 << 20, routes: routes.to_vec() };
    assert_eq!(cache("[cache]\n"), Some(wanted));
}

#[test]
fn each_setting_is_taken() {
    let text = "[cache]\nttl = \"500ms\"\nfull_pages_ttl = \"2s\"\nmax_bytes = \"1MiB\"\n\
                routes = [\"records\", \"stream\", \"records\"]\n";
    let wanted = Cache {
        ttl: Duration::from_millis(500),
        full_pages_ttl: Duration::from_secs(2),
        bytes_max: 1 << 20,
        routes: vec![CachedRoute::Records, CachedRoute::Stream],
    };
    assert_eq!(cache(text), Some(wanted));
    let longer = cache("[cache]\nttl = \"5m\"\n").unwrap();
    assert_eq!(longer.full_pages_ttl, longer.ttl);
}

#[test]
fn what_cannot_be_is_told() {
    for (text, wanted) in [
        ("ttl = \"0s\"", "without [cache] nothing is kept"),
        ("ttl = \"2h\"", "1h"),
        ("ttl = \"1m\"\nfull_pages_ttl = \"1s\"", "full_pages_ttl = 1s is less than ttl = 1m"),
        ("max_bytes = \"1KiB\"", "max_bytes must be from 1MiB to 4GiB, found 1KiB"),
        ("routes = []", "routes names none"),
        ("routes = [\"cursors\"]", "\"cursors\" is not known"),
    ] {
        let (node, problems) = node_from(&format!("[cache]\n{text}\n"));
        let found = printed(&problems);
        assert!(node.is_none() && problems.len() == 1 && found.contains(wanted), "{text}: {found}");
    }
}

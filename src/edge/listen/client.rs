//! Which address a request comes from, where proxies stand in between.
//!
//! Each proxy adds the address that it was called from at the end of `X-Forwarded-For`. So the list is read from its
//! end, for as long as the address that was called from is a proxy that is trusted; the first that is none is the
//! client. What stands before it was written by the client and is not believed.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::config::limits::FORWARDED_HOPS_MAX;

/// The header that proxies write.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of the client, if the connection has one.
pub fn address(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut address = canonical(peer?.ip());
    if trusted.is_empty() {
        return Some(address);
    }
    let values: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
    let hops = values.iter().rev().flat_map(|value| {
        // A value that is no text ends the chain: nobody knows what stands in it.
        let text = value.to_str().unwrap_or("?");
        text.rsplit(',').map(hop)
    });
    for hop in hops.take(FORWARDED_HOPS_MAX) {
        if !is_trusted(address, trusted) {
            break;
        }
        // What a trusted proxy has not understood cannot be told from what a client has made up.
        let Some(hop) = hop else { break };
        address = hop;
    }
    Some(address)
}

/// Whether a proxy of this address is believed.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// One entry: an address, which some proxies write with a port or in brackets.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let unbracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = unbracketed.unwrap_or(text).parse().ok();
    address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip())).map(canonical)
}

/// IPv4 in place of IPv6 that stands for it, so that rules for IPv4 hold on listeners of both.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        address(Some(peer.parse().unwrap()), &headers, &trusted).unwrap().to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("192.0.2.1:1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1:1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1:1", &["198.51.100.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1:1", &["198.51.100.1, 203.0.113.9, 10.1.2.3"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1:1", &["203.0.113.9", "10.1.2.3"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1:1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1:1", &["198.51.100.1, unknown"]), "10.0.0.1");
        assert_eq!(client("[fd00::1]:1", &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(client("10.0.0.1:1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(client("[::ffff:10.0.0.1]:1", &["::ffff:203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn a_unix_socket_has_no_address() {
        assert_eq!(address(None, &HeaderMap::new(), &[]), None);
    }

    proptest! {
        #[test]
        fn a_client_cannot_choose_its_address(made_up in "[0-9a-f:., ]{0,60}") {
            prop_assert_eq!(client("10.0.0.1:1", &[&format!("{made_up}, 203.0.113.9")]), "203.0.113.9");
        }
    }
}

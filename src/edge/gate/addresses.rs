//! Which addresses clients may come from.

use std::net::IpAddr;
use std::sync::Arc;

use super::networks::Networks;

/// Addresses that are let in, and those that are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Those that are let in; all where there is no list.
    pub allow: Option<Arc<Networks>>,
    /// Those that are not, whatever is let in.
    pub deny: Arc<Networks>,
}

impl Addresses {
    /// Whether there is a list.
    pub fn is_given(&self) -> bool {
        self.allow.is_some() || !self.deny.is_empty()
    }

    /// Whether a client may come in. One over a Unix socket has no address: the permissions of its file say who may.
    pub fn permit(&self, client: Option<IpAddr>) -> bool {
        let Some(client) = client else { return true };
        !self.deny.contains(client) && self.allow.as_ref().is_none_or(|allow| allow.contains(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Arc<Networks> {
        Arc::new(Networks::new(texts.iter().map(|text| text.parse().unwrap())))
    }

    fn permits(addresses: &Addresses, client: &str) -> bool {
        addresses.permit(Some(client.parse().unwrap()))
    }

    #[test]
    fn what_is_denied_is_denied_also_where_it_is_allowed() {
        let both = Addresses { allow: Some(list(&["10.0.0.0/8"])), deny: list(&["10.1.0.0/16"]) };
        assert!(permits(&both, "10.2.0.1") && permits(&both, "::ffff:10.2.0.1"));
        assert!(!permits(&both, "10.1.0.1") && !permits(&both, "11.0.0.1") && !permits(&both, "::1"));
        let denied = Addresses { allow: None, deny: list(&["10.1.0.0/16"]) };
        assert!(permits(&denied, "10.2.0.1") && !permits(&denied, "::ffff:10.1.0.1"));
    }

    #[test]
    fn an_empty_list_of_those_that_are_allowed_allows_nobody_and_a_unix_socket_has_no_address() {
        let nobody = Addresses { allow: Some(list(&[])), deny: list(&[]) };
        assert!(!permits(&nobody, "10.0.0.1") && nobody.permit(None));
        assert!(permits(&Addresses::default(), "10.0.0.1"));
    }
}

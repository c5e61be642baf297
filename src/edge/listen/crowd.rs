//! Connections by where they come from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use super::client::is_trusted;
use crate::edge::gate::networks::household;

/// Who has how many connections open. An IPv6 client counts as its /64, of which it has all addresses.
///
/// There is an entry only for as long as there is a connection, so that there are no more than `[server] max_connections`.
#[derive(Debug, Default)]
pub struct Crowd {
    /// How many one may have; any number without.
    max: Option<usize>,
    /// Proxies that are believed: they have the connections of many.
    exempt: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, usize, foldhash::fast::RandomState>>,
}

/// A connection that counts, for as long as this exists.
#[derive(Debug)]
pub struct Member {
    crowd: Arc<Crowd>,
    household: IpAddr,
}

impl Crowd {
    /// Nobody has any yet.
    pub fn new(max: Option<usize>, exempt: &[IpNet]) -> Self {
        Self { max, exempt: exempt.to_vec(), open: Mutex::default() }
    }

    /// Counts a connection; nothing to count where there is no bound or no address.
    ///
    /// # Errors
    /// [`Crowded`] if the address has as many as it may.
    pub fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Option<Member>, Crowded> {
        let (Some(max), Some(address)) = (self.max, address) else { return Ok(None) };
        if is_trusted(address.to_canonical(), &self.exempt) {
            return Ok(None);
        }
        let household = household(address);
        let mut open = self.lock();
        let count = open.entry(household).or_default();
        if *count >= max {
            return Err(Crowded);
        }
        *count += 1;
        Ok(Some(Member { crowd: Arc::clone(self), household }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize, foldhash::fast::RandomState>> {
        // Nothing panics while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address has as many connections as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded;

impl Drop for Member {
    fn drop(&mut self) {
        let mut open = self.crowd.lock();
        match open.get_mut(&self.household) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.household)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(crowd: &Arc<Crowd>, address: &str) -> Result<Option<Member>, Crowded> {
        crowd.enter(Some(address.parse().unwrap()))
    }

    #[test]
    fn an_address_has_no_more_than_its_connections_and_gets_them_back() {
        let crowd = Arc::new(Crowd::new(Some(2), &[]));
        let first = enter(&crowd, "192.0.2.1").unwrap();
        let second = enter(&crowd, "::ffff:192.0.2.1").unwrap();
        assert_eq!(enter(&crowd, "192.0.2.1").unwrap_err(), Crowded);
        assert!(enter(&crowd, "192.0.2.2").is_ok());
        drop(first);
        let third = enter(&crowd, "192.0.2.1").unwrap();
        assert!(enter(&crowd, "192.0.2.1").is_err());
        drop((second, third));
        assert!(crowd.lock().is_empty(), "who is gone takes no place");
    }

    #[test]
    fn all_addresses_of_a_64_are_one_client() {
        let crowd = Arc::new(Crowd::new(Some(1), &[]));
        let _one = enter(&crowd, "2001:db8::1").unwrap();
        assert!(enter(&crowd, "2001:db8::ffff:2").is_err());
        assert!(enter(&crowd, "2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn proxies_that_are_believed_and_unix_sockets_are_not_counted() {
        let crowd = Arc::new(Crowd::new(Some(1), &["10.0.0.0/8".parse().unwrap()]));
        let _many: Vec<_> = (0..5).map(|_| enter(&crowd, "::ffff:10.0.0.1").unwrap()).collect();
        let _sockets: Vec<_> = (0..5).map(|_| crowd.enter(None).unwrap()).collect();
        assert!(crowd.lock().is_empty());
        assert!(enter(&Arc::new(Crowd::default()), "192.0.2.1").is_ok_and(|member| member.is_none()));
    }
}

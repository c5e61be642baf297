//! Networks that an address is looked for in.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// Where IPv4 addresses stand among those of IPv6: `::ffff:0:0/96`.
const MAPPED_PREFIX: u8 = 96;

/// A set of networks, as sorted ranges that do not touch: a look is a binary search, however many networks there are.
///
/// An IPv6 network that holds nothing but IPv4-mapped addresses is the IPv4 network that it stands for. Otherwise each
/// network is about addresses of its own version: `::/0` holds no IPv4 address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// All of these.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match unmapped(network) {
                IpNet::V4(network) => v4.push((network.network().into(), network.broadcast().into())),
                IpNet::V6(network) => v6.push((network.network().into(), network.broadcast().into())),
            }
        }
        let (v4, v6) =
            (merged(v4, |end: u32| end.checked_add(1)), merged(v6, |end: u128| end.checked_add(1)));
        Self { v4, v6 }
    }

    /// Whether one of them has the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => has(&self.v4, u32::from(address)),
            IpAddr::V6(address) => has(&self.v6, u128::from(address)),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// The IPv4 network that an IPv6 network stands for, if it does.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let Some(address) = v6.network().to_ipv4_mapped() else { return network };
    match v6.prefix_len().checked_sub(MAPPED_PREFIX).map(|prefix| Ipv4Net::new(address, prefix)) {
        Some(Ok(v4)) => IpNet::V4(v4),
        _ => network,
    }
}

fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match merged.last_mut() {
            Some((_, last)) if next(*last).is_none_or(|next| start <= next) => *last = end.max(*last),
            _ => merged.push((start, end)),
        }
    }
    merged.into_boxed_slice()
}

fn has<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let behind = ranges.partition_point(|(start, _)| *start <= address);
    let candidate = behind.checked_sub(1).and_then(|index| ranges.get(index));
    candidate.is_some_and(|(_, end)| address <= *end)
}

/// The network that an address counts as where one client may have many: an IPv4 address alone, and of IPv6 the /64 that
/// a household or a machine is given.
pub fn household(address: IpAddr) -> IpAddr {
    const INTERFACE_BITS: u32 = 64;
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from(u128::from(address) >> INTERFACE_BITS << INTERFACE_BITS))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::new(texts.iter().map(|text| text.parse::<IpNet>().unwrap()))
    }

    fn has(set: &Networks, address: &str) -> bool {
        set.contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_found_in_its_network_and_in_no_other() {
        let set = networks(&["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "255.255.255.255/32"]);
        for address in ["10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8::1", "255.255.255.255"] {
            assert!(has(&set, address), "{address}");
        }
        for address in ["9.255.255.255", "11.0.0.0", "192.0.2.8", "2001:db9::", "::", "255.255.255.254"] {
            assert!(!has(&set, address), "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_is_the_same_however_it_is_written() {
        let set = networks(&["::ffff:10.0.0.0/104", "192.0.2.0/24"]);
        assert!(has(&set, "10.1.2.3") && has(&set, "::ffff:10.1.2.3") && has(&set, "::ffff:192.0.2.1"));
        assert!(!has(&set, "11.0.0.1") && !has(&set, "::ffff:11.0.0.1"));
        assert!(!has(&networks(&["::/0"]), "10.0.0.1") && !has(&networks(&["0.0.0.0/0"]), "::1"));
        assert!(!has(&networks(&["::/0"]), "::ffff:10.0.0.1"));
    }

    #[test]
    fn networks_that_touch_are_one_range() {
        assert_eq!(networks(&["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16"]), networks(&["10.0.0.0/8"]));
        assert_eq!(networks(&["0.0.0.0/1", "128.0.0.0/1"]).v4.len(), 1);
        assert_eq!(networks(&["::/1", "8000::/1"]), networks(&["::/0"]));
        assert!(networks(&[]).is_empty() && !networks(&["::/0"]).is_empty());
    }

    #[test]
    fn a_household_is_an_ipv4_address_or_a_64() {
        let of = |text: &str| household(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    fn network() -> impl Strategy<Value = IpNet> {
        // Few different first bits, so that networks overlap and touch.
        let v4 = (any::<u32>(), 0..=32_u8).prop_map(|(address, prefix)| {
            let address = Ipv4Addr::from(address & 0x0f0f_00ff);
            IpNet::new(address.into(), prefix).unwrap().trunc()
        });
        let v6 = (any::<u128>(), 0..=128_u8).prop_map(|(address, prefix)| {
            let address = Ipv6Addr::from(address & 0x0f0f_0000_0000_0000_0000_0000_0000_00ff);
            IpNet::new(address.into(), prefix).unwrap().trunc()
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        /// The same as asking one network after the other, at their edges above all.
        #[test]
        fn many_networks_are_asked_as_one_after_the_other(
            all in prop::collection::vec(network(), 0..40),
            others in prop::collection::vec(network(), 0..10),
        ) {
            let set = Networks::new(all.clone());
            let edges = all.iter().chain(&others).flat_map(|network| {
                let step = |address: IpAddr, up: bool| match address {
                    IpAddr::V4(address) => {
                        let bits = u32::from(address);
                        IpAddr::V4(if up { bits.wrapping_add(1) } else { bits.wrapping_sub(1) }.into())
                    }
                    IpAddr::V6(address) => {
                        let bits = u128::from(address);
                        IpAddr::V6(if up { bits.wrapping_add(1) } else { bits.wrapping_sub(1) }.into())
                    }
                };
                let (first, last) = (network.network(), network.broadcast());
                [first, last, step(first, false), step(last, true)]
            });
            for address in edges {
                // Between the versions there is a rule of its own.
                if address.to_canonical() != address { continue }
                let linear = all.iter().any(|network| network.contains(&address));
                prop_assert_eq!(set.contains(address), linear, "{}", address);
            }
        }
    }
}

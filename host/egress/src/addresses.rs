//! Which addresses may be dialled: those of the public Internet, and networks that the operator named.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::LazyLock,
};

use ipnet::{IpNet, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What is not the public Internet, from IANA's registries of special-purpose addresses:
/// <https://www.iana.org/assignments/iana-ipv4-special-registry> and <https://www.iana.org/assignments/iana-ipv6-special-registry>.
/// Cloud metadata services are at 169.254.169.254, 100.100.100.200 and fd00:ec2::254, all within.
static SPECIAL: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    let networks = [
        "0.0.0.0/8",         // this network
        "10.0.0.0/8",        // private
        "100.64.0.0/10",     // carrier-grade NAT
        "127.0.0.0/8",       // loopback
        "168.63.129.16/32",  // Azure's host
        "169.254.0.0/16",    // link-local
        "172.16.0.0/12",     // private
        "192.0.0.0/24",      // protocol assignments
        "192.0.2.0/24",      // documentation
        "192.31.196.0/24",   // AS112
        "192.52.193.0/24",   // AMT
        "192.88.99.0/24",    // 6to4 relays
        "192.168.0.0/16",    // private
        "192.175.48.0/24",   // AS112
        "198.18.0.0/15",     // benchmarks
        "198.51.100.0/24",   // documentation
        "203.0.113.0/24",    // documentation
        "224.0.0.0/4",       // multicast
        "240.0.0.0/4",       // reserved, broadcast
        "2001::/23",         // protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",     // documentation
        "2002::/16",         // 6to4: another address within
        "2620:4f:8000::/48", // AS112
        "3fff::/20",         // documentation
    ];
    networks.iter().map(|network| network.parse().expect("a network")).collect()
});

/// All IPv6 addresses given to the public Internet.
const GLOBAL_UNICAST: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// IPv4 addresses in IPv6 clothes (RFC 6052): what is dialled is the address within.
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// The networks that the operator named, beside the Internet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks(Vec<IpNet>);

impl Networks {
    pub(crate) fn new(named: Vec<IpNet>) -> Self {
        Self(named)
    }

    /// Whether the operator named a network with this address.
    pub(crate) fn named(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether this address may be dialled; without TLS only where the operator said so.
    pub(crate) fn allow(&self, address: IpAddr, tls: bool) -> bool {
        self.named(address) || (tls && public(address))
    }
}

fn public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => public_v4(v4),
        IpAddr::V6(v6) => match within(v6) {
            Some(v4) => public_v4(v4),
            None => GLOBAL_UNICAST.contains(&v6) && !special(address),
        },
    }
}

fn public_v4(address: Ipv4Addr) -> bool {
    !special(address.into())
}

fn special(address: IpAddr) -> bool {
    SPECIAL.iter().any(|network| network.contains(&address))
}

/// The IPv4 address that an IPv6 address stands for.
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    address.to_ipv4_mapped()
}

/// Resolves a name once and leaves out what may not be dialled, so that no second answer of the name server matters.
#[derive(Clone)]
pub(crate) struct Resolver {
    pub(crate) networks: Networks,
    pub(crate) tls: bool,
}

/// A name that leads to no address that may be dialled.
#[derive(Debug, thiserror::Error)]
#[error("{name} leads to {addresses}, which {} not on the public Internet", if *.tls { "is" } else { "may not be reached without TLS, or is" })]
pub(crate) struct NotPublic {
    pub(crate) name: String,
    pub(crate) addresses: String,
    pub(crate) tls: bool,
}

impl Resolver {
    /// Those of a name's addresses that may be dialled, and so are all that is dialled.
    fn allowed(&self, name: &str, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, NotPublic> {
        let allowed = |address: &SocketAddr| self.networks.allow(address.ip(), self.tls);
        let allowed: Vec<SocketAddr> = found.iter().copied().filter(allowed).collect();
        if allowed.is_empty() && !found.is_empty() {
            let addresses = found.iter().take(3).map(|address| address.ip().to_string());
            let addresses = addresses.collect::<Vec<_>>().join(", ");
            return Err(NotPublic { name: name.to_owned(), addresses, tls: self.tls });
        }
        Ok(allowed)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed = resolver.allowed(name.as_str(), &found)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_never_dialled_however_they_are_written() {
        let inside = [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "168.63.129.16",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "::127.0.0.1",
            "2002:7f00:1::",
            "2001:0:1::1",
            "2001:db8::1",
            "fec0::1",
        ];
        for address in inside {
            let address: IpAddr = address.parse().unwrap();
            assert!(!Networks::default().allow(address, true), "{address}");
        }
        for address in
            ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]
        {
            let address: IpAddr = address.parse().unwrap();
            assert!(Networks::default().allow(address, true), "{address}");
            assert!(!Networks::default().allow(address, false), "{address} without TLS");
        }
    }

    /// Each connection asks anew, and what was answered before says nothing of the next answer.
    #[test]
    fn a_name_that_changes_its_mind_is_not_followed_inside() {
        let resolver = Resolver { networks: Networks::default(), tls: true };
        let at = |addresses: &[&str]| -> Vec<SocketAddr> {
            addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 443)).collect()
        };
        let (outside, inside) = (at(&["93.184.216.34"]), at(&["127.0.0.1"]));
        assert_eq!(resolver.allowed("evil.example", &outside).unwrap(), outside);
        let refused = resolver.allowed("evil.example", &inside).unwrap_err().to_string();
        assert_eq!(refused, "evil.example leads to 127.0.0.1, which is not on the public Internet");
        let both = at(&["169.254.169.254", "93.184.216.34", "::1", "10.0.0.1"]);
        assert_eq!(resolver.allowed("evil.example", &both).unwrap(), outside, "nothing else is left to dial");
    }

    #[test]
    fn a_network_the_operator_named_may_be_reached_without_tls() {
        let networks = Networks::new(vec!["10.20.0.0/16".parse().unwrap()]);
        assert!(networks.allow("10.20.3.4".parse().unwrap(), false));
        assert!(!networks.allow("10.21.3.4".parse().unwrap(), true));
    }
}

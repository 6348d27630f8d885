//! Keys that more than one place counts by.

use std::net::{IpAddr, Ipv6Addr};

use tributary_core::hash::Sha256Hash;

/// A client's address. IPv6 is counted by /64, the least that one subscriber gets (RFC 6177).
pub fn ip(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("ip:{address}"),
        IpAddr::V6(address) => {
            let network = Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64));
            format!("ip:{network}/64")
        }
    }
}

/// The account of an e-mail address, whether there is one or not. Hashed, so that addresses do not lie around in Redis;
/// spellings that log into the same account share a key.
pub fn account(email: &str) -> String {
    format!("login:{}", Sha256Hash::of(email.trim().to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_subscriber_share_a_key() {
        let key = |address: &str| ip(address.parse().unwrap());
        assert_eq!(key("192.0.2.1"), "ip:192.0.2.1");
        assert_eq!(key("::ffff:192.0.2.1"), "ip:192.0.2.1");
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "ip:2001:db8:1:2::/64");
        assert_eq!(key("2001:db8:1:2:ffff::1"), key("2001:db8:1:2::1"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }

    #[test]
    fn spellings_of_an_address_share_a_key_that_does_not_tell_it() {
        assert_eq!(account(" Ada@Example.com"), account("ada@example.com"));
        assert!(!account("ada@example.com").contains("ada"));
    }
}

//! Who sent the request: the address of the connection or, behind trusted proxies, the one that they name.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use ipnet::IpNet;

use super::ApiError;
use crate::app::App;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The client's address, by which it is limited: see [`crate::limits::keys::ip`].
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientIp(pub IpAddr);

impl FromRequestParts<Arc<App>> for ClientIp {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let ConnectInfo(peer) = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .ok_or_else(|| ApiError::internal("the listener does not tell the address of its clients"))?;
        Ok(Self(client(peer.ip(), &parts.headers, &app.config.trusted_proxies)))
    }
}

/// Walks from the connection towards the client for as long as the one who speaks is trusted.
///
/// When `X-Forwarded-For` and `Forwarded` disagree, neither is believed: the proxies write one of them, and the other is
/// what the client made up.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let walk = |header, parse: fn(&str) -> Option<IpAddr>| {
        headers.contains_key(&header).then(|| first_untrusted(peer, elements(headers, &header).map(parse), trusted))
    };
    match (walk(X_FORWARDED_FOR, address), walk(header::FORWARDED, forwarded_for)) {
        (Some(one), Some(other)) if one != other => peer,
        (one, other) => one.or(other).unwrap_or(peer),
    }
}

fn first_untrusted(peer: IpAddr, named: impl Iterator<Item = Option<IpAddr>>, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    for next in named {
        match next {
            Some(next) if is_trusted(&client) => client = next,
            _ => break,
        }
    }
    client
}

/// The elements of a list header, last first: each proxy adds one at the end.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let mut lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default()).collect();
    lines.reverse();
    lines.into_iter().flat_map(|line| line.rsplit(',')).map(str::trim)
}

/// The `for` of an element of `Forwarded` (RFC 7239, section 5.2).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(node.trim().trim_matches('"'))
}

/// Whether the client spoke HTTPS: the proxy at the connection says so, and is trusted.
pub(super) fn over_https(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    if !trusted.iter().any(|network| network.contains(&peer)) {
        return false;
    }
    let forwarded = elements(headers, &header::FORWARDED).next().and_then(|element| {
        let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let (_, proto) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("proto"))?;
        Some(proto.trim().trim_matches('"'))
    });
    let proto = elements(headers, &X_FORWARDED_PROTO).next().or(forwarded);
    proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

/// An address with or without a port, IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// The client of a request with these headers, where 10.0.0.0/8 is trusted.
    fn client_of(peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let headers = headers.iter().map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        let headers: HeaderMap = headers.fold(HeaderMap::new(), |mut all, (name, value): (HeaderName, _)| {
            all.append(name, value);
            all
        });
        client(peer.parse().unwrap(), &headers, &["10.0.0.0/8".parse().unwrap()]).to_string()
    }

    #[test]
    fn headers_of_an_untrusted_peer_change_nothing() {
        for header in [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=1.1.1.1")] {
            assert_eq!(client_of("203.0.113.9", &[header]), "203.0.113.9");
        }
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        let client = |value| client_of("10.0.0.1", &[("x-forwarded-for", value)]);
        assert_eq!(client("198.51.100.7"), "198.51.100.7");
        assert_eq!(client("1.1.1.1, 198.51.100.7"), "198.51.100.7", "the client made up the first");
        assert_eq!(client("1.1.1.1,198.51.100.7 , 10.2.3.4"), "198.51.100.7");
        assert_eq!(client("198.51.100.7:4711"), "198.51.100.7");
        assert_eq!(client("[2001:db8::1]:4711"), "2001:db8::1");
        assert_eq!(client("2001:db8::1"), "2001:db8::1");
        assert_eq!(client("10.7.7.7"), "10.7.7.7", "a client inside the trusted network");
        let lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client_of("10.0.0.1", &lines), "198.51.100.7");
        assert_eq!(client_of("::ffff:10.0.0.1", &lines), "198.51.100.7");
    }

    #[test]
    fn forwarded_is_read_as_well() {
        let client = |value| client_of("10.0.0.1", &[("forwarded", value)]);
        assert_eq!(client("for=1.1.1.1, For=198.51.100.7;proto=https;by=10.0.0.1"), "198.51.100.7");
        assert_eq!(client("proto=https;for=\"[2001:db8::1]:4711\""), "2001:db8::1");
        assert_eq!(client("for=\"evil, for=198.51.100.7"), "198.51.100.7", "an open quote swallows nothing");
    }

    #[test]
    fn what_is_not_an_address_ends_the_walk() {
        let client = |value| client_of("10.0.0.1", &[("x-forwarded-for", value)]);
        assert_eq!(client(""), "10.0.0.1");
        assert_eq!(client("1.1.1.1, unknown"), "10.0.0.1");
        assert_eq!(client("1.1.1.1, unknown, 10.0.0.2"), "10.0.0.2");
    }

    #[test]
    fn only_a_trusted_proxy_says_that_a_request_came_over_https() {
        let https = |peer: &str, name: &'static str, value: &'static str| {
            let headers = [(HeaderName::from_static(name), HeaderValue::from_static(value))].into_iter().collect();
            over_https(peer.parse().unwrap(), &headers, &["10.0.0.0/8".parse().unwrap()])
        };
        assert!(https("10.0.0.1", "x-forwarded-proto", "https"));
        assert!(https("10.0.0.1", "x-forwarded-proto", "http, HTTPS"));
        assert!(https("10.0.0.1", "forwarded", "for=198.51.100.7; Proto=\"https\""));
        assert!(!https("10.0.0.1", "x-forwarded-proto", "https, http"), "the client made up the first");
        assert!(!https("203.0.113.9", "x-forwarded-proto", "https"));
        assert!(!https("10.0.0.1", "x-forwarded-for", "https"));
    }

    #[test]
    fn headers_that_disagree_are_not_believed() {
        let both = |forwarded| client_of("10.0.0.1", &[("x-forwarded-for", "198.51.100.7"), ("forwarded", forwarded)]);
        assert_eq!(both("for=198.51.100.7"), "198.51.100.7");
        assert_eq!(both("for=1.1.1.1"), "10.0.0.1");
    }
}

//! Requests of people who have not said who they are yet, limited by address.

use std::net::IpAddr;

use super::{Decision, Limiter, Policy, Window, keys};

/// Tokens of sessions, invitations and resets. High enough for a server that refreshes for all of its users.
const TOKENS: [Policy; 1] = [Policy::new("token-address", 600, Window::Seconds(60))];
/// Visits begun through widgets. Many customers may sit behind one address; the ceilings of the key hold all of them.
const VISITS: [Policy; 1] = [Policy::new("visit-address", 60, Window::Seconds(600))];

/// Lets somebody present a refresh token, an invitation or a reset.
pub async fn token(limiter: &Limiter, address: IpAddr) -> Result<Decision, Decision> {
    limiter.take(&keys::ip(address), &TOKENS, 1).await.granted()
}

/// Lets a visitor in.
pub async fn visit(limiter: &Limiter, address: IpAddr) -> Result<Decision, Decision> {
    limiter.take(&keys::ip(address), &VISITS, 1).await.granted()
}

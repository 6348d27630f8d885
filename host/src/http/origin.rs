//! Where a request comes from.

use std::{convert::Infallible, net::SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::request::Parts,
};

use super::request_id::RequestId;
use crate::audit::Origin;

/// The client's address and the request's id.
pub(super) fn origin(parts: &Parts) -> Origin {
    Origin {
        ip: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip().to_canonical()),
        request_id: parts.extensions.get::<RequestId>().map(ToString::to_string),
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(origin(parts))
    }
}

//! Where a request comes from, for the audit log.

use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{client_ip::ClientIp, request_id::RequestId};
use crate::{app::App, audit::Origin};

impl FromRequestParts<Arc<App>> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let ip = ClientIp::from_request_parts(parts, app).await.ok().map(|ClientIp(ip)| ip);
        Ok(Self { ip, request_id: parts.extensions.get::<RequestId>().map(ToString::to_string) })
    }
}

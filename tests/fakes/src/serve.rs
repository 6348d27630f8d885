//! A fake on the loopback address.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{Fake, Request};

/// A fake that listens until it is dropped.
pub struct Served {
    /// `http://127.0.0.1:1234`, without a slash at the end.
    pub url: String,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens on a free port of 127.0.0.1.
///
/// # Panics
/// When there is no free port.
pub async fn serve(fake: Arc<dyn Fake>) -> Served {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(answer).with_state((fake, address));
    let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serving") });
    Served { url: format!("http://{address}"), task }
}

async fn answer(
    State((fake, address)): State<(Arc<dyn Fake>, SocketAddr)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = format!("http://{}", text("host").map_or_else(|| address.to_string(), str::to_owned));
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let request = Request {
        method: method.as_str().to_owned(),
        origin,
        path: uri.path().to_owned(),
        query,
        headers,
        body: body.to_vec(),
    };
    let answered = fake.answer(&request);
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answered.body).into_response();
    response.headers_mut().remove("content-type");
    for (name, value) in answered.headers {
        if let (Ok(name), Ok(value)) = (axum::http::HeaderName::try_from(name), value.parse()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

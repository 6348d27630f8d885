//! The style, the script and the icon: inside the binary, kept by browsers until they change.

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

const STYLE: &str = include_str!("../../../assets/console.css");
const SCRIPT: &str = include_str!("../../../assets/console.js");
const ICON: &str = include_str!("../../../assets/console.svg");

/// Their addresses; the checksum makes a new one for new content.
pub(super) static STYLE_PATH: LazyLock<String> = LazyLock::new(|| path("console.css", STYLE));
pub(super) static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| path("console.js", SCRIPT));
pub(super) static ICON_PATH: LazyLock<String> = LazyLock::new(|| path("icon.svg", ICON));

fn path(name: &str, content: &str) -> String {
    format!("{}/{name}?{:08x}", super::HOME, crc32fast::hash(content.as_bytes()))
}

pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

pub(super) async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

fn asset(content_type: &'static str, content: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, content).into_response()
}

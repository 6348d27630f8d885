//! Logging in with a page, and the cookie that keeps one logged in.
//!
//! The cookie holds the same two tokens that the API gives a client: one for the requests of ten minutes, and one for the next pair.
//! So the list of sessions, logging out everywhere and the end of an account work here as they do there.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Query, Request, State},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use cookie::{Cookie, SameSite, time::Duration};
use maud::{Markup, html};
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    super::{
        ApiError,
        access::Person,
        auth as api,
        client_ip::{ClientIp, over_https},
        extract::unauthenticated,
    },
    HOME,
    form::{Form, done},
    layout,
};
use crate::{
    app::App,
    audit,
    auth::{self, LoggedIn},
    limits,
};

/// Over HTTP, as on one's own machine.
const PLAIN: &str = "tributary";
/// Over HTTPS; browsers take the prefix from nobody but this very host (RFC 6265bis, section 4.1.3.2).
const SECURE: &str = "__Host-tributary";
/// Between the two tokens; neither has it.
const SEPARATOR: char = '~';

/// Middleware of every closed page: turns the cookie into the bearer token of the request, a new one when the old one is over.
pub(super) async fn enter(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let (name, access, refresh) = read(&parts.headers).ok_or_else(unauthenticated)?;
    let (access, renewed) = match app.auth.authenticate(&access).await {
        Ok(_) => (access, None),
        Err(auth::Error::InvalidToken) => {
            let ClientIp(address) = ClientIp::from_request_parts(&mut parts, &app).await?;
            limits::strangers::token(&app.limits, address).await?;
            let next = app.auth.refresh(&refresh).await?;
            (next.access_token.clone(), Some(next))
        }
        Err(error) => return Err(error.into()),
    };
    let bearer = HeaderValue::try_from(format!("Bearer {access}")).map_err(ApiError::internal)?;
    parts.headers.insert(header::AUTHORIZATION, bearer);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    // Logging out has the last word.
    if let Some(renewed) = renewed.filter(|_| !response.headers().contains_key(header::SET_COOKIE)) {
        set(&mut response, kept(name, &renewed))?;
    }
    Ok(response)
}

/// The cookie's name and its two tokens.
fn read(headers: &HeaderMap) -> Option<(&'static str, String, String)> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies: Vec<_> = lines.flat_map(Cookie::split_parse).flatten().collect();
    let found = |name: &'static str| {
        let cookie = cookies.iter().find(|cookie| cookie.name() == name)?;
        let (access, refresh) = cookie.value().split_once(SEPARATOR)?;
        Some((name, access.to_owned(), refresh.to_owned()))
    };
    found(SECURE).or_else(|| found(PLAIN))
}

fn kept(name: &'static str, tokens: &LoggedIn) -> Cookie<'static> {
    let value = format!("{}{SEPARATOR}{}", tokens.access_token, tokens.refresh_token);
    cookie(name, value, Duration::seconds(auth::IDLE.as_secs().cast_signed()))
}

fn cookie(name: &'static str, value: String, max_age: Duration) -> Cookie<'static> {
    let cookie = Cookie::build((name, value)).path("/").http_only(true).same_site(SameSite::Strict).max_age(max_age);
    cookie.secure(name == SECURE).build()
}

fn set(response: &mut Response, cookie: Cookie<'_>) -> Result<(), ApiError> {
    let value = HeaderValue::try_from(cookie.to_string()).map_err(ApiError::internal)?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

/// Which cookie a log-in sets. A browser says by itself over what it sends a form, a trusted proxy over what it got it.
pub(super) struct CookieName(&'static str);

impl FromRequestParts<Arc<App>> for CookieName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let origin = parts.headers.get(header::ORIGIN);
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let secure = origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
            || peer.is_some_and(|peer| over_https(peer, &parts.headers, &app.config.trusted_proxies));
        Ok(Self(if secure { SECURE } else { PLAIN }))
    }
}

#[derive(Deserialize)]
pub(super) struct Arrival {
    next: Option<String>,
    out: Option<String>,
}

pub(super) async fn login_page(Query(arrival): Query<Arrival>) -> Response {
    let word = arrival.out.map(|_| layout::note("You are logged out."));
    layout::page("Log in", form("", arrival.next.as_deref().unwrap_or(HOME), word)).into_response()
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    email: String,
    password: SecretString,
    next: Option<String>,
}

pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    ClientIp(address): ClientIp,
    api::RequestOrigin(origin): api::RequestOrigin,
    recorded: audit::Origin,
    CookieName(name): CookieName,
    Form(given): Form<Credentials>,
) -> Result<Response, ApiError> {
    let next = given.next.as_deref().filter(|next| layout::is_page(next)).unwrap_or(HOME);
    match api::log_in(&app, address, origin, recorded, &given.email, &given.password).await {
        Ok(logged_in) => {
            let mut response = done(next).into_response();
            set(&mut response, kept(name, &logged_in))?;
            Ok(response)
        }
        Err(error) => {
            let problem = error.into_problem();
            let word = layout::alarm(&layout::sentence(&problem.detail));
            Ok(layout::refusal(&problem, "Log in", form(&given.email, next, Some(word))))
        }
    }
}

pub(super) async fn log_out(state: State<Arc<App>>, headers: HeaderMap, person: Person) -> Result<Response, ApiError> {
    api::logout(state, person).await?;
    let mut response = done("/console/login?out=1").into_response();
    if let Some((name, ..)) = read(&headers) {
        set(&mut response, cookie(name, String::new(), Duration::ZERO))?;
    }
    Ok(response)
}

/// The form, with a word on why it is there.
pub(super) fn form(email: &str, next: &str, word: Option<Markup>) -> Markup {
    html! {
        div.login {
            h1 { "Tributary" }
            @if let Some(word) = word { (word) }
            form method="post" action="/console/login" {
                label for="email" { "E-mail address" }
                input #email name="email" type="text" inputmode="email" autocomplete="username" autocapitalize="none" spellcheck="false"
                    required autofocus[email.is_empty()] value=(email);
                label for="password" { "Password" }
                input #password name="password" type="password" autocomplete="current-password" required autofocus[!email.is_empty()];
                input type="hidden" name="next" value=(next);
                button.primary type="submit" { "Log in" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_of_this_very_host_goes_before_one_that_others_could_have_set() {
        let headers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, HeaderValue::from_static(value));
            headers
        };
        let found = |value| read(&headers(value)).map(|(name, access, refresh)| (name, format!("{access} {refresh}")));
        assert_eq!(found("a=b; tributary=x~y"), Some((PLAIN, "x y".to_owned())));
        assert_eq!(found("tributary=evil~evil; __Host-tributary=x~y"), Some((SECURE, "x y".to_owned())));
        assert_eq!(found("tributary=x"), None);
        assert_eq!(found("tributary2=x~y; =;;"), None);
    }
}

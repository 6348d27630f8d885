//! What every page shares: the frame, the way back, errors, and the headers that keep it closed.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::{
    super::problem::{Finished, Problem},
    HOME, assets, session,
};

/// Nothing from elsewhere, nothing written into the page, no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// A whole page, on its way.
pub(super) struct Page(Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        const HEADERS: [(HeaderName, &str); 3] = [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "same-origin"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ];
        let mut response = self.0.into_response();
        for (name, value) in HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// A page for somebody who is not logged in.
pub(super) fn page(title: &str, main: Markup) -> Page {
    frame(title, html! {}, main, false)
}

/// A page within the console. `trail` is the way to it, from the outside: address and name. One that is `live` is brought up to date by
/// the script, or loaded again now and then where scripts do not run.
pub(super) fn inside(title: &str, trail: &[(String, &str)], live: bool, main: Markup) -> Page {
    let header = html! {
        header.top {
            nav aria-label="Where you are" {
                ol {
                    li { a.home href=(HOME) { "Tributary" } }
                    @for (address, name) in trail { li { a href=(address) { (name) } } }
                }
            }
            form method="post" action="/console/logout" { button.plain type="submit" { "Log out" } }
        }
    };
    frame(title, header, main, live)
}

fn frame(title: &str, header: Markup, main: Markup, live: bool) -> Page {
    Page(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – Tributary" }
                link rel="icon" href=(*assets::ICON_PATH) type="image/svg+xml";
                link rel="stylesheet" href=(*assets::STYLE_PATH);
                @if live { noscript { meta http-equiv="refresh" content="5"; } }
                script src=(*assets::SCRIPT_PATH) defer {}
            }
            body {
                a.skip href="#main" { "To the content" }
                (header)
                main #main data-poll[live] { (main) }
                p #said .unseen role="status" {}
            }
        }
    })
}

/// Something to know.
pub(super) fn note(text: &str) -> Markup {
    html! { p.note role="status" { (text) } }
}

/// Something that went wrong.
pub(super) fn alarm(text: &str) -> Markup {
    html! { p.note.bad role="alert" { (text) } }
}

/// The sentence of an error as people write it.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut sentence: String =
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

/// Whether an address is one of the console's; also of one that a form names.
pub(in super::super) fn is_page(path: &str) -> bool {
    let rest = path.strip_prefix(HOME);
    let plain = |rest: &str| !rest.contains(|c: char| c.is_control() || c == '\\');
    rest.is_some_and(|rest| (rest.is_empty() || rest.starts_with(['/', '?'])) && plain(rest))
}

/// The page for an error. Who is not logged in gets the form, and comes back from it.
pub(in super::super) fn problem(method: &Method, uri: &Uri, headers: &HeaderMap, problem: &Problem) -> Response {
    let title = problem.title.as_str();
    if problem.status == StatusCode::UNAUTHORIZED.as_u16() {
        let next =
            if *method == Method::GET { uri.path_and_query().map(ToString::to_string) } else { referer(headers) };
        let next = next.filter(|next| is_page(next)).unwrap_or_else(|| HOME.to_owned());
        // Whoever comes for the first time is told nothing of an end.
        let word = headers.contains_key(header::COOKIE).then(|| note("Your log-in has ended. Log in to go on."));
        return refusal(problem, "Log in", session::form("", &next, word));
    }
    let back = referer(headers).filter(|back| is_page(back)).unwrap_or_else(|| HOME.to_owned());
    let run = problem.run_id.as_ref().and_then(|run| Some((uri.path().rsplit_once('/')?.0.to_owned(), run)));
    let main = html! {
        h1 { (title) }
        (alarm(&sentence(&problem.detail)))
        @if let Some((source, run)) = run { p { a href={ (source) "/runs/" (run) } { "Look at the run that is going on" } } }
        p { a href=(back) { "Back" } }
        @if let Some(id) = &problem.request_id { p.quiet { "Request " code { (id) } } }
    };
    refusal(problem, title, main)
}

/// A page with the status of a problem, which nobody changes any more.
pub(super) fn refusal(problem: &Problem, title: &str, main: Markup) -> Response {
    let page = if title == "Log in" { page(title, main) } else { inside(title, &[], false, main) };
    let mut response = page.into_response();
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.extensions_mut().insert(Finished);
    response
}

/// The page a request came from: path and query.
fn referer(headers: &HeaderMap) -> Option<String> {
    let referer: Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    referer.path_and_query().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_leads_to_pages_of_the_console_only() {
        for page in ["/console", "/console/", "/console?x", "/console/workspaces/1/sources/2?runs=3"] {
            assert!(is_page(page), "{page}");
        }
        for other in [
            "",
            "/",
            "//evil.example",
            "https://evil.example/console",
            "/consoles",
            "/console\\evil",
            "/console/\r\nx",
            "console",
        ] {
            assert!(!is_page(other), "{other:?}");
        }
    }

    #[test]
    fn errors_are_sentences() {
        assert_eq!(sentence("there is no such source"), "There is no such source.");
        assert_eq!(sentence("Wait!"), "Wait!");
        assert_eq!(sentence(""), ".");
    }
}

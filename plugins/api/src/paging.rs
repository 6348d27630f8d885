//! How one page leads to the next.

use tributary_plugin_sdk::{Failure, HttpResponse};
use url::Url;

use crate::{
    config::{Config, Counts, Pagination, PagingKind, Stop},
    cursor::Position,
    json::{Json, Pointer},
};

/// A cursor or link longer than this is not kept.
const MAX_CURSOR_BYTES: usize = 8 * 1024;

/// What a page says that its successor depends on.
pub(crate) struct Page<'a> {
    pub(crate) response: &'a HttpResponse,
    pub(crate) envelope: &'a Json,
    /// Records it has.
    pub(crate) records: usize,
    /// How many it was asked to have.
    pub(crate) size: Option<u32>,
    /// Its number, from 1.
    pub(crate) number: u32,
}

/// The page after this one; `None` at the end.
///
/// # Errors
/// `source-contract` for a link that leads elsewhere, or no cursor where one is announced.
pub(crate) fn next(
    config: &Config,
    paging: &Pagination,
    at: &Position,
    page: &Page<'_>,
) -> Result<Option<Position>, Failure> {
    let records = page.records as u64;
    Ok(match paging.kind {
        PagingKind::None => None,
        PagingKind::Page => {
            let number = if let Position::Page(number) = at { *number } else { paging.start.unwrap_or(1) };
            let start = paging.start.unwrap_or(1);
            let seen = Seen { pages: number.saturating_sub(start) + 1, items: None };
            (!is_last(paging, page, seen)).then(|| Position::Page(number.saturating_add(1)))
        }
        PagingKind::Offset => {
            let offset = if let Position::Offset(offset) = at { *offset } else { paging.start.unwrap_or(0) };
            let next = offset.saturating_add(if records > 0 { records } else { page.size.unwrap_or(1).into() });
            let seen = Seen { pages: page.number.into(), items: Some(next.saturating_sub(paging.start.unwrap_or(0))) };
            (!is_last(paging, page, seen)).then_some(Position::Offset(next))
        }
        PagingKind::Cursor => {
            let cursor = paging.cursor.as_ref().and_then(|pointer| pointer.scalar(page.envelope));
            let has_more = paging.has_more.as_ref().is_none_or(|pointer| is_true(pointer, page.envelope));
            let is_short = paging.stop == Some(Stop::ShortPage) && page.size.is_some_and(|size| records < size.into());
            let is_empty = paging.stop == Some(Stop::Empty) && records == 0;
            match cursor {
                Some(cursor) if has_more && !is_short && !is_empty => Some(Position::Cursor(kept(cursor)?)),
                _ => None,
            }
        }
        PagingKind::NextUrl => {
            let link = paging.cursor.as_ref().and_then(|pointer| pointer.scalar(page.envelope));
            link.map(|link| follow(config, &page.response.url, &link)).transpose()?
        }
        PagingKind::LinkHeader => {
            let headers = page.response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link"));
            let link = headers.into_iter().find_map(|(_, value)| next_link(value));
            link.map(|link| follow(config, &page.response.url, &link)).transpose()?
        }
        PagingKind::GraphqlConnection => {
            let connection = paging.connection.as_ref().and_then(|pointer| pointer.find(page.envelope));
            let info = connection.and_then(|connection| connection.get("pageInfo"));
            let has_more = info.and_then(|info| info.get("hasNextPage")) == Some(&Json::Bool(true));
            if !has_more {
                return Ok(None);
            }
            let cursor = info.and_then(|info| info.get("endCursor")).and_then(Json::scalar).ok_or_else(|| {
                let what =
                    "The answer announces another page and has no `pageInfo.endCursor`; ask for it in the query.";
                Failure::source_contract("cursor_missing", what)
            })?;
            Some(Position::Cursor(kept(cursor)?))
        }
    })
}

struct Seen {
    pages: u64,
    /// None: counted by the size of pages.
    items: Option<u64>,
}

fn is_last(paging: &Pagination, page: &Page<'_>, seen: Seen) -> bool {
    let total = match paging.stop.unwrap_or(Stop::Empty) {
        Stop::Empty => return page.records == 0,
        Stop::ShortPage => return page.size.is_none_or(|size| (page.records as u64) < size.into()),
        Stop::HasMoreFalse => {
            return !paging.has_more.as_ref().is_some_and(|pointer| is_true(pointer, page.envelope));
        }
        Stop::TotalHeader => {
            paging.total_header.as_ref().and_then(|name| page.response.header(name)).map(str::to_owned)
        }
        Stop::Total => paging.total.as_ref().and_then(|pointer| pointer.scalar(page.envelope)),
    };
    match total.and_then(|total| total.trim().parse::<u64>().ok()) {
        Some(total) if paging.total_counts == Counts::Pages => seen.pages >= total,
        Some(total) => {
            let items = seen.items.or_else(|| Some(seen.pages.saturating_mul(page.size?.into())));
            items.is_none_or(|items| items >= total)
        }
        // Without a total only an empty page tells.
        None => page.records == 0,
    }
}

fn is_true(pointer: &Pointer, envelope: &Json) -> bool {
    pointer.scalar(envelope).is_some_and(|said| said == "true" || said == "1")
}

fn kept(cursor: String) -> Result<String, Failure> {
    if cursor.len() > MAX_CURSOR_BYTES {
        let what =
            format!("The source's cursor is longer than {MAX_CURSOR_BYTES} bytes; ask its maker for another way.");
        return Err(Failure::source_contract("cursor_too_long", what));
    }
    Ok(cursor)
}

/// The page that a link leads to: another path is fine, another origin is not.
fn follow(config: &Config, from: &str, link: &str) -> Result<Position, Failure> {
    let base = config.base();
    let target = Url::parse(from).and_then(|from| from.join(link)).ok();
    match (base, target) {
        (Some(base), Some(target)) if base.origin() == target.origin() && target.username().is_empty() => {
            let mut target = target;
            target.set_fragment(None);
            Ok(Position::Url(kept(target.into())?))
        }
        (_, target) => {
            let origin = target.map_or_else(|| "no URL".to_owned(), |target| target.origin().ascii_serialization());
            let what = format!(
                "The link to the next page leads to another host ({origin}) and was not followed; correct `base_url` if the API moved."
            );
            Err(Failure::source_contract("next_link_elsewhere", what).at("/base_url"))
        }
    }
}

/// The target of `rel="next"` in a `Link` header (RFC 8288).
fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>')?;
        let target = &rest[start + 1..end];
        rest = &rest[end + 1..];
        let (parameters, after) = parameters(rest);
        rest = after;
        let is_next = parameters.iter().any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let relations = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && relations.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target.to_owned());
        }
    }
    None
}

/// The parameters of a link, which end at a comma outside of quotes, and what follows them.
fn parameters(text: &str) -> (Vec<&str>, &str) {
    let (mut parameters, mut start, mut quoted) = (Vec::new(), 0, false);
    for (place, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ';' | ',' if !quoted => {
                parameters.push(&text[start..place]);
                start = place + 1;
                if c == ',' {
                    return (parameters, &text[start..]);
                }
            }
            _ => {}
        }
    }
    parameters.push(&text[start..]);
    (parameters, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        for (header, next) in [
            (r#"<https://a/x?page=2>; rel="next", <https://a/x?page=9>; rel="last""#, Some("https://a/x?page=2")),
            (r#"<https://a/1>; rel="prev"; title="a, b; rel=next", </2>;rel=next"#, Some("/2")),
            (r#"<https://a/1>; rel="last next""#, Some("https://a/1")),
            (r#"<https://a/1>; rel="prev""#, None),
            ("<unclosed", None),
            ("", None),
        ] {
            assert_eq!(next_link(header).as_deref(), next, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(header in "[<>;,\"= a-nrelxt\\PC]{0,40}") {
            let _ = next_link(&header);
        }
    }
}

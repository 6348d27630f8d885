//! The request for a page.

use tributary_plugin_sdk::{Credential, Failure, HttpRequest, Inject as HostInject, Method as HostMethod, Rate};
use url::{Url, form_urlencoded};

use crate::{
    config::{AuthKind, Collection, Config, Filter, InjectPlace, Method, Pagination, PagingKind, Request},
    cursor::{Frame, Phase, Position},
    template::{self, Values},
};

/// What of a run requests depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) upper_bound: i64,
    pub(crate) max_items: u32,
}

/// How a listing is asked for in its phase.
pub(crate) fn pagination(collection: &Collection, phase: Phase) -> &Pagination {
    match phase {
        Phase::Walk => &collection.pagination,
        Phase::Enumerate => collection.deletions.pagination.as_ref().unwrap_or(&collection.pagination),
        Phase::Feed => collection.deletions.pagination.as_ref().unwrap_or(&NO_PAGES),
    }
}

static NO_PAGES: std::sync::LazyLock<Pagination> = std::sync::LazyLock::new(Pagination::default);

/// How many records a page is asked to have: no more than a page of the run takes.
pub(crate) fn page_size(paging: &Pagination, run: Run) -> Option<u32> {
    paging.size.map(|size| size.min(run.max_items).max(1))
}

/// The request for the page that a listing is at.
///
/// # Errors
/// `source-contract` when a value cannot stand in a URL.
pub(crate) fn build(config: &Config, frame: &Frame, run: Run) -> Result<HttpRequest, Failure> {
    let collection = &config.collections[frame.collection];
    let paging = pagination(collection, frame.phase);
    let values = values(collection, paging, frame, run);
    let own = match (frame.phase, &collection.deletions.request) {
        (Phase::Walk, _) | (_, None) => None,
        (_, Some(own)) => Some(own),
    };
    let base = &collection.request;
    let request = match (frame.phase, own) {
        // What an enumeration does not say is as in the listing; its parameters are added to those.
        (Phase::Enumerate, Some(own)) => &merged(base, own),
        (_, own) => own.unwrap_or(base),
    };
    let url = match &frame.at {
        Position::Url(url) => url.clone(),
        _ => url(config, collection, request, paging, frame, &values, run)?.to_string(),
    };
    let (media_type, body) = body(request, &values);
    let method = match (request.method, &body) {
        (Some(Method::Post), _) | (None, Some(_)) => HostMethod::Post,
        _ => HostMethod::Get,
    };
    let mut headers = vec![];
    for (name, text) in config.headers.iter().chain(&request.headers) {
        if let Some(value) = template::fill(text, &values) {
            headers.retain(|(known, _): &(String, String)| !known.eq_ignore_ascii_case(name));
            headers.push((name.clone(), value));
        }
    }
    if let Some(media_type) = media_type
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        headers.push(("content-type".to_owned(), media_type.to_owned()));
    }
    let body = body.or_else(|| (method == HostMethod::Post).then(Vec::new));
    let rates = config.limits.requests.iter().map(|rate| Rate { requests: rate.n, per_ms: rate.per.ms });
    let response = match frame.phase {
        Phase::Walk => &collection.response,
        _ => collection.deletions.response.as_ref().unwrap_or(&collection.response),
    };
    Ok(HttpRequest {
        method,
        url,
        headers,
        body,
        credential: credential(config),
        rates: rates.collect(),
        max_bytes: response.max_bytes.0,
    })
}

fn merged(base: &Request, own: &Request) -> Request {
    let mut request = base.clone();
    request.query.extend(own.query.clone());
    request.headers.extend(own.headers.clone());
    if !own.path.is_empty() {
        request.path.clone_from(&own.path);
    }
    if own.body.is_some() {
        request.body.clone_from(&own.body);
    }
    request.method = own.method.or(request.method);
    request
}

fn values(collection: &Collection, paging: &Pagination, frame: &Frame, run: Run) -> Values {
    let mut values = Values::default();
    for (name, value) in &frame.names {
        values.set(name, value.as_str());
    }
    if let Some(size) = page_size(paging, run) {
        values.set("page_size", size);
    }
    match (&frame.at, paging.kind) {
        (Position::Page(page), _) => values.set("page", *page),
        (Position::Offset(offset), _) => values.set("offset", *offset),
        (Position::Cursor(cursor), _) => values.set("cursor", cursor.as_str()),
        (Position::First, PagingKind::Page) => values.set("page", paging.start.unwrap_or(1)),
        (Position::First, PagingKind::Offset) => values.set("offset", paging.start.unwrap_or(0)),
        _ => {}
    }
    if let Some(incremental) = &collection.incremental {
        let format = incremental.formats.first().copied().unwrap_or(crate::time::Format::Rfc3339);
        if let Some(since) = lower_bound(collection, frame).and_then(|since| format.write(since)) {
            values.set("since", since);
        }
        if let Some(until) = format.write(run.upper_bound) {
            values.set("until", until);
        }
    }
    values
}

/// From when on changes are asked for.
pub(crate) fn lower_bound(collection: &Collection, frame: &Frame) -> Option<i64> {
    let incremental = collection.incremental.as_ref()?;
    let is_bounded = match frame.phase {
        Phase::Walk => incremental.filter == Filter::Server,
        Phase::Enumerate => false,
        Phase::Feed => true,
    };
    let lookback = i64::try_from(incremental.lookback.ms).unwrap_or(i64::MAX);
    frame.since.filter(|_| is_bounded).map(|since| since.saturating_sub(lookback))
}

fn url(
    config: &Config,
    collection: &Collection,
    request: &Request,
    paging: &Pagination,
    frame: &Frame,
    values: &Values,
    run: Run,
) -> Result<Url, Failure> {
    let unusable = || {
        let what =
            format!("The path `{}` cannot be filled with the values of this item; it is left out.", request.path);
        Failure::source_contract("path_unusable", what)
    };
    let mut url = config.base().ok_or_else(|| Failure::config("/base_url", "`base_url` is no URL."))?;
    let path = template::fill_path(&request.path, values).ok_or_else(unusable)?;
    let whole = match path.trim_start_matches('/') {
        "" => url.path().trim_end_matches('/').to_owned(),
        path => format!("{}{path}", url.path()),
    };
    url.set_path(&whole);
    let mut query: Vec<(String, String)> = Vec::new();
    for (name, value) in &request.query {
        match template::fill_json(value, values) {
            Some(serde_json::Value::Array(items)) => query.extend(items.iter().map(|item| (name.clone(), plain(item)))),
            Some(value) => query.push((name.clone(), plain(&value))),
            None => {}
        }
    }
    let mut set = |name: &str, value: String| {
        query.retain(|(known, _)| known != name);
        query.push((name.to_owned(), value));
    };
    if let (Some(name), Some(size)) = (&paging.size_param, page_size(paging, run)) {
        set(name, size.to_string());
    }
    let param = paging.param.as_deref();
    match (&frame.at, paging.kind) {
        (Position::Page(page), _) => param.into_iter().for_each(|name| set(name, page.to_string())),
        (Position::Offset(offset), _) => param.into_iter().for_each(|name| set(name, offset.to_string())),
        (Position::Cursor(cursor), PagingKind::Cursor) => param.into_iter().for_each(|name| set(name, cursor.clone())),
        (Position::First, PagingKind::Page) => {
            param.into_iter().for_each(|name| set(name, paging.start.unwrap_or(1).to_string()));
        }
        (Position::First, PagingKind::Offset) => {
            param.into_iter().for_each(|name| set(name, paging.start.unwrap_or(0).to_string()));
        }
        _ => {}
    }
    if let (Some(incremental), Some(since), Phase::Walk) =
        (&collection.incremental, lower_bound(collection, frame), frame.phase)
    {
        let format = incremental.formats.first().copied().unwrap_or(crate::time::Format::Rfc3339);
        if let (Some(name), Some(since)) = (&incremental.lower_param, format.write(since)) {
            set(name, since);
        }
        if let (Some(name), Some(until)) = (&incremental.upper_param, format.write(run.upper_bound)) {
            set(name, until);
        }
    }
    if frame.at != Position::First {
        query.retain(|(name, _)| !paging.drop_params_after_first.contains(name));
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

fn body(request: &Request, values: &Values) -> (Option<&'static str>, Option<Vec<u8>>) {
    let Some(body) = &request.body else { return (None, None) };
    if let Some(form) = &body.form {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form {
            if let Some(value) = template::fill_json(value, values) {
                pairs.append_pair(name, &plain(&value));
            }
        }
        return (Some("application/x-www-form-urlencoded"), Some(pairs.finish().into_bytes()));
    }
    let json = match (&body.json, &body.graphql) {
        (Some(json), _) => template::fill_json(json, values).unwrap_or_default(),
        (None, Some(graphql)) => {
            let variables = serde_json::Value::Object(graphql.variables.clone());
            let variables = template::fill_json(&variables, values).unwrap_or_default();
            serde_json::json!({ "query": graphql.query, "variables": variables })
        }
        (None, None) => return (None, None),
    };
    (Some("application/json"), Some(json.to_string().into_bytes()))
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn credential(config: &Config) -> Option<Credential> {
    let auth = &config.auth;
    let name = auth.credential.clone().filter(|_| auth.kind != AuthKind::None)?;
    let inject = match &auth.inject {
        None => HostInject::Authorization,
        Some(inject) => {
            let name = inject.name.clone().unwrap_or_default();
            match inject.place {
                InjectPlace::Authorization => HostInject::Authorization,
                InjectPlace::Header => HostInject::Header((name, inject.prefix.clone())),
                InjectPlace::Query => HostInject::Query(name),
            }
        }
    };
    Some(Credential { name, inject, scopes: auth.scopes.clone() })
}

//! What the schema cannot say: whether the parts of a configuration fit together.

use std::collections::BTreeSet;

use tributary_plugin_sdk::Failure;

use super::*;
use crate::{money, template};

/// Places that the connector fills itself.
const OWN: [&str; 6] = ["since", "until", "page", "offset", "cursor", "page_size"];
/// Headers that the host refuses from a connector.
const REFUSED_HEADERS: [&str; 4] = ["authorization", "cookie", "host", "proxy-authorization"];
/// Parents of parents.
const MAX_LEVELS: usize = 4;

impl Config {
    /// # Errors
    /// `config`, pointing at the field.
    pub(crate) fn validate(&self) -> Result<(), Failure> {
        if self.base().is_none() {
            let what = "`base_url` is a URL such as https://api.example.com/v1, without user, query and fragment.";
            return Err(Failure::config("/base_url", what));
        }
        self.validate_auth()?;
        validate_headers(&self.headers, "/headers")?;
        if self.collections.is_empty() {
            return Err(Failure::config("/collections", "Name at least one collection to read."));
        }
        let mut names = BTreeSet::new();
        for (place, collection) in self.collections.iter().enumerate() {
            if !names.insert(&collection.name) {
                let what = format!("Two collections are named `{}`; give each a name of its own.", collection.name);
                return Err(Failure::config(format!("/collections/{place}/name"), what));
            }
            self.validate_collection(place, collection)?;
        }
        self.validate_deletions()
    }

    fn validate_auth(&self) -> Result<(), Failure> {
        let Auth { kind, credential, inject, .. } = &self.auth;
        if *kind != AuthKind::None && credential.as_deref().unwrap_or_default().is_empty() {
            return Err(Failure::config(
                "/auth/credential",
                "Name the credential that is sent, or set `auth.kind` to `none`.",
            ));
        }
        if *kind == AuthKind::None && credential.is_some() {
            return Err(Failure::config(
                "/auth/kind",
                "There is a credential; say in `auth.kind` what it is, such as `bearer`.",
            ));
        }
        if *kind == AuthKind::ApiKey && inject.is_none() {
            let what = "Say where the key goes, such as {\"in\": \"header\", \"name\": \"X-Api-Key\"}.";
            return Err(Failure::config("/auth/inject", what));
        }
        match inject {
            Some(Inject { place: InjectPlace::Header | InjectPlace::Query, name: None, .. }) => {
                Err(Failure::config("/auth/inject/name", "Name the header or the parameter that gets the secret."))
            }
            _ => Ok(()),
        }
    }

    fn validate_collection(&self, place: usize, collection: &Collection) -> Result<(), Failure> {
        let at = format!("/collections/{place}");
        if collection.name.is_empty() || collection.name.len() > 64 || collection.name.contains('/') {
            return Err(Failure::config(
                format!("{at}/name"),
                "A collection's name is one short word, such as `products`.",
            ));
        }
        let mut known: BTreeSet<&str> = OWN.into();
        let (mut ancestor, mut levels) = (collection.parent(), 0);
        while let Some(parent) = ancestor {
            known.insert(&parent.name);
            known.extend(parent.with.keys().map(String::as_str));
            let found = self.collections[..place].iter().find(|one| one.name == parent.collection);
            levels += 1;
            let Some(found) = found.filter(|_| levels < MAX_LEVELS) else {
                let what =
                    format!("There is no collection `{}` before this one; list parents first.", parent.collection);
                return Err(Failure::config(format!("{at}/partitions/parent/collection"), what));
            };
            ancestor = found.parent();
        }
        let is_child = collection.partitions.is_some();
        if is_child && collection.incremental.is_some() {
            let what = "A collection that is listed for each item of another is read when that item changed; put `incremental` there.";
            return Err(Failure::config(format!("{at}/incremental"), what));
        }
        if collection.document.is_none() && self.children(place).is_empty() {
            return Err(Failure::config(format!("{at}/document"), "Say what a record is as a document."));
        }
        validate_request(&collection.request, &known, &format!("{at}/request"))?;
        validate_pagination(collection, &collection.pagination, &format!("{at}/pagination"))?;
        if collection.response.decode == Decode::Xml && collection.response.records.0.is_empty() {
            let what = "Say which elements are records by their path from the root, such as `/rss/channel/item`.";
            return Err(Failure::config(format!("{at}/response/records"), what));
        }
        if let Some(incremental) = &collection.incremental {
            validate_incremental(collection, incremental, &format!("{at}/incremental"))?;
        }
        for (number, rule) in collection.errors.iter().enumerate() {
            if rule.when.status.is_none() && rule.when.json_pointer.is_none() && rule.when.contains.is_none() {
                let what = "Say which answers the rule is for: `status`, `json_pointer` or `contains`.";
                return Err(Failure::config(format!("{at}/errors/{number}/when"), what));
            }
            if rule.then == Some(Action::Retry) {
                return Err(Failure::config(
                    format!("{at}/errors/{number}/then"),
                    "`then` comes after the last try; it cannot be `retry`.",
                ));
            }
        }
        if let Some(mapping) = &collection.document {
            validate_mapping(mapping, &known, &format!("{at}/document"))?;
        }
        if let Some(request) = &collection.deletions.request {
            validate_request(request, &known, &format!("{at}/deletions/request"))?;
        }
        if let Some(pagination) = &collection.deletions.pagination {
            validate_pagination(collection, pagination, &format!("{at}/deletions/pagination"))?;
        }
        Ok(())
    }

    /// Absence tells something of a source as a whole only.
    fn validate_deletions(&self) -> Result<(), Failure> {
        let kinds = || self.collections.iter().filter(|one| one.document.is_some()).map(|one| one.deletions.kind);
        let enumerates = kinds().any(|kind| kind == DeletionKind::Enumerate);
        for (place, collection) in self.collections.iter().enumerate() {
            let (at, deletions) = (format!("/collections/{place}/deletions"), &collection.deletions);
            if enumerates && collection.document.is_some() && deletions.kind != DeletionKind::Enumerate {
                let what = "Either all collections say `enumerate` or none: make a source of its own for the others.";
                return Err(Failure::config(format!("{at}/kind"), what));
            }
            if deletions.kind == DeletionKind::Flag && deletions.flags.is_empty() {
                return Err(Failure::config(format!("{at}/flags"), "Say by what a record shows that it is gone."));
            }
            if deletions.kind == DeletionKind::Feed {
                if deletions.request.is_none() || deletions.id.is_none() {
                    return Err(Failure::config(at, "A feed of deletions needs `request` and `id`."));
                }
                if collection.incremental.is_none() {
                    let what = "A feed of deletions starts where the last run ended: say `incremental` as well.";
                    return Err(Failure::config(at, what));
                }
            }
        }
        Ok(())
    }
}

fn validate_headers(headers: &BTreeMap<String, String>, at: &str) -> Result<(), Failure> {
    match headers.keys().find(|name| REFUSED_HEADERS.contains(&name.to_ascii_lowercase().as_str())) {
        Some(name) => Err(Failure::config(
            format!("{at}/{name}"),
            format!("`{name}` cannot be set here; use `auth` with a credential."),
        )),
        None => Ok(()),
    }
}

fn validate_request(request: &Request, known: &BTreeSet<&str>, at: &str) -> Result<(), Failure> {
    validate_headers(&request.headers, &format!("{at}/headers"))?;
    let mut texts = vec![(request.path.as_str(), format!("{at}/path"))];
    for (name, value) in &request.query {
        texts.extend(template::texts(value).into_iter().map(|text| (text, format!("{at}/query/{name}"))));
    }
    texts.extend(request.headers.iter().map(|(name, text)| (text.as_str(), format!("{at}/headers/{name}"))));
    if let Some(body) = &request.body {
        let given = [body.json.is_some(), body.form.is_some(), body.graphql.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err(Failure::config(format!("{at}/body"), "A body is one of `json`, `form` and `graphql`."));
        }
        if request.method == Some(Method::Get) {
            return Err(Failure::config(format!("{at}/method"), "A request with a body is a `POST`."));
        }
        let json = body.json.iter().chain(body.form.iter().flat_map(BTreeMap::values));
        let variables = body.graphql.iter().flat_map(|graphql| graphql.variables.values());
        for value in json.chain(variables) {
            texts.extend(template::texts(value).into_iter().map(|text| (text, format!("{at}/body"))));
        }
    }
    for (text, at) in texts {
        let places = template::places(text).map_err(|what| Failure::config(&at, format!("{what}.")))?;
        if let Some(unknown) = places.into_iter().find(|place| !known.contains(place)) {
            let known = known.iter().map(|name| format!("`{{{name}}}`")).collect::<Vec<_>>().join(", ");
            return Err(Failure::config(at, format!("Nothing is named `{{{unknown}}}`; there are {known}.")));
        }
    }
    Ok(())
}

fn validate_pagination(collection: &Collection, paging: &Pagination, at: &str) -> Result<(), Failure> {
    let wrong = |field: &str, what: &str| Err(Failure::config(format!("{at}/{field}"), what));
    match paging.kind {
        PagingKind::Cursor | PagingKind::NextUrl if paging.cursor.is_none() => {
            return wrong("cursor", "Say where an answer has the next cursor or URL, such as `/meta/next`.");
        }
        PagingKind::GraphqlConnection if paging.connection.is_none() => {
            return wrong("connection", "Say where an answer has the connection, such as `/data/products`.");
        }
        _ => {}
    }
    match paging.stop {
        Some(Stop::ShortPage) if paging.size.is_none() => return wrong("size", "`short_page` needs `size`."),
        Some(Stop::HasMoreFalse) if paging.has_more.is_none() => {
            return wrong("has_more", "`has_more_false` needs `has_more`, such as `/has_more`.");
        }
        Some(Stop::TotalHeader) if paging.total_header.is_none() => {
            return wrong("total_header", "`total_header` needs the name of the header.");
        }
        Some(Stop::Total) if paging.total.is_none() => return wrong("total", "`total` needs a pointer to the number."),
        _ => {}
    }
    if paging.size == Some(0) || paging.max_pages == 0 {
        return wrong(if paging.size == Some(0) { "size" } else { "max_pages" }, "At least 1.");
    }
    if paging.kind != PagingKind::None && collection.response.decode == Decode::Csv {
        let by_body = matches!(paging.kind, PagingKind::Cursor | PagingKind::NextUrl | PagingKind::GraphqlConnection);
        if by_body {
            return wrong("kind", "CSV says nothing but rows; use `page`, `offset` or `link_header`.");
        }
    }
    Ok(())
}

fn validate_incremental(collection: &Collection, incremental: &Incremental, at: &str) -> Result<(), Failure> {
    if incremental.formats.is_empty() {
        return Err(Failure::config(format!("{at}/formats"), "Name at least one format, such as `rfc3339`."));
    }
    if incremental.filter == Filter::Server && incremental.lower_param.is_none() && !uses_since(&collection.request) {
        let what = "Name the parameter that gets the lower bound, or write `{since}` into the request.";
        return Err(Failure::config(format!("{at}/lower_param"), what));
    }
    Ok(())
}

fn uses_since(request: &Request) -> bool {
    let mut texts: Vec<&str> = request.query.values().flat_map(template::texts).collect();
    texts.extend(request.headers.values().map(String::as_str));
    texts.push(&request.path);
    if let Some(body) = &request.body {
        texts.extend(body.json.iter().chain(body.form.iter().flat_map(BTreeMap::values)).flat_map(template::texts));
        texts.extend(body.graphql.iter().flat_map(|graphql| graphql.variables.values()).flat_map(template::texts));
    }
    texts.into_iter().any(|text| text.contains("{since}"))
}

fn validate_mapping(mapping: &Mapping, known: &BTreeSet<&str>, at: &str) -> Result<(), Failure> {
    let letters =
        mapping.kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    if mapping.kind.is_empty() || mapping.kind.len() > 64 || !letters {
        return Err(Failure::config(format!("{at}/kind"), "`kind` is one lower-case word, such as `product`."));
    }
    let titles = mapping.title.0.iter().map(|text| (text, "title"));
    let bodies = mapping.body.iter().map(|part| (&part.text, "body"));
    let others =
        mapping.url.iter().map(|text| (text, "url")).chain(mapping.language.iter().map(|text| (text, "language")));
    for (text, field) in titles.chain(bodies).chain(others) {
        let Text::Template(template) = text else { continue };
        let places = template::places(template).unwrap_or_default();
        if let Some(unknown) = places.into_iter().find(|place| !place.starts_with('/') && !known.contains(place)) {
            let what = format!("Nothing is named `{{{unknown}}}`; a value of the record is written `{{/{unknown}}}`.");
            return Err(Failure::config(format!("{at}/{field}"), what));
        }
    }
    let mut names = BTreeSet::new();
    for (number, field) in mapping.fields.iter().enumerate() {
        let at = format!("{at}/fields/{number}");
        if field.name.is_empty() || field.name.len() > 100 || !names.insert(&field.name) {
            return Err(Failure::config(format!("{at}/name"), "Fields have short names, each its own."));
        }
        let currency = field.currency.as_deref().unwrap_or("/");
        if !currency.starts_with('/') && !money::is_currency(currency) {
            let what = "Say the currency of the money: a code such as `EUR`, or a pointer to it.";
            return Err(Failure::config(format!("{at}/currency"), what));
        }
    }
    Ok(())
}

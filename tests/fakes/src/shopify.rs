//! Shopify: the GraphQL Admin API as its documentation describes it, as far as `products` goes. It does not run GraphQL: it answers
//! what it holds of the fields that the query names.
//!
//! The traps are in: throttling is a 200 with errors and a cost, cursors are opaque and belong to a sort order, what is too expensive
//! is refused, a missing token is a 401 whose `errors` is a text.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{Answer, Fake, Request, iso};

/// The access token.
pub const TOKEN: &str = "shpat_reader";
/// What a query is charged for each product it asks for.
const COST_EACH: f64 = 12.0;
/// Points that come back in a second.
const RESTORE_RATE: f64 = 100.0;
const MAXIMUM: f64 = 2_000.0;

/// A shop.
#[derive(Debug)]
pub struct Shopify {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    products: Vec<Value>,
    available: f64,
    empty_page: bool,
}

impl Shopify {
    /// A shop with so many products, each changed a minute after the one before.
    pub fn with_products(count: u64) -> Self {
        let shop = Self { inner: Mutex::new(Inner { products: Vec::new(), available: MAXIMUM, empty_page: false }) };
        (1..=count).for_each(|id| shop.put(id, 1_767_225_600 + id as i64 * 60, &format!("Product {id}")));
        shop
    }

    /// Adds a product or changes it, at this moment in seconds since 1970.
    pub fn put(&self, id: u64, at_s: i64, title: &str) {
        let mut inner = self.inner();
        inner.products.retain(|one| one["legacyResourceId"] != *id.to_string());
        inner.products.push(json!({
            "id": format!("gid://shopify/Product/{id}"), "legacyResourceId": id.to_string(), "title": title,
            "handle": format!("product-{id}"), "status": "ACTIVE", "vendor": "ACME", "productType": "Jacket", "tags": ["warm", "new"],
            "descriptionHtml": format!("<h2>{title}</h2><p>Keeps you warm.</p>"),
            "onlineStoreUrl": format!("https://shop.example/products/product-{id}"),
            "createdAt": format!("{}Z", iso(1_767_225_600)), "updatedAt": format!("{}Z", iso(at_s)),
            "priceRangeV2": {
                "minVariantPrice": { "amount": "119.90", "currencyCode": "CAD" },
                "maxVariantPrice": { "amount": "129.0", "currencyCode": "CAD" },
            },
            "variants": { "nodes": [
                { "title": "S", "sku": format!("J-{id}-S"), "price": "119.90", "availableForSale": true },
                { "title": "L", "sku": format!("J-{id}-L"), "price": "129.00", "availableForSale": false },
            ] },
        }));
        inner.products.sort_by_key(|one| one["legacyResourceId"].as_str().and_then(|id| id.parse::<u64>().ok()));
    }

    /// Takes a product away.
    pub fn delete(&self, id: u64) {
        self.inner().products.retain(|one| one["legacyResourceId"] != *id.to_string());
    }

    /// Archives a product, at this moment.
    pub fn archive(&self, id: u64, at_s: i64) {
        for one in self.inner().products.iter_mut().filter(|one| one["legacyResourceId"] == *id.to_string()) {
            one["status"] = "ARCHIVED".into();
            one["updatedAt"] = format!("{}Z", iso(at_s)).into();
        }
    }

    /// So many points are left; each request that is refused gives back what a second restores, as if the caller had waited.
    pub fn set_available(&self, points: f64) {
        self.inner().available = points;
    }

    /// The second page has no products and is not the last.
    pub fn empty_page_in_the_middle(&self) {
        self.inner().empty_page = true;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fake for Shopify {
    fn answer(&self, request: &Request) -> Answer {
        let mut inner = self.inner();
        if request.header("x-shopify-access-token") != Some(TOKEN) {
            let what = "[API] Invalid API key or access token (unrecognized login or wrong password)";
            return Answer::json(&json!({ "errors": what })).with_status(401);
        }
        let is_there = request.path.starts_with("/admin/api/") && request.path.ends_with("/graphql.json");
        if request.method != "POST" || !is_there {
            return Answer::json(&json!({ "errors": "Not Found" })).with_status(404);
        }
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
            return Answer::json(&json!({ "errors": { "query": "Required parameter missing or invalid" } }))
                .with_status(400);
        };
        let (query, variables) = (body["query"].as_str().unwrap_or_default(), &body["variables"]);
        let Some(first) = variables["first"].as_u64().filter(|first| (1..=250).contains(first)) else {
            let message = "Variable $first of type Int! was provided invalid value";
            return Answer::json(
                &json!({ "errors": [{ "message": message, "extensions": { "code": "INVALID_VARIABLE" } }] }),
            );
        };
        let each = if query.contains("descriptionHtml") { COST_EACH } else { 1.0 };
        let requested = 2.0 + first as f64 * each;
        let cost = |inner: &Inner, actual: Option<f64>| {
            json!({ "requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": {
                "maximumAvailable": MAXIMUM, "currentlyAvailable": inner.available, "restoreRate": RESTORE_RATE } })
        };
        if inner.available < requested {
            let cost = cost(&inner, None);
            inner.available += ((requested - inner.available) / RESTORE_RATE).ceil() * RESTORE_RATE;
            let error = json!({ "message": "Throttled", "extensions": { "code": "THROTTLED", "documentation": "https://shopify.dev/api/usage/rate-limits" } });
            return Answer::json(&json!({ "errors": [error], "extensions": { "cost": cost } }));
        }
        let filter = variables["query"].as_str().unwrap_or_default();
        let since = filter.strip_prefix("updated_at:>='").and_then(|rest| rest.strip_suffix('\''));
        let found: Vec<&Value> = inner
            .products
            .iter()
            .filter(|one| !query.contains("status:active") || one["status"] == "ACTIVE")
            .filter(|one| since.is_none_or(|since| one["updatedAt"].as_str().is_some_and(|at| at >= since)))
            .collect();
        // A cursor is `p` and how many products stand before it; `e` leads to an empty page first.
        let after =
            variables["after"].as_str().and_then(|cursor| String::from_utf8(STANDARD.decode(cursor).ok()?).ok());
        let after = after.unwrap_or_else(|| "p0".to_owned());
        let (kind, start) = after.split_at(1);
        let (start, take) = (start.parse().unwrap_or(0), if kind == "e" { 0 } else { first as usize });
        let page: Vec<Value> = found.iter().skip(start).take(take).map(|one| asked(one, query)).collect();
        let (end, has_next) = (start + take, start + take < found.len());
        let kind = if inner.empty_page && kind == "p" && start == 0 { "e" } else { "p" };
        let end_cursor = has_next.then(|| STANDARD.encode(format!("{kind}{end}")));
        let products = json!({ "nodes": page, "pageInfo": { "hasNextPage": has_next, "endCursor": end_cursor } });
        let cost = cost(&inner, Some(requested));
        Answer::json(&json!({ "data": { "products": products }, "extensions": { "cost": cost } }))
    }
}

/// The members that the query names.
fn asked(product: &Value, query: &str) -> Value {
    let members = product.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| query.contains(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

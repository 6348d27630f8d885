//! BigCommerce: the V3 catalogue as its documentation describes it, as far as products go.
//!
//! The traps are in: prices are JSON numbers, rate limits are counted in windows whose rest is told in milliseconds, and
//! `include_fields` always gives the id.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::{Answer, Fake, Request, iso};

/// The access token.
pub const TOKEN: &str = "bc_reader";

/// A store.
#[derive(Debug)]
pub struct BigCommerce {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    products: Vec<(u64, Value)>,
    /// Requests left in the window; a request beyond starts a new one after its refusal.
    left: u32,
}

impl BigCommerce {
    /// A store with so many products, each changed a minute after the one before.
    pub fn with_products(count: u64) -> Self {
        let store = Self { inner: Mutex::new(Inner { products: Vec::new(), left: 150 }) };
        (1..=count).for_each(|id| store.put(id, 1_767_225_600 + id as i64 * 60, &format!("Product {id}"), "19.90"));
        store
    }

    /// Adds a product or changes it. `price` is written into the answer as it is.
    pub fn put(&self, id: u64, at_s: i64, name: &str, price: &str) {
        let mut inner = self.inner();
        inner.products.retain(|(known, _)| *known != id);
        let product = json!({
            "id": id, "name": name, "type": "physical", "sku": format!("SKU-{id}"), "description": format!("<p>{name} is here.</p>"),
            "price": format!("@{price}@"), "sale_price": 0, "is_visible": true, "availability": "available",
            "total_sold": 0, "view_count": 10, "custom_url": { "url": format!("/product-{id}/"), "is_customized": false },
            "date_created": format!("{}+00:00", iso(1_767_225_600)), "date_modified": format!("{}+00:00", iso(at_s)),
            "variants": [
                { "id": id * 10, "sku": format!("SKU-{id}-RED"), "option_values": [{ "label": "Red", "option_display_name": "Colour" }] },
            ],
        });
        inner.products.push((id, product));
        inner.products.sort_by_key(|(id, _)| *id);
    }

    /// Takes a product away.
    pub fn delete(&self, id: u64) {
        self.inner().products.retain(|(known, _)| *known != id);
    }

    /// Hides a product; its date of change stays.
    pub fn hide(&self, id: u64) {
        self.inner()
            .products
            .iter_mut()
            .filter(|(known, _)| *known == id)
            .for_each(|(_, one)| one["is_visible"] = false.into());
    }

    /// So many requests are left in the window.
    pub fn set_left(&self, left: u32) {
        self.inner().left = left;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fake for BigCommerce {
    fn answer(&self, request: &Request) -> Answer {
        let mut inner = self.inner();
        if request.header("x-auth-token") != Some(TOKEN) {
            return error(401, "You are not authorized");
        }
        let limited = |answer: Answer, left: u32| {
            answer
                .header("X-Rate-Limit-Requests-Left", left.to_string())
                .header("X-Rate-Limit-Requests-Quota", "150")
                .header("X-Rate-Limit-Time-Window-Ms", "30000")
                .header("X-Rate-Limit-Time-Reset-Ms", "7250")
        };
        if inner.left == 0 {
            inner.left = 150;
            return limited(error(429, "Too many requests"), 0);
        }
        inner.left -= 1;
        if !(request.path.starts_with("/stores/") && request.path.ends_with("/v3/catalog/products")) {
            return limited(error(404, "The route is not found, check the URL"), inner.left);
        }
        let number =
            |name: &str, usual: usize| request.param(name).and_then(|text| text.parse().ok()).unwrap_or(usual).max(1);
        let (page, limit) = (number("page", 1), number("limit", 50).min(250));
        let since = request.param("date_modified:min").map(|since| since.trim_end_matches('Z').to_owned());
        let with_variants = request.param("include") == Some("variants");
        let fields = request.param("include_fields").filter(|fields| !fields.is_empty());
        let found: Vec<&Value> = inner
            .products
            .iter()
            .map(|(_, one)| one)
            .filter(|one| request.param("is_visible") != Some("true") || one["is_visible"] == true)
            .filter(|one| {
                since.as_ref().is_none_or(|since| one["date_modified"].as_str().is_some_and(|at| at >= since.as_str()))
            })
            .collect();
        let (total, pages) = (found.len(), found.len().div_ceil(limit).max(1));
        let data: Vec<Value> = found
            .into_iter()
            .skip((page - 1) * limit)
            .take(limit)
            .map(|one| {
                let members = one.as_object().into_iter().flatten();
                let shown = members.filter(|(name, _)| match (name.as_str(), fields) {
                    ("id", _) => true,
                    ("variants", _) => with_variants,
                    (name, Some(fields)) => fields.split(',').any(|field| field == name),
                    _ => true,
                });
                shown.map(|(name, value)| (name.clone(), value.clone())).collect()
            })
            .collect();
        let meta = json!({ "pagination": { "total": total, "count": data.len(), "per_page": limit, "current_page": page,
            "total_pages": pages, "links": { "current": format!("?page={page}&limit={limit}") } } });
        // Prices are numbers, digit for digit.
        let text = json!({ "data": data, "meta": meta }).to_string().replace("\"@", "").replace("@\"", "");
        limited(Answer::ok(text).header("content-type", "application/json"), inner.left)
    }
}

fn error(status: u16, title: &str) -> Answer {
    let body = json!({ "status": status, "title": title, "type": "https://developer.bigcommerce.com/api-docs/getting-started/api-status-codes", "errors": {} });
    Answer::json(&body).with_status(status)
}

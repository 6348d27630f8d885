//! WooCommerce: the REST API `wc/v3` as its documentation describes it, as far as products and their variations go.
//!
//! The traps are in: ten items a page unless asked, a hundred at most; `modified_after` compares with the shop's own time unless
//! `dates_are_gmt` is true; `status=any` leaves the trash out; what is deleted for good is nowhere.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{Answer, Fake, Request, iso};

/// What Basic authentication must say: a consumer key and its secret.
pub const KEY: (&str, &str) = ("ck_reader", "cs_secret");
/// The shop's time is so far ahead of GMT.
const OFFSET_S: i64 = 2 * 3_600;

/// A shop.
#[derive(Debug, Default)]
pub struct WooCommerce {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    products: Vec<Value>,
    /// With the id of their product.
    variations: Vec<(u64, Value)>,
    /// Answers given before anything else is looked at, last first.
    failures: Vec<Answer>,
}

impl WooCommerce {
    /// A shop without products.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shop with so many products, each modified a minute after the one before; every fifth has two variations.
    pub fn with_products(count: u64) -> Self {
        let shop = Self::new();
        for id in 1..=count {
            shop.put(id, 1_767_225_600 + id as i64 * 60, &format!("Product {id}"), "19.90");
            if id % 5 == 0 {
                for number in 1..=2 {
                    shop.put_variation(
                        id,
                        id * 1_000 + number,
                        1_767_225_600,
                        if number == 1 { "Small" } else { "Large" },
                    );
                }
            }
        }
        shop
    }

    /// Adds a product or changes it, at this moment in seconds since 1970.
    pub fn put(&self, id: u64, at_s: i64, name: &str, price: &str) {
        let mut inner = self.inner();
        let variations: Vec<u64> =
            inner.variations.iter().filter(|(of, _)| *of == id).filter_map(|(_, one)| one["id"].as_u64()).collect();
        let product = json!({
            "id": id, "name": name, "slug": format!("product-{id}"), "permalink": format!("https://shop.example/product/{id}/"),
            "date_created": iso(1_767_225_600 + OFFSET_S), "date_created_gmt": iso(1_767_225_600),
            "date_modified": iso(at_s + OFFSET_S), "date_modified_gmt": iso(at_s),
            "type": if variations.is_empty() { "simple" } else { "variable" }, "status": "publish", "featured": false,
            "description": format!("<p>All about <b>{name}</b> &amp; its uses.</p>\n<ul><li>Warm</li><li>Light</li></ul>"),
            "short_description": format!("<p>{name} in short.</p>"), "sku": format!("SKU-{id}"),
            "price": price, "regular_price": price, "sale_price": "", "on_sale": false, "total_sales": 3,
            "stock_status": "instock", "categories": [{"id": 9, "name": "Clothing", "slug": "clothing"}], "tags": [],
            "attributes": [], "variations": variations,
        });
        put(&mut inner.products, id, product);
    }

    /// Adds or changes a variation; like the real thing, the product's date of modification stays.
    pub fn put_variation(&self, product: u64, id: u64, at_s: i64, size: &str) {
        let mut inner = self.inner();
        inner.variations.retain(|(_, one)| one["id"] != id);
        let variation = json!({
            "id": id, "date_modified": iso(at_s + OFFSET_S), "date_modified_gmt": iso(at_s), "date_created_gmt": iso(at_s),
            "description": "", "permalink": format!("https://shop.example/product/{product}/?size={size}"),
            "sku": format!("SKU-{product}-{size}"), "price": "21.50", "status": "publish", "stock_status": "instock",
            "attributes": [{"id": 1, "name": "Size", "option": size}],
        });
        inner.variations.push((product, variation));
        inner.variations.sort_by_key(|(_, one)| one["id"].as_u64());
        inner.relist(product);
    }

    /// Takes a product or a variation away for good.
    pub fn delete(&self, id: u64) {
        let mut inner = self.inner();
        inner.products.retain(|one| one["id"] != id);
        let product = inner.variations.iter().find(|(_, one)| one["id"] == id).map(|(product, _)| *product);
        inner.variations.retain(|(product, one)| *product != id && one["id"] != id);
        if let Some(product) = product {
            inner.relist(product);
        }
    }

    /// Sets a product's status (`draft`, `trash`, …); the trash does not change the date of modification.
    pub fn set_status(&self, id: u64, status: &str) {
        let mut inner = self.inner();
        inner.products.iter_mut().filter(|one| one["id"] == id).for_each(|one| one["status"] = status.into());
    }

    /// Sets any member of a product.
    pub fn set(&self, id: u64, member: &str, value: Value) {
        let mut inner = self.inner();
        inner.products.iter_mut().filter(|one| one["id"] == id).for_each(|one| one[member] = value.clone());
    }

    /// The next request is answered with this, whatever it is.
    pub fn fail_next(&self, answer: Answer) {
        self.inner().failures.insert(0, answer);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn relist(&mut self, product: u64) {
        let ids: Vec<u64> =
            self.variations.iter().filter(|(of, _)| *of == product).filter_map(|(_, one)| one["id"].as_u64()).collect();
        for one in self.products.iter_mut().filter(|one| one["id"] == product) {
            one["type"] = if ids.is_empty() { "simple" } else { "variable" }.into();
            one["variations"] = json!(ids);
        }
    }
}

fn put(list: &mut Vec<Value>, id: u64, value: Value) {
    match list.iter_mut().find(|one| one["id"] == id) {
        Some(one) => *one = value,
        None => list.push(value),
    }
}

/// An error as WordPress writes it.
fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(&json!({ "code": code, "message": message, "data": { "status": status } })).with_status(status)
}

impl Fake for WooCommerce {
    fn answer(&self, request: &Request) -> Answer {
        let mut inner = self.inner();
        if let Some(failure) = inner.failures.pop() {
            return failure;
        }
        let expected = format!("Basic {}", STANDARD.encode(format!("{}:{}", KEY.0, KEY.1)));
        match request.header("authorization") {
            None => {
                return error(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.");
            }
            Some(given) if given != expected => {
                return error(401, "woocommerce_rest_authentication_error", "Consumer key is invalid.");
            }
            Some(_) => {}
        }
        let path = request.path.strip_prefix("/wp-json/wc/v3/").unwrap_or_default();
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["products"] => list(request, inner.products.iter()),
            ["products", id, "variations"] => {
                let id: u64 = id.parse().unwrap_or_default();
                if !inner.products.iter().any(|one| one["id"] == id) {
                    return error(404, "woocommerce_rest_product_invalid_id", "Invalid ID.");
                }
                list(request, inner.variations.iter().filter(|(of, _)| *of == id).map(|(_, one)| one))
            }
            _ => error(404, "rest_no_route", "No route was found matching the URL and request method."),
        }
    }
}

fn list<'a>(request: &Request, items: impl Iterator<Item = &'a Value>) -> Answer {
    let number = |name: &str, usual: usize| match request.param(name) {
        None => Ok(usual),
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|n| *n >= 1)
            .ok_or_else(|| error(400, "rest_invalid_param", &format!("Invalid parameter(s): {name}"))),
    };
    let (page, per_page) = match (number("page", 1), number("per_page", 10)) {
        (Ok(page), Ok(per_page)) if per_page <= 100 => (page, per_page),
        (Ok(_), Ok(_)) => return error(400, "rest_invalid_param", "Invalid parameter(s): per_page"),
        (Err(answer), _) | (_, Err(answer)) => return answer,
    };
    let member = if request.param("dates_are_gmt") == Some("true") { "date_modified_gmt" } else { "date_modified" };
    let status = request.param("status").unwrap_or("any");
    let after = request.param("modified_after");
    let mut found: Vec<&Value> = items
        .filter(|one| match status {
            "any" => one["status"] != "trash",
            status => one["status"] == status,
        })
        .filter(|one| after.is_none_or(|after| one[member].as_str().is_some_and(|at| at > after)))
        .collect();
    let latest_first = request.param("order") != Some("asc");
    match request.param("orderby").unwrap_or("date") {
        "id" => found.sort_by_key(|one| one["id"].as_u64()),
        _ => found.sort_by_key(|one| one["date_created_gmt"].as_str().map(str::to_owned)),
    }
    if latest_first {
        found.reverse();
    }
    let total = found.len();
    let pages = total.div_ceil(per_page);
    let fields: Option<Vec<&str>> = request.param("_fields").map(|fields| fields.split(',').collect());
    let page: Vec<Value> = found
        .into_iter()
        .skip((page - 1) * per_page)
        .take(per_page)
        .map(|one| match &fields {
            None => one.clone(),
            Some(fields) => fields.iter().map(|field| ((*field).to_owned(), one[*field].clone())).collect(),
        })
        .collect();
    Answer::json(&json!(page)).header("x-wp-total", total.to_string()).header("x-wp-totalpages", pages.to_string())
}

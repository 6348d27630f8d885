//! Feeds: one file with everything, as JSON, CSV or XML, with an `ETag` unless told otherwise.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;

use crate::{Answer, Fake, Request};

/// A host with `/products.json`, `/products.csv` and `/products.xml`, which all say the same.
#[derive(Debug)]
pub struct Feeds {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Ids with names and prices.
    items: Vec<(u64, String, String)>,
    has_etag: bool,
    /// Requests answered in full.
    full: u32,
}

impl Feeds {
    /// Feeds with so many items.
    pub fn with_items(count: u64) -> Self {
        let items = (1..=count).map(|id| (id, format!("Item \"{id}\", <new> & old"), "19.90".to_owned())).collect();
        Self { inner: Mutex::new(Inner { items, has_etag: true, full: 0 }) }
    }

    /// Adds an item or changes it.
    pub fn put(&self, id: u64, name: &str, price: &str) {
        let mut inner = self.inner();
        let item = (id, name.to_owned(), price.to_owned());
        match inner.items.iter_mut().find(|(known, ..)| *known == id) {
            Some(known) => *known = item,
            None => inner.items.push(item),
        }
    }

    /// Takes an item away.
    pub fn delete(&self, id: u64) {
        self.inner().items.retain(|(known, ..)| *known != id);
    }

    /// From now on answers have no `ETag`.
    pub fn without_etag(&self) {
        self.inner().has_etag = false;
    }

    /// How many requests were answered in full since the last look.
    pub fn take_full(&self) -> u32 {
        std::mem::take(&mut self.inner().full)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fake for Feeds {
    fn answer(&self, request: &Request) -> Answer {
        let mut inner = self.inner();
        let (body, media_type) = match request.path.as_str() {
            "/products.json" => {
                let items: Vec<_> = inner.items.iter().map(|(id, name, price)| {
                    json!({ "id": id, "title": name, "description": format!("<p>About {id}.</p>"), "url": format!("https://x.example/{id}"), "price": format!("@{price}@") })
                }).collect();
                let text = json!({ "products": items }).to_string();
                (text.replace("\"@", "").replace("@\"", ""), "application/json")
            }
            "/products.csv" => {
                let rows = inner.items.iter().map(|(id, name, price)| {
                    format!("{id};\"{}\";About {id}.;https://x.example/{id};{price}\r\n", name.replace('"', "\"\""))
                });
                (
                    format!("\u{feff}id;title;description;link;price\r\n{}", rows.collect::<String>()),
                    "text/csv; charset=utf-8",
                )
            }
            "/products.xml" => {
                let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
                let items = inner.items.iter().map(|(id, name, price)| {
                    format!("<item><g:id>{id}</g:id><title>{}</title><description><![CDATA[<p>About {id}.</p>]]></description><link>https://x.example/{id}</link><g:price>{price} EUR</g:price><g:availability>in_stock</g:availability></item>\n", escape(name))
                });
                let items: String = items.collect();
                let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><rss version=\"2.0\" xmlns:g=\"http://base.google.com/ns/1.0\"><channel><title>Shop</title>";
                (format!("{head}{items}</channel></rss>"), "application/xml")
            }
            _ => return Answer::status(404),
        };
        let hash = body
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let etag = format!("\"{hash:016x}\"");
        if inner.has_etag && request.header("if-none-match") == Some(&etag) {
            return Answer::status(304).header("etag", etag);
        }
        inner.full += 1;
        let answer = Answer::ok(body).header("content-type", media_type);
        if inner.has_etag { answer.header("etag", etag) } else { answer }
    }
}

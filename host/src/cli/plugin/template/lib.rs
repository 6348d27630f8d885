//! Articles of a small JSON API, as documents.

use serde::Deserialize;
use tributary_plugin_sdk::*;

pub struct {{Type}};

#[derive(Deserialize)]
pub struct Config {
    base_url: String,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Article {
    id: u64,
    title: String,
    text: String,
    url: String,
    updated_at: String,
}

fn articles(host: &dyn Host, config: &Config, page: u32, per_page: u32) -> Result<Vec<Article>, Failure> {
    let mut request = HttpRequest::get(format!("{}/articles?page={page}&per_page={per_page}", config.base_url));
    if let Some(token) = &config.token {
        request = request.authorized_by(token);
    }
    host.send(&request)?.success(host)?.json(host)
}

impl Connector for {{Type}} {
    type Config = Config;

    fn describe() -> Descriptor {
        Descriptor {
            id: "{{name}}".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            title: "{{Title}}".into(),
            config_schema: include_str!("config.schema.json").into(),
            hosts: vec!["/base_url".into()],
            roots: vec![],
            capabilities: Capabilities::INCREMENTAL,
        }
    }

    fn check(host: &dyn Host, config: Config) -> Result<Vec<CheckItem>, Failure> {
        let name = "articles can be read";
        Ok(vec![match articles(host, &config, 1, 1) {
            Ok(_) => CheckItem::ok(name),
            Err(failure) => CheckItem::failed(name, failure.message).at("/base_url"),
        }])
    }

    fn pull(host: &dyn Host, config: Config, request: &PullRequest) -> Result<Page, Failure> {
        let page: u32 = request.cursor()?.unwrap_or(1);
        let articles = articles(host, &config, page, request.max_items)?;
        let ids: Vec<_> = articles.iter().map(|article| article.id.to_string()).collect();
        let known = host.lookup(&ids)?;
        let last = articles.len() < request.max_items as usize;
        let documents = articles.into_iter().zip(ids).zip(known).map(|((article, id), known)| {
            let unchanged = known.as_ref() == Some(&article.updated_at);
            let content = if unchanged { Content::Unchanged } else { Content::text(article.text) };
            let document = Document::new(id, "article", content).titled(article.title).linked(article.url);
            document.fingerprinted(article.updated_at).into()
        });
        let changes = documents.collect();
        if last { Ok(Page::complete_exhaustive(changes)) } else { Page::more(changes, &(page + 1)) }
    }
}

export_connector!({{Type}});

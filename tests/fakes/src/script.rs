//! A fake behind a `TestHost`, with credentials put in as the real host does.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use tributary_plugin_sdk::{Failure, Fault, HttpRequest, Inject, Method, testing::Answer};
use url::Url;

use crate::{Fake, Request};

/// A credential's secret, for [`script`].
#[derive(Clone, Debug)]
pub enum Secret {
    /// For `authorization`: `Bearer …`; elsewhere as it is.
    Token(&'static str),
    /// User and password, for `authorization`.
    Basic(&'static str, &'static str),
}

/// Answers a test host's requests with a fake, wherever they are sent.
pub fn script(
    fake: Arc<dyn Fake>,
    credentials: &[(&'static str, Secret)],
) -> impl Fn(&HttpRequest) -> Result<Answer, Failure> + Send + Sync + 'static {
    let credentials = credentials.to_vec();
    move |asked| {
        let url = Url::parse(&asked.url).map_err(|error| Failure::config("", format!("{}: {error}", asked.url)))?;
        let method = match asked.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
        };
        let mut request = Request {
            method: method.to_owned(),
            origin: url.origin().ascii_serialization(),
            path: url.path().to_owned(),
            query: url.query_pairs().into_owned().collect(),
            headers: asked.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect(),
            body: asked.body.clone().unwrap_or_default(),
        };
        if let Some(credential) = &asked.credential {
            let secret = credentials.iter().find(|(name, _)| *name == credential.name).map(|(_, secret)| secret);
            let secret = secret.ok_or_else(|| {
                let what = format!("there is no credential named {:?} in this workspace", credential.name);
                Failure::new(Fault::AuthInvalid, "credential_missing", what)
            })?;
            let (authorization, plain) = match secret {
                Secret::Token(token) => (format!("Bearer {token}"), (*token).to_owned()),
                Secret::Basic(user, password) => {
                    (format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))), (*password).to_owned())
                }
            };
            match &credential.inject {
                Inject::Authorization => request.headers.insert("authorization".to_owned(), authorization),
                Inject::Header((name, prefix)) => {
                    request.headers.insert(name.to_ascii_lowercase(), format!("{prefix}{plain}"))
                }
                Inject::Query(name) => {
                    request.query.push((name.clone(), plain));
                    None
                }
            };
        }
        Ok(fake.answer(&request))
    }
}

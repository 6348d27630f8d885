//! Putting a credential where the connector wants it.

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use tributary_core::{
    contract::{Failure, Fault},
    http::Inject,
};
use url::Url;

use crate::secrets::Secret;

/// Fields that hold what is sent, for credentials with several.
const SENT: [&str; 6] = ["token", "key", "api_key", "access_token", "secret", "password"];

/// A secret on its way.
#[derive(Debug)]
pub(crate) enum Place {
    /// A header.
    Header(String, SecretString),
    /// A parameter of the query.
    Query(String, SecretString),
}

impl Place {
    /// What it gives away: the secret without the words before it, and what Basic authentication wraps.
    pub(crate) fn given_away(&self) -> Vec<String> {
        let secret = match self {
            Self::Header(_, value) => value.expose_secret().rsplit(' ').next().unwrap_or_default(),
            Self::Query(_, secret) => secret.expose_secret(),
        };
        let wrapped = STANDARD.decode(secret).ok().and_then(|pair| String::from_utf8(pair).ok());
        let password = wrapped.and_then(|pair| Some(pair.split_once(':')?.1.to_owned()));
        [Some(secret.to_owned()), password].into_iter().flatten().collect()
    }

    /// The URL with it, when it goes there.
    pub(crate) fn with_secret(&self, url: &Url) -> Url {
        let mut url = url.clone();
        if let Self::Query(name, secret) = self {
            url.query_pairs_mut().append_pair(name, secret.expose_secret());
        }
        url
    }
}

/// Where `secret` goes. `token` is the access token, for kinds that have one.
pub(crate) fn place(
    inject: &Inject,
    name: &str,
    secret: &Secret,
    token: Option<SecretString>,
) -> Result<Place, Failure> {
    let plain = match token {
        Some(token) => token,
        None if secret.kind == "basic" && *inject == Inject::Authorization => {
            let user = secret.find("user").or_else(|| secret.find("username")).unwrap_or_default();
            let pair = format!("{user}:{}", secret.field("password", name)?);
            return Ok(Place::Header("authorization".to_owned(), format!("Basic {}", STANDARD.encode(pair)).into()));
        }
        None => sent(name, secret)?.to_owned().into(),
    };
    Ok(match inject {
        Inject::Authorization => {
            Place::Header("authorization".to_owned(), format!("Bearer {}", plain.expose_secret()).into())
        }
        Inject::Header { name, prefix } => {
            Place::Header(name.to_ascii_lowercase(), format!("{prefix}{}", plain.expose_secret()).into())
        }
        Inject::Query(parameter) => Place::Query(parameter.clone(), plain),
    })
}

fn sent<'a>(name: &str, secret: &'a Secret) -> Result<&'a str, Failure> {
    let mut fields = secret.fields.values();
    if let (Some(only), None) = (fields.next(), fields.next()) {
        return Ok(only.expose_secret());
    }
    SENT.iter().find_map(|field| secret.find(field)).ok_or_else(|| {
        let message = format!(
            "the credential {name:?} has several fields and none of them is named {}; set it anew with one of these",
            SENT.join(", ")
        );
        Failure::new(Fault::AuthInvalid, "credential_incomplete", message)
    })
}

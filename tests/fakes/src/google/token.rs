//! The token endpoint: the RS256 assertion of a service account, and refresh tokens.
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde_json::json;

use super::errors;
use crate::{Answer, Request};

pub(crate) const SERVICE_ACCOUNT: &str = "reader@tributary-test.iam.gserviceaccount.com";
const KEY_ID: &str = "0123456789abcdef0123456789abcdef01234567";
/// Longest life of an assertion.
const HOUR_SECONDS: u64 = 3_600;

/// Made once in a process, since it takes a moment.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).expect("an RSA key"));

/// Somebody's token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) email: String,
    pub(crate) scopes: BTreeSet<String>,
}

/// Keys, tokens and who may have one.
pub(crate) struct Tokens {
    /// By the text of the token.
    pub(crate) valid: BTreeMap<String, Token>,
    minted: u64,
    /// Refresh tokens that are accepted, with their scopes.
    pub(crate) refresh: BTreeMap<String, BTreeSet<String>>,
    /// A refresh token is accepted once, and another comes back.
    pub(crate) rotate: bool,
    /// Users that the service account may act for.
    pub(crate) delegated: BTreeSet<String>,
    /// The key was deleted in the Cloud console.
    pub(crate) key_deleted: bool,
}

#[derive(Deserialize)]
struct Assertion {
    iat: u64,
    exp: u64,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    sub: Option<String>,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self {
            valid: BTreeMap::new(),
            minted: 0,
            refresh: BTreeMap::new(),
            rotate: false,
            delegated: BTreeSet::new(),
            key_deleted: false,
        }
    }

    /// The key file as the Cloud console gives it out.
    pub(crate) fn service_account_json(&self, token_uri: &str) -> String {
        let der: Pkcs8V1Der<'_> = KEY.as_der().expect("a key as PKCS#8");
        let lines: Vec<String> = STANDARD
            .encode(der.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        json!({
            "type": "service_account",
            "project_id": "tributary-test",
            "private_key_id": KEY_ID,
            "private_key": format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")),
            "client_email": SERVICE_ACCOUNT,
            "client_id": "101400000000000000000",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        })
        .to_string()
    }

    pub(crate) fn mint(&mut self, email: &str, scopes: impl IntoIterator<Item = String>) -> String {
        self.minted += 1;
        let text = format!("ya29.fake-{}", self.minted);
        self.valid.insert(text.clone(), Token { email: email.to_owned(), scopes: scopes.into_iter().collect() });
        text
    }

    /// `POST /token`.
    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        match field("grant_type") {
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                self.by_assertion(field("assertion"), &format!("{}{}", request.origin, request.path))
            }
            "refresh_token" => {
                self.by_refresh_token(field("client_id"), field("client_secret"), field("refresh_token"))
            }
            _ => errors::oauth(400, "unsupported_grant_type", "Invalid grant_type"),
        }
    }

    fn by_assertion(&mut self, assertion: &str, audience: &str) -> Answer {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[SERVICE_ACCOUNT]);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        let key = DecodingKey::from_rsa_der(KEY.public_key().as_ref());
        let claims = match decode::<Assertion>(assertion, &key, &validation) {
            Ok(data) if !self.key_deleted => data.claims,
            Ok(_) => return errors::oauth(400, "invalid_grant", "Invalid JWT Signature."),
            Err(error) => return errors::oauth(400, "invalid_grant", &format!("Invalid JWT: {error}")),
        };
        if claims.exp.saturating_sub(claims.iat) > HOUR_SECONDS {
            let what = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.";
            return errors::oauth(400, "invalid_grant", what);
        }
        if claims.scope.is_empty() {
            return errors::oauth(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.");
        }
        let email = match claims.sub {
            Some(user) if self.delegated.contains(&user) => user,
            Some(_) => {
                let what = "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.";
                return errors::oauth(401, "unauthorized_client", what);
            }
            None => SERVICE_ACCOUNT.to_owned(),
        };
        let token = self.mint(&email, claims.scope.split(' ').map(str::to_owned));
        Answer::json(&json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" }))
    }

    fn by_refresh_token(&mut self, client_id: &str, client_secret: &str, refresh_token: &str) -> Answer {
        if (client_id, client_secret) != ("fake-client", "fake-client-secret") {
            return errors::oauth(401, "invalid_client", "The OAuth client was not found.");
        }
        let Some(scopes) = self.refresh.get(refresh_token).cloned() else {
            return errors::oauth(400, "invalid_grant", "Token has been expired or revoked.");
        };
        let token = self.mint("ada@example.com", scopes.clone());
        let scope = scopes.iter().cloned().collect::<Vec<_>>().join(" ");
        let mut answer = json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer", "scope": scope });
        if self.rotate {
            self.refresh.remove(refresh_token);
            let next = format!("1//fake-refresh-{}", self.minted);
            self.refresh.insert(next.clone(), scopes);
            answer["refresh_token"] = json!(next);
        }
        Answer::json(&answer)
    }
}

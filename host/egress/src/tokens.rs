//! Access tokens of OAuth credentials: asked for once by all who need one, kept until shortly before they end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use moka::{Expiry, future::Cache};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tributary_core::{
    contract::{Failure, Fault},
    hash::Sha256Hash,
};
use url::Url;

use crate::{Egress, Secret, Secrets, client::place};

/// A token is not used in its last minute.
const MARGIN: Duration = Duration::from_secs(60);
/// For servers that do not say how long their tokens live.
const DEFAULT_LIFETIME_S: u64 = 3_600;
/// Google's limit for an assertion: <https://developers.google.com/identity/protocols/oauth2/service-account>.
const ASSERTION_LIFETIME_S: i64 = 3_600;
const LONGEST_ANSWER_BYTES: u64 = 64 << 10;
const GOOGLE_TOKENS: &str = "https://oauth2.googleapis.com/token";

/// A token and how long it is good for.
#[derive(Clone)]
struct Token {
    secret: SecretString,
    lifetime: Duration,
}

struct UntilItEnds;

impl Expiry<Key, Token> for UntilItEnds {
    fn expire_after_create(&self, _: &Key, token: &Token, _: Instant) -> Option<Duration> {
        Some(token.lifetime)
    }
}

/// Workspace, credential, value and scopes: a credential that was set anew gets a new token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(Sha256Hash);

pub(crate) struct Tokens {
    cache: Cache<Key, Token>,
}

/// What a token endpoint answers: RFC 6749, sections 5.1 and 5.2.
#[derive(Deserialize)]
struct Granted {
    access_token: Option<String>,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// RFC 7523, as Google describes it for service accounts.
#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    iat: i64,
    exp: i64,
}

/// A credential that gets its tokens from a server.
pub(crate) struct Grant<'a> {
    pub(crate) workspace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) secret: &'a Secret,
    pub(crate) scopes: &'a [String],
    pub(crate) secrets: &'a Arc<dyn Secrets>,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self { cache: Cache::builder().max_capacity(10_000).expire_after(UntilItEnds).build() }
    }

    /// Whether credentials of this kind are not sent themselves.
    pub(crate) fn has_tokens(kind: &str) -> bool {
        matches!(kind, "oauth2" | "google_service_account")
    }

    /// A token for this credential.
    pub(crate) async fn get(&self, egress: &Egress, grant: &Grant<'_>) -> Result<SecretString, Failure> {
        let token = self.cache.try_get_with(grant.key(), grant.ask(egress)).await;
        token.map(|token| token.secret).map_err(|failure| (*failure).clone())
    }

    /// The source refused this credential's token: the next caller asks for another.
    pub(crate) async fn forget(&self, grant: &Grant<'_>) {
        self.cache.invalidate(&grant.key()).await;
    }
}

impl Grant<'_> {
    fn key(&self) -> Key {
        let mut text = format!("{}\0{}\0{}\0{}", self.workspace, self.name, self.secret.kind, self.scopes.join(" "));
        for (field, value) in &self.secret.fields {
            // A refresh token that took the place of another is no other credential.
            if field != "refresh_token" {
                text.push_str(&format!("\0{field}\0{}", value.expose_secret()));
            }
        }
        Key(Sha256Hash::of(text))
    }

    async fn ask(&self, egress: &Egress) -> Result<Token, Failure> {
        match self.secret.kind.as_str() {
            "google_service_account" => self.ask_with_assertion(egress).await,
            _ => self.ask_with_refresh_token(egress).await,
        }
    }

    async fn ask_with_assertion(&self, egress: &Egress) -> Result<Token, Failure> {
        let field = |name| self.secret.field(name, self.name);
        let (account, key) = (field("client_email")?, field("private_key")?);
        let endpoint = self.secret.find("token_uri").unwrap_or(GOOGLE_TOKENS);
        let now = Utc::now().timestamp();
        let assertion = Assertion {
            iss: account,
            scope: &self.scopes.join(" "),
            aud: endpoint,
            sub: self.secret.find("subject"),
            iat: now,
            exp: now + ASSERTION_LIFETIME_S,
        };
        let broken = |_| {
            let message = format!(
                "the private_key of the credential {:?} is not an RSA key in PEM; copy it from the service account's key file as it is",
                self.name
            );
            Failure::new(Fault::AuthInvalid, "credential_damaged", message)
        };
        // Key files hold line breaks; what was pasted by hand may hold them as \n.
        let pem = key.replace("\\n", "\n");
        let header =
            Header { kid: self.secret.find("private_key_id").map(str::to_owned), ..Header::new(Algorithm::RS256) };
        let signing = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(broken)?;
        let assertion = jsonwebtoken::encode(&header, &assertion, &signing).map_err(broken)?;
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
        self.granted(self.post(egress, endpoint, &form).await?)
    }

    async fn ask_with_refresh_token(&self, egress: &Egress) -> Result<Token, Failure> {
        // Another host may have used the refresh token since: the credential is read again, and once more when it is refused.
        let mut tried = None;
        loop {
            let secret = self.secrets.reveal(self.name).await?.unwrap_or_else(|| self.secret.clone());
            let refresh_token = secret.find("refresh_token").map(str::to_owned);
            let scope = self.scopes.join(" ");
            let mut form = vec![("client_id", secret.field("client_id", self.name)?)];
            form.extend(secret.find("client_secret").map(|secret| ("client_secret", secret)));
            match &refresh_token {
                Some(token) => form.extend([("grant_type", "refresh_token"), ("refresh_token", token.as_str())]),
                None => form.push(("grant_type", "client_credentials")),
            }
            if refresh_token.is_none() && !scope.is_empty() {
                form.push(("scope", &scope));
            }
            let answer = self.post(egress, secret.field("token_url", self.name)?, &form).await?;
            let refused = answer.error.as_deref() == Some("invalid_grant");
            if refused && tried != refresh_token {
                tried = refresh_token;
                continue;
            }
            if let (Some(previous), Some(next)) = (&refresh_token, &answer.refresh_token)
                && previous != next
            {
                self.secrets.keep_refresh_token(self.name, previous, next).await?;
            }
            return self.granted(answer);
        }
    }

    async fn post(&self, egress: &Egress, endpoint: &str, form: &[(&str, &str)]) -> Result<Granted, Failure> {
        let url = Url::parse(endpoint).map_err(|error| {
            let message = format!("the token URL of the credential {:?} is not a URL: {error}", self.name);
            Failure::new(Fault::AuthInvalid, "credential_damaged", message)
        })?;
        let request = egress.request(Method::POST, &url)?.header("accept", "application/json").form(form);
        let request = request.build().map_err(|error| {
            Failure::new(Fault::Internal, "request_not_built", format!("the token request: {}", error.without_url()))
        })?;
        let answer = egress.send(request).await?;
        let status = answer.response.status().as_u16();
        let mut body = answer.body(LONGEST_ANSWER_BYTES, place(&url));
        let mut bytes = Vec::new();
        while let Some(piece) = futures::StreamExt::next(&mut body).await {
            bytes.extend_from_slice(&piece?);
        }
        if status == 429 || status >= 500 {
            let message =
                format!("{} answered {status} to the credential {:?}; it is tried again later", place(&url), self.name);
            let mut failure = Failure::new(Fault::Transient, "token_endpoint_unavailable", message);
            failure.http_status = Some(status);
            return Err(failure);
        }
        serde_json::from_slice(&bytes).map_err(|_| {
            let message = format!(
                "{} answered {status} and no token to the credential {:?}; check its token URL",
                place(&url),
                self.name
            );
            Failure::new(Fault::AuthInvalid, "token_endpoint_unusable", message)
        })
    }

    fn granted(&self, answer: Granted) -> Result<Token, Failure> {
        if let Some(token) = answer.access_token {
            let lifetime = Duration::from_secs(answer.expires_in.unwrap_or(DEFAULT_LIFETIME_S));
            return Ok(Token {
                secret: token.into(),
                lifetime: lifetime.saturating_sub(MARGIN).max(Duration::from_secs(1)),
            });
        }
        let error = answer.error.unwrap_or_else(|| "no access_token in the answer".to_owned());
        let said = answer.error_description.map(|said| format!(" ({said})")).unwrap_or_default();
        let (fault, code) = match error.as_str() {
            "invalid_grant" if self.secret.kind == "oauth2" => (Fault::AuthExpired, "grant_expired"),
            _ => (Fault::AuthInvalid, "grant_refused"),
        };
        let advice = match fault {
            Fault::AuthExpired => "log in at the source again and set the credential anew",
            _ => "check that its values are complete, current and meant for this",
        };
        let text = format!("the credential {:?} got no token: {error}{said}; {advice}", self.name);
        Err(Failure::new(fault, code, text.chars().filter(|char| !char.is_control()).take(500).collect::<String>()))
    }
}

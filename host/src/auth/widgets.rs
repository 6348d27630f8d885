//! Visitors of widgets: a key that everybody can read lets them in from the origins it names, and a token knows them for a while.
//!
//! Browsers tell the origin truly, other programs what they like. So a widget key opens chat alone, over the documents it names, within
//! ceilings for each visitor and for all of them.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{SubsecRound, TimeDelta};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};

use tributary_core::{
    Instant, KeyId, VisitorId, WorkspaceId,
    access::Power,
    audience::Audience,
    hash::Sha256Hash,
    principal::{Actor, Grant, KeyLimits, Principal},
    widget::{Identity, Widget},
};
use tributary_store::ApiKey;
use url::Url;
use uuid::{Builder, Uuid};

use super::{Auth, Error, keys, keys::Kind, sessions::random_token, tokens::ISSUER};

/// A visit ends when nothing was heard of the visitor for so long.
const IDLE: TimeDelta = TimeDelta::minutes(30);
/// A visit ends after so long, however lively it is.
const LONGEST: TimeDelta = TimeDelta::hours(24);
/// Sites and this server may disagree about the time by so much.
const SKEW: TimeDelta = TimeDelta::minutes(1);
/// A site may vouch for a visitor for so long at a time.
const LONGEST_IDENTITY: TimeDelta = TimeDelta::hours(24);
const LONGEST_SUBJECT: usize = 256;
const LONGEST_IDENTITY_BYTES: usize = 4_096;
const MOST_ORIGINS: usize = 50;

const TYPE: &str = "visitor+jwt";
const AUDIENCE: &str = "tributary-widget";

/// Why a page may not use a widget key.
#[derive(Debug, thiserror::Error)]
pub enum WidgetRefusal {
    /// The request tells no origin, as browsers do.
    #[error("this is for browsers: the request names no origin")]
    NoOrigin,
    /// Not one of the key's.
    #[error("this widget key may not be used on {0}: add exactly this origin to the key if the page is yours")]
    Origin(String),
    /// The site has to say who the visitor is.
    #[error("this widget takes visitors only whom its site vouches for: send `identity`, a token that the site signed")]
    IdentityRequired,
    /// What the site says does not hold.
    #[error("the visitor's identity does not hold: {0}")]
    Identity(&'static str),
}

/// What is asked of a new widget key.
#[derive(Clone, Debug, Default)]
pub struct NewWidget {
    /// Where it may be used.
    pub origins: Vec<String>,
    /// How much one visitor may ask for.
    pub visitor_limits: KeyLimits,
    /// Whether the site says who its visitors are.
    pub identity: Identity,
}

/// A widget key, ready to be kept.
pub(super) struct MadeWidget {
    /// As it is kept.
    pub widget: Widget,
    /// What the site signs identities with, to be shown once.
    pub identity_secret: Option<SecretString>,
    /// The same, sealed.
    pub sealed_identity_secret: Option<Vec<u8>>,
}

/// A widget key in force.
pub struct WidgetKey {
    id: KeyId,
    workspace_id: WorkspaceId,
    audience: Audience,
    archived: bool,
    limits: KeyLimits,
    widget: Widget,
    identity_secret: Option<SecretSlice<u8>>,
    expires_at: Option<Instant>,
}

/// A visit that was begun or goes on.
pub struct Visit {
    /// For requests.
    pub token: String,
    /// Who.
    pub visitor: VisitorId,
    /// Seconds for which the token is valid.
    pub expires_in: i64,
    /// When it cannot be renewed any more.
    pub ends_at: Instant,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    /// The widget key.
    key: Uuid,
    origin: String,
    /// When the visit began.
    since: i64,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// What a site signs with HS256.
#[derive(Deserialize)]
struct SiteClaims {
    sub: String,
    exp: i64,
    nbf: Option<i64>,
}

impl WidgetKey {
    /// The workspace it opens.
    pub fn workspace_id(&self) -> WorkspaceId {
        self.workspace_id
    }

    /// The origins it may be used on.
    pub fn origins(&self) -> &[String] {
        &self.widget.origins
    }

    /// Refuses an origin that is not on the list, letter for letter.
    pub fn admit<'a>(&self, origin: Option<&'a str>) -> Result<&'a str, Error> {
        let origin = origin.ok_or(Error::Widget(WidgetRefusal::NoOrigin))?;
        if self.widget.origins.iter().any(|admitted| admitted == origin) {
            return Ok(origin);
        }
        let shown = origin.chars().filter(|c| !c.is_control()).take(200).collect();
        Err(Error::Widget(WidgetRefusal::Origin(shown)))
    }

    /// Who a visitor is: whom the site names, or somebody new.
    fn visitor(&self, identity: Option<&str>, now: Instant) -> Result<VisitorId, Error> {
        let Some(identity) = identity else {
            return match self.widget.identity {
                Identity::Required => Err(Error::Widget(WidgetRefusal::IdentityRequired)),
                _ => Ok(VisitorId::new()),
            };
        };
        let refuse = |why| Err(Error::Widget(WidgetRefusal::Identity(why)));
        let Some(secret) = &self.identity_secret else { return refuse("this widget key takes none") };
        if identity.len() > LONGEST_IDENTITY_BYTES {
            return refuse("the token is too long");
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["sub", "exp"]);
        // Times are checked against the injected clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let key = DecodingKey::from_secret(secret.expose_secret());
        let Ok(token) = decode::<SiteClaims>(identity, &key, &validation) else {
            return refuse("it must be a JWT with sub and exp, signed by HS256 with the secret of this widget key");
        };
        let SiteClaims { sub, exp, nbf } = token.claims;
        if exp <= (now - SKEW).timestamp() {
            return refuse("the token has expired");
        }
        if exp > (now + LONGEST_IDENTITY + SKEW).timestamp() {
            return refuse("exp is more than 24 hours away");
        }
        if nbf.is_some_and(|nbf| nbf > (now + SKEW).timestamp()) {
            return refuse("the token is not valid yet");
        }
        if sub.is_empty() || sub.chars().count() > LONGEST_SUBJECT {
            return refuse("sub must have 1 to 256 characters");
        }
        // Without the realm two shops that both know a customer 42 would share their conversations.
        let hash = Sha256Hash::of([self.widget.realm.as_bytes(), sub.as_bytes()].concat());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.0[..16]);
        Ok(VisitorId(Builder::from_custom_bytes(bytes).into_uuid()))
    }

    fn principal(&self, visitor: VisitorId) -> Principal {
        let grant = Grant {
            workspace_id: self.workspace_id,
            power: Power::Visitor,
            audience: self.audience.clone(),
            archived: self.archived,
        };
        Principal {
            actor: Actor::Visitor { id: visitor, key: self.id },
            instance_admin: false,
            grants: vec![grant],
            limits: self.limits,
            visitor_limits: self.widget.visitor_limits,
        }
    }
}

impl Auth {
    /// Checks what makes a key one for widgets, and makes the secret for identities when there is to be one.
    pub(super) async fn make_widget(
        &self,
        workspace: WorkspaceId,
        audience: &Audience,
        new: NewWidget,
    ) -> Result<MadeWidget, Error> {
        let invalid = |pointer, message: String| Err(Error::Invalid { pointer, message });
        if audience.is_everything() {
            let message = "a widget key names the documents that the public may see: give source_ids, kinds or a field";
            return invalid("/audience", message.to_owned());
        }
        if new.origins.is_empty() || new.origins.len() > MOST_ORIGINS {
            let message = format!("a widget key names 1 to {MOST_ORIGINS} origins, such as https://shop.example");
            return invalid("/widget/origins", message);
        }
        if let Err(message) = new.origins.iter().try_for_each(|origin| check_origin(origin)) {
            return invalid("/widget/origins", message);
        }
        let origins: BTreeSet<_> = new.origins.into_iter().collect();
        let widget = Widget {
            origins: origins.into_iter().collect(),
            visitor_limits: new.visitor_limits,
            identity: new.identity,
            realm: Uuid::now_v7(),
        };
        let (mut identity_secret, mut sealed_identity_secret) = (None, None);
        if new.identity != Identity::None {
            let secret = random_token()?;
            let sealer = self.vault.workspace(workspace).await?;
            sealed_identity_secret = Some(sealer.seal(&context_of(workspace, &widget), secret.as_bytes())?);
            identity_secret = Some(secret.into());
        }
        Ok(MadeWidget { widget, identity_secret, sealed_identity_secret })
    }

    /// The widget key behind a text.
    pub async fn widget(&self, key: &str) -> Result<Arc<WidgetKey>, Error> {
        let hash = keys::parse(key, Kind::Widget, self.environment)?;
        let epoch = self.epoch();
        let known = match self.widgets.get(&hash).await {
            Some((of, known)) if of == epoch => known,
            _ => {
                let loaded = self.load_widget(hash).await?;
                self.widgets.insert(hash, (epoch, loaded.clone())).await;
                loaded
            }
        };
        let over = |key: &WidgetKey| key.expires_at.is_some_and(|at| at <= self.clock.now());
        known
            .filter(|key| !over(key))
            .ok_or(Error::InvalidKey("the widget key is unknown, revoked or expired".to_owned()))
    }

    async fn load_widget(&self, hash: Sha256Hash) -> Result<Option<Arc<WidgetKey>>, Error> {
        let found = self.db.system().find_api_key(hash).await?.filter(|(key, _)| key.revoked_at.is_none());
        let Some((key, archived)) = found else { return Ok(None) };
        let ApiKey { id, workspace_id, audience, limits, expires_at, widget: Some(widget), .. } = key else {
            return Ok(None);
        };
        let identity_secret = match key.sealed_identity_secret {
            Some(sealed) => {
                let opened =
                    self.vault.workspace(workspace_id).await?.open(&context_of(workspace_id, &widget), &sealed);
                let damaged = || crate::secrets::Error::Damaged { what: format!("the secret of the widget key {id}") };
                Some(opened.ok_or_else(damaged)?)
            }
            None => None,
        };
        let key = WidgetKey { id, workspace_id, audience, archived, limits, widget, identity_secret, expires_at };
        Ok(Some(Arc::new(key)))
    }

    /// Begins a visit on an admitted origin.
    pub fn begin_visit(&self, key: &WidgetKey, origin: &str, identity: Option<&str>) -> Result<Visit, Error> {
        // As a token tells times, so that a renewed visit ends when it was said to.
        let now = self.clock.now().trunc_subsecs(0);
        self.visit(key, origin, key.visitor(identity, now)?, now)
    }

    /// Lets a visit go on, at most [`LONGEST`] in all.
    pub fn renew_visit(&self, key: &WidgetKey, origin: &str, token: &str) -> Result<Visit, Error> {
        let claims = self.open_visit(key, origin, token)?;
        let since = Instant::from_timestamp(claims.since, 0).ok_or(Error::InvalidVisit)?;
        self.visit(key, origin, VisitorId(claims.sub), since)
    }

    /// The visitor behind a token, on the origin and with the key it was made for.
    pub fn visitor(&self, key: &WidgetKey, origin: &str, token: &str) -> Result<Principal, Error> {
        let claims = self.open_visit(key, origin, token)?;
        let principal = key.principal(VisitorId(claims.sub));
        self.key_use.count_request(&principal);
        Ok(principal)
    }

    fn visit(&self, key: &WidgetKey, origin: &str, visitor: VisitorId, since: Instant) -> Result<Visit, Error> {
        let (now, ends_at) = (self.clock.now(), since + LONGEST);
        let until = ends_at.min(now + IDLE);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: visitor.0,
            key: key.id.0,
            origin: origin.to_owned(),
            since: since.timestamp(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: until.timestamp(),
        };
        let token = self.tokens.sign(TYPE, &claims)?;
        Ok(Visit { token, visitor, expires_in: (until - now).num_seconds(), ends_at })
    }

    fn open_visit(&self, key: &WidgetKey, origin: &str, token: &str) -> Result<Claims, Error> {
        let claims: Claims = self.tokens.claims(TYPE, AUDIENCE, token)?;
        let now = self.clock.now().timestamp();
        let mine = claims.key == key.id.0 && claims.origin == origin;
        if !mine || claims.nbf > now || claims.exp <= now {
            return Err(Error::InvalidVisit);
        }
        Ok(claims)
    }
}

/// An origin as browsers write it, so that comparing letters is enough.
fn check_origin(text: &str) -> Result<(), String> {
    let example = "an origin looks like https://shop.example or https://shop.example:8443";
    let url = Url::parse(text).map_err(|_| format!("{text:?} is no origin; {example}"))?;
    let canonical = url.origin().ascii_serialization();
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        "http" => return Err(format!("{text:?} is not encrypted: use https, except for localhost")),
        _ => return Err(format!("{text:?} is no origin of a web page; {example}")),
    }
    if url.host_str().is_some_and(|host| host.ends_with('.') || host.contains('*')) {
        return Err(format!(
            "{text:?} is not one exact host: write it without a trailing dot, and name each host; {example}"
        ));
    }
    if canonical != text {
        return Err(format!("{text:?} is not how browsers write this origin; write {canonical}"));
    }
    Ok(())
}

/// The context an identity secret is sealed to.
fn context_of(workspace: WorkspaceId, widget: &Widget) -> String {
    format!("widget-identity/{workspace}/{}", widget.realm)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"what the site signs with";

    fn key(identity: Identity) -> WidgetKey {
        let origins = vec!["https://shop.example".to_owned()];
        WidgetKey {
            id: KeyId::new(),
            workspace_id: WorkspaceId::new(),
            audience: Audience { kinds: Some(vec!["product".to_owned()]), ..Audience::default() },
            archived: false,
            limits: KeyLimits::default(),
            widget: Widget { origins, visitor_limits: KeyLimits::default(), identity, realm: Uuid::now_v7() },
            identity_secret: (identity != Identity::None).then(|| SECRET.to_vec().into()),
            expires_at: None,
        }
    }

    fn now() -> Instant {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn signed(claims: serde_json::Value) -> String {
        encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET)).unwrap()
    }

    #[test]
    fn an_origin_is_compared_letter_for_letter() {
        let key = key(Identity::None);
        assert!(key.admit(Some("https://shop.example")).is_ok());
        for other in [
            "https://shop.example.",
            "https://shop.example/",
            "https://SHOP.example",
            "http://shop.example",
            "https://shop.example:8443",
            "https://evil.shop.example",
            "https://shop.example.evil.example",
            "null",
            "",
        ] {
            assert!(key.admit(Some(other)).is_err(), "{other}");
        }
        assert!(matches!(key.admit(None), Err(Error::Widget(WidgetRefusal::NoOrigin))));
    }

    #[test]
    fn an_origin_is_kept_as_browsers_write_it_or_not_at_all() {
        for fine in [
            "https://shop.example",
            "https://shop.example:8443",
            "http://localhost:3000",
            "https://xn--bcher-kva.example",
        ] {
            assert_eq!(check_origin(fine), Ok(()));
        }
        for (wrong, hint) in [
            ("https://shop.example/", "write https://shop.example"),
            ("https://Shop.example", "write https://shop.example"),
            ("https://shop.example:443", "write https://shop.example"),
            ("https://bücher.example", "write https://xn--bcher-kva.example"),
            ("https://user@shop.example", "write https://shop.example"),
            ("https://shop.example.", "trailing dot"),
            ("https://*.shop.example", "name each host"),
            ("http://shop.example", "use https"),
            ("shop.example", "is no origin"),
            ("*", "is no origin"),
            ("null", "is no origin"),
            ("file:///", "is no origin"),
        ] {
            let message = check_origin(wrong).unwrap_err();
            assert!(message.contains(hint), "{wrong}: {message}");
        }
    }

    #[test]
    fn a_visitor_whom_the_site_knows_is_the_same_every_time() {
        let key = key(Identity::Optional);
        let in_an_hour = (now() + TimeDelta::hours(1)).timestamp();
        let visitor = |sub: &str| key.visitor(Some(&signed(json!({ "sub": sub, "exp": in_an_hour }))), now()).unwrap();
        assert_eq!(visitor("42"), visitor("42"));
        assert_ne!(visitor("42"), visitor("43"));
        let elsewhere = super::tests::key(Identity::Optional);
        let there = elsewhere.visitor(Some(&signed(json!({ "sub": "42", "exp": in_an_hour }))), now()).unwrap();
        assert_ne!(there, visitor("42"), "another widget's customer 42 is somebody else");
        assert_ne!(key.visitor(None, now()).unwrap(), key.visitor(None, now()).unwrap());
    }

    #[test]
    fn an_identity_that_the_site_did_not_sign_like_this_is_refused() {
        let key = key(Identity::Required);
        let at = |minutes: i64| (now() + TimeDelta::minutes(minutes)).timestamp();
        let fine = signed(json!({ "sub": "42", "exp": at(5) }));
        assert!(key.visitor(Some(&fine), now()).is_ok());
        assert!(matches!(key.visitor(None, now()), Err(Error::Widget(WidgetRefusal::IdentityRequired))));
        let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), fine.split('.').nth(1).unwrap());
        let strange = encode(
            &Header::new(Algorithm::HS256),
            &json!({ "sub": "42", "exp": at(5) }),
            &EncodingKey::from_secret(b"another secret"),
        );
        let other = encode(
            &Header::new(Algorithm::HS512),
            &json!({ "sub": "42", "exp": at(5) }),
            &EncodingKey::from_secret(SECRET),
        );
        for wrong in [
            signed(json!({ "sub": "42", "exp": at(-5) })),
            signed(json!({ "sub": "42", "exp": at(60 * 48) })),
            signed(json!({ "sub": "42", "exp": at(5), "nbf": at(3) })),
            signed(json!({ "sub": "42" })),
            signed(json!({ "exp": at(5) })),
            signed(json!({ "sub": "", "exp": at(5) })),
            signed(json!({ "sub": "x".repeat(257), "exp": at(5) })),
            signed(json!({ "sub": "x".repeat(9_000), "exp": at(5) })),
            none,
            strange.unwrap(),
            other.unwrap(),
            "nonsense".to_owned(),
            String::new(),
        ] {
            let refused = key.visitor(Some(&wrong), now());
            assert!(matches!(refused, Err(Error::Widget(WidgetRefusal::Identity(_)))), "{wrong}");
        }
        let takes_none = super::tests::key(Identity::None);
        assert!(takes_none.visitor(Some(&fine), now()).is_err(), "what is not asked for is not ignored");
    }
}

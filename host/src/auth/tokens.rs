//! Access tokens: short-lived EdDSA JWTs, verified against keys of the record only (RFC 8725).

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use moka::sync::Cache;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tributary_core::{Clock, SessionId, UserId, hash::Sha256Hash};
use tributary_store::{Db, SigningKey};
use uuid::Uuid;

use super::Error;
use crate::secrets::{self, Sealer, Vault};

/// How long an access token is valid.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(600);

pub(super) const ISSUER: &str = "tributary";
const AUDIENCE: &str = "tributary-api";
/// RFC 9068.
const TYPE: &str = "at+jwt";
/// Longer ones are refused before they cost anything.
const LONGEST_TOKEN_BYTES: usize = 4_096;
/// Verified tokens remembered, so that a signature is checked once, not with every request.
const REMEMBERED: u64 = 100_000;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    /// The session.
    sid: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: Uuid,
}

/// Whose token it is, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The person.
    pub user: UserId,
    /// Their log-in.
    pub session: SessionId,
    not_before: i64,
    expires: i64,
}

/// A public key as RFC 8037 writes it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Jwk {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    #[schema(rename = "use")]
    usage: &'static str,
    kid: String,
    x: String,
}

/// Signs and verifies.
pub struct Tokens {
    clock: Arc<dyn Clock>,
    /// Opens and seals the signing keys.
    sealer: Sealer,
    keys: RwLock<Arc<Keys>>,
    verified: Cache<Sha256Hash, Verified>,
    /// Names the successors of refresh tokens; see [`Tokens::successor`]. It outlives the keys that sign.
    successors: hmac::Key,
}

struct Keys {
    kid: String,
    signing: EncodingKey,
    verifying: Vec<(String, DecodingKey)>,
    public: Vec<Jwk>,
}

impl Keys {
    fn of(keys: &[SigningKey], sealer: &Sealer) -> Result<Self, Error> {
        let damaged = || Error::Internal("a signing key in the database is damaged".to_owned());
        let open = |key: &SigningKey| {
            let pkcs8 = sealer.open(&context_of(&key.kid), &key.sealed_pkcs8);
            pkcs8.ok_or_else(|| secrets::Error::Damaged { what: format!("the signing key {}", key.kid) })
        };
        let current = keys.first().ok_or_else(|| Error::Internal("there is no signing key".to_owned()))?;
        let current_pkcs8 = open(current)?;
        let (mut verifying, mut public) = (Vec::new(), Vec::new());
        for key in keys {
            let pair = Ed25519KeyPair::from_pkcs8(open(key)?.expose_secret()).map_err(|_| damaged())?;
            let x = pair.public_key().as_ref();
            verifying.push((key.kid.clone(), DecodingKey::from_ed_der(x)));
            public.push(Jwk {
                kty: "OKP",
                crv: "Ed25519",
                alg: "EdDSA",
                usage: "sig",
                kid: key.kid.clone(),
                x: URL_SAFE_NO_PAD.encode(x),
            });
        }
        Ok(Self {
            kid: current.kid.clone(),
            signing: EncodingKey::from_ed_der(current_pkcs8.expose_secret()),
            verifying,
            public,
        })
    }
}

impl Tokens {
    /// Takes the keys from the record; offers a first one when there is none, and takes whichever won.
    pub async fn open(db: &Db, clock: Arc<dyn Clock>, vault: &Vault) -> Result<Self, Error> {
        let sealer = vault.sealer("signing-key").await?;
        if db.system().find_signing_key().await?.is_none() {
            db.system().signing_key(generate(&sealer, clock.as_ref())?).await?;
        }
        let keys = db.system().verifying_keys(clock.now()).await?;
        let successors = vault.system_secret("refresh-token", 32).await?;
        Self::new(clock, sealer, &keys, successors.expose_secret())
    }

    fn new(clock: Arc<dyn Clock>, sealer: Sealer, keys: &[SigningKey], successors: &[u8]) -> Result<Self, Error> {
        let verified = Cache::builder().max_capacity(REMEMBERED).time_to_live(ACCESS_TOKEN_LIFETIME).build();
        let keys = RwLock::new(Arc::new(Keys::of(keys, &sealer)?));
        let successors = hmac::Key::new(hmac::HMAC_SHA256, successors);
        Ok(Self { clock, sealer, keys, verified, successors })
    }

    /// Takes the keys from the record anew.
    pub async fn reload(&self, db: &Db) -> Result<(), Error> {
        let keys = Arc::new(Keys::of(&db.system().verifying_keys(self.clock.now()).await?, &self.sealer)?);
        *self.keys.write().unwrap_or_else(|broken| broken.into_inner()) = keys;
        self.verified.invalidate_all();
        Ok(())
    }

    /// Signs with a new key from now on; tokens signed before stay valid to their end.
    pub async fn rotate(&self, db: &Db) -> Result<String, Error> {
        let key = generate(&self.sealer, self.clock.as_ref())?;
        let kid = key.kid.clone();
        // Twice their lifetime: another host may sign with the old one for a moment more.
        db.system().rotate_signing_key(key, self.clock.now() + 2 * ACCESS_TOKEN_LIFETIME).await?;
        self.reload(db).await?;
        Ok(kid)
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(|broken| broken.into_inner()).clone()
    }

    /// The public keys, for whoever wants to verify a token.
    pub fn public_keys(&self) -> Vec<Jwk> {
        self.keys().public.clone()
    }

    /// A token for a log-in, valid for [`ACCESS_TOKEN_LIFETIME`].
    pub fn issue(&self, user: UserId, session: SessionId) -> Result<String, Error> {
        let now = self.clock.now().timestamp();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.0,
            sid: session.0,
            iat: now,
            nbf: now,
            exp: now + ACCESS_TOKEN_LIFETIME.as_secs().cast_signed(),
            jti: Uuid::now_v7(),
        };
        self.sign(TYPE, &claims)
    }

    /// Signs the claims of a token of some type.
    pub(super) fn sign(&self, token_type: &str, claims: &impl Serialize) -> Result<String, Error> {
        let keys = self.keys();
        let header =
            Header { typ: Some(token_type.to_owned()), kid: Some(keys.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, claims, &keys.signing).map_err(|error| Error::Internal(format!("cannot sign a token: {error}")))
    }

    /// The log-in a token was issued to.
    pub fn verify(&self, token: &str) -> Result<Verified, Error> {
        if token.len() > LONGEST_TOKEN_BYTES {
            return Err(Error::InvalidToken);
        }
        let hash = Sha256Hash::of(token);
        let verified = match self.verified.get(&hash) {
            Some(verified) => verified,
            None => {
                let verified = self.check(token)?;
                self.verified.insert(hash, verified);
                verified
            }
        };
        let now = self.clock.now().timestamp();
        if verified.not_before > now || verified.expires <= now {
            return Err(Error::InvalidToken);
        }
        Ok(verified)
    }

    /// Everything but the times.
    fn check(&self, token: &str) -> Result<Verified, Error> {
        let claims: Claims = self.claims(TYPE, AUDIENCE, token)?;
        Ok(Verified {
            user: UserId(claims.sub),
            session: SessionId(claims.sid),
            not_before: claims.nbf,
            expires: claims.exp,
        })
    }

    /// The claims of a token of ours of this type and for this audience; the times in them are not looked at.
    pub(super) fn claims<C: DeserializeOwned>(
        &self,
        token_type: &str,
        audience: &str,
        token: &str,
    ) -> Result<C, Error> {
        if token.len() > LONGEST_TOKEN_BYTES {
            return Err(Error::InvalidToken);
        }
        let header = decode_header(token).map_err(|_| Error::InvalidToken)?;
        let keys = self.keys();
        let key = keys.verifying.iter().find(|(kid, _)| header.kid.as_deref() == Some(kid));
        let (true, Some((_, key))) = (header.typ.as_deref() == Some(token_type), key) else {
            return Err(Error::InvalidToken);
        };
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // Times are checked against the injected clock, with every use.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(decode::<C>(token, key, &validation).map_err(|_| Error::InvalidToken)?.claims)
    }

    /// The refresh token that follows another: the same one every time, and known to nobody without the server's key. So that a
    /// parent can be given the same successor again although only hashes are kept.
    pub fn successor(&self, refresh_token: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.successors, refresh_token.as_bytes()))
    }
}

/// The context that the key of this name is sealed to.
fn context_of(kid: &str) -> String {
    format!("signing-key/{kid}")
}

fn generate(sealer: &Sealer, clock: &dyn Clock) -> Result<SigningKey, Error> {
    let failed = |_| Error::Internal("cannot make a signing key".to_owned());
    let pair = Ed25519KeyPair::generate().map_err(failed)?;
    let pkcs8 = pair.to_pkcs8().map_err(failed)?;
    let kid = Sha256Hash::of(pair.public_key().as_ref()).to_string()[..16].to_owned();
    let sealed_pkcs8 = sealer.seal(&context_of(&kid), pkcs8.as_ref())?;
    Ok(SigningKey { kid, sealed_pkcs8, created_at: clock.now() })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;
    use tributary_core::{ManualClock, SystemClock};

    use super::*;

    fn tokens(clock: Arc<dyn Clock>) -> Tokens {
        let key = generate(&sealer(), clock.as_ref()).unwrap();
        Tokens::new(clock, sealer(), &[key], b"successors").unwrap()
    }

    fn sealer() -> Sealer {
        Sealer::new(&[7; 32]).unwrap()
    }

    fn issue(tokens: &Tokens) -> String {
        tokens.issue(UserId::new(), SessionId::new()).unwrap()
    }

    #[test]
    fn a_token_is_valid_for_ten_minutes_and_not_before() {
        let start = SystemClock.now();
        let clock = Arc::new(ManualClock::at(start));
        let tokens = tokens(clock.clone());
        let (user, session) = (UserId::new(), SessionId::new());
        let token = tokens.issue(user, session).unwrap();
        let verified = tokens.verify(&token).unwrap();
        assert_eq!((verified.user, verified.session), (user, session));
        clock.set(start + TimeDelta::seconds(599));
        assert!(tokens.verify(&token).is_ok());
        clock.set(start + TimeDelta::seconds(601));
        assert!(tokens.verify(&token).is_err());
        clock.set(start - TimeDelta::seconds(5));
        assert!(tokens.verify(&token).is_err(), "not valid before it was issued");
    }

    #[test]
    fn a_token_of_another_key_or_algorithm_is_refused() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (ours, theirs) = (tokens(clock.clone()), tokens(clock));
        assert!(ours.verify(&issue(&theirs)).is_err());
        let token = issue(&ours);
        let payload = token.split('.').nth(1).unwrap();
        let kid = ours.keys().kid.clone();
        let forged = |header: serde_json::Value, signature: &[u8]| {
            let header = URL_SAFE_NO_PAD.encode(header.to_string());
            format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        assert!(ours.verify(&forged(json!({ "alg": "none", "typ": TYPE, "kid": kid }), b"")).is_err());
        // The public key as an HMAC secret.
        let public = URL_SAFE_NO_PAD.decode(&ours.public_keys()[0].x).unwrap();
        let header = json!({ "alg": "HS256", "typ": TYPE, "kid": kid });
        let signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header.to_string()));
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), signed.as_bytes());
        assert!(ours.verify(&forged(header, mac.as_ref())).is_err());
        // A key that the token brings itself is never looked at.
        let header = json!({ "alg": "EdDSA", "typ": TYPE, "kid": "foreign", "jwk": theirs.public_keys()[0] });
        assert!(ours.verify(&forged(header, b"")).is_err());
        for broken in ["", ".", "..", "a.b.c", &token[..token.len() - 2], &"x".repeat(10_000)] {
            assert!(ours.verify(broken).is_err(), "{broken}");
        }
        assert!(ours.verify(&token).is_ok());
    }

    #[test]
    fn a_rotated_key_verifies_what_it_signed() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (old, new) = (generate(&sealer(), clock.as_ref()).unwrap(), generate(&sealer(), clock.as_ref()).unwrap());
        let before = Tokens::new(clock.clone(), sealer(), std::slice::from_ref(&old), b"successors").unwrap();
        let token = issue(&before);
        let after = Tokens::new(clock.clone(), sealer(), &[new.clone(), old], b"successors").unwrap();
        assert!(after.verify(&token).is_ok());
        assert!(before.verify(&issue(&after)).is_err());
        assert!(
            Tokens::new(clock, sealer(), &[new], b"successors").unwrap().verify(&token).is_err(),
            "the old key is retired"
        );
        assert_eq!(after.public_keys().len(), 2);
        assert_eq!(before.successor("a"), after.successor("a"), "two tabs may refresh while the key is rotated");
    }
}

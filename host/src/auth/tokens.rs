//! Access tokens: short-lived EdDSA JWTs, verified against keys of the record only (RFC 8725).

use std::{sync::Arc, time::Duration};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize};
use tributary_core::{Clock, UserId, hash::Sha256Hash};
use tributary_store::{Db, SigningKey};
use uuid::Uuid;

use super::Error;
use crate::secrets::{self, Vault};

/// How long an access token is valid.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(600);

const ISSUER: &str = "tributary";
const AUDIENCE: &str = "tributary-api";
/// RFC 9068.
const TYPE: &str = "at+jwt";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: Uuid,
}

/// Signs and verifies.
pub struct Tokens {
    clock: Arc<dyn Clock>,
    kid: String,
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl Tokens {
    /// Takes the key from the record; offers a new one when there is none, and takes whichever won.
    pub async fn open(db: &Db, clock: Arc<dyn Clock>, vault: &Vault) -> Result<Self, Error> {
        let sealer = vault.sealer("signing-key").await?;
        let key = match db.system().find_signing_key().await? {
            Some(key) => key,
            None => {
                let Pair { kid, pkcs8 } = generate()?;
                let sealed_pkcs8 = sealer.seal(&context_of(&kid), pkcs8.expose_secret())?;
                db.system().signing_key(SigningKey { kid, sealed_pkcs8, created_at: clock.now() }).await?
            }
        };
        let pkcs8 = sealer.open(&context_of(&key.kid), &key.sealed_pkcs8);
        let pkcs8 = pkcs8.ok_or_else(|| secrets::Error::Damaged { what: "the signing key".to_owned() })?;
        Self::with(Pair { kid: key.kid, pkcs8 }, clock)
    }

    fn with(Pair { kid, pkcs8 }: Pair, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let pkcs8 = pkcs8.expose_secret();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8)
            .map_err(|_| Error::Internal("the signing key in the database is damaged".to_owned()))?;
        Ok(Self {
            clock,
            kid,
            signing: EncodingKey::from_ed_der(pkcs8),
            verifying: DecodingKey::from_ed_der(pair.public_key().as_ref()),
        })
    }

    /// A token for a user, valid for [`ACCESS_TOKEN_LIFETIME`].
    pub fn issue(&self, user: UserId) -> Result<String, Error> {
        let now = self.clock.now().timestamp();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.0,
            iat: now,
            nbf: now,
            exp: now + ACCESS_TOKEN_LIFETIME.as_secs().cast_signed(),
            jti: Uuid::now_v7(),
        };
        let header =
            Header { typ: Some(TYPE.to_owned()), kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &claims, &self.signing)
            .map_err(|error| Error::Internal(format!("cannot sign a token: {error}")))
    }

    /// The user a token was issued to.
    pub fn verify(&self, token: &str) -> Result<UserId, Error> {
        let header = decode_header(token).map_err(|_| Error::InvalidToken)?;
        if header.typ.as_deref() != Some(TYPE) || header.kid.as_deref() != Some(&self.kid) {
            return Err(Error::InvalidToken);
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // Times are checked here, against the injected clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims = decode::<Claims>(token, &self.verifying, &validation).map_err(|_| Error::InvalidToken)?.claims;
        let now = self.clock.now().timestamp();
        if claims.nbf > now || claims.exp <= now {
            return Err(Error::InvalidToken);
        }
        Ok(UserId(claims.sub))
    }
}

/// A key pair before it is sealed.
struct Pair {
    kid: String,
    pkcs8: SecretSlice<u8>,
}

/// The context that the key of this name is sealed to.
fn context_of(kid: &str) -> String {
    format!("signing-key/{kid}")
}

fn generate() -> Result<Pair, Error> {
    let failed = |_| Error::Internal("cannot make a signing key".to_owned());
    let pair = Ed25519KeyPair::generate().map_err(failed)?;
    let pkcs8 = pair.to_pkcs8().map_err(failed)?.as_ref().to_vec().into();
    let kid = Sha256Hash::of(pair.public_key().as_ref()).to_string()[..16].to_owned();
    Ok(Pair { kid, pkcs8 })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use tributary_core::{ManualClock, SystemClock};

    use super::*;

    fn tokens(clock: Arc<dyn Clock>) -> Tokens {
        Tokens::with(generate().unwrap(), clock).unwrap()
    }

    #[test]
    fn a_token_is_valid_for_ten_minutes_and_not_before() {
        let start = SystemClock.now();
        let clock = Arc::new(ManualClock::at(start));
        let tokens = tokens(clock.clone());
        let user = UserId::new();
        let token = tokens.issue(user).unwrap();
        assert_eq!(tokens.verify(&token).unwrap(), user);
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
        assert!(ours.verify(&theirs.issue(UserId::new()).unwrap()).is_err());
        let token = ours.issue(UserId::new()).unwrap();
        let payload = token.split('.').nth(1).unwrap();
        // {"alg":"none","typ":"at+jwt"}
        assert!(ours.verify(&format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{payload}.")).is_err());
        // The same claims, signed as HMAC with the public `kid` as the secret.
        let header =
            Header { typ: Some(TYPE.to_owned()), kid: Some(ours.kid.clone()), ..Header::new(Algorithm::HS256) };
        let claims = jsonwebtoken::dangerous::insecure_decode::<Claims>(&token).unwrap().claims;
        let forged = encode(&header, &claims, &EncodingKey::from_secret(ours.kid.as_bytes())).unwrap();
        assert!(ours.verify(&forged).is_err());
    }
}

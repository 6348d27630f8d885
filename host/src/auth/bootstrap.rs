//! The first administrator, made once.

use secrecy::{ExposeSecret, SecretString};
use tributary_store::{NewUser, User};

use super::{Auth, Error};

/// What the operator gave for the first administrator.
pub struct Given {
    /// E-mail address.
    pub email: String,
    /// Password; one is made when absent.
    pub password: Option<SecretString>,
}

/// The administrator that was just made.
pub struct FirstAdmin {
    /// Who.
    pub user: User,
    /// The password that was made, to be shown once; `None` when the operator gave one.
    pub password: Option<SecretString>,
}

impl Auth {
    /// Makes the first administrator when there is no user at all.
    pub async fn bootstrap(&self, given: Given) -> Result<Option<FirstAdmin>, Error> {
        if self.db.system().any_user().await? {
            return Ok(None);
        }
        let made = given.password.is_none().then(generate_password);
        let password = given.password.as_ref().or(made.as_ref()).map_or("", |password| password.expose_secret());
        let new = NewUser {
            email: given.email,
            name: String::new(),
            password_hash: self.passwords.enter()?.hash(password).await?,
            instance_admin: true,
            now: self.clock.now(),
        };
        match self.db.system().create_user(new).await {
            Ok(user) => Ok(Some(FirstAdmin { user, password: made })),
            // Another host that started at the same moment was first.
            Err(tributary_store::Error::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// 20 letters and digits without look-alikes: 116 bits.
pub fn generate_password() -> SecretString {
    const ALPHABET: &[u8; 56] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    use rand::RngExt;
    let mut rng = rand::rng();
    (0..20).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect::<String>().into()
}

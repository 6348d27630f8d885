//! The port to the credentials of a workspace.

use std::collections::BTreeMap;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tributary_core::contract::{Failure, Fault};

/// A credential with its values.
#[derive(Clone, Debug)]
pub struct Secret {
    /// `api_key`, `bearer`, `basic`, `oauth2`, `google_service_account`, or any other word for something sent as it is.
    pub kind: String,
    /// By field.
    pub fields: BTreeMap<String, SecretString>,
}

impl Secret {
    /// A field that must be there.
    pub(crate) fn field(&self, name: &str, credential: &str) -> Result<&str, Failure> {
        self.find(name).ok_or_else(|| {
            Failure::new(
                Fault::AuthInvalid,
                "credential_incomplete",
                format!(
                    "the credential {credential:?} of kind {} has no field {name:?}; set it anew with that field",
                    self.kind
                ),
            )
        })
    }

    /// A field.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(ExposeSecret::expose_secret)
    }
}

/// The credentials of one workspace.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Opens a credential. `None`: there is none of this name.
    async fn reveal(&self, name: &str) -> Result<Option<Secret>, Failure>;

    /// Keeps the refresh token that took the place of `previous`, durably, before the access token that came with it is used.
    /// Does nothing when the credential has another refresh token by now.
    async fn keep_refresh_token(&self, name: &str, previous: &str, next: &str) -> Result<(), Failure>;
}

//! Credentials of a workspace: what connectors log in with. Values go in and are opened for a connector, never for a reader of the API.

use std::{collections::BTreeMap, sync::Arc};

use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use tributary_core::{Clock, CredentialId, WorkspaceId};
use tributary_store::{Credential, SealedValue, TenantDb};

use super::{Error, Vault};

/// Largest value, in bytes of its JSON.
const LARGEST_VALUE_BYTES: usize = 16 << 10;
/// Longest name, kind and field name, in characters.
const LONGEST_NAME: usize = 100;

/// A value: fields with their secrets, such as `user` and `password`.
pub type CredentialValue = BTreeMap<String, SecretString>;

/// A credential, opened.
#[derive(Debug)]
pub struct Opened {
    /// Such as `api_key`.
    pub kind: String,
    /// By field.
    pub value: CredentialValue,
}

/// Why a credential was not kept or opened.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCredential {
    /// A field is not as it must be.
    #[error("{message}")]
    Invalid {
        /// JSON pointer into the request body.
        pointer: &'static str,
        /// What to send instead.
        message: &'static str,
    },
    /// The name is taken.
    #[error("the name {0:?} is taken by another credential of this workspace; choose another")]
    NameTaken(String),
    /// It could not be sealed or opened.
    #[error(transparent)]
    Secrets(#[from] Error),
}

impl From<tributary_store::Error> for InvalidCredential {
    fn from(error: tributary_store::Error) -> Self {
        Self::Secrets(error.into())
    }
}

/// The service of credentials.
pub struct Credentials {
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
}

impl Credentials {
    /// Wired.
    pub fn new(vault: Arc<Vault>, clock: Arc<dyn Clock>) -> Self {
        Self { vault, clock }
    }

    /// Keeps a new credential.
    pub async fn create(
        &self,
        tenant: &TenantDb,
        name: &str,
        kind: &str,
        value: &CredentialValue,
    ) -> Result<Credential, InvalidCredential> {
        if !is_name(name) {
            return Err(InvalidCredential::Invalid {
                pointer: "/name",
                message: "a name has 1 to 100 characters, none of them a control character",
            });
        }
        let sealed = self.seal(tenant, name, kind, value).await?;
        match tenant.create_credential(name, sealed, self.clock.now()).await {
            Err(tributary_store::Error::Conflict { .. }) => Err(InvalidCredential::NameTaken(name.to_owned())),
            made => Ok(made?),
        }
    }

    /// Puts another value in the place of a credential's.
    pub async fn replace(
        &self,
        tenant: &TenantDb,
        id: CredentialId,
        kind: &str,
        value: &CredentialValue,
    ) -> Result<Credential, InvalidCredential> {
        let name = tenant.get_credential(id).await?.name;
        let sealed = self.seal(tenant, &name, kind, value).await?;
        Ok(tenant.replace_credential(id, sealed, self.clock.now()).await?)
    }

    /// Opens a credential's value for a connector, and notes that it was used. `None` when there is none of this name.
    pub async fn reveal(&self, tenant: &TenantDb, name: &str) -> Result<Option<Opened>, InvalidCredential> {
        let Some((credential, sealed)) = tenant.find_sealed_credential(name).await? else { return Ok(None) };
        let value = self.open(tenant, name, &sealed).await?;
        tenant.touch_credential(credential.id, self.clock.now()).await?;
        Ok(Some(Opened { kind: credential.kind, value }))
    }

    /// Puts `next` in the place of `previous` in one field. Does nothing when the field has another value by now.
    pub async fn exchange(
        &self,
        tenant: &TenantDb,
        name: &str,
        field: &str,
        previous: &str,
        next: &str,
    ) -> Result<(), InvalidCredential> {
        let Some((credential, sealed)) = tenant.find_sealed_credential(name).await? else { return Ok(()) };
        let mut value = self.open(tenant, name, &sealed).await?;
        if value.get(field).is_none_or(|held| held.expose_secret() != previous) {
            return Ok(());
        }
        value.insert(field.to_owned(), next.into());
        let value = self.seal(tenant, name, &credential.kind, &value).await?;
        tenant.exchange_credential(credential.id, &sealed, value, self.clock.now()).await?;
        Ok(())
    }

    async fn open(&self, tenant: &TenantDb, name: &str, sealed: &[u8]) -> Result<CredentialValue, InvalidCredential> {
        let sealer = self.vault.workspace(tenant.workspace_id()).await?;
        let opened = sealer.open(&context_of(tenant.workspace_id(), name), sealed);
        let value = opened.and_then(|value| serde_json::from_slice(value.expose_secret()).ok());
        Ok(value.ok_or_else(|| Error::Damaged { what: format!("the credential {name:?}") })?)
    }

    async fn seal(
        &self,
        tenant: &TenantDb,
        name: &str,
        kind: &str,
        value: &CredentialValue,
    ) -> Result<SealedValue, InvalidCredential> {
        let invalid = |pointer, message| Err(InvalidCredential::Invalid { pointer, message });
        if !is_name(kind) {
            return invalid("/kind", "a kind has 1 to 100 characters, such as api_key, oauth2 or basic");
        }
        if value.is_empty() || !value.keys().all(|field| is_name(field)) {
            return invalid(
                "/value",
                "a value has at least one field, and the name of a field has 1 to 100 characters",
            );
        }
        let exposed: BTreeMap<_, _> = value.iter().map(|(field, secret)| (field, secret.expose_secret())).collect();
        let json = Zeroizing::new(serde_json::to_vec(&exposed).map_err(|_| Error::Internal("a value is not JSON"))?);
        if json.len() > LARGEST_VALUE_BYTES {
            return invalid("/value", "a value has at most 16 KiB as JSON");
        }
        let sealer = self.vault.workspace(tenant.workspace_id()).await?;
        Ok(SealedValue {
            kind: kind.to_owned(),
            fields: value.keys().cloned().collect(),
            sealed: sealer.seal(&context_of(tenant.workspace_id(), name), &json)?,
        })
    }
}

fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// A value is sealed to its place: a row that was moved to another workspace or name does not open.
fn context_of(workspace: WorkspaceId, name: &str) -> String {
    format!("credential/{workspace}/{name}")
}

#[cfg(test)]
mod tests {
    use tributary_core::{SystemClock, citation::ConnectorRef};
    use tributary_store::{
        NewWorkspace,
        testing::{TestDb, databases, execute},
    };

    use super::{super::tests::config, *};

    async fn tenant(test: &TestDb, slug: &str) -> TenantDb {
        let push_connector = ConnectorRef { id: "builtin:push".into(), version: "0".into(), digest: "0".into() };
        let new = NewWorkspace { name: slug.into(), slug: slug.into(), push_connector, now: SystemClock.now() };
        test.db.system().tenant(test.db.system().create_workspace(new).await.unwrap().id)
    }

    fn value(secret: &str) -> CredentialValue {
        BTreeMap::from([("key".to_owned(), secret.to_owned().into())])
    }

    #[tokio::test]
    async fn a_value_opens_in_its_own_place_only() {
        for test in databases().await {
            let directory = tempfile::tempdir().unwrap();
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let vault = Vault::open(test.db.clone(), clock.clone(), &config(directory.path())).await.unwrap();
            let credentials = Credentials::new(Arc::new(vault), clock);
            let (ours, theirs) = (tenant(&test, "ours").await, tenant(&test, "theirs").await);
            credentials.create(&ours, "shop", "api_key", &value("K7Q-1")).await.unwrap();
            let mail = credentials.create(&ours, "mail", "api_key", &value("K7Q-2")).await.unwrap();
            credentials.create(&theirs, "shop", "api_key", &value("K7Q-3")).await.unwrap();
            let open = async |tenant, name| {
                let value = credentials.reveal(tenant, name).await?;
                Ok::<_, InvalidCredential>(value.map(|opened| opened.value["key"].expose_secret().to_owned()))
            };
            assert_eq!(open(&ours, "shop").await.unwrap().as_deref(), Some("K7Q-1"), "{}", test.name);
            assert_eq!(open(&ours, "nothing").await.unwrap(), None);
            credentials.replace(&ours, mail.id, "basic", &value("K7Q-4")).await.unwrap();
            assert_eq!(open(&ours, "mail").await.unwrap().as_deref(), Some("K7Q-4"), "{}", test.name);
            assert!(ours.get_credential(mail.id).await.unwrap().last_used_at.is_some());

            // Somebody moves ciphertexts about in the database.
            let moved = "UPDATE credential SET sealed = (SELECT sealed FROM credential WHERE name = 'mail') WHERE name = 'shop'";
            execute(&test.url, moved).await.unwrap();
            for tenant in [&ours, &theirs] {
                let error = open(tenant, "shop").await.unwrap_err().to_string();
                assert!(error.contains("\"shop\" does not open") && !error.contains("K7Q"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn a_value_that_is_too_large_or_empty_is_refused() {
        let test = tributary_store::testing::sqlite(Default::default()).await;
        let directory = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let vault = Vault::open(test.db.clone(), clock.clone(), &config(directory.path())).await.unwrap();
        let credentials = Credentials::new(Arc::new(vault), clock);
        let tenant = tenant(&test, "ours").await;
        // 16 KiB with {"key":"…"} around it.
        assert!(credentials.create(&tenant, "largest", "k", &value(&"x".repeat((16 << 10) - 10))).await.is_ok());
        for (name, kind, wrong) in [
            ("larger", "k", value(&"x".repeat((16 << 10) - 9))),
            ("empty", "k", BTreeMap::new()),
            ("", "k", value("x")),
            ("a\nb", "k", value("x")),
            ("kind", "", value("x")),
        ] {
            let refused = credentials.create(&tenant, name, kind, &wrong).await;
            assert!(matches!(refused, Err(InvalidCredential::Invalid { .. })), "{name}: {refused:?}");
        }
        let taken = credentials.create(&tenant, "largest", "k", &value("x")).await;
        assert!(matches!(taken, Err(InvalidCredential::NameTaken(_))));
    }
}

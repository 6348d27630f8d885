//! Workspaces: making, finding, changing and removing them.

mod profile;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tributary_core::{Clock, WorkspaceId, job::Lease, principal::Principal, workspace::Workspace};
use tributary_search::text;
use tributary_store::{Db, NewWorkspace, Page, TenantDb, Visible, WorkspaceUpdate};

use crate::{jobs, plugins::Plugins};

/// Documents removed in one transaction.
const REMOVED_AT_ONCE: i64 = 500;

/// Why a workspace was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is not as it must be.
    #[error("{message}")]
    Invalid {
        /// JSON pointer into the request body.
        pointer: &'static str,
        /// What to send instead.
        message: String,
    },
    /// The caller may not.
    #[error("only an administrator of this server makes workspaces")]
    Forbidden,
    /// The slug is taken.
    #[error("the slug {0:?} is taken by another workspace; choose another")]
    SlugTaken(String),
    /// The record.
    #[error(transparent)]
    Store(#[from] tributary_store::Error),
}

/// The workspace service.
pub struct Workspaces {
    db: Db,
    clock: Arc<dyn Clock>,
    plugins: Arc<Plugins>,
}

impl Workspaces {
    /// Wired.
    pub fn new(db: Db, clock: Arc<dyn Clock>, plugins: Arc<Plugins>) -> Self {
        Self { db, clock, plugins }
    }

    /// Makes a workspace. Without a slug, one is made from the name.
    pub async fn create(&self, principal: &Principal, name: &str, slug: Option<&str>) -> Result<Workspace, Error> {
        if !principal.instance_admin {
            return Err(Error::Forbidden);
        }
        let name = checked_name(name)?;
        match slug {
            Some(slug) if !is_slug(slug) => Err(Error::Invalid {
                pointer: "/slug",
                message:
                    "a slug is made of 1 to 63 lower-case letters, digits and dashes, and starts with a letter or digit"
                        .to_owned(),
            }),
            Some(slug) => self.insert(&name, slug).await,
            None => {
                let base = slugify(&name);
                for attempt in 1..100 {
                    let slug = if attempt == 1 { base.clone() } else { format!("{base}-{attempt}") };
                    match self.insert(&name, &slug).await {
                        Err(Error::SlugTaken(_)) => {}
                        result => return result,
                    }
                }
                Err(Error::SlugTaken(base))
            }
        }
    }

    async fn insert(&self, name: &str, slug: &str) -> Result<Workspace, Error> {
        let new = NewWorkspace {
            name: name.to_owned(),
            slug: slug.to_owned(),
            push_connector: self.plugins.push().clone(),
            now: self.clock.now(),
        };
        self.db.system().create_workspace(new).await.map_err(|error| match error {
            tributary_store::Error::Conflict { .. } => Error::SlugTaken(slug.to_owned()),
            error => error.into(),
        })
    }

    /// The workspaces the caller may enter.
    pub async fn list(
        &self,
        principal: &Principal,
        after: Option<WorkspaceId>,
        limit: i64,
    ) -> Result<Page<Workspace>, Error> {
        let visible = if principal.instance_admin {
            Visible::All
        } else {
            Visible::Only(principal.grants.iter().map(|grant| grant.workspace_id).collect())
        };
        Ok(self.db.system().list_workspaces(&visible, after, limit).await?)
    }
}

impl Workspaces {
    /// Changes a workspace, when what is given makes sense.
    pub async fn update(&self, tenant: &TenantDb, mut update: WorkspaceUpdate) -> Result<Workspace, Error> {
        if let Some(name) = &mut update.name {
            *name = checked_name(name)?;
        }
        if let Some(settings) = &update.settings {
            profile::check_settings(settings)?;
        }
        if let Some(Some(commerce)) = &update.commerce {
            profile::check_commerce(commerce)?;
            if let Some(source) = commerce.catalog_source_id
                && tenant.find_source(source).await?.is_none()
            {
                let message = "there is no such source in this workspace".to_owned();
                return Err(Error::Invalid { pointer: "/commerce/catalog_source_id", message });
            }
        }
        Ok(tenant.update_workspace(update).await?)
    }

    /// Works on a leased deletion until nothing is left, or the lease is lost.
    pub async fn remove(&self, lease: Lease, lease_ms: i64, shutdown: &CancellationToken) {
        let tenant = self.db.system().tenant(lease.workspace_id);
        let removed = async {
            while tenant.remove_documents(&lease, REMOVED_AT_ONCE).await? {
                if shutdown.is_cancelled() {
                    self.db.system().release(&lease, 0).await?;
                    return Ok(());
                }
                self.db.system().heartbeat(&lease, lease_ms).await?;
            }
            tenant.remove_workspace(&lease, self.clock.now()).await?;
            tracing::info!(workspace = %lease.workspace_id, "workspace removed");
            Ok(())
        };
        let removed: Result<(), tributary_store::Error> = removed.await;
        if let Err(error) = removed {
            tracing::warn!(workspace = %lease.workspace_id, %error, "a workspace could not be removed yet; it is tried again");
            let pause_ms = jobs::pause(lease.attempt, None).as_millis() as i64;
            let _ = self.db.system().retry(&lease, pause_ms, &error.to_string()).await;
        }
    }
}

fn checked_name(name: &str) -> Result<String, Error> {
    let name = text::line(name);
    if name.is_empty() || name.chars().count() > 100 {
        return Err(Error::Invalid { pointer: "/name", message: "a name has 1 to 100 characters".to_owned() });
    }
    Ok(name)
}

fn is_slug(slug: &str) -> bool {
    (1..=63).contains(&slug.len())
        && !slug.starts_with('-')
        && slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// `Müller & Co` → `m-ller-co`; nothing left → `workspace`.
fn slugify(name: &str) -> String {
    let plain = name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let slug = plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    let cut: String = slug.chars().take(50).collect();
    if cut.is_empty() { "workspace".to_owned() } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_gives_a_slug() {
        assert_eq!(slugify("Winter Shop 2026"), "winter-shop-2026");
        assert_eq!(slugify("  --  "), "workspace");
        for name in ["日本", "a", &"x".repeat(300), "Ä--b"] {
            assert!(is_slug(&slugify(name)), "{name}");
        }
    }
}

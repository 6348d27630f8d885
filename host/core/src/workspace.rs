//! Workspaces.

use serde::{Deserialize, Serialize};

use crate::{Instant, SourceId, WorkspaceId};

/// The unit of tenancy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// For people.
    pub name: String,
    /// For URLs and models: lower-case letters, digits and dashes; unique.
    pub slug: String,
    /// How it answers.
    pub settings: Settings,
    /// The shop it belongs to.
    pub commerce: Option<Commerce>,
    /// Since when it is put aside: it can be read, and nothing is asked, synced or changed in it.
    pub archived_at: Option<Instant>,
    /// When it was made.
    pub created_at: Instant,
}

/// How a workspace answers. What is absent is as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Said to a language model before each conversation, at most 8,000 characters.
    pub system_prompt: Option<String>,
    /// How answers are made.
    pub answer_mode: AnswerMode,
    /// Passages an answer may rest on, 1 to 50.
    pub top_k: Option<u16>,
    /// In which language answers are given (BCP 47); absent: in that of the question.
    pub language: Option<String>,
    /// Said when nothing was found, at most 1,000 characters.
    pub refusal_text: Option<String>,
    /// Days a deleted document or source can be restored, 0 to 3,650; then it is purged. 30 when absent.
    pub purge_after_days: Option<u16>,
    /// Versions of a document that are kept, the present one included, 1 to 1,000. 20 when absent.
    pub keep_versions: Option<u16>,
    /// Days for which further versions are kept after they were replaced, 0 to 3,650. 90 when absent.
    pub keep_versions_days: Option<u16>,
}

impl Settings {
    /// Days until what was deleted is purged.
    pub fn purge_after_days(&self) -> u16 {
        self.purge_after_days.unwrap_or(30)
    }

    /// Versions that are kept whatever their age.
    pub fn keep_versions(&self) -> u16 {
        self.keep_versions.unwrap_or(20)
    }

    /// Days for which replaced versions are kept whatever their number.
    pub fn keep_versions_days(&self) -> u16 {
        self.keep_versions_days.unwrap_or(90)
    }
}

/// How answers are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerMode {
    /// With a language model when there is one, else by quoting.
    #[default]
    Auto,
    /// By quoting the best sentences, word for word.
    Extract,
}

/// The shop a workspace belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commerce {
    /// What it runs on.
    pub platform: Platform,
    /// Its address, https.
    pub store_url: String,
    /// ISO 4217: `EUR`.
    #[serde(default)]
    pub currency: Option<String>,
    /// BCP 47: `de-AT`.
    #[serde(default)]
    pub locale: Option<String>,
    /// The source that holds its products.
    #[serde(default)]
    pub catalog_source_id: Option<SourceId>,
    /// Where a customer sees an order, with `{order}` for its number.
    #[serde(default)]
    pub order_lookup_url: Option<String>,
}

/// What a shop runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Shopify.
    Shopify,
    /// WooCommerce.
    Woocommerce,
    /// BigCommerce.
    Bigcommerce,
    /// Magento or Adobe Commerce.
    Magento,
    /// Anything else.
    Custom,
}

//! Widgets: a key that everybody can read lets visitors of some sites chat.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::principal::KeyLimits;

/// What makes a key one for widgets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Widget {
    /// Where it may be used: serialised origins (RFC 6454, section 6.2) such as `https://shop.example`, compared whole. Never empty.
    pub origins: Vec<String>,
    /// How much one visitor may ask for.
    pub visitor_limits: KeyLimits,
    /// Whether the site says who its visitors are.
    pub identity: Identity,
    /// Outlives a rotation, so that visitors whom the site knows find their conversations again.
    pub realm: Uuid,
}

/// Whether a site says, signed, who its visitors are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// It does not; every visitor is new.
    #[default]
    None,
    /// It does for some, such as customers who have logged in.
    Optional,
    /// Nobody else gets in.
    Required,
}

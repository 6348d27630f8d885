//! Typed ids: UUIDv7, so that they sort by creation time.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, greater than those made before it on this machine.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )*};
}

ids! {
    /// A person who can log in.
    UserId,
    /// One log-in of a person, with the refresh tokens that followed from it.
    SessionId,
    /// An API key or widget key.
    KeyId,
    /// Somebody who chats on a site through a widget.
    VisitorId,
    /// The unit of tenancy: documents, sources and chats of one team.
    WorkspaceId,
    /// Where documents come from.
    SourceId,
    /// One sync, push or dry run of a source.
    RunId,
    /// One piece of durable work.
    JobId,
    /// A document; stable over its versions.
    DocumentId,
    /// A conversation.
    ThreadId,
    /// One message of a conversation.
    MessageId,
    /// What a connector logs in with.
    CredentialId,
}

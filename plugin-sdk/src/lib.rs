//! What a Tributary connector is written with.
//!
//! A connector is a type that implements [`Connector`], exported with [`export_connector!`] and compiled for
//! `wasm32-wasip2`. Natively the same code is an ordinary library, which a test drives with `testing::FolderHost`.

pub mod bindings;
mod contract;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod host;
mod plugin;

pub use contract::*;
pub use host::{BlobReader, ExtractorHost, Host, read_whole};
pub use plugin::{Connector, Extractor, check, cursor_text, pull};

/// Makes a type that implements [`Connector`] the connector of this component.
///
/// Does nothing natively, where a library with the contract's symbol names would not link.
#[macro_export]
macro_rules! export_connector {
    ($connector:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::bindings::connector::exports::tributary::connector::connector::Guest for Component {
                fn describe() -> $crate::Descriptor {
                    $crate::guest::Guest::enter();
                    <$connector as $crate::Connector>::describe()
                }

                fn check(config: String) -> ::core::result::Result<Vec<$crate::CheckItem>, $crate::Failure> {
                    $crate::check::<$connector>(&$crate::guest::Guest::enter(), &config)
                }

                fn pull(request: $crate::PullRequest) -> ::core::result::Result<$crate::Page, $crate::Failure> {
                    $crate::pull::<$connector>(&$crate::guest::Guest::enter(), &request)
                }
            }

            $crate::bindings::connector::export_connector_world!(Component);
        };
    };
}

/// Makes a type that implements [`Extractor`] the extractor of this component. Does nothing natively.
#[macro_export]
macro_rules! export_extractor {
    ($extractor:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::bindings::extractor::exports::tributary::connector::extractor::Guest for Component {
                fn extract(
                    input: $crate::BlobId,
                    media_type: String,
                    name: Option<String>,
                ) -> ::core::result::Result<$crate::Extracted, $crate::Failure> {
                    let host = $crate::guest::Guest::enter();
                    <$extractor as $crate::Extractor>::extract(&host, input, &media_type, name.as_deref())
                }
            }

            $crate::bindings::extractor::export_extractor_world!(Component);
        };
    };
}

//! What a Tributary connector is written with.
//!
//! A connector is a type that implements [`Connector`], exported with [`export_connector!`] and compiled for
//! `wasm32-wasip2`. Natively the same code is an ordinary library, which a test drives with `testing::TestHost`.
//!
//! `examples/notes.rs` is a whole connector with its test; this is the core of it:
//!
//! ```
//! use tributary_plugin_sdk::*;
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     root: String,
//! }
//!
//! struct Notes;
//!
//! impl Connector for Notes {
//!     type Config = Config;
//! #   fn describe() -> Descriptor { unimplemented!() }
//! #   fn check(_: &dyn Host, _: Config) -> Result<Vec<CheckItem>, Failure> { Ok(vec![]) }
//!
//!     fn pull(host: &dyn Host, config: Config, request: &PullRequest) -> Result<Page, Failure> {
//!         let after: Option<String> = request.cursor()?;
//!         let listing = host.list(&config.root, "", after.as_deref(), request.max_items)?;
//!         let mut changes = Vec::new();
//!         for entry in &listing.entries {
//!             let blob = host.open(&config.root, &entry.name, 1 << 20)?;
//!             changes.push(Document::new(&entry.name, "note", Content::blob(blob, "text/markdown")).into());
//!         }
//!         match listing.entries.last() {
//!             Some(last) if !listing.last => Page::more(changes, &last.name),
//!             _ => Ok(Page::complete_exhaustive(changes)),
//!         }
//!     }
//! }
//!
//! export_connector!(Notes);
//! ```

pub mod bindings;
mod contract;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod host;
mod http;
mod plugin;
mod size;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use contract::*;
pub use host::{BlobReader, ExtractorHost, Host, read_whole};
pub use plugin::{Connector, Extractor, browse, check, cursor_text, pull, upgrade_config, upgrade_state};
pub use size::Size;

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

            impl $crate::bindings::connector::exports::tributary::connector::upgrade::Guest for Component {
                fn upgrade_config(
                    from_version: String,
                    config: String,
                ) -> ::core::result::Result<String, $crate::Failure> {
                    $crate::guest::Guest::enter();
                    $crate::upgrade_config::<$connector>(&from_version, &config)
                }

                fn upgrade_state(
                    from_version: String,
                    state: Vec<(String, String)>,
                ) -> ::core::result::Result<Option<Vec<(String, String)>>, $crate::Failure> {
                    $crate::guest::Guest::enter();
                    $crate::upgrade_state::<$connector>(&from_version, state)
                }
            }

            impl $crate::bindings::connector::exports::tributary::connector::browse::Guest for Component {
                fn browse(
                    config: String,
                    pointer: String,
                    at: Option<String>,
                    after: Option<String>,
                ) -> ::core::result::Result<$crate::Choices, $crate::Failure> {
                    let request = $crate::Browse { pointer, at, after };
                    $crate::browse::<$connector>(&$crate::guest::Guest::enter(), &config, &request)
                }
            }

            $crate::bindings::connector::export_connector_world!(Component);
        };
    };
}

/// Tests of a connector: it plays every scenario of a folder of its crate, and is held to the contract with those that work.
///
/// `connector_tests!(MyConnector, "tests/scenarios");` makes the tests `scenarios` and `conformance`. The same files are played
/// against the component in the real sandbox by `tributary plugin test`.
#[macro_export]
macro_rules! connector_tests {
    ($connector:ty, $folder:literal) => {
        #[test]
        fn scenarios() {
            $crate::testing::run_scenarios::<$connector>(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder));
        }

        #[test]
        fn conformance() {
            $crate::testing::run_conformance::<$connector>(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder));
        }
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

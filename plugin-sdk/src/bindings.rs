//! Bindings generated from `wit/v0_1`. Nothing is written by hand here; constructors live in `contract`.
//!
//! Both worlds share one set of types: the second is generated with the interfaces of the first.
#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::unwrap_used)]

/// The world of connectors.
pub mod connector {
    wit_bindgen::generate!({
        world: "full-connector-plugin",
        path: "../wit/v0_1",
        additional_derives: [PartialEq, Clone],
        generate_unused_types: true,
        pub_export_macro: true,
        export_macro_name: "export_connector_world",
        default_bindings_module: "tributary_plugin_sdk::bindings::connector",
    });
}

/// The world of extractors.
pub mod extractor {
    wit_bindgen::generate!({
        world: "extractor-plugin",
        path: "../wit/v0_1",
        with: {
            "tributary:connector/types@0.1.0": crate::bindings::connector::tributary::connector::types,
            "tributary:connector/blobs@0.1.0": crate::bindings::connector::tributary::connector::blobs,
            "tributary:connector/log@0.1.0": crate::bindings::connector::tributary::connector::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_extractor_world",
        default_bindings_module: "tributary_plugin_sdk::bindings::extractor",
    });
}

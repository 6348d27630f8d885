//! The contract as wasmtime sees it, made from `wit/v0_1`.
#![allow(missing_docs, unreachable_pub, clippy::all)]

/// What a connector imports and exports.
pub(crate) mod connector {
    wasmtime::component::bindgen!({
        path: "../../wit/v0_1",
        world: "connector-plugin",
        imports: { default: async },
        exports: { default: async },
    });
}

/// What an extractor exports; its imports are a subset of a connector's and are linked once for both.
pub(crate) mod extractor {
    wasmtime::component::bindgen!({
        path: "../../wit/v0_1",
        world: "extractor-plugin",
        imports: { default: async },
        exports: { default: async },
        with: {
            "tributary:connector/types@0.1.0": super::connector::tributary::connector::types,
            "tributary:connector/blobs@0.1.0": super::connector::tributary::connector::blobs,
            "tributary:connector/log@0.1.0": super::connector::tributary::connector::log,
        },
    });
}

/// What a connector may export beside; found out one by one.
pub(crate) mod upgrade {
    wasmtime::component::bindgen!({
        path: "../../wit/v0_1",
        world: "upgrade-plugin",
        exports: { default: async },
        with: { "tributary:connector/types@0.1.0": super::connector::tributary::connector::types },
    });
}
pub(crate) mod browse {
    wasmtime::component::bindgen!({
        path: "../../wit/v0_1",
        world: "browse-plugin",
        exports: { default: async },
        with: { "tributary:connector/types@0.1.0": super::connector::tributary::connector::types },
    });
}

pub(crate) use connector::tributary::connector::{blobs, files, http, ledger, log, state, types};

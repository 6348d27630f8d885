//! What bytes must be to be installed at all, and what they may import.

use tributary_core::hash::Sha256Hash;
use wasmparser::{Parser, Payload};
use wasmtime::{Engine, ExternType, InstancePre, Linker, Module, UnknownImportError, component::Component};

use crate::{extism, text::printable};

/// Components in each other. Each costs the compiler more than the one around it.
const MAX_NESTING: usize = 16;
/// Modules and components of a component; Python comes as 38.
const MAX_PARTS: usize = 1_000;
/// Code of one function, which is compiled in one piece. The longest of ours has 76 KB, of Python 427.
const MAX_FUNCTION_BYTES: usize = 1 << 20;

/// What a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads a source.
    Connector,
    /// Reads a source, and is an Extism module.
    ExtismConnector,
    /// Turns files into text.
    Extractor,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connector => "connector",
            Self::ExtismConnector => "extism connector",
            Self::Extractor => "extractor",
        }
    }

    /// Interfaces of the contract it may import, beside those of WASI.
    fn imports(self) -> &'static [&'static str] {
        match self {
            Self::Connector => &["types", "blobs", "files", "http", "ledger", "state", "log"],
            Self::ExtismConnector => &[],
            Self::Extractor => &["types", "blobs", "log"],
        }
    }
}

/// Why bytes were not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Over the size cap.
    #[error(
        "the component has {size} bytes where at most {max} are allowed; build it in release mode and without debug information"
    )]
    TooLarge {
        /// Its size.
        size: usize,
        /// The cap.
        max: usize,
    },
    /// Machine code for one engine.
    #[error(
        "this is a precompiled artifact, which could do anything once loaded; install the .wasm component it was made from"
    )]
    Precompiled,
    /// A module without the component layer.
    #[error(
        "this is a core WebAssembly module, not a component, and it imports nothing from extism:host/env, as an Extism module would; build a component with `cargo build --target wasm32-wasip2`"
    )]
    CoreModule,
    /// An Extism module that wants something that is not offered.
    #[error("the Extism module imports `{0}`, which is not offered; docs/extism.md lists what is")]
    ExtismImport(String),
    /// An Extism module that is no connector.
    #[error(
        "the Extism module has no function `{0}` that takes nothing and returns an i32; a connector exports describe, check and pull"
    )]
    ExtismExport(&'static str),
    /// An import of another type than Extism's.
    #[error("the Extism module does not fit Extism's interface: {0}; build it with a current PDK")]
    Extism(String),
    /// Its manifest.
    #[error(transparent)]
    Manifest(#[from] extism::BadManifest),
    /// Something else entirely.
    #[error(
        "this is not WebAssembly: it does not start with the bytes \\0asm; install the .wasm file that the build made"
    )]
    NotWasm,
    /// Starts like a component but is not a valid one.
    #[error("the component is damaged, cut off, or uses WebAssembly features that are switched off: {0}")]
    Invalid(String),
    /// Would take the compiler too long, or too much memory.
    #[error("the component has {0}; build it in release mode, from fewer and smaller pieces")]
    Shape(String),
    /// Wants something that is not offered.
    #[error(
        "the {kind} imports `{name}`, which is not offered to {kind}s; use the interfaces of tributary:connector@0.1.0 instead"
    )]
    Import {
        /// `connector` or `extractor`.
        kind: &'static str,
        /// The first such import.
        name: String,
    },
    /// Exports neither interface, or both.
    #[error(
        "the component must export either tributary:connector/connector@0.1.0 or tributary:connector/extractor@0.1.0; use the plugin SDK's export macro"
    )]
    Exports,
    /// Imports or exports with other types than the contract's.
    #[error(
        "the component does not fit the contract tributary:connector@0.1.0: {0}; build it against the current plugin SDK"
    )]
    Contract(String),
    /// It could not even say what it is.
    #[error("the connector could not describe itself: {0}")]
    Describe(#[from] tributary_core::contract::Failure),
    /// Where a connector is wanted.
    #[error("this component is an extractor; only connectors can be installed, the extractor comes with the server")]
    Extractor,
    /// A digest nobody installed.
    #[error("no {kind} with the digest {digest} is installed; install its component first")]
    Unknown {
        /// `connector` or `extractor`.
        kind: &'static str,
        /// The digest asked for.
        digest: Sha256Hash,
    },
    /// The server's own trouble.
    #[error("the sandbox could not be set up: {0}")]
    Host(String),
}

impl InstallError {
    pub(crate) fn unknown(kind: Kind, digest: Sha256Hash) -> Self {
        Self::Unknown { kind: kind.as_str(), digest }
    }
}

/// The two forms of WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Component,
    Module,
}

/// Checks the outside of the bytes before anything reads them closely.
pub(crate) fn inspect(wasm: &[u8], max: usize) -> Result<Layer, InstallError> {
    if wasm.len() > max {
        return Err(InstallError::TooLarge { size: wasm.len(), max });
    }
    if Engine::detect_precompiled(wasm).is_some() {
        return Err(InstallError::Precompiled);
    }
    // Magic, then version and layer: 1 and 0 for a core module, 13 and 1 for a component.
    let layer = match wasm {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Layer::Module,
        [0, b'a', b's', b'm', ..] => Layer::Component,
        _ => return Err(InstallError::NotWasm),
    };
    compilable(wasm)?;
    Ok(layer)
}

/// Looks at what decides how long compiling takes, and how much memory; it cannot be interrupted once it has begun.
fn compilable(wasm: &[u8]) -> Result<(), InstallError> {
    let (mut depth, mut parts) = (0, 0);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::Version { .. }) => {
                (depth, parts) = (depth + 1, parts + 1);
                if depth > MAX_NESTING {
                    return Err(InstallError::Shape(format!("more than {MAX_NESTING} components in each other")));
                }
                if parts > MAX_PARTS {
                    return Err(InstallError::Shape(format!("more than {MAX_PARTS} modules and components in it")));
                }
            }
            Ok(Payload::End(_)) => depth -= 1,
            Ok(Payload::CodeSectionEntry(body)) if body.range().len() > MAX_FUNCTION_BYTES => {
                return Err(InstallError::Shape(format!("a function of more than {} MiB", MAX_FUNCTION_BYTES >> 20)));
            }
            Ok(_) => {}
            // The compiler gets as far, and says what is wrong.
            Err(_) => break,
        }
    }
    Ok(())
}

/// Finds out what a component is and that it imports only what its kind is offered.
pub(crate) fn classify(component: &Component) -> Result<Kind, InstallError> {
    let engine = component.engine();
    let ty = component.component_type();
    let kind = match (exports(component, "connector"), exports(component, "extractor")) {
        (true, false) => Kind::Connector,
        (false, true) => Kind::Extractor,
        _ => return Err(InstallError::Exports),
    };
    match ty.imports(engine).find(|(name, _)| !(in_contract(name, kind.imports()) || in_wasi(name))) {
        Some((name, _)) => Err(InstallError::Import { kind: kind.as_str(), name: crate::text::printable(name, 200) }),
        None => Ok(kind),
    }
}

/// Whether a component exports an interface of the contract.
pub(crate) fn exports(component: &Component, interface: &str) -> bool {
    let exports = component.component_type();
    exports.exports(component.engine()).any(|(name, _)| in_contract(name, &[interface]))
}

/// Links an Extism module: it imports from Extism's host, and nothing that is not offered.
pub(crate) fn extism(
    linker: &Linker<extism::Guest>,
    module: &Module,
) -> Result<InstancePre<extism::Guest>, InstallError> {
    if !module.imports().any(|import| import.module() == extism::ENV) {
        return Err(InstallError::CoreModule);
    }
    linker.instantiate_pre(module).map_err(|error| match error.downcast_ref::<UnknownImportError>() {
        Some(unknown) => {
            InstallError::ExtismImport(printable(&format!("{}.{}", unknown.module(), unknown.name()), 200))
        }
        None => InstallError::Extism(printable(&format!("{error:#}"), 500)),
    })
}

/// Finds out that an Extism module is a connector.
pub(crate) fn extism_connector(module: &Module) -> Result<(), InstallError> {
    let missing = extism::CONTRACT.iter().find(|name| !callable(module, name));
    missing.map_or(Ok(()), |name| Err(InstallError::ExtismExport(name)))
}

/// Whether an Extism module exports a function that takes nothing and returns an i32.
pub(crate) fn callable(module: &Module, name: &str) -> bool {
    match module.get_export(name) {
        Some(ExternType::Func(ty)) => ty.params().len() == 0 && ty.results().map(|ty| ty.is_i32()).eq([true]),
        _ => false,
    }
}

/// `tributary:connector/<one of interfaces>@0.1.x`.
fn in_contract(name: &str, interfaces: &[&str]) -> bool {
    let parsed = name.strip_prefix("tributary:connector/").and_then(|rest| rest.split_once('@'));
    parsed.is_some_and(|(interface, version)| interfaces.contains(&interface) && version.starts_with("0.1."))
}

/// What standard libraries bring along. All of it is empty, fixed or bounded here; sockets and HTTP are not in it.
fn in_wasi(name: &str) -> bool {
    const PACKAGES: [&str; 5] = ["cli", "clocks", "filesystem", "io", "random"];
    let parsed = name.strip_prefix("wasi:").and_then(|rest| rest.split_once('/'));
    parsed.is_some_and(|(package, rest)| {
        PACKAGES.contains(&package) && rest.split_once('@').is_some_and(|(_, version)| version.starts_with("0.2."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_matched_whole() {
        assert!(in_contract("tributary:connector/files@0.1.0", &["files"]));
        for name in
            ["tributary:connector/files", "tributary:connector/files@0.2.0", "evil:connector/files@0.1.0", "files"]
        {
            assert!(!in_contract(name, &["files"]), "{name}");
        }
        assert!(in_wasi("wasi:io/streams@0.2.6"));
        for name in
            ["wasi:http/outgoing-handler@0.2.0", "wasi:sockets/tcp@0.2.0", "wasi:io/streams@0.3.0", "wasi:iox/a@0.2.0"]
        {
            assert!(!in_wasi(name), "{name}");
        }
    }
}

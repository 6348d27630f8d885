//! Extism's manifest, as far as it has a meaning here, and how it travels: inside the module, in a custom section, so that a
//! connector stays one file with one digest.
//!
//! What a manifest says can only take away: memory, time, sizes. Hosts it allows are what the connector asks for, and are granted
//! or not like anybody's. Where its modules are to be loaded from means nothing here, and is removed before anything reads it.

use std::collections::BTreeMap;

use serde_json::Value;
use tributary_core::hash::Sha256Hash;
use wasmparser::{Parser, Payload};

use crate::limits::CallLimits;

/// The custom section.
const SECTION: &str = "extism:manifest";
const MAX_MANIFEST_BYTES: usize = 256 << 10;
const PAGE_BYTES: usize = 64 << 10;
/// Longest answer over HTTP; Extism's own default is 50 MiB.
const MAX_HTTP_BYTES: u64 = 32 << 20;
/// Extism's default.
const MAX_VAR_BYTES: u64 = 1 << 20;

/// What a manifest changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    max_memory_bytes: Option<usize>,
    timeout_ms: Option<u64>,
    pub(super) max_http_response_bytes: u64,
    pub(super) max_var_bytes: u64,
    pub(super) config: BTreeMap<String, String>,
    pub(super) allowed_hosts: Vec<String>,
}

/// Why a manifest is not taken.
#[derive(Debug, thiserror::Error)]
pub enum BadManifest {
    /// Over the cap.
    #[error("the Extism manifest has {0} bytes where at most {MAX_MANIFEST_BYTES} are allowed")]
    TooLarge(usize),
    /// Not JSON, or not a manifest.
    #[error("the Extism manifest cannot be read: {0}")]
    Invalid(String),
    /// Several modules.
    #[error("the Extism manifest names {0} modules; a connector is one module: link them into one")]
    Modules(usize),
    /// A hash that is not the module's.
    #[error("the Extism manifest is for the module {expected}, and this one is {found}")]
    Hash {
        /// As the manifest says.
        expected: String,
        /// The module's.
        found: Sha256Hash,
    },
    /// Directories of the machine.
    #[error(
        "the Extism manifest has `allowed_paths`, and no module sees the machine's files; name roots in the descriptor and use `files_open`"
    )]
    Paths,
    /// Not a module.
    #[error("an Extism manifest is for Extism modules, and this is none; a component needs no manifest")]
    NotModule,
    /// A damaged module.
    #[error("the module is damaged or cut off: {0}")]
    Module(String),
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            max_memory_bytes: None,
            timeout_ms: None,
            max_http_response_bytes: MAX_HTTP_BYTES,
            max_var_bytes: MAX_VAR_BYTES,
            config: BTreeMap::new(),
            allowed_hosts: Vec::new(),
        }
    }
}

impl Manifest {
    /// The manifest inside a module; the default when there is none.
    pub(crate) fn of(wasm: &[u8]) -> Result<Self, BadManifest> {
        find(wasm)?.map_or_else(|| Ok(Self::default()), |json| Ok(Self::from(parse(json)?.0)))
    }

    /// The limits of a call, made tighter where the manifest says so.
    pub(super) fn within(&self, limits: CallLimits) -> CallLimits {
        CallLimits {
            memory_bytes: self.max_memory_bytes.map_or(limits.memory_bytes, |max| max.min(limits.memory_bytes)),
            deadline_ms: self.timeout_ms.map_or(limits.deadline_ms, |max| max.min(limits.deadline_ms)),
            ..limits
        }
    }
}

impl From<extism_manifest::Manifest> for Manifest {
    fn from(raw: extism_manifest::Manifest) -> Self {
        let shorter = |asked: Option<u64>, most: u64| asked.map_or(most, |asked| asked.min(most));
        Self {
            max_memory_bytes: raw.memory.max_pages.map(|pages| (pages as usize).saturating_mul(PAGE_BYTES)),
            timeout_ms: raw.timeout_ms,
            max_http_response_bytes: shorter(raw.memory.max_http_response_bytes, MAX_HTTP_BYTES),
            max_var_bytes: shorter(raw.memory.max_var_bytes, MAX_VAR_BYTES),
            config: raw.config,
            allowed_hosts: raw.allowed_hosts.unwrap_or_default(),
        }
    }
}

/// The module with a manifest (JSON text) inside it, and thereby another digest. One that has a manifest already is refused.
pub fn with_manifest(wasm: &[u8], manifest: &[u8]) -> Result<Vec<u8>, BadManifest> {
    if !matches!(wasm, [0, b'a', b's', b'm', 1, 0, 0, 0, ..]) {
        return Err(BadManifest::NotModule);
    }
    let (parsed, hash) = parse(manifest)?;
    let found = Sha256Hash::of(wasm);
    if let Some(expected) = hash.filter(|hash| !hash.trim().eq_ignore_ascii_case(&found.to_string())) {
        return Err(BadManifest::Hash { expected: crate::text::printable(&expected, 100), found });
    }
    if find(wasm)?.is_some() {
        return Err(BadManifest::Invalid("the module has one inside it already; build the module again".to_owned()));
    }
    let json = serde_json::to_vec(&parsed).map_err(|error| BadManifest::Invalid(error.to_string()))?;
    let mut section = Vec::new();
    leb128(&mut section, SECTION.len());
    section.extend_from_slice(SECTION.as_bytes());
    section.extend_from_slice(&json);
    let mut out = wasm.to_vec();
    out.push(0);
    leb128(&mut out, section.len());
    out.extend_from_slice(&section);
    Ok(out)
}

/// The manifest without its modules, and the hash it has of one.
fn parse(json: &[u8]) -> Result<(extism_manifest::Manifest, Option<String>), BadManifest> {
    if json.len() > MAX_MANIFEST_BYTES {
        return Err(BadManifest::TooLarge(json.len()));
    }
    let invalid = |error: serde_json::Error| BadManifest::Invalid(error.to_string());
    let mut value: Value = serde_json::from_slice(json).map_err(invalid)?;
    // Out before the typed reading: the crate takes `{"ptr": …, "len": …}` for a place in this process's memory and copies it.
    let modules = value.as_object_mut().and_then(|fields| fields.remove("wasm"));
    let modules = modules.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if modules.len() > 1 {
        return Err(BadManifest::Modules(modules.len()));
    }
    let hash = modules.first().and_then(|module| module.get("hash")?.as_str()).map(str::to_owned);
    let manifest: extism_manifest::Manifest = serde_json::from_value(value).map_err(invalid)?;
    if manifest.allowed_paths.as_ref().is_some_and(|paths| !paths.is_empty()) {
        return Err(BadManifest::Paths);
    }
    Ok((manifest, hash))
}

fn find(wasm: &[u8]) -> Result<Option<&[u8]>, BadManifest> {
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|error| BadManifest::Module(error.to_string()))? {
            Payload::CustomSection(section) if section.name() == SECTION => return Ok(Some(section.data())),
            _ => {}
        }
    }
    Ok(None)
}

fn leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CallLimits =
        CallLimits { cpu_ms: 1, deadline_ms: 1_000, memory_bytes: 1 << 20, result_bytes: 1 << 20 };

    fn module() -> Vec<u8> {
        wat::parse_str("(module)").unwrap()
    }

    #[test]
    fn a_manifest_travels_in_the_module_and_only_takes_away() {
        assert_eq!(Manifest::of(&module()).unwrap(), Manifest::default());
        let json = format!(
            r#"{{"wasm": [{{"path": "x.wasm", "hash": "{}"}}], "memory": {{"max_pages": 2}}, "timeout_ms": 90000,
                "config": {{"lang": "en"}}, "allowed_hosts": ["api.example"]}}"#,
            Sha256Hash::of(module())
        );
        let packed = with_manifest(&module(), json.as_bytes()).unwrap();
        let manifest = Manifest::of(&packed).unwrap();
        assert_eq!((manifest.config["lang"].as_str(), manifest.allowed_hosts.len()), ("en", 1));
        let limits = manifest.within(LIMITS);
        assert_eq!((limits.memory_bytes, limits.deadline_ms), (128 << 10, 1_000));
        assert!(with_manifest(&packed, b"{}").is_err(), "one is enough");
    }

    /// A pointer into the server's memory must never be followed.
    #[test]
    fn modules_of_a_manifest_are_never_loaded() {
        let json = br#"{"wasm": [{"data": {"ptr": 1, "len": 1000000}}]}"#;
        let packed = with_manifest(&module(), json).unwrap();
        assert_eq!(Manifest::of(&packed).unwrap(), Manifest::default());
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let refusal = |json: &str| with_manifest(&module(), json.as_bytes()).unwrap_err().to_string();
        assert!(refusal(r#"{"allowed_paths": {"/": "/"}}"#).contains("`allowed_paths`"));
        assert!(refusal(r#"{"wasm": [{}, {}]}"#).contains("2 modules"));
        assert!(refusal(r#"{"wasm": [{"path": "x", "hash": "00"}]}"#).contains("is for the module 00"));
        assert!(refusal(r#"{"memoryy": {}}"#).contains("cannot be read"));
        assert!(refusal("[").contains("cannot be read"));
        let component = wat::parse_str("(component)").unwrap();
        assert!(matches!(with_manifest(&component, b"{}"), Err(BadManifest::NotModule)));
        let damaged = [&module()[..], b"\x01"].concat();
        assert!(matches!(with_manifest(&damaged, b"{}"), Err(BadManifest::Module(_))));
    }
}

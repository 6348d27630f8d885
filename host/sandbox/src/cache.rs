//! Compiled code on disk, so that only the first start with a component compiles it.
//!
//! Loading compiled code means running it: the directory is private, every file carries the hash of what follows it, and a file
//! that does not match is compiled again.

use std::{
    fs,
    hash::{Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tributary_core::hash::Sha256Hash;
use wasmtime::{Engine, Module, component::Component};

const MAGIC: &[u8; 8] = b"TRIBCW01";
const HEADER_BYTES: usize = MAGIC.len() + 32;

/// Code for one engine, of a component or of a module.
pub(crate) trait Code: Sized + Send + 'static {
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self>;

    fn engine(&self) -> &Engine;

    fn serialize(&self) -> wasmtime::Result<Vec<u8>>;

    /// # Safety
    ///
    /// The bytes must be what `serialize` gave.
    #[allow(unsafe_code)]
    unsafe fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Self>;
}

macro_rules! code {
    ($kind:ty) => {
        impl Code for $kind {
            fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self> {
                Self::from_binary(engine, wasm)
            }

            fn engine(&self) -> &Engine {
                self.engine()
            }

            fn serialize(&self) -> wasmtime::Result<Vec<u8>> {
                self.serialize()
            }

            #[allow(unsafe_code)]
            unsafe fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Self> {
                // SAFETY: as the trait asks of the caller.
                unsafe { <$kind>::deserialize(engine, code) }
            }
        }
    };
}

code!(Component);
code!(Module);

/// The cache directory.
#[derive(Debug)]
pub(crate) struct CodeCache {
    dir: PathBuf,
}

impl CodeCache {
    /// Opens `dir`, making it when missing; only this user may enter it.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let metadata = fs::symlink_metadata(dir)?;
        if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other(format!(
                "{} must be a directory owned by the user the server runs as, since code is loaded from it",
                dir.display()
            )));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// The compiled form of the component `digest`, if it is here, whole, and made by this very engine.
    pub(crate) fn find<C: Code>(&self, engine: &Engine, digest: Sha256Hash) -> Option<C> {
        let path = self.path(engine, digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "compiled code could not be read; it is compiled again");
                }
                return None;
            }
        };
        let Some(code) = verified(&bytes) else {
            tracing::warn!(path = %path.display(), "compiled code on disk is damaged; it is compiled again");
            return None;
        };
        load(engine, code)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "compiled code does not load; it is compiled again"))
            .ok()
    }

    /// Keeps compiled code; a reader sees the whole file or none.
    pub(crate) fn store(&self, digest: Sha256Hash, compiled: &impl Code) -> wasmtime::Result<()> {
        let code = compiled.serialize()?;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(MAGIC)?;
        file.write_all(&Sha256::digest(&code))?;
        file.write_all(&code)?;
        file.persist(self.path(compiled.engine(), digest))?;
        Ok(())
    }

    /// Named by the component and everything about the engine that compiled code depends on, its target included.
    fn path(&self, engine: &Engine, digest: Sha256Hash) -> PathBuf {
        let mut key = KeyHasher(Sha256::new());
        digest.0.hash(&mut key);
        engine.precompile_compatibility_hash().hash(&mut key);
        std::env::consts::ARCH.hash(&mut key);
        std::env::consts::OS.hash(&mut key);
        self.dir.join(format!("{}.code", Sha256Hash(key.0.finalize().into())))
    }
}

fn verified(bytes: &[u8]) -> Option<&[u8]> {
    let (header, code) = bytes.split_at_checked(HEADER_BYTES)?;
    let (magic, hash) = header.split_at(MAGIC.len());
    (magic == MAGIC && Sha256::digest(code).as_slice() == hash).then_some(code)
}

/// The one place where bytes become code without being compiled here and now.
#[allow(unsafe_code)]
fn load<C: Code>(engine: &Engine, code: &[u8]) -> wasmtime::Result<C> {
    // SAFETY: the bytes were written by `store` from wasmtime's own output: they come from a directory that only this user can
    // write to and match the hash stored with them. wasmtime itself checks version, configuration and target.
    unsafe { C::deserialize(engine, code) }
}

/// SHA-256 as a `Hasher`, because the engine's compatibility is only offered as a `Hash` and must mean the same in every process.
struct KeyHasher(Sha256);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
    }
}

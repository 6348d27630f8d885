//! The second door: Extism modules behind the same traits as components.
//!
//! A plain WebAssembly module that imports `extism:host/env` talks to its host through memory that belongs to neither
//! ([`arena`]) and through functions that name places in it: those of the Extism kernel ([`env`], [`http`]), ours ([`user`]), and
//! a few of WASI that give nothing away ([`wasi`]). [`module`] calls an export with bytes in and bytes out, within the same limits
//! as a component's; [`connector`] and [`wire`] make a `Connector` of that. What may be imported is what `linker` links.

mod arena;
mod connector;
mod env;
mod guest;
mod http;
mod manifest;
mod module;
mod user;
mod wasi;
mod wire;

use wasmtime::{Engine, Linker};

pub(crate) use connector::{CONTRACT, ExtismConnector};
pub(crate) use guest::Guest;
pub(crate) use manifest::Manifest;
pub use manifest::{BadManifest, with_manifest};
pub use module::ExtismModule;

/// What a module must import from to be one of Extism.
pub(crate) const ENV: &str = "extism:host/env";

/// Everything a module may import; what is not in here is refused when it is installed.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    env::link(&mut linker)?;
    http::link(&mut linker)?;
    user::link(&mut linker)?;
    wasi::link(&mut linker)?;
    Ok(linker)
}

//! `extism:host/env`: what Extism's kernel and runtime offer, but for HTTP. Plain functions without locks: a guest moves its bytes
//! with them, eight at a time.
//!
//! Signatures follow extism-pdk 1.4; places and lengths are `u64`, bytes travel in an `i32`.

use wasmtime::{Caller, Linker, Trap};

use super::{ENV, guest::Guest, wasi};
use crate::guest_log::Level;

/// Extism counts trace 0, debug 1, info 2, warn 3, error 4.
const LOG_LEVEL: i32 = 1;

type Host<'a> = Caller<'a, Guest>;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    memory(linker)?;
    call(linker)?;
    linker.func_wrap(ENV, "config_get", |mut host: Host<'_>, key: u64| host.data_mut().config_get(key))?;
    linker.func_wrap(ENV, "var_get", |mut host: Host<'_>, key: u64| host.data_mut().var_get(key))?;
    linker.func_wrap(ENV, "var_set", |mut host: Host<'_>, key: u64, value: u64| {
        Ok(host.data_mut().var_set(key, value)?)
    })?;
    let levels = [
        ("log_trace", Level::Debug),
        ("log_debug", Level::Debug),
        ("log_info", Level::Info),
        ("log_warn", Level::Warn),
        ("log_error", Level::Error),
    ];
    for (name, level) in levels {
        linker.func_wrap(ENV, name, move |mut host: Host<'_>, line: u64| Ok(host.data_mut().log(level, line)?))?;
    }
    linker.func_wrap(ENV, "get_log_level", || LOG_LEVEL)?;
    // What AssemblyScript calls when it gives up, unless it was built with an `abort` of its own.
    linker.func_wrap("env", "abort", |mut host: Host<'_>, message: u32, file: u32, line: u32, column: u32| {
        let said = wasi::utf16(&mut host, message).unwrap_or_default();
        let file = wasi::utf16(&mut host, file).unwrap_or_default();
        host.data().log.write(Level::Error, &format!("aborted: {said} ({file}:{line}:{column})"), &[]);
        Err::<(), _>(Trap::UnreachableCodeReached.into())
    })?;
    Ok(())
}

/// Blocks of bytes.
fn memory(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(ENV, "alloc", |mut host: Host<'_>, length: u64| Ok(host.data_mut().alloc(length)?))?;
    linker.func_wrap(ENV, "free", |mut host: Host<'_>, start: u64| host.data_mut().free(start))?;
    for name in ["length", "length_unsafe"] {
        linker.func_wrap(ENV, name, |host: Host<'_>, start: u64| host.data().length(start))?;
    }
    linker.func_wrap(ENV, "load_u8", |host: Host<'_>, start: u64| u32::from(host.data().load::<1>(start)[0]))?;
    linker.func_wrap(ENV, "load_u64", |host: Host<'_>, start: u64| u64::from_le_bytes(host.data().load(start)))?;
    linker.func_wrap(ENV, "store_u8", |mut host: Host<'_>, start: u64, byte: u32| {
        host.data_mut().store(start, &[byte as u8]);
    })?;
    linker.func_wrap(ENV, "store_u64", |mut host: Host<'_>, start: u64, bytes: u64| {
        host.data_mut().store(start, &bytes.to_le_bytes());
    })?;
    Ok(())
}

/// What the export was called with, and what it answers.
fn call(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(ENV, "input_offset", |host: Host<'_>| host.data().input().0)?;
    linker.func_wrap(ENV, "input_length", |host: Host<'_>| host.data().input().1)?;
    linker.func_wrap(ENV, "input_load_u8", |host: Host<'_>, at: u64| u32::from(host.data().input_load::<1>(at)[0]))?;
    linker
        .func_wrap(ENV, "input_load_u64", |host: Host<'_>, at: u64| u64::from_le_bytes(host.data().input_load(at)))?;
    linker.func_wrap(ENV, "output_set", |mut host: Host<'_>, start: u64, length: u64| {
        host.data_mut().set_output(start, length);
    })?;
    linker.func_wrap(ENV, "error_set", |mut host: Host<'_>, start: u64| host.data_mut().set_error(start))?;
    linker.func_wrap(ENV, "error_get", |host: Host<'_>| host.data().error())?;
    Ok(())
}

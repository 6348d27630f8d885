//! The few functions of `wasi_snapshot_preview1` that standard libraries import without being asked: no arguments, no environment,
//! no files, no sockets. There is a clock, randomness, and output, which goes to the log.
//!
//! Served: `args_get`, `args_sizes_get`, `environ_get`, `environ_sizes_get`, `clock_time_get`, `random_get`, `fd_write`,
//! `fd_read`, `fd_close`, `fd_seek`, `fd_fdstat_get`, `fd_prestat_get`, `fd_prestat_dir_name`, `sched_yield`, `proc_exit`.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng;
use wasmtime::{Caller, Extern, Linker};
use wasmtime_wasi::I32Exit;

use super::guest::Guest;
use crate::guest_log::Level;

const WASI: &str = "wasi_snapshot_preview1";
const OK: i32 = 0;
const BADF: i32 = 8;
const FAULT: i32 = 21;
const INVAL: i32 = 28;
/// Of one write, what goes to the log.
const MAX_LINE_BYTES: usize = 2048;
const MAX_PIECES: u32 = 64;
const MAX_RANDOM_BYTES: u32 = 64 << 10;

type Host<'a> = Caller<'a, Guest>;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for name in ["args_sizes_get", "environ_sizes_get"] {
        linker.func_wrap(WASI, name, |mut host: Host<'_>, count: u32, size: u32| {
            errno(write(&mut host, count, &[0; 4]).and_then(|()| write(&mut host, size, &[0; 4])))
        })?;
    }
    for name in ["args_get", "environ_get"] {
        linker.func_wrap(WASI, name, |_: u32, _: u32| OK)?;
    }
    linker.func_wrap(WASI, "clock_time_get", |mut host: Host<'_>, clock: u32, _: u64, out: u32| {
        if clock > 1 {
            return INVAL;
        }
        let now_ns = now_ns(host.data_mut());
        errno(write(&mut host, out, &now_ns.to_le_bytes()))
    })?;
    linker.func_wrap(WASI, "random_get", |mut host: Host<'_>, out: u32, length: u32| {
        if length > MAX_RANDOM_BYTES {
            return INVAL;
        }
        let mut bytes = vec![0; length as usize];
        host.data_mut().surroundings.random.fill_bytes(&mut bytes);
        errno(write(&mut host, out, &bytes))
    })?;
    linker.func_wrap(WASI, "fd_write", |mut host: Host<'_>, fd: u32, pieces: u32, count: u32, out: u32| {
        let level = match fd {
            1 => Level::Info,
            2 => Level::Warn,
            _ => return BADF,
        };
        let Some((line, length)) = gathered(&mut host, pieces, count) else { return FAULT };
        let line = String::from_utf8_lossy(&line);
        if !line.trim_end().is_empty() {
            host.data().log.write(level, line.trim_end(), &[]);
        }
        errno(write(&mut host, out, &length.to_le_bytes()))
    })?;
    // Nothing is open: neither files nor directories are to be had.
    linker.func_wrap(WASI, "fd_read", |_: u32, _: u32, _: u32, _: u32| BADF)?;
    linker.func_wrap(WASI, "fd_close", |_: u32| BADF)?;
    linker.func_wrap(WASI, "fd_seek", |_: u32, _: u64, _: u32, _: u32| BADF)?;
    linker.func_wrap(WASI, "fd_fdstat_get", |_: u32, _: u32| BADF)?;
    linker.func_wrap(WASI, "fd_prestat_get", |_: u32, _: u32| BADF)?;
    linker.func_wrap(WASI, "fd_prestat_dir_name", |_: u32, _: u32, _: u32| BADF)?;
    linker.func_wrap(WASI, "sched_yield", || OK)?;
    linker.func_wrap(WASI, "proc_exit", |status: i32| Err::<(), _>(I32Exit(status).into()))?;
    Ok(())
}

/// The machine's time, or that of the call: one that goes on by a millisecond whenever it is looked at.
fn now_ns(guest: &mut Guest) -> u64 {
    match &mut guest.surroundings.now_ms {
        Some(now_ms) => {
            let now = *now_ms;
            *now_ms += 1;
            now.saturating_mul(1_000_000)
        }
        None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64),
    }
}

/// The beginning of what was written, and how long all of it is.
fn gathered(host: &mut Host<'_>, pieces: u32, count: u32) -> Option<(Vec<u8>, u32)> {
    let (mut line, mut length) = (Vec::new(), 0u32);
    for piece in 0..count.min(MAX_PIECES) {
        let place: [u8; 8] = read(host, pieces.checked_add(piece * 8)?, 8)?.try_into().ok()?;
        let [a, b, c, d, e, f, g, h] = place;
        let (start, size) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let room = (MAX_LINE_BYTES - line.len()).min(size as usize);
        line.extend_from_slice(read(host, start, room)?);
        length = length.checked_add(size)?;
    }
    Some((line, length))
}

/// A string of AssemblyScript: UTF-16, its length in bytes in front of it.
pub(super) fn utf16(host: &mut Host<'_>, start: u32) -> Option<String> {
    let length: [u8; 4] = read(host, start.checked_sub(4)?, 4)?.try_into().ok()?;
    let length = (u32::from_le_bytes(length) as usize).min(MAX_LINE_BYTES) & !1;
    let units = read(host, start, length)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    Some(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

fn read<'a>(host: &'a mut Host<'_>, start: u32, length: usize) -> Option<&'a [u8]> {
    let memory = host.get_export("memory").and_then(Extern::into_memory)?;
    let start = start as usize;
    memory.data(host).get(start..start.checked_add(length)?)
}

fn write(host: &mut Host<'_>, start: u32, bytes: &[u8]) -> Option<()> {
    let memory = host.get_export("memory").and_then(Extern::into_memory)?;
    memory.write(host, start as usize, bytes).ok()
}

fn errno(done: Option<()>) -> i32 {
    if done.is_some() { OK } else { FAULT }
}

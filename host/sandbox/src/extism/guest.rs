//! The host's side of one running Extism module.

use std::{collections::BTreeMap, sync::Arc};

use rand::{SeedableRng, rngs::StdRng};
use tributary_core::contract::{Failure, Fault};

use super::{arena::Arena, manifest::Manifest};
use crate::{
    blobs::Blobs,
    convert::violation,
    guest::FIXED_TIME,
    guest_log::{GuestLog, Level},
    limits::{Exhausted, Limited, Limiter},
    services::{self, HostServices, Moment},
};

/// Longest text given as an error, a key or a request's head.
const MAX_TEXT_BYTES: usize = 64 << 10;
/// Of one line, what goes to the log.
const MAX_LINE_BYTES: usize = 4096;
/// What variables cost beside their bytes.
const VAR_BYTES: u64 = 64;

/// What a store holds.
pub(crate) struct Guest {
    pub(super) limiter: Limiter,
    pub(super) log: Arc<GuestLog>,
    pub(super) blobs: Arc<Blobs>,
    pub(super) manifest: Arc<Manifest>,
    pub(super) answered: Answered,
    pub(super) surroundings: Surroundings,
    services: Option<HostServices>,
    arena: Arena,
    input: (u64, u64),
    output: (u64, u64),
    error: u64,
    config: BTreeMap<String, String>,
    vars: BTreeMap<String, Vec<u8>>,
}

/// The head of the last answer over HTTP.
#[derive(Default)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
}

/// Time and randomness: those of the machine, unless the call has its own.
pub(super) struct Surroundings {
    pub(super) random: StdRng,
    /// The clock that goes on by a millisecond whenever it is looked at.
    pub(super) now_ms: Option<u64>,
}

impl Guest {
    /// A call with its input; without services there is no way to the host's interfaces.
    pub(super) fn new(limiter: Limiter, services: Option<HostServices>, name: &str, manifest: Arc<Manifest>) -> Self {
        let log = services.as_ref().map_or_else(|| Arc::new(GuestLog::new(name)), |services| services.log.clone());
        let blobs = services.as_ref().map(|services| services.blobs.clone()).unwrap_or_default();
        // As for a component.
        let fixed = Moment { now_ms: FIXED_TIME.as_millis() as u64, seed: 0 };
        let moment = services.as_ref().map_or(Some(fixed), |services| services.moment);
        let random = moment.map_or_else(|| StdRng::from_rng(&mut rand::rng()), |it| StdRng::seed_from_u64(it.seed));
        Self {
            limiter,
            log,
            blobs,
            answered: Answered::default(),
            surroundings: Surroundings { random, now_ms: moment.map(|it| it.now_ms) },
            services,
            arena: Arena::new(),
            input: (0, 0),
            output: (0, 0),
            error: 0,
            config: manifest.config.clone(),
            vars: BTreeMap::new(),
            manifest,
        }
    }

    /// What the export is called with.
    pub(super) fn set_input(&mut self, input: &[u8]) -> Result<(), Exhausted> {
        self.input = (self.arena.put(input, &mut self.limiter)?, input.len() as u64);
        Ok(())
    }

    /// Values for `config_get`, over those of the manifest.
    pub(super) fn set_config(&mut self, config: BTreeMap<String, String>) {
        self.config.extend(config);
    }

    pub(super) fn services(&self) -> Result<&HostServices, Failure> {
        self.services.as_ref().ok_or_else(services::not_available)
    }

    // What follows is what the functions of `env` do.

    pub(super) fn alloc(&mut self, length: u64) -> Result<u64, Exhausted> {
        self.arena.alloc(length, &mut self.limiter)
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<u64, Exhausted> {
        self.arena.put(bytes, &mut self.limiter)
    }

    pub(super) fn free(&mut self, start: u64) {
        if self.arena.free(start) && start == self.input.0 {
            self.input.1 = 0;
        }
    }

    pub(super) fn length(&self, start: u64) -> u64 {
        self.arena.length(start)
    }

    pub(super) fn load<const N: usize>(&self, start: u64) -> [u8; N] {
        self.arena.load(start)
    }

    pub(super) fn store(&mut self, start: u64, bytes: &[u8]) {
        self.arena.store(start, bytes);
    }

    pub(super) fn slice_mut(&mut self, start: u64, length: u64) -> Option<&mut [u8]> {
        self.arena.slice_mut(start, length)
    }

    pub(super) fn input(&self) -> (u64, u64) {
        self.input
    }

    pub(super) fn input_load<const N: usize>(&self, offset: u64) -> [u8; N] {
        let inside = offset.checked_add(N as u64).is_some_and(|end| end <= self.input.1);
        if inside { self.arena.load(self.input.0 + offset) } else { [0; N] }
    }

    /// Places that do not exist are not taken, as by Extism's kernel.
    pub(super) fn set_output(&mut self, start: u64, length: u64) {
        if self.arena.slice(start, length).is_some() {
            self.output = (start, length);
        }
    }

    pub(super) fn output(&self) -> &[u8] {
        self.arena.slice(self.output.0, self.output.1).unwrap_or_default()
    }

    pub(super) fn set_error(&mut self, start: u64) {
        if start == 0 || self.arena.length(start) > 0 {
            self.error = start;
        }
    }

    pub(super) fn error(&self) -> u64 {
        self.error
    }

    /// What the guest said went wrong.
    pub(super) fn error_text(&self) -> Option<String> {
        let bytes = self.arena.block(self.error)?;
        Some(String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT_BYTES)]).into_owned())
    }

    /// The block that starts here; `what` it should be, for the failure when there is none. Place 0 holds nothing, which is a text
    /// as well: the kits put an empty one there.
    pub(super) fn bytes(&self, start: u64, what: &str) -> Result<&[u8], Failure> {
        if start == 0 {
            return Ok(&[]);
        }
        self.arena
            .block(start)
            .ok_or_else(|| violation("bad_handle", format!("it named a place where no block starts as {what}")))
    }

    /// A short text out of a block.
    pub(super) fn text(&self, start: u64, what: &str) -> Result<&str, Failure> {
        let bytes = self.bytes(start, what)?;
        if bytes.len() > MAX_TEXT_BYTES {
            return Err(Failure::new(
                Fault::TooLarge,
                "text_too_long",
                format!("{what} has {} of at most {MAX_TEXT_BYTES} bytes", bytes.len()),
            ));
        }
        std::str::from_utf8(bytes).map_err(|_| violation("bad_text", format!("{what} is not UTF-8")))
    }

    // As Extism's, these functions take the blocks that they are given: what the guest still wants, it keeps elsewhere.

    pub(super) fn config_get(&mut self, key: u64) -> wasmtime::Result<u64> {
        let value = self.config.get(self.text(key, "the key of a configuration value")?).cloned();
        self.free(key);
        Ok(self.put(value.as_deref().unwrap_or_default().as_bytes())?)
    }

    pub(super) fn var_get(&mut self, key: u64) -> wasmtime::Result<u64> {
        let name = self.text(key, "the key of a variable")?.to_owned();
        self.free(key);
        let value = self.vars.get(&name).map_or(&[][..], Vec::as_slice);
        Ok(self.arena.put(value, &mut self.limiter)?)
    }

    /// Variables live as long as the call. Value 0 removes one.
    pub(super) fn var_set(&mut self, key: u64, value: u64) -> Result<(), Failure> {
        let name = self.text(key, "the key of a variable")?.to_owned();
        if value == 0 {
            self.free(key);
            self.vars.remove(&name);
            return Ok(());
        }
        let bytes = self.bytes(value, "the value of a variable")?;
        let others = self.vars.iter().filter(|(other, _)| **other != name);
        let used: u64 = others.map(|(name, value)| (name.len() + value.len()) as u64 + VAR_BYTES).sum();
        let max = self.manifest.max_var_bytes;
        if used + (name.len() + bytes.len()) as u64 + VAR_BYTES > max {
            return Err(Failure::new(
                Fault::TooLarge,
                "vars_full",
                format!("the module's variables have more than {max} bytes; keep less in them"),
            ));
        }
        let bytes = bytes.to_vec();
        self.free(value);
        self.free(key);
        self.vars.insert(name, bytes);
        Ok(())
    }

    /// Writes a line of the guest into the log.
    pub(super) fn log(&mut self, level: Level, line: u64) -> Result<(), Failure> {
        let bytes = self.bytes(line, "a line for the log")?;
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_LINE_BYTES)]);
        self.log.write(level, &text, &[]);
        self.free(line);
        Ok(())
    }
}

impl Limited for Guest {
    fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }
}

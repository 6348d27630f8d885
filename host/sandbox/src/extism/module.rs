//! Calling an export of an Extism module: bytes in, bytes out, within a turn and its limits.

use std::{collections::BTreeMap, sync::Arc};

use tributary_core::contract::{Failure, Fault};
use wasmtime::InstancePre;

use super::{guest::Guest, manifest::Manifest, wire};
use crate::{
    convert::violation,
    limits::{CallLimits, Limiter},
    sandbox::Inner,
    services::HostServices,
    turn::{self, Turn},
};

/// An Extism module, ready to be called. Every call gets an instance of its own.
#[derive(Clone)]
pub struct ExtismModule {
    pub(super) sandbox: Arc<Inner>,
    pub(super) manifest: Arc<Manifest>,
    pre: InstancePre<Guest>,
    name: String,
}

impl ExtismModule {
    pub(crate) fn new(sandbox: Arc<Inner>, pre: InstancePre<Guest>, manifest: Manifest, name: String) -> Self {
        Self { sandbox, manifest: Arc::new(manifest), pre, name }
    }

    /// The same module under another name in failures and logs.
    pub(super) fn named(&self, name: String) -> Self {
        Self { name, ..self.clone() }
    }

    /// Calls any export with the limits of a pull, as an Extism host would: for modules that are no connectors.
    pub async fn call(&self, export: &str, input: &[u8], services: &HostServices) -> Result<Vec<u8>, Failure> {
        let limits = self.sandbox.options.pull;
        self.run(export, input, BTreeMap::new(), limits, Some(services.clone())).await
    }

    pub(super) async fn run(
        &self,
        export: &str,
        input: &[u8],
        config: BTreeMap<String, String>,
        limits: CallLimits,
        services: Option<HostServices>,
    ) -> Result<Vec<u8>, Failure> {
        let limits = self.manifest.within(limits);
        let guest = Guest::new(Limiter::new(limits.memory_bytes), services, &self.name, self.manifest.clone());
        let (engine, turns) = (&self.sandbox.engine, &self.sandbox.turns);
        let (turn, mut store) = Turn::begin(engine, turns, self.sandbox.max_wait(), &self.name, limits, guest).await?;
        let status = turn
            .run(async {
                store.data_mut().set_input(input)?;
                store.data_mut().set_config(config);
                let instance = self.pre.instantiate_async(&mut store).await?;
                // What the module's language wants to be called first.
                for name in ["_initialize", "__wasm_call_ctors"] {
                    if let Ok(start) = instance.get_typed_func::<(), ()>(&mut store, name) {
                        start.call_async(&mut store, ()).await?;
                        break;
                    }
                }
                let Ok(function) = instance.get_typed_func::<(), i32>(&mut store, export) else {
                    return Err(no_export(export).into());
                };
                function.call_async(&mut store, ()).await
            })
            .await?;
        let guest = store.data();
        // Who says what went wrong has failed, whatever it returns.
        if let Some(said) = guest.error_text() {
            return Err(wire::failure(&said));
        }
        if status != 0 {
            return Err(wire::failure(&format!("`{export}` returned {status}")));
        }
        if guest.output().len() > limits.result_bytes {
            return Err(turn::handed_over_too_much(&self.name, limits.result_bytes));
        }
        Ok(guest.output().to_vec())
    }

    /// JSON in, JSON out.
    pub(super) async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        export: &str,
        input: &[u8],
        config: BTreeMap<String, String>,
        limits: CallLimits,
        services: Option<HostServices>,
    ) -> Result<T, Failure> {
        let output = self.run(export, input, config, limits, services).await?;
        if wire::weight(&output) > limits.result_bytes {
            return Err(turn::handed_over_too_much(&self.name, limits.result_bytes));
        }
        serde_json::from_slice(&output).map_err(|error| {
            violation("bad_answer", format!("what `{export}` answered is not the JSON of the contract ({error})"))
        })
    }
}

fn no_export(export: &str) -> Failure {
    Failure::new(
        Fault::SourceContract,
        "missing_export",
        format!("the module has no function `{export}` that takes nothing and returns an i32; report it to its author"),
    )
}

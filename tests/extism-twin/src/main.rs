//! Calls exports of a module in Extism's own host: questions as JSON on standard input, answers as JSON on standard output.
//!
//! `extism:host/user` is served over plain maps: a ledger that is given, a state that is empty.

use std::{collections::BTreeMap, error::Error, fs, io, path::PathBuf};

use extism::{CompiledPlugin, CurrentPlugin, Manifest, PTR, Plugin, PluginBuilder, UserData, Val, ValType, Wasm};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Questions {
    module: PathBuf,
    config: BTreeMap<String, String>,
    /// Fingerprints of what is committed, by external id.
    ledger: BTreeMap<String, String>,
    /// Export and input.
    calls: Vec<(String, String)>,
}

struct Kept {
    ledger: BTreeMap<String, String>,
    state: BTreeMap<String, String>,
}

type Answer = fn(&mut Kept, &Value) -> Value;

const USER: [(&str, Answer); 3] = [
    ("ledger_lookup", |kept, asked| {
        let ids = asked["external_ids"].as_array().into_iter().flatten();
        ids.map(|id| id.as_str().and_then(|id| kept.ledger.get(id)).map_or(Value::Null, |found| json!(found))).collect()
    }),
    ("state_get", |kept, asked| json!(kept.state.get(asked["key"].as_str().unwrap_or_default()))),
    ("state_set", |kept, asked| {
        let key = asked["key"].as_str().unwrap_or_default().to_owned();
        match asked["value"].as_str() {
            Some(value) => kept.state.insert(key, value.to_owned()),
            None => kept.state.remove(&key),
        };
        Value::Null
    }),
];

fn main() -> Result<(), Box<dyn Error>> {
    let Questions { module, config, ledger, calls } = serde_json::from_reader(io::stdin())?;
    let manifest =
        Manifest::new([Wasm::data(fs::read(module)?)]).with_allowed_host("127.0.0.1").with_config(config.into_iter());
    let kept = UserData::new(Kept { ledger, state: BTreeMap::new() });
    let mut builder = PluginBuilder::new(manifest).with_http_response_headers(true);
    for (name, answer) in USER {
        let function = move |plugin: &mut CurrentPlugin, inputs: &[Val], outputs: &mut [Val], kept: UserData<Kept>| {
            let asked: String = plugin.memory_get_val(&inputs[0])?;
            let kept = kept.get()?;
            let answer = answer(&mut kept.lock().expect("nobody panics with it"), &serde_json::from_str(&asked)?);
            plugin.memory_set_val(&mut outputs[0], json!({ "ok": answer }).to_string())
        };
        builder = builder.with_function(name, [PTR], [PTR], kept.clone(), function);
    }
    // What AssemblyScript calls when it gives up; Extism leaves it to whoever runs the module.
    let abort = |_: &mut CurrentPlugin, _: &[Val], _: &mut [Val], _: UserData<()>| Err(extism::Error::msg("aborted"));
    let parameters = [ValType::I32, ValType::I32, ValType::I32, ValType::I32];
    builder = builder.with_function_in_namespace("env", "abort", parameters, [], UserData::new(()), abort);
    let compiled = CompiledPlugin::new(builder)?;
    let answers: Vec<_> = calls.iter().map(|(export, input)| call(&compiled, export, input)).collect();
    serde_json::to_writer(io::stdout(), &answers)?;
    Ok(())
}

/// In an instance of its own, as everywhere in the server: `{"ok": output}` or `{"err": message}`. What is no UTF-8 is replaced.
fn call(compiled: &CompiledPlugin, export: &str, input: &str) -> Value {
    let called = Plugin::new_from_compiled(compiled).and_then(|mut plugin| plugin.call::<&str, Vec<u8>>(export, input));
    match called {
        Ok(output) => json!({ "ok": String::from_utf8_lossy(&output) }),
        Err(error) => json!({ "err": error.to_string() }),
    }
}

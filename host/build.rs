//! Hands the components that ship inside the server to `include_bytes!`, and the SDK to `tributary plugin new`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

const COMPONENTS: &[(&str, &str)] = &[
    ("FILE_COMPONENT", "tributary_plugin_file"),
    ("API_COMPONENT", "tributary_plugin_api"),
    ("GOOGLE_DOCS_COMPONENT", "tributary_plugin_google_docs"),
    ("EXTRACT_COMPONENT", "tributary_plugin_extract"),
];

/// What `tributary plugin new` writes into `vendor/` of a project.
const VENDORED: [&str; 3] = ["plugin-sdk/src", "plugin-sdk/scenario/src", "wit/v0_1"];

fn main() {
    vendored();
    println!("cargo::rerun-if-env-changed=TRIBUTARY_COMPONENTS");
    let directory = env::var_os("TRIBUTARY_COMPONENTS").map_or_else(default_directory, PathBuf::from);
    for (variable, name) in COMPONENTS {
        let path = directory.join(name).with_extension("wasm");
        println!("cargo::rerun-if-changed={}", path.display());
        if !path.is_file() {
            println!(
                "cargo::error={} is missing: run `cargo xtask plugins` first (it builds the components that the server embeds)",
                path.display()
            );
        }
        println!("cargo::rustc-env={variable}={}", path.display());
    }
}

/// `<target directory>/wasm32-wasip2/component`, found from `OUT_DIR` (`<target directory>/<profile>/build/<package>/out`).
fn default_directory() -> PathBuf {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let target = out.ancestors().nth(4).expect("OUT_DIR has five levels").to_path_buf();
    target.join("wasm32-wasip2").join("component")
}

/// Writes `vendored.rs`: path and text of each file, as a slice of pairs. `include_str!` sees changes of files, cargo new ones.
fn vendored() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("host is a directory of the checkout");
    let mut waiting: Vec<PathBuf> = VENDORED.iter().map(|folder| checkout.join(folder)).collect();
    let mut files = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            println!("cargo::rerun-if-changed={}", path.display());
            let entries = fs::read_dir(&path).expect("the SDK's sources can be read");
            waiting.extend(entries.map(|entry| entry.expect("the SDK's sources can be read").path()));
        } else {
            files.push(path);
        }
    }
    files.sort();
    let pairs = files.iter().map(|path| {
        let name = path.strip_prefix(checkout).expect("it is within");
        format!("    ({name:?}, include_str!({path:?})),\n")
    });
    let text = format!("&[\n{}]\n", pairs.collect::<String>());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("vendored.rs"), text).expect("OUT_DIR can be written");
}

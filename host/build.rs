//! Hands the two components that ship inside the server to `include_bytes!`.

use std::{env, path::PathBuf};

const COMPONENTS: [(&str, &str); 2] =
    [("FILE_COMPONENT", "tributary_plugin_file"), ("EXTRACT_COMPONENT", "tributary_plugin_extract")];

fn main() {
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

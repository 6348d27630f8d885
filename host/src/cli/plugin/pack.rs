//! `tributary plugin pack`: a component with the manifest that says what it is, ready to hand over.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::Args;

use super::{
    component::{self, Component},
    inspect, show,
};
use crate::cli::record;

#[derive(Args)]
pub(super) struct Pack {
    /// The component, or the folder of a connector, which is built first
    #[arg(default_value = ".")]
    component: PathBuf,
    /// Where to put them
    #[arg(long, value_name = "FOLDER", default_value = "dist")]
    out: PathBuf,
}

impl Pack {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let component = record::block_on(Component::open(&component::find(&self.component)?))?;
        let (_, descriptor) = component.connector()?;
        let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_' | '+');
        // A version is free text to the sandbox, and a file name here.
        let version: String = descriptor.version.chars().filter(|char| plain(*char)).collect();
        let name = format!("{}-{version}", descriptor.id);
        fs::create_dir_all(&self.out).with_context(|| format!("{} cannot be made", self.out.display()))?;
        let (wasm, manifest) = (self.out.join(format!("{name}.wasm")), self.out.join(format!("{name}.json")));
        let text = format!("{}\n", serde_json::to_string_pretty(&inspect::as_json(&component.artifact))?);
        fs::write(&wasm, &component.bytes).with_context(|| format!("{} cannot be written", wasm.display()))?;
        fs::write(&manifest, text).with_context(|| format!("{} cannot be written", manifest.display()))?;
        let lines = [
            ("component", wasm.display().to_string()),
            ("manifest", manifest.display().to_string()),
            ("digest", component.artifact.digest.to_string()),
        ];
        println!("{}", show::lines(&lines));
        Ok(())
    }
}

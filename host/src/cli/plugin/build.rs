//! `tributary plugin build`: a connector's component.

use std::path::PathBuf;

use clap::Args;

use super::{component::Component, project, show};
use crate::cli::record;

#[derive(Args)]
pub(super) struct Build {
    /// Folder of the connector
    #[arg(default_value = ".")]
    folder: PathBuf,
}

impl Build {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let path = project::build(&self.folder)?;
        let component = record::block_on(Component::open(&path))?;
        let lines = [
            ("component", path.display().to_string()),
            ("size", show::bytes(component.artifact.size_bytes as u64)),
            ("digest", component.artifact.digest.to_string()),
        ];
        println!("{}", show::lines(&lines));
        Ok(())
    }
}

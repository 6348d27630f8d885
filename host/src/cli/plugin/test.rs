//! `tributary plugin test`: plays a connector's scenarios against its component, in the sandbox that the server has.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use tributary_scenario::{Report, Scenario, conformance, find_scenarios, play};

use super::{
    component::Component,
    project,
    run::{on_runtime, quiet},
    show,
    subject::{Network, Sandboxed},
};

#[derive(Args)]
pub(super) struct Test {
    /// Folder of the connector
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Play against this component; nothing is built
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Where the scenarios are [default: tests/scenarios of the folder]
    #[arg(long, value_name = "FOLDER")]
    scenarios: Option<PathBuf>,
    /// Hold it to the contract as well, starting from each scenario that works
    #[arg(long)]
    conformance: bool,
}

impl Test {
    pub(super) fn run(self) -> anyhow::Result<()> {
        quiet();
        let folder = self.scenarios.clone().unwrap_or_else(|| self.folder.join("tests").join("scenarios"));
        let scenarios = read(&folder)?;
        let path = match &self.component {
            Some(path) => path.clone(),
            None => project::build(&self.folder)?,
        };
        on_runtime(async {
            let (connector, descriptor) = Component::open(&path).await?.connector()?;
            let subject = Sandboxed::new(connector, descriptor, Network::Scripted, usize::MAX);
            let examine = self.conformance;
            let reports = tokio::task::spawn_blocking(move || {
                let mut reports = Vec::new();
                let mut finish = |report: Report| {
                    println!("{}", report.to_string().lines().map(show::printable).collect::<Vec<_>>().join("\n"));
                    reports.push(report.is_ok());
                };
                for scenario in &scenarios {
                    finish(play(&subject, scenario));
                    if examine && scenario.works() {
                        finish(conformance(&subject, scenario));
                    }
                }
                reports
            })
            .await?;
            let failed = reports.iter().filter(|ok| !**ok).count();
            println!("{} passed, {failed} failed", reports.len() - failed);
            if failed > 0 {
                bail!("{failed} of {} are not as they must be", reports.len());
            }
            Ok(())
        })
    }
}

fn read(folder: &Path) -> anyhow::Result<Vec<Scenario>> {
    let read = |path: PathBuf| Scenario::read(&path).map_err(anyhow::Error::msg);
    find_scenarios(folder).map_err(anyhow::Error::msg)?.into_iter().map(read).collect()
}

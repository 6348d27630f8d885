//! `tributary plugin install`: a connector for a server, also while it runs.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};

use super::{component, manage, show};
use crate::{
    cli::{operator::Common, record},
    plugins::{Installed, Misfit, Package, Refused},
};

/// How often it is said that compiling goes on.
const PROGRESS: Duration = Duration::from_secs(5);
/// Largest signature file; they have some hundred bytes.
const MOST_SIGNATURE_BYTES: u64 = 64 << 10;

#[derive(Args)]
pub(super) struct Install {
    /// The component: a .wasm file
    file: PathBuf,
    /// Grant a host it asks for; may be given more than once. Without it nothing is granted but what the version before had
    #[arg(long = "grant-host", value_name = "HOST")]
    grant_hosts: Vec<String>,
    /// The digest that it must have, from its author
    #[arg(long, value_name = "sha256:HEX")]
    digest: Option<String>,
    /// Its signature [default: FILE.minisig, where there is one]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

impl Install {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let wasm = component::read(&self.file)?;
        let beside = PathBuf::from(format!("{}.minisig", self.file.display()));
        let signature = self.signature.or_else(|| beside.is_file().then_some(beside));
        let signature = signature.map(|path| component::read_up_to(&path, MOST_SIGNATURE_BYTES)).transpose()?;
        let signature = signature.map(String::from_utf8).transpose().context("the signature is not a text")?;
        record::block_on(async {
            let operator = self.common.open().await?;
            let plugins = manage::plugins(&operator)?;
            let package = Package { wasm: wasm.into(), digest: self.digest, signature, grant_hosts: self.grant_hosts };
            let size = show::bytes(package.wasm.len() as u64);
            eprintln!("Checking and compiling {} ({size}) …", self.file.display());
            let installing = plugins.install(package, "operator", None);
            let Installed { connector, moved_sources, carried_configs } = told(installing).await.map_err(explained)?;
            let id = &connector.connector.id;
            operator.done("plugin install", None, format!("connector={id}")).await?;
            let mut sentence = format!("{id} {} is installed, on every host at once.", connector.connector.version);
            if moved_sources > 0 {
                sentence += &format!(
                    "\n{} it from now on; what runs ends with the version it began with.",
                    match moved_sources {
                        1 => "1 source uses".to_owned(),
                        n => format!("{n} sources use"),
                    }
                );
            }
            if carried_configs > 0 {
                sentence += &format!(
                    "\nIt carried the configuration of {} over to its own.",
                    show::count(carried_configs as usize, "source")
                );
            }
            sentence += &manage::wanting(&connector);
            let mut thing = manage::as_json(&connector, None);
            thing["moved_sources"] = json!(moved_sources);
            thing["carried_configs"] = json!(carried_configs);
            operator.say(&sentence, &thing)
        })
    }
}

/// Says now and then that it goes on.
async fn told<T>(work: impl Future<Output = T>) -> T {
    let (started, mut work) = (Instant::now(), std::pin::pin!(work));
    let mut tick = tokio::time::interval_at(started + PROGRESS, PROGRESS);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = tick.tick() => eprintln!("… still compiling, {} s", started.elapsed().as_secs()),
        }
    }
}

/// With the sources that do not fit, one a line.
fn explained(refused: Refused) -> anyhow::Error {
    let Refused::Misfits { misfits, .. } = &refused else { return refused.into() };
    let line = |misfit: &Misfit| {
        let faults = misfit.faults.iter().map(|(pointer, fault)| format!("{pointer}: {fault}"));
        let faults = faults.collect::<Vec<_>>().join("; ");
        format!("\n  {} (source {} in workspace {}): {faults}", misfit.name, misfit.source, misfit.workspace)
    };
    let lines: String = misfits.iter().map(line).collect();
    anyhow::anyhow!("{refused}{lines}")
}

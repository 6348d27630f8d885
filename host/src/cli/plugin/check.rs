//! `tributary plugin check`: tries a configuration.

use std::{path::PathBuf, sync::Arc};

use anyhow::bail;
use clap::Args;
use serde_json::json;
use tributary_scenario::{Record, Subject, World};

use super::{
    component::{self, Component},
    run::{on_runtime, quiet},
    show,
    subject::{Network, Sandboxed},
    surroundings::Surroundings,
};

#[derive(Args)]
pub(super) struct Check {
    /// The component, or the folder of a connector, which is built first
    component: PathBuf,
    #[command(flatten)]
    surroundings: Surroundings,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        quiet();
        on_runtime(async {
            let component = Component::open(&component::find(&self.component)?).await?;
            let (connector, descriptor) = component.connector()?;
            let ready = self.surroundings.ready(&descriptor)?;
            let mut world = World::over(Record::default());
            world.roots = ready.roots;
            let subject = Sandboxed::new(connector, descriptor, Network::Real(ready.http), 0);
            let config = ready.config.to_string();
            let items = tokio::task::spawn_blocking(move || subject.check(&config, &Arc::new(world))).await?;
            let items = items.map_err(|failure| anyhow::anyhow!("{}", show::failure(&failure)))?;
            for item in &items {
                if self.json {
                    let (name, status) = (&item.name, &item.status);
                    println!(
                        "{}",
                        json!({ "name": name, "status": status, "message": item.message, "config_pointer": item.config_pointer })
                    );
                    continue;
                }
                let message = item.message.as_ref().map(|message| format!("\n         {message}")).unwrap_or_default();
                let line = format!("{:<8} {}", item.status, item.name);
                println!(
                    "{}{}",
                    show::printable(&line),
                    message.lines().map(show::printable).collect::<Vec<_>>().join("\n")
                );
            }
            match items.iter().filter(|item| item.status == "failed").count() {
                0 => Ok(()),
                failed => bail!("{} of {} failed", failed, show::count(items.len(), "check")),
            }
        })
    }
}

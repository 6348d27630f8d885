//! `tributary schedule`: what a schedule means, without a server.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use serde_json::json;

use crate::schedules::{self, Draft};

/// Starts shown at most.
const MOST: u16 = 1_000;

#[derive(Args)]
pub(super) struct Schedule {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show when a schedule comes round, in local time and UTC
    Preview(Preview),
}

#[derive(Args)]
struct Preview {
    /// A cron expression, such as "0 3 * * *" or @daily
    #[arg(required_unless_present = "every", conflicts_with = "every")]
    cron: Option<String>,
    /// IANA time zone of the expression [default: UTC]
    #[arg(long, value_name = "ZONE", conflicts_with = "every")]
    timezone: Option<String>,
    /// An interval instead, such as 15m, 2h or 1d
    #[arg(long, value_name = "INTERVAL")]
    every: Option<String>,
    /// How many moments
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST)))]
    count: u16,
    /// Begin after this moment (RFC 3339) instead of now
    #[arg(long, value_name = "TIME")]
    after: Option<DateTime<Utc>>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Schedule {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Command::Preview(preview) = self.command;
        preview.run()
    }
}

impl Preview {
    fn run(self) -> anyhow::Result<()> {
        let draft = Draft { cron: self.cron, timezone: self.timezone, every: self.every, ..Draft::default() };
        let slots = schedules::preview(draft, self.after.unwrap_or_else(Utc::now), self.count.into())?;
        if self.json {
            let slots: Vec<_> = slots.iter().map(|(slot, local)| json!({ "slot": slot, "local": local })).collect();
            println!("{}", serde_json::to_string_pretty(&slots)?);
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["LOCAL", "UTC"]);
        for (slot, local) in slots {
            table.add_row([
                local.format("%a %Y-%m-%d %H:%M:%S %:z").to_string(),
                slot.format("%Y-%m-%d %H:%M:%S").to_string(),
            ]);
        }
        println!("{table}");
        Ok(())
    }
}

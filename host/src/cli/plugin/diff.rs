//! `tributary plugin diff`: what another version of a connector would make of the traffic that was recorded.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use similar::TextDiff;
use std::time::Duration;

use super::{replay, run, show};
use crate::recording::diff::{self, Affected, Effect};

/// Documents shown.
const SHOWN: usize = 200;
/// Longest a comparison of two texts takes.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct Diff {
    /// The recording of a run with the connector as it is
    recording: PathBuf,
    /// The component of the other version, or its folder, which is built first
    component: PathBuf,
    /// Show how texts differ
    #[arg(long)]
    text: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(self) -> anyhow::Result<()> {
        run::quiet();
        run::on_runtime(async {
            let recording = replay::read(self.recording).await?;
            let component = replay::open(self.component).await?;
            let (connector, descriptor) = component.connector()?;
            let (old, new) = (&recording.connector, component.reference(&descriptor));
            if old.id != new.id {
                bail!("the recording is of {}, the component is {}: there is nothing to compare", old.id, new.id);
            }
            let diff = diff::diff(&*connector, &recording).await;
            if self.json {
                println!("{}", serde_json::to_string_pretty(&diff)?);
            } else {
                let short = |digest: &str| digest.chars().take(12).collect::<String>();
                println!(
                    "{}: {} ({}) -> {} ({})\n",
                    old.id,
                    show::printable(&old.version),
                    short(&old.digest),
                    show::printable(&new.version),
                    short(&new.digest)
                );
                print(&diff, self.text);
            }
            match &diff.failure {
                Some(failure) => bail!("it failed before its end: {}", show::printable(&failure.message)),
                None if !diff.not_recorded.is_empty() => bail!(
                    "it asked for {} that the recording does not have: of what depends on them nothing is known",
                    show::count(diff.not_recorded.len(), "thing")
                ),
                None => Ok(()),
            }
        })
    }
}

fn print(diff: &diff::Diff, text: bool) {
    let sign = |effect| match effect {
        Effect::Added => "+",
        Effect::Removed => "-",
        Effect::Changed => "~",
        Effect::ReadAgain => "?",
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["", "DOCUMENT", "WHAT"]);
    for affected in diff.documents.iter().take(SHOWN) {
        let what = match affected.effect {
            Effect::Added => "new".to_owned(),
            Effect::Removed => "no longer named".to_owned(),
            Effect::Changed => affected.members.join(", "),
            Effect::ReadAgain => "read again; record a full run to see what it becomes".to_owned(),
        };
        table.add_row([sign(affected.effect), &show::printable(&affected.external_id), &what]);
    }
    if !diff.documents.is_empty() {
        println!("{table}");
    }
    if diff.documents.len() > SHOWN {
        println!("and {} more; --json has all of them", diff.documents.len() - SHOWN);
    }
    if text {
        diff.documents.iter().filter(|one| one.members.contains(&"text")).take(SHOWN).for_each(print_text);
    }
    for what in &diff.not_recorded {
        println!("not recorded: {}", show::printable(what));
    }
    let count = |effect| diff.documents.iter().filter(|affected| affected.effect == effect).count();
    println!(
        "{}: {} new, {} changed, {} no longer named, {} read again, {} the same",
        show::count(diff.documents.len() + diff.same, "document"),
        count(Effect::Added),
        count(Effect::Changed),
        count(Effect::Removed),
        count(Effect::ReadAgain),
        diff.same
    );
}

fn print_text(affected: &Affected) {
    let (Some(before), Some(after)) = (&affected.recorded_text, &affected.text) else { return };
    println!("\n{}", show::printable(&affected.external_id));
    let lines = TextDiff::configure().timeout(PATIENCE).diff_lines(before.as_str(), after.as_str());
    for hunk in lines.unified_diff().context_radius(1).iter_hunks() {
        for change in hunk.iter_changes() {
            println!("  {}{}", change.tag(), show::printable(change.value().trim_end_matches('\n')));
        }
    }
}

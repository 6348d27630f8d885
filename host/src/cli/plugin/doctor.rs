//! `tributary plugin doctor`: what building connectors needs, and what is missing of it.

use std::process::{Command, Stdio};

use anyhow::bail;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};

use super::project::{self, TARGET};

/// The oldest Rust that compiles the SDK.
const OLDEST: (u32, u32) = (1, 95);
/// Adds the target with rustup, or builds it from Debian's packages where rustup cannot.
static ADD_TARGET: &str = include_str!("../../../../xtask/ensure-wasm-target.sh");

#[derive(Args)]
pub(super) struct Doctor {
    /// Only look
    #[arg(long)]
    check: bool,
}

/// One thing that is needed.
struct Finding {
    what: &'static str,
    fine: bool,
    found: String,
    to_do: String,
}

impl Doctor {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let findings = [version("cargo", project::cargo()), rust(), self.target()];
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["", "WHAT", "FOUND", "TO DO"]);
        for Finding { what, fine, found, to_do } in &findings {
            table.add_row([if *fine { "ok" } else { "missing" }, what, found, to_do]);
        }
        println!("{table}");
        match findings.iter().filter(|finding| !finding.fine).count() {
            0 => Ok(()),
            missing => {
                bail!("{missing} of {} missing; do what stands in the last column, then run this again", findings.len())
            }
        }
    }

    fn target(&self) -> Finding {
        let finding = |fine, found: &str, to_do: &str| Finding {
            what: TARGET,
            fine,
            found: found.to_owned(),
            to_do: to_do.to_owned(),
        };
        let by_hand = "rustup target add wasm32-wasip2";
        if project::has_target() {
            return finding(true, "there", "");
        }
        if self.check {
            return finding(false, "not there", by_hand);
        }
        eprintln!("adding {TARGET}; without rustup this takes a few minutes");
        match add_target() {
            Ok(()) if project::has_target() => finding(true, "added now", ""),
            Ok(()) => finding(false, "could not be added; see above", by_hand),
            Err(error) => finding(false, &format!("could not be added: {error}"), by_hand),
        }
    }
}

fn version(what: &'static str, mut tool: Command) -> Finding {
    let found = tool.arg("--version").output().ok().filter(|output| output.status.success());
    match found {
        Some(output) => {
            let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Finding { what, fine: true, found, to_do: String::new() }
        }
        None => Finding {
            what,
            fine: false,
            found: "not there".to_owned(),
            to_do: "install Rust from https://rustup.rs".to_owned(),
        },
    }
}

fn rust() -> Finding {
    let mut finding = version("rustc", project::rustc());
    if finding.fine && release(&finding.found).is_none_or(|release| release < OLDEST) {
        finding.fine = false;
        finding.to_do = format!("rustup update (at least {}.{})", OLDEST.0, OLDEST.1);
    }
    finding
}

/// `rustc 1.95.0 (…)`
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split_whitespace().nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn add_target() -> std::io::Result<()> {
    // Not over standard input, which what the script starts could read.
    let mut bash = Command::new("bash");
    bash.args(["-c", ADD_TARGET, "ensure-wasm-target.sh", TARGET]).stdin(Stdio::null()).stdout(Stdio::null());
    bash.status().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_rust_is_told_from_a_new_one() {
        assert_eq!(release("rustc 1.95.0 (59807616e 2026-04-14)"), Some((1, 95)));
        assert_eq!(release("rustc 1.96.0-nightly (abc)"), Some((1, 96)));
        assert_eq!(release("rustc"), None);
    }

    #[test]
    fn the_oldest_rust_is_that_of_the_workspace() {
        let workspace = include_str!("../../../../Cargo.toml");
        assert!(workspace.contains(&format!("rust-version = \"{}.{}\"", OLDEST.0, OLDEST.1)));
    }
}
